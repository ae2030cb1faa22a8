//! What the system tells of a program's process.

use super::Programs;

impl Programs {
    /// The process of the moment: another one after a start, none in between.
    pub fn process(&self, label: &str) -> Option<i32> {
        let pid = self.instance(label)?.lock().pid?;
        Some(pid.as_raw_nonzero().get())
    }

    /// How much memory a program has in use, in KiB.
    pub fn resident_kib(&self, label: &str) -> Option<u64> {
        let process = self.process(label)?;
        resident(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?)
    }
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::resident;

    #[test]
    fn resident_memory_is_read_from_its_line() {
        let status = "Name:\tapi\nVmHWM:\t   99 kB\nVmRSS:\t  73212 kB\nThreads:\t5\n";
        assert_eq!(resident(status), Some(73_212));
        assert_eq!(resident("Name:\tapi\n"), None);
    }
}
