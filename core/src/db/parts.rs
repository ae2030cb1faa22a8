//! How much one statement may hold.

use crate::domain::limits::BATCH_BYTES;

/// Placeholders of a prepared statement, at most: `MySQL` counts them with 16 bits (error 1390 beyond); some are kept back.
const PLACEHOLDERS: usize = 60_000;

/// Cuts rows into parts that fit into one statement each.
///
/// In: the rows; how many placeholders each of them takes.
pub(super) fn parts<R>(rows: &[R], columns: usize) -> impl Iterator<Item = &[R]> {
    rows.chunks(PLACEHOLDERS / columns)
}

/// How many of the first rows come to no more than [`BATCH_BYTES`] together, each of so many bytes; one at least, if there is one.
pub(super) fn fitting(bytes: impl IntoIterator<Item = usize>) -> usize {
    let mut sum = 0_usize;
    bytes
        .into_iter()
        .enumerate()
        .take_while(|(place, bytes)| {
            sum = sum.saturating_add(*bytes);
            *place == 0 || sum <= BATCH_BYTES
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_has_too_many_placeholders_and_nothing_is_left_out() {
        let rows: Vec<u32> = (0..100_000).collect();
        let cut: Vec<&[u32]> = parts(&rows, 9).collect();
        assert!(cut.iter().all(|part| part.len() * 9 <= PLACEHOLDERS));
        assert_eq!(cut.concat(), rows);
    }

    #[test]
    fn what_fits_is_a_beginning_of_at_least_one() {
        assert_eq!(fitting([]), 0);
        assert_eq!(fitting([usize::MAX, 1]), 1);
        assert_eq!(fitting([1, BATCH_BYTES - 1, 1]), 2);
        assert_eq!(fitting([1, BATCH_BYTES, 0]), 1);
    }
}
