//! An order: what was bought at which price, where it stands, and how it got there.

use super::limits::{LINE_QUANTITY, ORDER_LINES, ORDER_PAYMENTS};
use super::refusal::{Entity, Refusal, path};
use super::status::{OrderStatus, TRANSITIONS, Trigger};
use super::{Money, OrderId, Product, ProductId, Timestamp, User, UserId, Version};

/// An order as of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which order.
    pub id: OrderId,
    /// The number of changes so far; equals the number of [`TimelineEntry`]s.
    pub version: Version,
    /// Where it stands.
    pub status: OrderStatus,
    /// Who bought.
    pub customer_id: UserId,
    /// The customer's name when the order was placed; empty once deleted.
    pub customer_name: String,
    /// What was bought, in the order the customer gave; empty once deleted.
    pub items: Vec<OrderItem>,
    /// The sum of all lines.
    pub total: Money,
    /// Payments that were recorded for it, oldest first.
    pub payments: Vec<Payment>,
    /// Why it was rejected: what was short. Empty unless REJECTED.
    pub shortages: Vec<Shortage>,
    /// One entry per version, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When this version came to be.
    pub updated_at: Timestamp,
    /// Whether it was deleted; id, versions, statuses and times are left then.
    pub deleted: bool,
}

/// One line of an order, as it was when the order was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderItem {
    /// Which product.
    pub product_id: ProductId,
    /// The product's name then.
    pub product_name: String,
    /// What one unit cost then.
    pub unit_price: Money,
    /// How many units.
    pub quantity: u32,
}

impl OrderItem {
    /// What the line costs. The limits keep it within 64 bits.
    pub fn line_total(&self) -> Money {
        self.unit_price.times(self.quantity).unwrap_or(Money {
            minor: i64::MAX,
            ..self.unit_price
        })
    }
}

/// A payment that happened elsewhere and was recorded here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// How it was paid, in the words of the payment provider: `card`, `invoice`.
    pub method: String,
    /// The provider's reference, unique among all payments.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The order's version that recorded it.
    pub recorded_version: Version,
    /// The order's version that made its refund due, if that happened.
    pub refund_due_version: Option<Version>,
}

/// What was short when an order was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// Which product.
    pub product_id: ProductId,
    /// How many units the order asked for.
    pub requested: u32,
    /// How many were free; 0 for a product that is gone.
    pub available: u32,
}

/// Who brought a change about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The customer.
    Customer,
    /// Somebody who works for the shop.
    Staff,
    /// One of our programs.
    System,
}

impl Actor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Customer, Self::Staff, Self::System];

    /// The word that tables, events and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Staff => "STAFF",
            Self::System => "SYSTEM",
        }
    }

    /// The actor of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|actor| actor.as_str() == word)
    }
}

/// One change of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// The version that the change made.
    pub version: Version,
    /// The status before; `None` for the first.
    pub from: Option<OrderStatus>,
    /// The status after; equal to `from` where only a payment or the deletion was noted.
    pub to: OrderStatus,
    /// Why, in words.
    pub reason: Option<String>,
    /// Who.
    pub actor: Actor,
    /// When; never earlier than the entry before.
    pub at: Timestamp,
}

/// One line of a new order, as the customer asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// Which product.
    pub product_id: ProductId,
    /// How many units; anything but 1 to [`LINE_QUANTITY`] is refused.
    pub quantity: i64,
    /// What the customer believes one unit costs.
    pub expected_unit_price: Option<Money>,
}

/// A payment as somebody reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayment {
    /// How it was paid.
    pub method: String,
    /// The provider's reference.
    pub reference: String,
}

/// Checks of a new order's lines that need no catalogue.
///
/// # Errors
/// [`Refusal::Invalid`] for the first line that breaks a rule, naming it.
pub fn check_lines(lines: &[NewLine]) -> Result<(), Refusal> {
    if lines.is_empty() {
        return Err(Refusal::invalid(
            path([&"lines"]),
            "an order needs at least one line",
        ));
    }
    if lines.len() > ORDER_LINES {
        let problem = format!(
            "an order has at most {ORDER_LINES} lines, not {}",
            lines.len()
        );
        return Err(Refusal::invalid(path([&"lines"]), problem));
    }
    for (index, line) in lines.iter().enumerate() {
        if !(1..=i64::from(LINE_QUANTITY)).contains(&line.quantity) {
            return Err(Refusal::invalid(
                path([&"lines", &index, &"quantity"]),
                format!("must be between 1 and {LINE_QUANTITY}"),
            ));
        }
        if lines[..index]
            .iter()
            .any(|earlier| earlier.product_id == line.product_id)
        {
            return Err(Refusal::invalid(
                path([&"lines", &index, &"productId"]),
                format!(
                    "{} is in another line already; add up the quantities",
                    line.product_id
                ),
            ));
        }
    }
    Ok(())
}

impl Order {
    /// Places an order, PENDING at version 1, at the catalogue's prices.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::NotFound`] for a product that is not among `catalogue` or deleted,
    /// [`Refusal::PriceChanged`].
    pub fn place(
        id: OrderId,
        now: Timestamp,
        customer: &User,
        lines: &[NewLine],
        catalogue: &[Product],
    ) -> Result<Self, Refusal> {
        check_lines(lines)?;
        let items = lines
            .iter()
            .enumerate()
            .map(|(index, line)| price_line(index, line, catalogue))
            .collect::<Result<Vec<_>, _>>()?;
        let total = add_up(&items)?;
        let first = TimelineEntry {
            version: 1,
            from: None,
            to: OrderStatus::Pending,
            reason: None,
            actor: Actor::Customer,
            at: now,
        };
        Ok(Self {
            id,
            version: 1,
            status: OrderStatus::Pending,
            customer_id: customer.id,
            customer_name: customer.name.clone(),
            items,
            total,
            payments: Vec::new(),
            shortages: Vec::new(),
            timeline: vec![first],
            created_at: now,
            updated_at: now,
            deleted: false,
        })
    }

    /// All of the stock is held: PENDING becomes CONFIRMED.
    ///
    /// # Errors
    /// [`Refusal::IllegalTransition`].
    pub fn confirm(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let reason = "stock reserved".to_owned();
        self.step(
            now,
            OrderStatus::Confirmed,
            Trigger::Reservation,
            Actor::System,
            Some(reason),
        )
    }

    /// The stock was short: PENDING becomes REJECTED.
    ///
    /// # Errors
    /// [`Refusal::IllegalTransition`].
    pub fn reject(&mut self, now: Timestamp, shortages: Vec<Shortage>) -> Result<(), Refusal> {
        let reason = "stock short".to_owned();
        self.step(
            now,
            OrderStatus::Rejected,
            Trigger::Reservation,
            Actor::System,
            Some(reason),
        )?;
        self.shortages = shortages;
        Ok(())
    }

    /// Records a payment of the whole total: CONFIRMED becomes PAID. A CANCELED order stays canceled, and the payment is
    /// recorded as refund due; the answer says which of the two happened.
    ///
    /// # Errors
    /// [`Refusal::AlreadyPaid`], [`Refusal::TooManyPayments`], [`Refusal::IllegalTransition`]. Nothing is recorded then.
    pub fn pay(&mut self, now: Timestamp, payment: NewPayment) -> Result<PaymentOutcome, Refusal> {
        let too_late = self.status == OrderStatus::Canceled;
        let paid = self
            .payments
            .iter()
            .any(|payment| payment.refund_due_version.is_none());
        if paid && !too_late {
            return Err(Refusal::AlreadyPaid { order: self.id });
        }
        if self.payments.len() >= ORDER_PAYMENTS {
            return Err(Refusal::TooManyPayments {
                order: self.id,
                limit: ORDER_PAYMENTS,
            });
        }
        if too_late {
            let reason = "payment recorded after the cancellation; refund due".to_owned();
            self.note(now, Actor::Customer, reason);
        } else {
            self.step(
                now,
                OrderStatus::Paid,
                Trigger::Payment,
                Actor::Customer,
                None,
            )?;
        }
        self.payments.push(Payment {
            method: payment.method,
            reference: payment.reference,
            amount: self.total,
            recorded_at: self.updated_at,
            recorded_version: self.version,
            refund_due_version: too_late.then_some(self.version),
        });
        Ok(if too_late {
            PaymentOutcome::RefundDue
        } else {
            PaymentOutcome::Paid
        })
    }

    /// Calls the order off; a recorded payment's refund becomes due.
    ///
    /// # Errors
    /// [`Refusal::IllegalTransition`] once it is shipped or final.
    pub fn cancel(
        &mut self,
        now: Timestamp,
        actor: Actor,
        reason: Option<String>,
    ) -> Result<(), Refusal> {
        self.step(
            now,
            OrderStatus::Canceled,
            Trigger::Cancellation,
            actor,
            reason,
        )?;
        for payment in &mut self.payments {
            payment.refund_due_version.get_or_insert(self.version);
        }
        Ok(())
    }

    /// Moves a paid order along: PROCESSING, SHIPPED, DELIVERED.
    ///
    /// # Errors
    /// [`Refusal::IllegalTransition`].
    pub fn advance(&mut self, now: Timestamp, to: OrderStatus) -> Result<(), Refusal> {
        self.step(now, to, Trigger::Fulfilment, Actor::Staff, None)
            .map_err(|refusal| match refusal {
                Refusal::IllegalTransition {
                    from,
                    to,
                    by_other_means,
                    ..
                } => Refusal::IllegalTransition {
                    path: path([&"status"]),
                    from,
                    to,
                    by_other_means,
                },
                other => other,
            })
    }

    /// Deletes a final order and scrubs what is personal.
    ///
    /// # Errors
    /// [`Refusal::OrderOpen`].
    pub fn delete(&mut self, now: Timestamp) -> Result<(), Refusal> {
        if !self.status.is_final() {
            return Err(Refusal::OrderOpen {
                order: self.id,
                status: self.status,
            });
        }
        self.note(now, Actor::Staff, "deleted".to_owned());
        self.customer_name.clear();
        self.deleted = true;
        Ok(())
    }

    /// The order as it stood at an earlier version; `None` for a version it has not (yet) had.
    pub fn at_version(&self, version: Version) -> Option<Self> {
        let count = self
            .timeline
            .iter()
            .position(|entry| entry.version == version)?
            + 1;
        let mut earlier = self.clone();
        earlier.timeline.truncate(count);
        let last = earlier.timeline.last()?;
        earlier.version = version;
        earlier.status = last.to;
        earlier.updated_at = last.at;
        earlier
            .payments
            .retain(|payment| payment.recorded_version <= version);
        for payment in &mut earlier.payments {
            payment.refund_due_version = payment.refund_due_version.filter(|due| *due <= version);
        }
        if earlier.status != OrderStatus::Rejected {
            earlier.shortages.clear();
        }
        earlier.deleted = self.deleted && version == self.version;
        Some(earlier)
    }

    /// The order as it stood at a time: the newest version that was there by then; `None` before it was placed.
    pub fn at_time(&self, at: Timestamp) -> Option<Self> {
        let entries = self.timeline.iter();
        let last = entries.take_while(|entry| entry.at <= at).last()?;
        self.at_version(last.version)
    }

    fn step(
        &mut self,
        now: Timestamp,
        to: OrderStatus,
        by: Trigger,
        actor: Actor,
        reason: Option<String>,
    ) -> Result<(), Refusal> {
        if !self.status.may_become(to, by) {
            return Err(Refusal::IllegalTransition {
                path: Vec::new(),
                from: self.status,
                to,
                by_other_means: other_means(self.status, to),
            });
        }
        self.record(now, to, actor, reason);
        Ok(())
    }

    /// A change that leaves the status as it is.
    fn note(&mut self, now: Timestamp, actor: Actor, reason: String) {
        self.record(now, self.status, actor, Some(reason));
    }

    fn record(&mut self, now: Timestamp, to: OrderStatus, actor: Actor, reason: Option<String>) {
        let at = self.updated_at.max(now);
        self.version += 1;
        self.timeline.push(TimelineEntry {
            version: self.version,
            from: Some(self.status),
            to,
            reason,
            actor,
            at,
        });
        self.status = to;
        self.updated_at = at;
    }
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// The order is PAID.
    Paid,
    /// The order was canceled before; the payment is recorded and has to be given back.
    RefundDue,
}

/// Says which door leads to a status, if it is another than the one that was knocked at.
fn other_means(from: OrderStatus, to: OrderStatus) -> Option<&'static str> {
    let step = TRANSITIONS
        .iter()
        .find(|step| step.from == from && step.to == to)?;
    Some(match step.by {
        Trigger::Reservation => " by hand: it follows from the stock",
        Trigger::Payment => " this way: use payOrder",
        Trigger::Fulfilment => " this way: use updateOrderStatus",
        Trigger::Cancellation => " this way: use cancelOrder",
    })
}

fn price_line(index: usize, line: &NewLine, catalogue: &[Product]) -> Result<OrderItem, Refusal> {
    let product = catalogue
        .iter()
        .find(|product| product.id == line.product_id && !product.deleted)
        .ok_or_else(|| Refusal::NotFound {
            path: path([&"lines", &index, &"productId"]),
            entity: Entity::Product(line.product_id),
        })?;
    if let Some(expected) = line
        .expected_unit_price
        .filter(|price| *price != product.price)
    {
        return Err(Refusal::PriceChanged {
            path: path([&"lines", &index, &"expectedUnitPrice"]),
            product: product.id,
            expected,
            actual: product.price,
        });
    }
    Ok(OrderItem {
        product_id: product.id,
        product_name: product.name.clone(),
        unit_price: product.price,
        quantity: u32::try_from(line.quantity).unwrap_or(u32::MAX), // check_lines has seen it
    })
}

fn add_up(items: &[OrderItem]) -> Result<Money, Refusal> {
    let Some(first) = items.first() else {
        return Err(Refusal::invalid(
            path([&"lines"]),
            "an order needs at least one line",
        ));
    };
    let currency = first.unit_price.currency;
    let mut minor: i64 = 0;
    for (index, item) in items.iter().enumerate() {
        if item.unit_price.currency != currency {
            let problem = format!(
                "is priced in {}, the lines before it in {}; place one order per currency",
                item.unit_price.currency.code(),
                currency.code()
            );
            return Err(Refusal::invalid(
                path([&"lines", &index, &"productId"]),
                problem,
            ));
        }
        minor = minor.saturating_add(item.line_total().minor);
    }
    Ok(Money { minor, currency })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn product(number: u128, minor: i64, currency: &str) -> Product {
        let price = Money {
            minor,
            currency: currency.parse().expect("a currency"),
        };
        let id = ProductId::from_uuid(Uuid::from_u128(number));
        Product::create(id, Timestamp::from_millis(0), "Mug", "", price).expect("a product")
    }

    fn line(product: &Product, quantity: i64) -> NewLine {
        NewLine {
            product_id: product.id,
            quantity,
            expected_unit_price: None,
        }
    }

    fn customer() -> User {
        let id = UserId::from_uuid(Uuid::from_u128(1));
        User::create(id, Timestamp::from_millis(0), "Ada", "ada@example.org").expect("a user")
    }

    fn order() -> Order {
        let mug = product(1, 250, "EUR");
        let id = OrderId::from_uuid(Uuid::from_u128(9));
        let lines = [line(&mug, 2)];
        Order::place(id, Timestamp::from_millis(10), &customer(), &lines, &[mug]).expect("an order")
    }

    fn payment(reference: &str) -> NewPayment {
        NewPayment {
            method: "card".into(),
            reference: reference.into(),
        }
    }

    #[test]
    fn a_bad_line_is_refused_by_its_field() {
        let (mug, cup, yen) = (
            product(1, 250, "EUR"),
            product(2, 100, "EUR"),
            product(3, 9, "JPY"),
        );
        let too_many: Vec<_> = (0..10_000)
            .map(|n| line(&product(n, 1, "EUR"), 1))
            .collect();
        for (lines, field) in [
            (vec![], "lines"),
            (too_many, "lines"),
            (vec![line(&mug, 0)], "lines.0.quantity"),
            (vec![line(&mug, -2)], "lines.0.quantity"),
            (vec![line(&mug, 1 << 31)], "lines.0.quantity"),
            (
                vec![line(&mug, 1), line(&cup, 1), line(&mug, 3)],
                "lines.2.productId",
            ),
            (
                vec![line(&mug, 1), line(&product(99, 1, "EUR"), 1)],
                "lines.1.productId",
            ),
            (vec![line(&mug, 1), line(&yen, 1)], "lines.1.productId"),
        ] {
            let catalogue = [mug.clone(), cup.clone(), yen.clone()];
            let id = OrderId::from_uuid(Uuid::from_u128(9));
            let refusal = Order::place(
                id,
                Timestamp::from_millis(0),
                &customer(),
                &lines,
                &catalogue,
            )
            .expect_err(field);
            assert_eq!(refusal.field_path().join("."), field);
        }
    }

    #[test]
    fn an_expected_price_must_be_the_catalogues() {
        let mug = product(1, 250, "EUR");
        let mut wrong = line(&mug, 1);
        wrong.expected_unit_price = Some(Money {
            minor: 249,
            ..mug.price
        });
        let id = OrderId::from_uuid(Uuid::from_u128(9));
        let refusal = Order::place(id, Timestamp::from_millis(0), &customer(), &[wrong], &[mug]);
        assert!(matches!(refusal, Err(Refusal::PriceChanged { .. })));
    }

    #[test]
    fn payments_after_the_cancellation_are_kept_up_to_a_limit() {
        let mut order = order();
        let now = Timestamp::from_millis(20);
        order.cancel(now, Actor::Customer, None).expect("pending");
        for number in 0..ORDER_PAYMENTS {
            let outcome = order.pay(now, payment(&number.to_string()));
            assert_eq!(outcome, Ok(PaymentOutcome::RefundDue));
        }
        let kept = order.clone();
        let refused = order.pay(now, payment("one more"));
        assert!(matches!(refused, Err(Refusal::TooManyPayments { .. })));
        assert_eq!(order, kept);
    }

    #[test]
    fn an_order_is_seen_as_it_stood_at_a_time() {
        let at = Timestamp::from_millis;
        let mut now = order(); // placed at 10
        now.confirm(at(20)).expect("pending");
        let confirmed = now.clone();
        now.pay(at(30), payment("a")).expect("confirmed");
        let paid = now.clone();
        now.cancel(at(30), Actor::Customer, None) // in the same millisecond
            .expect("not shipped");
        let canceled = now.clone();
        now.pay(at(40), payment("b")).expect("refund due");
        assert_eq!(now.at_version(3), Some(paid));
        for (time, version, expected) in [
            (at(9), 0, None),
            (at(10), 1, Some(order())),
            (at(19), 1, Some(order())),
            (at(20), 2, Some(confirmed.clone())),
            (at(29), 2, Some(confirmed)),
            (at(30), 4, Some(canceled)),
            (at(40), 5, Some(now.clone())),
            (at(i64::MAX), 5, Some(now.clone())),
        ] {
            let seen = now.at_time(time);
            assert_eq!(seen.as_ref().map_or(0, |order| order.version), version);
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn paying_twice_is_refused_and_paying_after_a_cancellation_is_recorded_as_refund_due() {
        let now = Timestamp::from_millis(20);
        let mut paid = order();
        paid.confirm(now).expect("pending");
        assert_eq!(paid.pay(now, payment("a")), Ok(PaymentOutcome::Paid));
        let before = paid.clone();
        assert!(matches!(
            paid.pay(now, payment("b")),
            Err(Refusal::AlreadyPaid { .. })
        ));
        assert_eq!(paid, before, "a refusal changes nothing");

        paid.cancel(now, Actor::Customer, None)
            .expect("not shipped");
        assert_eq!(paid.payments[0].refund_due_version, Some(4));
        assert_eq!(paid.pay(now, payment("c")), Ok(PaymentOutcome::RefundDue));
        assert_eq!(paid.payments[1].refund_due_version, Some(5));
        assert_eq!((paid.status, paid.version), (OrderStatus::Canceled, 5));
    }

    #[test]
    fn a_refused_step_names_the_way_that_leads_there() {
        let mut order = order();
        order.confirm(Timestamp::from_millis(20)).expect("pending");
        let refusal = order
            .advance(Timestamp::from_millis(20), OrderStatus::Paid)
            .expect_err("refused");
        assert_eq!(
            refusal.to_string(),
            "an order that is CONFIRMED can not become PAID this way: use payOrder"
        );
    }

    #[test]
    fn every_earlier_version_can_be_told_from_the_newest() {
        let mut order = order();
        let mut states = vec![order.clone()];
        let now = Timestamp::from_millis(20);
        order.confirm(now).expect("confirm");
        states.push(order.clone());
        order
            .pay(Timestamp::from_millis(5), payment("a"))
            .expect("pay"); // a clock that went back
        states.push(order.clone());
        order
            .cancel(now, Actor::Staff, Some("lost".into()))
            .expect("cancel");
        states.push(order.clone());
        order.pay(now, payment("b")).expect("late");
        states.push(order.clone());
        for state in &states {
            assert_eq!(order.at_version(state.version).as_ref(), Some(state));
        }
        assert_eq!(order.at_version(0), None);
        assert_eq!(order.at_version(9), None);
        assert!(order.timeline.is_sorted_by_key(|entry| entry.at));
    }

    #[test]
    fn only_final_orders_are_deleted_and_lose_their_customers_name() {
        let now = Timestamp::from_millis(20);
        let mut order = order();
        assert!(matches!(order.delete(now), Err(Refusal::OrderOpen { .. })));
        order.reject(now, vec![]).expect("reject");
        order.delete(now).expect("final");
        assert_eq!(
            (order.customer_name.as_str(), order.version, order.deleted),
            ("", 3, true)
        );
    }
}
