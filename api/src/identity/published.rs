//! Keys that somebody else publishes: read at the beginning, every few minutes, and when a token names one that is not known.
//!
//! One task reads them. While they can not be read the last ones hold; a set that was read and has none withdraws them all.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::FutureExt as _;
use shop_core::runtime::backoff::Backoff;
use shop_core::runtime::settings::KeySource;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::keys::KeySet;

/// How often they are read though nobody asks.
const EVERY: Duration = Duration::from_mins(5);
/// The least time between two readings once one went well, whether or not they do: who makes up keys must not make us ask for each.
const APART: Duration = Duration::from_secs(10);
/// How long a token with an unknown key waits for a reading.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a reading may take.
const READS_WITHIN: Duration = Duration::from_secs(5);
/// The wait after the first reading that fails; it grows. Once a reading went well, it counts from where it is longer than [`APART`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a set, at most.
const MOST_BYTES: usize = 256 * 1024;

/// The keys as they were last read. Clones share them.
#[derive(Clone)]
pub struct Published(Arc<Shared>);

struct Shared {
    source: KeySource,
    /// `None` until they were read.
    keys: RwLock<Option<Arc<KeySet>>>,
    wanted: Notify,
    /// When they were last read, whether or not that went well.
    tried: watch::Sender<Option<Instant>>,
}

impl Published {
    /// Those of a source, which nobody has read yet.
    pub fn new(source: KeySource) -> Self {
        Self(Arc::new(Shared {
            source,
            keys: RwLock::default(),
            wanted: Notify::new(),
            tried: watch::Sender::new(None),
        }))
    }

    /// The keys; `None` if they could not be read yet.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        let keys = self.0.keys.read();
        keys.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has them read, unless that was done a moment ago, and waits for it, within bounds.
    pub async fn renew(&self) {
        let mut tried = self.0.tried.subscribe();
        let last = *tried.borrow_and_update();
        if last.is_some_and(|last| last.elapsed() < APART) {
            return;
        }
        self.0.wanted.notify_one();
        let _ = timeout(PATIENCE, tried.changed()).await; // without them the token's key stays unknown
    }

    /// Reads them for as long as the program runs. Nobody else does, so there is always [`APART`] between two readings, or the
    /// back-off's wait until the first went well.
    pub async fn run(&self) {
        let mut backoff = Backoff::with_base(FIRST_WAIT);
        loop {
            let wait = match caught(self.read()).await {
                Ok(keys) => {
                    backoff.reset();
                    self.put(keys);
                    EVERY
                }
                Err(error) => {
                    tracing::warn!("the keys of tokens can not be read: {error:#}");
                    backoff.next()
                }
            };
            self.0.tried.send_replace(Some(Instant::now()));
            // Who asked while they were read has been served.
            let _ = self.0.wanted.notified().now_or_never();
            // Until they were read once nobody is let in: what keeps the readings apart then is the back-off alone.
            let apart = self.keys().map_or(wait.min(APART), |_| APART);
            sleep(apart).await;
            tokio::select! {
                () = sleep(wait.saturating_sub(apart)) => {}
                () = self.0.wanted.notified() => {}
            }
        }
    }

    fn put(&self, keys: KeySet) {
        let count = keys.len();
        let mut held = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        let before = held.replace(Arc::new(keys)).map(|keys| keys.len());
        drop(held);
        if before != Some(count) {
            tracing::info!(count, "the keys of tokens were read");
        }
    }

    async fn read(&self) -> anyhow::Result<KeySet> {
        let reading = async {
            match &self.0.source {
                KeySource::None => Ok(Vec::new()),
                KeySource::File(path) => {
                    let text = tokio::fs::read(path).await;
                    text.with_context(|| format!("failed to read {}", path.display()))
                }
                KeySource::Address(address) => fetch(address).await,
            }
        };
        let text = timeout(READS_WITHIN, reading).await;
        let text = text.context("there was no answer in time")??;
        ensure!(
            text.len() <= MOST_BYTES,
            "the set has more than {MOST_BYTES} bytes"
        );
        KeySet::read(&text).context("it is no JSON Web Key Set")
    }
}

/// A reading that panics is one that failed: there will be others.
async fn caught<T>(reading: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    match AssertUnwindSafe(reading).catch_unwind().await {
        Ok(read) => read,
        Err(_panic) => {
            tracing::error!("the reading of the keys of tokens panicked");
            bail!("the reading panicked")
        }
    }
}

/// Where the answer leads elsewhere it is not followed: only this address is trusted.
async fn fetch(address: &str) -> anyhow::Result<Vec<u8>> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .context("failed to make a client")?;
    let answer = client.get(address).send().await;
    let mut answer = answer.with_context(|| format!("failed to ask {address}"))?;
    ensure!(
        answer.status() == 200,
        "{address} answered {}",
        answer.status()
    );
    let mut text = Vec::new();
    while let Some(part) = answer.chunk().await.context("the answer broke off")? {
        text.extend_from_slice(&part);
        ensure!(
            text.len() <= MOST_BYTES,
            "the set has more than {MOST_BYTES} bytes"
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    fn nowhere() -> Published {
        Published::new(KeySource::File("/nowhere/keys.json".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_and_whatever_fails_two_readings_are_ten_seconds_apart() {
        let published = nowhere();
        published.put(KeySet::default()); // they were read once
        let mut tried = published.0.tried.subscribe();
        let reading = published.clone();
        tokio::spawn(async move { reading.run().await });
        for asks in 0..20 {
            let published = published.clone();
            tokio::spawn(async move {
                loop {
                    published.renew().await;
                    sleep(Duration::from_millis(100 + asks)).await;
                }
            });
        }
        let mut last: Option<Instant> = None;
        for _ in 0..10 {
            tried.changed().await.expect("it is read on");
            let now = Instant::now();
            assert!(last.is_none_or(|last| now - last >= APART));
            assert!(
                last.is_none_or(|last| now - last < APART * 2),
                "somebody asks"
            );
            last = Some(now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn until_they_were_read_once_the_pause_grows_and_nobody_shortens_it() {
        let published = nowhere();
        let mut tried = published.0.tried.subscribe();
        let reading = published.clone();
        tokio::spawn(async move { reading.run().await });
        let asking = published.clone();
        tokio::spawn(async move {
            loop {
                asking.renew().await;
                sleep(Duration::from_millis(100)).await;
            }
        });
        tried.changed().await.expect("it is tried");
        let mut last = Instant::now();
        for seconds in [1.0, 2.0, 4.0, 8.0] {
            tried.changed().await.expect("it is tried again");
            let pause = (Instant::now() - last).as_secs_f64();
            assert!((0.79..1.21).contains(&(pause / seconds)), "{pause} s");
            last = Instant::now();
        }
    }

    #[tokio::test]
    async fn a_reading_that_panics_is_one_that_failed() {
        let panics =
            std::future::poll_fn(|_| -> Poll<anyhow::Result<()>> { panic!("as a mistake would") });
        assert!(caught(panics).await.is_err());
        assert_eq!(caught(async { Ok(7) }).await.expect("it went well"), 7);
    }
}
