//! The schema by itself: printed as committed, described throughout.

use apollo_compiler::Schema;
use apollo_compiler::schema::ExtendedType;

/// What stands at the top of the repository.
const COMMITTED: &str = include_str!("../../../schema.graphql");

#[test]
fn the_committed_schema_is_up_to_date() {
    let printed = shop_api::graphql::sdl();
    if printed != COMMITTED {
        let line = printed
            .lines()
            .zip(COMMITTED.lines())
            .position(|(now, then)| now != then);
        panic!(
            "schema.graphql is out of date from line {}: run `make schema`",
            line.map_or(0, |line| line + 1)
        );
    }
}

#[test]
fn everything_is_described() {
    let schema = Schema::parse_and_validate(COMMITTED, "schema.graphql").expect("a valid schema");
    let mut bare = Vec::new();
    let mut look = |name: String, described: bool| bare.extend((!described).then_some(name));
    for (name, ty) in schema.types.iter().filter(|(_, ty)| !ty.is_built_in()) {
        look(name.to_string(), ty.description().is_some());
        let fields = match ty {
            ExtendedType::Object(object) => &object.fields,
            ExtendedType::Interface(interface) => &interface.fields,
            ExtendedType::Enum(words) => {
                for (word, value) in &words.values {
                    look(format!("{name}.{word}"), value.description.is_some());
                }
                continue;
            }
            ExtendedType::InputObject(input) => {
                for (field, definition) in &input.fields {
                    look(format!("{name}.{field}"), definition.description.is_some());
                }
                continue;
            }
            ExtendedType::Scalar(_) | ExtendedType::Union(_) => continue,
        };
        for (field, definition) in fields {
            look(format!("{name}.{field}"), definition.description.is_some());
            for argument in &definition.arguments {
                look(
                    format!("{name}.{field}({})", argument.name),
                    argument.description.is_some(),
                );
            }
        }
    }
    assert!(bare.is_empty(), "without a description: {bare:#?}");
}
