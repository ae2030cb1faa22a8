//! `ops` as a process, as an operator or a script calls it: what it prints, and the code that it ends with.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};

use mongodb::bson::{Document, doc};

use super::ops_shop::{BOUND, Shop};
use shop_core::testkit::eventually;

/// Runs it with these settings beside the caller's; answers its question.
pub fn ops(arguments: &[&str], settings: &[(&str, &str)], answer: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ops"))
        .args(arguments)
        .env("LOG", "warn")
        .envs(settings.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it listens");
    stdin.write_all(answer.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// What it said, and its exit code; what went to standard error is in brackets.
pub fn said(output: &Output) -> (String, i32) {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().expect("no signal");
    let text = if err.is_empty() {
        out
    } else {
        format!("{out}[{err}]")
    };
    (text, code)
}

/// Where a shop's servers are.
fn settings(shop: &Shop) -> [(&str, &str); 4] {
    let kafka = &shop.settings.kafka;
    [
        ("MYSQL_DSN", &shop.settings.mysql.dsn),
        ("KAFKA_BROKERS", &kafka.brokers),
        ("TOPIC_PREFIX", kafka.topics.prefix()),
        ("MONGO_URI", &shop.settings.mongo.uri),
    ]
}

/// Runs it while the shop goes on.
fn run(shop: &Shop, arguments: &[&str], answer: &str) -> (String, i32) {
    let output = tokio::task::block_in_place(|| ops(arguments, &settings(shop), answer));
    said(&output)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_ends_with_0_only_if_all_is_well_and_a_repair_says_what_it_would_do() {
    let mut shop = Shop::open().await;
    let order = shop.confirmed().await;
    let (text, code) = run(&shop, &["audit", "--patience", "60"], "");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(" 0 violations, 0 undecided"), "{text}");

    let orders = shop.views.database().await.collection::<Document>("orders");
    let id = mongodb::bson::Uuid::from_bytes(order.id.uuid().into_bytes());
    let change = doc! { "$set": { "customer_name": "Mallory" } };
    let planted = orders.update_one(doc! { "_id": id }, change).await;
    planted.expect("a planted fault");
    let (text, code) = run(&shop, &["audit"], "");
    assert_eq!(code, 1, "{text}");
    let name = order.id.to_string();
    assert!(text.contains(&name) && text.contains("Mallory"), "{text}");
    assert!(text.contains("ops: 1 violations, 0 undecided"), "{text}");

    let (text, code) = run(&shop, &["audit", "--repair", "--dry-run"], "");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("would "), "{text}");
    let (text, code) = run(&shop, &["audit", "--repair", "--yes"], "");
    assert_eq!(code, 0, "{text}");
    assert_eq!(run(&shop, &["audit"], "").1, 0);
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_is_built_served_and_dropped_only_if_it_may_be() {
    let mut shop = Shop::open().await;
    shop.confirmed().await;
    let views = shop.views.views().clone();
    assert_eq!(
        run(&shop, &["views", "status"], ""),
        ("generation 1 is served\n".to_owned(), 0)
    );
    let (text, code) = run(&shop, &["views", "rebuild", "--dry-run"], "");
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("would build generation 2"), "{text}");
    assert_eq!(views.served().await.expect("a read").last, 1);

    let (text, code) = run(&shop, &["views", "rebuild"], "");
    assert_eq!(code, 0, "{text}");
    let served = views.served().await.expect("a read");
    assert_eq!((served.generation, served.kept), (2, vec![1]));

    for (generation, reason) in [
        ("2", "generation 2 is the one that is served"),
        ("7", "there is no generation 7"),
    ] {
        let (text, code) = run(&shop, &["views", "drop", "--generation", generation], "y");
        assert_eq!(
            (text.as_str(), code),
            (format!("[ops: {reason}\n]").as_str(), 1)
        );
    }
    let drop = ["views", "drop", "--generation", "1"];
    let (text, code) = run(&shop, &drop, "n\n");
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("not confirmed, nothing was changed"),
        "{text}"
    );
    assert_eq!(views.generations().await.expect("a list"), [1, 2].into());
    let (text, code) = run(&shop, &drop, "y\n");
    assert_eq!(code, 0, "{text}");
    assert_eq!(views.generations().await.expect("a list"), [2].into());
    shop.assert_sound().await;
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_is_killed_is_never_served_and_the_next_one_does_not_wait_for_it() {
    let mut shop = Shop::open().await;
    shop.some_of_everything().await;
    let views = shop.views.views().clone();
    for step in ["building", "comparing", "switching"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ops"))
            .args(["views", "rebuild"])
            .env("LOG", "warn")
            .envs(settings(&shop))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let said = BufReader::new(child.stderr.take().expect("it is ours"));
        let reached = said
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains(step));
        assert!(reached, "it never said {step}");
        child.kill().expect("SIGKILL");
        child.wait().expect("it ends");
        let served = views.served().await.expect("a read");
        let whole = served.generation == 1 || served.kept.contains(&1);
        assert!(whole, "killed at {step}: {served:?}");
        // Writers that it had pause go on by themselves.
        let order = shop.confirmed().await;
        shop.cancel(order.id).await;
    }
    let text = eventually("the next one to be done", BOUND, async || {
        let (text, code) = run(&shop, &["views", "rebuild"], "");
        (code == 0).then_some(text)
    })
    .await;
    assert!(text.contains("generation"), "{text}");
    shop.assert_sound().await;
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_exist_is_refused_and_a_server_that_is_away_is_another_code() {
    let mut shop = Shop::open().await;
    let nobody = "order_00000000-0000-0000-0000-000000000007";
    let (text, code) = run(&shop, &["republish", "--order", nobody], "");
    assert_eq!(
        (text.as_str(), code),
        (format!("[ops: there is no {nobody}\n]").as_str(), 1)
    );
    let (text, code) = run(&shop, &["republish", "--order", "7"], "");
    assert_eq!(code, 2, "{text}");
    assert_eq!(run(&shop, &["republish"], "").1, 2, "of what?");
    shop.assert_sound().await;
    shop.stop().await;

    let away = ("MYSQL_DSN", "mysql://root:root@127.0.0.1:9/shop");
    let (text, code) = said(&ops(&["dlq", "list"], &[away], ""));
    assert_eq!(code, 3, "{text}");
    let wrong = ("MYSQL_DSN", "root:root@tcp(127.0.0.1:3306)/shop");
    let (text, code) = said(&ops(&["dlq", "list"], &[wrong], ""));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("MYSQL_DSN"), "{text}");
}
