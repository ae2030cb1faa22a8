//! The scalars that are ours: decimals that no client rounds, and points in time.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use shop_core::domain::{RequestKey, Timestamp};
use time::format_description::well_known::Rfc3339;

/// A whole number. Inputs are read with 64 bits, so that a number beyond GraphQL's 32 is refused by its field's rule.
pub type Int = i64;

/// A decimal number as a string, such as "12.99": never a float, so that no client rounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal(pub String);

/// A decimal number as a string, such as "12.99": never a float, so that no client rounds it.
#[Scalar]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(_))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// A point in time in UTC, RFC 3339 to the millisecond, such as "2026-11-20T10:15:30.25Z".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime(pub Timestamp);

/// A point in time in UTC, RFC 3339 to the millisecond, such as "2026-11-20T10:15:30.25Z".
#[Scalar(specified_by_url = "https://scalars.graphql.org/andimarek/date-time.html")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        let at = time::OffsetDateTime::parse(text, &Rfc3339)?;
        Ok(Self(Timestamp::from_datetime(at)))
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(_))
    }

    fn to_value(&self) -> Value {
        Value::String(rfc3339(self.0))
    }
}

/// A point in time as clients read it.
pub fn rfc3339(at: Timestamp) -> String {
    let written = at.to_datetime().format(&Rfc3339);
    written.unwrap_or_else(|_| at.millis().to_string()) // a year beyond 9999, which no clock tells
}

/// A UUID, such as "01939f2e-7b1c-7def-8a34-5b6c7d8e9f01"; not the one that is all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uuid(pub RequestKey);

/// A UUID, such as "01939f2e-7b1c-7def-8a34-5b6c7d8e9f01"; not the one that is all zeros.
#[Scalar(
    name = "UUID",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc9562"
)]
impl ScalarType for Uuid {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        Ok(Self(text.parse()?))
    }

    /// Looks at the text as well: what is found out here is told by the name of its field.
    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(text) if text.parse::<RequestKey>().is_ok())
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_written_to_the_millisecond_and_read_back() {
        let at = DateTime(Timestamp::from_millis(1_763_633_730_250));
        assert_eq!(at.to_value(), Value::from("2025-11-20T10:15:30.25Z"));
        assert_eq!(DateTime::parse(at.to_value()).ok(), Some(at));
    }

    #[test]
    fn a_decimal_is_a_string_and_no_number() {
        assert!(Decimal::is_valid(&Value::from("12.99")));
        assert!(!Decimal::is_valid(&Value::from(12.99)));
        assert!(Decimal::parse(Value::from(12)).is_err());
    }
}
