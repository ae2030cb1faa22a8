//! Every GraphQL document that the tests send. One test walks the schema and fails on a field that none of them asks for.

use std::collections::{BTreeMap, BTreeSet};

use apollo_compiler::ast::FieldDefinition;
use apollo_compiler::executable::{Selection, SelectionSet};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};

pub const CREATE_USER: &str = include_str!("documents/create_user.graphql");
pub const UPDATE_USER: &str = include_str!("documents/update_user.graphql");
pub const DELETE_USER: &str = include_str!("documents/delete_user.graphql");
pub const CREATE_PRODUCT: &str = include_str!("documents/create_product.graphql");
pub const UPDATE_PRODUCT: &str = include_str!("documents/update_product.graphql");
pub const ADJUST_STOCK: &str = include_str!("documents/adjust_stock.graphql");
pub const DELETE_PRODUCT: &str = include_str!("documents/delete_product.graphql");
pub const CREATE_ORDER: &str = include_str!("documents/create_order.graphql");
pub const PAY_ORDER: &str = include_str!("documents/pay_order.graphql");
pub const CANCEL_ORDER: &str = include_str!("documents/cancel_order.graphql");
pub const UPDATE_ORDER_STATUS: &str = include_str!("documents/update_order_status.graphql");
pub const DELETE_ORDER: &str = include_str!("documents/delete_order.graphql");
pub const USER: &str = include_str!("documents/user.graphql");
pub const USERS: &str = include_str!("documents/users.graphql");
pub const PRODUCT: &str = include_str!("documents/product.graphql");
pub const PRODUCTS: &str = include_str!("documents/products.graphql");
pub const ORDER: &str = include_str!("documents/order.graphql");
pub const ORDERS: &str = include_str!("documents/orders.graphql");
pub const NODES: &str = include_str!("documents/nodes.graphql");
pub const ORDER_STATUS_CHANGED: &str = include_str!("documents/order_status_changed.graphql");
pub const ORDER_UPDATES: &str = include_str!("documents/order_updates.graphql");
pub const STOCK_LEVEL_CHANGED: &str = include_str!("documents/stock_level_changed.graphql");
pub const INTROSPECTION: &str = include_str!("documents/introspection.graphql");

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/documents");

/// What the documents ask for: `Type.field`, `Type.field(argument)`, and `... on Type`.
#[derive(Default)]
struct Asked(BTreeSet<String>);

impl Asked {
    fn note(&mut self, set: &SelectionSet) {
        for selection in &set.selections {
            match selection {
                Selection::Field(field) => {
                    self.0.insert(format!("{}.{}", set.ty, field.name));
                    for argument in &field.arguments {
                        self.0
                            .insert(format!("{}.{}({})", set.ty, field.name, argument.name));
                    }
                    self.note(&field.selection_set);
                }
                Selection::InlineFragment(fragment) => {
                    self.0.extend(
                        fragment
                            .type_condition
                            .iter()
                            .map(|ty| format!("... on {ty}")),
                    );
                    self.note(&fragment.selection_set);
                }
                Selection::FragmentSpread(_) => {} // its fragment is noted by itself
            }
        }
    }

    fn has(&self, what: &str) -> bool {
        self.0.contains(what)
    }
}

/// By name: what is in the folder, whether a test includes it or not.
fn files() -> BTreeMap<String, String> {
    std::fs::read_dir(FOLDER)
        .expect("the folder of documents")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, std::fs::read_to_string(path).expect("a text"))
        })
        .collect()
}

fn schema() -> Valid<Schema> {
    Schema::parse_and_validate(shop_api::graphql::sdl(), "schema.graphql").expect("a valid schema")
}

fn asked(schema: &Valid<Schema>) -> Asked {
    let mut asked = Asked::default();
    for (name, text) in files() {
        let document = ExecutableDocument::parse_and_validate(schema, text, &name)
            .unwrap_or_else(|problems| panic!("{name} does not fit the schema: {problems}"));
        document
            .operations
            .iter()
            .for_each(|operation| asked.note(&operation.selection_set));
        document
            .fragments
            .values()
            .for_each(|fragment| asked.note(&fragment.selection_set));
    }
    asked
}

/// Fields of objects and interfaces, each with the interfaces it may be asked for through.
fn fields(schema: &Schema) -> Vec<(String, &FieldDefinition, Vec<String>)> {
    let mut all = Vec::new();
    for (name, ty) in schema.types.iter().filter(|(_, ty)| !ty.is_built_in()) {
        let (fields, interfaces) = match ty {
            ExtendedType::Object(object) => (&object.fields, &object.implements_interfaces),
            ExtendedType::Interface(interface) => {
                (&interface.fields, &interface.implements_interfaces)
            }
            _ => continue,
        };
        let through: Vec<_> = interfaces
            .iter()
            .map(|interface| interface.name.to_string())
            .collect();
        for field in fields.values() {
            all.push((name.to_string(), &***field, through.clone()));
        }
    }
    all
}

#[test]
fn every_field_and_argument_of_the_schema_is_asked_for() {
    let schema = schema();
    let asked = asked(&schema);
    let mut forgotten = Vec::new();
    for (ty, field, interfaces) in fields(&schema) {
        let through = |owner: &String| asked.has(&format!("{owner}.{}", field.name));
        if !through(&ty) && !interfaces.iter().any(through) {
            forgotten.push(format!("{ty}.{}", field.name));
        }
        for argument in &field.arguments {
            let name = format!("{ty}.{}({})", field.name, argument.name);
            forgotten.extend((!asked.has(&name)).then_some(name));
        }
    }
    assert!(
        forgotten.is_empty(),
        "no document in {FOLDER} asks for {forgotten:#?}"
    );
}

#[test]
fn every_type_of_mutation_error_is_asked_for() {
    let schema = schema();
    let asked = asked(&schema);
    let implementers = schema.implementers_map();
    let forgotten: Vec<_> = implementers["MutationError"]
        .objects
        .iter()
        .filter(|name| !asked.has(&format!("... on {name}")))
        .collect();
    assert!(
        forgotten.is_empty(),
        "no document in {FOLDER} asks for {forgotten:#?}"
    );
}

/// What stands in the README is tried by people who have nothing else yet.
#[test]
fn what_the_readme_shows_fits_the_schema() {
    let schema = schema();
    let readme = include_str!("../../../README.md");
    let between = |begin: &'static str, end: &'static str| {
        let shown = readme.split(begin).skip(1);
        shown.filter_map(move |rest| Some(rest.split_once(end)?.0))
    };
    let shown: Vec<&str> = between("gql`", "`")
        .chain(between("\"query\": \"", "\""))
        .collect();
    assert!(shown.len() >= 6, "only {shown:#?}");
    for document in shown {
        if let Err(problems) = ExecutableDocument::parse_and_validate(&schema, document, "README") {
            panic!("{document} does not fit the schema: {problems}");
        }
    }
}

/// The compiler tells of a constant that no test uses; this of a file that has none.
#[test]
fn every_document_is_included_by_a_test() {
    let source = include_str!("documents.rs");
    let forgotten: Vec<_> = files()
        .into_keys()
        .filter(|name| !source.contains(&format!("include_str!(\"documents/{name}\")")))
        .collect();
    assert!(forgotten.is_empty(), "no test includes {forgotten:#?}");
}
