//! Verifies tokens.

use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation, decode, decode_header};
use shop_core::runtime::clock;
use shop_core::runtime::health::Health;
use shop_core::runtime::metrics::TOKENS_DENIED;
use shop_core::runtime::settings::{IdentitySettings, KNOWN_SECRET, TokenKeys};

use super::Caller;
use super::keys::{Key, KeySet};
use super::published::Published;
use super::token::{Claims, Denied, MOST_BYTES};

/// Verifies tokens by the settings. Clones share the keys.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    keys: Keys,
    issuer: String,
    audience: String,
    role_claim: String,
}

enum Keys {
    One(Key),
    Published(Published),
}

impl Verifier {
    /// One whose published keys are read as long as [`Verifier::run`] runs.
    pub fn new(settings: &IdentitySettings) -> Self {
        let keys = match &settings.keys {
            TokenKeys::Secret(secret) => Keys::One(Key::secret(secret)),
            TokenKeys::EverybodyKnows => Keys::One(Key::secret(KNOWN_SECRET)),
            TokenKeys::Published(source) => Keys::Published(Published::new(source.clone())),
        };
        Self(Arc::new(Inner {
            keys,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            role_claim: settings.role_claim.clone(),
        }))
    }

    /// Reads published keys for as long as the program runs.
    pub async fn run(&self) {
        match &self.0.keys {
            Keys::One(_) => std::future::pending().await,
            Keys::Published(published) => published.run().await,
        }
    }

    /// The program is not ready before published keys were read.
    pub fn probe_for(&self, health: &Health) {
        let Keys::Published(published) = &self.0.keys else {
            return;
        };
        let published = published.clone();
        health.register("keys", move || {
            let is_read = published.keys().is_some();
            async move {
                let problem = "the keys of tokens could not be read yet";
                is_read.then_some(()).ok_or_else(|| problem.to_owned())
            }
        });
    }

    /// Who a token names, now.
    ///
    /// # Errors
    /// Why it is not taken.
    pub async fn verify(&self, token: &str) -> Result<Caller, Denied> {
        let verified = self.check(token).await;
        if let Err(denied) = &verified {
            metrics::counter!(TOKENS_DENIED, "reason" => denied.word()).increment(1);
        }
        verified
    }

    async fn check(&self, token: &str) -> Result<Caller, Denied> {
        if token.len() > MOST_BYTES {
            return Err(Denied::TooLong);
        }
        let header = decode_header(token).map_err(|error| denied(error.kind()))?;
        if header.crit.is_some() {
            return Err(Denied::Malformed); // something must be understood that is not (RFC 7515, section 4.1.11)
        }
        match &self.0.keys {
            Keys::One(key) => self.check_with(token, &header, key),
            Keys::Published(published) => {
                let known = published.keys();
                let verified = self.check_among(token, &header, known.as_ref());
                if !might_be_new(&verified, &header) {
                    return verified;
                }
                published.renew().await;
                let renewed = published.keys();
                if is_same(known.as_ref(), renewed.as_ref()) {
                    return verified; // whoever makes up tokens has each checked once
                }
                self.check_among(token, &header, renewed.as_ref())
            }
        }
    }

    fn check_among(
        &self,
        token: &str,
        header: &Header,
        keys: Option<&Arc<KeySet>>,
    ) -> Result<Caller, Denied> {
        let keys = keys.ok_or(Denied::Unavailable)?;
        let mut verified = Err(Denied::UnknownKey);
        for key in keys.find(header.kid.as_deref(), header.alg)? {
            verified = self.check_with(token, header, key);
            if verified != Err(Denied::Signature) {
                break;
            }
        }
        verified
    }

    fn check_with(&self, token: &str, header: &Header, key: &Key) -> Result<Caller, Denied> {
        if header.alg != key.algorithm {
            return Err(Denied::Algorithm);
        }
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.0.issuer]);
        validation.set_audience(&[&self.0.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_exp = false; // below, to the millisecond
        let decoded = decode::<Claims>(token, &key.key, &validation);
        let decoded = decoded.map_err(|error| denied(error.kind()))?;
        decoded.claims.caller(clock::now(), &self.0.role_claim)
    }
}

/// Whether the token may be signed with a key that was published after they were read. One that names no key can fit none that is
/// known as well as a wrong one.
fn might_be_new(verified: &Result<Caller, Denied>, header: &Header) -> bool {
    match verified {
        Err(Denied::Unavailable | Denied::UnknownKey) => true,
        Err(Denied::Signature | Denied::Algorithm) => header.kid.is_none(),
        _ => false,
    }
}

/// Whether nothing was read between the two.
fn is_same(known: Option<&Arc<KeySet>>, renewed: Option<&Arc<KeySet>>) -> bool {
    match (known, renewed) {
        (Some(known), Some(renewed)) => Arc::ptr_eq(known, renewed),
        (None, None) => true,
        _ => false,
    }
}

fn denied(kind: &ErrorKind) -> Denied {
    match kind {
        ErrorKind::InvalidSignature => Denied::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Denied::Algorithm,
        ErrorKind::InvalidIssuer => Denied::Issuer,
        ErrorKind::InvalidAudience => Denied::Audience,
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "iss" => Denied::Issuer,
            "aud" => Denied::Audience,
            "sub" => Denied::Subject,
            _ => Denied::Malformed,
        },
        _ => Denied::Malformed,
    }
}
