//! Every setting of every program, as plain data. `config.rs` reads them from the environment and checks them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::network::Network;
use crate::events::{Encoding, TopicNames};

/// Where a program runs; decides the logs' form and what is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On somebody's machine: readable logs.
    Development,
    /// For customers: JSON logs.
    Production,
}

/// The settings of one process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `ENV`.
    pub environment: Environment,
    /// `LOG`: which log lines are written, as a directive of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// The write side.
    pub mysql: MysqlSettings,
    /// The views.
    pub mongo: MongoSettings,
    /// The log.
    pub kafka: KafkaSettings,
    /// The relay.
    pub outbox: OutboxSettings,
    /// What is deleted by age.
    pub retention: RetentionSettings,
    /// Consumers.
    pub consumer: ConsumerSettings,
    /// `PAYMENT_TIMEOUT`: how long a CONFIRMED order waits for its payment.
    pub payment_timeout: Duration,
    /// `PAYMENT_CHECK_INTERVAL`: how often order-saga looks for orders whose payment time has run out.
    pub payment_check_interval: Duration,
    /// `HTTP_ADDR`: where the API listens.
    pub http_addr: SocketAddr,
    /// Whose word counts for who somebody is.
    pub identity: IdentitySettings,
    /// Who may use the API, and how much of it.
    pub edge: EdgeSettings,
    /// `HEALTH_ADDR`: where the program answers `/healthz`, `/readyz` and `/metrics`.
    pub health_addr: SocketAddr,
    /// `REQUEST_TIMEOUT`: the deadline of a GraphQL request.
    pub request_timeout: Duration,
    /// `READ_YOUR_WRITE_TIMEOUT`: how long a query waits for the version it wants; at most half of the deadline.
    pub read_your_write_timeout: Duration,
    /// `IDEMPOTENCY_TTL`: how long an idempotency key counts.
    pub idempotency_ttl: Duration,
    /// `SHUTDOWN_GRACE`: how long a program may take to drain.
    pub shutdown_grace: Duration,
}

/// How to reach MySQL.
#[derive(Clone)]
pub struct MysqlSettings {
    /// `MYSQL_DSN`: `mysql://user:password@host:port/database`. Secret; kept out of `Debug`.
    pub dsn: String,
    /// `MYSQL_POOL_SIZE`: connections at most.
    pub pool_size: usize,
    /// `MYSQL_TIMEOUT`: how long a transaction, or waiting for a connection, may take.
    pub timeout: Duration,
    /// `MYSQL_TLS` and `MYSQL_TLS_CA`.
    pub tls: Tls,
}

/// Whether nobody on the way can read or change what is said to a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tls {
    /// Everybody can.
    #[default]
    Off,
    /// Nobody can: the server proves by a certificate that it is the one whose name the address has, or nothing is said to it.
    Required {
        /// A PEM file with the certificates of who may vouch for it; without one those that are usual.
        ca: Option<PathBuf>,
    },
}

impl std::fmt::Debug for MysqlSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MysqlSettings")
            .field("pool_size", &self.pool_size)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// How to reach `MongoDB`.
#[derive(Clone)]
pub struct MongoSettings {
    /// `MONGO_URI`: `mongodb://host:port/database`. May hold a password; kept out of `Debug`.
    pub uri: String,
    /// `MONGO_POOL_SIZE`: connections at most.
    pub pool_size: u32,
    /// `MONGO_TIMEOUT`: how long choosing a server or one operation may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for MongoSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MongoSettings")
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}

/// How to reach Kafka and how to write to it.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// `KAFKA_BROKERS`: `host:port,host:port`.
    pub brokers: String,
    /// `TOPIC_PREFIX`: what the names of topics and groups begin with.
    pub topics: TopicNames,
    /// `TOPIC_PARTITIONS`: of topics that are made.
    pub partitions: i32,
    /// `TOPIC_REPLICATION`: of topics that are made.
    pub replication: i32,
    /// `EVENT_ENCODING`: `json` or `protobuf`.
    pub encoding: Encoding,
    /// `KAFKA_SECURITY_PROTOCOL` and what belongs to it.
    pub security: KafkaSecurity,
}

/// How Kafka is spoken to, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaSecurity {
    /// `KAFKA_TLS_CA`, and whether `KAFKA_SECURITY_PROTOCOL` ends with SSL.
    pub tls: Tls,
    /// Who we are, if `KAFKA_SECURITY_PROTOCOL` begins with SASL.
    pub sasl: Option<Sasl>,
}

/// A user of Kafka.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl {
    /// `KAFKA_SASL_MECHANISM`: how the password is proved.
    pub mechanism: &'static str,
    /// `KAFKA_SASL_USERNAME`.
    pub username: String,
    /// `KAFKA_SASL_PASSWORD`. Secret; kept out of `Debug`.
    pub password: String,
}

impl std::fmt::Debug for Sasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Whose word counts for who somebody is.
#[derive(Clone)]
pub struct IdentitySettings {
    /// What verifies tokens.
    pub keys: TokenKeys,
    /// `JWT_ISSUER`.
    pub issuer: String,
    /// `JWT_AUDIENCE`.
    pub audience: String,
    /// `JWT_ROLE_CLAIM`.
    pub role_claim: String,
}

/// The secret is kept out.
impl std::fmt::Debug for IdentitySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentitySettings")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("role_claim", &self.role_claim)
            .finish_non_exhaustive()
    }
}

/// What verifies tokens.
#[derive(Clone)]
pub enum TokenKeys {
    /// `JWT_SECRET`.
    Secret(String),
    /// The one of development, with which anybody can sign.
    EverybodyKnows,
    /// `JWT_JWKS`.
    Published(KeySource),
}

/// With which programs in development verify tokens when nothing is set. Whoever knows it is an administrator there.
pub const KNOWN_SECRET: &str = "development-secret-that-everybody-knows";

/// Where a JSON Web Key Set is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeySource {
    /// Nowhere.
    #[default]
    None,
    /// In a file.
    File(std::path::PathBuf),
    /// At an address.
    Address(String),
}

/// Who may use the API, and how much of it.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// `HTTP_ALLOWED_HOSTS`: names by which clients may call it besides loopback's, in small letters and without ports.
    pub hosts: Vec<String>,
    /// `HTTP_ALLOWED_ORIGINS`: origins of pages that may use it besides its own, in small letters.
    pub origins: Vec<String>,
    /// `HTTPS_ONLY`: whether browsers are told to ask over TLS alone.
    pub https_only: bool,
    /// `INTROSPECTION`: whether clients may ask for the schema.
    pub introspection: bool,
    /// `EXPLORERS`: whether there are pages to explore it with.
    pub explorers: bool,
    /// `LIVE_SUBSCRIPTIONS`: operations over sockets and event streams at most.
    pub subscriptions: usize,
    /// `LIVE_ANSWER_BYTES`: of one answer over a socket or event stream, at most.
    pub answer_bytes: usize,
    /// `SOCKETS`: sockets and event streams of users at most, and a quarter as many sockets of others.
    pub sockets: usize,
    /// `SOCKETS_PER_USER`: of one user; 0 for no bound.
    pub sockets_per_user: usize,
    /// Connections and requests.
    pub http: HttpSettings,
    /// Each socket.
    pub socket: SocketSettings,
}

/// How much HTTP is carried, and for whom.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// `HTTP_BODY_BYTES`: of one request, at most.
    pub body_bytes: usize,
    /// `HTTP_READ_TIMEOUT`: how long a request's head may take, and its body.
    pub read_timeout: Duration,
    /// `HTTP_IDLE_TIMEOUT`: how long a connection waits for another request, or for its client to take some of an answer.
    pub idle_timeout: Duration,
    /// A fifth of `SHUTDOWN_GRACE`: how long a client's head, its body or its reading of an answer is waited for when the program stops.
    pub drain: Duration,
    /// `HTTP_CONNECTIONS`: at most.
    pub connections: usize,
    /// `HTTP_CONNECTIONS_PER_ADDRESS`: at most.
    pub connections_per_address: usize,
    /// `TRUSTED_PROXIES`: whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<Network>,
    /// `REQUESTS_AT_ONCE`: queries at most.
    pub requests_at_once: usize,
    /// Half of that, at most `MYSQL_POOL_SIZE`: mutations at most, each of which holds a connection.
    pub mutations_at_once: usize,
    /// `RATE_PER_ADDRESS`: cost per minute; 0 for no bound.
    pub rate_per_address: u32,
    /// `RATE_PER_USER`: cost per minute; 0 for no bound.
    pub rate_per_user: u32,
}

/// What one socket's client may do.
#[derive(Debug, Clone)]
pub struct SocketSettings {
    /// `SOCKET_SUBSCRIPTIONS`: operations at most.
    pub subscriptions: usize,
    /// `SOCKET_MESSAGE_BYTES`: of one message of the client's, at most.
    pub message_bytes: usize,
    /// `SOCKET_MESSAGE_RATE`: messages a second.
    pub message_rate: u32,
    /// `SOCKET_QUEUE_BYTES`: what may wait for the client before its operations are held back.
    pub queue_bytes: usize,
    /// `SOCKET_QUEUE_MESSAGES`: the same in messages.
    pub queue_messages: usize,
    /// `SOCKET_WRITE_TIMEOUT`: how long the client may take to read one message.
    pub write_timeout: Duration,
    /// `SOCKET_INIT_TIMEOUT`: how long the client may take to begin the protocol.
    pub init_timeout: Duration,
    /// `SOCKET_IDLE_TIMEOUT`: how long the client may be silent.
    pub idle_timeout: Duration,
    /// `LIVE_HANDOVER`: over how long sockets and event streams are ended when the program stops.
    pub handover: Duration,
}

/// The relay's settings.
#[derive(Debug, Clone)]
pub struct OutboxSettings {
    /// `OUTBOX_POLL_INTERVAL`: pause between two looks into an empty outbox.
    pub poll_interval: Duration,
    /// `OUTBOX_BATCH`: rows per look, at most.
    pub batch: usize,
    /// `RELAY_LEASE`: how long a relay that does not answer stays the leader; whole seconds.
    pub lease: Duration,
}

/// What the leading relay deletes by age, and how fast.
#[derive(Debug, Clone)]
pub struct RetentionSettings {
    /// `OUTBOX_RETENTION`: how long events stay in the outbox once they are sent.
    pub outbox: Duration,
    /// `INBOX_RETENTION`: how long it is remembered which events a consumer has handled.
    pub inbox: Duration,
    /// `IDEMPOTENCY_TTL`: how long an idempotency key counts.
    pub idempotency: Duration,
    /// `PRUNE_INTERVAL`: pause between two rounds that found less than a full batch.
    pub interval: Duration,
    /// `PRUNE_BATCH`: rows per table and round, at most.
    pub batch: usize,
}

/// The consumer loop's settings.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// `CONSUMER_WORKERS`: consumers in this process.
    pub workers: usize,
    /// `CONSUMER_BATCH`: records per batch, at most.
    pub batch: usize,
    /// `CONSUMER_SLOT`: which copy of the program this is: 0, 1, 2, … Part of the static member's name, so no two copies share one.
    pub slot: u32,
    /// `CONSUMER_SESSION_TIMEOUT`: how long a member that does not answer keeps its partitions; 6 s is the broker's least.
    pub session_timeout: Duration,
    /// `RETRY_FIRST_WAIT`: when a record that failed is tried again; every wait after it is twice as long.
    pub retry_first_wait: Duration,
    /// `RETRY_MAX_ELAPSED`: how long a record that failed is tried again, at most.
    pub retry_max_elapsed: Duration,
}
