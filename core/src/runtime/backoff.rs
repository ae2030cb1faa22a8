//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// The first wait of [`Backoff::new`].
const BASE: Duration = Duration::from_secs(1);
/// How often the wait doubles before it stays at the most.
const DOUBLINGS: u32 = 4;
/// The longest wait, in multiples of the first.
const MOST: u32 = 30;
/// How far a wait may be from its step, either way.
const JITTER: f64 = 0.2;

/// Waits of 1, 2, 4, 8 and 16 s, then 30 s each time; every one ±20 %, so that programs do not return in step.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    tries: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// Waits that begin at one second.
    pub const fn new() -> Self {
        Self::with_base(BASE)
    }

    /// Waits in the same steps from another first one: `base` times 1, 2, 4, 8, 16, then 30.
    pub const fn with_base(base: Duration) -> Self {
        Self { base, tries: 0 }
    }

    /// How long to wait now; the wait after it is longer.
    #[expect(
        clippy::should_implement_trait,
        reason = "waits do not end, and are not looped over"
    )]
    pub fn next(&mut self) -> Duration {
        let step = self.step();
        self.tries = self.tries.saturating_add(1);
        spread(step, fastrand::f64())
    }

    /// How many waits were asked for since the last success.
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    /// It worked: the next wait is the first one again.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }

    fn step(&self) -> Duration {
        let factor = if self.tries > DOUBLINGS {
            MOST
        } else {
            1 << self.tries
        };
        self.base.saturating_mul(factor)
    }
}

/// A wait of about this long: up to a fifth shorter or longer, as chance, from 0 to 1, will have it.
pub fn spread(wait: Duration, chance: f64) -> Duration {
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_then_stay() {
        let mut backoff = Backoff::new();
        let mut steps = Vec::new();
        for _ in 0..8 {
            steps.push(backoff.step().as_secs());
            backoff.next();
        }
        assert_eq!(steps, [1, 2, 4, 8, 16, 30, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.step(), BASE);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let base = Duration::from_millis(100);
        for _ in 0..1_000 {
            let wait = Backoff::with_base(base).next().as_secs_f64();
            assert!(
                (0.0799..=0.1201).contains(&wait),
                "{wait} s is not within 20 % of 0.1 s"
            );
        }
    }
}
