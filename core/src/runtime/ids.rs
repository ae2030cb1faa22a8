//! The only maker of ids.

use uuid::Uuid;

/// A fresh `UUIDv7`: greater than every one this process made before, close to the others in an index.
#[expect(clippy::disallowed_methods, reason = "the legal home of new ids")]
pub fn fresh() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_rise() {
        let ids: Vec<_> = (0..1_000).map(|_| super::fresh()).collect();
        assert!(
            ids.is_sorted_by(|a, b| a < b),
            "two ids of one process are equal or out of order"
        );
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
