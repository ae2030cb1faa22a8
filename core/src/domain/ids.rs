//! One type per aggregate over `UUIDv7`, so that an order's id never stands where a product's belongs.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {prefix}<uuid>, for example {prefix}01939f2e-7b1c-7def-8a34-5b6c7d8e9f01")]
pub struct InvalidId {
    /// What every id of this kind begins with.
    pub prefix: &'static str,
}

macro_rules! define_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(
            feature = "io",
            derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow),
            diesel(sql_type = diesel::sql_types::Binary)
        )]
        pub struct $name(Uuid);

        impl $name {
            /// What the public form of this id begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Gives an existing uuid its kind.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare uuid, as tables, topics and views hold it.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", Self::PREFIX, self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(Self::PREFIX)
                    .filter(|rest| rest.len() == 36) // the hyphenated form only: one id, one spelling
                    .and_then(|rest| Uuid::try_parse(rest).ok())
                    .map(Self)
                    .ok_or(InvalidId { prefix: Self::PREFIX })
            }
        }
    };
}

define_id!(
    /// An order.
    OrderId,
    "order_"
);
define_id!(
    /// A product, and the stock of it.
    ProductId,
    "product_"
);
define_id!(
    /// A user, who is a customer of orders.
    UserId,
    "user_"
);
define_id!(
    /// One event; a repeat of the event carries the same id.
    EventId,
    "event_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_public_form() {
        let id = OrderId::from_uuid(Uuid::from_u128(7));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn another_kind_a_bare_uuid_and_other_spellings_are_no_order_ids() {
        for text in [
            "product_00000000-0000-0000-0000-000000000007",
            "00000000-0000-0000-0000-000000000007",
            "order_00000000000000000000000000000007",
            "order_",
            "",
        ] {
            assert!(text.parse::<OrderId>().is_err(), "{text:?} was accepted");
        }
    }
}
