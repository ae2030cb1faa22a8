//! Ten thousand subscribers that note when each frame comes, and do nothing else with it.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

use super::connection::Connection;
use super::tally::Tally;
use crate::talk::{self, Answer, Ask, Open};

/// Subscribers that are opened at once.
const OPENING: usize = 64;

/// Does what the director asks for until it is gone.
pub async fn run() -> anyhow::Result<()> {
    let mut asks = BufReader::new(tokio::io::stdin()).lines();
    let Some(Ask::Open(open)) = next(&mut asks).await? else {
        bail!("expected to be told what to open");
    };
    let tally = Arc::new(Tally::new(open.subscribers));
    let first = tokio::select! {
        first = open_all(&open, &tally) => first?,
        _ = asks.next_line() => return Ok(()), // the director gave up
    };
    talk::answer(&Answer::Opened(first))?;
    while let Some(ask) = next(&mut asks).await? {
        let Ask::Count = ask else {
            bail!("clients only count");
        };
        tally.begin()?;
        talk::answer(&Answer::Counting)?;
        let wave = tokio::select! {
            wave = tally.wave() => wave?,
            _ = asks.next_line() => return Ok(()),
        };
        talk::answer(&Answer::Wave(wave))?;
    }
    Ok(())
}

/// Opens every subscriber. Out: the first one's first item.
async fn open_all(open: &Open, tally: &Arc<Tally>) -> anyhow::Result<Option<String>> {
    let opened = stream::iter(0..open.subscribers)
        .map(async |number| {
            let opened = Connection::open(open, number).await;
            let opened = opened.with_context(|| format!("failed to open subscriber {number}"));
            opened.map(|(connection, item)| (number, connection, item))
        })
        .buffer_unordered(OPENING);
    opened
        .try_fold(None, async |first, (number, connection, item)| {
            let tally = Arc::clone(tally);
            tokio::spawn(async move {
                let error = connection.listen(number, &tally).await;
                tally.fail(number, &error);
            });
            Ok(if number == 0 { item } else { first })
        })
        .await
}

async fn next(asks: &mut Lines<BufReader<Stdin>>) -> anyhow::Result<Option<Ask>> {
    let line = asks.next_line().await?;
    line.map(|line| serde_json::from_str(&line).context("the director says something else"))
        .transpose()
}
