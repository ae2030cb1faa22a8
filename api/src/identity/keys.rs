//! What tokens are verified with. A key verifies by one algorithm, its own: what a token says about that is compared, never
//! followed, and an address in a token is never asked for keys.

use std::collections::HashMap;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};

use super::token::Denied;

/// A key and the algorithm that it is for.
pub struct Key {
    /// The key.
    pub key: DecodingKey,
    /// What it verifies by.
    pub algorithm: Algorithm,
}

/// How many keys without an id a token without one is tried with, at most.
const MOST_TRIED: usize = 4;

/// Keys by their ids, of each id one per algorithm; those without an id together.
#[derive(Default)]
pub struct KeySet(HashMap<Option<String>, Vec<Key>>);

impl Key {
    /// A secret that is shared with whoever signs.
    pub fn secret(secret: &str) -> Self {
        Self {
            key: DecodingKey::from_secret(secret.as_bytes()),
            algorithm: Algorithm::HS256,
        }
    }

    /// A published key; `None` if it is for something else, or of a kind that is not taken.
    fn published(jwk: &Jwk) -> Option<Self> {
        if jwk
            .common
            .public_key_use
            .as_ref()
            .is_some_and(|it| *it != PublicKeyUse::Signature)
        {
            return None;
        }
        let (algorithm, name) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(_) => (Algorithm::EdDSA, KeyAlgorithm::EdDSA),
            _ => return None,
        };
        if jwk.common.key_algorithm.is_some_and(|it| it != name) {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { key, algorithm })
    }
}

impl KeySet {
    /// Reads a JSON Web Key Set (RFC 7517). Keys that are not taken are passed over; a set without any is one that was withdrawn.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(text: &[u8]) -> anyhow::Result<Self> {
        let set: serde_json::Value = serde_json::from_slice(text)?;
        let keys = set.get("keys").and_then(serde_json::Value::as_array);
        let keys = keys.ok_or_else(|| anyhow::anyhow!("there is no list of keys in it"))?;
        // One by one: a key of a kind that is not known must not hide the others.
        let keys = keys
            .iter()
            .filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
        let set = JwkSet {
            keys: keys.collect(),
        };
        let mut known: HashMap<_, Vec<Key>> = HashMap::new();
        for jwk in &set.keys {
            if let Some(key) = Key::published(jwk) {
                let id = jwk.common.key_id.clone();
                let has_id = id.is_some();
                let same_id = known.entry(id).or_default();
                if has_id {
                    same_id.retain(|other| other.algorithm != key.algorithm);
                }
                same_id.push(key);
            }
        }
        Ok(Self(known))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// The keys that a token of an id and an algorithm may be signed with: the one of that id; without an id those without one, a few
    /// at most, or else the only one there is.
    ///
    /// # Errors
    /// [`Denied::UnknownKey`]; [`Denied::Algorithm`] if there are keys for another algorithm alone.
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Vec<&Key>, Denied> {
        let named = self.0.get(&id.map(str::to_owned));
        let only = self.0.values().next();
        let only = only.filter(|_| id.is_none() && self.len() == 1);
        let keys = named.or(only).ok_or(Denied::UnknownKey)?;
        let fit = keys.iter().filter(|key| key.algorithm == algorithm);
        let fit: Vec<_> = fit.take(MOST_TRIED).collect();
        if fit.is_empty() {
            return Err(Denied::Algorithm);
        }
        Ok(fit)
    }
}
