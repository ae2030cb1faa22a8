//! Compares two versions of the GraphQL contract and says of each change whether clients break.
//!
//! The comparison is the crate `graphql-schema-diff`'s; [`table`] says what each of its kinds means to a client, [`beyond`]
//! adds what it does not look at, [`variance`] decides changes of a type by their direction.
//!
//! To add a rule: 1. a row in [`table`] (the compiler asks for one per kind), 2. a case in `tests/it/schema_check`.

pub mod beyond;
pub mod finding;
pub mod report;
pub mod source;
pub mod table;
pub mod variance;
mod view;

use anyhow::{Context, bail};
use apollo_compiler::Schema;
use apollo_compiler::ast::Document;

pub use finding::{Finding, Severity};
pub use view::Versions;

/// Lists every change from one schema text to another, the worst first.
///
/// # Errors
/// If one of them is no valid, complete GraphQL schema; the message names which, and where.
pub fn compare(base: &str, head: &str) -> anyhow::Result<Vec<Finding>> {
    let versions = Versions {
        base: read(base).context("the base is not a schema that can be compared")?,
        head: read(head).context("the head is not a schema that can be compared")?,
    };
    let changes = graphql_schema_diff::diff(base, head)
        .map_err(|error| anyhow::anyhow!("the comparison could not read a schema: {error:?}"))?;

    let mut findings: Vec<Finding> = changes
        .iter()
        .filter_map(|change| table::judge(change, &versions))
        .collect();
    findings.extend(beyond::judge(&versions));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

fn read(text: &str) -> anyhow::Result<Schema> {
    let parse = |text: &str, name: &str| {
        Document::parse(text, name).map_err(|problem| anyhow::anyhow!("{}", problem.errors))
    };
    let mut document = parse(text, "schema.graphql")?;
    // The comparison keeps only one list of interfaces per type, so a split definition would be compared by halves.
    if let Some(extension) = document
        .definitions
        .iter()
        .find(|definition| definition.is_extension_definition())
    {
        let name = extension.name().map_or("schema", |name| name.as_str());
        bail!("`extend {name}`: write each definition whole, as `api schema` prints it");
    }
    // Built in since September 2025, which this parser does not know yet.
    let one_of = parse("directive @oneOf on INPUT_OBJECT", "built_in.graphql")?;
    if !document.definitions.iter().any(|definition| {
        definition
            .as_directive_definition()
            .is_some_and(|directive| directive.name == "oneOf")
    }) {
        document.definitions.extend(one_of.definitions);
    }
    let schema = document
        .to_schema_validate()
        .map_err(|problem| anyhow::anyhow!("{}", problem.errors))?;
    Ok(schema.into_inner())
}
