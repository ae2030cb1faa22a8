//! Customers and staff: what the API's mutations do, a transaction each.

use shop_core::commands::orders::announce;
use shop_core::db::orders::Changed;
use shop_core::domain::order::{Actor, NewLine, NewPayment};
use shop_core::domain::stock::{Movement, MovementKind};
use shop_core::domain::{
    EventId, Money, Order, OrderId, OrderStatus, Product, ProductId, Refusal, StockLevel, User,
    UserId,
};
use shop_core::events::{Event, EventType, Payload};

use super::commit;
use crate::fault::Fault;
use crate::shop::Shop;
use crate::shop::mysql::{Changes, Row, Transaction};

/// Somebody with at most one request on its way.
#[derive(Debug)]
pub struct Shopper {
    name: String,
    open: Option<Transaction>,
}

/// What there is to buy, and who buys.
#[derive(Debug)]
pub struct Catalogue {
    customer: User,
    products: Vec<Product>,
    /// Orders that may be placed, at most.
    pub most_orders: usize,
}

impl Catalogue {
    /// A few products with a few units each; chance says how many.
    ///
    /// # Panics
    /// If the rules refuse them.
    pub fn open(shop: &mut Shop) -> Self {
        let now = shop.now();
        let customer = User::create(UserId::from_uuid(shop.id()), now, "Ada", "ada@example.org");
        let price = Money {
            minor: 250,
            currency: "EUR".parse().expect("a currency"),
        };
        let products = (0..shop.rng.usize(1..4)).map(|_| {
            let id = ProductId::from_uuid(shop.id());
            let on_hand = shop.rng.u32(1..12);
            let level = StockLevel {
                product_id: id,
                on_hand,
                reserved: 0,
                sellable: true,
                version: 1,
            };
            let changes = changed_level(shop, level, MovementKind::Received, on_hand.into());
            let clock = shop.clock;
            let transaction = shop.mysql.begin(&[], changes, clock);
            assert!(commit(shop, "catalogue", transaction));
            Product::create(id, now, "Mug", "", price).expect("a product")
        });
        let products = products.collect();
        Self {
            customer: customer.expect("a customer"),
            products,
            most_orders: shop.rng.usize(2..8),
        }
    }

    fn product(&self, shop: &mut Shop) -> ProductId {
        self.products[shop.rng.usize(..self.products.len())].id
    }
}

fn changed_level(shop: &mut Shop, level: StockLevel, kind: MovementKind, quantity: i64) -> Changes {
    let movement = Movement {
        product_id: level.product_id,
        kind,
        quantity,
        order_id: None,
    };
    let event = Event {
        id: EventId::from_uuid(shop.id()),
        kind: EventType::StockLevelChanged,
        time: shop.now(),
        trace: None,
        payload: Payload::StockLevel(level),
    };
    Changes {
        levels: vec![level],
        movements: vec![movement],
        events: vec![event],
        ..Changes::default()
    }
}

impl Shopper {
    /// One without a request.
    pub fn new(number: usize) -> Self {
        Self {
            name: format!("shopper {number}"),
            open: None,
        }
    }

    /// When the open transaction began.
    pub fn open_since(&self) -> Option<i64> {
        self.open.as_ref().map(|open| open.since)
    }

    /// The request is given up; nothing of it was done.
    pub fn crash(&mut self, shop: &mut Shop) -> bool {
        let Some(open) = self.open.take() else {
            return false;
        };
        shop.note(|| format!("{} is rolled back", self.name));
        shop.mysql.roll_back(open);
        true
    }

    /// Commits what is open, or begins something new.
    pub fn step(&mut self, shop: &mut Shop, catalogue: &Catalogue) -> bool {
        if self.open.is_some() && shop.strikes(Fault::LateCommit, 2) {
            return false;
        }
        if let Some(open) = self.open.take() {
            commit(shop, &self.name, open);
            return true;
        }
        let begun = match shop.rng.u8(..8) {
            0..3 if shop.mysql.orders.len() < catalogue.most_orders => self.place(shop, catalogue),
            3 => self.adjust(shop, catalogue),
            _ => self.change(shop),
        };
        self.open = begun;
        self.open.is_some()
    }

    /// Commits what is open, and nothing else.
    pub fn finish(&mut self, shop: &mut Shop) -> bool {
        self.open
            .take()
            .is_some_and(|open| commit(shop, &self.name, open))
    }

    fn place(&self, shop: &mut Shop, catalogue: &Catalogue) -> Option<Transaction> {
        let id = OrderId::from_uuid(shop.id());
        let mut lines: Vec<NewLine> = Vec::new();
        for _ in 0..shop.rng.usize(1..3) {
            let line = NewLine {
                product_id: catalogue.product(shop),
                quantity: shop.rng.i64(1..6),
                expected_unit_price: None,
            };
            if lines
                .iter()
                .all(|other| other.product_id != line.product_id)
            {
                lines.push(line);
            }
        }
        let order = Order::place(
            id,
            shop.now(),
            &catalogue.customer,
            &lines,
            &catalogue.products,
        );
        let order = order.ok()?;
        shop.note(|| format!("{} places {id}", self.name));
        let changes = Changes {
            events: vec![announce(&shop.call(), &order)],
            placed: vec![order],
            ..Changes::default()
        };
        let clock = shop.clock;
        Some(shop.mysql.begin(&[], changes, clock))
    }

    fn adjust(&self, shop: &mut Shop, catalogue: &Catalogue) -> Option<Transaction> {
        let id = catalogue.product(shop);
        let row = Row::Level(id);
        if shop.mysql.are_locked(&[row]) {
            return None;
        }
        let mut level = *shop.mysql.levels.get(&id)?;
        let delta = shop.rng.i64(-3..6);
        level.adjust(delta).ok()?;
        shop.note(|| format!("{} adjusts {id} by {delta}", self.name));
        let changes = changed_level(shop, level, MovementKind::Adjusted, delta);
        let clock = shop.clock;
        Some(shop.mysql.begin(&[row], changes, clock))
    }

    fn change(&self, shop: &mut Shop) -> Option<Transaction> {
        let count = shop.mysql.orders.len();
        if count == 0 {
            return None;
        }
        let chosen = shop.rng.usize(..count);
        let mut order = shop.mysql.orders.values().nth(chosen)?.clone();
        let row = Row::Order(order.id);
        if order.deleted || shop.mysql.are_locked(&[row]) {
            return None;
        }
        let from_version = order.version;
        act(shop, &mut order).ok()?;
        shop.note(|| {
            format!(
                "{} makes {} {} version {}",
                self.name, order.id, order.status, order.version
            )
        });
        let changes = Changes {
            events: vec![announce(&shop.call(), &order)],
            orders: vec![Changed {
                from_version,
                order,
            }],
            ..Changes::default()
        };
        let clock = shop.clock;
        Some(shop.mysql.begin(&[row], changes, clock))
    }
}

/// One of everything that can be asked of an order.
fn act(shop: &mut Shop, order: &mut Order) -> Result<(), Refusal> {
    let now = shop.now();
    match shop.rng.u8(..10) {
        0..4 => {
            let payment = NewPayment {
                method: "card".into(),
                reference: format!("{}-{}", order.id, order.version),
            };
            order.pay(now, payment).map(|_| ())
        }
        4 => order.cancel(now, Actor::Customer, None),
        5 => order.delete(now),
        6 => order.advance(now, OrderStatus::Delivered),
        7 => order.advance(now, OrderStatus::Shipped),
        _ => order.advance(now, OrderStatus::Processing),
    }
}
