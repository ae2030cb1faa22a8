//! The only maker of ids.

use uuid::Uuid;

/// A fresh `UUIDv7`: greater than every one this process made before, close to the others in an index.
#[expect(clippy::disallowed_methods, reason = "the legal home of new ids")]
pub fn fresh() -> Uuid {
    shifted(Uuid::now_v7(), super::clock::error_millis())
}

/// The id that a clock would have made that is so far off.
fn shifted(id: Uuid, millis: i64) -> Uuid {
    if millis == 0 {
        return id;
    }
    let (time, rest) = (id.as_u128() >> 80, id.as_u128() & (u128::MAX >> 48));
    Uuid::from_u128(time.saturating_add_signed(millis.into()) << 80 | rest)
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

    #[test]
    fn a_clock_that_is_off_shifts_the_time_and_nothing_else() {
        let id = super::fresh();
        let later = super::shifted(id, 3_600_000);
        assert_eq!((later.as_u128() - id.as_u128()) >> 80, 3_600_000);
        assert_eq!(super::shifted(later, -3_600_000), id);
        assert_eq!(later.get_version_num(), 7);
    }
}
