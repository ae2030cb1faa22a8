//! Writes `docs/settings.md`, `.env.example` and the settings in `README.md` from the table, and fails when they are out of date.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::parse;
use super::table::{ALL, Fallback, Kind, Setting};
use crate::runtime::Program;

const DOCS_HEAD: &str = "\
# Settings

Every program reads its settings from environment variables when it starts, and checks all of them, also those it does not use itself. A variable
that is not set or empty has its default. Bad values end the program with code 64 and one line each, which names the
variable, what was given (unless it is secret) and what is expected.

Times are numbers with a unit, such as `10ms`, `5s`, `15m` or `1h 30m`. Addresses marked with * have a default in development only.

| Variable | Default | Expected | Read by | What it is for |
| --- | --- | --- | --- | --- |
";

const DOCS_TAIL: &str = "
`HEALTH_ADDR` has a default for each program, so that all can run on one machine:

| Program | `HEALTH_ADDR` |
| --- | --- |
";

const DOCS_END: &str = "
This page, `.env.example` and the table in `README.md` are written from `core/src/runtime/config/table.rs`: `UPDATE=1 cargo test -p shop-core config::docs`.
";

const ENV_HEAD: &str = "\
# Every setting with its default; docs/settings.md explains them. Take away the # to change one.
# Written from core/src/runtime/config/table.rs: UPDATE=1 cargo test -p shop-core config::docs
";

/// What the README says between these is written from the table.
const README_BEGIN: &str = "<!-- settings, from core/src/runtime/config/table.rs -->\n";
const README_END: &str = "<!-- end of settings -->";

const README_HEAD: &str = "\
| Variable | Default | What it is for |
| --- | --- | --- |
";

fn page() -> String {
    let mut page = DOCS_HEAD.to_owned();
    for setting in ALL {
        let default = default_in_markdown(setting, "see below");
        let name = setting.name;
        let expected = expected_in_markdown(setting);
        let _ = writeln!(
            page,
            "| `{name}` | {default} | {expected} | {} | {} |",
            readers(setting),
            told(setting)
        );
    }
    page.push_str(DOCS_TAIL);
    for program in Program::ALL {
        if let Some(addr) = program.health_addr() {
            let _ = writeln!(page, "| `{program}` | `{addr}` |");
        }
    }
    page.push_str(DOCS_END);
    page
}

/// What it is for, and that it is secret.
fn told(setting: &Setting) -> String {
    let Setting { name, doc, .. } = setting;
    if setting.secret {
        format!("{doc}; secret, and `{name}_FILE` can name a file with it instead")
    } else {
        (*doc).to_owned()
    }
}

fn default_in_markdown(setting: &Setting, per_program: &str) -> String {
    match setting.fallback {
        Fallback::Value("") => "(empty)".to_owned(),
        Fallback::Value(value) => format!("`{value}`"),
        Fallback::DevelopmentOnly(value) => format!("`{value}` *"),
        Fallback::PerProgram => per_program.to_owned(),
    }
}

/// The README with its table of settings as it should be.
fn readme() -> String {
    let readme = std::fs::read_to_string(path("README.md")).expect("README.md is there");
    let (before, rest) = readme
        .split_once(README_BEGIN)
        .expect("README.md says where the settings begin");
    let (_, after) = rest
        .split_once(README_END)
        .expect("README.md says where the settings end");
    let mut table = README_HEAD.to_owned();
    for setting in ALL {
        let default = default_in_markdown(setting, "4001 to 4005, by program");
        let _ = writeln!(
            table,
            "| `{}` | {default} | {} |",
            setting.name,
            told(setting)
        );
    }
    format!("{before}{README_BEGIN}{table}{README_END}{after}")
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

fn expected_in_markdown(setting: &Setting) -> String {
    let expected = parse::expected(setting.kind);
    if matches!(setting.kind, Kind::MysqlDsn | Kind::MongoUri) {
        format!("`{expected}`")
    } else {
        expected
    }
}

fn readers(setting: &Setting) -> String {
    if setting.readers == Program::ALL {
        return "all".to_owned();
    }
    let names: Vec<_> = setting
        .readers
        .iter()
        .map(|program| program.as_str())
        .collect();
    names.join(", ")
}

fn example() -> String {
    let mut example = ENV_HEAD.to_owned();
    for setting in ALL {
        let default = match setting.fallback {
            Fallback::Value(value) | Fallback::DevelopmentOnly(value) => value,
            Fallback::PerProgram => "127.0.0.1:4001",
        };
        let _ = write!(
            example,
            "\n# {}. Expected: {}. Read by: {}.\n#{}={default}\n",
            told(setting),
            parse::expected(setting.kind),
            readers(setting),
            setting.name
        );
    }
    example
}

/// Compares a generated file with the one in the repository, or writes it when the environment says `UPDATE=1`.
#[expect(
    clippy::disallowed_methods,
    reason = "UPDATE is the test's switch, no setting of a program"
)]
fn up_to_date(file: &str, wanted: &str) {
    let path = path(file);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&path, wanted)
            .unwrap_or_else(|error| panic!("{file} can not be written: {error}"));
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{file} is out of date: run UPDATE=1 cargo test -p shop-core config::docs"
    );
}

#[test]
fn the_page_tells_every_setting() {
    up_to_date("docs/settings.md", &page());
}

#[test]
fn the_example_names_every_setting() {
    up_to_date(".env.example", &example());
}

#[test]
fn the_readme_has_every_setting_in_a_table() {
    up_to_date("README.md", &readme());
}
