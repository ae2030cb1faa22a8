//! `KILL=1`: every program is killed three times while orders are in flight.

use std::time::{Duration, Instant};

use crate::programs::{PROGRAMS, Programs};
use crate::stage::Load;
use crate::stage::Run;

/// `PAYMENT_TIMEOUT` while programs are killed: longer than they are away, so that who pays in time is not called off.
pub const PAYMENT_TIMEOUT: &str = "12s";
/// From the last kill on.
pub const CONVERGE_BOUND: Duration = Duration::from_mins(1);
/// How often each program is killed.
const TIMES: usize = 3;
/// Before the first kill, so that there is something in flight.
const WARM_UP: Duration = Duration::from_secs(2);

/// Runs orders, kills programs meanwhile. Returns when the last of them was killed.
///
/// # Errors
/// If a program does not come back.
pub async fn run(run: &Run, programs: &Programs, orders: usize) -> anyhow::Result<Instant> {
    let (load, mut clients) = Load::start(run);
    tokio::time::sleep(WARM_UP).await;
    let mut victims: Vec<&str> = PROGRAMS.repeat(TIMES);
    fastrand::shuffle(&mut victims);
    let total = victims.len();
    let mut last = Instant::now();
    for (number, victim) in victims.into_iter().enumerate() {
        if number >= total / 2 {
            load.nobody_leaves();
        }
        // At random moments: of a transaction, a batch, a rebalance, a start.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(200..2_500))).await;
        // The last kill comes when there were enough orders, so that what follows it is only the healing.
        while number + 1 == total && load.counts().1 < orders {
            let (started, finished) = load.counts();
            run.progress.set(format!(
                "{started} orders sent, {finished} of {orders} through"
            ));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        while load.in_flight() == 0 || !programs.kill(victim) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        last = Instant::now();
        let (started, finished) = load.counts();
        let number = number + 1;
        run.progress.set(format!(
            "kill {number} of {total}: {victim}; {started} orders sent, {finished} through"
        ));
    }
    load.stop();
    run.progress.set("the last orders after the last kill");
    while clients.join_next().await.is_some() {}
    programs.ready(CONVERGE_BOUND).await?;
    Ok(last)
}
