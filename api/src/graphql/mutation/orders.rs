//! Mutations of orders.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use shop_core::commands::CommandError;
use shop_core::commands::orders::{
    self, CancelOrder, CreateOrder, PaidOrder, PayOrder, UpdateOrderStatus,
};
use shop_core::domain;
use shop_core::domain::Refusal;
use shop_core::domain::order::{Actor, NewLine, NewPayment, PaymentOutcome};
use shop_core::domain::refusal::{Entity, path};

use super::terms::{ChangeTerms, CreationTerms};
use super::{answer, parse_id, split};
use crate::graphql::ContextExt as _;
use crate::graphql::model::{MoneyInput, MutationError, Order, OrderStatus};
use crate::graphql::scalar::Int;
use crate::identity::{Caller, Role};

/// An order to be placed.
#[derive(Debug, InputObject)]
struct CreateOrderInput {
    /// Whom staff buys for; without it, and for a customer, whoever asks is the customer.
    on_behalf_of: Option<ID>,
    /// What is bought: 1 to 100 lines, no product twice, all priced in one currency.
    lines: Vec<OrderLineInput>,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: CreationTerms,
}

/// One line of an order to be placed. Its price comes from the catalogue.
#[derive(Debug, InputObject)]
struct OrderLineInput {
    /// Which product.
    product_id: ID,
    /// How many units: 1 to 10,000.
    quantity: Int,
    /// What you believe one unit costs: with another price in the catalogue the order is refused.
    expected_unit_price: Option<MoneyInput>,
}

impl CreateOrderInput {
    fn parse(&self, caller: Caller) -> Result<CreateOrder, Refusal> {
        let other = (self.on_behalf_of.as_ref()).map(|id| parse_id(id, &["onBehalfOf"]));
        let customer_id = other.transpose()?.unwrap_or(caller.user);
        if !caller.scope(Role::Staff).has(customer_id) {
            return Err(Refusal::NotFound {
                path: path([&"onBehalfOf"]),
                entity: Entity::User(customer_id),
            });
        }
        let lines = (self.lines.iter().enumerate())
            .map(|(index, line)| line.parse(&index.to_string()))
            .collect::<Result<_, _>>()?;
        Ok(CreateOrder { customer_id, lines })
    }

    /// An unknown customer is a matter of `onBehalfOf`, unless that was not given: then it is whoever asks.
    fn place(&self, error: CommandError) -> CommandError {
        match error {
            CommandError::Refused(Refusal::NotFound {
                entity: entity @ Entity::User(_),
                ..
            }) if self.on_behalf_of.is_none() => CommandError::Refused(Refusal::NotFound {
                path: path([]),
                entity,
            }),
            other => other,
        }
    }
}

impl OrderLineInput {
    fn parse(&self, index: &str) -> Result<NewLine, Refusal> {
        let price_path = ["lines", index, "expectedUnitPrice"];
        let expected = self
            .expected_unit_price
            .as_ref()
            .map(|price| price.parse(&price_path));
        Ok(NewLine {
            product_id: parse_id(&self.product_id, &["lines", index, "productId"])?,
            quantity: self.quantity,
            expected_unit_price: expected.transpose()?,
        })
    }
}

/// What became of `createOrder`.
#[derive(Debug, SimpleObject)]
struct CreateOrderPayload {
    /// The new order, PENDING; null if refused.
    order: Option<Order>,
    /// Why it was refused; empty if it was not.
    errors: Vec<MutationError>,
}

impl From<Result<domain::Order, MutationError>> for CreateOrderPayload {
    fn from(outcome: Result<domain::Order, MutationError>) -> Self {
        let (order, errors) = split(outcome, Order::from);
        Self { order, errors }
    }
}

/// A payment that happened elsewhere.
#[derive(Debug, InputObject)]
struct PayOrderInput {
    /// Which order.
    order_id: ID,
    /// How it was paid, in the payment provider's words, such as "card".
    method: String,
    /// The provider's reference; no other payment may have it.
    reference: String,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: ChangeTerms,
}

impl PayOrderInput {
    fn parse(self) -> Result<PayOrder, Refusal> {
        Ok(PayOrder {
            order_id: parse_id(&self.order_id, &["orderId"])?,
            payment: NewPayment {
                method: self.method,
                reference: self.reference,
            },
        })
    }
}

/// What became of `payOrder`.
#[derive(Debug, SimpleObject)]
struct PayOrderPayload {
    /// The order after the payment; null if refused. Set together with a `RefundDueError` if the order was canceled before.
    order: Option<Order>,
    /// Why it was refused, or that a refund is due; empty if the order is paid.
    errors: Vec<MutationError>,
}

impl From<Result<PaidOrder, MutationError>> for PayOrderPayload {
    fn from(outcome: Result<PaidOrder, MutationError>) -> Self {
        match outcome {
            Ok(PaidOrder { order, outcome }) => {
                let errors = match outcome {
                    PaymentOutcome::Paid => Vec::new(),
                    PaymentOutcome::RefundDue => {
                        vec![Refusal::RefundDue { order: order.id }.into()]
                    }
                };
                Self {
                    order: Some(order.into()),
                    errors,
                }
            }
            Err(error) => Self {
                order: None,
                errors: vec![error],
            },
        }
    }
}

/// An order to be called off.
#[derive(Debug, InputObject)]
struct CancelOrderInput {
    /// Which order.
    order_id: ID,
    /// Why, at most 500 characters.
    reason: Option<String>,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: ChangeTerms,
}

impl CancelOrderInput {
    fn parse(self, caller: Caller) -> Result<CancelOrder, Refusal> {
        let order_id = parse_id(&self.order_id, &["orderId"])?;
        let is_customer = caller.role == Role::Customer;
        Ok(CancelOrder {
            order_id,
            actor: if is_customer {
                Actor::Customer
            } else {
                Actor::Staff
            },
            reason: self.reason,
        })
    }
}

/// What became of `cancelOrder`.
#[derive(Debug, SimpleObject)]
struct CancelOrderPayload {
    /// The order, CANCELED; null if refused.
    order: Option<Order>,
    /// Why it was refused; empty if it was not.
    errors: Vec<MutationError>,
}

impl From<Result<domain::Order, MutationError>> for CancelOrderPayload {
    fn from(outcome: Result<domain::Order, MutationError>) -> Self {
        let (order, errors) = split(outcome, Order::from);
        Self { order, errors }
    }
}

/// A paid order's next step.
#[derive(Debug, InputObject)]
struct UpdateOrderStatusInput {
    /// Which order.
    order_id: ID,
    /// The next status: PROCESSING, SHIPPED or DELIVERED. The others have mutations of their own or follow from the stock.
    status: OrderStatus,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: ChangeTerms,
}

impl UpdateOrderStatusInput {
    fn parse(&self) -> Result<UpdateOrderStatus, Refusal> {
        let order_id = parse_id(&self.order_id, &["orderId"])?;
        Ok(UpdateOrderStatus {
            order_id,
            status: self.status.into(),
        })
    }
}

/// What became of `updateOrderStatus`.
#[derive(Debug, SimpleObject)]
struct UpdateOrderStatusPayload {
    /// The order after the step; null if refused.
    order: Option<Order>,
    /// Why it was refused; empty if it was not.
    errors: Vec<MutationError>,
}

impl From<Result<domain::Order, MutationError>> for UpdateOrderStatusPayload {
    fn from(outcome: Result<domain::Order, MutationError>) -> Self {
        let (order, errors) = split(outcome, Order::from);
        Self { order, errors }
    }
}

/// An order to be deleted.
#[derive(Debug, InputObject)]
struct DeleteOrderInput {
    /// Which order.
    order_id: ID,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: ChangeTerms,
}

/// What became of `deleteOrder`.
#[derive(Debug, SimpleObject)]
struct DeleteOrderPayload {
    /// The id of the deleted order; null if refused.
    deleted_id: Option<ID>,
    /// Why it was refused; empty if it was not.
    errors: Vec<MutationError>,
}

impl From<Result<domain::Order, MutationError>> for DeleteOrderPayload {
    fn from(outcome: Result<domain::Order, MutationError>) -> Self {
        let (deleted_id, errors) = split(outcome, |order| order.id.to_string().into());
        Self { deleted_id, errors }
    }
}

/// Mutations of orders.
#[derive(Debug, Default)]
pub(super) struct OrderMutation;

#[Object]
impl OrderMutation {
    /// Places an order at the catalogue's prices, for whoever asks. It is PENDING until its stock is reserved, then CONFIRMED or REJECTED:
    /// subscribe to `orderStatusChanged` to see it.
    async fn create_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order.")] input: CreateOrderInput,
    ) -> Result<CreateOrderPayload> {
        let run = async || {
            let call = input.terms.call(ctx);
            let order = input.parse(ctx.caller())?;
            let placed = orders::create_order(ctx.db(), &call, order).await;
            placed.map_err(|error| input.place(error))
        };
        Ok(answer(run().await)?)
    }

    /// Records a payment of the whole total that happened elsewhere; no payment provider is contacted.
    async fn pay_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The payment.")] input: PayOrderInput,
    ) -> Result<PayOrderPayload> {
        let run = async || {
            let call = input.terms.call(ctx)?;
            orders::pay_order(ctx.db(), &call, input.parse()?).await
        };
        Ok(answer(run().await)?)
    }

    /// Calls an order off that is not shipped yet. Its stock goes back; the refund of a payment becomes due.
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which order, and why.")] input: CancelOrderInput,
    ) -> Result<CancelOrderPayload> {
        let run = async || {
            let call = input.terms.call(ctx)?;
            orders::cancel_order(ctx.db(), &call, input.parse(ctx.caller())?).await
        };
        Ok(answer(run().await)?)
    }

    /// Moves a paid order along: PROCESSING, SHIPPED, DELIVERED. For staff.
    async fn update_order_status(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which order, and its next status.")] input: UpdateOrderStatusInput,
    ) -> Result<UpdateOrderStatusPayload> {
        let run = async || {
            let call = input.terms.call(ctx)?;
            orders::update_order_status(ctx.db(), &call, input.parse()?).await
        };
        Ok(answer(run().await)?)
    }

    /// Deletes an order whose status is final, and scrubs what is personal. For staff.
    async fn delete_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which order.")] input: DeleteOrderInput,
    ) -> Result<DeleteOrderPayload> {
        let run = async || {
            let call = input.terms.call(ctx)?;
            let id = parse_id(&input.order_id, &["orderId"])?;
            orders::delete_order(ctx.db(), &call, id).await
        };
        Ok(answer(run().await)?)
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{InputType, value};

    use super::*;
    use crate::identity::tests::a_caller;

    #[test]
    fn an_unknown_customer_is_told_of_where_it_was_named() {
        let user = a_caller().user;
        let unknown = || {
            CommandError::Refused(Refusal::NotFound {
                path: path([&"onBehalfOf"]),
                entity: Entity::User(user),
            })
        };
        let named = value!({ "onBehalfOf": (user.to_string()), "lines": [] });
        for (input, expected) in [
            (named, &["onBehalfOf".to_owned()][..]),
            (value!({ "lines": [] }), &[][..]),
            (value!({ "onBehalfOf": null, "lines": [] }), &[][..]),
        ] {
            let input = <CreateOrderInput as InputType>::parse(Some(input));
            let input = input.unwrap_or_else(|_| panic!("it is an input"));
            match input.place(unknown()) {
                CommandError::Refused(refusal) => assert_eq!(refusal.field_path(), expected),
                other => panic!("{other}"),
            }
        }
    }
}
