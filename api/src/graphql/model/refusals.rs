//! Refusals as clients see them: one type each behind one interface, so that a client can show the message and a
//! program can match on the type.

use async_graphql::{Enum, ID, Interface, SimpleObject};
use shop_core::domain::refusal::{Refusal, RefusalCode};

use super::{Money, OrderStatus};
use crate::graphql::scalar::Int;

/// What kind of refusal a `MutationError` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "RefusalCode")]
pub enum MutationErrorCode {
    /// A field's value breaks a rule.
    InvalidInput,
    /// What an id names does not exist, or not any more.
    NotFound,
    /// Another user has the e-mail address.
    EmailTaken,
    /// The expected price is not the catalogue's.
    PriceChanged,
    /// The order may not go from its status to the one asked for.
    IllegalTransition,
    /// The order has a payment already.
    AlreadyPaid,
    /// The payment reference belongs to a recorded payment.
    PaymentReferenceUsed,
    /// The payment came after the cancellation: it is recorded and its refund is due.
    RefundDue,
    /// The order has as many payments as can be recorded.
    TooManyPayments,
    /// Fewer units are free than should be taken away.
    StockReserved,
    /// The user has orders that are not final.
    UserHasOpenOrders,
    /// Units of the product are held for orders.
    ProductHeld,
    /// The order is not final.
    OrderOpen,
    /// What is to be changed is of another version than the one that was expected.
    VersionMismatch,
    /// The idempotency key was used for another change.
    IdempotencyKeyReused,
    /// The same change, under the same idempotency key, is still being made. Send it again in a moment.
    IdempotencyKeyInUse,
}

/// Why a mutation was refused. Nothing was changed, except where the type says otherwise.
#[derive(Debug, Clone, Interface)]
#[graphql(
    field(
        name = "message",
        ty = "&String",
        desc = "What is wrong, in words for people."
    ),
    field(
        name = "code",
        ty = "&MutationErrorCode",
        desc = "What is wrong, for programs."
    ),
    field(
        name = "path",
        ty = "&Vec<String>",
        desc = "The input field it is about, such as [\"input\", \"lines\", \"0\", \"quantity\"]; only [\"input\"] if it is about none."
    )
)]
pub enum MutationError {
    /// A field's value breaks a rule.
    InvalidInput(InvalidInputError),
    /// What an id names does not exist.
    NotFound(NotFoundError),
    /// Another user has the e-mail address.
    EmailTaken(EmailTakenError),
    /// The expected price is not the catalogue's.
    PriceChanged(PriceChangedError),
    /// The status may not follow.
    IllegalTransition(IllegalTransitionError),
    /// The order has a payment already.
    AlreadyPaid(AlreadyPaidError),
    /// The payment reference is in use.
    PaymentReferenceUsed(PaymentReferenceUsedError),
    /// The payment came too late.
    RefundDue(RefundDueError),
    /// The order has as many payments as can be recorded.
    TooManyPayments(TooManyPaymentsError),
    /// Fewer units are free than should be taken away.
    StockReserved(StockReservedError),
    /// The user has open orders.
    UserHasOpenOrders(UserHasOpenOrdersError),
    /// The product is held for orders.
    ProductHeld(ProductHeldError),
    /// The order is not final.
    OrderOpen(OrderOpenError),
    /// It is of another version than expected.
    VersionMismatch(VersionMismatchError),
    /// The idempotency key was used for another change.
    IdempotencyKeyReused(IdempotencyKeyReusedError),
    /// The same change is still being made.
    IdempotencyKeyInUse(IdempotencyKeyInUseError),
}

/// Every refusal has the interface's fields and a few of its own.
macro_rules! refusal_types {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, SimpleObject)]
        pub struct $name {
            /// What is wrong, in words for people.
            pub message: String,
            /// What is wrong, for programs.
            pub code: MutationErrorCode,
            /// The input field it is about, such as `input lines 0 quantity`, one name or index per item; only `input` if it is about none.
            pub path: Vec<String>,
            $($(#[$field_doc])* pub $field: $type,)*
        }
    )*};
}

refusal_types! {
    /// A field's value breaks a rule; `path` names the field.
    InvalidInputError {}

    /// What an id names does not exist, or not any more.
    NotFoundError {
        /// The id that was given.
        id: ID,
    }

    /// Another user has the e-mail address, compared without case.
    EmailTakenError {}

    /// The price that was expected is not the catalogue's. Nothing was ordered.
    PriceChangedError {
        /// The price that was expected.
        expected: Money,
        /// The price in the catalogue.
        actual: Money,
    }

    /// The order may not go from its status to the one asked for.
    IllegalTransitionError {
        /// Where the order stands.
        from: OrderStatus,
        /// What was asked for.
        to: OrderStatus,
        /// What may come next, whoever brings it about.
        allowed: Vec<OrderStatus>,
    }

    /// The order has a payment already. Nothing was recorded.
    AlreadyPaidError {}

    /// The payment reference belongs to a payment that is recorded. Nothing was recorded.
    PaymentReferenceUsedError {}

    /// The order was canceled before the payment came. The payment **is** recorded, and its refund is due.
    RefundDueError {}

    /// The order was canceled and has as many payments to be refunded as can be recorded. Nothing was recorded.
    TooManyPaymentsError {
        /// How many payments of one order can be recorded.
        limit: Int,
    }

    /// Fewer units are free than should be taken away.
    StockReservedError {
        /// Units in the warehouse.
        on_hand: Int,
        /// Units of them that are held for orders.
        reserved: Int,
        /// Units that are free.
        available: Int,
    }

    /// A user with orders that are not final can not be deleted.
    UserHasOpenOrdersError {
        /// How many orders are not final.
        open_orders: Int,
    }

    /// A product of which units are held for orders can not be deleted.
    ProductHeldError {
        /// How many units are held.
        reserved: Int,
    }

    /// Only an order whose status is final can be deleted.
    OrderOpenError {
        /// Where the order stands.
        status: OrderStatus,
    }

    /// What is to be changed is of another version than the one that was expected: somebody else has changed it.
    VersionMismatchError {
        /// The version that was expected.
        expected_version: Int,
        /// The version there is.
        current_version: Int,
    }

    /// The idempotency key was used for another change, or for the same with another content. Every change needs a key of
    /// its own.
    IdempotencyKeyReusedError {}

    /// The same change, under the same idempotency key, is still being made. Send it again, with this key, to learn what
    /// became of it.
    IdempotencyKeyInUseError {
        /// How long to wait before that, in milliseconds.
        retry_after_ms: Int,
    }
}

/// What `IdempotencyKeyInUseError.retryAfterMs` says. The refusal came after a wait of a second already.
const RETRY_AFTER_MS: Int = 500;

impl From<Refusal> for MutationError {
    #[expect(
        clippy::too_many_lines,
        reason = "one arm per refusal, each of them plain"
    )]
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let code = refusal.code().into();
        let path = std::iter::once("input".to_owned())
            .chain(refusal.field_path().iter().cloned())
            .collect();
        match refusal {
            Refusal::Invalid { .. } => InvalidInputError {
                message,
                code,
                path,
            }
            .into(),
            Refusal::NotFound { entity, .. } => NotFoundError {
                message,
                code,
                path,
                id: entity.to_string().into(),
            }
            .into(),
            Refusal::EmailTaken { .. } => EmailTakenError {
                message,
                code,
                path,
            }
            .into(),
            Refusal::PriceChanged {
                expected, actual, ..
            } => {
                let (expected, actual) = (expected.into(), actual.into());
                PriceChangedError {
                    message,
                    code,
                    path,
                    expected,
                    actual,
                }
                .into()
            }
            Refusal::IllegalTransition { from, to, .. } => {
                let allowed = from.next().map(Into::into).collect();
                let (from, to) = (from.into(), to.into());
                IllegalTransitionError {
                    message,
                    code,
                    path,
                    from,
                    to,
                    allowed,
                }
                .into()
            }
            Refusal::AlreadyPaid { .. } => AlreadyPaidError {
                message,
                code,
                path,
            }
            .into(),
            Refusal::PaymentReferenceUsed { .. } => PaymentReferenceUsedError {
                message,
                code,
                path,
            }
            .into(),
            Refusal::RefundDue { .. } => RefundDueError {
                message,
                code,
                path,
            }
            .into(),
            Refusal::TooManyPayments { limit, .. } => TooManyPaymentsError {
                message,
                code,
                path,
                limit: Int::try_from(limit).unwrap_or(Int::MAX),
            }
            .into(),
            Refusal::StockReserved {
                on_hand,
                reserved,
                available,
                ..
            } => StockReservedError {
                message,
                code,
                path,
                on_hand: on_hand.into(),
                reserved: reserved.into(),
                available: available.into(),
            }
            .into(),
            Refusal::UserHasOpenOrders { open, .. } => UserHasOpenOrdersError {
                message,
                code,
                path,
                open_orders: open.into(),
            }
            .into(),
            Refusal::ProductHeld { reserved, .. } => ProductHeldError {
                message,
                code,
                path,
                reserved: reserved.into(),
            }
            .into(),
            Refusal::OrderOpen { status, .. } => OrderOpenError {
                message,
                code,
                path,
                status: status.into(),
            }
            .into(),
            Refusal::VersionMismatch {
                expected, actual, ..
            } => VersionMismatchError {
                message,
                code,
                path,
                expected_version: expected.into(),
                current_version: actual.into(),
            }
            .into(),
            Refusal::IdempotencyKeyReused { .. } => IdempotencyKeyReusedError {
                message,
                code,
                path,
            }
            .into(),
            Refusal::IdempotencyKeyInUse { .. } => IdempotencyKeyInUseError {
                message,
                code,
                path,
                retry_after_ms: RETRY_AFTER_MS,
            }
            .into(),
        }
    }
}
