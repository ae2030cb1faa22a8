//! One stream from its reservation to its end.

use std::pin::pin;
use std::time::Duration;

use shop_core::runtime::Shutdown;
use shop_core::runtime::settings::SocketSettings;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::streams::Known;
use crate::http::events::{COME_BACK, COMMENT, KEEP_ALIVE};
use crate::http::operations::{Started, Step, too_many};
use crate::http::running::{Running, quoted};
use crate::identity::Identity;

/// How long queries and mutations may take to end when the program stops.
const DRAIN: Duration = Duration::from_secs(5);

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

    /// Serves it to its end, which is that of its owner's last token at the latest; returns why it ended. One that is not opened, or not read, ends after the time that a
    /// socket's client has to read a message.
    pub async fn run(mut self, shutdown: &Shutdown, limits: &SocketSettings) -> &'static str {
        let mut turn = pin!(shutdown.turn(limits.handover));
        let events = self.events.clone();
        // So that the client knows at once that it is heard.
        let mut unsent = Some(COME_BACK.to_owned());
        let mut told = Instant::now();
        let mut leave_by = None;
        loop {
            if leave_by.is_some() && self.running.is_empty() && unsent.is_none() {
                return "stopping";
            }
            let (is_free, has_room) = match &unsent {
                None => (true, true),
                Some(unsent) => (false, unsent.len() < limits.queue_bytes),
            };
            let patience = if is_free {
                KEEP_ALIVE
            } else {
                limits.write_timeout
            };
            let due = leave_by.map_or(told + patience, |by| (told + patience).min(by));
            if self.identity.is_over() {
                return "expired";
            }
            let end_of_token = Instant::now() + self.identity.left();
            tokio::select! {
                () = events.closed() => return "left",
                room = events.reserve(), if !is_free => {
                    let (Ok(room), Some(event)) = (room, unsent.take()) else {
                        return "left";
                    };
                    room.send(event);
                    told = Instant::now();
                }
                () = &mut turn, if leave_by.is_none() => {
                    self.running.stop_streams();
                    leave_by = Some(Instant::now() + DRAIN);
                    unsent = Some(unsent.unwrap_or_default() + COME_BACK);
                }
                Some(command) = self.commands.recv(), if has_room => {
                    if let Some(event) = self.obey(command, limits) {
                        unsent = Some(unsent.unwrap_or_default() + &event);
                    }
                }
                (id, step) = self.running.next(), if is_free => {
                    unsent = Some(event(&id, step));
                    told = Instant::now();
                }
                () = sleep_until(end_of_token) => {} // unless it was renewed meanwhile
                () = sleep_until(due) => {
                    if leave_by.is_some_and(|by| by <= due) {
                        return "stopping";
                    }
                    if !is_free {
                        return "slow";
                    }
                    unsent = Some(COMMENT.to_owned());
                    told = Instant::now();
                }
            }
        }
    }

    /// Does it; what the client is to be told at once, if anything.
    fn obey(&mut self, command: Command, limits: &SocketSettings) -> Option<String> {
        let (answer, done, told) = match command {
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
