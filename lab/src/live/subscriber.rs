//! A subscriber that comes back to the next copy when its connection is lost, and goes on after its last cursor.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::board::{Board, Ending, Item, Topic, Why};
use super::pass::{Pass, until};
use crate::client::{Line, Said};
use crate::clock::now_ms;
use crate::programs::Programs;

const ORDER: &str = "subscription($orderId: ID!, $after: String) { \
     orderStatusChanged(orderId: $orderId, after: $after) { orderId version status at kind cursor } }";
const FEED: &str = "subscription($after: String) { orderUpdates(after: $after) { \
     kind cursor since change { orderId version status at } } }";

/// How long a server may take to greet: thousands may be coming back at once.
pub const GREETING: Duration = Duration::from_secs(10);
/// The pause before a client comes back, in milliseconds: chosen by chance, so that not all come in the same moment.
const BACK_OFF: std::ops::RangeInclusive<u64> = 50..=500;
/// The longest it grows to.
const BACK_OFF_MOST: Duration = Duration::from_secs(2);

/// The copies that subscribers may connect to.
#[derive(Debug, Clone)]
pub struct Doors {
    addresses: Arc<[SocketAddr]>,
    turn: Arc<AtomicUsize>,
}

impl Doors {
    /// The doors of programs.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn of(programs: &Programs, labels: &[&str]) -> anyhow::Result<Self> {
        let address = |label: &&str| {
            let address = programs.door(label);
            address.with_context(|| format!("there is no door of {label}"))
        };
        Ok(Self {
            addresses: labels.iter().map(address).collect::<Result<_, _>>()?,
            turn: Arc::default(),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Which one is next in turn.
    fn next(&self) -> usize {
        self.turn.fetch_add(1, Ordering::SeqCst) % self.len()
    }
}

/// How a subscriber behaves.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Whether it passes the cursor of its last item when it comes back.
    pub resumes: bool,
    /// How long it stays away after a connection was lost; at once, but for the back-off, if there is none.
    pub rest: Option<Duration>,
    /// Whether it comes back at all.
    pub comes_back: bool,
}

/// A subscriber.
#[derive(Debug)]
pub struct Subscriber {
    /// Its number on the board.
    pub number: usize,
    /// What it subscribes to.
    pub topic: Topic,
    /// What it shows to say who it is.
    pub pass: Pass,
    /// Which copy it connects to first.
    pub first: usize,
    /// How it behaves.
    pub manner: Manner,
    /// Where it may go.
    pub doors: Doors,
    /// Where it writes what it is told.
    pub board: Board,
}

/// Why a connection ended.
enum End {
    /// It was lost, or the server said goodbye.
    Lost(Option<u16>),
    /// It could not be opened, or the server asked to come back later.
    NotNow,
    /// The server refused or ended the subscription for good.
    Over,
}

/// What an item says.
struct Heard {
    why: Why,
    /// Nothing where a feed begins.
    item: Option<Item>,
    cursor: String,
}

impl Subscriber {
    /// Listens until the end of the stream, or until it is aborted. The gate lets only so many connect at once at first.
    pub async fn run(self, gate: Arc<Semaphore>) {
        let mut place = gate.acquire_owned().await.ok();
        let (mut copy, mut cursor, mut tries) = (self.first, None, 0);
        loop {
            let end = match self.connect(copy, cursor.as_deref()).await {
                Ok(line) => {
                    drop(place.take());
                    self.board.place(self.number, Some(copy));
                    self.listen(line, &mut cursor, &mut tries).await
                }
                Err(_) => End::NotNow,
            };
            let mut pause = back_off(tries);
            match end {
                End::Lost(code) => {
                    let at = Instant::now();
                    let subscriber = self.number;
                    self.board.lose(Ending {
                        subscriber,
                        copy,
                        at,
                        code,
                    });
                    if !self.manner.comes_back {
                        return;
                    }
                    pause = self.manner.rest.unwrap_or(pause);
                }
                End::NotNow => {
                    self.board.place(self.number, None);
                    self.board.fail();
                    tries += 1;
                }
                End::Over => return self.board.place(self.number, None),
            }
            tokio::time::sleep(pause).await;
            copy = self.doors.next();
        }
    }

    async fn connect(&self, copy: usize, cursor: Option<&str>) -> anyhow::Result<Line> {
        let address = self.doors.addresses.get(copy).context("no such copy")?;
        let token = self.pass.token()?;
        let mut line = Line::open(&address.to_string(), &token, GREETING).await?;
        let after = cursor.filter(|_| self.manner.resumes);
        let (query, variables) = match self.topic {
            Topic::Order(order) => {
                let variables = json!({ "orderId": format!("order_{order}"), "after": after });
                (ORDER, variables)
            }
            Topic::Feed => (FEED, json!({ "after": after })),
        };
        line.subscribe("1", query, &variables).await?;
        Ok(line)
    }

    async fn listen(&self, mut line: Line, cursor: &mut Option<String>, tries: &mut u32) -> End {
        let mut next = self.pass.next();
        loop {
            let said = tokio::select! {
                said = line.next() => said,
                () = until(next) => {
                    next = self.pass.next();
                    match self.show(&mut line).await {
                        Ok(()) => continue,
                        Err(_) => return End::Lost(None),
                    }
                }
            };
            let data = match said {
                Said::Item(data) => data,
                Said::Over(code) => return End::Lost(code),
                Said::Refused(_, true) => return End::NotNow,
                Said::Refused(errors, false) => return self.over(&format!("refused: {errors}")),
                Said::Completed => return self.over("completed, though nothing was deleted"),
            };
            let Some(heard) = self.read(&data) else {
                return self.over(&format!("was told {data}"));
            };
            if heard.why == Why::Resync {
                let problem = format!("subscriber {} had to begin anew: {data}", self.number);
                self.board.wonder(problem);
            }
            self.board.tell(self.number, heard.item);
            *cursor = Some(heard.cursor);
            *tries = 0;
        }
    }

    /// Shows another token over the open connection.
    async fn show(&self, line: &mut Line) -> anyhow::Result<()> {
        line.show(&self.pass.token()?).await?;
        self.board.renew();
        Ok(())
    }

    fn over(&self, problem: &str) -> End {
        let (number, topic) = (self.number, self.topic);
        self.board
            .wonder(format!("subscriber {number} of {topic:?}: {problem}"));
        End::Over
    }

    /// What an item says; `None` if it is not what was subscribed to.
    fn read(&self, data: &Value) -> Option<Heard> {
        let (item, change) = match self.topic {
            Topic::Order(_) => (&data["orderStatusChanged"], &data["orderStatusChanged"]),
            Topic::Feed => (&data["orderUpdates"], &data["orderUpdates"]["change"]),
        };
        let (why, cursor) = (why(&item["kind"])?, item["cursor"].as_str()?.to_owned());
        let item = match self.topic {
            Topic::Feed if change.is_null() => None,
            _ => Some(told(change, why)?),
        };
        let meant = match (self.topic, &item) {
            (Topic::Order(order), Some(item)) => item.order == order,
            (Topic::Feed, Some(_)) => true,
            (_, None) => matches!(why, Why::Beginning | Why::Resync),
        };
        meant.then_some(Heard { why, item, cursor })
    }
}

/// The pause before a try that follows so many in vain.
fn back_off(tries: u32) -> Duration {
    let pause = Duration::from_millis(fastrand::u64(BACK_OFF));
    (pause * 2_u32.pow(tries.min(5))).min(BACK_OFF_MOST)
}

fn why(kind: &Value) -> Option<Why> {
    match kind.as_str()? {
        "BEGIN" | "SNAPSHOT" => Some(Why::Beginning),
        "MISSED" => Some(Why::Missed),
        "LIVE" => Some(Why::Live),
        "RESYNC" => Some(Why::Resync),
        _ => None,
    }
}

fn told(change: &Value, why: Why) -> Option<Item> {
    let order = change["orderId"].as_str()?.strip_prefix("order_")?;
    let at = OffsetDateTime::parse(change["at"].as_str()?, &Rfc3339).ok()?;
    let at_ms = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()?;
    Some(Item {
        order: Uuid::try_parse(order).ok()?,
        version: u32::try_from(change["version"].as_u64()?).ok()?,
        status: change["status"].as_str()?.to_owned(),
        why,
        at: Instant::now(),
        delay_ms: now_ms() - at_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_grows_to_its_bound() {
        assert!((50..=500).contains(&back_off(0).as_millis()));
        assert!(back_off(3).as_millis() >= 400);
        assert!((1_600..=2_000).contains(&back_off(40).as_millis()));
    }
}
