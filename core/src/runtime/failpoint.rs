//! Named steps at which a lab build can be killed or held up; nothing at all in any other build.
//!
//! With the feature `failpoints` the variable `FAILPOINTS` says what happens where, as
//! `commit.before@create_order=kill:5,live.read=sleep:150ms`: at the fifth passage of that step, counted over the life of the
//! process, the process kills itself as `kill -9` would; at every passage of the other one it waits. Without the feature
//! every function here is empty and no variable is read. To add a step: 1. a variant, 2. its call where it happens, 3. a
//! line in the table of `lab/src/chaos`.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!(
    "the feature `failpoints` is for lab builds alone: a release must not be able to kill itself"
);

/// A step between two effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The statements of a transaction are done, COMMIT is not sent.
    BeforeCommit,
    /// COMMIT is answered, nobody was told.
    AfterCommit,
    /// The relay's batch is acknowledged by Kafka, its rows are not marked.
    Produced,
    /// They are.
    Marked,
    /// The projector's views are written, their statuses are not published.
    ViewsWritten,
    /// They are.
    StatusesPublished,
    /// A consumer's batch has had its effect, its offsets are not stored.
    Handled,
    /// A subscriber's first look at the view.
    SnapshotRead,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::Produced,
        Self::Marked,
        Self::ViewsWritten,
        Self::StatusesPublished,
        Self::Handled,
        Self::SnapshotRead,
    ];

    /// What `FAILPOINTS` calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeCommit => "commit.before",
            Self::AfterCommit => "commit.after",
            Self::Produced => "relay.produced",
            Self::Marked => "relay.marked",
            Self::ViewsWritten => "projector.written",
            Self::StatusesPublished => "projector.published",
            Self::Handled => "consumer.handled",
            Self::SnapshotRead => "live.read",
        }
    }
}

/// Passes a step.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn pass(_: Step) -> std::future::Ready<()> {
    std::future::ready(())
}

/// Passes a step of something that has a name, such as a transaction.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn pass_in(_: Step, _: &'static str) -> std::future::Ready<()> {
    std::future::ready(())
}

#[cfg(feature = "failpoints")]
pub use armed::{pass, pass_in};
#[cfg(feature = "failpoints")]
pub(super) use armed::{refuse, variable};

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::Step;

    static POINTS: LazyLock<Vec<Point>> = LazyLock::new(|| {
        let text = variable("FAILPOINTS").unwrap_or_default();
        parse(&text).unwrap_or_else(|problem| refuse("FAILPOINTS", &problem))
    });

    /// A variable that only lab builds read; an empty one counts as not set.
    #[expect(
        clippy::disallowed_methods,
        reason = "no setting: it exists in lab builds alone"
    )]
    pub(in crate::runtime) fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    /// Ends the process for a variable that makes no sense.
    pub(in crate::runtime) fn refuse(name: &str, problem: &str) -> ! {
        eprintln!("{name}: {problem}");
        std::process::exit(crate::runtime::EXIT_USAGE.into())
    }

    /// See the empty one.
    pub async fn pass(step: Step) {
        pass_in(step, "").await;
    }

    /// See the empty one.
    pub async fn pass_in(step: Step, within: &'static str) {
        for point in POINTS.iter() {
            if point.step == step && point.within.as_deref().is_none_or(|name| name == within) {
                point.act(within).await;
            }
        }
    }

    #[derive(Debug)]
    struct Point {
        step: Step,
        within: Option<String>,
        act: Act,
        passages: AtomicU32,
    }

    #[derive(Debug, PartialEq)]
    enum Act {
        KillAt(u32),
        Sleep(Duration),
    }

    impl Point {
        async fn act(&self, within: &str) {
            let passage = self.passages.fetch_add(1, Ordering::SeqCst) + 1;
            match self.act {
                Act::KillAt(wanted) if wanted == passage => {
                    let step = self.step.as_str();
                    eprintln!("failpoint {step} {within}: killed at passage {passage}");
                    let _ = rustix::process::kill_process(
                        rustix::process::getpid(),
                        rustix::process::Signal::KILL,
                    );
                    // The signal ends the process before anything that follows has an effect.
                    std::process::abort();
                }
                Act::KillAt(_) => {}
                Act::Sleep(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    fn parse(text: &str) -> Result<Vec<Point>, String> {
        let points = text.split(',').filter(|point| !point.is_empty());
        points.map(point).collect()
    }

    fn point(text: &str) -> Result<Point, String> {
        let wrong =
            || format!("{text:?} is not STEP[@NAME]=kill:PASSAGE or STEP[@NAME]=sleep:TIME");
        let (place, act) = text.split_once('=').ok_or_else(wrong)?;
        let (step, within) = match place.split_once('@') {
            Some((step, within)) => (step, Some(within.to_owned())),
            None => (place, None),
        };
        let step = Step::ALL.into_iter().find(|known| known.as_str() == step);
        let act = match act.split_once(':').ok_or_else(wrong)? {
            ("kill", passage) => Act::KillAt(passage.parse().map_err(|_| wrong())?),
            ("sleep", time) => Act::Sleep(humantime::parse_duration(time).map_err(|_| wrong())?),
            _ => return Err(wrong()),
        };
        Ok(Point {
            step: step.ok_or_else(wrong)?,
            within,
            act,
            passages: AtomicU32::new(0),
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn points_are_read_and_nonsense_is_named() {
            let points =
                parse("commit.before@create_order=kill:5,live.read=sleep:150ms").expect("points");
            assert_eq!(points[0].within.as_deref(), Some("create_order"));
            assert_eq!(points[0].act, Act::KillAt(5));
            assert_eq!(points[1].act, Act::Sleep(Duration::from_millis(150)));
            assert!(parse("").expect("nothing").is_empty());
            for nonsense in [
                "commit",
                "commit.never=kill:1",
                "live.read=kill:x",
                "live.read=wait:1s",
            ] {
                assert!(parse(nonsense).expect_err(nonsense).contains(nonsense));
            }
        }
    }
}
