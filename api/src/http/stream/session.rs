//! One stream from its reservation to its end.

use std::pin::pin;
use std::time::Duration;

use shop_core::runtime::settings::SocketSettings;
use shop_core::runtime::{Shutdown, trace};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::streams::Known;
use crate::http::events::{COME_BACK, COMMENT, GOODBYE, KEEP_ALIVE};
use crate::http::operations::{Started, Step, expired, too_many};
use crate::http::running::{Running, quoted};
use crate::identity::Identity;

/// How long queries and mutations may take to end when the program stops, or the token.
pub const DRAIN: Duration = Duration::from_secs(5);

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no such stream, any more or ever.
    NoStream,
    /// Its events go to another request.
    AlreadyOpen,
    /// It has an operation of that id.
    Duplicate,
}

type Answer = oneshot::Sender<Result<(), Refused>>;

/// What a stream is told to do.
pub enum Command {
    /// Carries an operation.
    Start {
        /// Its id, of the client's choice.
        id: String,
        /// Its answers.
        started: Started,
        /// Whether it is carried.
        answer: Answer,
    },
    /// Ends one.
    Stop {
        /// Its id.
        id: String,
        /// That it is ended.
        answer: Answer,
    },
}

/// A stream and its operations.
pub struct Session {
    identity: Identity,
    commands: Receiver<Command>,
    events: Sender<String>,
    running: Running,
    _known: Known,
}

/// That a stream is about to end.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    reason: &'static str,
    /// Until when what is under way must end.
    by: Instant,
}

impl Leaving {
    fn now(reason: &'static str) -> Self {
        let by = Instant::now() + DRAIN;
        Self { reason, by }
    }

    /// Nothing is under way any more, and the goodbye is all that its client is to read.
    fn with_goodbye(&mut self) {
        self.by = self.by.min(Instant::now() + GOODBYE);
    }
}

/// What its client is still to be sent.
struct Unsent {
    events: Option<String>,
    /// Since when it waits; since when there is nothing, if there is nothing.
    since: Instant,
}

impl Unsent {
    fn of(events: &str) -> Self {
        Self {
            events: Some(events.to_owned()),
            since: Instant::now(),
        }
    }

    fn push(&mut self, events: &str) {
        match &mut self.events {
            Some(waiting) => waiting.push_str(events),
            None => *self = Self::of(events),
        }
    }

    fn take(&mut self) -> Option<String> {
        self.since = Instant::now();
        self.events.take()
    }
}

/// Tells a stream to do something, and waits until it has.
///
/// # Errors
/// If it does not, or is not there any more.
pub async fn ask(
    commands: &Sender<Command>,
    command: impl FnOnce(Answer) -> Command,
) -> Result<(), Refused> {
    let (answer, answered) = oneshot::channel();
    let sent = commands.send(command(answer)).await;
    sent.map_err(|_| Refused::NoStream)?;
    answered.await.unwrap_or(Err(Refused::NoStream))
}

impl Session {
    /// A stream without operations.
    pub fn new(
        identity: Identity,
        commands: Receiver<Command>,
        events: Sender<String>,
        known: Known,
    ) -> Self {
        Self {
            identity,
            commands,
            events,
            running: Running::default(),
            _known: known,
        }
    }

    /// Serves it to its end, which is that of its owner's last token at the latest; returns why it ended. Its subscriptions are told of
    /// that first. One that is not opened, or not read, ends after the time that a socket's client has to read a message; a moment after its
    /// turn to go, unless a query or mutation is under way.
    pub async fn run(mut self, shutdown: &Shutdown, limits: &SocketSettings) -> &'static str {
        let mut turn = pin!(shutdown.turn(limits.handover));
        let events = self.events.clone();
        // So that the client knows at once that it is heard.
        let mut unsent = Unsent::of(COME_BACK);
        let mut leaving: Option<Leaving> = None;
        loop {
            if leaving.is_none() && self.identity.is_over() {
                leaving = Some(Leaving::now("expired"));
                if let Some(events) = self.expire() {
                    unsent.push(&events);
                }
            }
            if let Some(leaving) = &mut leaving
                && self.running.is_empty()
            {
                if unsent.events.is_none() {
                    return leaving.reason;
                }
                if shutdown.is_requested() {
                    leaving.with_goodbye();
                }
            }
            let (is_free, has_room) = match &unsent.events {
                None => (true, true),
                Some(events) => (false, events.len() < limits.queue_bytes),
            };
            let patience = if is_free {
                KEEP_ALIVE
            } else {
                limits.write_timeout
            };
            let due = unsent.since + patience;
            let due = leaving.as_ref().map_or(due, |leaving| due.min(leaving.by));
            let end_of_token = Instant::now() + self.identity.left();
            tokio::select! {
                () = events.closed() => return "left",
                room = events.reserve(), if !is_free => {
                    let (Ok(room), Some(events)) = (room, unsent.take()) else {
                        return "left";
                    };
                    room.send(events);
                }
                () = &mut turn, if leaving.is_none() => {
                    self.running.stop_streams();
                    leaving = Some(Leaving::now("stopping"));
                    unsent.push(COME_BACK);
                }
                Some(command) = self.commands.recv(), if has_room => {
                    if let Some(event) = self.obey(command, leaving.is_some(), limits) {
                        unsent.push(&event);
                    }
                }
                (id, step) = self.running.next(), if is_free => {
                    unsent.push(&event(&id, step));
                }
                () = sleep_until(end_of_token), if leaving.is_none() => {} // unless it was renewed meanwhile
                () = sleep_until(due) => {
                    if let Some(leaving) = leaving.filter(|leaving| leaving.by <= due) {
                        return leaving.reason;
                    }
                    if !is_free {
                        return "slow";
                    }
                    unsent.push(COMMENT);
                }
            }
        }
    }

    /// Ends what could go on for ever; what its client is told of that. What has one answer, whose effect may be under way, goes on.
    fn expire(&mut self) -> Option<String> {
        let ended = self.running.stop_streams();
        let events = ended
            .iter()
            .map(|id| event(id, Some(expired(&trace::new_trace()))));
        events.reduce(|all, one| all + &one)
    }

    /// Does it; what the client is to be told at once, if anything. A stream that leaves takes nothing on.
    fn obey(
        &mut self,
        command: Command,
        is_leaving: bool,
        limits: &SocketSettings,
    ) -> Option<String> {
        let (answer, done, told) = match command {
            Command::Start { answer, .. } if is_leaving => (answer, Err(Refused::NoStream), None),
            Command::Start { id, answer, .. } if self.running.has(&quoted(&id)) => {
                (answer, Err(Refused::Duplicate), None)
            }
            Command::Start { id, answer, .. } if self.running.len() >= limits.subscriptions => {
                (answer, Ok(()), Some(event(&quoted(&id), Some(too_many()))))
            }
            Command::Start {
                id,
                started,
                answer,
            } => {
                self.running.begin(&quoted(&id), started);
                (answer, Ok(()), None)
            }
            Command::Stop { id, answer } => {
                let id = quoted(&id);
                let was_there = self.running.stop(&id);
                (answer, Ok(()), was_there.then(|| event(&id, None)))
            }
        };
        let _ = answer.send(done); // whoever asked may have left
        told
    }
}

/// A piece of an operation's answer. The id comes in JSON.
fn event(id: &str, step: Option<Step>) -> String {
    let next =
        |payload: &str| format!("event: next\ndata: {{\"id\":{id},\"payload\":{payload}}}\n\n");
    let complete = format!("event: complete\ndata: {{\"id\":{id}}}\n\n");
    match step {
        Some(Step::Next(payload)) => next(&payload),
        Some(Step::Error(errors)) => next(&format!(r#"{{"errors":{errors}}}"#)) + &complete,
        None => complete,
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{self, StreamExt as _};
    use shop_core::domain::Timestamp;
    use shop_core::runtime::{Settings, clock};

    use super::*;
    use crate::http::stream::Streams;
    use crate::identity::Caller;
    use crate::identity::tests::a_caller;

    #[tokio::test]
    async fn at_the_end_of_its_token_subscriptions_are_told_why_and_single_answers_still_come() {
        let identity = Identity::from(Caller {
            until: Timestamp::from_millis(clock::now().millis() + 3_000),
            ..a_caller()
        });
        let streams = Streams::default();
        let (token, session) = streams.reserve(identity.clone());
        let mut events = streams.open(&token, &identity).expect("it is theirs");
        let (commands, _) = streams.commands(&token, &identity).expect("it is theirs");
        let session = tokio::spawn(async move {
            let settings = Settings::read(&|_| None).expect("the defaults are valid");
            session.run(&Shutdown::new(), &settings.edge.socket).await
        });
        let begin = async |id: &str, once, steps| {
            let (id, started) = (id.to_owned(), Started { once, steps });
            ask(&commands, |answer| Command::Start {
                id,
                started,
                answer,
            })
            .await
        };
        let (made, comes) = oneshot::channel::<()>();
        let single = stream::once(async move {
            let _ = comes.await;
            Step::Next("{}".into())
        });
        assert_eq!(begin("1", false, stream::pending().boxed()).await, Ok(()));
        assert_eq!(begin("2", true, single.boxed()).await, Ok(()));
        assert_eq!(events.recv().await.as_deref(), Some(COME_BACK));
        let told = events.recv().await.expect("it says why");
        assert!(told.contains("UNAUTHENTICATED"), "{told}");
        let complete = |id: &str| format!("event: complete\ndata: {{\"id\":\"{id}\"}}\n\n");
        assert!(told.ends_with(&complete("1")), "{told}");
        let late = begin("3", false, stream::pending().boxed()).await;
        assert_eq!(late, Err(Refused::NoStream));
        made.send(()).expect("it is under way");
        let told = events.recv().await.expect("the answer");
        assert!(told.contains(r#"{"id":"2","payload":{}}"#), "{told}");
        assert_eq!(events.recv().await, Some(complete("2")));
        assert_eq!(events.recv().await, None);
        assert_eq!(session.await.expect("no panic"), "expired");
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_program_stops_who_does_not_read_is_waited_for_while_an_answer_may_come() {
        for (is_asked, most) in [(false, GOODBYE), (true, DRAIN)] {
            let identity = Identity::from(a_caller());
            let streams = Streams::default();
            let (token, session) = streams.reserve(identity.clone());
            let _unread = streams.open(&token, &identity).expect("it is theirs");
            let (commands, _) = streams.commands(&token, &identity).expect("it is theirs");
            let shutdown = Shutdown::new();
            let session = tokio::spawn({
                let shutdown = shutdown.clone();
                async move {
                    let settings = Settings::read(&|_| None).expect("the defaults are valid");
                    let limits = SocketSettings {
                        handover: Duration::ZERO,
                        ..settings.edge.socket
                    };
                    session.run(&shutdown, &limits).await
                }
            });
            if is_asked {
                let begun = ask(&commands, |answer| Command::Start {
                    id: "1".to_owned(),
                    started: Started {
                        once: true,
                        steps: stream::pending().boxed(),
                    },
                    answer,
                });
                assert_eq!(begun.await, Ok(()));
            }
            tokio::time::sleep(Duration::from_secs(1)).await; // what it begins with waits
            let begun = Instant::now();
            shutdown.request();
            assert_eq!(session.await.expect("no panic"), "stopping");
            let after = begun.elapsed();
            assert!(after >= most, "{after:?}");
            assert!(after < most + Duration::from_millis(10), "{after:?}");
        }
    }

    /// Longer than its client may take to read, and not yet so long that something is said to keep the connection.
    const SILENCE: Duration = Duration::from_secs(11);

    #[tokio::test(start_paused = true)]
    async fn who_has_heard_nothing_for_long_has_all_its_time_for_what_comes_then() {
        for _ in 0..20 {
            let identity = Identity::from(a_caller());
            let streams = Streams::default();
            let (token, session) = streams.reserve(identity.clone());
            let mut events = streams.open(&token, &identity).expect("it is theirs");
            let (commands, _) = streams.commands(&token, &identity).expect("it is theirs");
            tokio::spawn(async move {
                let settings = Settings::read(&|_| None).expect("the defaults are valid");
                session.run(&Shutdown::new(), &settings.edge.socket).await
            });
            assert_eq!(events.recv().await.as_deref(), Some(COME_BACK));
            let id = || "1".to_owned();
            let begun = ask(&commands, |answer| Command::Start {
                id: id(),
                started: Started {
                    once: false,
                    steps: stream::pending().boxed(),
                },
                answer,
            });
            assert_eq!(begun.await, Ok(()));
            tokio::time::sleep(SILENCE).await;
            let stopped = ask(&commands, |answer| Command::Stop { id: id(), answer });
            assert_eq!(stopped.await, Ok(()));
            let told = events.recv().await.expect("it is not taken for slow");
            assert!(told.contains("complete"), "{told}");
        }
    }
}
