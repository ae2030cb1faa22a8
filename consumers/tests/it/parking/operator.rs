//! `ops dlq`, as an operator calls it.

use std::process::Output;

use super::*;
use crate::ops_process::{ops, said};

impl Site {
    fn ops_answering(&self, arguments: &[&str], answer: &str) -> Output {
        ops(arguments, &[("MYSQL_DSN", &self.ops_dsn)], answer)
    }

    /// What it answers, and its exit code; what it refuses is in brackets.
    fn says(&self, arguments: &[&str]) -> (String, i32) {
        said(&self.ops_answering(arguments, ""))
    }
}

/// A key that is closed by a dead letter, with two records behind it.
async fn dead(site: &Site, key: ProductId) {
    site.bus.send(&levels(&[key], 2..=4)).await;
    site.wait_for_parked("state = 'DEAD'", 1).await;
    site.wait_for_parked("state = 'BEHIND'", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_redrive_the_order_is_as_it_would_have_been() {
    let site = Site::new().await;
    let (stuck, neighbour, _) = site.three_keys().await;
    let stubborn = Stubborn::about(stuck);
    let running = site.start(&stubborn.role);
    dead(&site, stuck).await;
    let key = stuck.uuid().to_string();

    let (list, code) = site.says(&["dlq", "list"]);
    assert_eq!(code, 0, "{list}");
    assert!(
        list.contains(&key) && list.contains("3 records") && list.contains("dead after 5 tries"),
        "{list}"
    );
    assert!(list.contains("the shelf is stuck"), "{list}");
    assert_eq!(site.says(&["dlq", "list", "--consumer", "probe"]).0, list);
    let (none, _) = site.says(&["dlq", "list", "--consumer", "projector"]);
    assert_eq!(none, "nothing is parked\n");
    let (shown, code) = site.says(&["dlq", "show", &format!("product_{key}")]);
    assert_eq!(code, 0, "{shown}");
    assert!(
        shown.contains("header ce_type: stock.level_changed") && shown.contains("value, "),
        "{shown}"
    );

    let (dry, code) = site.says(&["dlq", "redrive", &key, "--dry-run"]);
    assert_eq!((code, site.parked("state = 'DEAD'").await), (0, 1), "{dry}");
    assert!(dry.starts_with("would try 3 records"), "{dry}");

    // In vain: it comes to the same end, and is a dead letter again.
    assert_eq!(site.says(&["dlq", "redrive", &key]).1, 0);
    site.wait_for_letters(2).await;
    site.wait_for_parked("state = 'DEAD'", 1).await;
    assert_eq!(stubborn.versions(stuck), [1]);

    stubborn.heal();
    assert_eq!(site.says(&["dlq", "redrive", &key]).1, 0);
    stubborn.wait_for(stuck, &[1, 2, 3, 4]).await;
    site.wait_for_parked("TRUE", 0).await;
    let (again, code) = site.says(&["dlq", "redrive", &key]);
    assert_eq!(code, 1, "{again}");
    assert_eq!(again, format!("[ops: no key {key} is parked\n]"));
    assert_eq!(stubborn.versions(neighbour), [1]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_takes_the_first_record_and_what_waits_behind_it_flows() {
    let site = Site::new().await;
    let (stuck, _, _) = site.three_keys().await;
    let stubborn = Stubborn::about(stuck);
    let running = site.start(&stubborn.role);
    dead(&site, stuck).await;
    let key = stuck.uuid().to_string();

    for answer in ["", "n\n"] {
        let output = site.ops_answering(&["dlq", "drop", &key], answer);
        let (text, code) = said(&output);
        assert_eq!(code, 1, "{text}");
        assert!(
            text.contains("[y/N]") && text.contains("not confirmed"),
            "{text}"
        );
    }
    let (dry, code) = site.says(&["dlq", "drop", &key, "--dry-run"]);
    assert_eq!((code, site.parked("TRUE").await), (0, 3), "{dry}");
    let (_, code) = said(&site.ops_answering(&["dlq", "drop", &key], "y\n"));
    assert_eq!(code, 0);
    stubborn.wait_for(stuck, &[1, 3, 4]).await;
    site.wait_for_parked("TRUE", 0).await;
    let (again, code) = site.says(&["dlq", "drop", &key, "--yes"]);
    assert_eq!(code, 1, "{again}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeating_a_drop_never_takes_a_record_that_is_not_dead() {
    let mut site = Site::new().await;
    let (stuck, _, _) = site.three_keys().await;
    site.settings.consumer.retry_first_wait = Duration::from_mins(1);
    let stubborn = Stubborn::about(stuck);
    let running = site.start(&stubborn.role);
    site.bus.send(&levels(&[stuck], 2..=4)).await;
    site.wait_for_parked("TRUE", 3).await;
    running.stop().await;
    let key = stuck.uuid().to_string();
    let place = |list: &str| {
        let of_topic = list.split("  ").find(|word| word.contains('/'));
        of_topic.expect("a place").to_owned()
    };
    let first = place(&site.says(&["dlq", "list"]).0);

    let (refused, code) = site.says(&["dlq", "drop", &key, "--yes"]);
    assert_eq!(code, 1, "{refused}");
    assert!(refused.contains("is no dead letter"), "{refused}");
    assert_eq!(site.says(&["dlq", "drop", &first, "--yes"]).1, 0);
    let (refused, code) = site.says(&["dlq", "drop", &first, "--yes"]);
    assert_eq!((code, site.parked("TRUE").await), (1, 2), "{refused}");
    let second = place(&site.says(&["dlq", "list"]).0);
    assert_ne!(first, second);
    assert_eq!(site.says(&["dlq", "drop", &key, "--all", "--yes"]).1, 0);
    assert_eq!(site.parked("TRUE").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_exist_is_refused_with_a_line_and_a_code() {
    let site = Site::new().await;
    for verb in ["show", "redrive", "drop"] {
        let (text, code) = site.says(&["dlq", verb, "order_nobody"]);
        assert_eq!(code, 1, "{text}");
        assert_eq!(text, "[ops: no key order_nobody is parked\n]");
        let (text, code) = site.says(&["dlq", verb, "orders/0/7", "--consumer", "projector"]);
        assert_eq!(code, 1, "{text}");
        assert_eq!(
            text,
            "[ops: no record orders/0/7 is parked for projector\n]"
        );
        assert_eq!(site.says(&["dlq", verb]).1, 2, "{verb} wants a key");
    }
    assert_eq!(
        site.says(&["dlq", "list"]),
        ("nothing is parked\n".to_owned(), 0)
    );
    assert_eq!(site.says(&["letters"]).1, 2);
}
