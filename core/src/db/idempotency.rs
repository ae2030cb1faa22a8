//! Table `idempotency_keys`: which changes were made under which key, and what they were answered with.
//!
//! A key is claimed before any other lock of its transaction is taken and kept until that ends, so a twin waits for the
//! row, for a second, and then reads the answer that was committed. A transaction that rolls back takes its claim with
//! it. Ages are told by MySQL's clock.

use std::fmt::Write as _;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use super::schema::idempotency_keys::dsl as t;
use super::types::{micros, uuid_column};
use super::{Conn, StoreError};
use crate::domain::{Principal, RequestKey};

/// How long a twin is waited for, in seconds: MySQL knows nothing finer.
const TWIN_WAIT_SECONDS: u32 = 1;

/// Keys that are pruned at once, at most.
const PRUNE_MOST: i64 = 10_000;

/// The key of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Whose it is.
    pub principal: Principal,
    /// The key.
    pub key: RequestKey,
    /// How long it counts. An older one is as good as absent, whether it was pruned or not.
    pub ttl: Duration,
}

/// A number that two changes share only if they are the same: SHA-256.
pub type RequestHash = [u8; 32];

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The key is ours: make the change and [`keep`] its answer, in this transaction.
    New,
    /// The change was made before and answered with this.
    Answered(Vec<u8>),
    /// The key was used for another change.
    OtherRequest,
    /// A twin that claimed the key has not ended yet.
    InFlight,
}

/// Claims a key for this transaction.
///
/// Of several twins one at a time waits for the row, the others for their turn: if all waited for the row and it went away
/// with a refusal, each would be granted a lock that keeps the others from inserting theirs, and all but one would be
/// deadlocked.
pub async fn claim(conn: &mut Conn, key: &Key, request: &RequestHash) -> Result<Claim, StoreError> {
    let Err(error) = conn.batch_execute(&insertion(key, request)).await else {
        return Ok(Claim::New);
    };
    let error = StoreError::from(error);
    // What follows a statement that failed was not run.
    if conn.batch_execute(LIFT_BOUND).await.is_err() {
        return Err(error);
    }
    let claim = match error {
        StoreError::Duplicate(_) => judge(conn, key, request).await,
        error if error.is_lock_timeout() || error.is_missing_value() => Ok(Claim::InFlight),
        error => Err(error),
    };
    let turn_ended = conn.batch_execute(END_TURN).await;
    let claim = claim?;
    turn_ended?;
    Ok(claim)
}

/// Waits for the turn, inserts the key, ends the turn: one round trip, so the values are written out. Without the turn the
/// insert fails for a missing value. The wait for the row has a bound of its own.
fn insertion(key: &Key, request: &RequestHash) -> String {
    let uuid = hexadecimal(key.key.uuid().as_bytes());
    let principal = hexadecimal(key.principal.to_string().as_bytes());
    let request = hexadecimal(request);
    format!(
        "SET @turn = GET_LOCK(SHA2(CONCAT_WS('.', DATABASE(), '{principal}', '{uuid}'), 224), {TWIN_WAIT_SECONDS}), \
         @lock_wait = @@SESSION.innodb_lock_wait_timeout, SESSION innodb_lock_wait_timeout = {TWIN_WAIT_SECONDS}; \
         INSERT INTO idempotency_keys (idempotency_key, principal, request_hash, created_at) \
         VALUES (X'{uuid}', _ascii X'{principal}', IF(@turn = 1, X'{request}', NULL), NOW(3)); \
         {LIFT_BOUND}; {END_TURN}"
    )
}

const LIFT_BOUND: &str = "SET SESSION innodb_lock_wait_timeout = @lock_wait";
const END_TURN: &str = "SET @turn = RELEASE_ALL_LOCKS()"; // a connection of the pool has no others

/// What to do with a key that is there: whoever inserted it has committed, and having met it keeps it from being pruned.
async fn judge(conn: &mut Conn, key: &Key, request: &RequestHash) -> Result<Claim, StoreError> {
    let Some(row) = read(conn, key).await? else {
        return Ok(Claim::InFlight);
    };
    if row.expired {
        renew(conn, key, request).await?;
        return Ok(Claim::New);
    }
    if row.request_hash != request {
        return Ok(Claim::OtherRequest);
    }
    row.outcome
        .map(Claim::Answered)
        .ok_or_else(|| StoreError::corrupt("outcome", "nothing"))
}

/// Bytes as MySQL writes them.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Row {
    #[diesel(sql_type = Binary)]
    request_hash: Vec<u8>,
    #[diesel(sql_type = Nullable<Binary>)]
    outcome: Option<Vec<u8>>,
    #[diesel(sql_type = Bool)]
    expired: bool,
}

async fn read(conn: &mut Conn, key: &Key) -> Result<Option<Row>, StoreError> {
    let row = diesel::sql_query(
        "SELECT request_hash, outcome, created_at < NOW(3) - INTERVAL ? MICROSECOND AS expired \
         FROM idempotency_keys WHERE idempotency_key = ? AND principal = ?",
    )
    .bind::<BigInt, _>(micros(key.ttl))
    .bind::<Binary, _>(uuid_column(key.key.uuid()))
    .bind::<Text, _>(key.principal.to_string())
    .get_result(conn)
    .await
    .optional()?;
    Ok(row)
}

/// Takes over a key whose time has passed.
async fn renew(conn: &mut Conn, key: &Key, request: &RequestHash) -> Result<(), StoreError> {
    diesel::sql_query(
        "UPDATE idempotency_keys SET request_hash = ?, outcome = NULL, created_at = NOW(3) \
         WHERE idempotency_key = ? AND principal = ?",
    )
    .bind::<Binary, _>(request.as_slice())
    .bind::<Binary, _>(uuid_column(key.key.uuid()))
    .bind::<Text, _>(key.principal.to_string())
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores what the change was answered with, under a key that this transaction has claimed.
pub async fn keep(conn: &mut Conn, key: &Key, outcome: &[u8]) -> Result<(), StoreError> {
    let row = t::idempotency_keys.find((uuid_column(key.key.uuid()), key.principal.to_string()));
    diesel::update(row)
        .set(t::outcome.eq(outcome))
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes keys older than this, the oldest first, at most `limit` and at most 10,000; returns how many. Never waits for a
/// key in use.
pub async fn prune(
    conn: &mut Conn,
    older_than: Duration,
    limit: usize,
) -> Result<usize, StoreError> {
    #[derive(QueryableByName)]
    #[diesel(check_for_backend(diesel::mysql::Mysql))]
    struct KeyRow {
        #[diesel(sql_type = Binary)]
        idempotency_key: Vec<u8>,
    }
    let rows: Vec<KeyRow> = diesel::sql_query(
        "SELECT idempotency_key FROM idempotency_keys WHERE created_at < NOW(3) - INTERVAL ? MICROSECOND \
         ORDER BY created_at LIMIT ? FOR UPDATE SKIP LOCKED",
    )
    .bind::<BigInt, _>(micros(older_than))
    .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX).min(PRUNE_MOST))
    .load(conn)
    .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let keys: Vec<Vec<u8>> = rows.into_iter().map(|row| row.idempotency_key).collect();
    // Another principal's key of the same number goes by its own age.
    let old = diesel::dsl::sql::<Bool>("created_at < NOW(3) - INTERVAL ")
        .bind::<BigInt, _>(micros(older_than))
        .sql(" MICROSECOND");
    let deleted =
        diesel::delete(t::idempotency_keys.filter(t::idempotency_key.eq_any(keys).and(old)))
            .execute(conn)
            .await?;
    Ok(deleted)
}
