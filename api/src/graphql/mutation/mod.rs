//! What clients can change. A resolver parses its input, runs one command and renders the outcome; rules live in `core`.
//!
//! To add a mutation: 1. the command, 2. Input (with `terms`), Payload and resolver in the noun's file here, 3. a document in
//! `tests/it/documents`, 4. `make schema`.

mod orders;
mod products;
mod terms;
mod users;

use std::str::FromStr;

use async_graphql::{ID, MergedObject};
use shop_core::commands::CommandError;
use shop_core::db::StoreError;
use shop_core::domain::Refusal;

use super::error::ApiError;
use super::model::MutationError;

/// The mutations. Each takes one input, changes the write side in one transaction and answers without waiting for the
/// views that queries read.
#[derive(Debug, Default, MergedObject)]
pub struct Mutation(
    users::UserMutation,
    products::ProductMutation,
    orders::OrderMutation,
);

/// Renders a command's outcome: a refusal is data, anything else that fails is an error.
fn answer<T, P: From<Result<T, MutationError>>>(
    outcome: Result<T, CommandError>,
) -> Result<P, ApiError> {
    match outcome {
        Ok(value) => Ok(P::from(Ok(value))),
        Err(CommandError::Refused(refusal)) => Ok(P::from(Err(refusal.into()))),
        Err(error @ CommandError::Unavailable(StoreError::InDoubt(_))) => {
            Err(ApiError::outcome_unknown(error))
        }
        Err(error @ CommandError::Unavailable(_)) => Err(ApiError::unavailable(error)),
        Err(error @ CommandError::Internal(_)) => Err(ApiError::internal(error)),
    }
}

/// Reads an id; the path is the input field that holds it.
fn parse_id<T: FromStr<Err: std::fmt::Display>>(id: &ID, path: &[&str]) -> Result<T, Refusal> {
    id.as_str().parse().map_err(|problem: T::Err| {
        Refusal::invalid(
            path.iter().copied().map(str::to_owned).collect(),
            problem.to_string(),
        )
    })
}

/// The object of an outcome and its errors, as payloads hold them.
fn split<T, O>(
    outcome: Result<T, MutationError>,
    render: impl FnOnce(T) -> O,
) -> (Option<O>, Vec<MutationError>) {
    match outcome {
        Ok(value) => (Some(render(value)), Vec::new()),
        Err(error) => (None, vec![error]),
    }
}
