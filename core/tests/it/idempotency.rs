//! Commands under an idempotency key: one effect, one answer, whatever comes twice, at once, late or half.

mod keys;
mod life;
mod twins;
mod versions;

use std::time::Duration;

use shop_core::commands::Call;
use shop_core::commands::orders::CreateOrder;
use shop_core::commands::products::CreateProduct;
use shop_core::commands::users::{CreateUser, UpdateUser};
use shop_core::db::idempotency::Key;
use shop_core::domain::order::NewLine;
use shop_core::domain::{Money, Principal, ProductId, RequestKey, User, UserId};
use shop_core::runtime::ids;
use shop_core::testkit::TestDb;

const DAY: Duration = Duration::from_hours(24);
const TABLES: [&str; 4] = ["stock", "orders", "stock_orders", "stock_movements"];

fn key() -> Key {
    Key {
        principal: Principal::from(UserId::from_uuid(uuid::Uuid::nil())),
        key: RequestKey::from_uuid(ids::fresh()),
        ttl: DAY,
    }
}

fn under(key: &Key) -> Call {
    Call {
        key: Some(key.clone()),
        ..Call::now(None)
    }
}

fn ada(email: &str) -> CreateUser {
    CreateUser {
        name: "Ada".into(),
        email: email.into(),
    }
}

fn mug() -> CreateProduct {
    let currency = "EUR".parse().expect("a currency");
    CreateProduct {
        name: "Mug".into(),
        description: String::new(),
        price: Money {
            minor: 250,
            currency,
        },
        stock: 5,
    }
}

fn order_of(customer_id: UserId, product_id: ProductId) -> CreateOrder {
    let line = NewLine {
        product_id,
        quantity: 1,
        expected_unit_price: None,
    };
    CreateOrder {
        customer_id,
        lines: vec![line],
    }
}

fn renamed(user: &User, name: &str) -> UpdateUser {
    UpdateUser {
        id: user.id,
        name: Some(name.into()),
        email: None,
    }
}

/// All state and how much was ever emitted.
async fn everything(db: &TestDb) -> String {
    let mut lines = vec![db.dump(&TABLES).await];
    for sum in [
        "SELECT COALESCE(SUM(version), 0) FROM users",
        "SELECT COALESCE(SUM(version), 0) FROM products",
        "SELECT COUNT(*) FROM order_transitions",
        "SELECT COUNT(*) FROM payments",
        "SELECT COUNT(*) FROM outbox",
        "SELECT COUNT(*) FROM idempotency_keys",
    ] {
        lines.push(format!("{sum}: {}", db.count(sum).await));
    }
    lines.join("\n")
}
