//! A client that asks for everything and reads nothing.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use serde_json::json;

use super::subscriber::GREETING;
use crate::client::{Line, Token};

/// How many times it asks for everything.
const FEEDS: usize = 50;
/// What the system takes in for it.
const BUFFER: u32 = 4 * 1024;
/// Everything, and a long text ten times: buffers are filled by few answers, which cost the server little work.
const EVERYTHING: &str = "subscription { orderUpdates { kind cursor since change { \
     orderId version previousStatus status at reason kind cursor order { \
     id version status createdAt updatedAt customerId customerName nextStatuses total { amount currencyCode } \
     customer { id version name email createdAt updatedAt } \
     items { productId productName quantity unitPrice { amount currencyCode } lineTotal { amount currencyCode } \
     product { id version name price { amount currencyCode } stock { version onHand reserved available } \
     a: description b: description c: description d: description e: description \
     f: description g: description h: description i: description j: description } } \
     timeline { version at from to actor reason } payments { amount { amount currencyCode } method recordedAt reference state } \
     shortages { productId requested available } } } } }";

/// Such a client. It is gone when this is dropped.
#[derive(Debug)]
pub struct Deaf {
    _line: Line,
}

impl Deaf {
    /// Connects and asks for everything, and does not read from then on.
    ///
    /// # Errors
    /// If the server does not take it.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let token = Token::staff()?;
        let mut line = Line::open_narrow(address, &token, GREETING, BUFFER).await?;
        for number in 0..FEEDS {
            let id = number.to_string();
            line.subscribe(&id, EVERYTHING, &json!({})).await?;
        }
        Ok(Self { _line: line })
    }
}

/// How many sockets a copy of the API has ended so far since what was sent was not read.
///
/// # Errors
/// If it does not tell.
pub async fn ended_as_slow(address: SocketAddr) -> anyhow::Result<u64> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{address}/metrics");
    let answer = http.get(url).send().await.context("no metrics")?;
    ensure!(answer.status().is_success(), "no metrics");
    Ok(count(&answer.text().await?))
}

fn count(metrics: &str) -> u64 {
    let lines = metrics.lines().filter(|line| {
        line.starts_with("live_endings_total{") && line.contains(r#"reason="slow""#)
    });
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn endings_of_slow_clients_are_added_up() {
        let metrics = "# TYPE live_endings_total counter\n\
             live_endings_total{transport=\"graphql-ws\",reason=\"slow\"} 2\n\
             live_endings_total{transport=\"graphql-transport-ws\",reason=\"slow\"} 3\n\
             live_endings_total{transport=\"graphql-transport-ws\",reason=\"left\"} 9\n";
        assert_eq!(count(metrics), 5);
        assert_eq!(count(""), 0);
    }
}
