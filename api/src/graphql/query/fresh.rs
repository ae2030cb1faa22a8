//! Reading one's own write: a query that names a version waits, for a while, until the view has it.
//!
//! An order's view is looked at when the live feed tells of a new version, registered for before the first look, and now
//! and then besides, in case the feed is away; the others are looked at again and again, ever less often.

use std::time::Duration;

use async_graphql::Context;
use shop_core::domain::{OrderId, Scope, Version};
use shop_core::views::{Known, Views};
use tokio::time::{Instant, timeout};

use crate::graphql::ContextExt as _;
use crate::graphql::error::ApiError;
use crate::graphql::model::GlobalId;
use crate::graphql::scalar::Int;
use crate::http::lanes::Slot;
use crate::live::hub::{Hub, Mail, Mailbox};

/// The pause between the first two looks; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause, and that of orders, which are woken.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Waits, as long for what lies beyond the scope as for what is not there, until the view of a thing has at least the version
/// that a query's argument names, if it names one. A deleted thing is not waited for: nothing comes after that. Who waits leaves
/// its lane; where as many wait as may, nobody waits.
///
/// # Errors
/// [`ApiError::BadUserInput`]; [`ApiError::NotYet`] after `READ_YOUR_WRITE_TIMEOUT`; [`ApiError::Overloaded`]; [`ApiError`] of
/// the views.
pub(super) async fn wait(
    ctx: &Context<'_>,
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
    let (app, scope) = (ctx.app(), ctx.scope());
    let bell = Bell::new(&app.live.orders, scope, id, wanted);
    let looks = || look(&app.views, scope, id);
    let most = app.read_your_write_timeout;
    let known = until(wanted, looks, bell, most, ctx.slot()).await?;
    if is_enough(known, wanted) {
        return Ok(());
    }
    Err(ApiError::NotYet {
        id: id.to_string(),
        wanted,
        there: known.map(|known| known.version),
    })
}

/// Looks until the version is there, or there is no more time, or no place to wait. Returns what was seen last.
async fn until<F: Future<Output = Result<Option<Known>, ApiError>>>(
    wanted: Version,
    looks: impl Fn() -> F,
    mut bell: Bell,
    most: Duration,
    slot: Option<&Slot>,
) -> Result<Option<Known>, ApiError> {
    let deadline = Instant::now() + most;
    let known = looks().await?;
    if is_enough(known, wanted) {
        return Ok(known);
    }
    // Without a slot nobody is in anybody's way.
    let wait = slot.map(Slot::leave);
    if let Some(None) = wait {
        return Ok(known);
    }
    loop {
        bell.wait(deadline.saturating_duration_since(Instant::now()))
            .await;
        let known = looks().await?;
        if is_enough(known, wanted) {
            if let Some(wait) = wait.flatten() {
                wait.over().await?;
            }
            return Ok(known);
        }
        if Instant::now() >= deadline {
            return Ok(known);
        }
    }
}

fn is_enough(known: Option<Known>, wanted: Version) -> bool {
    known.is_some_and(|known| known.deleted || known.version >= wanted)
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
    use crate::http::lanes::Lanes;
    use crate::live::hub::tests::an_order_at;

    #[tokio::test(start_paused = true)]
    async fn a_query_that_waits_is_in_nobodys_way_and_one_that_need_not_stays() {
        let lanes = Lanes::new(1, 1);
        let slot = lanes.enter(None).await.expect("a place");
        let at = |version| {
            let known = Some(Known {
                version,
                deleted: false,
            });
            move || std::future::ready(Ok(known))
        };
        let most = Duration::from_secs(2);
        let bell = || Bell::Clock(FIRST_PAUSE);
        let seen = until(3, at(3), bell(), most, Some(&slot)).await;
        assert_eq!(
            seen.expect("it is there").map(|known| known.version),
            Some(3)
        );
        assert!(lanes.enter(None).await.is_none(), "it need not wait");

        let begun = Instant::now();
        let waiting = until(3, at(2), bell(), most, Some(&slot));
        let (seen, other) = tokio::join!(waiting, async {
            tokio::time::sleep(most / 2).await;
            lanes.enter(None).await
        });
        assert_eq!(
            seen.expect("it is there").map(|known| known.version),
            Some(2)
        );
        assert_eq!(begun.elapsed(), most);
        assert!(other.is_some(), "who waits leaves the lane");
    }

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
