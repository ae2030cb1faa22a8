//! How many files the process may have open; a connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the process may do so itself, for so many files at least where it may for any number. Returns what
/// it is then; `None` if there is none.
pub fn raise(wanted: usize) -> Option<u64> {
    let found = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: raised(found, wanted),
        ..found
    };
    if raised == found {
        return found.current;
    }
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(error) => {
            tracing::warn!("failed to raise the limit of open files: {error}");
            found.current
        }
    }
}

/// How many connections may be open beside so many other files under a limit; one at least.
pub fn connections_beside(others: usize, limit: Option<u64>) -> usize {
    let files = limit.and_then(|limit| usize::try_from(limit).ok());
    files.map_or(usize::MAX, |files| files.saturating_sub(others).max(1))
}

/// The soft limit is raised to the hard one. Without a hard one it is raised to what is wanted: not every system takes "any
/// number" for a soft one.
fn raised(found: Rlimit, wanted: usize) -> Option<u64> {
    let soft = found.current?;
    let hard = found.maximum;
    Some(soft.max(hard.unwrap_or(u64::try_from(wanted).unwrap_or(u64::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_hard_one_or_to_what_is_wanted() {
        for (current, maximum, expected) in [
            (Some(1_024), Some(4_096), Some(4_096)),
            (Some(1_024), Some(1_048_576), Some(1_048_576)),
            (Some(1_024), Some(1_024), Some(1_024)),
            (Some(1_024), None, Some(30_000)),
            (Some(65_536), None, Some(65_536)),
            (None, None, None),
        ] {
            let found = Rlimit { current, maximum };
            assert_eq!(raised(found, 30_000), expected, "{found:?}");
        }
    }

    #[test]
    fn connections_have_what_other_files_leave() {
        for (limit, expected) in [
            (Some(1_024), 768),
            (Some(30_256), 30_000),
            (Some(256), 1),
            (Some(0), 1),
            (Some(u64::MAX), usize::MAX - 256),
            (None, usize::MAX),
        ] {
            assert_eq!(connections_beside(256, limit), expected, "{limit:?}");
        }
    }

    #[test]
    fn raising_it_twice_is_the_same_as_once() {
        let raised = raise(1);
        assert_eq!(raised, getrlimit(Resource::Nofile).current);
        assert_eq!(raise(1), raised);
    }
}
