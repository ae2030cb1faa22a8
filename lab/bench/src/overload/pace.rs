//! How fast the machine is meanwhile. What it runs on may be shared with others or slowed down, by half within minutes, and what is
//! measured one after the other can not be compared then unless that is known.
//!
//! Where there is little to do it comes out a tenth lower: who wakes from idleness finds everything cold. So only loads of a kind are
//! compared by it, full with full and calm with calm.

use std::hint::black_box;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;

use crate::clock::thread_cpu;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(250);
/// How often a look sorts.
const ROUNDS: usize = 4;
/// How many numbers: they fit into the first cache, so that little of it is what else runs on the processor.
const NUMBERS: usize = 4_096;

/// A thread that does the same work again and again.
#[derive(Debug)]
pub(super) struct Pace {
    stop: Sender<()>,
    thread: JoinHandle<f64>,
}

impl Pace {
    /// Looks from now on.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn begin() -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("pace".to_owned());
        let thread = thread.spawn(move || {
            let (mut sum, mut looks) = (0.0, 0.0);
            loop {
                sum += 1.0 / look().as_secs_f64().max(f64::MIN_POSITIVE);
                looks += 1.0;
                if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return sum / looks;
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Stops, and returns how often the work could have been done in a second of processor time, in the mean of all looks.
    ///
    /// # Errors
    /// If the thread has ended before.
    pub fn end(self) -> anyhow::Result<f64> {
        drop(self.stop);
        self.thread.join().ok().context("nobody looks at the pace")
    }
}

/// The processor time that the work takes.
fn look() -> Duration {
    let begun = thread_cpu();
    let mut rng = Rng::with_seed(1);
    for _ in 0..ROUNDS {
        let mut numbers: Vec<u32> = (0..NUMBERS).map(|_| rng.u32(..)).collect();
        numbers.sort_unstable();
        black_box(&numbers);
    }
    thread_cpu().saturating_sub(begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_how_often_the_work_could_be_done_in_a_second() {
        let pace = Pace::begin().and_then(Pace::end).expect("a pace");
        let (least, most) = (
            1.0,
            1e9 / f64::from(u16::try_from(ROUNDS * NUMBERS).expect("few")),
        );
        assert!((least..most).contains(&pace), "{pace}");
    }
}
