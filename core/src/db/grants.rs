//! Who may do what with which table. Every program has a MySQL user of its own with exactly these rights, so that a mistake or
//! a break-in in one of them can not write what another one owns: nobody can rewrite the ledger, and the projector sees nothing but
//! what it parked.
//!
//! [`TABLES`] is the only place that says so. `api grants` prints it as SQL, `api migrate --grants` makes it so, the lab runs every program
//! as its own user, and a test tries every statement as every user. To add a table: 1. its row here.

use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};
use diesel_async::SimpleAsyncConnection as _;

use super::{connect, database_of};
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
                let table = quoted(database, table);
                statements.push(format!("GRANT {verbs} ON {table} TO {account}"));
            }
        }
        statements
    }

    /// The statements that take away what nobody has a right to, for users that had more once. They can be repeated.
    pub fn revocations(&self, database: &str) -> Vec<String> {
        let mut statements = Vec::new();
        for (table, _) in TABLES {
            for verb in Verb::ALL {
                let others = Program::ALL
                    .into_iter()
                    .filter(|program| !may(*program, verb, table))
                    .map(|program| self.account(program))
                    .collect::<Vec<_>>();
                if !others.is_empty() {
                    statements.push(format!(
                        "REVOKE IF EXISTS {} ON {} FROM {} IGNORE UNKNOWN USER",
                        verb.as_str(),
                        quoted(database, table),
                        others.join(", ")
                    ));
                }
            }
        }
        statements
    }

    /// All of it as a script for an operator: users with passwords that MySQL makes up and tells once, or tells that they are there.
    pub fn script(&self, database: &str) -> String {
        let mut script = format!(
            "-- The programs' MySQL users and what each may do in database {database}. Can be repeated.\n\
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
        for statement in self.revocations(database) {
            let _ = writeln!(script, "{statement};");
        }
        script
    }

    /// Makes it so in the database of these settings, whose tables must be there. Safe to repeat.
    ///
    /// # Errors
    /// If MySQL is away, the user of these settings may not do so, or a user whose password is not known is not there.
    pub async fn apply(&self, settings: &MysqlSettings) -> anyhow::Result<()> {
        let database = database_of(&settings.dsn);
        let mut statements: Vec<String> = Program::ALL
            .into_iter()
            .flat_map(|program| self.grants(program, database))
            .collect();
        statements.extend(self.revocations(database));
        self.run(settings, &statements).await
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
        let statements = self.grants(program, database_of(&settings.dsn));
        self.run(settings, &statements).await
    }

    async fn run(&self, settings: &MysqlSettings, statements: &[String]) -> anyhow::Result<()> {
        let mut conn = connect(settings).await?;
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

fn quoted(database: &str, table: &str) -> String {
    format!("`{}`.`{table}`", database.replace('`', "``"))
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
