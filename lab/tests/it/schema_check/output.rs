//! Types and the fields of answers.

use shop_lab::schema::Severity::{Breaking, Safe};

use super::Case;

pub(super) const CASES: &[Case] = &[
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
];
