//! The schema's description of itself, which leads from types to types: a list of it within another, and another, has more items than
//! there are types, and costs no field of ours.

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

use super::Limits;

/// Where the description begins.
const ROOTS: [&str; 2] = ["__schema", "__type"];
/// Its lists that lead to types, directly or by way of their fields; those that GraphQL's reference counts
/// (`MaxIntrospectionDepthRule` of graphql-js).
const LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

/// Whether a document asks for more such lists within each other than [`Limits::DESCRIBED_LISTS`]. Its fragments must not be parts of
/// themselves.
pub fn nests_too_deep(document: &ExecutableDocument) -> bool {
    let mut operations = document.operations.iter();
    operations.any(|(_, operation)| nests(document, &operation.node.selection_set.node, None))
}

/// `lists`: how many there are around, within a description.
fn nests(document: &ExecutableDocument, set: &SelectionSet, lists: Option<usize>) -> bool {
    set.items.iter().any(|selection| match &selection.node {
        Selection::Field(field) => {
            let (name, below) = (&*field.node.name.node, &field.node.selection_set.node);
            let lists = match lists {
                None => ROOTS.contains(&name).then_some(0),
                Some(lists) => Some(lists + usize::from(LISTS.contains(&name))),
            };
            lists.is_some_and(|lists| lists > Limits::DESCRIBED_LISTS)
                || nests(document, below, lists)
        }
        Selection::InlineFragment(fragment) => {
            nests(document, &fragment.node.selection_set.node, lists)
        }
        Selection::FragmentSpread(spread) => {
            let fragment = document.fragments.get(&spread.node.fragment_name.node);
            fragment.is_some_and(|it| nests(document, &it.node.selection_set.node, lists))
        }
    })
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    #[test]
    fn types_of_types_of_types_are_too_much() {
        for (document, expected) in [
            (
                "{ __schema { types { fields { args { type { name } } } interfaces { name } } } }",
                false,
            ),
            (
                "{ __type(name: 1) { possibleTypes { interfaces { name } } } }",
                false,
            ),
            (
                "{ __type(name: 1) { possibleTypes { interfaces { possibleTypes { name } } } } }",
                true,
            ),
            (
                "{ __type(name: 1) { fields { type { ofType { fields { type { fields { name } } } } } } } }",
                true,
            ),
            (
                "{ a: __schema { types { ...T } } } fragment T on __Type { possibleTypes { ...U } } fragment U on __Type { b: interfaces { ... { inputFields { name } } } }",
                true,
            ),
            (
                "query A { user { id } } query B { __type(name: 1) { possibleTypes { interfaces { fields { name } } } } }",
                true,
            ),
            ("{ fields { fields { fields { fields } } } }", false),
        ] {
            let parsed = parse_query(document).expect("a document");
            assert_eq!(nests_too_deep(&parsed), expected, "{document}");
        }
    }
}
