//! Guards that can be switched off, here alone, to see that the simulation misses them.

use std::fmt;

/// One planted mistake. Each is in the simulated surroundings: what is shipped has no such switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plant {
    /// Views are written without looking at the version that is there.
    VersionGuard,
    /// Stock is read without locking it, and nothing keeps two from announcing the same version.
    StockLock,
    /// What was done for an order is not looked up, and nothing keeps two from announcing the same version.
    StockRow,
    /// Offsets are stored before the transaction commits.
    OffsetFirst,
    /// A watcher reads the view before it registers at the hub.
    ReadFirst,
    /// The relay reads rows after the last one it sent.
    SeqGreater,
    /// The relay marks rows before they are sent.
    MarkFirst,
    /// The projector publishes statuses before it writes the views.
    StatusFirst,
    /// The projector publishes no statuses for duplicates.
    StatusOnce,
    /// The reader of live status begins anew without telling anybody.
    NoResync,
    /// What follows a parked record of its key is handled at once.
    ParkingOrder,
    /// Offsets are stored before what failed is parked.
    ParkLate,
    /// Whoever takes a partition over does not look for what is parked of it.
    TakeoverBlind,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::VersionGuard,
        Self::StockLock,
        Self::StockRow,
        Self::OffsetFirst,
        Self::ReadFirst,
        Self::SeqGreater,
        Self::MarkFirst,
        Self::StatusFirst,
        Self::StatusOnce,
        Self::NoResync,
        Self::ParkingOrder,
        Self::ParkLate,
        Self::TakeoverBlind,
    ];

    /// The word of options and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VersionGuard => "version-guard",
            Self::StockLock => "stock-lock",
            Self::StockRow => "stock-row",
            Self::OffsetFirst => "offset-first",
            Self::ReadFirst => "read-first",
            Self::SeqGreater => "seq-greater",
            Self::MarkFirst => "mark-first",
            Self::StatusFirst => "status-first",
            Self::StatusOnce => "status-once",
            Self::NoResync => "no-resync",
            Self::ParkingOrder => "parking-order",
            Self::ParkLate => "park-late",
            Self::TakeoverBlind => "takeover-blind",
        }
    }

    /// The plant of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.as_str() == word)
    }
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
