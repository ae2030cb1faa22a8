//! What is looked at before a document is parsed, so that refusing costs less than the smallest answer.
//!
//! `values` counts what a body holds before it is read, `tokens` reads a document token by token, `sketch` counts what it is made of,
//! `spreads` what it asks for with its fragments, and `excess` says what is told. The numbers stand in [`Limits`](crate::graphql::Limits).
//! To add a limit: 1. its number there, 2. a variant of [`Excess`] with its code and words, 3. where it is counted, 4. a document in
//! `tests/it/hostile.rs`.

mod excess;
mod sketch;
mod spreads;
#[cfg(test)]
mod tests;
mod tokens;
pub mod values;

use std::any::TypeId;

use async_graphql::Request;
use async_graphql::parser::types::OperationType;

pub use self::excess::Excess;

use self::sketch::Definition;

/// What kind of operation is asked for; `None` if the request does not say which of several, or one that is not there.
///
/// # Errors
/// The first limit that the request goes beyond.
pub fn check(request: &Request) -> Result<Option<OperationType>, Excess> {
    if let Some(excess) = held::<Excess>(request) {
        return Err(excess.clone());
    }
    let definitions = sketch::read(&request.query)?;
    spreads::weigh(&definitions)?;
    let name = request.operation_name.as_deref();
    Ok(kind(&definitions, name.filter(|name| !name.is_empty())))
}

/// What a handler left with a request.
pub fn held<T: Send + Sync + 'static>(request: &Request) -> Option<&T> {
    request.data.get(&TypeId::of::<T>())?.downcast_ref()
}

fn kind(definitions: &[Definition<'_>], name: Option<&str>) -> Option<OperationType> {
    let mut operations = definitions.iter().filter(|it| it.operation.is_some());
    let found = match name {
        Some(name) => operations.find(|it| it.name == Some(name)),
        None => operations.next().filter(|_| operations.next().is_none()),
    };
    found.and_then(|definition| definition.operation)
}
