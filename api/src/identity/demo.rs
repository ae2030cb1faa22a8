//! Tokens for those who try the shop out, signed with the secret that everybody knows. In production there is none of this: no
//! such secret, and so nothing to sign with.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;
use serde_json::json;
use shop_core::domain::UserId;
use shop_core::runtime::clock;
use shop_core::runtime::settings::{Environment, IdentitySettings, KNOWN_SECRET, TokenKeys};

use super::Role;

/// How long a token is good for that is handed out.
pub const GOOD_FOR: Duration = Duration::from_hours(12);

/// Who is named by the tokens of staff and administrators: users of the login, not of the shop.
const NOBODY: &str = "user_00000000-0000-7000-8000-00000000000";

/// Signs tokens.
#[derive(Clone)]
pub struct Signer {
    secret: String,
    issuer: String,
    audience: String,
    role_claim: String,
}

impl Signer {
    /// One that signs as the settings verify.
    ///
    /// # Errors
    /// In production, and if somebody else signs.
    pub fn new(environment: Environment, settings: &IdentitySettings) -> anyhow::Result<Self> {
        if environment == Environment::Production {
            bail!("ENV=production: tokens come from your login, not from here");
        }
        let secret = match &settings.keys {
            TokenKeys::Secret(secret) => secret,
            TokenKeys::EverybodyKnows => KNOWN_SECRET,
            TokenKeys::Published(_) => bail!("JWT_JWKS is set: whoever publishes the keys signs"),
        };
        Ok(Self {
            secret: secret.to_owned(),
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            role_claim: settings.role_claim.clone(),
        })
    }

    /// A token.
    ///
    /// # Errors
    /// If it can not be signed.
    pub fn sign(&self, user: UserId, role: Role, good_for: Duration) -> anyhow::Result<String> {
        let now = clock::now().millis() / 1_000;
        let until = now + i64::try_from(good_for.as_secs()).unwrap_or(i64::MAX / 2);
        let mut claims = json!({
            "sub": user.to_string(),
            "iss": self.issuer,
            "aud": self.audience,
            "iat": now,
            "exp": until,
        });
        // Nested, if the claim is.
        let mut names = self.role_claim.rsplit('.');
        let last = names.next().unwrap_or_default();
        let spot = names.fold((last, json!(role.word())), |(name, value), outer| {
            (outer, json!({ (name): value }))
        });
        claims[spot.0] = spot.1;
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        encode(&Header::new(Algorithm::HS256), &claims, &key).context("failed to sign a token")
    }
}

/// The user that the tokens of a role name when no other is given.
pub fn user_of(role: Role) -> UserId {
    let id = format!("{NOBODY}{}", role as u8);
    id.parse()
        .unwrap_or_else(|_| UserId::from_uuid(uuid::Uuid::nil()))
}

/// A token of each role, for the pages and for whoever runs the shop to try it.
#[derive(Debug, Clone, Serialize)]
pub struct Tokens {
    customer: String,
    staff: String,
    admin: String,
}

impl Tokens {
    /// Signs them; the customer's names this user.
    ///
    /// # Errors
    /// If they can not be signed.
    pub fn sign(signer: &Signer, customer: UserId) -> anyhow::Result<Self> {
        let sign = |user, role| signer.sign(user, role, GOOD_FOR);
        Ok(Self {
            customer: sign(customer, Role::Customer)?,
            staff: sign(user_of(Role::Staff), Role::Staff)?,
            admin: sign(user_of(Role::Admin), Role::Admin)?,
        })
    }

    /// Each with its role.
    pub fn by_role(&self) -> [(Role, &str); 3] {
        [
            (Role::Customer, &self.customer),
            (Role::Staff, &self.staff),
            (Role::Admin, &self.admin),
        ]
    }
}
