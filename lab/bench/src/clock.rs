//! One clock for several processes.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since some moment, the same for every process of this machine.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is negative: the moment is when the machine was started.
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_goes_forward() {
        let first = super::now();
        assert!(first > 0 && super::now() >= first);
    }
}
