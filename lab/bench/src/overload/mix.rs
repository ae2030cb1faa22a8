//! The requests of the load, as bytes: four of five read, the others change something. What reads is built once.

use std::collections::VecDeque;
use std::sync::Arc;

use fastrand::Rng;
use serde_json::{Value, json};
use shop_lab::client::{Token, documents};
use uuid::Uuid;

use super::scene::Scene;

/// Orders that may still be paid, at most.
const PAYABLE: usize = 1_000;
const ORDER: &str = "query($id: ID!) { order(id: $id) { id version status customerName total { amount currencyCode } \
     items { productName quantity unitPrice { amount } } timeline { to at } } }";
const PRODUCT: &str = "query($id: ID!) { product(id: $id) { id version name description \
     price { amount currencyCode } stock { available } } }";
const ORDERS: &str = "{ orders(first: 10) { nodes { id status createdAt total { amount currencyCode } } \
     pageInfo { hasNextPage endCursor } } }";
const PRODUCTS: &str = "{ products(first: 20) { nodes { id name price { amount currencyCode } } \
     pageInfo { hasNextPage endCursor } } }";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// An order by its id.
    Order,
    /// A product by its id.
    Product,
    /// A page of one's own orders.
    Orders,
    /// A page of products.
    Products,
    /// `createOrder`.
    CreateOrder,
    /// `payOrder`.
    PayOrder,
    /// `adjustStock`.
    AdjustStock,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Order,
        Self::Product,
        Self::Orders,
        Self::Products,
        Self::CreateOrder,
        Self::PayOrder,
        Self::AdjustStock,
    ];

    /// What tables call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order by id",
            Self::Product => "product by id",
            Self::Orders => "10 orders",
            Self::Products => "20 products",
            Self::CreateOrder => "createOrder",
            Self::PayOrder => "payOrder",
            Self::AdjustStock => "adjustStock",
        }
    }

    /// The kind of a number below 100: their shares.
    const fn of(percent: u8) -> Self {
        match percent {
            0..30 => Self::Order,
            30..55 => Self::Product,
            55..68 => Self::Orders,
            68..80 => Self::Products,
            80..94 => Self::CreateOrder,
            94..97 => Self::PayOrder,
            _ => Self::AdjustStock,
        }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// What it asks for.
    pub kind: Kind,
    /// All of it.
    pub bytes: Arc<[u8]>,
    /// Who sends it, by number.
    pub customer: usize,
}

/// Makes requests by chance.
#[derive(Debug)]
pub(super) struct Mix {
    scene: Arc<Scene>,
    chance: Rng,
    orders: Vec<Request>,
    products: Vec<Request>,
    pages: Vec<Request>,
    shelves: Vec<Request>,
    payable: VecDeque<(String, usize)>,
}

impl Mix {
    /// Builds what can be built before.
    pub fn new(scene: Arc<Scene>) -> Self {
        let ask = |kind, document: &str, variables: &Value, customer: usize| Request {
            kind,
            bytes: post(&scene.customers[customer].token, document, variables),
            customer,
        };
        let numbers = 0..scene.customers.len();
        let orders = numbers.clone().flat_map(|customer| {
            let own = scene.customers[customer].orders.iter();
            let id = |order: &Uuid| json!({ "id": format!("order_{order}") });
            own.map(move |order| ask(Kind::Order, ORDER, &id(order), customer))
        });
        let products = numbers.clone().flat_map(|customer| {
            let id = |product: &Uuid| json!({ "id": format!("product_{product}") });
            let all = scene.products.iter();
            all.map(move |product| ask(Kind::Product, PRODUCT, &id(product), customer))
        });
        let none = Value::Null;
        let pages = numbers.clone();
        let pages = pages.map(|customer| ask(Kind::Orders, ORDERS, &none, customer));
        let shelves = numbers.map(|customer| ask(Kind::Products, PRODUCTS, &none, customer));
        Self {
            orders: orders.collect(),
            products: products.collect(),
            pages: pages.collect(),
            shelves: shelves.collect(),
            payable: VecDeque::new(),
            chance: Rng::new(),
            scene,
        }
    }

    /// The next request.
    pub fn next(&mut self) -> Request {
        let built = match Kind::of(self.chance.u8(0..100)) {
            Kind::Order => &self.orders,
            Kind::Product => &self.products,
            Kind::Orders => &self.pages,
            Kind::Products => &self.shelves,
            Kind::CreateOrder => return self.create_order(),
            Kind::PayOrder => return self.pay_order(),
            Kind::AdjustStock => return self.adjust_stock(),
        };
        built[self.chance.usize(..built.len())].clone()
    }

    /// Remembers an order that was placed: somebody may pay it.
    pub fn placed(&mut self, order: String, customer: usize) {
        if self.payable.len() == PAYABLE {
            self.payable.pop_front();
        }
        self.payable.push_back((order, customer));
    }

    fn create_order(&mut self) -> Request {
        let customer = self.chance.usize(..self.scene.customers.len());
        let lines = [self.line(), self.line()];
        // No product twice.
        let lines = if lines[0]["productId"] == lines[1]["productId"] {
            &lines[..1]
        } else {
            &lines[..]
        };
        let input = json!({ "idempotencyKey": self.key(), "lines": lines });
        self.mutation(
            Kind::CreateOrder,
            documents::CREATE_ORDER,
            &input,
            Some(customer),
        )
    }

    fn line(&mut self) -> Value {
        let product = self.scene.products[self.chance.usize(..self.scene.products.len())];
        json!({ "productId": format!("product_{product}"), "quantity": self.chance.u8(1..=3) })
    }

    /// Pays an order that was placed under this load, or puts something on the shelf while there is none.
    fn pay_order(&mut self) -> Request {
        let Some((order, customer)) = self.payable.pop_front() else {
            return self.adjust_stock();
        };
        let reference = format!("storm-{}", self.key());
        let input = json!({
            "orderId": order, "method": "card", "reference": reference, "idempotencyKey": self.key(),
        });
        self.mutation(Kind::PayOrder, documents::PAY_ORDER, &input, Some(customer))
    }

    fn adjust_stock(&mut self) -> Request {
        let product = self.scene.products[self.chance.usize(..self.scene.products.len())];
        let input = json!({
            "productId": format!("product_{product}"), "delta": 1, "reason": "RECEIVED",
            "idempotencyKey": self.key(),
        });
        self.mutation(Kind::AdjustStock, documents::ADJUST_STOCK, &input, None)
    }

    fn mutation(
        &self,
        kind: Kind,
        document: &str,
        input: &Value,
        customer: Option<usize>,
    ) -> Request {
        let token = customer.map_or(&self.scene.admin, |customer| {
            &self.scene.customers[customer].token
        });
        Request {
            kind,
            bytes: post(token, document, &json!({ "input": input })),
            customer: customer.unwrap_or_default(),
        }
    }

    fn key(&mut self) -> String {
        let random = self.chance.u128(..).to_be_bytes();
        let key = uuid::Builder::from_random_bytes(random).into_uuid();
        key.to_string()
    }
}

/// A request as it stands on the wire.
fn post(token: &Token, document: &str, variables: &Value) -> Arc<[u8]> {
    let body = json!({ "query": document, "variables": variables }).to_string();
    let (bearer, length) = (token.bearer(), body.len());
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    (head + &body).into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::scene::Customer;
    use super::*;

    fn mix() -> Mix {
        let customer = |number: u128| Customer {
            token: Token::customer(Uuid::from_u128(number)).expect("signed"),
            orders: vec![Uuid::from_u128(number + 100)],
        };
        Mix::new(Arc::new(Scene {
            address: ([127, 0, 0, 1], 1).into(),
            customers: vec![customer(1), customer(2)],
            admin: Token::admin().expect("signed"),
            products: vec![Uuid::from_u128(7), Uuid::from_u128(8)],
        }))
    }

    #[test]
    fn four_of_five_read_and_orders_are_paid_once_they_are_placed() {
        let mut mix = mix();
        let mut counts = BTreeMap::new();
        for _ in 0..10_000 {
            let request = mix.next();
            if request.kind == Kind::CreateOrder {
                mix.placed("order_1".to_owned(), request.customer);
            }
            *counts.entry(request.kind).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), Kind::ALL.len());
        let changes = [Kind::CreateOrder, Kind::PayOrder, Kind::AdjustStock];
        let changes: i32 = changes.iter().map(|kind| counts[kind]).sum();
        assert!((1_700..2_300).contains(&changes), "{counts:?}");
    }

    #[test]
    fn a_request_says_how_long_its_body_is() {
        let request = mix().create_order();
        let text = std::str::from_utf8(&request.bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        let body: Value = serde_json::from_str(body).expect("JSON");
        let key = &body["variables"]["input"]["idempotencyKey"];
        assert!(Uuid::try_parse(key.as_str().expect("a key")).is_ok());
    }
}
