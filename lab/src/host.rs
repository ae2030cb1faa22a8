//! How much of the processor the host of this machine keeps for others. A virtual machine that is not let run is late with
//! everything, whatever its programs do.

/// The processor's time so far, in ticks, as `/proc/stat` counts it (proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticks {
    all: u64,
    withheld: u64,
}

/// Of user, nice, system, idle, iowait, irq, softirq and steal the last; what guests got is in the first.
const STEAL: usize = 7;

impl Ticks {
    /// As of now; `None` where the system does not tell.
    pub fn now() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    fn of(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line
            .split_whitespace()
            .map_while(|text| text.parse().ok())
            .collect();
        Some(Self {
            all: ticks.iter().take(STEAL + 1).sum(),
            withheld: *ticks.get(STEAL)?,
        })
    }

    /// How many percent of what this machine wanted, and had, since then was withheld.
    pub fn withheld_since(self, before: Self) -> f64 {
        let part = self.withheld.saturating_sub(before.withheld);
        let whole = self.all.saturating_sub(before.all);
        let of = |ticks: u64| u32::try_from(ticks).map_or(f64::MAX, f64::from);
        100.0 * of(part) / of(whole.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withheld_is_a_share_of_the_time_since() {
        let before = Ticks::of("cpu  100 0 50 800 10 0 5 35 0 0\ncpu0 1 2 3").expect("ticks");
        let after = Ticks::of("cpu  130 0 60 810 10 0 5 85 7 0").expect("ticks");
        assert_eq!(
            before,
            Ticks {
                all: 1_000,
                withheld: 35
            }
        );
        assert!((after.withheld_since(before) - 50.0).abs() < 0.01);
        assert!(before.withheld_since(before).abs() < f64::EPSILON);
        assert_eq!(Ticks::of("intr 1"), None);
    }
}
