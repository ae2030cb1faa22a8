//! Input fields and arguments.

use shop_lab::schema::Severity::{Breaking, Dangerous, Safe};

use super::Case;

pub(super) const CASES: &[Case] = &[
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
];
