//! The expected "no": every refusal that a command can answer, with its code and the input field it is about. A refusal
//! has changed nothing and emitted nothing, except [`Refusal::RefundDue`], which says so.

use super::money::Money;
use super::status::OrderStatus;
use super::{OrderId, ProductId, UserId, Version};

/// The path of an input field, as GraphQL clients see it: `["lines", "0", "quantity"]`, below `input`.
pub type FieldPath = Vec<String>;

/// Builds a [`FieldPath`] from names and indexes.
pub fn path<const N: usize>(parts: [&dyn std::fmt::Display; N]) -> FieldPath {
    parts.iter().map(ToString::to_string).collect()
}

/// Which kind of thing an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// An order, by its id.
    Order(OrderId),
    /// A product, by its id.
    Product(ProductId),
    /// A user, by its id.
    User(UserId),
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Order(id) => id.fmt(f),
            Self::Product(id) => id.fmt(f),
            Self::User(id) => id.fmt(f),
        }
    }
}

/// Why a command was refused. `Display` is the message that the client reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field's value breaks a rule.
    #[error("{problem}")]
    Invalid {
        /// The field.
        path: FieldPath,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// There is no such thing (any more).
    #[error("{entity} does not exist")]
    NotFound {
        /// The field that named it.
        path: FieldPath,
        /// What was named.
        entity: Entity,
    },
    /// Another user has this e-mail address, compared without case.
    #[error("another user has this e-mail address")]
    EmailTaken {
        /// The field.
        path: FieldPath,
    },
    /// The price a client expected is not the catalogue's.
    #[error("{product} costs {actual}, not {expected}")]
    PriceChanged {
        /// The field.
        path: FieldPath,
        /// The product.
        product: ProductId,
        /// What the client expected.
        expected: Money,
        /// What it costs.
        actual: Money,
    },
    /// The order may not go from its status to the one asked for.
    #[error("an order that is {from} can not become {to}{}", .by_other_means.unwrap_or(""))]
    IllegalTransition {
        /// The field, if the status was a field.
        path: FieldPath,
        /// Where the order stands.
        from: OrderStatus,
        /// What was asked for.
        to: OrderStatus,
        /// What to do instead, where that status is reached in another way.
        by_other_means: Option<&'static str>,
    },
    /// The order has a payment already; nothing was recorded.
    #[error("{order} is paid already")]
    AlreadyPaid {
        /// The order.
        order: OrderId,
    },
    /// The payment reference belongs to a recorded payment.
    #[error("this payment reference is in use")]
    PaymentReferenceUsed {
        /// The field.
        path: FieldPath,
    },
    /// The order was canceled before the payment came: the payment **is recorded**, as refund due.
    #[error(
        "{order} was canceled before it was paid: the payment is recorded and its refund is due"
    )]
    RefundDue {
        /// The order.
        order: OrderId,
    },
    /// As many payments of the order as can be are recorded; this one was not.
    #[error(
        "{order} has {limit} payments already, which are to be refunded; this one was not recorded"
    )]
    TooManyPayments {
        /// The order.
        order: OrderId,
        /// How many can be recorded.
        limit: usize,
    },
    /// An adjustment would leave less on hand than is reserved for orders.
    #[error(
        "{on_hand} on hand and {reserved} reserved: {available} units at most can be taken away"
    )]
    StockReserved {
        /// The field.
        path: FieldPath,
        /// Units on hand.
        on_hand: u32,
        /// Units of them that are held for orders.
        reserved: u32,
        /// Units that are free.
        available: u32,
    },
    /// A user with orders under way can not be deleted.
    #[error("{user} has {open} open orders")]
    UserHasOpenOrders {
        /// The user.
        user: UserId,
        /// How many orders are not final.
        open: u32,
    },
    /// A product that is held for orders can not be deleted.
    #[error("{reserved} units of {product} are held by open orders")]
    ProductHeld {
        /// The product.
        product: ProductId,
        /// How many units are held.
        reserved: u32,
    },
    /// Only orders whose status is final can be deleted.
    #[error("{order} is {status}; only a DELIVERED, REJECTED or CANCELED order can be deleted")]
    OrderOpen {
        /// The order.
        order: OrderId,
        /// Where it stands.
        status: OrderStatus,
    },
    /// The thing was changed since the client looked.
    #[error("expected version {expected}, but it is version {actual} by now; look again")]
    VersionMismatch {
        /// The field.
        path: FieldPath,
        /// The version that the client has seen.
        expected: Version,
        /// The version there is.
        actual: Version,
    },
    /// The idempotency key belongs to another change.
    #[error("this idempotency key was used for another change; make a new one for each change")]
    IdempotencyKeyReused {
        /// The field.
        path: FieldPath,
    },
    /// The change under this idempotency key is still being made.
    #[error("the same change is still being made; send it again in a moment")]
    IdempotencyKeyInUse {
        /// The field.
        path: FieldPath,
    },
}

/// The codes of refusals, for programs to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// A field's value breaks a rule.
    InvalidInput,
    /// There is no such thing.
    NotFound,
    /// The e-mail address is another user's.
    EmailTaken,
    /// The expected price is not the catalogue's.
    PriceChanged,
    /// The status may not follow.
    IllegalTransition,
    /// The order is paid already.
    AlreadyPaid,
    /// The payment reference is in use.
    PaymentReferenceUsed,
    /// The payment came too late and is to be refunded.
    RefundDue,
    /// The order has as many payments as can be recorded.
    TooManyPayments,
    /// Fewer units are free than should be taken away.
    StockReserved,
    /// The user has open orders.
    UserHasOpenOrders,
    /// The product is held by open orders.
    ProductHeld,
    /// The order is not final.
    OrderOpen,
    /// The thing was changed since the client looked.
    VersionMismatch,
    /// The idempotency key belongs to another change.
    IdempotencyKeyReused,
    /// The change under this idempotency key is still being made.
    IdempotencyKeyInUse,
}

impl Refusal {
    /// A broken rule of one field.
    pub fn invalid(path: FieldPath, problem: impl Into<String>) -> Self {
        Self::Invalid {
            path,
            problem: problem.into(),
        }
    }

    /// The code that programs match on.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::Invalid { .. } => RefusalCode::InvalidInput,
            Self::NotFound { .. } => RefusalCode::NotFound,
            Self::EmailTaken { .. } => RefusalCode::EmailTaken,
            Self::PriceChanged { .. } => RefusalCode::PriceChanged,
            Self::IllegalTransition { .. } => RefusalCode::IllegalTransition,
            Self::AlreadyPaid { .. } => RefusalCode::AlreadyPaid,
            Self::PaymentReferenceUsed { .. } => RefusalCode::PaymentReferenceUsed,
            Self::RefundDue { .. } => RefusalCode::RefundDue,
            Self::TooManyPayments { .. } => RefusalCode::TooManyPayments,
            Self::StockReserved { .. } => RefusalCode::StockReserved,
            Self::UserHasOpenOrders { .. } => RefusalCode::UserHasOpenOrders,
            Self::ProductHeld { .. } => RefusalCode::ProductHeld,
            Self::OrderOpen { .. } => RefusalCode::OrderOpen,
            Self::VersionMismatch { .. } => RefusalCode::VersionMismatch,
            Self::IdempotencyKeyReused { .. } => RefusalCode::IdempotencyKeyReused,
            Self::IdempotencyKeyInUse { .. } => RefusalCode::IdempotencyKeyInUse,
        }
    }

    /// The input field that the refusal is about, below `input`; empty if it is about the thing as it stands.
    pub fn field_path(&self) -> &[String] {
        match self {
            Self::Invalid { path, .. }
            | Self::NotFound { path, .. }
            | Self::EmailTaken { path }
            | Self::PriceChanged { path, .. }
            | Self::IllegalTransition { path, .. }
            | Self::PaymentReferenceUsed { path }
            | Self::StockReserved { path, .. }
            | Self::VersionMismatch { path, .. }
            | Self::IdempotencyKeyReused { path }
            | Self::IdempotencyKeyInUse { path } => path,
            Self::AlreadyPaid { .. }
            | Self::RefundDue { .. }
            | Self::TooManyPayments { .. }
            | Self::UserHasOpenOrders { .. }
            | Self::ProductHeld { .. }
            | Self::OrderOpen { .. } => &[],
        }
    }
}
