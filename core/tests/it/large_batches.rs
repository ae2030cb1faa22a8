//! Batches as large as the settings and limits allow: `MySQL` takes only so much in one statement.

use futures::future::join_all;
use shop_core::commands::Call;
use shop_core::commands::orders::{CreateOrder, Settled, StockVerdict, create_order};
use shop_core::commands::stock::OrderRecord;
use shop_core::domain::limits::ORDER_LINES;
use shop_core::domain::order::{NewLine, Shortage};
use shop_core::domain::stock::{Decision, HoldState, OrderFacts, Units};
use shop_core::domain::{EventId, Order, OrderId, OrderStatus, Product};
use shop_core::runtime::ids;
use shop_core::testkit::TestDb;

use crate::settle::{settle, settle_stock, verdict};

/// As many products as an order has lines at most.
async fn catalogue(db: &TestDb) -> Vec<Product> {
    join_all((0..ORDER_LINES).map(|_| db.product(1_000))).await
}

fn record(products: &[Product]) -> OrderRecord {
    let lines = products.iter().map(|product| Units {
        product_id: product.id,
        quantity: 1,
    });
    OrderRecord {
        event_id: EventId::from_uuid(ids::fresh()),
        trace: None,
        facts: OrderFacts {
            order_id: OrderId::from_uuid(ids::fresh()),
            order_version: 1,
            status: OrderStatus::Pending,
            lines: lines.collect(),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_for_14_000_lines_is_settled_at_once() {
    let db = TestDb::new().await;
    let products = catalogue(&db).await;
    let records: Vec<_> = (0..140).map(|_| record(&products)).collect();
    let decided = settle_stock(&db, &records).await;
    assert_eq!(decided, vec![Decision::Decided(HoldState::Held); 140]);
    assert_eq!(db.count("SELECT SUM(reserved) FROM stock").await, 14_000);
    assert_eq!(db.ledger_differences().await, 0);
    db.take_outbox().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_with_11_000_lines_are_rejected_at_once() {
    let db = TestDb::new().await;
    let products = catalogue(&db).await;
    let customer_id = db.customer().await.id;
    let place = async || -> Order {
        let lines = products.iter().map(|product| NewLine {
            product_id: product.id,
            quantity: 1,
            expected_unit_price: None,
        });
        let lines = lines.collect();
        let cmd = CreateOrder { customer_id, lines };
        create_order(db.db(), &Call::now(None), cmd)
            .await
            .expect("an order")
    };
    let orders = join_all((0..110).map(|_| place())).await;
    let short = |product: &Product| Shortage {
        product_id: product.id,
        requested: 1,
        available: 0,
    };
    let verdicts: Vec<_> = orders
        .iter()
        .map(|order| {
            let shortages = products.iter().map(short).collect();
            verdict(order, StockVerdict::Rejected(shortages))
        })
        .collect();
    assert_eq!(settle(&db, &verdicts).await, vec![Settled::Changed; 110]);
    let stored = "SELECT COUNT(*) FROM order_items WHERE short_available = 0";
    assert_eq!(db.count(stored).await, 11_000);
    db.take_outbox().await;
}
