//! How much one statement may hold.

/// Placeholders of a prepared statement, at most: `MySQL` counts them with 16 bits (error 1390 beyond); some are kept back.
const PLACEHOLDERS: usize = 60_000;

/// Cuts rows into parts that fit into one statement each.
///
/// In: the rows; how many placeholders each of them takes.
pub(super) fn parts<R>(rows: &[R], columns: usize) -> impl Iterator<Item = &[R]> {
    rows.chunks(PLACEHOLDERS / columns)
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
}
