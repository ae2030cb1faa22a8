//! Enums, unions, interfaces, directives, words, roots.

use shop_lab::schema::Severity::{Breaking, Dangerous, Safe};

use super::Case;

pub(super) const CASES: &[Case] = &[
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
