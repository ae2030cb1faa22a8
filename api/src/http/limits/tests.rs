//! Documents at their limits and beyond, and what is counted beside what the library's parser reads.

use async_graphql::Positioned;
use async_graphql::Request;
use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    Directive, ExecutableDocument, OperationType, Selection, SelectionSet,
};
use proptest::prelude::*;

use super::*;
use crate::graphql::Limits;

fn found(document: &str) -> Result<Option<OperationType>, Excess> {
    check(&Request::new(document))
}

fn many(count: usize, each: impl Fn(usize) -> String) -> String {
    (0..count).map(each).collect()
}

/// Fragments that each spread the next one so many times.
fn bomb(fragments: usize, times: usize) -> String {
    let spreads = |number: usize| format!("...F{number} ").repeat(times);
    let fragments = many(fragments, |number| {
        let next = number + 1;
        let inside = if next == fragments {
            "a".to_owned()
        } else {
            spreads(next)
        };
        format!("fragment F{number} on Query {{ {inside} }}\n")
    });
    format!("{{ {} }} {fragments}", spreads(0))
}

fn list(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[test]
fn a_document_may_reach_a_limit_and_not_go_beyond() {
    let query = Ok(Some(OperationType::Query));
    let alias = |number| format!("a{number}: b ");
    let set = |inside: String| format!("{{ {inside} }}");
    let deep = |depth: usize| "{ a ".repeat(depth) + &"}".repeat(depth);
    let mutation = |roots| format!("mutation {{ {} }}", "a ".repeat(roots));
    for (at, beyond, excess) in [
        (
            format!("{{a}}{}", " ".repeat(Limits::DOCUMENT_BYTES - 3)),
            format!("{{a}}{}", " ".repeat(Limits::DOCUMENT_BYTES - 2)),
            Excess::Bytes,
        ),
        (
            format!("{{a(b:[{}])}}", "1 ".repeat(Limits::TOKENS - 9)),
            format!("{{a(b:[{}])}}", "1 ".repeat(Limits::TOKENS - 8)),
            Excess::Tokens,
        ),
        (
            format!("{{a(b:{})}}", list(Limits::NESTING - 1)),
            format!("{{a(b:{})}}", list(Limits::NESTING)),
            Excess::Nesting,
        ),
        (
            set(many(Limits::ALIASES, alias)),
            set(many(Limits::ALIASES + 1, alias)),
            Excess::Aliases,
        ),
        (
            set("a ".repeat(Limits::FIELDS)),
            set("a ".repeat(Limits::FIELDS + 1)),
            Excess::Fields,
        ),
        (
            set("... { a } ".repeat(Limits::FIELDS)),
            set("... { a } ".repeat(Limits::FIELDS + 1)),
            Excess::Fields,
        ),
        (
            set(format!("a {}", "@b ".repeat(Limits::ALL_DIRECTIVES))),
            set(format!("a {}", "@b ".repeat(Limits::ALL_DIRECTIVES + 1))),
            Excess::Directives,
        ),
        (
            set("a".to_owned())
                + &many(Limits::DEFINITIONS - 1, |n| {
                    format!("fragment F{n} on A{{a}}")
                }),
            set("a".to_owned())
                + &many(Limits::DEFINITIONS, |n| format!("fragment F{n} on A{{a}}")),
            Excess::Definitions,
        ),
        (deep(Limits::DEPTH), deep(Limits::DEPTH + 1), Excess::Depth),
        (bomb(9, 2), bomb(10, 2), Excess::Selections),
        (
            bomb(Limits::RECURSION, 1),
            bomb(Limits::RECURSION + 1, 1),
            Excess::Level,
        ),
    ] {
        assert_eq!(found(&at), query, "{at:.200}");
        assert_eq!(found(&beyond), Err(excess), "{beyond:.200}");
    }
    assert_eq!(
        found(&mutation(Limits::MUTATIONS)),
        Ok(Some(OperationType::Mutation))
    );
    let spread =
        "mutation { ...F ... on Mutation { ...F } } fragment F on Mutation { a b c d e f }";
    for roots in [mutation(Limits::MUTATIONS + 1), spread.to_owned()] {
        assert_eq!(found(&roots), Err(Excess::Roots), "{roots}");
    }
    assert_eq!(
        found("subscription { ...F } fragment F on Subscription { a { b c } }"),
        Ok(Some(OperationType::Subscription))
    );
    for roots in [
        "subscription { a b }",
        "subscription { a ... { b } }",
        "subscription { a ...F } fragment F on Subscription { __typename }",
        "query A { a b } subscription B { a: a b: a }",
    ] {
        assert_eq!(found(roots), Err(Excess::Subscriptions), "{roots}");
    }
}

#[test]
fn what_doubles_is_weighed_and_not_spread() {
    let begun = std::time::Instant::now();
    assert_eq!(found(&bomb(32, 10)), Err(Excess::Selections));
    for circle in [
        "{ ...A } fragment A on Query { ...A }",
        "{ ...A } fragment A on Query { a { ...B } } fragment B on Query { ... { ...A } }",
        "{ a } fragment A on Query { ...B } fragment B on Query { ...A }",
    ] {
        let refused = found(circle);
        assert!(matches!(refused, Err(Excess::Circle(_))), "{refused:?}");
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(1));
}

#[test]
fn strings_and_comments_do_not_count_and_hide_nothing() {
    let deep = list(500);
    for document in [
        format!("{{a(b:\"{deep}\")}}"),
        format!("{{a(b:\"\\\"{deep}\")}}"),
        format!("{{a(b:\"\"\"\n{deep} \\\"\"\" \" {deep}\"\"\")}}"),
        format!("# {deep}\n{{a # {deep}\r}}"),
    ] {
        assert!(parse_query(&document).is_ok(), "{document:.80}");
        assert!(found(&document).is_ok(), "{document:.80}");
    }
    for document in [
        format!("{{a(b:[\"\" {deep}])}}"),
        format!("{{a(b:[\"#\" {deep}])}}"),
        format!("{{a(b:[\"\\\\\" {deep}])}}"),
        format!("{{a(b:[\"\"\"#\"\"\" {deep}])}}"),
        format!("# \"\n{{a(b:{deep})}}"),
        format!("#\r{{a(b:{deep})}}"),
    ] {
        assert_eq!(found(&document), Err(Excess::Nesting), "{document:.80}");
    }
    for document in [
        format!("{{a(b:[\"\"\"c\" {deep}])}}"),
        format!("{{a(b:[\"\"\"\\\\\"\"\" {deep}])}}"),
    ] {
        assert_eq!(found(&document), Err(Excess::Endless), "{document:.80}");
    }
    // The parser takes these for many values.
    for value in ["00", "null", "true", "-1", "\"a\""] {
        let document = format!("{{a(b:[{}])}}", value.repeat(Limits::TOKENS));
        assert_eq!(found(&document), Err(Excess::Tokens), "{document:.80}");
    }
}

#[test]
fn the_operation_that_is_asked_for_is_found() {
    use OperationType::{Mutation, Query, Subscription};

    let two = "query A { a } mutation B { a } fragment C on D { a }";
    for (document, name, kind) in [
        ("{ a }", "", Some(Query)),
        ("{ a }", "A", None),
        ("mutation { a }", "", Some(Mutation)),
        ("mutation A { a }", "A", Some(Mutation)),
        ("mutationA{a}", "A", Some(Mutation)),
        (
            "subscription($a: [B!]! = [1] @c) @d { a }",
            "",
            Some(Subscription),
        ),
        ("query @a(b: \"mutation\") { a }", "", Some(Query)),
        (two, "", None),
        (two, "A", Some(Query)),
        (two, "B", Some(Mutation)),
        (two, "C", None),
        ("", "", None),
    ] {
        let mut request = Request::new(document);
        request.operation_name = Some(name.to_owned());
        assert_eq!(check(&request), Ok(kind), "{document} {name}");
    }
}

/// What the parser's own reading of a document comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    selections: usize,
    aliases: usize,
    directives: usize,
    depth: usize,
    level: usize,
    roots: usize,
}

impl Counts {
    fn of(document: &ExecutableDocument) -> Self {
        let mut counts = Self::default();
        for (_, operation) in document.operations.iter() {
            counts.note_directives(&operation.node.directives);
            counts.note(&operation.node.selection_set.node, 0, 0, true);
        }
        for fragment in document.fragments.values() {
            counts.note_directives(&fragment.node.directives);
            counts.note(&fragment.node.selection_set.node, 0, 0, true);
        }
        counts
    }

    fn note_directives(&mut self, directives: &[Positioned<Directive>]) {
        self.directives += directives.len();
    }

    fn note(&mut self, set: &SelectionSet, depth: usize, level: usize, is_root: bool) {
        self.level = self.level.max(level);
        for selection in &set.items {
            self.selections += 1;
            match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    self.aliases += usize::from(field.alias.is_some());
                    self.roots += usize::from(is_root);
                    if field.name.node != "__typename" {
                        self.depth = self.depth.max(depth + 1);
                    }
                    self.note_directives(&field.directives);
                    if !field.selection_set.node.items.is_empty() {
                        self.note(&field.selection_set.node, depth + 1, level + 1, false);
                    }
                }
                Selection::FragmentSpread(spread) => self.note_directives(&spread.node.directives),
                Selection::InlineFragment(fragment) => {
                    self.note_directives(&fragment.node.directives);
                    let set = &fragment.node.selection_set.node;
                    self.note(set, depth, level + 1, is_root);
                }
            }
        }
    }
}

fn selection() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "on", "query", "fragment", "null", "__typename"]);
    let alias = prop::sample::select(vec!["", "b:", "on : ", "b#c\n:"]);
    let directive = prop::sample::select(vec!["", "@c", "@c(d:\"}\")@e", " @ c "]);
    let arguments = prop::sample::select(vec![
        "",
        "(a:1)",
        "(a:{b:[{c:\"\\\"{\"}]})",
        "(a:\"\"\" {\"\"\" b:$c)",
        "(a:[00-1 nulltrue B])",
    ]);
    let field = (alias, name, arguments, directive.clone());
    let field = field.prop_map(|(alias, name, arguments, directive)| {
        format!("{alias}{name}{arguments}{directive}")
    });
    let spread = prop::sample::select(vec!["...F", "... on@c", "...F@c", "...onF"]);
    let leaf = prop_oneof![field.clone(), spread.prop_map(str::to_owned)];
    leaf.prop_recursive(4, 24, 4, move |inside| {
        let inside = prop::collection::vec(inside, 1..4).prop_map(|all| all.join(" "));
        let fragment = prop::sample::select(vec!["...", "... on A", "...on\nA@b", "...@a(b:1)"]);
        prop_oneof![
            (field.clone(), inside.clone())
                .prop_map(|(field, inside)| format!("{field}{{{inside}}}")),
            (fragment, inside).prop_map(|(fragment, inside)| format!("{fragment}{{{inside}}}")),
        ]
    })
}

proptest! {
    /// Whatever the parser accepts is counted as it reads it.
    #[test]
    fn the_sketch_is_that_of_the_document(
        head in prop::sample::select(vec![
            "", "query", "query A", "queryA", "mutation($a:[B!]!@c=[1])@d", "subscription A ",
        ]),
        items in prop::collection::vec(selection(), 1..5),
        more in prop::collection::vec(selection(), 1..3),
    ) {
        let document = format!("{head}{{{}}}fragment F on A @x {{{}}}", items.join(","), more.join("\n"));
        let Ok(parsed) = parse_query(&document) else {
            return Err(TestCaseError::reject(document));
        };
        let Ok(definitions) = sketch::read(&document) else {
            return Err(TestCaseError::reject(document));
        };
        let expected = Counts::of(&parsed);
        let mut counts = Counts::default();
        for definition in &definitions {
            counts.selections += definition.selections;
            counts.roots += definition.roots;
            counts.depth = counts.depth.max(definition.depth);
            counts.level = counts.level.max(definition.level);
        }
        let variables = usize::from(head.contains("@c")); // those of variables are not in the parser's counts
        prop_assert_eq!(definitions.len(), 2, "{}", document);
        prop_assert_eq!(
            (counts.selections, counts.roots, counts.depth, counts.level),
            (expected.selections, expected.roots, expected.depth, expected.level),
            "{}", document
        );
        let (aliases, directives) = sketch::totals(&document);
        prop_assert_eq!(
            (aliases, directives - variables),
            (expected.aliases, expected.directives),
            "{}", document
        );
    }
}

/// What `GraphiQL`, Apollo and urql send: that of `graphql` 16 with all of its options on.
const INTROSPECTION: &str = "
query IntrospectionQuery { __schema { description queryType { name kind } mutationType { name kind } subscriptionType { name kind }
types { ...FullType } directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } } } }
fragment FullType on __Type { kind name description specifiedByURL isOneOf
fields(includeDeprecated: true) { name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
inputFields(includeDeprecated: true) { ...InputValue } interfaces { ...TypeRef }
enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } }
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated deprecationReason }
fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }";

#[test]
fn what_clients_send_is_far_from_every_limit() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/documents");
    let files = std::fs::read_dir(folder).expect("the folder of documents");
    let mut documents: Vec<String> = files
        .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a text"))
        .collect();
    documents.push(INTROSPECTION.to_owned());
    for document in documents {
        let kind = found(&document);
        assert!(matches!(kind, Ok(Some(_))), "{kind:?}: {document}");
        // Twice as much still passes.
        let wider = document.clone() + &document.replace("fragment ", "fragment Other");
        assert!(sketch::read(&wider).is_ok(), "{document}");
    }
}
