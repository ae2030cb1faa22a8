//! Tokens that are taken and tokens that are not, with keys made for the test.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use shop_core::runtime::settings::{IdentitySettings, KeySource, TokenKeys};

use super::token::MOST_BYTES;
use super::*;

const SECRET: &str = "a secret of this test, long enough for its hash";
const USER: &str = "user_01939f2e-7b1c-7def-8a34-5b6c7d8e9f02";

/// Somebody with every right, for a day.
pub fn a_caller() -> Caller {
    Caller {
        user: USER.parse().expect("an id"),
        role: Role::Admin,
        until: Timestamp::from_millis(clock::now().millis() + 86_400_000),
    }
}

fn settings(keys: TokenKeys) -> IdentitySettings {
    IdentitySettings {
        keys,
        issuer: "https://login.example/".to_owned(),
        audience: "shop".to_owned(),
        role_claim: "role".to_owned(),
    }
}

fn with_secret() -> Verifier {
    Verifier::new(&settings(TokenKeys::Secret(SECRET.to_owned())))
}

/// Good claims with others in their place.
fn claims(others: &Value) -> Value {
    let mut claims = json!({
        "sub": USER,
        "iss": "https://login.example/",
        "aud": ["shop", "another"],
        "exp": clock::now().millis() / 1_000 + 3_600,
        "role": "staff",
    });
    for (name, value) in others.as_object().expect("an object") {
        claims[name.as_str()] = value.clone();
    }
    claims
}

fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).expect("a token")
}

async fn role_of(claim: &str, others: Value) -> Role {
    let mut settings = settings(TokenKeys::Secret(SECRET.to_owned()));
    claim.clone_into(&mut settings.role_claim);
    let token = signed(&claims(&others));
    let caller = Verifier::new(&settings).verify(&token).await;
    caller.expect("a good token").role
}

#[tokio::test]
async fn a_good_token_names_its_user_and_the_greatest_of_its_roles() {
    let token = signed(&claims(&json!({})));
    let caller = with_secret().verify(&token).await.expect("a good token");
    assert_eq!(
        (caller.user.to_string().as_str(), caller.role),
        (USER, Role::Staff)
    );
    assert_eq!(
        role_of("role", json!({ "role": ["customer", "admin", "boss"] })).await,
        Role::Admin
    );
    for nothing in [
        json!(null),
        json!("boss"),
        json!("ADMIN"),
        json!(7),
        json!({ "admin": true }),
    ] {
        assert_eq!(
            role_of("role", json!({ "role": nothing })).await,
            Role::Customer
        );
    }
    let nested = json!({ "realm_access": { "roles": ["offline", "staff"] } });
    assert_eq!(
        role_of("realm_access.roles", nested.clone()).await,
        Role::Staff
    );
    assert_eq!(
        role_of("realm_access.roles.more", nested).await,
        Role::Customer
    );
}

#[tokio::test]
async fn claims_that_are_not_for_us_or_not_for_now_are_told_apart() {
    let now = clock::now().millis() / 1_000;
    for (others, denied) in [
        (json!({ "iss": "https://evil.example/" }), Denied::Issuer),
        (json!({ "iss": null }), Denied::Issuer),
        (json!({ "aud": "another" }), Denied::Audience),
        (json!({ "aud": [] }), Denied::Audience),
        (json!({ "exp": now - 1 }), Denied::Expired),
        (json!({ "exp": 0 }), Denied::Expired),
        (json!({ "exp": -1e300 }), Denied::Malformed),
        (json!({ "exp": "tomorrow" }), Denied::Malformed),
        (json!({ "nbf": now + 60 }), Denied::NotYet),
        (json!({ "sub": "ada" }), Denied::Subject),
        (
            json!({ "sub": "order_01939f2e-7b1c-7def-8a34-5b6c7d8e9f02" }),
            Denied::Subject,
        ),
        (json!({ "sub": { "$ne": null } }), Denied::Malformed),
    ] {
        let token = signed(&claims(&others));
        assert_eq!(with_secret().verify(&token).await, Err(denied), "{others}");
    }
    let mut without = claims(&json!({}));
    without.as_object_mut().expect("an object").remove("exp");
    assert!(
        with_secret().verify(&signed(&without)).await.is_err(),
        "it never ends"
    );
    let soon = claims(&json!({ "nbf": now + 2 }));
    assert!(
        with_secret().verify(&signed(&soon)).await.is_ok(),
        "clocks differ a little"
    );
}

#[tokio::test]
async fn a_token_ends_to_the_millisecond() {
    let until = clock::now().millis() + 250;
    #[expect(clippy::cast_precision_loss, reason = "exact for a few million years")]
    let seconds = until as f64 / 1_000.0;
    let token = signed(&claims(&json!({ "exp": seconds })));
    let caller = with_secret().verify(&token).await.expect("a good token");
    assert!((caller.until.millis() - until).abs() <= 1);
}

/// A token with another header and another signature.
fn forged(token: &str, header: &Value, signature: &str) -> String {
    let (head, rest) = token.split_once('.').expect("three parts");
    let (claims, _) = rest.split_once('.').expect("three parts");
    let _ = head;
    format!(
        "{}.{claims}.{signature}",
        encoded(header.to_string().as_bytes())
    )
}

/// Base64 for URLs, without padding.
fn encoded(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let index = word >> (18 - 6 * place) & 63;
            text.push(char::from(
                ALPHABET[usize::try_from(index).expect("a small number")],
            ));
        }
    }
    text
}

#[tokio::test]
async fn what_a_token_says_of_its_signature_is_compared_and_never_followed() {
    let good = signed(&claims(&json!({})));
    let (_, signature) = good.rsplit_once('.').expect("three parts");
    let verifier = with_secret();
    for (header, signature, denied) in [
        (json!({ "alg": "none" }), "", Denied::Malformed),
        (json!({ "alg": "None" }), signature, Denied::Malformed),
        (
            json!({ "alg": "HS256", "typ": "at+jwt" }),
            signature,
            Denied::Signature,
        ),
        (json!({ "alg": "HS384" }), signature, Denied::Algorithm),
        (json!({ "alg": "RS256" }), signature, Denied::Algorithm),
        (
            json!({ "alg": "HS256", "crit": ["b64"], "b64": false }),
            signature,
            Denied::Malformed,
        ),
        (json!({ "alg": "HS256" }), "", Denied::Signature),
        (json!({ "typ": "JWT" }), signature, Denied::Malformed),
    ] {
        let token = forged(&good, &header, signature);
        assert_eq!(verifier.verify(&token).await, Err(denied), "{header}");
    }
    let long = "x".repeat(1024 * 1024);
    for (token, denied) in [
        ("", Denied::Malformed),
        ("a.b", Denied::Malformed),
        ("a.b.c", Denied::Malformed),
        ("....", Denied::Malformed),
        (&long, Denied::TooLong),
        (&"x".repeat(MOST_BYTES + 1), Denied::TooLong),
    ] {
        assert_eq!(verifier.verify(token).await, Err(denied), "{token:.10}");
    }
    let other_key = EncodingKey::from_secret(&SECRET.as_bytes()[1..]);
    let token = encode(
        &Header::new(Algorithm::HS256),
        &claims(&json!({})),
        &other_key,
    );
    assert_eq!(
        verifier.verify(&token.expect("a token")).await,
        Err(Denied::Signature)
    );
}

/// A key of each kind that is published.
fn keys() -> [(Algorithm, EncodingKey); 3] {
    let random = SystemRandom::new();
    let rsa = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let rsa = rsa.as_der().expect("its encoding");
    // What PKCS #8 wraps around the key of 2,048 bits: tokens are signed with what is within.
    let rsa = &rsa.as_ref()[26..];
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    let ed = Ed25519KeyPair::generate_pkcs8v1(&random);
    [
        (Algorithm::RS256, EncodingKey::from_rsa_der(rsa)),
        (
            Algorithm::ES256,
            EncodingKey::from_ec_der(ec.expect("a key").as_ref()),
        ),
        (
            Algorithm::EdDSA,
            EncodingKey::from_ed_der(ed.expect("a key").as_ref()),
        ),
    ]
}

fn published(id: &str, algorithm: Algorithm, key: &EncodingKey) -> Value {
    let jwk = Jwk::from_encoding_key(key, algorithm).expect("its public half");
    let mut jwk = serde_json::to_value(jwk).expect("JSON");
    jwk["kid"] = id.into();
    jwk["use"] = "sig".into();
    jwk
}

fn nameless((algorithm, key): &(Algorithm, EncodingKey)) -> Value {
    let mut jwk = published("", *algorithm, key);
    jwk.as_object_mut().expect("an object").remove("kid");
    jwk
}

fn signed_by(id: Option<&str>, algorithm: Algorithm, key: &EncodingKey) -> String {
    let mut header = Header::new(algorithm);
    header.kid = id.map(str::to_owned);
    encode(&header, &claims(&json!({})), key).expect("a token")
}

/// A set of keys in a file of its own, and the verifier that reads it.
struct InFile(std::path::PathBuf);

impl InFile {
    #[expect(clippy::disallowed_methods, reason = "a name that no other test has")]
    fn new(keys: &[Value]) -> Self {
        let name = format!("shop-keys-{}.json", uuid::Uuid::new_v4());
        let file = Self(std::env::temp_dir().join(name));
        file.put(keys);
        file
    }

    fn put(&self, keys: &[Value]) {
        let text = json!({ "keys": keys }).to_string();
        std::fs::write(&self.0, text).expect("a file");
    }

    fn verifier(&self) -> Verifier {
        let source = KeySource::File(self.0.clone());
        let verifier = Verifier::new(&settings(TokenKeys::Published(source)));
        let reading = verifier.clone();
        tokio::spawn(async move { reading.run().await });
        verifier
    }
}

impl Drop for InFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn published_keys_verify_each_by_its_own_algorithm() {
    let keys = keys();
    let ids = ["rsa", "ec", "ed"];
    let mut set: Vec<Value> = keys
        .iter()
        .zip(ids)
        .map(|((algorithm, key), id)| published(id, *algorithm, key))
        .collect();
    set.push(json!({ "kty": "lattice", "kid": "later" })); // of a kind that is not known yet
    set.push(json!({ "kty": "oct", "kid": "shared", "k": encoded(SECRET.as_bytes()) }));
    let file = InFile::new(&set);
    let verifier = file.verifier();
    for ((algorithm, key), id) in keys.iter().zip(ids) {
        let token = signed_by(Some(id), *algorithm, key);
        let caller = verifier.verify(&token).await;
        assert_eq!(caller.map(|caller| caller.role), Ok(Role::Staff), "{id}");
        for other in ids.into_iter().filter(|other| *other != id) {
            let token = signed_by(Some(other), *algorithm, key);
            assert_eq!(
                verifier.verify(&token).await,
                Err(Denied::Algorithm),
                "{id} as {other}"
            );
        }
        let token = signed_by(None, *algorithm, key);
        assert_eq!(
            verifier.verify(&token).await,
            Err(Denied::UnknownKey),
            "{id}"
        );
    }
    // A public key taken for a shared secret, and a shared secret among published keys.
    let modulus = set[0]["n"].as_str().expect("a modulus").to_owned();
    let confused = EncodingKey::from_secret(modulus.as_bytes());
    let token = signed_by(Some("rsa"), Algorithm::HS256, &confused);
    assert_eq!(verifier.verify(&token).await, Err(Denied::Algorithm));
    let shared = EncodingKey::from_secret(SECRET.as_bytes());
    let token = signed_by(Some("shared"), Algorithm::HS256, &shared);
    assert_eq!(verifier.verify(&token).await, Err(Denied::UnknownKey));
    for elsewhere in [
        "../../etc/passwd",
        "https://evil.example/keys.json",
        "' OR 1=1 --",
        "\r\nfoo: bar",
    ] {
        let token = signed_by(Some(elsewhere), Algorithm::RS256, &keys[0].1);
        assert_eq!(
            verifier.verify(&token).await,
            Err(Denied::UnknownKey),
            "{elsewhere}"
        );
    }
}

#[tokio::test]
async fn keys_without_an_id_are_tried_each_by_its_own_algorithm_and_a_few_at_most() {
    let many = [keys(), keys(), keys(), keys(), keys()];
    let [first, second, third, ..] = &many;
    let [rsa, ec, _] = first;
    let file = InFile::new(&[
        nameless(rsa),
        nameless(ec),
        nameless(&second[1]),
        published("named", third[1].0, &third[1].1),
        published("named", rsa.0, &rsa.1),
    ]);
    let verifier = file.verifier();
    for (id, (algorithm, key), verdict) in [
        (None, rsa, Ok(Role::Staff)),
        (None, ec, Ok(Role::Staff)),
        (None, &second[1], Ok(Role::Staff)),
        (None, &third[1], Err(Denied::Signature)),
        (None, &first[2], Err(Denied::Algorithm)),
        (Some("named"), &third[1], Ok(Role::Staff)),
        (Some("named"), rsa, Ok(Role::Staff)),
        (Some("named"), ec, Err(Denied::Signature)),
        (Some("named"), &first[2], Err(Denied::Algorithm)),
    ] {
        let token = signed_by(id, *algorithm, key);
        let caller = verifier.verify(&token).await;
        assert_eq!(
            caller.map(|caller| caller.role),
            verdict,
            "{id:?} {algorithm:?}"
        );
    }
    let ecs = many.iter().map(|keys| nameless(&keys[1]));
    let file = InFile::new(&ecs.collect::<Vec<_>>());
    let verifier = file.verifier();
    for (place, keys) in many.iter().enumerate() {
        let token = signed_by(None, keys[1].0, &keys[1].1);
        assert_eq!(verifier.verify(&token).await.is_ok(), place < 4, "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_read_when_a_token_names_it_and_a_withdrawn_one_is_forgotten() {
    let [old, new, _] = keys();
    let file = InFile::new(&[published("old", old.0, &old.1)]);
    let verifier = file.verifier();
    let (with_old, with_new) = (
        signed_by(Some("old"), old.0, &old.1),
        signed_by(Some("new"), new.0, &new.1),
    );
    assert!(verifier.verify(&with_old).await.is_ok());
    assert_eq!(verifier.verify(&with_new).await, Err(Denied::UnknownKey));
    file.put(&[published("new", new.0, &new.1)]);
    // Whoever makes up keys does not make us read at each of them.
    assert_eq!(verifier.verify(&with_new).await, Err(Denied::UnknownKey));
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    assert!(verifier.verify(&with_new).await.is_ok());
    assert_eq!(verifier.verify(&with_old).await, Err(Denied::UnknownKey));
    // A file that can not be read changes nothing; one without keys withdraws them, without being asked.
    std::fs::write(&file.0, "{").expect("a file");
    tokio::time::sleep(std::time::Duration::from_mins(6)).await;
    assert!(verifier.verify(&with_new).await.is_ok());
    file.put(&[]);
    tokio::time::sleep(std::time::Duration::from_mins(6)).await;
    assert_eq!(verifier.verify(&with_new).await, Err(Denied::UnknownKey));
}

#[tokio::test(start_paused = true)]
async fn a_new_key_without_an_id_is_read_when_a_token_fits_no_other() {
    let (old, new) = (keys(), keys());
    for new in [&new[0], &new[1]] {
        let file = InFile::new(&[nameless(&old[0])]);
        let verifier = file.verifier();
        let token = signed_by(None, new.0, &new.1);
        let denied = verifier.verify(&token).await.expect_err("it is not known");
        assert!(matches!(denied, Denied::Signature | Denied::Algorithm));
        file.put(&[nameless(&old[0]), nameless(new)]);
        assert_eq!(verifier.verify(&token).await, Err(denied), "too soon");
        tokio::time::sleep(std::time::Duration::from_secs(11)).await;
        assert!(verifier.verify(&token).await.is_ok(), "{:?}", new.0);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_come_a_moment_after_the_program_are_read_a_moment_later() {
    let [(algorithm, key), ..] = keys();
    let file = InFile::new(&[]);
    std::fs::remove_file(&file.0).expect("it is there");
    let verifier = file.verifier();
    let token = signed_by(Some("rsa"), algorithm, &key);
    assert_eq!(verifier.verify(&token).await, Err(Denied::Unavailable));
    file.put(&[published("rsa", algorithm, &key)]);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(verifier.verify(&token).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_never_read_make_nobody_wait_for_ever() {
    let nowhere = KeySource::File("/nowhere/keys.json".into());
    let verifier = Verifier::new(&settings(TokenKeys::Published(nowhere)));
    let [(algorithm, key), ..] = keys();
    let token = signed_by(Some("rsa"), algorithm, &key);
    let begun = tokio::time::Instant::now();
    assert_eq!(verifier.verify(&token).await, Err(Denied::Unavailable));
    assert!(begun.elapsed() <= std::time::Duration::from_secs(3));
}

#[test]
fn a_token_is_found_in_a_header_and_in_a_payload() {
    use axum::http::{HeaderMap, HeaderValue, header};

    let of = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        in_header(&headers).map(str::to_owned)
    };
    assert_eq!(of(&["Bearer abc"]), Ok("abc".to_owned()));
    assert_eq!(of(&["bearer  abc "]), Ok("abc".to_owned()));
    assert_eq!(of(&[]), Err(Denied::Missing));
    for bad in [
        &["Basic abc"][..],
        &["abc"],
        &["Bearer"],
        &["Bearer "],
        &["Bearer a", "Bearer b"],
    ] {
        assert_eq!(of(bad), Err(Denied::NotBearer), "{bad:?}");
    }
    for (payload, token) in [
        (r#"{"authorization":"Bearer abc"}"#, Ok(Some("abc"))),
        (
            r#"{"Authorization":"Bearer abc","more":[1]}"#,
            Ok(Some("abc")),
        ),
        (
            r#"{"headers":{"authorization":"Bearer abc"}}"#,
            Ok(Some("abc")),
        ),
        (r#"{"authorization":null}"#, Ok(None)),
        ("{}", Ok(None)),
        ("null", Ok(None)),
        (r#"{"authorization":"abc"}"#, Err(Denied::NotBearer)),
        (r#"{"authorization":{"$ne":null}}"#, Err(Denied::NotBearer)),
        (r#"{"headers":7}"#, Err(Denied::NotBearer)),
    ] {
        let token = token.map(|token| token.map(str::to_owned));
        assert_eq!(in_payload(payload), token, "{payload}");
    }
}

#[test]
fn an_identity_is_renewed_by_its_own_user_alone() {
    let identity = Identity::from(a_caller());
    let shrunk = Caller {
        role: Role::Customer,
        ..a_caller()
    };
    assert_eq!(identity.renew(shrunk), Ok(()));
    assert_eq!(identity.caller().scope(Role::Staff), Scope::Of(shrunk.user));
    let other = Caller {
        user: UserId::from_uuid(uuid::Uuid::nil()),
        ..a_caller()
    };
    assert_eq!(identity.renew(other), Err(Denied::OtherUser));
    assert_eq!(identity.caller().role, Role::Customer);
    assert!(!identity.is_over());
}
