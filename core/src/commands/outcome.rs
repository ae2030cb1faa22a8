//! What commands answer, as it is kept under an idempotency key: a byte that names the form, then `Outcome` of
//! `core/proto/shop/events/v1/outcome.proto`, binary. The message grows by Protobuf's rules, as events do, so that what
//! one version of the program has kept, every later one reads.

use prost::Message as _;

use super::orders::PaidOrder;
use crate::db::StoreError;
use crate::domain::order::PaymentOutcome;
use crate::domain::{Order, Product, StockLevel, User};
use crate::events::DecodeError;
use crate::events::pb::{self, outcome::Answer};

/// The form that is written.
const FORM: u8 = 1;

/// Something that a command answers.
pub(super) trait Outcome: Sized {
    /// As it is kept.
    fn to_answer(&self) -> Answer;

    /// As it was kept; `None` if that was the answer of another command.
    fn from_answer(answer: Answer) -> Option<Result<Self, DecodeError>>;
}

/// The bytes to keep.
pub(super) fn write(outcome: &impl Outcome) -> Vec<u8> {
    let message = pb::Outcome {
        answer: Some(outcome.to_answer()),
    };
    let mut bytes = vec![FORM];
    bytes.extend(message.encode_to_vec());
    bytes
}

/// Reads what was kept.
pub(super) fn read<T: Outcome>(bytes: &[u8]) -> Result<T, StoreError> {
    let corrupt = |value: &str| StoreError::corrupt("outcome", value);
    let message = match bytes.split_first() {
        Some((&FORM, message)) => message,
        Some((form, _)) => return Err(corrupt(&format!("form {form}"))),
        None => return Err(corrupt("")),
    };
    let outcome = pb::Outcome::decode(message).map_err(|error| corrupt(&error.to_string()))?;
    match outcome.answer.and_then(T::from_answer) {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(corrupt(&error.to_string())),
        None => Err(corrupt("the answer of another command")),
    }
}

macro_rules! one_aggregate {
    ($($variant:ident: $domain:ty),*) => {$(
        impl Outcome for $domain {
            fn to_answer(&self) -> Answer {
                Answer::$variant(self.into())
            }

            fn from_answer(answer: Answer) -> Option<Result<Self, DecodeError>> {
                match answer {
                    Answer::$variant(message) => Some(message.try_into()),
                    _ => None,
                }
            }
        }
    )*};
}

one_aggregate!(User: User, Product: Product, StockLevel: StockLevel, Order: Order);

impl Outcome for (Product, StockLevel) {
    fn to_answer(&self) -> Answer {
        Answer::CreatedProduct(pb::CreatedProduct {
            product: Some((&self.0).into()),
            stock_level: Some((&self.1).into()),
        })
    }

    fn from_answer(answer: Answer) -> Option<Result<Self, DecodeError>> {
        let Answer::CreatedProduct(created) = answer else {
            return None;
        };
        let (product, level) = created.product.zip(created.stock_level)?;
        Some(Product::try_from(product).and_then(|product| Ok((product, level.try_into()?))))
    }
}

impl Outcome for PaidOrder {
    fn to_answer(&self) -> Answer {
        Answer::PaidOrder(pb::PaidOrder {
            order: Some((&self.order).into()),
            refund_due: self.outcome == PaymentOutcome::RefundDue,
        })
    }

    fn from_answer(answer: Answer) -> Option<Result<Self, DecodeError>> {
        let Answer::PaidOrder(paid) = answer else {
            return None;
        };
        let outcome = if paid.refund_due {
            PaymentOutcome::RefundDue
        } else {
            PaymentOutcome::Paid
        };
        let order = Order::try_from(paid.order?);
        Some(order.map(|order| Self { order, outcome }))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::db::idempotency::hexadecimal;
    use crate::domain::{Money, ProductId, Timestamp, UserId};

    fn user() -> User {
        let id = UserId::from_uuid(Uuid::from_u128(1));
        User::create(id, Timestamp::from_millis(1_250), "Ada", "ada@example.org").expect("a user")
    }

    fn created_product() -> (Product, StockLevel) {
        let id = ProductId::from_uuid(Uuid::from_u128(2));
        let price = Money {
            minor: 250,
            currency: "EUR".parse().expect("EUR"),
        };
        let product = Product::create(id, Timestamp::from_millis(7), "Mug", "", price);
        let level = StockLevel {
            product_id: id,
            on_hand: 5,
            reserved: 2,
            sellable: true,
            version: 3,
        };
        (product.expect("a product"), level)
    }

    #[test]
    fn what_is_kept_reads_back_and_is_nobody_elses_answer() {
        assert_eq!(read::<User>(&write(&user())).expect("readable"), user());
        let created = created_product();
        let bytes = write(&created);
        assert_eq!(
            read::<(Product, StockLevel)>(&bytes).expect("readable"),
            created
        );
        assert!(read::<Product>(&bytes).is_err());
        assert!(read::<User>(&bytes).is_err());
    }

    /// What an earlier version of the program has kept: must be read for as long as keys live.
    #[test]
    fn form_1_stays_readable() {
        let known = FORM_1_OF_USER;
        assert_eq!(hexadecimal(&write(&user())), known);
        let bytes: Vec<u8> = (0..known.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&known[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        assert_eq!(read::<User>(&bytes).expect("readable"), user());
    }

    const FORM_1_OF_USER: &str = "010a500a2430303030303030302d303030302d303030302d303030302d30303030303030303030303110011a\
        03416461220f616461406578616d706c652e6f72672a0708011080e59a77320708011080e59a77";

    #[test]
    fn what_can_not_be_read_is_said_and_never_taken_for_an_answer() {
        for bytes in [&[][..], &[2], &[FORM], &[FORM, 0xff], &[FORM, 0x0a, 0x01]] {
            assert!(
                matches!(
                    read::<User>(bytes),
                    Err(StoreError::Corrupt {
                        column: "outcome",
                        ..
                    })
                ),
                "{bytes:?}"
            );
        }
    }
}
