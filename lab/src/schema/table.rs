//! What each kind of change means to clients: one row per kind that the comparison reports.
//!
//! Checked against the GraphQL specification (September 2025) and, case by case of `tests/it/schema_check`, against
//! graphql-js 16.15 (`findBreakingChanges`, `findDangerousChanges`). Nothing that graphql-js reports is judged milder here.
//! Stricter, since the specification or plain use of the schema asks for it:
//! - an argument or input field that loses its default and is non-null becomes required: breaking (there: dangerous, or silent);
//! - a default of an input field that changes, one that is new on an optional argument or input field: dangerous (there: silent);
//! - a root type that goes or changes, `@oneOf` on an input that had none, an argument of a directive that becomes
//!   required: breaking (there: silent);
//! - a scalar's `@specifiedBy`, a directive of our own put on or taken off: dangerous (there: silent).

use std::borrow::Cow;

use apollo_compiler::ast::InputValueDefinition;
use graphql_schema_diff::path::{Path, PathInArgument, PathInField, PathInType};
use graphql_schema_diff::{Change, ChangeKind};

use super::finding::Severity::{Breaking, Dangerous, Safe};
use super::finding::{Finding, Severity, Verdict};
use super::variance;
use super::view::{self, Field, Versions};

/// How a kind of change is judged.
enum Rule {
    /// Always the same: severity, what changed, why.
    Fixed(Severity, &'static str, &'static str),
    /// By what stands there in both versions.
    By(fn(&Versions, &Path<'_>) -> Option<Verdict>),
    /// Reported by [`super::beyond`], which sees more.
    Elsewhere,
}

/// Judges one reported change; `None` if another finding covers it.
pub fn judge(change: &Change, versions: &Versions) -> Option<Finding> {
    let Ok(path) = Path::parse(&change.path) else {
        // Never seen; rather a finding too many than a change that nobody hears of.
        let verdict = Verdict::new(
            Breaking,
            change.kind.as_str(),
            "the place of the change is unclear",
        );
        return Some(verdict.at(change.path.clone()));
    };
    let verdict = match rule(change.kind) {
        Rule::Fixed(severity, what, reason) => Some(Verdict::new(severity, what, reason)),
        Rule::By(decide) => decide(versions, &path),
        Rule::Elsewhere => None,
    };
    verdict.map(|verdict| verdict.at(coordinate(change.kind, &path)))
}

const REMOVED_TYPE: &str = "documents, fragments and variables that name it are refused now";
const NEW_TYPE: &str = "no document names it yet";
const ROOT: &str =
    "the schema definition is written another way; its root types are judged by themselves";

fn rule(kind: ChangeKind) -> Rule {
    use ChangeKind as K;
    use Rule::{By, Elsewhere, Fixed};
    match kind {
        K::ChangeQueryType | K::ChangeMutationType | K::ChangeSubscriptionType => Elsewhere,
        K::AddSchemaDefinition | K::RemoveSchemaDefinition => {
            Fixed(Safe, "schema definition added or removed", ROOT)
        }
        // Extensions are refused when a schema is read.
        K::AddSchemaExtension | K::RemoveSchemaExtension => Fixed(
            Dangerous,
            "schema extension added or removed",
            "extensions are not compared",
        ),

        K::RemoveObjectType
        | K::RemoveUnion
        | K::RemoveEnum
        | K::RemoveScalar
        | K::RemoveInterface
        | K::RemoveInputObject => By(removed_type),
        K::AddObjectType
        | K::AddUnion
        | K::AddEnum
        | K::AddScalar
        | K::AddInterface
        | K::AddInputObject => By(added_type),

        K::RemoveField => Fixed(
            Breaking,
            "field removed",
            "documents that name it are refused now",
        ),
        K::AddField => By(added_field),
        K::ChangeFieldType => By(changed_field_type),

        K::RemoveFieldArgument => Fixed(
            Breaking,
            "argument removed",
            "documents that pass it are refused now",
        ),
        K::AddFieldArgument => By(added_argument),
        K::ChangeFieldArgumentType => By(changed_argument_type),
        K::AddFieldArgumentDefault
        | K::RemoveFieldArgumentDefault
        | K::ChangeFieldArgumentDefault => By(changed_argument_default),

        K::RemoveEnumValue => Fixed(
            Breaking,
            "enum value removed",
            "documents and variables that use it are refused now",
        ),
        K::AddEnumValue => Fixed(
            Dangerous,
            "enum value added",
            "a client that lists all values meets one it does not know",
        ),
        K::RemoveUnionMember => Fixed(
            Breaking,
            "union member removed",
            "fragments on it are refused now",
        ),
        K::AddUnionMember => Fixed(
            Dangerous,
            "union member added",
            "a client that lists all members meets one it does not know",
        ),
        K::RemoveInterfaceImplementation => By(|_, path| {
            let change = format!("no longer implements {}", interface(path)?);
            Some(Verdict::new(
                Breaking,
                change,
                "fragments on it there are refused now",
            ))
        }),
        K::AddInterfaceImplementation => By(|_, path| {
            let change = format!("implements {} now", interface(path)?);
            let reason =
                "a client that lists all types of the interface meets one it does not know";
            Some(Verdict::new(Dangerous, change, reason))
        }),

        K::RemoveDirectiveDefinition => By(removed_directive),
        K::AddDirectiveDefinition => Fixed(Safe, "directive added", "no document uses it yet"),
        K::AddDirective => By(|_, path| applied_directive(path, true)),
        K::RemoveDirective => By(|_, path| applied_directive(path, false)),
        K::ChangeDescription => Fixed(Safe, "description changed", "words for people"),
    }
}

fn removed_type(versions: &Versions, path: &Path<'_>) -> Option<Verdict> {
    let Path::TypeDefinition(name, None) = path else {
        return None;
    };
    let old = view::kind_of(&versions.base, name)?;
    if is_built_in_scalar(name) {
        return Some(Verdict::new(
            Safe,
            "definition not printed any more",
            "it is built in",
        ));
    }
    Some(match view::kind_of(&versions.head, name) {
        None => Verdict::new(Breaking, format!("{old} removed"), REMOVED_TYPE),
        Some(new) => {
            let change = format!("changed from {old} to {new}");
            Verdict::new(
                Breaking,
                change,
                "documents that use it as what it was are refused now",
            )
        }
    })
}

fn added_type(versions: &Versions, path: &Path<'_>) -> Option<Verdict> {
    let Path::TypeDefinition(name, None) = path else {
        return None;
    };
    if view::kind_of(&versions.base, name).is_some() && !is_built_in_scalar(name) {
        return None; // another kind of type now: said where the old one went
    }
    let kind = view::kind_of(&versions.head, name)?;
    Some(Verdict::new(Safe, format!("{kind} added"), NEW_TYPE))
}

fn added_field(versions: &Versions, path: &Path<'_>) -> Option<Verdict> {
    let Path::TypeDefinition(ty, Some(PathInType::InField(name, None))) = path else {
        return None;
    };
    Some(match view::field(&versions.head, ty, name)? {
        Field::Output(_) => Verdict::new(Safe, "field added", "no document selects it yet"),
        Field::Input(field) => added_input("input field", field),
    })
}

fn added_argument(versions: &Versions, path: &Path<'_>) -> Option<Verdict> {
    let (ty, field, name) = argument_path(path)?;
    Some(added_input(
        "argument",
        view::argument(&versions.head, ty, field, name)?,
    ))
}

/// Judges a new argument or input field.
pub(super) fn added_input(what: &str, input: &InputValueDefinition) -> Verdict {
    if input.is_required() {
        let change = format!("required {what} added, {}", input.ty);
        return Verdict::new(
            Breaking,
            change,
            "documents and variables without it are refused now",
        );
    }
    let change = format!("optional {what} added, {}", input.ty);
    Verdict::new(
        Dangerous,
        change,
        "what leaving it out means is the server's choice",
    )
}

fn changed_field_type(versions: &Versions, path: &Path<'_>) -> Option<Verdict> {
    let Path::TypeDefinition(ty, Some(PathInType::InField(name, None))) = path else {
        return None;
    };
    let old = view::field(&versions.base, ty, name)?;
    let new = view::field(&versions.head, ty, name)?;
    Some(match (&old, &new) {
        (Field::Input(_), Field::Input(_)) => variance::input_change(old.ty(), new.ty()),
        _ => variance::output_change(old.ty(), new.ty()),
    })
}

fn changed_argument_type(versions: &Versions, path: &Path<'_>) -> Option<Verdict> {
    let (ty, field, name) = argument_path(path)?;
    let old = view::argument(&versions.base, ty, field, name)?;
    let new = view::argument(&versions.head, ty, field, name)?;
    Some(variance::input_change(&old.ty, &new.ty))
}

fn changed_argument_default(versions: &Versions, path: &Path<'_>) -> Option<Verdict> {
    let (ty, field, name) = argument_path(path)?;
    let old = view::argument(&versions.base, ty, field, name)?;
    let new = view::argument(&versions.head, ty, field, name)?;
    changed_default(old, new)
}

/// Judges the default value of an argument or input field that was there before; `None` if it is the same.
pub(super) fn changed_default(
    old: &InputValueDefinition,
    new: &InputValueDefinition,
) -> Option<Verdict> {
    let verdict = match (&old.default_value, &new.default_value) {
        (Some(before), Some(after)) if before == after => return None,
        (None, None) => return None,
        (Some(before), Some(after)) => Verdict::new(
            Dangerous,
            format!("default changed from {before} to {after}"),
            "leaving it out means something else",
        ),
        (Some(before), None) if new.is_required() => Verdict::new(
            Breaking,
            format!("default {before} removed, so it is required"),
            "leaving it out is refused now",
        ),
        (Some(before), None) => Verdict::new(
            Dangerous,
            format!("default {before} removed"),
            "leaving it out means something else",
        ),
        (None, Some(after)) if old.is_required() => Verdict::new(
            Safe,
            format!("default {after} added"),
            "it had to be given before and may be left out now",
        ),
        (None, Some(after)) => Verdict::new(
            Dangerous,
            format!("default {after} added"),
            "leaving it out means something else",
        ),
    };
    Some(verdict)
}

fn removed_directive(_: &Versions, path: &Path<'_>) -> Option<Verdict> {
    let (Path::TypeDefinition(name, None) | Path::DirectiveDefinition(name)) = path else {
        return None;
    };
    if ["skip", "include", "deprecated", "specifiedBy", "oneOf"].contains(name) {
        return Some(Verdict::new(
            Safe,
            "definition not printed any more",
            "it is built in",
        ));
    }
    Some(Verdict::new(
        Breaking,
        "directive removed",
        "documents that use it are refused now",
    ))
}

fn applied_directive(path: &Path<'_>, added: bool) -> Option<Verdict> {
    let name = applied(path)?;
    let change = format!("@{name} {}", if added { "added" } else { "removed" });
    Some(match (name, added) {
        ("deprecated", _) => Verdict::new(
            Safe,
            change,
            "it works as before; tools warn or stop warning",
        ),
        ("oneOf", true) => Verdict::new(
            Breaking,
            change,
            "values with none or several of its fields are refused now",
        ),
        ("oneOf", false) => Verdict::new(Safe, change, "every value that was accepted still is"),
        ("specifiedBy", _) => {
            Verdict::new(Dangerous, change, "the scalar may be written another way")
        }
        _ => Verdict::new(Dangerous, change, "what it does is the server's choice"),
    })
}

fn applied<'a>(path: &Path<'a>) -> Option<&'a str> {
    let Path::TypeDefinition(_, Some(inner)) = path else {
        return None;
    };
    match inner {
        PathInType::InDirective(name, _)
        | PathInType::InField(
            _,
            Some(
                PathInField::InDirective(name, _)
                | PathInField::InArgument(_, Some(PathInArgument::InDirective(name, _))),
            ),
        ) => Some(name),
        _ => None,
    }
}

fn interface<'a>(path: &Path<'a>) -> Option<&'a str> {
    match path {
        Path::TypeDefinition(_, Some(PathInType::InterfaceImplementation(name))) => Some(name),
        _ => None,
    }
}

fn argument_path<'a>(path: &Path<'a>) -> Option<(&'a str, &'a str, &'a str)> {
    match path {
        Path::TypeDefinition(
            ty,
            Some(PathInType::InField(field, Some(PathInField::InArgument(name, _)))),
        ) => Some((ty, field, name)),
        _ => None,
    }
}

fn is_built_in_scalar(name: &str) -> bool {
    ["Int", "Float", "String", "Boolean", "ID"].contains(&name)
}

/// The schema coordinate of a place, as the specification writes it.
fn coordinate(kind: ChangeKind, path: &Path<'_>) -> Cow<'static, str> {
    let at_directive = matches!(
        kind,
        ChangeKind::AddDirectiveDefinition | ChangeKind::RemoveDirectiveDefinition
    );
    match path {
        Path::SchemaDefinition | Path::SchemaExtension(_) => "schema".into(),
        Path::TypeDefinition(name, None) if at_directive => format!("@{name}").into(),
        Path::DirectiveDefinition(name) => format!("@{name}").into(),
        Path::TypeDefinition(ty, inner) | Path::TypeExtension(ty, _, inner) => match inner {
            None | Some(PathInType::InDirective(..) | PathInType::InterfaceImplementation(_)) => {
                (*ty).to_owned().into()
            }
            Some(PathInType::InField(field, Some(PathInField::InArgument(argument, _)))) => {
                format!("{ty}.{field}({argument}:)").into()
            }
            Some(PathInType::InField(field, _)) => format!("{ty}.{field}").into(),
        },
    }
}
