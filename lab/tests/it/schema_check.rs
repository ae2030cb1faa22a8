//! Each kind of change: how it is judged, and where.

use shop_lab::schema::Severity::{self, Breaking, Dangerous, Safe};
use shop_lab::schema::compare;

/// What both versions of a case hold beside what it changes.
const COMMON: &str = "type Query { ok: Boolean }\n";

type Expected = &'static [(Severity, &'static str, &'static str)];

/// Base, head, and each expected finding: severity, coordinate, beginning of what changed.
const CASES: &[(&str, &str, &str, Expected)] = &[
    ("nothing", "type A { a: Int }", "type A { a: Int }", &[]),
    // Types.
    (
        "a type goes",
        "type A { a: Int }",
        "",
        &[(Breaking, "A", "type removed")],
    ),
    (
        "a type comes",
        "",
        "type A { a: Int }",
        &[(Safe, "A", "type added")],
    ),
    (
        "an interface goes",
        "interface A { a: Int }",
        "",
        &[(Breaking, "A", "interface removed")],
    ),
    (
        "an enum goes",
        "enum A { X }",
        "",
        &[(Breaking, "A", "enum removed")],
    ),
    (
        "a scalar goes",
        "scalar A",
        "",
        &[(Breaking, "A", "scalar removed")],
    ),
    (
        "an input goes",
        "input A { a: Int }",
        "",
        &[(Breaking, "A", "input removed")],
    ),
    (
        "a scalar comes",
        "",
        "scalar A",
        &[(Safe, "A", "scalar added")],
    ),
    (
        "an input comes",
        "",
        "input A { a: Int! }",
        &[(Safe, "A", "input added")],
    ),
    (
        "a type becomes an interface",
        "type A { a: Int }",
        "interface A { a: Int }",
        &[(Breaking, "A", "changed from type to interface")],
    ),
    (
        "an enum becomes a scalar",
        "enum A { X }",
        "scalar A",
        &[(Breaking, "A", "changed from enum to scalar")],
    ),
    // Fields.
    (
        "a field goes",
        "type A { a: Int b: Int }",
        "type A { a: Int }",
        &[(Breaking, "A.b", "field removed")],
    ),
    (
        "a field comes",
        "type A { a: Int }",
        "type A { a: Int b: Int! }",
        &[(Safe, "A.b", "field added")],
    ),
    (
        "an interface's field goes",
        "interface A { a: Int b: Int }",
        "interface A { a: Int }",
        &[(Breaking, "A.b", "field removed")],
    ),
    (
        "an answer may be null",
        "type A { a: Int! }",
        "type A { a: Int }",
        &[(Breaking, "A.a", "type changed from Int! to Int")],
    ),
    (
        "an answer is never null",
        "type A { a: Int }",
        "type A { a: Int! }",
        &[(Safe, "A.a", "type changed from Int to Int!")],
    ),
    (
        "an answer of another type",
        "type A { a: Int }",
        "type A { a: String }",
        &[(Breaking, "A.a", "type changed from Int to String")],
    ),
    (
        "an answer becomes a list",
        "type A { a: Int }",
        "type A { a: [Int] }",
        &[(Breaking, "A.a", "type changed from Int to [Int]")],
    ),
    (
        "a list's items are never null",
        "type A { a: [Int] }",
        "type A { a: [Int!]! }",
        &[(Safe, "A.a", "type changed from [Int] to [Int!]!")],
    ),
    (
        "a list's items may be null",
        "type A { a: [Int!]! }",
        "type A { a: [Int]! }",
        &[(Breaking, "A.a", "type changed")],
    ),
    (
        "stronger outside, weaker inside",
        "type A { a: [Int!] }",
        "type A { a: [Int]! }",
        &[(Breaking, "A.a", "type changed")],
    ),
    // Input fields.
    (
        "an input field goes",
        "input A { a: Int b: Int }",
        "input A { a: Int }",
        &[(Breaking, "A.b", "field removed")],
    ),
    (
        "an optional input field comes",
        "input A { a: Int }",
        "input A { a: Int b: Int }",
        &[(Dangerous, "A.b", "optional input field added")],
    ),
    (
        "a required input field comes",
        "input A { a: Int }",
        "input A { a: Int b: Int! }",
        &[(Breaking, "A.b", "required input field added")],
    ),
    (
        "an input field comes with a default",
        "input A { a: Int }",
        "input A { a: Int b: Int! = 1 }",
        &[(Dangerous, "A.b", "optional input field added")],
    ),
    (
        "an input field becomes required",
        "input A { a: Int }",
        "input A { a: Int! }",
        &[(Breaking, "A.a", "type changed from Int to Int!")],
    ),
    (
        "an input field becomes optional",
        "input A { a: Int! }",
        "input A { a: Int }",
        &[(Safe, "A.a", "type changed from Int! to Int")],
    ),
    (
        "an input field of another type",
        "input A { a: Int }",
        "input A { a: Float }",
        &[(Breaking, "A.a", "type changed from Int to Float")],
    ),
    (
        "an input list takes null items",
        "input A { a: [Int!]! }",
        "input A { a: [Int]! }",
        &[(Safe, "A.a", "type changed")],
    ),
    (
        "an input list takes no null items",
        "input A { a: [Int] }",
        "input A { a: [Int!] }",
        &[(Breaking, "A.a", "type changed")],
    ),
    (
        "an input field's default changes",
        "input A { a: Int = 1 }",
        "input A { a: Int = 2 }",
        &[(Dangerous, "A.a", "default changed from 1 to 2")],
    ),
    (
        "a required-by-type input field loses its default",
        "input A { a: Int! = 1 }",
        "input A { a: Int! }",
        &[(Breaking, "A.a", "default 1 removed, so it is required")],
    ),
    (
        "an optional input field gets a default",
        "input A { a: Int }",
        "input A { a: Int = 1 }",
        &[(Dangerous, "A.a", "default 1 added")],
    ),
    (
        "only one of its fields from now on",
        "input A { a: Int b: Int }",
        "input A @oneOf { a: Int b: Int }",
        &[(Breaking, "A", "@oneOf added")],
    ),
    (
        "any of its fields from now on",
        "input A @oneOf { a: Int b: Int }",
        "input A { a: Int b: Int }",
        &[(Safe, "A", "@oneOf removed")],
    ),
    // Arguments.
    (
        "an argument goes",
        "type A { a(x: Int): Int }",
        "type A { a: Int }",
        &[(Breaking, "A.a(x:)", "argument removed")],
    ),
    (
        "an optional argument comes",
        "type A { a: Int }",
        "type A { a(x: Int): Int }",
        &[(Dangerous, "A.a(x:)", "optional argument added")],
    ),
    (
        "a required argument comes",
        "type A { a: Int }",
        "type A { a(x: Int!): Int }",
        &[(Breaking, "A.a(x:)", "required argument added")],
    ),
    (
        "an argument becomes required",
        "type A { a(x: Int): Int }",
        "type A { a(x: Int!): Int }",
        &[(Breaking, "A.a(x:)", "type changed from Int to Int!")],
    ),
    (
        "an argument becomes optional",
        "type A { a(x: Int!): Int }",
        "type A { a(x: Int): Int }",
        &[(Safe, "A.a(x:)", "type changed from Int! to Int")],
    ),
    (
        "an argument of another type",
        "type A { a(x: Int): Int }",
        "type A { a(x: [Int]): Int }",
        &[(Breaking, "A.a(x:)", "type changed from Int to [Int]")],
    ),
    (
        "an argument's default changes",
        "type A { a(x: Int = 1): Int }",
        "type A { a(x: Int = 2): Int }",
        &[(Dangerous, "A.a(x:)", "default changed from 1 to 2")],
    ),
    (
        "an argument loses its default and may be null",
        "type A { a(x: Int = 1): Int }",
        "type A { a(x: Int): Int }",
        &[(Dangerous, "A.a(x:)", "default 1 removed")],
    ),
    (
        "an argument loses its default and becomes required",
        "type A { a(x: Int! = 1): Int }",
        "type A { a(x: Int!): Int }",
        &[(Breaking, "A.a(x:)", "default 1 removed, so it is required")],
    ),
    (
        "a required argument gets a default",
        "type A { a(x: Int!): Int }",
        "type A { a(x: Int! = 1): Int }",
        &[(Safe, "A.a(x:)", "default 1 added")],
    ),
    // Enums, unions, interfaces.
    (
        "an enum value goes",
        "enum A { X Y }",
        "enum A { X }",
        &[(Breaking, "A.Y", "enum value removed")],
    ),
    (
        "an enum value comes",
        "enum A { X }",
        "enum A { X Y }",
        &[(Dangerous, "A.Y", "enum value added")],
    ),
    (
        "a union member goes",
        "type B { b: Int } type C { c: Int } union A = B | C",
        "type B { b: Int } type C { c: Int } union A = B",
        &[(Breaking, "A.C", "union member removed")],
    ),
    (
        "a union member comes",
        "type B { b: Int } type C { c: Int } union A = B",
        "type B { b: Int } type C { c: Int } union A = B | C",
        &[(Dangerous, "A.C", "union member added")],
    ),
    (
        "an implementation goes",
        "interface I { a: Int } type A implements I { a: Int }",
        "interface I { a: Int } type A { a: Int }",
        &[(Breaking, "A", "no longer implements I")],
    ),
    (
        "an implementation comes",
        "interface I { a: Int } type A { a: Int }",
        "interface I { a: Int } type A implements I { a: Int }",
        &[(Dangerous, "A", "implements I now")],
    ),
    // Directives.
    (
        "a directive goes",
        "directive @d on FIELD",
        "",
        &[(Breaking, "@d", "directive removed")],
    ),
    (
        "a directive comes",
        "",
        "directive @d on FIELD",
        &[(Safe, "@d", "directive added")],
    ),
    (
        "a built-in directive is not printed any more",
        "directive @skip(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT",
        "",
        &[(Safe, "@skip", "definition not printed any more")],
    ),
    (
        "a directive's place goes",
        "directive @d on FIELD | QUERY",
        "directive @d on FIELD",
        &[(Breaking, "@d", "location QUERY removed")],
    ),
    (
        "a directive's place comes",
        "directive @d on FIELD",
        "directive @d on FIELD | QUERY",
        &[(Safe, "@d", "location QUERY added")],
    ),
    (
        "a directive may be used once",
        "directive @d repeatable on FIELD",
        "directive @d on FIELD",
        &[(Breaking, "@d", "not repeatable any more")],
    ),
    (
        "a directive's argument goes",
        "directive @d(x: Int) on FIELD",
        "directive @d on FIELD",
        &[(Breaking, "@d(x:)", "argument removed")],
    ),
    (
        "a directive's required argument comes",
        "directive @d on FIELD",
        "directive @d(x: Int!) on FIELD",
        &[(Breaking, "@d(x:)", "required argument added")],
    ),
    (
        "a directive's argument becomes required",
        "directive @d(x: Int) on FIELD",
        "directive @d(x: Int!) on FIELD",
        &[(Breaking, "@d(x:)", "type changed from Int to Int!")],
    ),
    (
        "a field is deprecated",
        "type A { a: Int }",
        "type A { a: Int @deprecated(reason: \"b\") }",
        &[(Safe, "A.a", "@deprecated added")],
    ),
    (
        "an enum value is no longer deprecated",
        "enum A { X @deprecated Y }",
        "enum A { X Y }",
        &[(Safe, "A.X", "@deprecated removed")],
    ),
    (
        "a scalar is written another way",
        "scalar A",
        "scalar A @specifiedBy(url: \"https://example.com\")",
        &[(Dangerous, "A", "@specifiedBy added")],
    ),
    // Words and order.
    (
        "descriptions",
        "type A { a: Int }",
        "\"An a.\" type A { \"Its a.\" a: Int }",
        &[
            (Safe, "A", "description changed"),
            (Safe, "A.a", "description changed"),
        ],
    ),
    (
        "another order",
        "type A { a: Int b: Int } enum E { X Y }",
        "enum E { Y X } type A { b: Int a: Int }",
        &[],
    ),
    // Roots.
    (
        "a root goes",
        "schema { query: Query mutation: M } type M { a: Int }",
        "schema { query: Query } type M { a: Int }",
        &[(
            Breaking,
            "schema",
            "root type M of mutation operations removed",
        )],
    ),
    (
        "a root comes",
        "schema { query: Query } type M { a: Int }",
        "schema { query: Query mutation: M } type M { a: Int }",
        &[(Safe, "schema", "root type M of mutation operations added")],
    ),
    (
        "another root",
        "schema { query: Query subscription: M } type M { a: Int } type N { a: Int }",
        "schema { query: Query subscription: N } type M { a: Int } type N { a: Int }",
        &[(
            Breaking,
            "schema",
            "root type of subscription operations changed from M to N",
        )],
    ),
    (
        "the same root by its default name",
        "schema { query: Query }",
        "",
        &[(Safe, "schema", "schema definition added or removed")],
    ),
];

#[test]
fn every_kind_of_change_is_judged() {
    let mut wrong = Vec::new();
    for (name, base, head, expected) in CASES {
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
    for (name, base, head, expected) in CASES.iter().filter(|case| !case.3.is_empty()) {
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
