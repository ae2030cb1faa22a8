//! Reads events by the Protobuf JSON mapping, as the `.proto` files describe them: absent is zero, empty or false, 64 bit
//! numbers are strings, enum values carry their enum's name.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The version and the state that an event carries, in the form that the evidence has.
pub fn read(topic: &str, event: &Value) -> anyhow::Result<(u32, Value)> {
    let version = u32::try_from(number(&event["version"])?)?;
    let state = match topic {
        "users" => user(event)?,
        "products" => product(event)?,
        "orders" | "order-status" => order(event)?,
        "stock-levels" | "stock-status" => level(event)?,
        "stock" => decision(event)?,
        other => bail!("topic {other} is unknown"),
    };
    Ok((version, state))
}

fn user(event: &Value) -> anyhow::Result<Value> {
    Ok(json!({
        "deleted": truth(&event["deleted"]),
        "name": text(&event["name"]),
        "email": text(&event["email"]),
        "created_at": millis(&event["createdAt"])?,
        "updated_at": millis(&event["updatedAt"])?,
    }))
}

fn product(event: &Value) -> anyhow::Result<Value> {
    Ok(json!({
        "deleted": truth(&event["deleted"]),
        "name": text(&event["name"]),
        "description": text(&event["description"]),
        "price": money(&event["price"])?,
        "created_at": millis(&event["createdAt"])?,
        "updated_at": millis(&event["updatedAt"])?,
    }))
}

fn level(event: &Value) -> anyhow::Result<Value> {
    Ok(json!({
        "on_hand": number(&event["onHand"])?,
        "reserved": number(&event["reserved"])?,
        "sellable": truth(&event["sellable"]),
    }))
}

fn decision(event: &Value) -> anyhow::Result<Value> {
    let line = |line: &Value, quantity: &str| -> anyhow::Result<Value> {
        Ok(json!({ "product_id": text(&line["productId"]), "quantity": number(&line[quantity])? }))
    };
    Ok(json!({
        "state": word(&event["decision"], "DECISION_KIND_"),
        "lines": all(&event["lines"], |units| line(units, "quantity"))?,
        "short": all(&event["shortages"], |shortage| line(shortage, "available"))?,
    }))
}

fn order(event: &Value) -> anyhow::Result<Value> {
    Ok(json!({
        "deleted": truth(&event["deleted"]),
        "status": word(&event["status"], "ORDER_STATUS_"),
        "customer_id": text(&event["customerId"]),
        "customer_name": text(&event["customerName"]),
        "items": all(&event["items"], |item| Ok(json!({
            "product_id": text(&item["productId"]),
            "product_name": text(&item["productName"]),
            "unit_price": money(&item["unitPrice"])?,
            "quantity": number(&item["quantity"])?,
        })))?,
        "total": money(&event["total"])?,
        "payments": all(&event["payments"], |payment| Ok(json!({
            "method": text(&payment["method"]),
            "reference": text(&payment["reference"]),
            "amount": money(&payment["amount"])?,
            "recorded_at": millis(&payment["recordedAt"])?,
            "recorded_version": number(&payment["recordedVersion"])?,
            "refund_due_version": payment["refundDueVersion"],
        })))?,
        "shortages": all(&event["shortages"], |shortage| Ok(json!({
            "product_id": text(&shortage["productId"]),
            "requested": number(&shortage["requested"])?,
            "available": number(&shortage["available"])?,
        })))?,
        "timeline": all(&event["timeline"], |entry| Ok(json!({
            "version": number(&entry["version"])?,
            "from": word(&entry["from"], "ORDER_STATUS_"),
            "to": word(&entry["to"], "ORDER_STATUS_"),
            "reason": entry["reason"],
            "actor": word(&entry["actor"], "ACTOR_"),
            "at": millis(&entry["at"])?,
        })))?,
        "created_at": millis(&event["createdAt"])?,
        "updated_at": millis(&event["updatedAt"])?,
    }))
}

fn all(list: &Value, read: impl Fn(&Value) -> anyhow::Result<Value>) -> anyhow::Result<Value> {
    list.as_array().into_iter().flatten().map(read).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn truth(value: &Value) -> bool {
    value.as_bool().unwrap_or_default()
}

fn number(value: &Value) -> anyhow::Result<i64> {
    match value {
        Value::Null => Ok(0),
        Value::String(digits) => digits
            .parse()
            .with_context(|| format!("{digits:?} is no number")),
        other => other
            .as_i64()
            .with_context(|| format!("{other} is no whole number")),
    }
}

fn money(value: &Value) -> anyhow::Result<Value> {
    Ok(json!({ "minor": number(&value["minor"])?, "currency": text(&value["currency"]) }))
}

/// An enum's value without its prefix; null if absent or unspecified.
fn word(value: &Value, prefix: &str) -> Value {
    match value.as_str().and_then(|name| name.strip_prefix(prefix)) {
        None | Some("UNSPECIFIED") => Value::Null,
        Some(word) => word.into(),
    }
}

fn millis(value: &Value) -> anyhow::Result<i64> {
    let text = value.as_str().context("a time is missing")?;
    let at =
        OffsetDateTime::parse(text, &Rfc3339).with_context(|| format!("{text:?} is no time"))?;
    Ok(i64::try_from(
        at.unix_timestamp_nanos().div_euclid(1_000_000),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_zero_and_large_numbers_are_strings() {
        let event = json!({
            "id": "x", "version": 2, "status": "ORDER_STATUS_PAID", "customerId": "c",
            "total": { "minor": "1299", "currency": "EUR" },
            "timeline": [{ "version": 1, "to": "ORDER_STATUS_PENDING", "actor": "ACTOR_CUSTOMER",
                "at": "2026-01-02T03:04:05.678Z" }],
            "createdAt": "1970-01-01T00:00:00.007Z", "updatedAt": "1970-01-01T00:00:01Z",
        });
        let (version, state) = read("orders", &event).expect("an event");
        assert_eq!(version, 2);
        assert_eq!(state["total"], json!({ "minor": 1299, "currency": "EUR" }));
        assert_eq!(state["timeline"][0]["from"], Value::Null);
        assert_eq!(state["timeline"][0]["to"], "PENDING");
        assert_eq!(
            (&state["created_at"], &state["updated_at"]),
            (&json!(7), &json!(1000))
        );
        assert_eq!(
            (&state["deleted"], &state["items"]),
            (&json!(false), &json!([]))
        );
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for event in [
            json!({ "version": "x" }),
            json!({ "version": 1 }),
            json!({ "version": -1 }),
        ] {
            assert!(read("users", &event).is_err(), "{event}");
        }
    }
}
