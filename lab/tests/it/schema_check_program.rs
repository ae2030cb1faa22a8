//! The program: what it prints, and how it ends.

use std::path::PathBuf;
use std::process::{Command, Output};

const SCHEMA: &str =
    "type Query { order(id: ID!): Order }\ntype Order { id: ID! status: String! }\n";
const FIELD_MORE: &str = "type Query { order(id: ID!): Order }\ntype Order { id: ID! status: String! nickname: String }\n";
const FIELD_LESS: &str = "type Query { order(id: ID!): Order }\ntype Order { id: ID! }\n";

/// Files of one test, gone with it.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("schema-check-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a temporary directory");
        let files = Self(directory);
        files.write("schema.graphql", SCHEMA);
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("a file");
    }

    fn check(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_schema-check"))
            .current_dir(&self.0)
            .args(arguments)
            .output()
            .expect("the program starts")
    }

    fn git(&self, arguments: &[&str]) {
        let output = Command::new("git")
            .current_dir(&self.0)
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
            .args(arguments)
            .output()
            .expect("git starts");
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_base_with_a_field_more_means_it_was_removed() {
    let files = Files::new("more");
    files.write("base.graphql", FIELD_MORE);
    let output = files.check(&["--base", "base.graphql"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(
        text.contains("BREAKING   Order.nickname  field removed"),
        "{text}"
    );
    assert!(
        text.contains("clients break: 1 breaking, 0 dangerous, 0 safe"),
        "{text}"
    );
}

#[test]
fn a_base_with_a_field_less_means_it_was_added() {
    let files = Files::new("less");
    files.write("base.graphql", FIELD_LESS);
    let output = files.check(&["--base", "base.graphql"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(
        text.contains("SAFE       Order.status  field added"),
        "{text}"
    );
}

#[test]
fn a_base_can_be_a_git_ref() {
    let files = Files::new("ref");
    files.git(&["init", "--quiet"]);
    files.write("schema.graphql", FIELD_MORE);
    files.git(&["add", "schema.graphql"]);
    files.git(&["commit", "--quiet", "--message", "A field more"]);
    files.write("schema.graphql", SCHEMA);
    let output = files.check(&["--base", "HEAD"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("Order.nickname"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn json_tells_the_same() {
    let files = Files::new("json");
    files.write("base.graphql", FIELD_MORE);
    let output = files.check(&["--base", "base.graphql", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["breaking"], 1);
    assert_eq!(report["changes"][0]["severity"], "BREAKING");
    assert_eq!(report["changes"][0]["coordinate"], "Order.nickname");
}

#[test]
fn what_can_not_be_compared_ends_with_2_and_one_clear_line() {
    let files = Files::new("bad");
    files.write("broken.graphql", "type Query {");
    for (arguments, expected) in [
        (&["--base", "missing"][..], "neither a file nor a git ref"),
        (&["--base=--output=x"], "neither a file nor a git ref"),
        (&["--base", ""], "neither a file nor a git ref"),
        (&["--base", "broken.graphql"], "the base is not a schema"),
        (
            &["--base", "schema.graphql", "--head", "missing.graphql"],
            "failed to read missing.graphql",
        ),
        (
            &["--base", "schema.graphql", "--head", "broken.graphql"],
            "the head is not a schema",
        ),
        (&[], "--base"),
        (&["--base", "schema.graphql", "--format", "xml"], "xml"),
    ] {
        let output = files.check(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stdout(&output)
        );
        assert!(
            stderr(&output).contains(expected),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stdout(&output).is_empty(),
            "{arguments:?}: {}",
            stdout(&output)
        );
    }
}
