//! Sending again what was announced before, through the outbox, for a Kafka that lost it.

use uuid::Uuid;

use super::stock::{announcement, event_type};
use super::{Call, CommandError};
use crate::db::{Conn, Db, orders, outbox, outbox_again, products, stock, users};
use crate::domain::stock::Hold;
use crate::domain::{Order, OrderId, Product, ProductId, Timestamp, User, UserId};
use crate::events::{AggregateType, Event, EventType, Payload};

/// What was put into the outbox again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Republished {
    /// Aggregates that exist.
    pub aggregates: usize,
    /// Events that the outbox still had.
    pub kept: usize,
    /// Events that it had no more, made anew: same id, same version, same state.
    pub renewed: usize,
}

/// Has the events of some aggregates of one kind sent again: all that the outbox still has, and at least the newest, in
/// the order of their versions. Ids that do not exist are left out.
///
/// Changes no state: the rows are locked so that nothing newer is announced in between.
///
/// Effects: `outbox` only.
pub async fn republish(
    db: &Db,
    call: &Call,
    kind: AggregateType,
    ids: &[Uuid],
) -> Result<Republished, CommandError> {
    db.transaction("republish", async |tx| {
        let newest = newest(tx, call, kind, ids).await?;
        let versions: Vec<(Uuid, u32)> = newest
            .iter()
            .map(|event| (event.aggregate_id(), event.version()))
            .collect();
        let found: Vec<Uuid> = versions.iter().map(|(id, _)| *id).collect();
        let stored = outbox_again::stored(tx, kind, &versions).await?;
        let kept = outbox_again::append_again(tx, kind, &found).await?;
        let lost: Vec<Event> = newest
            .into_iter()
            .filter(|event| !stored.contains(&event.aggregate_id()))
            .collect();
        outbox::append(tx, db.encoding(), &lost).await?;
        Ok(Republished {
            aggregates: versions.len(),
            kept,
            renewed: lost.len(),
        })
    })
    .await
}

/// The event of each aggregate's newest version.
async fn newest(
    tx: &mut Conn,
    call: &Call,
    kind: AggregateType,
    ids: &[Uuid],
) -> Result<Vec<Event>, CommandError> {
    Ok(match kind {
        AggregateType::User => {
            let ids: Vec<UserId> = ids.iter().copied().map(UserId::from_uuid).collect();
            let users = users::share_any(tx, &ids).await?.into_iter();
            let event = |user: User| {
                let kind = match (user.deleted, user.version) {
                    (true, _) => EventType::UserDeleted,
                    (false, 1) => EventType::UserCreated,
                    (false, _) => EventType::UserUpdated,
                };
                let call = at(call, user.updated_at);
                call.event(kind, Payload::User(user))
            };
            users.map(event).collect()
        }
        AggregateType::Product => {
            let ids = product_ids(ids);
            let products = products::share_any(tx, &ids).await?.into_iter();
            let event = |product: Product| {
                let kind = match (product.deleted, product.version) {
                    (true, _) => EventType::ProductDeleted,
                    (false, 1) => EventType::ProductCreated,
                    (false, _) => EventType::ProductUpdated,
                };
                let call = at(call, product.updated_at);
                call.event(kind, Payload::Product(product))
            };
            products.map(event).collect()
        }
        AggregateType::Order => {
            let ids: Vec<OrderId> = ids.iter().copied().map(OrderId::from_uuid).collect();
            let orders = orders::share_any(tx, &ids).await?;
            let event = |order: &Order| super::orders::announce(&at(call, order.updated_at), order);
            orders.iter().map(event).collect()
        }
        AggregateType::Stock => {
            let ids: Vec<OrderId> = ids.iter().copied().map(OrderId::from_uuid).collect();
            let holds = stock::share_holds(tx, &ids).await?.into_iter();
            // Version 0: an order that ended before anything was decided; nothing was ever said about it.
            let event = |hold: Hold| {
                call.event(event_type(hold.state), Payload::Stock(announcement(&hold)))
            };
            holds.filter(|hold| hold.version > 0).map(event).collect()
        }
        AggregateType::StockLevel => {
            let levels = stock::share_levels(tx, &product_ids(ids)).await?;
            let event = |level| super::stock::level_changed(call, level);
            levels.iter().map(event).collect()
        }
    })
}

fn product_ids(ids: &[Uuid]) -> Vec<ProductId> {
    ids.iter().copied().map(ProductId::from_uuid).collect()
}

/// The same call, at the time of the state.
fn at(call: &Call, at: Timestamp) -> Call {
    Call::within(at, call.trace.clone())
}
