//! What an operation costs: its fields, those of a list counted once per item that may come.
//!
//! The library counts the same when it validates, but tells it to extensions alone, and with an extension every field takes a slower
//! way. So it is counted here, from the document that is parsed anyway; a test holds the two together. `COMPLEXITY` bounds both.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::LazyLock;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, ExecutableDocument, Field, FieldDefinition, OperationDefinition, OperationType,
    Selection, SelectionSet, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Name, Positioned, Value, Variables};

use super::Limits;

/// The fields of every object and interface.
type Types = HashMap<Name, HashMap<Name, Known>>;

/// What is known of a field.
struct Known {
    /// The type of its value, or of its items.
    ty: Name,
    count: Count,
}

/// How often the fields below a field are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// Once.
    Once,
    /// As often as a list without arguments is long, mostly.
    List,
    /// As often as `first` or `last` says.
    Page,
    /// As often as there are `ids`.
    Ids,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| read(&super::sdl()));

/// What a document costs, whatever of it is run. Its fragments must not be parts of themselves.
pub fn cost(document: &ExecutableDocument, variables: &Variables) -> usize {
    let operations = document.operations.iter();
    let costs = operations.map(|(_, operation)| {
        let operation = &operation.node;
        let root = match operation.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => "Subscription",
        };
        let walk = Walk {
            document,
            variables,
            operation,
        };
        walk.set(&operation.selection_set.node, TYPES.get(root))
    });
    costs.fold(0, usize::saturating_add)
}

/// A walk through an operation.
struct Walk<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    operation: &'a OperationDefinition,
}

impl Walk<'_> {
    fn set(&self, set: &SelectionSet, ty: Option<&HashMap<Name, Known>>) -> usize {
        let costs = set.items.iter().map(|selection| match &selection.node {
            Selection::Field(field) => self.field(&field.node, ty),
            Selection::InlineFragment(fragment) => {
                let fragment = &fragment.node;
                let ty = match &fragment.type_condition {
                    Some(condition) => TYPES.get(&condition.node.on.node),
                    None => ty,
                };
                self.set(&fragment.selection_set.node, ty)
            }
            Selection::FragmentSpread(spread) => {
                let fragment = self.document.fragments.get(&spread.node.fragment_name.node);
                fragment.map_or(0, |fragment| {
                    let fragment = &fragment.node;
                    // The library takes the type around it instead, and so misses the lists of a fragment that is spread in an
                    // interface.
                    let ty = TYPES.get(&fragment.type_condition.node.on.node);
                    self.set(&fragment.selection_set.node, ty)
                })
            }
        });
        costs.fold(0, usize::saturating_add)
    }

    fn field(&self, field: &Field, ty: Option<&HashMap<Name, Known>>) -> usize {
        let name = &field.name.node;
        if name == "__typename" {
            return 0;
        }
        let known = ty.and_then(|fields| fields.get(name));
        let below = known.and_then(|known| TYPES.get(&known.ty));
        let child = self.set(&field.selection_set.node, below);
        match known.map_or(Count::Once, |known| known.count) {
            Count::Once => child.saturating_add(1),
            Count::List => Limits::list_cost(child),
            Count::Page => Limits::page_cost(
                self.number(field, "first"),
                self.number(field, "last"),
                child,
            ),
            Count::Ids => self
                .items(field, "ids")
                .saturating_mul(child)
                .saturating_add(1),
        }
    }

    fn number(&self, field: &Field, argument: &str) -> Option<i64> {
        match self.argument(field, argument)? {
            Value::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    fn items(&self, field: &Field, argument: &str) -> usize {
        match self.argument(field, argument) {
            Some(Value::List(items)) => items.len(),
            Some(Value::Null) | None => 0,
            Some(_) => 1,
        }
    }

    /// The value of an argument, which may be or hold variables.
    fn argument(&self, field: &Field, argument: &str) -> Option<Value> {
        let value = field.get_argument(argument)?.node.clone();
        let value = value.into_const_with(|name| {
            let given = self.variables.get(&name);
            let value = given.or_else(|| self.default(&name));
            Ok::<_, Infallible>(value.cloned().unwrap_or_default())
        });
        value.ok()
    }

    fn default(&self, name: &Name) -> Option<&Value> {
        let mut definitions = self.operation.variable_definitions.iter();
        let found = definitions.find(|definition| definition.node.name.node == *name);
        found.and_then(|definition| definition.node.default_value())
    }
}

fn read(sdl: &str) -> Types {
    let document = parse_schema(sdl).map(|document| document.definitions);
    let types = document.unwrap_or_default().into_iter();
    let types = types.filter_map(|definition| {
        let TypeSystemDefinition::Type(definition) = definition else {
            return None;
        };
        let name = definition.node.name.node;
        // A page's items are counted where it is asked for; errors are few.
        let is_counted = name.ends_with("Connection") || name.ends_with("Payload");
        let (fields, has_lists) = match definition.node.kind {
            TypeKind::Object(object) => (object.fields, true),
            // The library looks at the fields of objects alone.
            TypeKind::Interface(interface) => (interface.fields, false),
            _ => return None,
        };
        let fields = fields.into_iter();
        let fields = fields.map(|field| known(field, has_lists, is_counted));
        Some((name, fields.collect()))
    });
    types.collect()
}

fn known(field: Positioned<FieldDefinition>, has_lists: bool, is_counted: bool) -> (Name, Known) {
    let field = field.node;
    let has = |name: &str| {
        let mut arguments = field.arguments.iter();
        has_lists && arguments.any(|argument| argument.node.name.node == name)
    };
    let is_list = matches!(field.ty.node.base, BaseType::List(_));
    let count = if has("first") && has("last") {
        Count::Page
    } else if has("ids") {
        Count::Ids
    } else if has_lists && is_list && field.arguments.is_empty() && !is_counted {
        Count::List
    } else {
        Count::Once
    };
    let ty = name_of(&field.ty.node);
    (field.name.node, Known { ty, count })
}

fn name_of(ty: &Type) -> Name {
    match &ty.base {
        BaseType::Named(name) => name.clone(),
        BaseType::List(item) => name_of(item),
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::{Value as Json, json};

    use super::*;

    fn of(document: &str, variables: Json) -> usize {
        let document = parse_query(document).expect("a document");
        cost(&document, &Variables::from_json(variables))
    }

    #[test]
    fn every_list_is_known() {
        let lists = |count: Count| {
            let fields = TYPES.iter().flat_map(|(ty, fields)| {
                let lists = fields.iter().filter(move |(_, known)| known.count == count);
                lists.map(move |(name, _)| format!("{ty}.{name}"))
            });
            let mut fields: Vec<_> = fields.collect();
            fields.sort();
            fields
        };
        assert_eq!(
            lists(Count::Page),
            [
                "Query.orders",
                "Query.products",
                "Query.users",
                "User.orders"
            ]
        );
        assert_eq!(lists(Count::Ids), ["Query.nodes"]);
        // Of values that are no objects too: without fields of their own they cost one.
        let others = lists(Count::List);
        let of_objects = others.iter().filter(|name| name.starts_with("Order."));
        assert_eq!(
            of_objects.collect::<Vec<_>>(),
            [
                "Order.items",
                "Order.nextStatuses",
                "Order.payments",
                "Order.shortages",
                "Order.timeline"
            ]
        );
        let of_refusals = others.iter().filter(|name| !name.starts_with("Order."));
        let mut of_refusals = of_refusals.map(|name| name.split_once("Error.").map(|it| it.1));
        assert!(of_refusals.all(|field| matches!(field, Some("path" | "allowed"))));
    }

    #[test]
    fn the_fields_of_a_list_cost_once_per_item_that_may_come() {
        for (document, variables, expected) in [
            ("{ __typename }", json!({}), 0),
            ("{ user(id: 1) { id name __typename } }", json!({}), 3),
            ("{ users { nodes { id } } }", json!({}), 20 * 2 + 1),
            (
                "{ order(id: 1) { nextStatuses items { name: productName quantity } } }",
                json!({}),
                1 + 1 + 20 * 2 + 1,
            ),
            (
                "{ orders(first: 3) { nodes { payments { reference } } } }",
                json!({}),
                3 * (1 + 20 + 1) + 1,
            ),
            ("{ users(first: 5) { nodes { id } } }", json!({}), 5 * 2 + 1),
            ("{ users(last: 5) { nodes { id } } }", json!({}), 5 * 2 + 1),
            (
                "{ users(first: 1000) { nodes { id } } }",
                json!({}),
                100 * 2 + 1,
            ),
            ("{ users(first: -1) { nodes { id } } }", json!({}), 2 + 1),
            (
                "query($n: Int = 7) { users(first: $n) { nodes { id } } }",
                json!({}),
                7 * 2 + 1,
            ),
            (
                "query($n: Int = 7) { users(first: $n) { nodes { id } } }",
                json!({ "n": 3 }),
                3 * 2 + 1,
            ),
            (
                "query($n: Int) { users(first: $n) { nodes { id } } }",
                json!({}),
                20 * 2 + 1,
            ),
            (
                "query($i: [ID!]!) { nodes(ids: $i) { id } }",
                json!({ "i": ["a", "b"] }),
                2 + 1,
            ),
            (
                "query($a: ID!) { nodes(ids: [$a, 2, 3]) { id } }",
                json!({ "a": "a" }),
                3 + 1,
            ),
            (
                "{ users { nodes { ...U } } } fragment U on User { id orders(first: 2) { nodes { id } } }",
                json!({}),
                20 * (1 + 1 + 5) + 1,
            ),
            (
                "{ node(id: 1) { ...U } } fragment U on User { orders(first: 2) { nodes { id } } }",
                json!({}),
                1 + 5,
            ),
            (
                "query A { user(id: 1) { id } } query B { user(id: 1) { id } }",
                json!({}),
                4,
            ),
        ] {
            assert_eq!(
                of(document, variables.clone()),
                expected,
                "{document} {variables}"
            );
        }
    }
}
