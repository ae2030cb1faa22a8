//! What every mutation may be sent with: a key, so that it can be sent again, and the version it is meant for.

use async_graphql::{Context, InputObject};
use shop_core::commands::Call;
use shop_core::db::idempotency::Key;
use shop_core::domain::refusal::path;
use shop_core::domain::{Refusal, Version};

use crate::graphql::ContextExt as _;
use crate::graphql::scalar::{Int, Uuid};

/// What the creation of something may be sent with.
#[derive(Debug, InputObject)]
pub(super) struct CreationTerms {
    /// A UUID that you make for this one change. Sent again with the same key, the change is not made again and answers
    /// what it answered; with another content it is refused. Keys are kept for a day, unless the shop is set otherwise.
    idempotency_key: Option<Uuid>,
}

/// What a change of something may be sent with.
#[derive(Debug, InputObject)]
pub(super) struct ChangeTerms {
    /// A UUID that you make for this one change. Sent again with the same key, the change is not made again and answers
    /// what it answered; with another content it is refused. Keys are kept for a day, unless the shop is set otherwise.
    idempotency_key: Option<Uuid>,
    /// The `version` that you have seen of what is changed (`adjustStock`: that of its `stock`): refused if it is another
    /// by now.
    expected_version: Option<Int>,
}

impl CreationTerms {
    /// The call of a command, now.
    pub fn call(&self, ctx: &Context<'_>) -> Call {
        let key = self.idempotency_key.map(|Uuid(key)| Key {
            principal: ctx.principal(),
            key,
            ttl: ctx.app().idempotency_ttl,
        });
        Call { key, ..ctx.call() }
    }
}

impl ChangeTerms {
    /// The call of a command, now.
    pub fn call(&self, ctx: &Context<'_>) -> Result<Call, Refusal> {
        let creation = CreationTerms {
            idempotency_key: self.idempotency_key,
        };
        let expected_version = self.expected_version.map(version).transpose()?;
        Ok(Call {
            expected_version,
            ..creation.call(ctx)
        })
    }
}

fn version(number: Int) -> Result<Version, Refusal> {
    Version::try_from(number)
        .ok()
        .filter(|version| *version > 0)
        .ok_or_else(|| {
            let problem = "must be a version: 1 or more";
            Refusal::invalid(path([&"expectedVersion"]), problem)
        })
}
