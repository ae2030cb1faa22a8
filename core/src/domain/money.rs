//! Money: whole minor units and an ISO 4217 currency. Never a float.

use std::fmt;
use std::str::FromStr;

/// An ISO 4217 currency that has a fixed number of decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

/// A text that is no ISO 4217 currency code of money one can pay with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an ISO 4217 currency code such as EUR")]
pub struct InvalidCurrency;

impl Currency {
    /// The three capital letters.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimals the currency has: 2 for EUR, 0 for JPY, 3 for KWD (ISO 4217, "minor unit").
    pub fn decimals(self) -> usize {
        usize::from(self.0.exponent().unwrap_or(0))
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(code: &str) -> Result<Self, InvalidCurrency> {
        iso_currency::Currency::from_code(code)
            .filter(|currency| currency.exponent().is_some()) // leaves out XXX, XAU and the like
            .map(Self)
            .ok_or(InvalidCurrency)
    }
}

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// The amount in the currency's smallest unit: 1299 is EUR 12.99.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

/// Why a text is no amount of a currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Something that is not digits with at most one point.
    #[error("expected a decimal number such as 12.99")]
    NotDecimal,
    /// More decimals than the currency has.
    #[error("{currency} has {decimals} decimals")]
    TooPrecise {
        /// The currency's code.
        currency: &'static str,
        /// How many decimals it has.
        decimals: usize,
    },
    /// More than 64 bits hold.
    #[error("the amount is too large")]
    TooLarge,
}

impl Money {
    /// Reads a decimal such as `12.99`, `-3` or `0.5`; exponents, spaces and signs other than a leading minus are refused.
    pub fn parse(amount: &str, currency: Currency) -> Result<Self, InvalidAmount> {
        let (negative, digits) = match amount.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, amount),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(InvalidAmount::NotDecimal),
            Some(parts) => parts,
            None => (digits, ""),
        };
        let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !only_digits(whole) || !only_digits(fraction) {
            return Err(InvalidAmount::NotDecimal);
        }
        let decimals = currency.decimals();
        if fraction.len() > decimals {
            return Err(InvalidAmount::TooPrecise {
                currency: currency.code(),
                decimals,
            });
        }
        let minor: i64 = format!("{whole}{fraction:0<decimals$}")
            .parse()
            .map_err(|_| InvalidAmount::TooLarge)?;
        Ok(Self {
            minor: if negative { -minor } else { minor },
            currency,
        })
    }

    /// This amount a number of times; `None` if more than 64 bits hold.
    pub fn times(self, count: u32) -> Option<Self> {
        let minor = self.minor.checked_mul(i64::from(count))?;
        Some(Self { minor, ..self })
    }

    /// The amount as a decimal with all of the currency's decimals: `12.90`.
    pub fn amount(self) -> String {
        let decimals = self.currency.decimals();
        let sign = if self.minor < 0 { "-" } else { "" };
        let digits = format!(
            "{:0>width$}",
            self.minor.unsigned_abs(),
            width = decimals + 1
        );
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        if decimals == 0 {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{fraction}")
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency.code(), self.amount())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().expect("a currency of the test")
    }

    #[test]
    fn amounts_are_read_and_written_in_the_currencys_decimals() {
        for (text, code, minor, written) in [
            ("12.99", "EUR", 1299, "12.99"),
            ("12.9", "EUR", 1290, "12.90"),
            ("0", "EUR", 0, "0.00"),
            ("-0.05", "EUR", -5, "-0.05"),
            ("500", "JPY", 500, "500"),
            ("1.234", "KWD", 1234, "1.234"),
        ] {
            let money = Money::parse(text, currency(code)).expect(text);
            assert_eq!((money.minor, money.amount().as_str()), (minor, written));
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "", ".", "1.", ".5", "1e3", "+1", " 1", "1,5", "NaN", "--1", "0x10", "１",
        ] {
            assert_eq!(
                Money::parse(text, currency("EUR")),
                Err(InvalidAmount::NotDecimal),
                "{text}"
            );
        }
        assert!(matches!(
            Money::parse("1.001", currency("EUR")),
            Err(InvalidAmount::TooPrecise { decimals: 2, .. })
        ));
        assert_eq!(
            Money::parse("99999999999999999999", currency("EUR")),
            Err(InvalidAmount::TooLarge)
        );
    }

    #[test]
    fn only_currencies_that_people_pay_with_are_read() {
        for code in ["XXX", "eur", "EURO", "", "XAU"] {
            assert_eq!(code.parse::<Currency>(), Err(InvalidCurrency), "{code}");
        }
    }
}
