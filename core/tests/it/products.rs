//! Commands that write `products` and count `stock`.

use shop_core::commands::Call;
use shop_core::commands::products::{
    CreateProduct, UpdateProduct, create_product, delete_product, update_product,
};
use shop_core::commands::stock::{AdjustStock, AdjustmentReason, adjust_stock};
use shop_core::domain::product::ProductChange;
use shop_core::domain::refusal::RefusalCode;
use shop_core::domain::{Money, ProductId};
use shop_core::events::EventType;
use shop_core::testkit::TestDb;

use crate::orders::refusal_of;

fn call() -> Call {
    Call::now(None)
}

fn eur(minor: i64) -> Money {
    Money {
        minor,
        currency: "EUR".parse().expect("a currency"),
    }
}

fn adjust(product_id: ProductId, delta: i64, reason: AdjustmentReason) -> AdjustStock {
    AdjustStock {
        product_id,
        delta,
        reason,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_created_with_its_stock_changed_and_deleted() {
    let db = TestDb::new().await;
    let product = db.product(7).await;
    let change = ProductChange {
        price: Some(eur(999)),
        ..ProductChange::default()
    };
    let cmd = UpdateProduct {
        id: product.id,
        change,
    };
    let updated = update_product(db.db(), &call(), cmd.clone())
        .await
        .expect("updated");
    assert_eq!((updated.version, updated.price), (2, eur(999)));
    let same = update_product(db.db(), &call(), cmd)
        .await
        .expect("nothing to change");
    assert_eq!(same.version, 2);
    delete_product(db.db(), &call(), product.id)
        .await
        .expect("deleted");

    let events: Vec<_> = db
        .take_outbox()
        .await
        .into_iter()
        .map(|e| (e.kind, e.version))
        .collect();
    assert_eq!(
        events,
        [
            (EventType::ProductCreated, 1),
            (EventType::StockLevelChanged, 1),
            (EventType::ProductUpdated, 2),
            (EventType::StockLevelChanged, 2),
            (EventType::ProductDeleted, 3),
        ]
    );
    assert_eq!(
        db.count("SELECT COUNT(*) FROM stock WHERE sellable").await,
        0
    );
    let gone = refusal_of(delete_product(db.db(), &call(), product.id).await);
    assert_eq!(gone.code(), RefusalCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_fields_of_a_product_are_named_and_change_nothing() {
    let db = TestDb::new().await;
    let good = || CreateProduct {
        name: "Mug".into(),
        description: String::new(),
        price: eur(100),
        stock: 1,
    };
    for (cmd, field) in [
        (
            CreateProduct {
                name: " ".into(),
                ..good()
            },
            "name",
        ),
        (
            CreateProduct {
                price: eur(-1),
                ..good()
            },
            "price.amount",
        ),
        (
            CreateProduct {
                stock: -1,
                ..good()
            },
            "stock",
        ),
        (
            CreateProduct {
                stock: 1 << 40,
                ..good()
            },
            "stock",
        ),
        (
            CreateProduct {
                description: "x".repeat(5_001),
                ..good()
            },
            "description",
        ),
    ] {
        let refused = refusal_of(create_product(db.db(), &call(), cmd).await);
        assert_eq!(refused.field_path().join("."), field);
    }
    assert_eq!(db.count("SELECT COUNT(*) FROM products").await, 0);
    assert_eq!(db.count("SELECT COUNT(*) FROM outbox").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_counted_through_the_ledger_and_never_below_zero() {
    let db = TestDb::new().await;
    let product = db.product(5).await;
    let more = adjust(product.id, 10, AdjustmentReason::Received);
    assert_eq!(
        adjust_stock(db.db(), &call(), more)
            .await
            .expect("received")
            .on_hand,
        15
    );
    let fewer = adjust(product.id, -15, AdjustmentReason::Correction);
    assert_eq!(
        adjust_stock(db.db(), &call(), fewer)
            .await
            .expect("corrected")
            .on_hand,
        0
    );
    db.take_outbox().await;
    for (delta, reason, code) in [
        (-1, AdjustmentReason::Correction, RefusalCode::StockReserved),
        (0, AdjustmentReason::Correction, RefusalCode::InvalidInput),
        (-1, AdjustmentReason::Received, RefusalCode::InvalidInput),
        (
            1 << 40,
            AdjustmentReason::Received,
            RefusalCode::InvalidInput,
        ),
    ] {
        let cmd = adjust(product.id, delta, reason);
        assert_eq!(
            refusal_of(adjust_stock(db.db(), &call(), cmd).await).code(),
            code
        );
    }
    let unknown = ProductId::from_uuid(shop_core::runtime::ids::fresh());
    let cmd = adjust(unknown, 1, AdjustmentReason::Received);
    assert_eq!(
        refusal_of(adjust_stock(db.db(), &call(), cmd).await).code(),
        RefusalCode::NotFound
    );
    assert_eq!(db.ledger_differences().await, 0);
}
