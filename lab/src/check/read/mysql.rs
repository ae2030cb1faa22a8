//! Reads the write side: all tables as of one moment.

use std::collections::BTreeMap;

use anyhow::Context;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::check::evidence::{Entity, Hold, Kind, Line, Movement, OutboxRow, WriteSide};

/// Opens a connection.
///
/// # Errors
/// If the address makes no sense or the server does not answer.
pub async fn connect(dsn: &str) -> anyhow::Result<Conn> {
    let opts = Opts::from_url(dsn).context("MYSQL_DSN is not an address")?;
    Ok(Conn::new(opts).await?)
}

/// Reads every table that the check looks at, in one consistent snapshot.
///
/// # Errors
/// If the server does not answer, or a row makes no sense.
pub async fn read(dsn: &str) -> anyhow::Result<WriteSide> {
    let mut conn = connect(dsn).await?;
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    let mut write = WriteSide::default();
    for (kind, sql) in [
        (Kind::User, USERS),
        (Kind::Product, PRODUCTS),
        (Kind::StockLevel, STOCK),
    ] {
        write.entities.insert(kind, entities(&mut conn, sql).await?);
    }
    write.entities.insert(Kind::Order, orders(&mut conn).await?);
    write.holds = holds(&mut conn).await?;
    write.movements = movements(&mut conn).await?;
    write.outbox = outbox(&mut conn).await?;
    conn.query_drop("COMMIT").await?;
    conn.disconnect().await?;
    Ok(write)
}

/// A `DATETIME(3)` in milliseconds since 1970, whatever the session's time zone.
macro_rules! millis {
    ($column:literal) => {
        concat!(
            "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ",
            $column,
            ") DIV 1000"
        )
    };
}

macro_rules! money {
    ($minor:literal) => {
        concat!("JSON_OBJECT('minor', ", $minor, ", 'currency', currency)")
    };
}

macro_rules! deleted {
    () => {
        "CAST(IF(deleted_at IS NULL, 'false', 'true') AS JSON)"
    };
}

const USERS: &str = concat!(
    "SELECT BIN_TO_UUID(id), version, JSON_OBJECT('deleted', ",
    deleted!(),
    ", 'name', name, 'email', email, 'created_at', ",
    millis!("created_at"),
    ", 'updated_at', ",
    millis!("updated_at"),
    ") FROM users"
);
const PRODUCTS: &str = concat!(
    "SELECT BIN_TO_UUID(id), version, JSON_OBJECT('deleted', ",
    deleted!(),
    ", 'name', name, 'description', description, 'price', ",
    money!("price_minor"),
    ", 'created_at', ",
    millis!("created_at"),
    ", 'updated_at', ",
    millis!("updated_at"),
    ") FROM products"
);
const STOCK: &str = "SELECT BIN_TO_UUID(product_id), version, JSON_OBJECT('on_hand', on_hand, 'reserved', reserved, \
     'sellable', CAST(IF(sellable, 'true', 'false') AS JSON)) FROM stock";
const ORDERS: &str = concat!(
    "SELECT BIN_TO_UUID(id), version, JSON_OBJECT('deleted', ",
    deleted!(),
    ", 'status', status, 'customer_id', BIN_TO_UUID(customer_id), 'customer_name', customer_name, 'total', ",
    money!("total_minor"),
    ", 'created_at', ",
    millis!("created_at"),
    ", 'updated_at', ",
    millis!("updated_at"),
    ") FROM orders"
);
/// The currency of an item is its order's.
const ITEMS: &str = "SELECT BIN_TO_UUID(order_id), JSON_OBJECT('product_id', BIN_TO_UUID(product_id), \
     'product_name', product_name, 'unit_price', JSON_OBJECT('minor', unit_price_minor, 'currency', currency), \
     'quantity', quantity), short_available \
     FROM order_items JOIN orders ON orders.id = order_id ORDER BY order_id, line";
const PAYMENTS: &str = concat!(
    "SELECT BIN_TO_UUID(order_id), JSON_OBJECT('method', method, 'reference', reference, 'amount', ",
    money!("amount_minor"),
    ", 'recorded_at', ",
    millis!("recorded_at"),
    ", 'recorded_version', recorded_version, 'refund_due_version', refund_due_version), state ",
    "FROM payments ORDER BY order_id, recorded_version"
);
const TRANSITIONS: &str = concat!(
    "SELECT BIN_TO_UUID(order_id), JSON_OBJECT('version', version, 'from', from_status, 'to', to_status, ",
    "'reason', reason, 'actor', actor, 'at', ",
    millis!("at"),
    ") FROM order_transitions ORDER BY order_id, version"
);

async fn entities(conn: &mut Conn, sql: &str) -> anyhow::Result<BTreeMap<Uuid, Entity>> {
    let rows: Vec<(String, u32, String)> = conn.query(sql).await?;
    rows.into_iter()
        .map(|(id, version, state)| {
            Ok((
                id.parse()?,
                Entity {
                    version,
                    state: serde_json::from_str(&state)?,
                },
            ))
        })
        .collect()
}

async fn orders(conn: &mut Conn) -> anyhow::Result<BTreeMap<Uuid, Entity>> {
    let mut orders = entities(conn, ORDERS).await?;
    for order in orders.values_mut() {
        for list in ["items", "shortages", "payments", "timeline"] {
            order.state[list] = json!([]);
        }
    }
    let mut push = |id: &str, list: &str, value: Value| -> anyhow::Result<()> {
        let order = orders
            .get_mut(&Uuid::try_parse(id)?)
            .context("a row of no order")?;
        order.state[list]
            .as_array_mut()
            .context("a list")?
            .push(value);
        Ok(())
    };
    let items: Vec<(String, String, Option<u32>)> = conn.query(ITEMS).await?;
    for (id, item, short) in items {
        let item: Value = serde_json::from_str(&item)?;
        if let Some(available) = short {
            let short = json!({
                "product_id": item["product_id"],
                "requested": item["quantity"],
                "available": available,
            });
            push(&id, "shortages", short)?;
        }
        push(&id, "items", item)?;
    }
    let payments: Vec<(String, String, String)> = conn.query(PAYMENTS).await?;
    for (id, payment, state) in payments {
        let payment: Value = serde_json::from_str(&payment)?;
        let due = !payment["refund_due_version"].is_null();
        anyhow::ensure!(
            due == (state == "REFUND_DUE"),
            "payment {} of order {id} is {state}, its refund_due_version is {}",
            payment["reference"],
            payment["refund_due_version"]
        );
        push(&id, "payments", payment)?;
    }
    let transitions: Vec<(String, String)> = conn.query(TRANSITIONS).await?;
    for (id, entry) in transitions {
        push(&id, "timeline", serde_json::from_str(&entry)?)?;
    }
    Ok(orders)
}

async fn holds(conn: &mut Conn) -> anyhow::Result<BTreeMap<Uuid, Hold>> {
    let rows: Vec<(String, String, u32)> = conn
        .query("SELECT BIN_TO_UUID(order_id), state, version FROM stock_orders")
        .await?;
    let mut holds = BTreeMap::new();
    for (id, state, version) in rows {
        let hold = Hold {
            state,
            version,
            lines: Vec::new(),
            short: Vec::new(),
        };
        holds.insert(Uuid::try_parse(&id)?, hold);
    }
    let lines: Vec<(String, String, i64, Option<i64>)> = conn
        .query(
            "SELECT BIN_TO_UUID(order_id), BIN_TO_UUID(product_id), quantity, short_available FROM stock_order_lines",
        )
        .await?;
    for (id, product, quantity, short) in lines {
        let product = Uuid::try_parse(&product)?;
        let hold = holds
            .get_mut(&Uuid::try_parse(&id)?)
            .context("a line of no hold")?;
        match short {
            None => hold.lines.push(Line { product, quantity }),
            Some(available) => hold.short.push(Line {
                product,
                quantity: available,
            }),
        }
    }
    Ok(holds)
}

async fn movements(conn: &mut Conn) -> anyhow::Result<Vec<Movement>> {
    let rows: Vec<(u64, String, Option<String>, String, i64)> = conn
        .query(
            "SELECT id, BIN_TO_UUID(product_id), BIN_TO_UUID(order_id), kind, quantity FROM stock_movements ORDER BY id",
        )
        .await?;
    rows.into_iter()
        .map(|(id, product, order, kind, quantity)| {
            let order = order.map(|order| Uuid::try_parse(&order)).transpose()?;
            Ok(Movement {
                id,
                product: product.parse()?,
                order,
                kind,
                quantity,
            })
        })
        .collect()
}

async fn outbox(conn: &mut Conn) -> anyhow::Result<Vec<OutboxRow>> {
    let rows: Vec<(u64, String, String, String, u32, String, bool)> = conn
        .query(
            "SELECT seq, BIN_TO_UUID(event_id), aggregate_type, BIN_TO_UUID(aggregate_id), version, event_type, \
             processed_at IS NOT NULL FROM outbox ORDER BY seq",
        )
        .await?;
    rows.into_iter()
        .map(|(seq, event_id, word, id, version, event_type, sent)| {
            let kind = Kind::from_word(&word)
                .with_context(|| format!("outbox row {seq} is about a {word:?}"))?;
            let (event_id, id) = (event_id.parse()?, id.parse()?);
            Ok(OutboxRow {
                seq,
                event_id,
                kind,
                id,
                version,
                event_type,
                sent,
            })
        })
        .collect()
}
