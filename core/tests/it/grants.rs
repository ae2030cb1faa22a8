//! What each program's user may do, asked of the server: every statement on every table as every user.

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use shop_core::db::grants::{Accounts, TABLES, Verb, may};
use shop_core::db::{Conn, connect, database_of};
use shop_core::runtime::Program;
use shop_core::runtime::settings::MysqlSettings;
use shop_core::testkit::TestDb;

#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Column {
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = Text)]
    column: String,
}

/// A right, and the table, column or `*` that it is on.
#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Grant {
    #[diesel(sql_type = Text)]
    place: String,
    #[diesel(sql_type = Text)]
    verb: String,
}

/// Every table, with a column that can be written.
async fn tables(db: &TestDb) -> Vec<Column> {
    let mut conn = admin(db).await;
    let query = "SELECT table_name AS `table`, MIN(column_name) AS `column` FROM information_schema.columns \
                 WHERE table_schema = DATABASE() AND generation_expression = '' GROUP BY table_name";
    let found = diesel::sql_query(query).load(&mut conn).await;
    found.expect("the schema")
}

async fn admin(db: &TestDb) -> Conn {
    let settings = db.settings();
    let conn = connect(settings).await;
    conn.expect("MySQL is up")
}

/// A statement that changes nothing where it is allowed.
fn attempt(verb: Verb, of: &Column) -> String {
    let Column { table, column } = of;
    match verb {
        Verb::Select => format!("SELECT * FROM {table} LIMIT 0"),
        // Without a value for what must have one; whether it is allowed is judged first.
        Verb::Insert => format!("INSERT INTO {table} () VALUES ()"),
        Verb::Update => format!("UPDATE {table} SET {column} = NULL WHERE FALSE"),
        Verb::Delete => format!("DELETE FROM {table} WHERE FALSE"),
    }
}

async fn is_denied(conn: &mut Conn, statement: &str) -> bool {
    match conn.batch_execute(statement).await {
        Ok(()) => false,
        Err(error) => {
            let error = error.to_string();
            let denied = error.contains("denied to user");
            assert!(
                denied || error.contains("default value"),
                "{statement}: {error}"
            );
            denied
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_has_its_row() {
    let db = TestDb::new().await;
    let there: BTreeSet<String> = tables(&db).await.into_iter().map(|one| one.table).collect();
    let named: BTreeSet<String> = TABLES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(there, named);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_may_do_what_it_must_and_nothing_else() {
    let db = TestDb::new().await;
    let tables = tables(&db).await;
    let mut refused = 0;
    for program in Program::ALL {
        let settings = db.settings_as(program).await;
        let mut conn = connect(&settings)
            .await
            .expect("the program's user may come in");
        for of in &tables {
            for verb in Verb::ALL {
                let denied = is_denied(&mut conn, &attempt(verb, of)).await;
                let (verb_word, table) = (verb.as_str(), &of.table);
                assert_eq!(
                    denied,
                    !may(program, verb, table),
                    "{program}: {verb_word} on {table}"
                );
                refused += u32::from(denied);
            }
            let table = &of.table;
            for statement in [
                format!("DROP TABLE {table}"),
                format!("TRUNCATE {table}"),
                format!("ALTER TABLE {table} COMMENT 'mine'"),
            ] {
                assert!(
                    is_denied(&mut conn, &statement).await,
                    "{program}: {statement}"
                );
            }
        }
        for statement in [
            "CREATE TABLE mine (id INT)",
            "SELECT user FROM mysql.user LIMIT 0",
            "CREATE USER 'friend_of_mine'@'%'",
        ] {
            let error = conn.batch_execute(statement).await;
            let error = error.expect_err("it is allowed").to_string();
            assert!(error.contains("denied"), "{program}: {statement}: {error}");
        }
    }
    let all = Program::ALL.len() * tables.len() * Verb::ALL.len();
    assert!(
        refused > 200,
        "only {refused} of {all} statements are refused"
    );
}

/// The name of a user in an address.
fn user_of(settings: &MysqlSettings) -> &str {
    let (user, _) = settings.dsn["mysql://".len()..]
        .split_once(':')
        .expect("a user");
    user
}

#[tokio::test(flavor = "multi_thread")]
async fn granting_again_takes_away_what_was_granted_by_hand() {
    let db = TestDb::new().await;
    let settings = db.settings_as(Program::Projector).await;
    let user = user_of(&settings);
    let prefix = user.strip_suffix("projector").expect("its name");
    let accounts = Accounts::new(prefix).expect("a prefix");
    let mut admin = admin(&db).await;

    // Without a password a user that is not there is no user.
    let error = accounts.apply(db.settings()).await;
    let error = format!("{:#}", error.expect_err("five users are missing"));
    assert!(error.contains("CREATE USER"), "{error}");
    for program in Program::ALL {
        db.settings_as(program).await;
    }

    let database = database_of(&settings.dsn).expect("a database");
    let escaped = database.replace('_', "\\_");
    let account = format!("'{user}'@'%'");
    let statements = [
        "SELECT * FROM users LIMIT 0",
        "UPDATE orders SET status = status WHERE FALSE",
        "SELECT * FROM unknown_table LIMIT 0",
        "DELETE FROM outbox WHERE FALSE",
        "UPDATE products SET name = name WHERE FALSE",
    ];
    let unknown = admin.batch_execute("CREATE TABLE unknown_table (id INT)");
    unknown.await.expect("a table");

    // On the whole database, as people write its name and as tools do; the server looks at one of them.
    for wide in [&database, &escaped] {
        for planted in [
            format!("GRANT SELECT, INSERT, DROP ON users TO {account}"),
            format!("GRANT UPDATE (status) ON orders TO {account}"),
            format!("GRANT SELECT ON unknown_table TO {account}"),
            format!("GRANT SELECT, UPDATE, DELETE ON `{wide}`.* TO {account} WITH GRANT OPTION"),
        ] {
            let done = admin.batch_execute(&planted).await;
            done.expect("a grant");
        }
        let mut conn = connect(&settings).await.expect("it may come in");
        for statement in statements {
            assert!(!is_denied(&mut conn, statement).await, "{statement}");
        }

        let applied = accounts.apply(db.settings()).await;
        applied.expect("all users are there");
        // Rights on a database are looked up when a connection is opened.
        let mut conn = connect(&settings).await.expect("it may come in");
        for statement in statements.into_iter().chain(["TRUNCATE users"]) {
            assert!(is_denied(&mut conn, statement).await, "{statement}");
        }
        let parked = "SELECT * FROM parked_records LIMIT 0";
        assert!(!is_denied(&mut conn, parked).await, "its own is gone");
        let given: Vec<Grant> = diesel::sql_query(
            "SELECT table_name AS place, privilege_type AS verb FROM information_schema.table_privileges \
             UNION ALL SELECT '*', privilege_type FROM information_schema.schema_privileges \
             UNION ALL SELECT column_name, privilege_type FROM information_schema.column_privileges",
        )
        .load(&mut conn)
        .await
        .expect("its rights");
        let given: BTreeSet<(String, String)> =
            given.into_iter().map(|one| (one.place, one.verb)).collect();
        let meant = Verb::ALL.map(|verb| ("parked_records".to_owned(), verb.as_str().to_owned()));
        assert_eq!(given, BTreeSet::from(meant));
    }
}
