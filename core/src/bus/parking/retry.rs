//! When a record that failed is tried again, and when it is given up. Pure.

use std::time::Duration;

/// How often a record that failed is tried again.
const TRIES: u32 = 5;

/// The waits of a record that failed: each twice the one before, five of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The first wait.
    pub first_wait: Duration,
    /// What all waits together take at most.
    pub max_elapsed: Duration,
}

impl Retry {
    /// How long to wait for the next try after so many in vain; `None` if the record is given up.
    pub fn wait(self, tries: u32) -> Option<Duration> {
        if tries >= TRIES {
            return None;
        }
        let wait = self.first_wait.saturating_mul(1 << tries);
        // 1 + 2 + 4 + … is one less than the double of the last.
        let elapsed = wait.saturating_mul(2).saturating_sub(self.first_wait);
        (elapsed <= self.max_elapsed).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(first: u64, most: u64) -> Vec<u64> {
        let retry = Retry {
            first_wait: Duration::from_secs(first),
            max_elapsed: Duration::from_secs(most),
        };
        (0..)
            .map_while(|tries| retry.wait(tries))
            .map(|wait| wait.as_secs())
            .collect()
    }

    #[test]
    fn five_waits_double_and_stay_within_the_most() {
        assert_eq!(waits(1, 300), [1, 2, 4, 8, 16]);
        assert_eq!(waits(1, 31), [1, 2, 4, 8, 16]);
        assert_eq!(waits(1, 30), [1, 2, 4, 8]);
        assert_eq!(waits(60, 300), [60, 120]);
        assert_eq!(waits(60, 59), [0_u64; 0]);
    }
}
