//! How many records are handled at once: as many as may be, and fewer after the store did not take so many in time. A transaction that
//! takes too long is rolled back however often it is tried, and a store that is slow for want of processors gets no faster by being asked
//! for the same again. As TCP does it: half as many at once, and a little more after each that went well.

/// A step up, and the least, is one of so many parts of the most.
const PARTS: usize = 16;

/// How many records are handled at once.
#[derive(Debug)]
pub(super) struct Size {
    most: usize,
    now: usize,
}

impl Size {
    /// So many, and never more.
    pub(super) fn of(most: usize) -> Self {
        let most = most.max(1);
        Self { most, now: most }
    }

    /// So many now.
    pub(super) const fn now(&self) -> usize {
        self.now
    }

    /// The store did not take so many.
    pub(super) fn failed(&mut self) {
        self.now = (self.now / 2).max(self.part());
    }

    /// It did.
    pub(super) fn went_well(&mut self) {
        self.now = (self.now + self.part()).min(self.most);
    }

    const fn part(&self) -> usize {
        self.most.div_ceil(PARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_and_grows_by_parts_within_its_bounds() {
        let mut size = Size::of(500);
        size.went_well();
        assert_eq!(size.now(), 500);
        size.failed();
        assert_eq!(size.now(), 250);
        size.went_well();
        assert_eq!(size.now(), 282);
        for _ in 0..20 {
            size.failed();
        }
        assert_eq!(size.now(), 32);
        for _ in 0..15 {
            size.went_well();
        }
        assert_eq!(size.now(), 500);
    }

    #[test]
    fn one_at_least_is_handled() {
        for most in [0, 1] {
            let mut size = Size::of(most);
            size.failed();
            assert_eq!(size.now(), 1);
        }
    }
}
