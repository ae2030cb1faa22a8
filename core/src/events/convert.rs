//! Between the rules' types and the contracts' messages. Towards the wire nothing can fail; from it, ids, currencies and
//! statuses are read as strictly as a client's input.

mod order;
mod stock;

use std::str::FromStr;

use uuid::Uuid;

use super::pb;
use super::wire::DecodeError;
use crate::domain::{Currency, Money, Product, ProductId, Timestamp, User, UserId};

fn bad(what: &str) -> DecodeError {
    DecodeError::BadPayload(what.to_owned())
}

fn uuid(text: &str) -> Result<Uuid, DecodeError> {
    Uuid::try_parse(text).map_err(|_| bad("an id is not a UUID"))
}

impl From<Timestamp> for pbjson_types::Timestamp {
    fn from(at: Timestamp) -> Self {
        let nanos = i32::try_from(at.millis().rem_euclid(1000)).unwrap_or(0) * 1_000_000;
        Self {
            seconds: at.millis().div_euclid(1000),
            nanos,
        }
    }
}

fn timestamp(at: Option<pbjson_types::Timestamp>) -> Result<Timestamp, DecodeError> {
    let at = at.ok_or_else(|| bad("a time is missing"))?;
    let seconds = at
        .seconds
        .checked_mul(1000)
        .ok_or_else(|| bad("a time is out of range"))?;
    Ok(Timestamp::from_millis(
        seconds.saturating_add(i64::from(at.nanos / 1_000_000)),
    ))
}

impl From<Money> for pb::Money {
    fn from(money: Money) -> Self {
        Self {
            minor: money.minor,
            currency: money.currency.code().to_owned(),
        }
    }
}

fn money(money: Option<pb::Money>) -> Result<Money, DecodeError> {
    let money = money.ok_or_else(|| bad("an amount is missing"))?;
    let currency = Currency::from_str(&money.currency).map_err(|_| bad("a currency is unknown"))?;
    Ok(Money {
        minor: money.minor,
        currency,
    })
}

fn convert<M, T: TryFrom<M, Error = DecodeError>>(messages: Vec<M>) -> Result<Vec<T>, DecodeError> {
    messages.into_iter().map(T::try_from).collect()
}

impl From<&User> for pb::User {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.uuid().to_string(),
            version: user.version,
            name: user.name.clone(),
            email: user.email.clone(),
            created_at: Some(user.created_at.into()),
            updated_at: Some(user.updated_at.into()),
            deleted: user.deleted,
        }
    }
}

impl TryFrom<pb::User> for User {
    type Error = DecodeError;

    fn try_from(user: pb::User) -> Result<Self, DecodeError> {
        Ok(Self {
            id: UserId::from_uuid(uuid(&user.id)?),
            version: user.version,
            name: user.name,
            email: user.email,
            created_at: timestamp(user.created_at)?,
            updated_at: timestamp(user.updated_at)?,
            deleted: user.deleted,
        })
    }
}

impl From<&Product> for pb::Product {
    fn from(product: &Product) -> Self {
        Self {
            id: product.id.uuid().to_string(),
            version: product.version,
            name: product.name.clone(),
            description: product.description.clone(),
            price: Some(product.price.into()),
            created_at: Some(product.created_at.into()),
            updated_at: Some(product.updated_at.into()),
            deleted: product.deleted,
        }
    }
}

impl TryFrom<pb::Product> for Product {
    type Error = DecodeError;

    fn try_from(product: pb::Product) -> Result<Self, DecodeError> {
        Ok(Self {
            id: ProductId::from_uuid(uuid(&product.id)?),
            version: product.version,
            name: product.name,
            description: product.description,
            price: money(product.price)?,
            created_at: timestamp(product.created_at)?,
            updated_at: timestamp(product.updated_at)?,
            deleted: product.deleted,
        })
    }
}
