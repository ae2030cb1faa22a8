//! What happens on a connection, and how long it may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

const BEGINS: u64 = 0;
const WAITS: u64 = 1;
const SENDS: u64 = 2;
const SERVED: u64 = 3;
/// Of what is answered.
const NONE_WAITS: u64 = 0;
/// Bits that say what happens; the others say since when.
const KIND: u64 = 0b11;

/// What happens on a connection, and since when.
#[derive(Debug)]
pub struct Pulse {
    begun: Instant,
    /// Microseconds since then, and a kind.
    now: AtomicU64,
    /// Microseconds from then until the client last took something of what it is answered; 0 while nothing waits for it.
    taken: AtomicU64,
}

/// What happens on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happens {
    /// Nothing since it was accepted.
    Begins(Instant),
    /// Nothing, since then: the client may send another request.
    Waits(Instant),
    /// The client sends the head of a request, since then.
    Sends(Instant),
    /// A request is answered.
    Served,
    /// What was answered waits for the client, which has taken nothing of it since then.
    Unread(Instant),
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The head of a request.
    pub head: Duration,
    /// The pause between two requests, and that of a client which reads an answer.
    pub idle: Duration,
    /// All that is the client's turn, once the program stops.
    pub drain: Duration,
}

impl Pulse {
    /// That of a new connection, whose client is to send a head.
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            now: AtomicU64::new(BEGINS),
            taken: AtomicU64::new(NONE_WAITS),
        }
    }

    /// The client said something.
    pub fn heard(&self) {
        match self.now.load(Ordering::Relaxed) & KIND {
            BEGINS => self.now.store(SENDS, Ordering::Relaxed), // since it was accepted
            WAITS => self.note(SENDS),
            _ => {}
        }
    }

    /// A request is answered from now on.
    pub fn serves(&self) {
        self.note(SERVED);
    }

    /// It was answered.
    pub fn has_served(&self) {
        self.note(WAITS);
    }

    /// The client took some of what it is answered.
    pub fn took(&self) {
        if self.is_unread() {
            self.taken.store(self.micros().max(1), Ordering::Relaxed);
        }
    }

    /// The client takes no more for now, and something waits for it.
    pub fn takes_no_more(&self) {
        if !self.is_unread() {
            self.taken.store(self.micros().max(1), Ordering::Relaxed);
        }
    }

    /// Nothing waits for the client any more. Only now its times begin: until then it was not its turn.
    pub fn has_taken_all(&self) {
        if self.is_unread() {
            self.taken.store(NONE_WAITS, Ordering::Relaxed);
            let kind = self.now.load(Ordering::Relaxed) & KIND;
            if matches!(kind, WAITS | SENDS) {
                self.note(kind);
            }
        }
    }

    /// Whether something that was answered waits for the client.
    pub fn is_unread(&self) -> bool {
        self.taken.load(Ordering::Relaxed) != NONE_WAITS
    }

    /// What happens.
    pub fn now(&self) -> Happens {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken != NONE_WAITS {
            return Happens::Unread(self.begun + Duration::from_micros(taken));
        }
        let now = self.now.load(Ordering::Relaxed);
        let since = || self.begun + Duration::from_micros(now >> KIND.count_ones());
        match now & KIND {
            BEGINS => Happens::Begins(since()),
            WAITS => Happens::Waits(since()),
            SENDS => Happens::Sends(since()),
            _ => Happens::Served,
        }
    }

    fn note(&self, kind: u64) {
        let now = (self.micros() << KIND.count_ones()) | kind;
        self.now.store(now, Ordering::Relaxed);
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or_default()
    }
}

impl Happens {
    /// Until when it may, by itself; `None` if somebody else sees to that.
    pub fn due(self, patience: Patience) -> Option<Instant> {
        match self {
            Self::Waits(since) | Self::Unread(since) => Some(since + patience.idle),
            Self::Begins(since) | Self::Sends(since) => Some(since + patience.head),
            Self::Served => None,
        }
    }
}

/// Until when what happens may go on, whether the program stops or not.
#[derive(Debug)]
pub struct Ends {
    patience: Patience,
    is_stopping: bool,
    /// Once the program stops: until when the client may have its turn.
    leave_by: Option<Instant>,
}

impl Ends {
    /// With so much patience, for a program that runs.
    pub const fn new(patience: Patience) -> Self {
        Self {
            patience,
            is_stopping: false,
            leave_by: None,
        }
    }

    /// Whether the program stops.
    pub const fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// It does.
    pub const fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Until when it may; `None` if somebody else sees to that. A client that takes a little of its answer again and again gains
    /// nothing by it when the program stops.
    pub fn due(&mut self, happens: Happens) -> Option<Instant> {
        let due = happens.due(self.patience);
        if !self.is_stopping {
            return due;
        }
        let drain = self.patience.drain;
        self.leave_by = due.map(|_| self.leave_by.unwrap_or_else(|| Instant::now() + drain));
        due.min(self.leave_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        drain: Duration::from_secs(2),
    };

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte_and_a_pause_from_the_last_answer() {
        let second = Duration::from_secs(1);
        let begun = Instant::now();
        let due = |pulse: &Pulse| pulse.now().due(PATIENCE).map(|due| due - begun);
        let pulse = Pulse::new();
        assert_eq!(due(&pulse), Some(10 * second));
        tokio::time::advance(second).await;
        pulse.heard();
        assert_eq!(due(&pulse), Some(10 * second), "it began to wait before");
        pulse.serves();
        pulse.heard();
        assert_eq!(due(&pulse), None);
        tokio::time::advance(second).await;
        pulse.has_served();
        assert_eq!(due(&pulse), Some(77 * second));
        tokio::time::advance(second).await;
        pulse.heard();
        tokio::time::advance(second).await;
        pulse.heard();
        assert_eq!(due(&pulse), Some(13 * second));
    }

    #[tokio::test(start_paused = true)]
    async fn while_an_answer_is_unread_only_the_pause_since_its_last_byte_counts() {
        let second = Duration::from_secs(1);
        let begun = Instant::now();
        let due = |pulse: &Pulse| pulse.now().due(PATIENCE).map(|due| due - begun);
        let pulse = Pulse::new();
        pulse.serves();
        pulse.took();
        assert_eq!(due(&pulse), None, "nothing waits");
        tokio::time::advance(second).await;
        pulse.takes_no_more();
        pulse.has_served();
        tokio::time::advance(second).await;
        pulse.heard();
        pulse.takes_no_more();
        assert!(matches!(pulse.now(), Happens::Unread(_)), "not its turn");
        assert_eq!(due(&pulse), Some(76 * second));
        tokio::time::advance(second).await;
        pulse.took();
        assert_eq!(due(&pulse), Some(78 * second));
        tokio::time::advance(second).await;
        pulse.has_taken_all();
        assert!(matches!(pulse.now(), Happens::Sends(_)));
        assert_eq!(due(&pulse), Some(14 * second), "its turn begins");
        tokio::time::advance(second).await;
        pulse.has_taken_all();
        assert_eq!(due(&pulse), Some(14 * second), "nothing has waited");
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_program_stops_a_turn_of_the_client_is_short_whatever_it_does() {
        let second = Duration::from_secs(1);
        let begun = Instant::now();
        let mut ends = Ends::new(PATIENCE);
        let mut due = |happens| ends.due(happens).map(|due| due - begun);
        assert_eq!(due(Happens::Unread(begun)), Some(75 * second));
        ends.stop();
        let mut due = |happens| ends.due(happens).map(|due| due - begun);
        for happens in [Happens::Begins, Happens::Sends, Happens::Waits] {
            assert_eq!(due(happens(begun)), Some(2 * second));
        }
        tokio::time::advance(second).await;
        assert_eq!(due(Happens::Unread(Instant::now())), Some(2 * second));
        assert_eq!(due(Happens::Served), None);
        tokio::time::advance(second).await;
        assert_eq!(due(Happens::Unread(begun)), Some(4 * second), "a new turn");
        tokio::time::advance(second).await;
        assert_eq!(due(Happens::Unread(Instant::now())), Some(4 * second));
    }
}
