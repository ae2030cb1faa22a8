//! The read side: documents that a newer version replaces, and a reader that takes its time.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use shop_api::graphql::error::ApiError;
use shop_api::live::watch::ReadOrders;
use shop_core::domain::{Order, OrderId, ProductId, Scope, StockLevel};
use shop_core::views::{DeletedOrder, OrderState, Written};

/// The collections. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct ViewStore(Arc<Mutex<Collections>>);

/// What is in them.
#[derive(Debug, Default)]
pub struct Collections {
    /// Orders.
    pub orders: BTreeMap<OrderId, Order>,
    /// Stock levels.
    pub levels: BTreeMap<ProductId, StockLevel>,
    /// Whether nobody answers.
    pub away: bool,
}

impl ViewStore {
    /// The collections themselves.
    pub fn open(&self) -> MutexGuard<'_, Collections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces a document by a newer version of itself. `None`: the version fell, since nobody looked.
pub fn write<K: Ord, D>(
    documents: &mut BTreeMap<K, D>,
    id: K,
    document: D,
    version: impl Fn(&D) -> u32,
    guarded: bool,
) -> Option<Written> {
    let stored = documents.get(&id).map_or(0, &version);
    if stored >= version(&document) && guarded {
        return Some(Written::Duplicate);
    }
    let fell = stored > version(&document);
    documents.insert(id, document);
    (!fell).then_some(Written::Applied)
}

/// What the view tells of an order: of a deleted one, what is left.
pub fn state(order: &Order) -> OrderState {
    if !order.deleted {
        return OrderState::Live(Box::new(order.clone()));
    }
    OrderState::Deleted(DeletedOrder {
        id: order.id,
        version: order.version,
        status: order.status,
        timeline: order.timeline.clone(),
        created_at: order.created_at,
        updated_at: order.updated_at,
    })
}

/// A reader of orders, for a watcher; its first answer may have been read beforehand.
pub struct Reader {
    views: ViewStore,
    #[expect(
        clippy::option_option,
        reason = "whether it was read, and what was there"
    )]
    first: Mutex<Option<Option<OrderState>>>,
}

impl Reader {
    /// A reader of these views. In: an answer that it gives first.
    pub fn new(views: &ViewStore, first: Option<Option<OrderState>>) -> Self {
        Self {
            views: views.clone(),
            first: Mutex::new(first),
        }
    }
}

impl ReadOrders for Reader {
    async fn read(&self, id: OrderId, _: Scope) -> Result<Option<OrderState>, ApiError> {
        let first = self
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(first) = first {
            return Ok(first);
        }
        pause().await;
        let answer = {
            let collections = self.views.open();
            if collections.away {
                return Err(ApiError::unavailable(anyhow::anyhow!("the views are away")));
            }
            collections.orders.get(&id).map(state)
        };
        pause().await; // on its way back
        Ok(answer)
    }
}

/// Lets something else happen.
async fn pause() {
    struct Once(bool);
    impl Future for Once {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
    Once(false).await;
}
