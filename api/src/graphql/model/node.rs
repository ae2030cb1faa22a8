//! Anything with an id, and which kind of thing an id names.

use async_graphql::{ID, Interface};
use shop_core::domain::{OrderId, ProductId, UserId};

use super::{Order, Product, User};
use crate::graphql::error::ApiError;

/// Anything that has an id of its own.
#[derive(Debug, Clone, Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "The id, unique among everything the shop has."
))]
pub enum Node {
    /// A user.
    User(User),
    /// A product.
    Product(Product),
    /// An order.
    Order(Order),
}

/// An id of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobalId {
    /// A user's.
    User(UserId),
    /// A product's.
    Product(ProductId),
    /// An order's.
    Order(OrderId),
}

impl std::fmt::Display for GlobalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Product(id) => id.fmt(f),
            Self::Order(id) => id.fmt(f),
        }
    }
}

impl GlobalId {
    /// Reads the id that a query's argument holds.
    ///
    /// # Errors
    /// [`ApiError::BadUserInput`] that names the argument, for a text that is no id of any kind.
    pub fn parse(argument: &'static str, id: &ID) -> Result<Self, ApiError> {
        let text = id.as_str();
        (text.parse().map(Self::User))
            .or_else(|_| text.parse().map(Self::Product))
            .or_else(|_| text.parse().map(Self::Order))
            .map_err(|_| {
                let kinds = [UserId::PREFIX, ProductId::PREFIX, OrderId::PREFIX].join("<uuid>, ");
                ApiError::bad_input(argument, format!("expected an id: {kinds}<uuid>"))
            })
    }

    /// The user's id, if it is one.
    pub const fn user(self) -> Option<UserId> {
        if let Self::User(id) = self {
            Some(id)
        } else {
            None
        }
    }

    /// The product's id, if it is one.
    pub const fn product(self) -> Option<ProductId> {
        if let Self::Product(id) = self {
            Some(id)
        } else {
            None
        }
    }

    /// The order's id, if it is one.
    pub const fn order(self) -> Option<OrderId> {
        if let Self::Order(id) = self {
            Some(id)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_kind_and_anything_else_is_bad_input() {
        let uuid = "01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
        let parse = |text: String| GlobalId::parse("id", &text.into());
        assert!(parse(format!("user_{uuid}")).is_ok_and(|id| id.user().is_some()));
        assert!(parse(format!("product_{uuid}")).is_ok_and(|id| id.product().is_some()));
        assert!(parse(format!("order_{uuid}")).is_ok_and(|id| id.order().is_some()));
        for bad in [
            "",
            "1",
            uuid,
            "order_1",
            "cart_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01",
        ] {
            assert!(matches!(
                parse(bad.into()),
                Err(ApiError::BadUserInput { argument: "id", .. })
            ));
        }
    }
}
