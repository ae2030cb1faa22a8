//! Who may do what with which table. Every program has a MySQL user of its own with exactly these rights, so that a mistake or
//! a break-in in one of them can not write what another one owns: nobody can rewrite the ledger, and the projector sees nothing but
//! what it parked.
//!
//! [`TABLES`] is the only place that says so. `api grants` prints it as SQL, `api migrate --grants` makes it so, the lab runs every program
//! as its own user, and a test tries every statement as every user. To add a table: 1. its row here.

use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};
use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName};
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};

use super::connect::quoted;
use super::{Conn, connect, database_of};
use crate::runtime::Program;
use crate::runtime::settings::MysqlSettings;

/// A kind of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads rows; with `FOR SHARE` it also keeps others from changing them.
    Select,
    /// Adds rows.
    Insert,
    /// Changes rows; whoever may do this or delete may also read `FOR UPDATE`.
    Update,
    /// Takes rows away.
    Delete,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Select, Self::Insert, Self::Update, Self::Delete];

    /// As SQL has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Select => 'S',
            Self::Insert => 'I',
            Self::Update => 'U',
            Self::Delete => 'D',
        }
    }
}

/// Characters of a name in MySQL, at most.
const NAME: usize = 64;

/// What nobody may do with a table but who migrates.
const NOBODYS_VERBS: &str =
    "ALTER, CREATE, CREATE VIEW, DROP, INDEX, REFERENCES, SHOW VIEW, TRIGGER, GRANT OPTION";

/// Every table, and what each program may do with it, in the order of [`Program::ALL`], as the first letters of [`Verb`]s.
///
/// `INSERT … ON DUPLICATE KEY UPDATE`, with which many rows are saved at once, needs I and U. The one who migrates is none of these: it
/// is the operator, with all rights on the database.
#[rustfmt::skip]
pub const TABLES: &[(&str, [&str; Program::ALL.len()])] = &[
    //                             api    relay  stock-r. saga   projec. ops
    ("users",                      ["SIU", "",    "",     "",     "",     "S"]),
    ("products",                   ["SIU", "",    "",     "",     "",     "S"]),
    ("stock",                      ["SIU", "",    "SIU",  "",     "",     "S"]),
    ("stock_orders",               ["",    "",    "SIU",  "",     "",     "S"]),
    ("stock_order_lines",          ["",    "",    "SI",   "",     "",     "S"]),
    ("stock_movements",            ["I",   "",    "I",    "",     "",     "S"]),
    ("orders",                     ["SIU", "",    "",     "SIU",  "",     "S"]),
    ("order_items",                ["SI",  "",    "",     "SIU",  "",     "S"]),
    ("order_transitions",          ["SI",  "",    "",     "SI",   "",     "S"]),
    ("payments",                   ["SIU", "",    "",     "S",    "",     "S"]),
    ("outbox",                     ["I",   "SUD", "I",    "I",    "",     "SID"]),
    ("processed_events",           ["",    "SD",  "SI",   "SI",   "",     ""]),
    ("idempotency_keys",           ["SIU", "SD",  "",     "",     "",     ""]),
    ("parked_records",             ["",    "",    "SIUD", "SIUD", "SIUD", "SUD"]),
    ("__diesel_schema_migrations", ["",    "",    "",     "",     "",     ""]),
];

/// Whether a program may do this with a table.
pub fn may(program: Program, verb: Verb, table: &str) -> bool {
    let row = TABLES.iter().find(|(name, _)| *name == table);
    let place = Program::ALL.iter().position(|one| *one == program);
    let letters = row.zip(place).map(|((_, letters), place)| letters[place]);
    letters.is_some_and(|letters| letters.contains(verb.letter()))
}

/// The longest beginning that leaves room for the longest program's name in the 32 characters of a MySQL user.
const PREFIX_CHARS: usize = 15;
/// What the names of the users begin with when nobody says otherwise.
pub const PREFIX: &str = "shop_";

/// The programs' users in MySQL: their names, and their passwords where these are known. Shows no password.
pub struct Accounts {
    prefix: String,
    passwords: Vec<(Program, String)>,
}

impl Accounts {
    /// Users whose names begin like this; their passwords are not known.
    ///
    /// # Errors
    /// If the beginning is too long, or is not of small letters, digits and underscores.
    pub fn new(prefix: &str) -> anyhow::Result<Self> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        ensure!(
            prefix.len() <= PREFIX_CHARS && prefix.bytes().all(legal),
            "names of users begin with at most {PREFIX_CHARS} small letters, digits and underscores"
        );
        Ok(Self {
            prefix: prefix.to_owned(),
            passwords: Vec::new(),
        })
    }

    /// The same with their passwords: a line `program password` for each.
    ///
    /// # Errors
    /// If a line is not of this form, or a program is missing. No message shows a password.
    pub fn with_passwords(mut self, lines: &str) -> anyhow::Result<Self> {
        for (line, number) in lines.lines().zip(1..) {
            let Some((name, password)) = line.split_once(' ') else {
                bail!("line {number} is not a program's name and its password");
            };
            let program = Program::ALL.into_iter().find(|one| one.as_str() == name);
            let program =
                program.with_context(|| format!("line {number} begins with no program's name"))?;
            let legal = |char: char| char.is_ascii_graphic() && !"'\\".contains(char);
            ensure!(
                !password.is_empty() && password.chars().all(legal),
                "the password of {program} is empty, or has a space, a quote, a backslash or no ASCII character in it"
            );
            self.passwords.push((program, password.to_owned()));
        }
        for program in Program::ALL {
            ensure!(
                self.password(program).is_some(),
                "the password of {program} is missing"
            );
        }
        Ok(self)
    }

    /// The name of a program's user.
    pub fn user(&self, program: Program) -> String {
        format!("{}{}", self.prefix, program.as_str().replace('-', "_"))
    }

    fn account(&self, program: Program) -> String {
        format!("'{}'@'%'", self.user(program))
    }

    fn password(&self, program: Program) -> Option<&str> {
        let found = self.passwords.iter().find(|(one, _)| *one == program);
        found.map(|(_, password)| password.as_str())
    }

    /// The statements that give a program its rights in a database, and its user the password if that is known. They can be repeated.
    pub fn grants(&self, program: Program, database: &str) -> Vec<String> {
        let account = self.account(program);
        let mut statements = Vec::new();
        if let Some(password) = self.password(program) {
            let identified = format!("{account} IDENTIFIED BY '{password}'");
            statements.push(format!("CREATE USER IF NOT EXISTS {identified}"));
            statements.push(format!("ALTER USER {identified}"));
        }
        for (table, _) in TABLES {
            let verbs = verbs(|verb| may(program, verb, table));
            if !verbs.is_empty() {
                let table = table_in(database, table);
                statements.push(format!("GRANT {verbs} ON {table} TO {account}"));
            }
        }
        statements
    }

    /// The statements that take away what nobody has a right to in these tables, for users that had more once, by columns too.
    /// What a program may do is not touched, so that one that runs is never refused. They can be repeated.
    fn revocations<'a>(
        &self,
        database: &str,
        tables: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        let mut statements = Vec::new();
        for table in tables {
            let place = table_in(database, table);
            for verb in Verb::ALL {
                let others = self.accounts(|program| !may(program, verb, table));
                if !others.is_empty() {
                    statements.push(revocation(verb.as_str(), &place, &others));
                }
            }
            let everybody = self.accounts(|_| true);
            statements.push(revocation(NOBODYS_VERBS, &place, &everybody));
        }
        statements
    }

    /// The statements that take away rights on the whole database. They can be repeated.
    fn wide_revocations(&self, pattern: &str) -> [String; 2] {
        let place = format!("{}.*", quoted(pattern));
        let everybody = self.accounts(|_| true);
        ["ALL PRIVILEGES", "GRANT OPTION"].map(|verbs| revocation(verbs, &place, &everybody))
    }

    fn accounts(&self, is_meant: impl Fn(Program) -> bool) -> String {
        let programs = Program::ALL.into_iter().filter(|one| is_meant(*one));
        let accounts = programs.map(|program| self.account(program));
        accounts.collect::<Vec<_>>().join(", ")
    }

    /// All of it as a script for an operator: users with passwords that MySQL makes up and tells once, or tells that they are there.
    pub fn script(&self, database: &str) -> String {
        let mut script = format!(
            "-- The programs' MySQL users and what each may do in database {database:?}. Can be repeated.\n\
             -- A user that is there keeps its password; a new one's is made up by MySQL and told in the answer.\n"
        );
        let wordless = Self {
            prefix: self.prefix.clone(),
            passwords: Vec::new(),
        };
        for program in Program::ALL {
            let account = self.account(program);
            let _ = write!(
                script, // writing to a String can not fail
                "\n-- {program}\nCREATE USER IF NOT EXISTS {account} IDENTIFIED BY RANDOM PASSWORD;\n"
            );
            for statement in wordless.grants(program, database) {
                let _ = writeln!(script, "{statement};");
            }
        }
        script.push_str("\n-- What users may have had once and have no more.\n");
        let tables = TABLES.iter().map(|(table, _)| *table);
        let wide = patterns(database);
        let wide = wide.iter().flat_map(|one| self.wide_revocations(one));
        for statement in self.revocations(database, tables).into_iter().chain(wide) {
            let _ = writeln!(script, "{statement};");
        }
        script
    }

    /// Makes it so in the database of these settings, whose tables must be there: afterwards the users have these rights in it and no
    /// others. What they have in other databases, or by a pattern of names that matches this one, is left alone. Safe to repeat.
    ///
    /// # Errors
    /// If MySQL is away, the user of these settings may not do so, or a user whose password is not known is not there.
    pub async fn apply(&self, settings: &MysqlSettings) -> anyhow::Result<()> {
        let database = &database_of(&settings.dsn)?;
        let mut conn = connect(settings).await?;
        let mut statements: Vec<String> = Program::ALL
            .into_iter()
            .flat_map(|program| self.grants(program, database))
            .collect();
        let tables = tables(&mut conn).await?;
        statements.extend(self.revocations(database, tables.iter().map(String::as_str)));
        self.run(&mut conn, &statements).await?;
        self.revoke_wide(&mut conn, database).await
    }

    /// The one who migrates may know the database by one of the two ways to write it alone.
    async fn revoke_wide(&self, conn: &mut Conn, database: &str) -> anyhow::Result<()> {
        let mut refusal = None;
        let mut is_done = false;
        for pattern in patterns(database) {
            match self.run(conn, &self.wide_revocations(&pattern)).await {
                Ok(()) => is_done = true,
                Err(error) if format!("{error:#}").contains("denied") => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        match refusal {
            Some(error) if !is_done => Err(error),
            _ => Ok(()),
        }
    }

    /// The same for one program.
    ///
    /// # Errors
    /// As [`Accounts::apply`].
    #[cfg(feature = "testkit")]
    pub async fn apply_for(
        &self,
        program: Program,
        settings: &MysqlSettings,
    ) -> anyhow::Result<()> {
        let statements = self.grants(program, &database_of(&settings.dsn)?);
        self.run(&mut connect(settings).await?, &statements).await
    }

    async fn run(&self, conn: &mut Conn, statements: &[String]) -> anyhow::Result<()> {
        let done = conn.batch_execute(&statements.join(";\n")).await;
        // MySQL quotes what it can not read, and that may be a password.
        let told = done.map_err(|error| anyhow::anyhow!("{}", self.without_passwords(&error)));
        told.context(
            "failed to give the programs' MySQL users their rights: the user of MYSQL_DSN needs CREATE USER on *.*, and all on its \
             database WITH GRANT OPTION; without --passwords the users must be there",
        )
    }

    fn without_passwords(&self, error: &diesel::result::Error) -> String {
        let text = error.to_string();
        self.passwords
            .iter()
            .fold(text, |text, (_, password)| text.replace(password, "…"))
    }
}

fn verbs(is_meant: impl Fn(Verb) -> bool) -> String {
    let verbs = Verb::ALL.into_iter().filter(|verb| is_meant(*verb));
    verbs.map(Verb::as_str).collect::<Vec<_>>().join(", ")
}

fn table_in(database: &str, table: &str) -> String {
    format!("{}.{}", quoted(database), quoted(table))
}

fn revocation(verbs: &str, place: &str, accounts: &str) -> String {
    format!("REVOKE IF EXISTS {verbs} ON {place} FROM {accounts} IGNORE UNKNOWN USER")
}

/// How rights on a whole database may name it: there `_` and `%` stand for other characters too, unless they are escaped.
fn patterns(database: &str) -> Vec<String> {
    let escaped = database.replace('_', "\\_").replace('%', "\\%");
    let mut patterns = vec![database.to_owned(), escaped];
    patterns.dedup();
    patterns.retain(|pattern| pattern.chars().count() <= NAME); // nobody can have granted by a longer one
    patterns
}

/// Every table that is there, also those without a row in [`TABLES`], which are nobody's.
async fn tables(conn: &mut Conn) -> anyhow::Result<Vec<String>> {
    #[derive(QueryableByName)]
    #[diesel(check_for_backend(diesel::mysql::Mysql))]
    struct Table {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let query = "SELECT table_name AS name FROM information_schema.tables \
                 WHERE table_schema = DATABASE() ORDER BY name";
    let found: QueryResult<Vec<Table>> = diesel::sql_query(query).load(conn).await;
    let found = found.context("failed to list the tables")?;
    Ok(found.into_iter().map(|table| table.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(of: impl Fn(Program) -> &'static str) -> String {
        let line = |program: Program| format!("{program} {}\n", of(program));
        Program::ALL.into_iter().map(line).collect()
    }

    #[test]
    fn letters_are_verbs_in_their_order_and_each_table_stands_there_once() {
        let mut tables = std::collections::BTreeSet::new();
        for (table, programs) in TABLES {
            assert!(tables.insert(table), "{table} stands there twice");
            for letters in programs {
                let known: String = Verb::ALL
                    .into_iter()
                    .map(Verb::letter)
                    .filter(|letter| letters.contains(*letter))
                    .collect();
                assert_eq!(known, *letters, "{table}");
            }
        }
    }

    #[test]
    fn the_projector_has_no_right_but_to_what_it_parks() {
        for (table, _) in TABLES {
            for verb in Verb::ALL {
                let parks = *table == "parked_records";
                assert_eq!(may(Program::Projector, verb, table), parks, "{table}");
            }
        }
    }

    #[test]
    fn the_ledger_and_the_timelines_are_only_ever_appended_to() {
        for table in ["stock_movements", "order_transitions", "stock_order_lines"] {
            for program in Program::ALL {
                assert!(!may(program, Verb::Update, table), "{program}: {table}");
                assert!(!may(program, Verb::Delete, table), "{program}: {table}");
            }
        }
    }

    #[test]
    fn a_program_is_granted_its_rights_and_nothing_else() {
        let accounts = Accounts::new("shop_").expect("a prefix");
        assert_eq!(
            accounts.grants(Program::OutboxRelay, "sh`op"),
            [
                "GRANT SELECT, UPDATE, DELETE ON `sh``op`.`outbox` TO 'shop_outbox_relay'@'%'",
                "GRANT SELECT, DELETE ON `sh``op`.`processed_events` TO 'shop_outbox_relay'@'%'",
                "GRANT SELECT, DELETE ON `sh``op`.`idempotency_keys` TO 'shop_outbox_relay'@'%'",
            ]
        );
        let given = passwords(|_| "hush").replace("order-saga hush", "order-saga other");
        let accounts = accounts.with_passwords(&given).expect("passwords");
        assert_eq!(
            accounts.grants(Program::Projector, "shop"),
            [
                "CREATE USER IF NOT EXISTS 'shop_projector'@'%' IDENTIFIED BY 'hush'",
                "ALTER USER 'shop_projector'@'%' IDENTIFIED BY 'hush'",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.`parked_records` TO 'shop_projector'@'%'",
            ]
        );
        assert!(accounts.grants(Program::OrderSaga, "shop")[0].ends_with("'other'"));
        let script = accounts.script("shop");
        assert!(!script.contains("hush") && script.contains("RANDOM PASSWORD"));
        // A name is a word of no statement, and ends no comment.
        let script = accounts.script("sh`op\nDROP");
        let comment = script.lines().next().expect("a comment");
        assert!(
            comment.starts_with("-- ") && comment.contains(r"sh`op\nDROP"),
            "{comment}"
        );
        assert!(!script.contains("`sh`op"), "{script}");
    }

    #[test]
    fn a_right_that_the_table_does_not_name_is_taken_away() {
        let accounts = Accounts::new("").expect("a prefix");
        let everybody = "'api'@'%', 'outbox_relay'@'%', 'stock_reservation'@'%', 'order_saga'@'%', 'projector'@'%', 'ops'@'%'";
        let revoke = |what: &str, users: &str| {
            format!("REVOKE IF EXISTS {what} FROM {users} IGNORE UNKNOWN USER")
        };
        let statements = accounts.revocations("shop", ["parked_records", "old"]);
        let none = "'api'@'%', 'outbox_relay'@'%'";
        assert_eq!(
            statements[0],
            revoke("SELECT ON `shop`.`parked_records`", none)
        );
        for verb in Verb::ALL {
            let verb = format!("{} ON `shop`.`old`", verb.as_str());
            assert!(statements.contains(&revoke(&verb, everybody)), "{verb}");
        }
        assert!(statements.iter().any(|one| one.contains("DROP, INDEX")));
        let wide = "ALL PRIVILEGES ON `shop`.*";
        assert_eq!(
            accounts.wide_revocations("shop")[0],
            revoke(wide, everybody)
        );
        assert_eq!(patterns("shop"), ["shop"]);
        assert_eq!(patterns("my_shop"), ["my_shop", "my\\_shop"]);
        let script = accounts.script("my_shop");
        for pattern in ["my_shop", "my\\_shop"] {
            let wide = revoke(&format!("ALL PRIVILEGES ON `{pattern}`.*"), everybody);
            assert!(script.contains(&wide), "{script}");
        }
    }

    #[test]
    fn names_and_passwords_that_do_not_fit_are_refused_and_not_shown() {
        for bad in ["a_long_beginning", "Shop_", "shop-", "s'"] {
            assert!(Accounts::new(bad).is_err(), "{bad}");
        }
        let longest = Accounts::new("fifteen_letters").expect("a prefix");
        assert_eq!(longest.user(Program::StockReservation).len(), 32);
        for (lines, hint) in [
            (String::new(), "the password of api is missing"),
            ("api".to_owned(), "line 1"),
            ("hush hush".to_owned(), "no program"),
            (passwords(|_| "hu'sh"), "a quote"),
            (passwords(|_| "hu sh"), "a space"),
            (passwords(|_| ""), "is empty"),
        ] {
            let accounts = Accounts::new("shop_").expect("a prefix");
            let Err(error) = accounts.with_passwords(&lines) else {
                panic!("{lines:?} was taken");
            };
            let error = error.to_string();
            assert!(
                error.contains(hint) && !error.contains("hu"),
                "{lines:?}: {error}"
            );
        }
    }
}
