//! Orders that several want at the same time, and units that are fewer than their buyers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::join_all;
use mysql_async::prelude::Queryable;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::programs;
use crate::chaos::scene::Scene;
use crate::check::Violation;
use crate::check::evidence::{Kind, Line};
use crate::check::read::mysql;
use crate::client::shop::Placed;
use crate::stage::Run;
use crate::stage::catalogue::create_product;

/// How many orders are fought over at once.
const ORDERS: usize = 12;
/// How long a frame may take.
const BOUND: Duration = Duration::from_mins(3);
const BUYERS: usize = 500;
const UNITS: usize = 100;
/// How many of the buyers are in the shop at once.
const AT_ONCE: usize = 120;

/// Just as an order's payment time runs out it is paid, and called off, by different people.
pub async fn pay_cancel_expiry(scene: &Scene) -> anyhow::Result<()> {
    let fights = (0..ORDERS).map(|_| {
        // The payment time of this shop is two seconds; it is looked at every 0.2.
        let wait = scene.some_millis(1_750..2_250);
        async move {
            let Some(placed) = confirmed(&scene.run).await? else {
                return Ok(());
            };
            tokio::time::sleep(wait).await;
            scene.note_with(1);
            let shop = &scene.run.shop;
            let (paid, canceled) =
                tokio::join!(shop.pay(placed.id), shop.cancel(placed.id, "too slow"));
            paid?;
            canceled?;
            scene.run.watch_on(placed.watch);
            anyhow::Ok(())
        }
    });
    join_all(fights).await.into_iter().collect()
}

/// Eight mutations at once on each order: four payments, a cancellation, three steps of its fulfilment.
pub async fn parallel_mutations(scene: &Scene) -> anyhow::Result<()> {
    let fights = (0..ORDERS).map(|_| async move {
        let Some(placed) = confirmed(&scene.run).await? else {
            return Ok(());
        };
        scene.note_with(8);
        // With keys: of four who pay, who is told that it is paid is not who paid, though an answer was lost.
        let (shop, id) = (&scene.run.shop.always_keyed(), placed.id);
        let pay = || async { shop.pay(id).await.map(|_| ()) };
        let advance = |to| async move { shop.advance(id, to).await.map(|_| ()) };
        let cancel = async { shop.cancel(id, "second thoughts").await.map(|_| ()) };
        tokio::try_join!(
            pay(),
            pay(),
            cancel,
            pay(),
            advance("PROCESSING"),
            pay(),
            advance("PROCESSING"),
            advance("SHIPPED"),
        )?;
        scene.run.watch_on(placed.watch);
        anyhow::Ok(())
    });
    join_all(fights).await.into_iter().collect()
}

/// An order whose stock is held; `None` if its answer was lost or it was overtaken.
async fn confirmed(run: &Run) -> anyhow::Result<Option<Placed>> {
    let (customer, lines) = (run.catalogue.customer(), run.catalogue.some_lines());
    let Some(placed) = run.shop.create_order(customer, &lines).await? else {
        return Ok(None);
    };
    placed.watch.reached(&["CONFIRMED"], BOUND).await?;
    Ok(Some(placed))
}

/// 500 buyers for 100 units, while stock-reservation is killed at random: exactly 100 get one.
pub async fn many_buyers(scene: &Scene) -> anyhow::Result<()> {
    let product = create_product(&scene.run.shop, "The rarest mug", i64::try_from(UNITS)?).await?;
    let (door, inside) = (
        Arc::new(Semaphore::new(AT_ONCE)),
        Arc::new(AtomicUsize::new(0)),
    );
    let buyers = (0..BUYERS).map(|_| {
        let (run, door, inside) = (scene.run.clone(), Arc::clone(&door), Arc::clone(&inside));
        tokio::spawn(async move {
            let _place = door.acquire_owned().await?;
            inside.fetch_add(1, Ordering::SeqCst);
            let bought = buy(&run, product).await;
            inside.fetch_sub(1, Ordering::SeqCst);
            bought
        })
    });
    let buyers: Vec<_> = buyers.collect();
    let everybody = async {
        let mut got = 0;
        for buyer in buyers {
            got += usize::from(buyer.await??);
        }
        anyhow::Ok(got)
    };
    tokio::pin!(everybody);
    let victims = scene.programs.labels_of("stock-reservation");
    let started = Instant::now();
    let mut kills = 0;
    let got = loop {
        tokio::select! {
            got = &mut everybody => break got?,
            () = tokio::time::sleep(scene.some_millis(300..900)) => {
                let victim = scene.one_of(&victims)?;
                if scene.back.kill(&victim) {
                    kills += 1;
                    scene.note_with(inside.load(Ordering::SeqCst));
                }
            }
        }
    };
    let mut conn = mysql::connect(&scene.site.mysql_dsn).await?;
    let held: Option<(u32, u32)> = conn
        .exec_first(
            "SELECT on_hand, reserved FROM stock WHERE product_id = UUID_TO_BIN(?)",
            (product.to_string(),),
        )
        .await?;
    conn.disconnect().await?;
    let (on_hand, reserved) = held.context("the product has no stock")?;
    let units = u32::try_from(UNITS)?;
    if got != UNITS || (on_hand, reserved) != (units, units) {
        let problem =
            format!("{got} of {BUYERS} buyers got one, {reserved} of {on_hand} units are held");
        scene.violate(Violation::new(3, Kind::Product.id(product), problem));
    }
    let seconds = started.elapsed().as_secs_f64();
    scene.remark(format!(
        "{got} of {BUYERS} got one, {reserved} held, {kills} kills in {seconds:.0} s"
    ));
    while kills < 5 {
        // Everybody was served before there were enough: the others are killed while the usual clients go on.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let victim = scene.one_of(&victims)?;
        programs::kill_one(scene, &victim).await;
        kills += 1;
    }
    Ok(())
}

/// Buys one unit; whether it was to be had.
async fn buy(run: &Run, product: Uuid) -> anyhow::Result<bool> {
    let lines = [Line {
        product,
        quantity: 1,
    }];
    let shop = run.shop.always_keyed();
    let placed = shop.create_order(run.catalogue.customer(), &lines).await?;
    let placed = placed.context("createOrder was not answered")?;
    let arrival = placed
        .watch
        .reached(&["CONFIRMED", "REJECTED"], BOUND)
        .await?;
    run.watch_on(placed.watch);
    Ok(arrival.frame.status == "CONFIRMED")
}
