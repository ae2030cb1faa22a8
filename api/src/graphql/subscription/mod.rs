//! What clients can watch.
//!
//! Every item of a stream that can be gone on with carries a cursor; `after` takes it, and so does the id of a server-sent
//! event ([`EventIds`]). To add one: 1. a watcher in `live`, 2. a resolver in the noun's file, 3. a document in
//! `tests/it/documents`, 4. `make schema`.

mod event_ids;
mod orders;
mod sharing;
mod stock;
mod updates;

use async_graphql::resolver_utils::EnumType;
use async_graphql::{Context, Enum, MergedSubscription};
use metrics::Counter;
use shop_core::runtime::metrics::LIVE_ITEMS;

pub use event_ids::EventIds;
pub use sharing::{Intake, Offer, Source, question};

use crate::live;

/// The subscriptions, over WebSocket by the protocols `graphql-transport-ws` and `graphql-ws`, or as server-sent events.
#[derive(MergedSubscription, Default)]
pub struct Subscription(
    orders::OrderSubscription,
    updates::UpdateSubscription,
    stock::StockSubscription,
);

/// Why an item is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "live::Kind")]
pub enum UpdateKind {
    /// The stream begins here, and has no snapshot: whatever happens from now on is told.
    Begin,
    /// The stream begins with it: how things stand now.
    Snapshot,
    /// It happened after the cursor that was given, or while the client did not keep up.
    Missed,
    /// It has just happened.
    Live,
    /// The stream can not go on from the cursor that was given, and what was between is not told. One order's stream goes on
    /// from how it stands now; whoever follows many asks for them again.
    Resync,
}

/// Where a stream goes on: after the event that the client had last, which is never older than what its document says since
/// it came later, or else after the argument.
fn resumed(ctx: &Context<'_>, after: Option<String>) -> Option<String> {
    let last = ctx.data_opt::<EventIds>().and_then(EventIds::last);
    last.or(after)
}

/// Counts an item of a stream.
fn count(stream: &'static str, kind: UpdateKind) {
    counter(stream, kind).increment(1);
}

/// The counter of a stream's items of one kind: to look it up takes longer than to count.
fn counter(stream: &'static str, kind: UpdateKind) -> Counter {
    let kind = UpdateKind::items()
        .iter()
        .find(|item| item.value == kind)
        .map_or("", |item| item.name);
    metrics::counter!(LIVE_ITEMS, "stream" => stream, "kind" => kind)
}
