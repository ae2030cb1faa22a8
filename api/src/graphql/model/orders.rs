//! Orders: what was bought, where it stands, and how it got there.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use shop_core::domain;
use shop_core::domain::order;

use super::{Money, Product, User};
use crate::graphql::error::{Nullable, nullable};
use crate::graphql::scalar::{DateTime, Int};
use crate::graphql::{ContextExt as _, Limits};

/// Where an order stands. `Order.nextStatuses` tells what may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::OrderStatus")]
pub enum OrderStatus {
    /// Placed; its stock is being reserved.
    Pending,
    /// All of its stock is held; it waits for its payment.
    Confirmed,
    /// A payment is recorded.
    Paid,
    /// Being picked and packed.
    Processing,
    /// On its way; its stock has left.
    Shipped,
    /// With the customer. Final.
    Delivered,
    /// Its stock was short or a product was gone; nothing is held. Final.
    Rejected,
    /// Called off before it was shipped; its stock is back. Final.
    Canceled,
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum PaymentState {
    /// Recorded.
    Recorded,
    /// Recorded, and to be given back: the order was canceled.
    RefundDue,
}

/// Who brought a change about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "order::Actor")]
pub enum Actor {
    /// The customer.
    Customer,
    /// Somebody who works for the shop.
    Staff,
    /// The shop's own programs.
    System,
}

/// An order.
#[derive(Debug, Clone)]
pub struct Order(pub Arc<domain::Order>);

impl From<domain::Order> for Order {
    fn from(order: domain::Order) -> Self {
        Self(Arc::new(order))
    }
}

/// An order: what was bought at which price, where it stands, and how it got there.
#[Object]
impl Order {
    /// The id: `order_` and a UUID.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The number of changes so far; 1 for a new order.
    async fn version(&self) -> Int {
        self.0.version.into()
    }

    /// Where it stands.
    async fn status(&self) -> OrderStatus {
        self.0.status.into()
    }

    /// The statuses that may come next, whoever brings them about. Empty when the status is final.
    async fn next_statuses(&self) -> Vec<OrderStatus> {
        self.0.status.next().map(Into::into).collect()
    }

    /// The id of the user who bought.
    async fn customer_id(&self) -> ID {
        self.0.customer_id.to_string().into()
    }

    /// The customer's name when the order was placed.
    async fn customer_name(&self) -> &str {
        &self.0.customer_name
    }

    /// The user who bought, as of now. Null once deleted.
    async fn customer(&self, ctx: &Context<'_>) -> Nullable<User> {
        nullable(ctx.loaders().users.load_one(self.0.customer_id).await)
    }

    /// What was bought, in the order in which the customer gave it.
    #[graphql(complexity = "Limits::list_cost(child_complexity)")]
    async fn items(&self) -> Vec<OrderItem> {
        self.0.items.iter().cloned().map(OrderItem).collect()
    }

    /// The sum of all lines.
    async fn total(&self) -> Money {
        self.0.total.into()
    }

    /// The payments that were recorded for it, oldest first.
    #[graphql(complexity = "Limits::list_cost(child_complexity)")]
    async fn payments(&self) -> Vec<Payment> {
        self.0.payments.iter().cloned().map(Payment).collect()
    }

    /// What was short, if it is REJECTED.
    #[graphql(complexity = "Limits::list_cost(child_complexity)")]
    async fn shortages(&self) -> Vec<StockShortage> {
        self.0
            .shortages
            .iter()
            .cloned()
            .map(StockShortage)
            .collect()
    }

    /// One entry per version, oldest first.
    #[graphql(complexity = "Limits::list_cost(child_complexity)")]
    async fn timeline(&self) -> Vec<TimelineEntry> {
        self.0.timeline.iter().cloned().map(TimelineEntry).collect()
    }

    /// When it was placed.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it changed last.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

/// One line of an order.
#[derive(Debug, Clone)]
pub struct OrderItem(order::OrderItem);

/// One line of an order, as it was when the order was placed.
#[Object]
impl OrderItem {
    /// The id of the product.
    async fn product_id(&self) -> ID {
        self.0.product_id.to_string().into()
    }

    /// The product, as of now. Null once deleted.
    async fn product(&self, ctx: &Context<'_>) -> Nullable<Product> {
        nullable(ctx.loaders().products.load_one(self.0.product_id).await)
    }

    /// The product's name then.
    async fn product_name(&self) -> &str {
        &self.0.product_name
    }

    /// What one unit cost then.
    async fn unit_price(&self) -> Money {
        self.0.unit_price.into()
    }

    /// How many units.
    async fn quantity(&self) -> Int {
        self.0.quantity.into()
    }

    /// What the line costs.
    async fn line_total(&self) -> Money {
        self.0.line_total().into()
    }
}

/// A payment that happened elsewhere and was recorded here.
#[derive(Debug, Clone)]
pub struct Payment(order::Payment);

/// A payment that happened elsewhere and was recorded here.
#[Object]
impl Payment {
    /// How it was paid, in the payment provider's words.
    async fn method(&self) -> &str {
        &self.0.method
    }

    /// The provider's reference, unique among all payments.
    async fn reference(&self) -> &str {
        &self.0.reference
    }

    /// How much.
    async fn amount(&self) -> Money {
        self.0.amount.into()
    }

    /// What became of it.
    async fn state(&self) -> PaymentState {
        if self.0.refund_due_version.is_some() {
            PaymentState::RefundDue
        } else {
            PaymentState::Recorded
        }
    }

    /// When it was recorded.
    async fn recorded_at(&self) -> DateTime {
        DateTime(self.0.recorded_at)
    }
}

/// What was short when an order was rejected.
#[derive(Debug, Clone)]
pub struct StockShortage(order::Shortage);

/// What was short when an order was rejected.
#[Object]
impl StockShortage {
    /// The id of the product.
    async fn product_id(&self) -> ID {
        self.0.product_id.to_string().into()
    }

    /// The product, as of now. Null once deleted.
    async fn product(&self, ctx: &Context<'_>) -> Nullable<Product> {
        nullable(ctx.loaders().products.load_one(self.0.product_id).await)
    }

    /// How many units the order asked for.
    async fn requested(&self) -> Int {
        self.0.requested.into()
    }

    /// How many units could be ordered then; 0 for a product that was gone.
    async fn available(&self) -> Int {
        self.0.available.into()
    }
}

/// One change of an order.
#[derive(Debug, Clone)]
pub struct TimelineEntry(order::TimelineEntry);

/// One change of an order.
#[Object]
impl TimelineEntry {
    /// The version that the change made.
    async fn version(&self) -> Int {
        self.0.version.into()
    }

    /// The status before; null for the first entry.
    async fn from(&self) -> Option<OrderStatus> {
        self.0.from.map(Into::into)
    }

    /// The status after; equal to `from` where only a payment or the deletion was noted.
    async fn to(&self) -> OrderStatus {
        self.0.to.into()
    }

    /// Why, in words.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// Who.
    async fn actor(&self) -> Actor {
        self.0.actor.into()
    }

    /// When; never earlier than the entry before.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }
}
