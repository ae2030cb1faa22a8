//! Mutations of users.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use shop_core::commands::users::{self, CreateUser, UpdateUser};
use shop_core::domain;

use super::terms::{ChangeTerms, CreationTerms};
use super::{answer, parse_id, split};
use crate::graphql::ContextExt as _;
use crate::graphql::model::{MutationError, User};
use crate::identity::Role;

/// A user to be created.
#[derive(Debug, InputObject)]
struct CreateUserInput {
    /// The name, 1 to 200 characters.
    name: String,
    /// The e-mail address; no other user may have it, compared without case.
    email: String,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: CreationTerms,
}

/// What became of `createUser`.
#[derive(Debug, SimpleObject)]
struct CreateUserPayload {
    /// The new user; null if refused.
    user: Option<User>,
    /// Why it was refused; empty if it was not.
    errors: Vec<MutationError>,
}

impl From<Result<domain::User, MutationError>> for CreateUserPayload {
    fn from(outcome: Result<domain::User, MutationError>) -> Self {
        let (user, errors) = split(outcome, User);
        Self { user, errors }
    }
}

/// A change of a user. A field that is left out, or null, stays as it is.
#[derive(Debug, InputObject)]
struct UpdateUserInput {
    /// Which user.
    id: ID,
    /// The new name, 1 to 200 characters.
    name: Option<String>,
    /// The new e-mail address; no other user may have it, compared without case.
    email: Option<String>,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: ChangeTerms,
}

/// What became of `updateUser`.
#[derive(Debug, SimpleObject)]
struct UpdateUserPayload {
    /// The user after the change; null if refused.
    user: Option<User>,
    /// Why it was refused; empty if it was not.
    errors: Vec<MutationError>,
}

impl From<Result<domain::User, MutationError>> for UpdateUserPayload {
    fn from(outcome: Result<domain::User, MutationError>) -> Self {
        let (user, errors) = split(outcome, User);
        Self { user, errors }
    }
}

/// A user to be deleted.
#[derive(Debug, InputObject)]
struct DeleteUserInput {
    /// Which user.
    id: ID,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: ChangeTerms,
}

/// What became of `deleteUser`.
#[derive(Debug, SimpleObject)]
struct DeleteUserPayload {
    /// The id of the deleted user; null if refused.
    deleted_id: Option<ID>,
    /// Why it was refused; empty if it was not.
    errors: Vec<MutationError>,
}

impl From<Result<domain::User, MutationError>> for DeleteUserPayload {
    fn from(outcome: Result<domain::User, MutationError>) -> Self {
        let (deleted_id, errors) = split(outcome, |user| user.id.to_string().into());
        Self { deleted_id, errors }
    }
}

/// Mutations of users.
#[derive(Debug, Default)]
pub(super) struct UserMutation;

#[Object]
impl UserMutation {
    /// Creates a user. For administrators.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user.")] input: CreateUserInput,
    ) -> Result<CreateUserPayload> {
        let call = input.terms.call(ctx);
        let cmd = CreateUser {
            name: input.name,
            email: input.email,
        };
        let outcome = users::create_user(ctx.db(), &call, cmd).await;
        Ok(answer(outcome)?)
    }

    /// Changes a user's name or e-mail address: one's own, or for administrators anybody's.
    async fn update_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: UpdateUserInput,
    ) -> Result<UpdateUserPayload> {
        let run = async || {
            let call = input
                .terms
                .call(ctx)?
                .reaching(ctx.caller().scope(Role::Admin));
            let id = parse_id(&input.id, &["id"])?;
            let cmd = UpdateUser {
                id,
                name: input.name,
                email: input.email,
            };
            users::update_user(ctx.db(), &call, cmd).await
        };
        Ok(answer(run().await)?)
    }

    /// Deletes a user who has no open orders, and scrubs what is personal: oneself, or for administrators anybody.
    async fn delete_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which user.")] input: DeleteUserInput,
    ) -> Result<DeleteUserPayload> {
        let run = async || {
            let call = input
                .terms
                .call(ctx)?
                .reaching(ctx.caller().scope(Role::Admin));
            let id = parse_id(&input.id, &["id"])?;
            users::delete_user(ctx.db(), &call, id).await
        };
        Ok(answer(run().await)?)
    }
}
