//! Money on its way in and out.

use std::str::FromStr as _;

use async_graphql::{InputObject, SimpleObject};
use shop_core::domain::refusal::{FieldPath, Refusal};
use shop_core::domain::{self, Currency};

use crate::graphql::scalar::Decimal;

/// An amount of money in one currency.
#[derive(Debug, Clone, SimpleObject)]
pub struct Money {
    /// The amount with all of the currency's decimals, such as "12.90".
    pub amount: Decimal,
    /// The currency's ISO 4217 code, such as "EUR".
    pub currency_code: String,
}

impl From<domain::Money> for Money {
    fn from(money: domain::Money) -> Self {
        Self {
            amount: Decimal(money.amount()),
            currency_code: money.currency.code().to_owned(),
        }
    }
}

/// An amount of money in one currency.
#[derive(Debug, Clone, InputObject)]
pub struct MoneyInput {
    /// The amount as a string, such as "12.99", with at most the currency's decimals.
    pub amount: Decimal,
    /// The currency's ISO 4217 code, such as "EUR".
    pub currency_code: String,
}

impl MoneyInput {
    /// Reads the amount; the path is the input field that holds it.
    pub fn parse(&self, path: &[&str]) -> Result<domain::Money, Refusal> {
        let field = |name: &str| -> FieldPath {
            path.iter()
                .copied()
                .chain([name])
                .map(str::to_owned)
                .collect()
        };
        let currency = Currency::from_str(&self.currency_code)
            .map_err(|problem| Refusal::invalid(field("currencyCode"), problem.to_string()))?;
        domain::Money::parse(&self.amount.0, currency)
            .map_err(|problem| Refusal::invalid(field("amount"), problem.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_can_not_be_read_is_named() {
        for (amount, code, field) in [
            ("12.99", "EURO", "price.currencyCode"),
            ("12,99", "EUR", "price.amount"),
            ("12.999", "EUR", "price.amount"),
        ] {
            let input = MoneyInput {
                amount: Decimal(amount.into()),
                currency_code: code.into(),
            };
            let refusal = input.parse(&["price"]).expect_err(field);
            assert_eq!(refusal.field_path().join("."), field);
        }
    }
}
