//! The requests that are measured. The first one is what the others are compared with.

use serde_json::{Value, json};

/// A request, as bytes, and a word of its answer.
pub(super) struct Case {
    /// What it is.
    pub name: &'static str,
    /// All of it.
    pub request: Vec<u8>,
    /// What its answer holds.
    pub expected: &'static str,
}

impl Case {
    fn query(name: &'static str, query: &str, expected: &'static str) -> Self {
        Self::body(name, &json!({ "query": query }), expected)
    }

    fn body(name: &'static str, body: &Value, expected: &'static str) -> Self {
        let body = body.to_string();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Self {
            name,
            request: (head + &body).into_bytes(),
            expected,
        }
    }

    /// Adds a token to its head.
    fn show(&mut self, token: &str) {
        let line = format!("authorization: Bearer {token}\r\n");
        let first = self.request.iter().position(|byte| *byte == b'\n');
        let after = first.map_or(0, |at| at + 1);
        self.request.splice(after..after, line.into_bytes());
    }
}

fn many(count: usize, each: impl Fn(usize) -> String) -> String {
    (0..count).map(each).collect()
}

/// All of them.
///
/// In: the token that each of them shows.
pub(super) fn cases(token: &str) -> Vec<Case> {
    let complex = "QUERY_TOO_COMPLEX";
    let doubling = many(31, |number| {
        let next = number + 1;
        format!("fragment F{number} on Query {{ ...F{next} ...F{next} }} ")
    });
    let by_id = "query($id: ID!) { order(id: $id) { id } }";
    let one = json!({ "query": "{ __typename }" });
    let mut cases = vec![
        Case::query(
            "{ __typename }",
            "{ __typename }",
            r#""__typename":"Query""#,
        ),
        Case::query(
            "circular fragments",
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        Case::query(
            "fragments that double 31 times",
            &format!("{{ ...F0 }} {doubling} fragment F31 on Query {{ __typename }}"),
            complex,
        ),
        Case::query(
            "101 aliases",
            &format!("{{ {} }}", many(101, |n| format!("a{n}: __typename "))),
            complex,
        ),
        Case::query(
            "500 repeated fields",
            &format!("{{ {} }}", "__typename ".repeat(500)),
            complex,
        ),
        Case::query(
            "1,000 directives",
            &format!("{{ __typename {} }}", "@include(if: true) ".repeat(1_000)),
            complex,
        ),
        Case::query(
            "selections 500 deep",
            &("{ a ".repeat(500) + &"}".repeat(500)),
            complex,
        ),
        Case::query(
            "values 5,000 deep",
            &format!("{{ a(b: {}{}) }}", "[".repeat(5_000), "]".repeat(5_000)),
            complex,
        ),
        Case::query(
            "a list literal of 5,000",
            &format!("{{ nodes(ids: [{}]) {{ id }} }}", "1,".repeat(5_000)),
            "DOCUMENT_TOO_LARGE",
        ),
        Case::body(
            "a list of 5,000 in the variables",
            &json!({ "query": by_id, "variables": { "id": vec![1; 5_000] } }),
            "VARIABLES_TOO_LARGE",
        ),
        Case::body(
            "an array batch of 100",
            &Value::Array(vec![one; 100]),
            "BAD_REQUEST",
        ),
        Case::body(
            "an operator in an id",
            &json!({ "query": by_id, "variables": { "id": { "$ne": null } } }),
            "errors",
        ),
        Case::query(
            "pages of pages of pages",
            "{ users(first: 100) { nodes { orders(first: 100) { nodes { customer { orders(first: 100) { nodes { id } } } } } } } }",
            complex,
        ),
    ];
    for case in &mut cases {
        case.show(token);
    }
    cases
}
