//! What servers say about a failure, and how they are reached, is not for clients; passwords are for nobody, not even in logs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::StatusCode;
use shop_core::runtime::Program;
use shop_core::testkit::{TestDb, TestViews};

use crate::process::Process;

const CREATE: &str = r#"mutation { createUser(input: { name: "Ada", email: "ada@example.org" }) { user { id } errors { code } } }"#;
const LIST: &str = "{ users { nodes { id } } }";

/// A program that logs everything there is to log, and its log.
struct Watched {
    api: Process,
    log: PathBuf,
}

impl Watched {
    async fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
        let file = File::create(&log).expect("a file for the log");
        let settings = [settings, &[("LOG", "trace")]].concat();
        let api = Process::start_on("127.0.0.1", &settings, Stdio::from(file)).await;
        Self { api, log }
    }

    /// The error of a request that must fail, and tell nothing of these words but what the trace id leads to in the log.
    async fn fails(&self, query: &str, code: &str, secret: &[&str]) -> String {
        let (status, body) = self.api.post(query).await.expect("an answer");
        assert_eq!(status, StatusCode::OK, "{body}");
        let text = body.to_string();
        for word in secret.iter().chain(&["hush", "127.0.0.1", "ysql", "ongo"]) {
            assert!(!text.contains(word), "{word} is told: {text}");
        }
        let extensions = &body["errors"][0]["extensions"];
        assert_eq!(extensions["code"], code, "{body}");
        let trace = extensions["traceId"].as_str().expect("a trace id");
        let log = self.log();
        assert!(!log.contains("hush"), "a password is logged");
        let failed = "a request failed: ";
        let unserved = "a request was not served: ";
        let line = log.lines().find(|line| {
            line.contains(trace) && (line.contains(failed) || line.contains(unserved))
        });
        line.expect("the failure is logged under its trace id")
            .to_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log in UTF-8")
    }

    /// Every line begins with a time: none is the work of a value.
    fn has_lines_of_its_own_only(&self) {
        for line in self.log().lines() {
            let time: String = line.chars().take(12).collect();
            let digits = time.chars().filter(char::is_ascii_digit).count();
            assert!(
                digits == 9 && time.ends_with(|one: char| one.is_ascii_digit()),
                "{line}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mysql_says_is_logged_under_the_trace_id_and_not_told() {
    let (db, views) = (TestDb::new().await, TestViews::new().await);
    let mysql = db.settings_as(Program::Api).await;
    let login = mysql.dsn["mysql://".len()..].split('@').next();
    let (user, password) = login
        .and_then(|login| login.split_once(':'))
        .expect("a login");
    let uri = views.settings().uri.as_str();

    let settings = [("MYSQL_DSN", mysql.dsn.as_str()), ("MONGO_URI", uri)];
    let api = Watched::start("masked-denied", &settings).await;
    db.execute(&format!("REVOKE INSERT ON outbox FROM '{user}'@'%'"))
        .await;
    let line = api
        .fails(CREATE, "INTERNAL", &[user, "outbox", "denied", "INSERT"])
        .await;
    assert!(
        line.contains("ERROR") && line.contains("INSERT command denied"),
        "{line}"
    );
    api.has_lines_of_its_own_only();
    assert_eq!(db.count("SELECT COUNT(*) FROM users").await, 0);

    let wrong = mysql.dsn.replace(password, "hush-hush");
    let settings = [("MYSQL_DSN", wrong.as_str()), ("MONGO_URI", uri)];
    let api = Watched::start("masked-password", &settings).await;
    let line = api.fails(CREATE, "UNAVAILABLE", &[user, "denied"]).await;
    assert!(line.contains("Access denied for user"), "{line}");
    api.has_lines_of_its_own_only();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_servers_are_and_how_they_are_entered_is_not_told() {
    let settings = [
        ("MYSQL_DSN", "mysql://ann:hush@127.0.0.1:1/shop"),
        ("MONGO_URI", "mongodb://ann:hush@127.0.0.1:1/shop"),
    ];
    let api = Watched::start("masked-away", &settings).await;
    api.fails(CREATE, "UNAVAILABLE", &["ann", "refused"]).await;
    api.fails(LIST, "UNAVAILABLE", &["ann", "refused"]).await;
    api.has_lines_of_its_own_only();
}
