//! A crowd that saw its orders' first versions, and what is made of it at the end.

use std::time::Duration;

use anyhow::ensure;
use uuid::Uuid;

use super::board::Topic;
use super::crowd::Crowd;
use super::driver::place;
use super::judge::{Owed, TOLD, Tally, has_all, tally};
use super::pass::Pass;
use super::subscriber::{Doors, Manner};
use super::truth::Truth;
use crate::check::Violation;
use crate::programs::Programs;
use crate::stage::Run;

/// The program without which no order goes beyond its first version.
const RESERVATION: &str = "stock-reservation";
/// How long it may take until all orders are confirmed, and until everybody was told the last version.
pub const BOUND: Duration = Duration::from_mins(1);
/// Followers of all orders.
const FOLLOWERS: usize = 12;

/// A crowd and its orders.
#[derive(Debug)]
pub struct Scene {
    /// The subscribers, two for each order, and the followers of all orders.
    pub crowd: Crowd,
    /// The orders.
    pub orders: Vec<Uuid>,
}

impl Scene {
    /// Gathers a crowd that sees its orders in version 1, then lets the orders be confirmed.
    ///
    /// # Errors
    /// If somebody sees nothing within a bound.
    pub async fn open(
        run: &Run,
        programs: &Programs,
        subscribers: usize,
        doors: &Doors,
        manner: Manner,
    ) -> anyhow::Result<Self> {
        let mut crowd = Crowd::new(doors, manner);
        crowd.follow(FOLLOWERS, run.shop.staff());
        crowd.begun().await?;
        let paused = programs.pause(RESERVATION, true);
        ensure!(paused, "{RESERVATION} is not running");
        let orders = place(run, (subscribers / 2).max(1), || run.catalogue.some_lines()).await?;
        run.progress.set(format!("{subscribers} subscribe"));
        crowd.watch(subscribers, &orders, |order| {
            Pass::of_buyer(&run.shop, order)
        })?;
        crowd.begun().await?;
        let resumed = programs.pause(RESERVATION, false);
        ensure!(resumed, "{RESERVATION} died while it was stopped");
        run.progress.set("the orders are confirmed");
        crowd.reached(2, BOUND).await?;
        Ok(Self { crowd, orders })
    }

    /// Waits until everybody was told everything, and judges; the crowd goes home.
    ///
    /// # Errors
    /// If the shop does not tell what became of the orders.
    pub async fn close(self, run: &Run, feeds_count: bool) -> anyhow::Result<Tally> {
        run.progress
            .set("waiting until everybody was told everything");
        let truth = Truth::ask(run, &self.orders).await?;
        let board = self.crowd.board.clone();
        let told = board.until_each(BOUND, "the last version for everybody", |told| {
            has_all(told, &truth) || (told.topic == Topic::Feed && !feeds_count)
        });
        if let Err(error) = told.await {
            run.violate(Violation::new(TOLD, "subscribers", format!("{error:#}")));
        }
        drop(self.crowd);
        let pages = board.read();
        for problem in &pages.problems {
            run.violate(Violation::new(TOLD, "a subscription", problem));
        }
        Ok(tally(&pages, &truth, Owed::All))
    }
}

/// Notes what no subscriber may suffer.
pub fn judge(run: &Run, tally: &Tally) {
    for (count, what) in [
        (tally.missed, "versions were not told"),
        (tally.doubled, "versions were told twice"),
        (tally.disordered, "items came after a newer one"),
        (tally.untrue, "items are not what the timeline says"),
        (tally.feed_missed, "versions were not told to a follower"),
    ] {
        if count > 0 {
            let problem = format!("{count} {what}");
            run.violate(Violation::new(TOLD, "subscribers", problem));
        }
    }
    for wrong in &tally.wrong {
        run.violate(Violation::new(TOLD, "a subscriber", wrong));
    }
}
