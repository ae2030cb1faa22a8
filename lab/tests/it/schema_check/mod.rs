//! Each kind of change: how it is judged, and where.

mod input;
mod members;
mod output;

use shop_lab::schema::Severity::{self, Breaking, Dangerous, Safe};
use shop_lab::schema::compare;

/// What both versions of a case hold beside what it changes.
const COMMON: &str = "type Query { ok: Boolean }\n";

/// Expected findings: severity, coordinate, beginning of what changed.
type Expected = &'static [(Severity, &'static str, &'static str)];

/// Name, base, head, and each expected finding.
type Case = (&'static str, &'static str, &'static str, Expected);

fn cases() -> impl Iterator<Item = &'static Case> {
    output::CASES
        .iter()
        .chain(input::CASES)
        .chain(members::CASES)
}

#[test]
fn every_kind_of_change_is_judged() {
    let mut wrong = Vec::new();
    for (name, base, head, expected) in cases() {
        let found = compare(&format!("{COMMON}{base}"), &format!("{COMMON}{head}"))
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let as_expected = found.len() == expected.len()
            && expected.iter().all(|(severity, coordinate, change)| {
                found.iter().any(|finding| {
                    finding.severity == *severity
                        && finding.coordinate == *coordinate
                        && finding.change.starts_with(change)
                })
            });
        if !as_expected {
            wrong.push(format!("{name}: expected {expected:?}, found {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_goes_one_way_is_judged_the_other_way_too() {
    // Whatever is breaking or dangerous in one direction never shows as "no change" in the other.
    for (name, base, head, expected) in cases().filter(|case| !case.3.is_empty()) {
        let back = compare(&format!("{COMMON}{head}"), &format!("{COMMON}{base}"))
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert!(
            !back.is_empty(),
            "{name} backwards: nothing found, forwards {expected:?}"
        );
    }
}

#[test]
fn the_worst_comes_first() {
    let found = compare(
        "type Query { a: Int b: Int } enum E { X }",
        "type Query { b: Int c: Int } enum E { X Y }",
    )
    .expect("both are valid");
    let severities: Vec<_> = found.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Breaking, Dangerous, Safe]);
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    for (text, expected) in [
        ("type Query {", "schema.graphql:1"),
        ("type Query { a: Missing }", "Missing"),
        ("type Query { a: Int } type Query { b: Int }", "Query"),
        (
            "type Query { a: Int } extend type Query { b: Int }",
            "extend Query",
        ),
        ("", "schema"),
    ] {
        let error = compare(text, COMMON).expect_err(text);
        let message = format!("{error:#}");
        assert!(message.starts_with("the base is not a schema"), "{message}");
        assert!(message.contains(expected), "{text:?}: {message}");
    }
}
