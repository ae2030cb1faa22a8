//! A whole shop for the tests of `ops`: every program behind the API runs, on servers' parts of the test's own.

use std::sync::Arc;
use std::time::Duration;

use shop_consumers::ops::audit::{Report, audit};
use shop_consumers::ops::{Consent, Desk, Progress};
use shop_consumers::order_saga::OrderSaga;
use shop_consumers::outbox_relay::relay;
use shop_consumers::projector::{Projector, StatusTopics};
use shop_consumers::stock_reservation::StockReservation;
use shop_core::bus::consume;
use shop_core::commands::Call;
use shop_core::commands::orders::{
    CancelOrder, PayOrder, UpdateOrderStatus, cancel_order, pay_order, update_order_status,
};
use shop_core::db::Db;
use shop_core::domain::order::{Actor, NewPayment};
use shop_core::domain::{Order, OrderId, OrderStatus, Product, User};
use shop_core::runtime::settings::MysqlSettings;
use shop_core::runtime::{Program, Settings, Shutdown, ids};
use shop_core::testkit::{TestBus, TestDb, TestViews, eventually};
use tokio::task::JoinHandle;

/// How long anything may take.
pub const BOUND: Duration = Duration::from_mins(1);

pub struct Shop {
    pub db: TestDb,
    pub bus: TestBus,
    pub views: TestViews,
    /// Those of the operator's command line.
    pub settings: Settings,
    pub customer: User,
    pub product: Product,
    pools: Pools,
    relay: MysqlSettings,
    stop: Shutdown,
    running: Vec<JoinHandle<()>>,
}

/// Each program's way to MySQL, as its own user.
struct Pools {
    stock_reservation: Db,
    order_saga: Db,
    projector: Db,
    ops: Db,
}

impl Pools {
    async fn open(db: &TestDb) -> Self {
        Self {
            stock_reservation: db.db_as(Program::StockReservation).await,
            order_saga: db.db_as(Program::OrderSaga).await,
            projector: db.db_as(Program::Projector).await,
            ops: db.db_as(Program::Ops).await,
        }
    }
}

impl Shop {
    /// A shop whose programs run, with a customer and a product.
    pub async fn open() -> Self {
        let (db, bus, views) = (
            TestDb::new().await,
            TestBus::new().await,
            TestViews::new().await,
        );
        let mut settings = bus.program_settings();
        settings.mysql = db.settings_as(Program::Ops).await;
        settings.mongo = views.settings().clone();
        let (customer, product) = (db.customer().await, db.product(1_000_000).await);
        let mut shop = Self {
            pools: Pools::open(&db).await,
            relay: db.settings_as(Program::OutboxRelay).await,
            db,
            bus,
            views,
            settings,
            customer,
            product,
            stop: Shutdown::new(),
            running: Vec::new(),
        };
        shop.start();
        shop
    }

    /// Starts every program.
    pub fn start(&mut self) {
        self.start_relay();
        let (stock, saga) = (
            self.pools.stock_reservation.clone(),
            self.pools.order_saga.clone(),
        );
        self.consume(StockReservation::new(stock.clone()), stock);
        self.consume(OrderSaga::new(saga.clone()), saga);
        let statuses = StatusTopics::new(&self.settings, self.stop.clone()).expect("a producer");
        let encoding = self.settings.kafka.encoding;
        let projector = Projector::new(self.views.views().clone(), statuses, encoding);
        self.consume(projector, self.pools.projector.clone());
    }

    /// Starts the relay alone.
    pub fn start_relay(&mut self) {
        self.stop = Shutdown::new();
        let (mut settings, stop) = (self.settings.clone(), self.stop.clone());
        settings.mysql = self.relay.clone();
        self.running.push(tokio::spawn(async move {
            relay(&settings, stop, None).await.expect("the relay runs");
        }));
    }

    fn consume(&mut self, role: impl shop_core::bus::Role, db: Db) {
        let (settings, stop) = (self.settings.clone(), self.stop.clone());
        self.running.push(tokio::spawn(async move {
            let done = consume(Arc::new(role), &db, &settings, stop, None).await;
            done.expect("the role runs");
        }));
    }

    /// Stops every program.
    pub async fn stop(&mut self) {
        self.stop.request();
        for task in self.running.drain(..) {
            let ended = tokio::time::timeout(BOUND, task).await;
            ended.expect("it ends in time").expect("it ends well");
        }
    }

    pub fn desk(&self) -> Desk {
        Desk {
            settings: self.settings.clone(),
            db: self.pools.ops.clone(),
            consent: Consent {
                yes: true,
                dry_run: false,
            },
        }
    }

    pub async fn audit(&self) -> Report {
        let views = self.views.views();
        audit(&self.desk(), views, BOUND, &Progress::silent())
            .await
            .expect("the servers are up")
    }

    /// The audit, which must find nothing.
    pub async fn assert_sound(&self) {
        let report = self.audit().await;
        assert!(
            report.violations.is_empty() && report.undecided.is_empty(),
            "{report:#?}"
        );
    }

    pub async fn order(&self) -> Order {
        self.db.order(self.customer.id, self.product.id, 2).await
    }

    pub async fn wait_for(&self, id: OrderId, status: OrderStatus) -> Order {
        eventually(&format!("{id} to be {status}"), BOUND, async || {
            let order = self.views.order(id).await.ok()??;
            (order.status == status).then_some(order)
        })
        .await
    }

    pub async fn confirmed(&self) -> Order {
        let order = self.order().await;
        self.wait_for(order.id, OrderStatus::Confirmed).await
    }

    pub async fn pay(&self, id: OrderId) {
        let payment = NewPayment {
            method: "card".into(),
            reference: ids::fresh().to_string(),
        };
        let cmd = PayOrder {
            order_id: id,
            payment,
        };
        pay_order(self.db.db(), &Call::now(None), cmd)
            .await
            .expect("a payment");
    }

    pub async fn advance(&self, id: OrderId, to: OrderStatus) {
        let cmd = UpdateOrderStatus {
            order_id: id,
            status: to,
        };
        update_order_status(self.db.db(), &Call::now(None), cmd)
            .await
            .expect("a step");
    }

    pub async fn cancel(&self, id: OrderId) {
        let cmd = CancelOrder {
            order_id: id,
            actor: Actor::Customer,
            reason: None,
        };
        cancel_order(self.db.db(), &Call::now(None), cmd)
            .await
            .expect("a cancellation");
    }

    /// Orders in every status that a customer or the staff can bring about.
    pub async fn some_of_everything(&self) -> Vec<OrderId> {
        let mut ids = Vec::new();
        for steps in 0..5 {
            let order = self.confirmed().await;
            ids.push(order.id);
            if steps > 0 {
                self.pay(order.id).await;
            }
            let ways = [
                OrderStatus::Processing,
                OrderStatus::Shipped,
                OrderStatus::Delivered,
            ];
            for to in ways.into_iter().take(usize::saturating_sub(steps, 1)) {
                self.advance(order.id, to).await;
            }
        }
        let canceled = self.confirmed().await.id;
        self.cancel(canceled).await;
        ids.push(canceled);
        let short = self.db.product(1).await;
        let rejected = self.db.order(self.customer.id, short.id, 2).await.id;
        self.wait_for(rejected, OrderStatus::Rejected).await;
        ids.push(rejected);
        ids
    }
}
