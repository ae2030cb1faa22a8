//! The guards that keep the shop's promises, so that a lab build can leave one out and the fault suite can show that it
//! would notice.
//!
//! A guard is on, always, and the question costs nothing. Only with the feature `failpoints` the variable `GUARD_OFF` names
//! one that is off. To add a guard: 1. a variant, 2. the question where it stands, 3. a control in `lab/src/chaos`.

/// What keeps a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guard {
    /// What was done for an order is a row, locked and read before anything more is done for it.
    StockRowPerOrder,
    /// A view is replaced by a newer version of itself only.
    VersionGuard,
    /// An order is locked before it is read and changed.
    RowLock,
    /// Later records of a parked key wait behind it.
    ParkingOrder,
    /// A subscriber registers first and reads the view second.
    RegisterBeforeRead,
    /// One relay sends; the others stand by.
    RelayElection,
    /// The relay asks for rows that are not marked, never for those after the last one it saw.
    UnsentRowsReading,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::StockRowPerOrder,
        Self::VersionGuard,
        Self::RowLock,
        Self::ParkingOrder,
        Self::RegisterBeforeRead,
        Self::RelayElection,
        Self::UnsentRowsReading,
    ];

    /// What `GUARD_OFF` calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StockRowPerOrder => "stock-row-per-order",
            Self::VersionGuard => "version-guard",
            Self::RowLock => "row-lock",
            Self::ParkingOrder => "parking-order",
            Self::RegisterBeforeRead => "register-before-read",
            Self::RelayElection => "relay-election",
            Self::UnsentRowsReading => "unsent-rows-reading",
        }
    }
}

/// Whether a guard stands.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub const fn is_on(_: Guard) -> bool {
    true
}

/// Whether a guard stands.
#[cfg(feature = "failpoints")]
pub fn is_on(guard: Guard) -> bool {
    use std::sync::LazyLock;

    static OFF: LazyLock<Option<Guard>> = LazyLock::new(|| {
        let name = super::failpoint::variable("GUARD_OFF")?;
        let known = Guard::ALL.into_iter().find(|guard| guard.as_str() == name);
        let Some(guard) = known else {
            super::failpoint::refuse("GUARD_OFF", &format!("{name:?} is no guard"));
        };
        tracing::warn!("the guard {name} is off");
        Some(guard)
    });
    *OFF != Some(guard)
}
