//! A write side of a test's own.

use std::time::Duration;

use diesel::sql_types::{BigInt, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use tokio::sync::Mutex;

use crate::commands::Call;
use crate::commands::orders::{CreateOrder, create_order};
use crate::commands::products::{CreateProduct, create_product};
use crate::commands::users::{CreateUser, create_user};
use crate::db::grants::Accounts;
use crate::db::{Conn, Db, StoreError, connect, migrate, outbox};
use crate::domain::order::NewLine;
use crate::domain::{Money, Order, Product, ProductId, User, UserId};
use crate::events::{Encoding, StoredEvent};
use crate::runtime::settings::{MysqlSettings, Tls};
use crate::runtime::{Program, ids};

/// A MySQL database of a test's own, with all tables, dropped with this value.
///
/// A test that leaves unsent events without having announced it with [`TestDb::leave_outbox`] fails when this is dropped.
pub struct TestDb {
    db: Db,
    settings: MysqlSettings,
    name: String,
    may_leave_outbox: bool,
    /// The users that were made for it.
    users: Mutex<Vec<String>>,
}

/// A connection of a test's own; its transaction is rolled back when this is dropped.
pub struct Session(Conn);

impl Session {
    /// Runs statements as they are.
    ///
    /// # Panics
    /// If one fails.
    pub async fn run(&mut self, statements: &str) {
        let done = self.0.batch_execute(statements).await;
        done.expect("the statements are good");
    }
}

/// The server that tests use: `MYSQL_DSN`, or the one that `lab/engines` starts.
fn server_dsn() -> String {
    super::setting("MYSQL_DSN", "mysql://shop:shop@127.0.0.1:43306/shop")
}

#[expect(
    clippy::missing_panics_doc,
    reason = "a fixture that does not come about fails its test"
)]
impl TestDb {
    /// Makes a database.
    ///
    /// # Panics
    /// If the server can not be reached: start it with `make test`, or `lab/engines/engines up`.
    pub async fn new() -> Self {
        let name = format!("shop_test_{}", ids::fresh().simple());
        let dsn = server_dsn();
        let timeout = Duration::from_secs(20);
        let settings = MysqlSettings {
            dsn,
            pool_size: 8,
            timeout,
            tls: Tls::Off,
        };
        let mut conn = connect(&settings)
            .await
            .expect("MySQL is up: lab/engines/engines up");
        conn.batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .expect("a database");
        let server = settings.dsn.rsplit_once('/');
        let server = server.map_or(&*settings.dsn, |(server, _)| server);
        let settings = MysqlSettings {
            dsn: format!("{server}/{name}"),
            ..settings
        };
        migrate(&settings).await.expect("the migrations run");
        let db = Db::new(&settings, Encoding::Json).expect("a pool");
        Self {
            db,
            settings,
            name,
            may_leave_outbox: false,
            users: Mutex::default(),
        }
    }

    /// The pool.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// How to reach the database, for a program under test.
    pub fn settings(&self) -> &MysqlSettings {
        &self.settings
    }

    /// How a program reaches the database: as a user of its own, who is gone with the database. The password begins with `hush`.
    pub async fn settings_as(&self, program: Program) -> MysqlSettings {
        let id = &self.name[self.name.len() - 12..]; // the part of it that chance made
        let accounts = Accounts::new(&format!("t{id}_")).expect("a beginning of names");
        let line = |program: Program| format!("{program} hush{id}\n");
        let passwords: String = Program::ALL.into_iter().map(line).collect();
        let accounts = accounts.with_passwords(&passwords).expect("passwords");
        let user = accounts.user(program);
        let mut users = self.users.lock().await;
        if !users.contains(&user) {
            let granted = accounts.apply_for(program, &self.settings).await;
            granted.expect("the tests' own user may make others");
            users.push(user.clone());
        }
        let dsn = &self.settings.dsn;
        let server = dsn
            .rsplit_once('@')
            .map_or(dsn.as_str(), |(_, server)| server);
        MysqlSettings {
            dsn: format!("mysql://{user}:hush{id}@{server}"),
            ..self.settings.clone()
        }
    }

    /// The pool of a program, as its own user.
    pub async fn db_as(&self, program: Program) -> Db {
        let settings = self.settings_as(program).await;
        Db::new(&settings, Encoding::Json).expect("a pool")
    }

    /// Says that unsent events may be left at the end.
    pub fn leave_outbox(&mut self) {
        self.may_leave_outbox = true;
    }

    /// The unsent events, oldest first; they count as sent from now on.
    pub async fn take_outbox(&self) -> Vec<StoredEvent> {
        let taken = self.db.transaction("test", async |tx| {
            let rows = outbox::unsent(tx, 100_000).await?;
            let seqs: Vec<u64> = rows.iter().map(|(seq, _)| *seq).collect();
            outbox::mark_sent(tx, &seqs).await?;
            Ok::<_, StoreError>(rows)
        });
        taken
            .await
            .expect("the outbox")
            .into_iter()
            .map(|(_, event)| event)
            .collect()
    }

    /// The number in the first column of the first row of a query.
    pub async fn count(&self, query: &str) -> i64 {
        #[derive(diesel::QueryableByName)]
        #[diesel(check_for_backend(diesel::mysql::Mysql))]
        struct Row {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let query = format!("SELECT CAST(({query}) AS SIGNED) AS n");
        self.db
            .transaction("test", async |tx| {
                let row: Row = diesel::sql_query(query.clone()).get_result(tx).await?;
                Ok::<_, StoreError>(row.n)
            })
            .await
            .expect("a count")
    }

    /// A connection of the test's own, whose transaction stays open as long as the test wants.
    ///
    /// # Panics
    /// If the server can not be reached.
    pub async fn session(&self) -> Session {
        let conn = connect(&self.settings).await;
        Session(conn.expect("MySQL is up"))
    }

    /// Runs statements as they are, on a connection of their own.
    ///
    /// # Panics
    /// If one fails.
    pub async fn execute(&self, statements: &str) {
        self.session().await.run(statements).await;
    }

    /// What the tables hold, one line per row, in a fixed order; times and sequence numbers are left out. Two equal texts are
    /// two equal states.
    pub async fn dump(&self, tables: &[&str]) -> String {
        #[derive(diesel::QueryableByName)]
        #[diesel(check_for_backend(diesel::mysql::Mysql))]
        struct Line {
            #[diesel(sql_type = Text)]
            line: String,
        }
        let mut dump = String::new();
        for table in tables {
            let columns = match *table {
                "stock" => "HEX(product_id), on_hand, reserved, sellable",
                "stock_orders" => "HEX(order_id), state",
                "stock_movements" => "HEX(product_id), HEX(order_id), kind, quantity",
                "orders" => "HEX(id), version, status",
                other => panic!("no columns are named for {other}"),
            };
            let query = format!(
                "SELECT CONCAT_WS(' ', '{table}', {columns}) AS line FROM {table} ORDER BY line"
            );
            let lines: Vec<Line> = self
                .db
                .transaction("test", async |tx| {
                    let lines = diesel::sql_query(query.clone()).load(tx).await?;
                    Ok::<_, StoreError>(lines)
                })
                .await
                .expect("a dump");
            for Line { line } in lines {
                dump.push_str(&line);
                dump.push('\n');
            }
        }
        dump
    }

    /// A user, as a customer.
    pub async fn customer(&self) -> User {
        let email = format!("{}@example.org", ids::fresh().simple());
        let cmd = CreateUser {
            name: "Ada".into(),
            email,
        };
        create_user(&self.db, &Call::now(None), cmd)
            .await
            .expect("a user")
    }

    /// A product at EUR 2.50 with some units on hand.
    pub async fn product(&self, units: i64) -> Product {
        let price = Money {
            minor: 250,
            currency: "EUR".parse().expect("a currency"),
        };
        let cmd = CreateProduct {
            name: "Mug".into(),
            description: "For tea".into(),
            price,
            stock: units,
        };
        create_product(&self.db, &Call::now(None), cmd)
            .await
            .expect("a product")
            .0
    }

    /// An order of one product.
    pub async fn order(&self, customer_id: UserId, product_id: ProductId, quantity: i64) -> Order {
        let lines = vec![NewLine {
            product_id,
            quantity,
            expected_unit_price: None,
        }];
        let cmd = CreateOrder { customer_id, lines };
        create_order(&self.db, &Call::now(None), cmd)
            .await
            .expect("an order")
    }

    /// What breaks the sums of the ledger: one line per product whose stock is not what its movements and holds say.
    pub async fn ledger_differences(&self) -> i64 {
        self.count(
            "SELECT COUNT(*) FROM stock s WHERE \
             s.on_hand <> (SELECT COALESCE(SUM(CASE kind WHEN 'RECEIVED' THEN quantity WHEN 'ADJUSTED' THEN quantity \
             WHEN 'SHIPPED' THEN -quantity ELSE 0 END), 0) FROM stock_movements m WHERE m.product_id = s.product_id) \
             OR s.reserved <> (SELECT COALESCE(SUM(CASE kind WHEN 'RESERVED' THEN quantity WHEN 'RELEASED' THEN -quantity \
             WHEN 'SHIPPED' THEN -quantity ELSE 0 END), 0) FROM stock_movements m WHERE m.product_id = s.product_id) \
             OR s.reserved <> (SELECT COALESCE(SUM(l.quantity), 0) FROM stock_order_lines l \
             JOIN stock_orders o ON o.order_id = l.order_id WHERE l.product_id = s.product_id AND o.state = 'HELD')",
        )
        .await
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (name, may_leave) = (self.name.clone(), self.may_leave_outbox);
        let settings = self.settings.clone();
        let users = std::mem::take(self.users.get_mut());
        // A thread of its own, since a test's runtime can not be waited for from inside.
        let cleanup = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut conn = connect(&settings).await?;
                let left = unsent_types(&mut conn).await?;
                conn.batch_execute(&format!("DROP DATABASE {name}")).await?;
                for user in users {
                    conn.batch_execute(&format!("DROP USER IF EXISTS '{user}'@'%'"))
                        .await?;
                }
                anyhow::Ok(left)
            })
        });
        let left = cleanup.join();
        if std::thread::panicking() || may_leave {
            return;
        }
        let left = left
            .expect("the clean-up ends")
            .expect("the database is dropped");
        assert!(left.is_empty(), "the test left unsent events: {left:?}");
    }
}

async fn unsent_types(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    let rows = outbox::unsent(conn, 20).await?;
    Ok(rows
        .into_iter()
        .map(|(_, event)| event.kind.to_string())
        .collect())
}
