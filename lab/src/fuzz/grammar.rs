//! The schema, as documents are made from it.

use anyhow::Context as _;
use apollo_compiler::Schema;
use apollo_compiler::ast::{FieldDefinition, InputValueDefinition};
use apollo_compiler::schema::ExtendedType;

/// The contract as the API prints it.
const SCHEMA: &str = include_str!("../../../schema.graphql");

/// The schema.
#[derive(Debug)]
pub struct Grammar(Schema);

/// What may stand below a value's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form<'a> {
    /// One of these words.
    Enum(Vec<&'a str>),
    /// An object with fields.
    Object,
    /// A scalar of this name.
    Scalar(&'a str),
}

impl Grammar {
    /// Reads the schema.
    ///
    /// # Errors
    /// If it is none.
    pub fn read() -> anyhow::Result<Self> {
        let schema = Schema::parse(SCHEMA, "schema.graphql");
        let schema = schema.map_err(|problem| anyhow::anyhow!("{}", problem.errors));
        Ok(Self(schema.context("schema.graphql")?))
    }

    /// The fields of an object or interface.
    pub fn fields(&self, name: &str) -> Vec<&FieldDefinition> {
        match self.0.types.get(name) {
            Some(ExtendedType::Object(object)) => {
                object.fields.values().map(|field| &***field).collect()
            }
            Some(ExtendedType::Interface(interface)) => {
                interface.fields.values().map(|field| &***field).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The fields of an input object.
    pub fn inputs(&self, name: &str) -> Vec<&InputValueDefinition> {
        match self.0.types.get(name) {
            Some(ExtendedType::InputObject(input)) => {
                input.fields.values().map(|field| &***field).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether a type has fields to select.
    pub fn is_composite(&self, name: &str) -> bool {
        matches!(
            self.0.types.get(name),
            Some(ExtendedType::Object(_) | ExtendedType::Interface(_))
        )
    }

    /// The objects behind an interface.
    pub fn objects_of(&self, interface: &str) -> Vec<&str> {
        let Some(ExtendedType::Interface(_)) = self.0.types.get(interface) else {
            return Vec::new();
        };
        let types = self.0.types.iter();
        let objects = types.filter_map(|(name, found)| match found {
            ExtendedType::Object(object) => object
                .implements_interfaces
                .iter()
                .any(|implemented| implemented.as_str() == interface)
                .then_some(name.as_str()),
            _ => None,
        });
        objects.collect()
    }

    /// What a value of a type looks like.
    pub fn form<'a>(&'a self, name: &'a str) -> Form<'a> {
        match self.0.types.get(name) {
            Some(ExtendedType::Enum(words)) => Form::Enum(
                words
                    .values
                    .keys()
                    .map(apollo_compiler::Name::as_str)
                    .collect(),
            ),
            Some(ExtendedType::InputObject(_)) => Form::Object,
            _ => Form::Scalar(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_says_what_there_is() {
        let grammar = Grammar::read().expect("a schema");
        assert!(grammar.fields("Query").iter().any(|it| it.name == "order"));
        assert!(grammar.objects_of("Node").contains(&"Order"));
        let inputs = grammar.inputs("CreateOrderInput");
        assert!(inputs.iter().any(|it| it.name == "lines"));
        let Form::Enum(words) = grammar.form("OrderStatus") else {
            panic!("OrderStatus is no enum");
        };
        assert!(words.contains(&"PAID"));
        assert_eq!(grammar.form("UUID"), Form::Scalar("UUID"));
        assert!(grammar.is_composite("Order") && !grammar.is_composite("OrderStatus"));
    }
}
