//! A subscriber of one order over `graphql-transport-ws`, that connects again when its connection is lost.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use super::{Journal, documents};
use crate::check::evidence::Frame;

const PROTOCOL: &str = "graphql-transport-ws";
/// How long a server may take to greet.
const GREETING: Duration = Duration::from_secs(5);
/// The pause before connecting again.
const RECONNECT: Duration = Duration::from_millis(200);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

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
    /// Subscribes to an order; returns at once, frames come when they come.
    ///
    /// A patient one asks again for an order whose view is not there yet: it knows that there is such an order.
    pub fn open(url: &str, order: Uuid, journal: &Journal, patient: bool) -> Self {
        let (sender, arrivals) = watch::channel(Vec::new());
        let number = journal.watch(order);
        let subscriber = Subscriber {
            url: url.to_owned(),
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
    url: String,
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
                Ok(socket) => self.listen(socket).await,
                Err(_) => End::Lost,
            };
            if matches!(ended, End::Over) {
                return;
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn connect(&self) -> anyhow::Result<Socket> {
        let mut request = self.url.as_str().into_client_request()?;
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", HeaderValue::from_static(PROTOCOL));
        let (mut socket, _) = tokio::time::timeout(GREETING, connect_async(request)).await??;
        socket
            .send(text(&json!({ "type": "connection_init" })))
            .await?;
        loop {
            let message = tokio::time::timeout(GREETING, socket.next()).await?;
            let message = message.context("closed before connection_ack")??;
            match kind(&parse(&message)) {
                "connection_ack" => break,
                "ping" => socket.send(text(&json!({ "type": "pong" }))).await?,
                _ => {}
            }
        }
        let subscribe = json!({
            "id": "1",
            "type": "subscribe",
            "payload": {
                "query": documents::ORDER_STATUS_CHANGED,
                "variables": { "orderId": format!("order_{}", self.order) },
            },
        });
        socket.send(text(&subscribe)).await?;
        Ok(socket)
    }

    async fn listen(&self, mut socket: Socket) -> End {
        self.journal.connect(self.number);
        while let Some(Ok(message)) = socket.next().await {
            let at = Instant::now();
            let message = parse(&message);
            match kind(&message) {
                "next" => {
                    let change = &message["payload"]["data"]["orderStatusChanged"];
                    match frame(change) {
                        Some(frame) => {
                            self.journal.receive(self.number, frame.clone());
                            self.sender
                                .send_modify(|all| all.push(Arrival { frame, at }));
                        }
                        // A server that goes away may say so instead of just going.
                        None if self.asks_again(&message["payload"]) => return End::Lost,
                        None => {
                            self.journal
                                .fail(self.number, message["payload"].to_string());
                            return End::Over;
                        }
                    }
                }
                "error" => {
                    if self.asks_again(&json!({ "errors": message["payload"] })) {
                        return End::Lost;
                    }
                    self.journal
                        .fail(self.number, message["payload"].to_string());
                    return End::Over;
                }
                "complete" => return self.completed(),
                "ping" if socket.send(text(&json!({ "type": "pong" }))).await.is_err() => break,
                _ => {}
            }
        }
        End::Lost
    }

    /// Whether the server asks to try again, since its store is away or it is shutting down; or the view is not there yet.
    fn asks_again(&self, payload: &Value) -> bool {
        let not_yet = self.patient && self.sender.borrow().is_empty();
        let mut errors = payload["errors"].as_array().into_iter().flatten();
        errors.any(|error| {
            let about = &error["extensions"];
            about["retryable"] == true || (not_yet && about["code"] == "NOT_FOUND")
        })
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

fn text(value: &Value) -> Message {
    Message::text(value.to_string())
}

fn parse(message: &Message) -> Value {
    message
        .to_text()
        .ok()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

fn kind(message: &Value) -> &str {
    message["type"].as_str().unwrap_or_default()
}
