//! How much of the processor the host of this machine keeps for others. A virtual machine that is not let run is late with
//! everything, whatever its programs do: so bounds on them count the time that it was let run.

use std::time::{Duration, Instant};

/// The processor's time so far, in ticks, as `/proc/stat` counts it (proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    all: u64,
    withheld: u64,
}

/// Of user, nice, system, idle, iowait, irq, softirq and steal the last; what guests got is in the first.
const STEAL: usize = 7;

impl Ticks {
    /// As of now; `None` where the system does not tell.
    fn now() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    fn of(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line
            .split_whitespace()
            .map_while(|text| text.parse().ok())
            .collect();
        Some(Self {
            all: ticks.iter().take(STEAL + 1).sum(),
            withheld: *ticks.get(STEAL)?,
        })
    }

    /// How many percent of what this machine wanted, and had, since then was withheld.
    fn withheld_since(self, before: Self) -> f64 {
        let part = self.withheld.saturating_sub(before.withheld);
        let whole = self.all.saturating_sub(before.all);
        let of = |ticks: u64| u32::try_from(ticks).map_or(f64::MAX, f64::from);
        100.0 * of(part) / of(whole.max(1))
    }
}

/// Measures time, and how much of it the host withheld.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    began: Instant,
    ticks: Option<Ticks>,
}

impl Stopwatch {
    /// From now on.
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
            ticks: Ticks::now(),
        }
    }

    /// How long ago it was started.
    pub fn elapsed(self) -> Duration {
        self.began.elapsed()
    }

    /// How many percent of the processor the host withheld since; 0 where the system does not tell.
    pub fn withheld(self) -> f64 {
        let ticks = Ticks::now().zip(self.ticks);
        ticks.map_or(0.0, |(now, before)| now.withheld_since(before))
    }

    /// How much of the time since this machine was let run.
    pub fn granted(self) -> Duration {
        granted(self.elapsed(), self.withheld())
    }
}

fn granted(elapsed: Duration, withheld: f64) -> Duration {
    elapsed.mul_f64((1.0 - withheld / 100.0).clamp(0.0, 1.0))
}

/// The end of a wait. What the host withholds meanwhile does not count.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    watch: Stopwatch,
    bound: Duration,
}

impl Deadline {
    /// How many times as long as its bound a wait takes at most, whatever is withheld.
    const MOST: u32 = 10;

    /// The end of a wait that begins now.
    pub fn after(bound: Duration) -> Self {
        Self {
            watch: Stopwatch::start(),
            bound,
        }
    }

    /// Whether it is over.
    pub fn passed(self) -> bool {
        is_over(self.bound, self.watch.elapsed(), || self.watch.granted())
    }
}

fn is_over(bound: Duration, elapsed: Duration, granted: impl FnOnce() -> Duration) -> bool {
    elapsed > bound && (elapsed > bound * Deadline::MOST || granted() > bound)
}

/// What something comes to; `None` if it takes longer than a [`Deadline`] allows. It is dropped then.
pub async fn within<T>(bound: Duration, something: impl Future<Output = T>) -> Option<T> {
    const LOOK: Duration = Duration::from_millis(100);
    let over = async {
        let deadline = Deadline::after(bound);
        while !deadline.passed() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        come = something => Some(come),
        () = over => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_too_long_is_dropped() {
        let bound = Duration::from_millis(1);
        assert_eq!(within(bound, std::future::pending::<()>()).await, None);
        assert_eq!(within(bound, std::future::ready(7)).await, Some(7));
    }

    #[test]
    fn what_is_withheld_is_not_granted() {
        let second = Duration::from_secs(1);
        assert_eq!(granted(second, 75.0), Duration::from_millis(250));
        assert_eq!(granted(second, 0.0), second);
        assert_eq!(granted(second, 101.0), Duration::ZERO);
    }

    #[test]
    fn a_wait_is_longer_by_what_is_withheld_and_ends_all_the_same() {
        let seconds = Duration::from_secs;
        for (elapsed, granted, expected) in [(9, 9, false), (11, 11, true), (99, 9, false)] {
            let over = is_over(seconds(10), seconds(elapsed), || seconds(granted));
            assert_eq!(over, expected, "{granted} s of {elapsed}");
        }
        assert!(is_over(seconds(10), seconds(101), || Duration::ZERO));
    }

    #[test]
    fn what_is_withheld_is_a_share_of_the_time_since() {
        let before = Ticks::of("cpu  100 0 50 800 10 0 5 35 0 0\ncpu0 1 2 3").expect("ticks");
        let after = Ticks::of("cpu  130 0 60 810 10 0 5 85 7 0").expect("ticks");
        assert_eq!(
            before,
            Ticks {
                all: 1_000,
                withheld: 35
            }
        );
        assert!((after.withheld_since(before) - 50.0).abs() < 0.01);
        assert!(before.withheld_since(before).abs() < f64::EPSILON);
        assert_eq!(Ticks::of("intr 1"), None);
    }
}
