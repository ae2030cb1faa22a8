//! Changes of a type, by the direction in which values travel.
//!
//! The rules are those of the GraphQL specification for what a document may rely on, and of graphql-js
//! (`isChangeSafeForObjectOrInterfaceField`, `isChangeSafeForInputObjectFieldOrFieldArg`).

use apollo_compiler::ast::Type;

use super::finding::{Severity, Verdict};

/// Whether answers of the new type are answers of the old one: a promise may only become stronger.
pub fn output_is_compatible(old: &Type, new: &Type) -> bool {
    match (old, new) {
        (Type::Named(old), Type::Named(new) | Type::NonNullNamed(new))
        | (Type::NonNullNamed(old), Type::NonNullNamed(new)) => old == new,
        (Type::List(old), Type::List(new) | Type::NonNullList(new))
        | (Type::NonNullList(old), Type::NonNullList(new)) => output_is_compatible(old, new),
        _ => false,
    }
}

/// Whether values of the old type are values of the new one: a demand may only become weaker.
pub fn input_is_compatible(old: &Type, new: &Type) -> bool {
    output_is_compatible(new, old)
}

/// Judges the new type of an object's or interface's field.
pub fn output_change(old: &Type, new: &Type) -> Verdict {
    let change = format!("type changed from {old} to {new}");
    if output_is_compatible(old, new) {
        Verdict::new(
            Severity::Safe,
            change,
            "every answer is one that was possible before",
        )
    } else if output_is_compatible(new, old) {
        Verdict::new(
            Severity::Breaking,
            change,
            "null can come where clients rely on a value",
        )
    } else {
        Verdict::new(Severity::Breaking, change, "answers have another form")
    }
}

/// Judges the new type of an argument or input field.
pub fn input_change(old: &Type, new: &Type) -> Verdict {
    let change = format!("type changed from {old} to {new}");
    if input_is_compatible(old, new) {
        Verdict::new(
            Severity::Safe,
            change,
            "every value that was accepted still is",
        )
    } else if input_is_compatible(new, old) {
        Verdict::new(
            Severity::Breaking,
            change,
            "null, or leaving it out, is refused now",
        )
    } else {
        Verdict::new(
            Severity::Breaking,
            change,
            "values and variables of the old type are refused now",
        )
    }
}
