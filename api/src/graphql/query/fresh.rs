//! Reading one's own write: a query that names a version waits, for a while, until the view has it.
//!
//! An order's view is looked at when the live feed tells of a new version, registered for before the first look, and now
//! and then besides, in case the feed is away; the others are looked at again and again, ever less often.

use std::time::Duration;

use shop_core::domain::{OrderId, Scope, Version};
use shop_core::views::{Known, Views};
use tokio::time::{Instant, timeout};

use crate::graphql::App;
use crate::graphql::error::ApiError;
use crate::graphql::model::GlobalId;
use crate::graphql::scalar::Int;
use crate::live::hub::{Hub, Mail, Mailbox};

/// The pause between the first two looks; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause, and that of orders, which are woken.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Waits, as long for what lies beyond the scope as for what is not there, until the view of a thing has at least the version that a query's argument names, if it names one. A deleted
/// thing is not waited for: nothing comes after that.
///
/// # Errors
/// [`ApiError::BadUserInput`]; [`ApiError::NotYet`] after `READ_YOUR_WRITE_TIMEOUT`; [`ApiError`] of the views.
pub(super) async fn wait(
    app: &App,
    scope: Scope,
    id: GlobalId,
    min_version: Option<Int>,
) -> Result<(), ApiError> {
    let Some(number) = min_version else {
        return Ok(());
    };
    let wanted = Version::try_from(number)
        .ok()
        .filter(|version| *version > 0)
        .ok_or_else(|| ApiError::bad_input("minVersion", "must be a version: 1 or more"))?;
    let deadline = Instant::now() + app.read_your_write_timeout;
    let mut bell = Bell::new(&app.live.orders, scope, id, wanted);
    loop {
        let known = look(&app.views, scope, id).await?;
        if known.is_some_and(|known| known.deleted || known.version >= wanted) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let there = known.map(|known| known.version);
            return Err(ApiError::NotYet {
                id: id.to_string(),
                wanted,
                there,
            });
        }
        bell.wait(left).await;
    }
}

async fn look(views: &Views, scope: Scope, id: GlobalId) -> Result<Option<Known>, ApiError> {
    Ok(match id {
        GlobalId::User(id) if !scope.has(id) => None,
        GlobalId::User(id) => views.known_user(id).await?,
        GlobalId::Product(id) => views.known_product(id).await?,
        GlobalId::Order(id) => views.reach(scope).known_order(id).await?,
    })
}

/// Says when it is time to look again.
enum Bell {
    /// When the live feed tells of the version.
    Feed { mailbox: Mailbox, wanted: Version },
    /// After a pause.
    Clock(Duration),
}

impl Bell {
    fn new(hub: &Hub, scope: Scope, id: GlobalId, wanted: Version) -> Self {
        match id {
            GlobalId::Order(id) => Self::feed(hub, scope, id, wanted),
            GlobalId::User(_) | GlobalId::Product(_) => Self::Clock(FIRST_PAUSE),
        }
    }

    fn feed(hub: &Hub, scope: Scope, id: OrderId, wanted: Version) -> Self {
        let mailbox = hub.watch(id, scope);
        Self::Feed { mailbox, wanted }
    }

    /// Waits for it, at most this long.
    async fn wait(&mut self, most: Duration) {
        match self {
            Self::Feed { mailbox, wanted } => {
                let told = async {
                    while let Mail::State(state) = mailbox.next().await
                        && state.order.version < *wanted
                    {}
                };
                let _ = timeout(LONGEST_PAUSE.min(most), told).await;
            }
            Self::Clock(pause) => {
                tokio::time::sleep(most.min(*pause)).await;
                *pause = (*pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::live::hub::tests::an_order_at;

    #[tokio::test(start_paused = true)]
    async fn an_order_is_looked_at_when_its_version_is_told_and_now_and_then_besides() {
        let hub = Hub::new();
        let order = an_order_at(3);
        let mut bell = Bell::feed(&hub, Scope::Everything, order.id, 3);
        hub.publish(&Arc::new(an_order_at(2)));
        let begun = Instant::now();
        bell.wait(Duration::from_secs(2)).await;
        assert_eq!(begun.elapsed(), LONGEST_PAUSE, "version 2 is not enough");

        let begun = Instant::now();
        hub.publish(&Arc::new(order));
        bell.wait(Duration::from_secs(2)).await;
        hub.resync();
        bell.wait(Duration::from_secs(2)).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_others_are_looked_at_ever_less_often_and_never_beyond_the_bound() {
        let mut bell = Bell::Clock(FIRST_PAUSE);
        let mut waited = Vec::new();
        for _ in 0..7 {
            let begun = Instant::now();
            bell.wait(Duration::from_secs(2)).await;
            waited.push(begun.elapsed().as_millis());
        }
        assert_eq!(waited, [10, 20, 40, 80, 160, 200, 200]);
        let begun = Instant::now();
        bell.wait(Duration::from_millis(7)).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(7));
    }
}
