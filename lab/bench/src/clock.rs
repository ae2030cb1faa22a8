//! One clock for several processes, and the processor time of this one.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since some moment, the same for every process of this machine.
pub fn now() -> u64 {
    nanos(ClockId::Monotonic)
}

/// The processor time that all threads of this process took so far.
pub fn own_cpu() -> Duration {
    Duration::from_nanos(nanos(ClockId::ProcessCPUTime))
}

fn nanos(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    // Neither is negative: both begin when the machine or the process was started.
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
