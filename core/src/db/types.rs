//! How the rules' types stand in columns: ids as `BINARY(16)`, times as `DATETIME(3)` in UTC.

use std::str::FromStr;
use std::time::Duration;

use diesel::deserialize::{self, FromSql};
use diesel::mysql::{Mysql, MysqlValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{Binary, Datetime};
use time::OffsetDateTime;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{Currency, EventId, Money, OrderId, OrderStatus, ProductId, Timestamp, UserId};

macro_rules! id_column {
    ($($id:ident),*) => {$(
        impl ToSql<Binary, Mysql> for $id {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
                std::io::Write::write_all(out, self.uuid().as_bytes())?;
                Ok(serialize::IsNull::No)
            }
        }

        impl FromSql<Binary, Mysql> for $id {
            fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
                Ok(Self::from_uuid(Uuid::from_slice(value.as_bytes())?))
            }
        }
    )*};
}

id_column!(EventId, OrderId, ProductId, UserId);

impl ToSql<Datetime, Mysql> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        <OffsetDateTime as ToSql<Datetime, Mysql>>::to_sql(&self.to_datetime(), &mut out.reborrow())
    }
}

impl FromSql<Datetime, Mysql> for Timestamp {
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        let at = <OffsetDateTime as FromSql<Datetime, Mysql>>::from_sql(value)?;
        Ok(Self::from_datetime(at))
    }
}

/// A bare uuid as a column's value.
pub fn uuid_column(uuid: Uuid) -> Vec<u8> {
    uuid.as_bytes().to_vec()
}

/// The amount of two columns.
pub fn money(minor: i64, currency: &str) -> Result<Money, StoreError> {
    let currency =
        Currency::from_str(currency).map_err(|_| StoreError::corrupt("currency", currency))?;
    Ok(Money { minor, currency })
}

/// The status of a column.
pub fn status(word: &str) -> Result<OrderStatus, StoreError> {
    OrderStatus::from_str(word).map_err(|_| StoreError::corrupt("status", word))
}

/// A span of time as statements take it: `INTERVAL ? MICROSECOND`.
pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
