//! What the subscribers of one process got.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{bail, ensure};
use tokio::sync::Notify;

use crate::clock;
use crate::talk::Wave;

/// Counts frames.
#[derive(Debug)]
pub struct Tally {
    counts: Mutex<Counts>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    /// How many each subscriber got in this wave.
    of: Vec<u32>,
    arrivals: Vec<u64>,
    bytes: usize,
    sample: String,
    failure: Option<String>,
}

impl Tally {
    /// For so many subscribers.
    pub fn new(subscribers: usize) -> Self {
        let counts = Counts {
            of: vec![0; subscribers],
            arrivals: Vec::with_capacity(subscribers),
            ..Counts::default()
        };
        Self {
            counts: Mutex::new(counts),
            news: Notify::new(),
        }
    }

    /// Notes a frame.
    pub fn arrive(&self, subscriber: usize, payload: &[u8]) {
        let mut counts = self.lock();
        counts.arrivals.push(clock::now());
        counts.bytes += payload.len();
        if let Some(count) = counts.of.get_mut(subscriber) {
            *count += 1;
        }
        if subscriber == 0 {
            counts.sample = String::from_utf8_lossy(payload).into_owned();
        }
        if counts.arrivals.len() == counts.of.len() {
            self.news.notify_one();
        }
    }

    /// Notes that a subscriber can not go on.
    pub fn fail(&self, subscriber: usize, error: &anyhow::Error) {
        let mut counts = self.lock();
        let problem = format!("subscriber {subscriber}: {error:#}");
        counts.failure.get_or_insert(problem);
        self.news.notify_one();
    }

    /// Begins a wave.
    pub fn begin(&self) -> anyhow::Result<()> {
        let counts = self.lock();
        let early = counts.arrivals.len();
        ensure!(early == 0, "{early} frames came that nobody published");
        Ok(())
    }

    /// Waits until each subscriber got one frame.
    pub async fn wave(&self) -> anyhow::Result<Wave> {
        loop {
            if let Some(wave) = self.lock().take()? {
                return Ok(wave);
            }
            self.news.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The wave, if it is whole.
    fn take(&mut self) -> anyhow::Result<Option<Wave>> {
        if let Some(failure) = &self.failure {
            bail!("{failure}");
        }
        let frames = self.arrivals.len();
        if frames < self.of.len() {
            return Ok(None);
        }
        if let Some(other) = self.of.iter().position(|count| *count != 1) {
            bail!("subscriber {other} got {} frames", self.of[other]);
        }
        // They are in order: one thread notes them.
        let (first, last) = (self.arrivals.first(), self.arrivals.last());
        let wave = Wave {
            frames,
            first: first.copied().unwrap_or_default(),
            median: self.arrivals.get(frames / 2).copied().unwrap_or_default(),
            last: last.copied().unwrap_or_default(),
            bytes: std::mem::take(&mut self.bytes),
            sample: std::mem::take(&mut self.sample),
        };
        self.arrivals.clear();
        self.of.fill(0);
        Ok(Some(wave))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wave_is_one_frame_for_each() {
        let tally = Tally::new(2);
        for _ in 0..2 {
            tally.begin().expect("nothing came");
            tally.arrive(1, b"two");
            tally.arrive(0, b"one");
            let wave = tally.wave().await.expect("whole");
            assert_eq!(
                (wave.frames, wave.bytes, wave.sample.as_str()),
                (2, 6, "one")
            );
            assert!(wave.first <= wave.median && wave.median <= wave.last);
        }
    }

    #[tokio::test]
    async fn two_frames_for_one_and_none_for_another_are_no_wave() {
        let tally = Tally::new(2);
        tally.arrive(1, b"");
        assert!(tally.begin().is_err());
        tally.arrive(1, b"");
        assert!(tally.wave().await.is_err());
    }

    #[tokio::test]
    async fn a_subscriber_that_fails_ends_the_wave() {
        let tally = Tally::new(2);
        tally.fail(1, &anyhow::anyhow!("closed"));
        assert!(tally.wave().await.is_err());
    }
}
