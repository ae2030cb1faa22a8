//! What the comparison does not look at: defaults of input fields, the inside of directive definitions, root types that
//! are named or left to their default names.

use apollo_compiler::Schema;
use apollo_compiler::ast::DirectiveDefinition;
use apollo_compiler::schema::{ComponentName, ExtendedType};

use super::finding::Severity::{Breaking, Safe};
use super::finding::{Finding, Verdict};
use super::view::Versions;
use super::{table, variance};

/// Judges all of it.
pub fn judge(versions: &Versions) -> Vec<Finding> {
    let mut findings = Vec::new();
    roots(versions, &mut findings);
    input_field_defaults(versions, &mut findings);
    for (name, old) in &versions.base.directive_definitions {
        if let Some(new) = versions.head.directive_definitions.get(name) {
            directive(old, new, &mut findings);
        }
    }
    findings
}

fn roots(versions: &Versions, findings: &mut Vec<Finding>) {
    let of = |schema: &Schema| {
        let roots = &schema.schema_definition;
        let name = |root: &Option<ComponentName>| root.as_ref().map(|root| root.name.to_string());
        [
            name(&roots.query),
            name(&roots.mutation),
            name(&roots.subscription),
        ]
    };
    let pairs = of(&versions.base).into_iter().zip(of(&versions.head));
    for (word, (old, new)) in ["query", "mutation", "subscription"].into_iter().zip(pairs) {
        let verdict = match (old, new) {
            (old, new) if old == new => continue,
            (Some(old), None) => Verdict::new(
                Breaking,
                format!("root type {old} of {word} operations removed"),
                "all of its operations are refused now",
            ),
            (Some(old), Some(new)) => Verdict::new(
                Breaking,
                format!("root type of {word} operations changed from {old} to {new}"),
                "fragments on the old one are refused now",
            ),
            (_, new) => Verdict::new(
                Safe,
                format!(
                    "root type {} of {word} operations added",
                    new.unwrap_or_default()
                ),
                "no document uses it yet",
            ),
        };
        findings.push(verdict.at("schema"));
    }
}

fn input_field_defaults(versions: &Versions, findings: &mut Vec<Finding>) {
    for (name, old) in &versions.base.types {
        let (ExtendedType::InputObject(old), Some(ExtendedType::InputObject(new))) =
            (old, versions.head.types.get(name))
        else {
            continue;
        };
        for (field, before) in &old.fields {
            let Some(after) = new.fields.get(field) else {
                continue;
            };
            let verdict = table::changed_default(before, after);
            findings.extend(verdict.map(|verdict| verdict.at(format!("{name}.{field}"))));
        }
    }
}

fn directive(old: &DirectiveDefinition, new: &DirectiveDefinition, findings: &mut Vec<Finding>) {
    let name = &old.name;
    for location in old
        .locations
        .iter()
        .filter(|location| !new.locations.contains(location))
    {
        let change = format!("location {location} removed");
        let verdict = Verdict::new(
            Breaking,
            change,
            "documents that use it there are refused now",
        );
        findings.push(verdict.at(format!("@{name}")));
    }
    for location in new
        .locations
        .iter()
        .filter(|location| !old.locations.contains(location))
    {
        let verdict = Verdict::new(
            Safe,
            format!("location {location} added"),
            "no document uses it there yet",
        );
        findings.push(verdict.at(format!("@{name}")));
    }
    match (old.repeatable, new.repeatable) {
        (true, false) => {
            let reason = "documents that repeat it are refused now";
            findings.push(
                Verdict::new(Breaking, "not repeatable any more", reason).at(format!("@{name}")),
            );
        }
        (false, true) => {
            let verdict = Verdict::new(Safe, "repeatable now", "no document repeats it yet");
            findings.push(verdict.at(format!("@{name}")));
        }
        _ => {}
    }
    for before in &old.arguments {
        let at = format!("@{name}({}:)", before.name);
        let Some(after) = new
            .arguments
            .iter()
            .find(|argument| argument.name == before.name)
        else {
            let reason = "documents that pass it are refused now";
            findings.push(Verdict::new(Breaking, "argument removed", reason).at(at));
            continue;
        };
        if before.ty != after.ty {
            findings.push(variance::input_change(&before.ty, &after.ty).at(at.clone()));
        }
        findings.extend(table::changed_default(before, after).map(|verdict| verdict.at(at)));
    }
    for after in &new.arguments {
        if !old
            .arguments
            .iter()
            .any(|argument| argument.name == after.name)
        {
            let at = format!("@{name}({}:)", after.name);
            findings.push(table::added_input("argument", after).at(at));
        }
    }
}
