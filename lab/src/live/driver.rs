//! Takes orders along: each its four steps, at the times that were planned for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::check::evidence::Line;
use crate::client::Shop;
use crate::client::shop::Step;
use crate::stage::Run;

/// Orders that are placed with one request.
const AT_ONCE: usize = 10;
/// Steps after the payment.
const FULFILMENT: [&str; 3] = ["PROCESSING", "SHIPPED", "DELIVERED"];
/// How many steps an order takes: the payment and what follows.
pub const STEPS: usize = FULFILMENT.len() + 1;

/// When each order takes its steps, counted from the beginning.
pub type Schedule = Vec<Vec<Duration>>;

/// Steps at even distances over the whole time; whose turn it is, is left to chance.
pub fn evenly(orders: usize, over: Duration) -> Schedule {
    let mut turns: Vec<usize> = (0..orders).cycle().take(orders * STEPS).collect();
    fastrand::shuffle(&mut turns);
    let mut schedule = vec![Vec::with_capacity(STEPS); orders];
    let total = turns.len();
    for (number, order) in turns.into_iter().enumerate() {
        schedule[order].push(share(over, number, total));
    }
    schedule
}

/// This part of a time: `number` of `total`.
fn share(time: Duration, number: usize, total: usize) -> Duration {
    let of = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    time * of(number) / of(total).max(1)
}

/// Places so many orders; what is bought is asked for each of them.
///
/// # Errors
/// If the shop refuses.
pub async fn place(
    run: &Run,
    count: usize,
    lines: impl Fn() -> Vec<Line>,
) -> anyhow::Result<Vec<Uuid>> {
    let mut placed = Vec::new();
    while placed.len() < count {
        let orders: Vec<_> = (placed.len()..count.min(placed.len() + AT_ONCE))
            .map(|_| lines())
            .collect();
        let answers = run.shop.place_orders(run.catalogue.customer(), &orders);
        placed.extend(answers.await?.into_iter().map(|(order, _)| order));
        let done = placed.len();
        run.progress.set(format!("{done} of {count} orders placed"));
    }
    Ok(placed)
}

/// Orders on their way. They stand still when this is dropped.
#[derive(Debug)]
pub struct Driver {
    tasks: JoinSet<anyhow::Result<()>>,
    taken: Arc<Mutex<Vec<Instant>>>,
}

impl Driver {
    /// Starts to take orders along.
    pub fn start(shop: &Shop, orders: &[Uuid], schedule: Schedule, from: Instant) -> Self {
        let taken = Arc::<Mutex<Vec<Instant>>>::default();
        let mut tasks = JoinSet::new();
        for (order, times) in orders.iter().copied().zip(schedule) {
            let (shop, taken) = (shop.clone(), taken.clone());
            tasks.spawn(async move {
                for (number, time) in times.into_iter().enumerate() {
                    tokio::time::sleep_until((from + time).into()).await;
                    step(&shop, order, number).await?;
                    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                    taken.push(Instant::now());
                }
                anyhow::Ok(())
            });
        }
        Self { tasks, taken }
    }

    /// Waits until every step was taken. When each of them was.
    ///
    /// # Errors
    /// If one is refused, or the API is away for a long time.
    pub async fn finish(mut self) -> anyhow::Result<Vec<Instant>> {
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("an order was left alone")??;
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *taken))
    }
}

async fn step(shop: &Shop, order: Uuid, number: usize) -> anyhow::Result<()> {
    let (answer, _) = match number.checked_sub(1) {
        None => shop.pay(order).await?,
        Some(later) => {
            let status = FULFILMENT.get(later).context("an order has four steps")?;
            shop.advance(order, status).await?
        }
    };
    ensure!(
        answer == Step::Done,
        "order_{order}: step {} was refused: {answer:?}",
        number + 1
    );
    Ok(())
}

/// How many steps were taken in the quietest whole second of these times.
pub fn quietest_second(taken: &[Instant], times: &[(Instant, Instant)]) -> usize {
    let second = Duration::from_secs(1);
    let seconds = times.iter().flat_map(|(from, to)| {
        let whole = to.saturating_duration_since(*from).as_secs();
        (0..whole).map(move |number| *from + Duration::from_secs(number))
    });
    let counts = seconds.map(|from| {
        let within = |at: &&Instant| **at >= from && **at < from + second;
        taken.iter().filter(within).count()
    });
    counts.min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_has_four_steps_in_their_order_and_all_are_evenly_spread() {
        let schedule = evenly(50, Duration::from_secs(20));
        let mut all: Vec<Duration> = schedule.iter().flatten().copied().collect();
        assert!(
            schedule
                .iter()
                .all(|times| times.len() == STEPS && times.is_sorted())
        );
        all.sort_unstable();
        let expected: Vec<_> = (0..200).map(|n| Duration::from_millis(100) * n).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn the_quietest_second_is_that_of_the_fewest_steps() {
        let from = Instant::now();
        let at = |millis| from + Duration::from_millis(millis);
        let taken = [at(100), at(900), at(1_500), at(2_100), at(2_200)];
        assert_eq!(quietest_second(&taken, &[(from, at(3_000))]), 1);
        assert_eq!(quietest_second(&taken, &[(from, at(4_000))]), 0);
        assert_eq!(quietest_second(&taken, &[]), 0);
    }
}
