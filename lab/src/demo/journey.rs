//! Orders on their undisturbed way, one scenario each.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;
use uuid::Uuid;

use crate::check::evidence::Line;
use crate::client::documents;
use crate::client::shop::{Placed, Step};
use crate::stage::Run;
use crate::stage::catalogue::{Catalogue, create_product};
use crate::stage::figures::Hop;

/// `PAYMENT_TIMEOUT` of the journey: orders are paid within a fraction of it, but for those that never are. A starved machine takes six
/// seconds to confirm one.
pub const PAYMENT_TIMEOUT: &str = "12s";
/// How long a frame may take.
const BOUND: Duration = Duration::from_secs(30);
/// How many orders go each of the ways that are not measured one at a time.
const EACH: usize = 3;

/// Runs every scenario, then `orders` orders one at a time.
///
/// # Errors
/// If something happens that should not.
pub async fn run(run: &Run, orders: usize) -> anyhow::Result<()> {
    let unpaid = {
        let run = run.clone();
        tokio::spawn(async move {
            let orders: Vec<_> = (0..EACH).map(|_| unpaid(&run)).collect();
            futures::future::try_join_all(orders).await
        })
    };
    run.progress
        .set("orders: rejected for stock, canceled, paid too late");
    for _ in 0..EACH {
        rejected(run)
            .await
            .context("an order for more than there is")?;
        canceled(run).await.context("an order that is canceled")?;
        delivered_and_queried(run)
            .await
            .context("an order that is delivered and queried")?;
    }
    // What follows is measured one order at a time; of the orders so far only the hops that it does not have.
    run.figures
        .forget_but(&[Hop::CreateRejected, Hop::CancelCanceled]);
    for number in 1..=orders {
        run.progress
            .set(format!("orders, one at a time: {number} of {orders}"));
        delivered(run)
            .await
            .with_context(|| format!("order {number} of {orders}"))?;
    }
    run.progress.set("orders whose payment time runs out");
    unpaid.await?.context("an order that nobody pays")?;
    Ok(())
}

/// Places an order; here every answer comes.
async fn place(run: &Run, lines: &[Line]) -> anyhow::Result<Placed> {
    let placed = run
        .shop
        .create_order(run.catalogue.customer(), lines)
        .await?;
    let placed = placed.context("createOrder was not answered")?;
    run.figures
        .note(Hop::CreateAnswered, placed.answered - placed.sent);
    run.keep(placed.id);
    Ok(placed)
}

async fn confirmed(run: &Run, lines: &[Line]) -> anyhow::Result<Placed> {
    let placed = place(run, lines).await?;
    let confirmed = placed.watch.reached(&["CONFIRMED"], BOUND).await?;
    run.figures
        .note(Hop::CreateConfirmed, confirmed.at - placed.sent);
    // The subscription is opened after the answer: its snapshot may have left PENDING behind.
    if let Some(pending) = placed.watch.first("PENDING") {
        run.figures
            .note(Hop::CreatePending, pending.at - placed.sent);
    }
    Ok(placed)
}

/// Takes a step and waits for its frame.
async fn step(
    run: &Run,
    placed: &Placed,
    hop: Hop,
    status: &str,
    step: impl Future<Output = anyhow::Result<(Step, Instant)>>,
) -> anyhow::Result<()> {
    let (answer, sent) = step.await?;
    ensure!(
        answer == Step::Done,
        "order_{}: no step to {status}: {answer:?}",
        placed.id
    );
    let arrival = placed.watch.reached(&[status], BOUND).await?;
    run.figures
        .note(hop, arrival.at.saturating_duration_since(sent));
    Ok(())
}

const FULFILMENT: [(Hop, &str); 3] = [
    (Hop::UpdateProcessing, "PROCESSING"),
    (Hop::UpdateShipped, "SHIPPED"),
    (Hop::UpdateDelivered, "DELIVERED"),
];

async fn delivered(run: &Run) -> anyhow::Result<()> {
    let placed = confirmed(run, &run.catalogue.some_lines()).await?;
    step(run, &placed, Hop::PayPaid, "PAID", run.shop.pay(placed.id)).await?;
    for (hop, status) in FULFILMENT {
        step(
            run,
            &placed,
            hop,
            status,
            run.shop.advance(placed.id, status),
        )
        .await?;
    }
    run.watch_on(placed.watch);
    Ok(())
}

/// The same, and after each frame the view is asked: it was written before the frame was sent.
async fn delivered_and_queried(run: &Run) -> anyhow::Result<()> {
    let placed = confirmed(run, &run.catalogue.some_lines()).await?;
    view_says(run, placed.id, "CONFIRMED").await?;
    step(run, &placed, Hop::PayPaid, "PAID", run.shop.pay(placed.id)).await?;
    view_says(run, placed.id, "PAID").await?;
    let (again, _) = run.shop.pay(placed.id).await?;
    ensure!(
        again == Step::Refused("ALREADY_PAID".to_owned(), None),
        "paid twice: {again:?}"
    );
    for (hop, status) in FULFILMENT {
        step(
            run,
            &placed,
            hop,
            status,
            run.shop.advance(placed.id, status),
        )
        .await?;
        view_says(run, placed.id, status).await?;
    }
    let (too_late, _) = run.shop.cancel(placed.id, "changed my mind").await?;
    ensure!(
        matches!(&too_late, Step::Refused(code, _) if code == "ILLEGAL_TRANSITION"),
        "a delivered order was canceled: {too_late:?}"
    );
    run.watch_on(placed.watch);
    Ok(())
}

async fn view_says(run: &Run, order: Uuid, status: &str) -> anyhow::Result<()> {
    let found = order_view(run, order).await?;
    ensure!(
        found["status"] == status,
        "order_{order}: the frame said {status}, the view {found}"
    );
    Ok(())
}

async fn order_view(run: &Run, order: Uuid) -> anyhow::Result<serde_json::Value> {
    let variables = json!({ "id": format!("order_{order}") });
    let buyer = run.shop.buyer(order)?;
    let view = run.shop.query(&buyer, documents::ORDER, variables);
    Ok(view.await?["order"].clone())
}

async fn rejected(run: &Run) -> anyhow::Result<()> {
    let placed = place(run, &run.catalogue.too_much()).await?;
    let rejected = placed.watch.reached(&["REJECTED"], BOUND).await?;
    run.figures
        .note(Hop::CreateRejected, rejected.at - placed.sent);
    let (requested, available) = Catalogue::TOO_MUCH;
    let product = format!("product_{}", run.catalogue.scarce);
    let expected =
        json!([{ "productId": product, "requested": requested, "available": available }]);
    let view = order_view(run, placed.id).await?;
    ensure!(
        view["shortages"] == expected,
        "order_{}: a rejection should name {expected}, the view says {view}",
        placed.id
    );
    run.watch_on(placed.watch);
    Ok(())
}

/// One order is canceled before it is paid, another after; a payment that comes too late is noted for refund. All units
/// are back at the end.
async fn canceled(run: &Run) -> anyhow::Result<()> {
    let product = create_product(&run.shop, "A mug that comes back", 10).await?;
    let lines = [Line {
        product,
        quantity: 4,
    }];

    let unpaid = confirmed(run, &lines).await?;
    units_available(run, product, 6).await?;
    step(
        run,
        &unpaid,
        Hop::CancelCanceled,
        "CANCELED",
        run.shop.cancel(unpaid.id, "too slow"),
    )
    .await?;
    let (late, _) = run.shop.pay(unpaid.id).await?;
    ensure!(
        late == Step::Refused("REFUND_DUE".to_owned(), None),
        "paid too late: {late:?}"
    );

    let paid = confirmed(run, &lines).await?;
    step(run, &paid, Hop::PayPaid, "PAID", run.shop.pay(paid.id)).await?;
    step(
        run,
        &paid,
        Hop::CancelCanceled,
        "CANCELED",
        run.shop.cancel(paid.id, "too dear"),
    )
    .await?;
    units_available(run, product, 10).await?;
    for order in [&unpaid, &paid] {
        let view = order_view(run, order.id).await?;
        let due = view["payments"][0]["state"] == "REFUND_DUE";
        ensure!(
            due,
            "order_{}: its refund should be due, the view says {view}",
            order.id
        );
    }
    run.watch_on(unpaid.watch);
    run.watch_on(paid.watch);
    Ok(())
}

/// Waits until so many units can be ordered.
async fn units_available(run: &Run, product: Uuid, expected: i64) -> anyhow::Result<()> {
    let deadline = Instant::now() + BOUND;
    loop {
        let variables = json!({ "id": format!("product_{product}") });
        let shop = &run.shop;
        let view = shop.query(shop.staff(), documents::PRODUCT, variables);
        let view = view.await?;
        if view["product"]["stock"]["available"] == expected {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("product_{product}: {expected} units should be available, the view says {view}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn unpaid(run: &Run) -> anyhow::Result<()> {
    let placed = confirmed(run, &run.catalogue.some_lines()).await?;
    let since = placed
        .watch
        .first("CONFIRMED")
        .context("the frame is there")?
        .at;
    let canceled = placed.watch.reached(&["CANCELED"], BOUND).await?;
    run.figures.note(Hop::UnpaidCanceled, canceled.at - since);
    run.watch_on(placed.watch);
    Ok(())
}
