//! What the API sent, for the others to send: the plain broadcast the same bytes, Node the same content.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{FIRST_VERSION, LAST_VERSION};

/// A frame of each version, as one subscriber got it.
#[derive(Debug, Default)]
pub(super) struct Recorded(Mutex<BTreeMap<u32, String>>);

impl Recorded {
    /// Keeps the first frame of a version that is told.
    pub fn keep(&self, version: u32, frame: &str) {
        let mut frames = self.lock();
        frames.entry(version).or_insert_with(|| frame.to_owned());
    }

    /// The frame of a version.
    pub fn frame(&self, version: u32) -> anyhow::Result<String> {
        let frames = self.lock();
        let frame = frames.get(&version).cloned();
        frame.with_context(|| format!("no frame of version {version} was recorded"))
    }

    /// What a subscriber is told of each version.
    pub fn states(&self) -> anyhow::Result<Vec<Value>> {
        (FIRST_VERSION..=LAST_VERSION)
            .map(|version| change(&self.frame(version)?))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks that a frame tells a version.
pub(super) fn check(frame: &str, version: u32) -> anyhow::Result<()> {
    let told = change(frame)?;
    ensure!(
        told["version"] == version,
        "expected version {version}: {frame}"
    );
    Ok(())
}

fn change(frame: &str) -> anyhow::Result<Value> {
    let mut frame: Value = serde_json::from_str(frame)?;
    let change = frame["payload"]["data"]["orderStatusChanged"].take();
    ensure!(change.is_object(), "no item: {frame}");
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_of_a_version_is_kept_and_read() {
        let frame = |version: u32, note: &str| {
            format!(
                r#"{{"type":"next","payload":{{"data":{{"orderStatusChanged":{{"version":{version},"note":"{note}"}}}}}}}}"#
            )
        };
        let recorded = Recorded::default();
        assert!(recorded.states().is_err());
        for version in FIRST_VERSION..=LAST_VERSION {
            recorded.keep(version, &frame(version, "first"));
            recorded.keep(version, &frame(version, "second"));
        }
        let states = recorded.states().expect("all of them");
        assert_eq!(states.len(), 6);
        assert_eq!(states[1]["note"], "first");
        assert!(check(&frame(2, ""), 2).is_ok() && check(&frame(2, ""), 3).is_err());
        assert!(check("{}", 1).is_err());
    }
}
