//! Shares of measured values.

/// The smallest value that this share of all does not exceed; the smallest of all for 0. `None` if there are none.
pub fn percentile<T: Copy + Ord>(values: &[T], percent: usize) -> Option<T> {
    let mut values = values.to_vec();
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied()
}

/// The share of a whole, in percent.
pub fn percent(part: usize, whole: usize) -> f64 {
    let of = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    100.0 * of(part) / of(whole.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<i64> = (1..=200).rev().collect();
        let found = [0, 50, 99, 100].map(|percent| percentile(&values, percent));
        assert_eq!(found, [Some(1), Some(100), Some(198), Some(200)]);
        assert_eq!(percentile::<i64>(&[], 50), None);
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert!((percent(1, 4) - 25.0).abs() < f64::EPSILON);
        assert!(percent(0, 0).abs() < f64::EPSILON);
    }
}
