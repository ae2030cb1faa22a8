//! How much memory a program has in use, as time goes by.

use std::convert::Infallible;
use std::time::Duration;

use crate::programs::Programs;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(200);

/// Looks again and again, until it is dropped.
pub async fn watch(programs: &Programs, label: &str, samples: &mut Vec<u64>) -> Infallible {
    let mut next = tokio::time::interval(EVERY);
    loop {
        next.tick().await;
        samples.extend(programs.resident_kib(label));
    }
}

/// The most in the first third of the samples, and in the last.
pub fn first_and_last(samples: &[u64]) -> (u64, u64) {
    let third = samples.len().div_ceil(3);
    let most = |samples: &[u64]| samples.iter().copied().max().unwrap_or_default();
    let last = &samples[samples.len() - third..];
    (most(&samples[..third]), most(last))
}

#[cfg(test)]
mod tests {
    use super::first_and_last;

    #[test]
    fn the_most_of_the_first_third_and_of_the_last() {
        assert_eq!(first_and_last(&[1, 3, 9, 9, 5, 4]), (3, 5));
        assert_eq!(first_and_last(&[7]), (7, 7));
        assert_eq!(first_and_last(&[]), (0, 0));
    }
}
