//! Looks into variables for what the library's validation overlooks: something else where an input object belongs. It
//! would be found when the field runs, by an error that does not say where in the variables it is.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_graphql::Variables;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, OperationDefinition, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Name, Value};

/// The fields of every input object.
type Objects = HashMap<Name, HashMap<Name, Type>>;

static OBJECTS: LazyLock<Objects> = LazyLock::new(|| read(&super::sdl()));

/// The first such place in an operation's variables, in words.
pub fn misplaced(operation: &OperationDefinition, variables: &Variables) -> Option<String> {
    operation
        .variable_definitions
        .iter()
        .find_map(|definition| {
            let definition = &definition.node;
            let value = variables.get(&definition.name.node)?;
            look(
                &definition.var_type.node,
                value,
                definition.name.node.as_str(),
            )
        })
}

fn look(wanted: &Type, value: &Value, path: &str) -> Option<String> {
    match (&wanted.base, value) {
        (_, Value::Null) => None, // the library looks after that
        (BaseType::List(item), Value::List(values)) => values
            .iter()
            .enumerate()
            .find_map(|(index, value)| look(item, value, &format!("{path}.{index}"))),
        (BaseType::List(item), single) => look(item, single, path),
        (BaseType::Named(name), value) => {
            let fields = OBJECTS.get(name)?;
            let Value::Object(members) = value else {
                return Some(format!(
                    "Invalid value for variable \"{path}\", expected type \"{name}\""
                ));
            };
            members.iter().find_map(|(member, value)| {
                look(fields.get(member)?, value, &format!("{path}.{member}"))
            })
        }
    }
}

fn read(sdl: &str) -> Objects {
    let document = parse_schema(sdl)
        .map(|document| document.definitions)
        .unwrap_or_default();
    let objects = document.into_iter().filter_map(|definition| {
        let TypeSystemDefinition::Type(definition) = definition else {
            return None;
        };
        let TypeKind::InputObject(object) = definition.node.kind else {
            return None;
        };
        let fields = object
            .fields
            .into_iter()
            .map(|field| (field.node.name.node, field.node.ty.node));
        Some((definition.node.name.node, fields.collect()))
    });
    objects.collect()
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::{Value as Json, json};

    use super::*;

    fn found(variables: Json) -> Option<String> {
        let document =
            parse_query("mutation($input: CreateOrderInput!, $n: Int) { x(input: $input) }");
        let document = document.expect("a document");
        let (_, operation) = document.operations.iter().next().expect("an operation");
        misplaced(&operation.node, &Variables::from_json(variables))
    }

    #[test]
    fn every_input_object_of_the_schema_is_known() {
        for name in [
            "CreateOrderInput",
            "OrderLineInput",
            "MoneyInput",
            "OrderFilter",
        ] {
            assert!(OBJECTS.contains_key(name), "{name}");
        }
        assert_eq!(OBJECTS["OrderLineInput"].len(), 3);
    }

    #[test]
    fn what_stands_where_an_object_belongs_is_named_by_its_path() {
        let line = json!({ "productId": "p", "quantity": 1 });
        let priced = json!({ "productId": "p", "quantity": 1, "expectedUnitPrice": "2.50" });
        for (input, path) in [
            (json!(7), "input"),
            (json!({ "lines": ["a mug"] }), "input.lines.0"),
            (
                json!({ "lines": [line, priced] }),
                "input.lines.1.expectedUnitPrice",
            ),
        ] {
            let problem = found(json!({ "input": input })).expect(path);
            assert!(problem.contains(&format!("\"{path}\"")), "{problem}");
        }
        for input in [
            json!(null),
            json!({ "lines": [line] }),
            json!({ "lines": line, "other": 7 }),
        ] {
            assert_eq!(found(json!({ "input": input })), None);
        }
        assert_eq!(found(json!({})), None);
    }
}
