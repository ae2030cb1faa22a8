//! Orders: lossless, and gone when deleted, except for how they got there.

use shop_core::domain::OrderStatus;
use shop_core::domain::order::TimelineEntry;
use shop_core::testkit::{Histories, TestViews};
use shop_core::views::{DeletedOrder, OrderFilter, OrderState, PageRequest};

#[tokio::test]
async fn every_state_of_an_order_reads_back_exactly() {
    let views = TestViews::new().await;
    let mut histories = Histories::new(21);
    let mut seen = std::collections::HashSet::new();
    let (mut refunds, mut deleted) = (0, 0);
    for _ in 0..40 {
        for order in histories.order() {
            views
                .apply_orders(std::slice::from_ref(&order))
                .await
                .expect("a write");
            seen.insert(order.status);
            refunds += order
                .payments
                .iter()
                .filter(|p| p.refund_due_version.is_some())
                .count();
            deleted += usize::from(order.deleted);
            let expected = Some(order.clone()).filter(|order| !order.deleted);
            assert_eq!(views.order(order.id).await.expect("a read"), expected);
            let state = views
                .order_state(order.id)
                .await
                .expect("a read")
                .expect("a state");
            assert_eq!(state.version(), order.version);
            assert_eq!(matches!(state, OrderState::Deleted(_)), order.deleted);
        }
    }
    assert_eq!(
        seen.len(),
        OrderStatus::ALL.len(),
        "the seed leaves a status out: {seen:?}"
    );
    assert!(
        refunds > 0 && deleted > 0,
        "the seed makes up too little: {refunds} {deleted}"
    );
}

#[tokio::test]
async fn a_deleted_order_keeps_its_statuses_and_nothing_personal() {
    let views = TestViews::new().await;
    let mut histories = Histories::new(22);
    let history = std::iter::repeat_with(|| histories.order())
        .find(|history| history.last().is_some_and(|order| order.deleted))
        .expect("chance deletes one");
    for order in &history {
        views
            .apply_orders(std::slice::from_ref(order))
            .await
            .expect("a write");
    }
    let order = history.last().expect("a last one");
    views
        .apply_orders(&history[..1])
        .await
        .expect("a late repeat");

    let [document] = &views.raw("orders").await[..] else {
        panic!("one document")
    };
    let fields: Vec<&str> = document.keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        [
            "_id",
            "version",
            "deleted",
            "status",
            "timeline",
            "created_at",
            "updated_at"
        ]
    );
    let timeline = order
        .timeline
        .iter()
        .map(|entry| TimelineEntry {
            reason: None,
            ..entry.clone()
        })
        .collect();
    let left = DeletedOrder {
        id: order.id,
        version: order.version,
        status: order.status,
        timeline,
        created_at: order.created_at,
        updated_at: order.updated_at,
    };
    assert_eq!(
        views.order_state(order.id).await.expect("a read"),
        Some(OrderState::Deleted(left))
    );
    assert_eq!(views.order(order.id).await.expect("a read"), None);
    assert_eq!(views.orders(&[order.id]).await.expect("a read"), []);
    let page = views
        .list_orders(&OrderFilter::default(), PageRequest::first(10))
        .await;
    assert_eq!(page.expect("a page").items, []);
}

#[tokio::test]
async fn an_order_that_never_was_has_no_state() {
    let views = TestViews::new().await;
    let order = Histories::new(23).order().swap_remove(0);
    assert_eq!(views.order_state(order.id).await.expect("a read"), None);
    assert_eq!(views.orders(&[]).await.expect("a read"), []);
    views
        .apply_orders(std::slice::from_ref(&order))
        .await
        .expect("a write");
    let other = Histories::new(24).order().swap_remove(0);
    assert_eq!(
        views.orders(&[other.id, order.id]).await.expect("a read"),
        [order]
    );
}
