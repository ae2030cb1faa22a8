//! Why the API masked an error: its log says so under the trace id that the client was given.

use std::path::Path;

/// Characters of a line, at most.
const LINE: usize = 800;

/// The line of the log that has the trace id of a problem, if it has one and there is such a line.
pub fn of(problem: &str, log: &Path) -> Option<String> {
    let (_, rest) = problem.split_once("\"traceId\":\"")?;
    let (trace, _) = rest.split_once('"')?;
    let log = std::fs::read(log).ok()?;
    let log = String::from_utf8_lossy(&log);
    let line = log.lines().find(|line| line.contains(trace))?;
    Some(line.chars().take(LINE).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_by_the_trace_id() {
        let file = std::env::temp_dir().join(format!("cause-{}.log", std::process::id()));
        std::fs::write(&file, "one 1a\ntwo 2b because\n").expect("written");
        let of = |problem| of(problem, &file);
        assert_eq!(of(r#"{"traceId":"2b"}"#).as_deref(), Some("two 2b because"));
        assert_eq!(of(r#"{"traceId":"3c"}"#), None);
        assert_eq!(of("none"), None);
        std::fs::remove_file(&file).expect("removed");
    }
}
