//! What chance may do between two steps.

use std::fmt;

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A program dies and starts again: what it had in hand is gone, open transactions are rolled back.
    Crash,
    /// The leading relay loses its lock, does not know yet, and goes on sending.
    Deposed,
    /// Partitions change hands while a batch is being handled.
    Rebalance,
    /// Offsets that were stored did not get through: records come again.
    Redeliver,
    /// The programs' clocks jump by up to an hour, each on its own.
    Clocks,
    /// Hours pass: what is old is pruned.
    Hours,
    /// The reader of live status begins anew at the end of its topic.
    Tail,
    /// Somebody's browser goes away and comes back.
    Reconnect,
    /// The views do not answer.
    ViewsAway,
    /// A transaction stays open for long: its outbox rows commit late.
    LateCommit,
    /// A record fails, a few times or for ever.
    Failing,
    /// A record can not be read.
    Poison,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Crash,
        Self::Deposed,
        Self::Rebalance,
        Self::Redeliver,
        Self::Clocks,
        Self::Hours,
        Self::Tail,
        Self::Reconnect,
        Self::ViewsAway,
        Self::LateCommit,
        Self::Failing,
        Self::Poison,
    ];

    /// The word of options and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Deposed => "deposed",
            Self::Rebalance => "rebalance",
            Self::Redeliver => "redeliver",
            Self::Clocks => "clocks",
            Self::Hours => "hours",
            Self::Tail => "tail",
            Self::Reconnect => "reconnect",
            Self::ViewsAway => "views-away",
            Self::LateCommit => "late-commit",
            Self::Failing => "failing",
            Self::Poison => "poison",
        }
    }

    /// The fault of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == word)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Some kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults(u16);

impl Faults {
    /// All kinds.
    pub fn all() -> Self {
        Fault::ALL.into_iter().collect()
    }

    /// Whether this kind is among them.
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & fault.bit() != 0
    }

    /// The same without one kind.
    #[must_use]
    pub const fn without(self, fault: Fault) -> Self {
        Self(self.0 & !fault.bit())
    }

    /// What both have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.has(*fault))
    }
}

impl FromIterator<Fault> for Faults {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        Self(faults.into_iter().fold(0, |bits, fault| bits | fault.bit()))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Fault::as_str).collect();
        f.write_str(if words.is_empty() { "none" } else { "" })?;
        f.write_str(&words.join(","))
    }
}
