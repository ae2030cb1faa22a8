//! A parked record: its lane, its place in it, and where it is on its way.

use std::time::Instant;

use crate::bus::Partition;
use crate::bus::parking::Retry;
use crate::events::Source;

/// The records that must stay in order among themselves: those of one key of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The partition.
    pub partition: Partition,
    /// The key as it is in the log. Records without a key have a lane of their own.
    pub key: Option<Vec<u8>>,
}

/// Where a parked record is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for an earlier one of its lane.
    Behind,
    /// It failed, and is tried again when the time has come.
    Failing {
        /// How often it was tried again in vain.
        tries: u32,
        /// When it is tried.
        due: Instant,
    },
    /// It was tried often enough: it is to become a dead letter.
    Exhausted {
        /// How often it was tried again in vain.
        tries: u32,
        /// When it is sent.
        due: Instant,
    },
    /// It is on its way to the dead letters.
    Leaving {
        /// How often it was tried again in vain.
        tries: u32,
    },
    /// It is a dead letter, and keeps its lane closed until somebody decides.
    Dead,
}

/// A parked record, without what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Its lane.
    pub lane: Lane,
    /// Its offset.
    pub offset: i64,
    /// How many bytes it has.
    pub bytes: usize,
    /// Where it is on its way.
    pub state: State,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) bytes: usize,
    pub(super) state: State,
    /// A later state was handled: this one needs no second try.
    pub(super) obsolete: bool,
}

/// A record that was tried as often as it may be is given up, also where the settings have changed since.
pub(super) fn given_up(retry: Retry, state: State) -> State {
    match state {
        State::Failing { tries, due } if tries > 0 && retry.wait(tries).is_none() => {
            State::Exhausted { tries, due }
        }
        other => other,
    }
}

pub(super) fn at((topic, partition): Partition, offset: i64) -> Source {
    Source {
        topic,
        partition,
        offset,
    }
}
