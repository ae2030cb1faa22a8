//! A subscriber of one order over `graphql-transport-ws`, that connects again when its connection is lost.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Journal, Line, Said, Token, documents};
use crate::check::evidence::Frame;

/// How long a server may take to greet.
const GREETING: Duration = Duration::from_secs(5);
/// The pause before connecting again.
const RECONNECT: Duration = Duration::from_millis(200);

/// A frame and when it came.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The frame.
    pub frame: Frame,
    /// When it came.
    pub at: Instant,
}

/// An open subscription. It ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    arrivals: watch::Receiver<Vec<Arrival>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Subscribes its buyer to an order; returns at once, frames come when they come.
    ///
    /// A patient one asks again for an order whose view is not there yet: it knows that there is such an order.
    pub fn open(
        address: &str,
        token: &Token,
        order: Uuid,
        journal: &Journal,
        patient: bool,
    ) -> Self {
        let (sender, arrivals) = watch::channel(Vec::new());
        let number = journal.watch(order);
        let subscriber = Subscriber {
            address: address.to_owned(),
            token: token.clone(),
            order,
            number,
            journal: journal.clone(),
            sender,
            patient,
        };
        Self {
            arrivals,
            task: tokio::spawn(subscriber.run()),
        }
    }

    /// Waits until the order has reached one of these statuses, with a bound. The frame that said so first.
    ///
    /// # Errors
    /// If the bound passes; the message says what was seen instead.
    pub async fn reached(&self, statuses: &[&str], bound: Duration) -> anyhow::Result<Arrival> {
        let mut arrivals = self.arrivals.clone();
        let find = |arrivals: &Vec<Arrival>| {
            arrivals
                .iter()
                .find(|a| statuses.contains(&a.frame.status.as_str()))
                .cloned()
        };
        let waiting = arrivals.wait_for(|arrivals| find(arrivals).is_some());
        if let Ok(Ok(arrivals)) = tokio::time::timeout(bound, waiting).await {
            return find(&arrivals).context("a frame went missing");
        }
        let seen: Vec<String> = self
            .arrivals
            .borrow()
            .iter()
            .map(|arrival| format!("{} {}", arrival.frame.version, arrival.frame.status))
            .collect();
        bail!("no frame of {statuses:?} within {bound:?}, only {seen:?}")
    }

    /// The first frame of a status, if it came.
    pub fn first(&self, status: &str) -> Option<Arrival> {
        self.arrivals
            .borrow()
            .iter()
            .find(|arrival| arrival.frame.status == status)
            .cloned()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Subscriber {
    address: String,
    token: Token,
    order: Uuid,
    number: usize,
    journal: Journal,
    sender: watch::Sender<Vec<Arrival>>,
    patient: bool,
}

/// Why a connection ended.
enum End {
    /// It was lost, or could not be opened: worth another try.
    Lost,
    /// The server refused or ended the subscription.
    Over,
}

impl Subscriber {
    async fn run(self) {
        loop {
            let ended = match self.connect().await {
                Ok(line) => self.listen(line).await,
                Err(_) => End::Lost,
            };
            if matches!(ended, End::Over) {
                return;
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn connect(&self) -> anyhow::Result<Line> {
        let mut line = Line::open(&self.address, &self.token, GREETING).await?;
        let variables = json!({ "orderId": format!("order_{}", self.order) });
        line.subscribe("1", documents::ORDER_STATUS_CHANGED, &variables)
            .await?;
        Ok(line)
    }

    async fn listen(&self, mut line: Line) -> End {
        self.journal.connect(self.number);
        loop {
            let said = line.next().await;
            let at = Instant::now();
            let problem = match said {
                Said::Item(data) => match frame(&data["orderStatusChanged"]) {
                    Some(frame) => {
                        self.journal.receive(self.number, frame.clone());
                        self.sender
                            .send_modify(|all| all.push(Arrival { frame, at }));
                        continue;
                    }
                    None => data,
                },
                // A server that goes away may say so instead of just going.
                Said::Refused(errors, retryable) if retryable || self.is_early(&errors) => {
                    return End::Lost;
                }
                Said::Refused(errors, _) => errors,
                Said::Completed => return self.completed(),
                Said::Over(_) => return End::Lost,
            };
            self.journal.fail(self.number, problem.to_string());
            return End::Over;
        }
    }

    /// Whether the view is not there yet, for one who knows that there is such an order.
    fn is_early(&self, errors: &Value) -> bool {
        let mut errors = errors.as_array().into_iter().flatten();
        self.patient
            && self.sender.borrow().is_empty()
            && errors.any(|error| error["extensions"]["code"] == "NOT_FOUND")
    }

    /// A server may end the stream of an order that is final, and one that shuts down any stream.
    fn completed(&self) -> End {
        let newest = self
            .sender
            .borrow()
            .last()
            .map(|arrival| arrival.frame.status.clone());
        match newest.as_deref() {
            Some("DELIVERED" | "REJECTED" | "CANCELED") => End::Over,
            _ => End::Lost,
        }
    }
}

fn frame(change: &Value) -> Option<Frame> {
    let version = |value: &Value| u32::try_from(value.as_u64()?).ok();
    Some(Frame {
        version: version(&change["version"])?,
        previous: change["previousStatus"].as_str().map(str::to_owned),
        status: change["status"].as_str()?.to_owned(),
        order_version: version(&change["order"]["version"])?,
        order_status: change["order"]["status"].as_str()?.to_owned(),
    })
}
