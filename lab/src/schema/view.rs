//! Looking things up in both versions.

use apollo_compiler::Schema;
use apollo_compiler::ast::{FieldDefinition, InputValueDefinition, Type};
use apollo_compiler::schema::ExtendedType;

/// The two versions that are compared.
#[derive(Debug)]
pub struct Versions {
    /// The one that clients know.
    pub base: Schema,
    /// The new one.
    pub head: Schema,
}

/// A field of a type, whatever its direction.
pub(super) enum Field<'a> {
    /// Of an object or interface.
    Output(&'a FieldDefinition),
    /// Of an input object.
    Input(&'a InputValueDefinition),
}

impl Field<'_> {
    pub(super) fn ty(&self) -> &Type {
        match self {
            Field::Output(field) => &field.ty,
            Field::Input(field) => &field.ty,
        }
    }
}

/// The word for the kind of a type.
pub(super) fn kind_of(schema: &Schema, name: &str) -> Option<&'static str> {
    Some(match schema.types.get(name)? {
        ExtendedType::Scalar(_) => "scalar",
        ExtendedType::Object(_) => "type",
        ExtendedType::Interface(_) => "interface",
        ExtendedType::Union(_) => "union",
        ExtendedType::Enum(_) => "enum",
        ExtendedType::InputObject(_) => "input",
    })
}

/// A field of an object, interface or input object.
pub(super) fn field<'a>(schema: &'a Schema, ty: &str, name: &str) -> Option<Field<'a>> {
    match schema.types.get(ty)? {
        ExtendedType::Object(object) => object.fields.get(name).map(|f| Field::Output(f)),
        ExtendedType::Interface(interface) => interface.fields.get(name).map(|f| Field::Output(f)),
        ExtendedType::InputObject(input) => input.fields.get(name).map(|f| Field::Input(f)),
        ExtendedType::Scalar(_) | ExtendedType::Union(_) | ExtendedType::Enum(_) => None,
    }
}

/// An argument of a field.
pub(super) fn argument<'a>(
    schema: &'a Schema,
    ty: &str,
    field_name: &str,
    name: &str,
) -> Option<&'a InputValueDefinition> {
    let Field::Output(field) = field(schema, ty, field_name)? else {
        return None;
    };
    field
        .arguments
        .iter()
        .find(|argument| argument.name == name)
        .map(|argument| &**argument)
}
