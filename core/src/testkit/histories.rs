//! Histories without a database: every state that an aggregate went through, made up from a seed by the rules themselves.

use crate::domain::order::{Actor, NewLine, NewPayment, Shortage};
use crate::domain::product::ProductChange;
use crate::domain::{
    EventId, Money, Order, OrderId, OrderStatus, Product, ProductId, StockLevel, Timestamp, User,
    UserId,
};
use crate::events::{Event, EventType, Payload};

/// Words that break careless code: quotes, operators, dots, other scripts, a pattern's characters.
const WORDS: [&str; 12] = [
    "Ada", "mug", "MUG", "$where", "a.b", ".*", "Jörg", "ΟΔΟΣ", "\"'`", "\\d+", "茶", "💡",
];
const CURRENCIES: [&str; 4] = ["EUR", "USD", "JPY", "KWD"];

/// Makes up histories; the same seed makes the same ones.
#[derive(Debug, Clone)]
pub struct Histories {
    rng: fastrand::Rng,
}

impl Histories {
    /// Histories of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// The source of chance, for what else a test leaves to it.
    pub fn rng(&mut self) -> &mut fastrand::Rng {
        &mut self.rng
    }

    fn id(&mut self) -> uuid::Uuid {
        uuid::Uuid::from_u128(self.rng.u128(..))
    }

    fn words(&mut self) -> String {
        let count = self.rng.usize(1..4);
        let words: Vec<&str> = (0..count)
            .map(|_| WORDS[self.rng.usize(..WORDS.len())])
            .collect();
        words.join(" ")
    }

    fn later(&mut self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.millis() + self.rng.i64(-5..5_000)) // clocks of several machines disagree a little
    }

    fn price(&mut self) -> Money {
        let currency = CURRENCIES[self.rng.usize(..CURRENCIES.len())];
        Money {
            minor: self.rng.i64(0..100),
            currency: currency.parse().expect("a currency"),
        }
    }

    /// Every state of one user, oldest first; some end deleted.
    ///
    /// # Panics
    /// If the rules refuse what this makes up.
    pub fn user(&mut self) -> Vec<User> {
        let mut now = Timestamp::from_millis(self.rng.i64(-1_000_000..2_000_000_000_000));
        let email = format!("Ada.{}@Example.org", self.rng.u32(..));
        let name = self.words();
        let id = UserId::from_uuid(self.id());
        let mut user = User::create(id, now, &name, &email).expect("a user");
        let mut history = vec![user.clone()];
        for _ in 0..self.rng.usize(0..5) {
            now = self.later(now);
            let name = self.words();
            if user.update(now, Some(&name), None).expect("a change") {
                history.push(user.clone());
            }
        }
        if self.rng.u8(..4) == 0 {
            user.delete(self.later(now));
            history.push(user);
        }
        history
    }

    /// Every state of one product, oldest first; some end deleted.
    ///
    /// # Panics
    /// If the rules refuse what this makes up.
    pub fn product(&mut self) -> Vec<Product> {
        let mut now = Timestamp::from_millis(self.rng.i64(0..2_000_000_000_000));
        let (name, price) = (self.words(), self.price());
        let id = ProductId::from_uuid(self.id());
        let mut product = Product::create(id, now, &name, "", price).expect("a product");
        let mut history = vec![product.clone()];
        for _ in 0..self.rng.usize(0..5) {
            now = self.later(now);
            let change = ProductChange {
                name: self.rng.bool().then(|| self.words()),
                description: self.rng.bool().then(|| self.words()),
                price: self.rng.bool().then(|| self.price()),
            };
            if product.update(now, &change).expect("a change") {
                history.push(product.clone());
            }
        }
        if self.rng.u8(..4) == 0 {
            product.delete(self.later(now));
            history.push(product);
        }
        history
    }

    /// Every level of one product, oldest first.
    pub fn stock_level(&mut self) -> Vec<StockLevel> {
        let product_id = ProductId::from_uuid(self.id());
        (1..=self.rng.u32(1..8))
            .map(|version| {
                let on_hand = self.rng.u32(..);
                let reserved = self.rng.u32(..=on_hand);
                StockLevel {
                    product_id,
                    on_hand,
                    reserved,
                    sellable: self.rng.bool(),
                    version,
                }
            })
            .collect()
    }

    /// Every state of one order, oldest first: a walk through the rules, to wherever it leads.
    ///
    /// # Panics
    /// If the rules refuse what this makes up.
    pub fn order(&mut self) -> Vec<Order> {
        let customer = self.user().swap_remove(0);
        let price = self.price();
        let catalogue: Vec<Product> = (0..self.rng.usize(1..4))
            .map(|_| Product {
                price,
                ..self.product().swap_remove(0)
            })
            .collect();
        let lines: Vec<NewLine> = catalogue
            .iter()
            .map(|product| NewLine {
                product_id: product.id,
                quantity: self.rng.i64(1..10_000),
                expected_unit_price: None,
            })
            .collect();
        let mut now = Timestamp::from_millis(self.rng.i64(0..2_000_000_000_000));
        let id = OrderId::from_uuid(self.id());
        let mut order = Order::place(id, now, &customer, &lines, &catalogue).expect("an order");
        let mut history = vec![order.clone()];
        for _ in 0..self.rng.usize(0..9) {
            now = self.later(now);
            if self.step(&mut order, now) {
                history.push(order.clone());
            }
            if order.deleted {
                break;
            }
        }
        history
    }

    /// One change, if the rules allow the one that chance chose.
    fn step(&mut self, order: &mut Order, now: Timestamp) -> bool {
        let payment = || NewPayment {
            method: "card".into(),
            reference: format!("r{}", order.version),
        };
        let done = match (order.status, self.rng.u8(..8)) {
            (OrderStatus::Pending, 0) => {
                let short = Shortage {
                    product_id: order.items[0].product_id,
                    requested: order.items[0].quantity,
                    available: 0,
                };
                order.reject(now, vec![short])
            }
            (OrderStatus::Pending, 1..) => order.confirm(now),
            (OrderStatus::Confirmed, 1..) => order.pay(now, payment()).map(|_| ()),
            (OrderStatus::Paid, 1..) => order.advance(now, OrderStatus::Processing),
            (OrderStatus::Processing, 1..) => order.advance(now, OrderStatus::Shipped),
            (OrderStatus::Shipped, _) => order.advance(now, OrderStatus::Delivered),
            (OrderStatus::Canceled, 0..4) => order.pay(now, payment()).map(|_| ()),
            (OrderStatus::Canceled | OrderStatus::Rejected | OrderStatus::Delivered, _) => {
                order.delete(now)
            }
            _ => order.cancel(now, Actor::Customer, Some("Ada changed her mind".into())),
        };
        done.is_ok()
    }

    /// The event of an order's state.
    pub fn order_event(&mut self, order: &Order) -> Event {
        let kind = if order.deleted {
            EventType::OrderDeleted
        } else {
            order.status.into()
        };
        self.event(
            kind,
            order.updated_at,
            Payload::Order(Box::new(order.clone())),
        )
    }

    /// The event of a user's state.
    pub fn user_event(&mut self, user: &User) -> Event {
        let kind = match (user.version, user.deleted) {
            (_, true) => EventType::UserDeleted,
            (1, _) => EventType::UserCreated,
            _ => EventType::UserUpdated,
        };
        self.event(kind, user.updated_at, Payload::User(user.clone()))
    }

    /// The event of a product's state.
    pub fn product_event(&mut self, product: &Product) -> Event {
        let kind = match (product.version, product.deleted) {
            (_, true) => EventType::ProductDeleted,
            (1, _) => EventType::ProductCreated,
            _ => EventType::ProductUpdated,
        };
        self.event(kind, product.updated_at, Payload::Product(product.clone()))
    }

    /// The event of a product's level.
    pub fn stock_level_event(&mut self, level: &StockLevel) -> Event {
        let at = Timestamp::from_millis(i64::from(level.version));
        self.event(
            EventType::StockLevelChanged,
            at,
            Payload::StockLevel(*level),
        )
    }

    fn event(&mut self, kind: EventType, time: Timestamp, payload: Payload) -> Event {
        Event {
            id: EventId::from_uuid(self.id()),
            kind,
            time,
            trace: None,
            payload,
        }
    }
}
