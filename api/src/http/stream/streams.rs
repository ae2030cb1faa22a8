//! Who has which stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{self, Receiver, Sender};
use uuid::Uuid;

use super::session::{Command, Refused, Session};
use crate::identity::Identity;

/// Events that wait for the connection.
const UNSENT: usize = 1;
/// Commands that wait for a session.
const COMMANDS: usize = 16;

/// The streams of this process. Clones share them.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<HashMap<String, Slot>>>);

struct Slot {
    /// Whose it is.
    identity: Identity,
    commands: Sender<Command>,
    /// Until it is opened.
    unsent: Option<Receiver<String>>,
}

/// A stream as long as it is known; forgotten when dropped.
pub struct Known {
    streams: Streams,
    token: String,
}

impl Streams {
    /// A stream that nobody has opened, and its token, which cannot be guessed.
    #[expect(
        clippy::disallowed_methods,
        reason = "a secret and no id: all of it is by chance"
    )]
    pub fn reserve(&self, identity: Identity) -> (String, Session) {
        let token = Uuid::new_v4().simple().to_string();
        let (commands, asked) = mpsc::channel(COMMANDS);
        let (events, unsent) = mpsc::channel(UNSENT);
        let slot = Slot {
            identity: identity.clone(),
            commands,
            unsent: Some(unsent),
        };
        self.all().insert(token.clone(), slot);
        let known = Known {
            streams: self.clone(),
            token: token.clone(),
        };
        (token, Session::new(identity, asked, events, known))
    }

    /// What is to be sent on a stream. Once only.
    ///
    /// # Errors
    /// If there is no such stream of theirs, or it was opened before.
    pub fn open(&self, token: &str, by: &Identity) -> Result<Receiver<String>, Refused> {
        let mut all = self.all();
        let slot = all.get_mut(token).filter(|slot| slot.is_of(by));
        let slot = slot.ok_or(Refused::NoStream)?;
        slot.unsent.take().ok_or(Refused::AlreadyOpen)
    }

    /// Where a stream is told what to do, and for whom; `None` if there is no such stream of theirs.
    pub fn commands(&self, token: &str, by: &Identity) -> Option<(Sender<Command>, Identity)> {
        let all = self.all();
        let slot = all.get(token).filter(|slot| slot.is_of(by))?;
        Some((slot.commands.clone(), slot.identity.clone()))
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Whether it is theirs; then what they showed last holds for it.
    fn is_of(&self, by: &Identity) -> bool {
        self.identity.renew(by.caller()).is_ok()
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.streams.all().remove(&self.token);
    }
}
