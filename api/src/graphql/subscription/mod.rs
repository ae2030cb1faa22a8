//! What clients can watch.
//!
//! Every item of a stream that can be gone on with carries a cursor; `after` takes it, and so does the id of a server-sent
//! event ([`EventIds`]). To add one: 1. a watcher in `live`, 2. a resolver in the noun's file, 3. a document in
//! `tests/it/documents`, 4. `make schema`.

mod event_ids;
mod orders;

use async_graphql::{Context, Enum};

pub use event_ids::EventIds;
pub use orders::Subscription;

use crate::live;

/// Why an item is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "live::Kind")]
pub enum UpdateKind {
    /// The stream begins with it: how things stand now.
    Snapshot,
    /// It happened after the cursor that was given, and before the stream began.
    Missed,
    /// It has just happened.
    Live,
    /// The cursor that was given can not be gone on from: this is how things stand now, and what was between is not told.
    Resync,
}

/// Where a stream goes on: after the event that the client had last, which is never older than what its document says since
/// it came later, or else after the argument.
fn resumed(ctx: &Context<'_>, after: Option<String>) -> Option<String> {
    let last = ctx.data_opt::<EventIds>().and_then(EventIds::last);
    last.or(after)
}
