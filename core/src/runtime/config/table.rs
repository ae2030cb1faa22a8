//! Every setting, declared once: `docs/settings.md`, `.env.example` and the settings in `README.md` are written from this table.

use std::time::Duration;

use crate::runtime::Program;

/// A setting: an environment variable and what may be in it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// What holds when the variable is not set, or empty.
    pub fallback: Fallback,
    /// What may be in it.
    pub kind: Kind,
    /// Whether its value is shown to nobody. Then it can also be in a file, which the variable of this name with `_FILE` names.
    pub secret: bool,
    /// Which programs read it.
    pub readers: &'static [Program],
    /// What it does, for whoever sets it: one sentence without a full stop.
    pub doc: &'static str,
}

/// What holds when a variable is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// This value.
    Value(&'static str),
    /// This value, but in production the variable must be set.
    DevelopmentOnly(&'static str),
    /// A value of each program's own.
    PerProgram,
}

/// What may be in a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `development` or `production`.
    Environment,
    /// The address of MySQL as a URL.
    MysqlDsn,
    /// The address of `MongoDB` as a URL.
    MongoUri,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The path of a file, or nothing.
    File,
    /// Any text, or nothing.
    Text,
    /// Addresses of brokers.
    Brokers,
    /// What topics' names begin with.
    TopicPrefix,
    /// How events are written.
    Encoding,
    /// Which log lines are written.
    LogFilter,
    /// Where to listen.
    Address,
    /// Names of hosts, none or several.
    Hosts,
    /// Origins of pages, none or several.
    Origins,
    /// A secret that signs tokens.
    TokenSecret,
    /// Where keys that verify tokens are published: a file or an address.
    KeySet,
    /// `on`, `off`, or `auto`: by the environment.
    Switch,
    /// A word of somebody else's: an issuer, an audience, a claim.
    Word,
    /// Networks and addresses, none or several.
    Networks,
    /// A whole number within bounds, both included.
    Number(u32, u32),
    /// The same, or `auto`: by the machine.
    NumberOrAuto(u32, u32),
    /// A span of time within bounds, both included.
    Time(Duration, Duration),
    /// The same in whole seconds.
    Seconds(u64, u64),
}

/// Every program.
const ALL_PROGRAMS: &[Program] = &Program::ALL;
/// The API alone.
const API: &[Program] = &[Program::Api];
/// The programs that stay.
const SERVERS: &[Program] = &[
    Program::Api,
    Program::OutboxRelay,
    Program::StockReservation,
    Program::OrderSaga,
    Program::Projector,
];
/// Those of them that read topics.
const ROLES: &[Program] = &[
    Program::StockReservation,
    Program::OrderSaga,
    Program::Projector,
];
/// Those that read or write MySQL; the projector only what it parks.
const WRITERS: &[Program] = &[
    Program::Api,
    Program::OutboxRelay,
    Program::StockReservation,
    Program::OrderSaga,
    Program::Projector,
    Program::Ops,
];
/// Those that make events.
const SOURCES: &[Program] = &[
    Program::Api,
    Program::StockReservation,
    Program::OrderSaga,
    Program::Projector,
    Program::Ops,
];
/// Those that know the views.
const VIEWERS: &[Program] = &[Program::Api, Program::Projector, Program::Ops];

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

macro_rules! settings {
    ($($name:ident $(($mark:ident))? = $fallback:expr, $kind:expr, $readers:expr, $doc:literal;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: ", $doc, ".")]
            pub const $name: Setting = Setting {
                name: stringify!($name),
                fallback: $fallback,
                kind: $kind,
                secret: !<[&str]>::is_empty(&[$(stringify!($mark))?]), // the only mark there is
                readers: $readers,
                doc: $doc,
            };
        )*
        /// All of them, in the order of the documentation.
        pub const ALL: &[Setting] = &[$($name),*];
    };
}

use Fallback::{DevelopmentOnly, PerProgram, Value};
use Kind::{Number, NumberOrAuto, Seconds, Time};

settings! {
    ENV = Value("development"), Kind::Environment, ALL_PROGRAMS,
        "Where the program runs; production writes logs as JSON, wants every address and the keys of tokens to be set, and has neither explorers nor introspection";
    LOG = Value("info"), Kind::LogFilter, ALL_PROGRAMS,
        "Which log lines are written: a level, or levels by module as in info,shop_core::bus=debug";

    MYSQL_DSN (secret) = DevelopmentOnly("mysql://shop:shop@127.0.0.1:43306/shop"), Kind::MysqlDsn, WRITERS,
        "The write side; every program has a user of its own there (see api grants)";
    MYSQL_POOL_SIZE = Value("16"), Number(1, 512), WRITERS,
        "Connections to MySQL, at most";
    MYSQL_TIMEOUT = Value("5s"), Time(ms(50), s(MINUTE)), WRITERS,
        "How long a transaction, or waiting for a connection, may take";
    MYSQL_TLS = Value("off"), Kind::Choice(&["off", "required"]), WRITERS,
        "Whether MySQL is spoken to over TLS, and its certificate checked";
    MYSQL_TLS_CA = Value(""), Kind::File, WRITERS,
        "Certificates of who may vouch for MySQL, in PEM; without it those that browsers trust";
    MONGO_URI (secret) = DevelopmentOnly("mongodb://127.0.0.1:47017/shop"), Kind::MongoUri, VIEWERS,
        "The views; with user, password and TLS as MongoDB has them, tls=true&tlsCAFile=/path among the options";
    MONGO_POOL_SIZE = Value("32"), Number(1, 1_000), VIEWERS,
        "Connections to MongoDB, at most";
    MONGO_TIMEOUT = Value("3s"), Time(ms(50), s(MINUTE)), VIEWERS,
        "How long finding a MongoDB server, or one operation, may take";

    KAFKA_BROKERS = DevelopmentOnly("127.0.0.1:49092"), Kind::Brokers, ALL_PROGRAMS,
        "Brokers to ask first";
    KAFKA_SECURITY_PROTOCOL = Value("PLAINTEXT"), Kind::Choice(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ALL_PROGRAMS,
        "How Kafka is spoken to: with SSL over TLS and its certificate checked, with SASL as a user";
    KAFKA_TLS_CA = Value(""), Kind::File, ALL_PROGRAMS,
        "Certificates of who may vouch for Kafka, in PEM; without it those that the system trusts";
    KAFKA_SASL_MECHANISM = Value("SCRAM-SHA-512"), Kind::Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]), ALL_PROGRAMS,
        "How the password is proved to Kafka";
    KAFKA_SASL_USERNAME = Value(""), Kind::Text, ALL_PROGRAMS,
        "The user in Kafka";
    KAFKA_SASL_PASSWORD (secret) = Value(""), Kind::Text, ALL_PROGRAMS,
        "The password of the user in Kafka";
    PLAINTEXT_SERVERS = Value("no"), Kind::Choice(&["no", "yes"]), ALL_PROGRAMS,
        "Whether production may speak to a server on another machine without TLS, as on a network that is trusted itself";
    TOPIC_PREFIX = Value(""), Kind::TopicPrefix, ALL_PROGRAMS,
        "What the names of topics and groups begin with; keeps several shops on one broker apart";
    TOPIC_PARTITIONS = Value("3"), Number(1, 1_000), API,
        "Partitions of topics that are made";
    TOPIC_REPLICATION = Value("1"), Number(1, 9), API,
        "Copies of topics that are made";
    EVENT_ENCODING = Value("json"), Kind::Encoding, SOURCES,
        "How events are written; both are always read";

    OUTBOX_POLL_INTERVAL = Value("10ms"), Time(ms(1), ms(500)), &[Program::OutboxRelay],
        "Pause between two looks into an empty outbox";
    OUTBOX_BATCH = Value("1000"), Number(1, 10_000), &[Program::OutboxRelay],
        "Events per look, at most";
    RELAY_LEASE = Value("3s"), Seconds(2, MINUTE), &[Program::OutboxRelay],
        "How long a relay that does not answer stays the one that sends";

    OUTBOX_RETENTION = Value("24h"), Time(s(MINUTE), s(90 * DAY)), &[Program::OutboxRelay],
        "How long events stay in the outbox once they are sent; topics keep them for a month";
    INBOX_RETENTION = Value("24h"), Time(s(MINUTE), s(90 * DAY)), &[Program::OutboxRelay],
        "How long it is remembered which events a consumer has handled; later repeats are told by the rows themselves";
    PRUNE_INTERVAL = Value("10s"), Time(ms(10), s(60 * MINUTE)), &[Program::OutboxRelay],
        "Pause between two looks for rows that are older than that, when there are few";
    PRUNE_BATCH = Value("1000"), Number(1, 10_000), &[Program::OutboxRelay],
        "Rows of one table that are deleted in one transaction, at most";

    PAYMENT_TIMEOUT = Value("15m"), Time(ms(100), s(30 * DAY)), &[Program::OrderSaga],
        "How long a CONFIRMED order waits for its payment before it is canceled";
    PAYMENT_CHECK_INTERVAL = Value("1s"), Time(ms(10), s(60 * MINUTE)), &[Program::OrderSaga],
        "How often orders whose payment time has run out are looked for";

    CONSUMER_WORKERS = Value("1"), Number(1, 64), ROLES,
        "Consumers in one process; more than there are partitions stand by";
    CONSUMER_BATCH = Value("500"), Number(1, 10_000), ROLES,
        "Records per batch, at most";
    CONSUMER_SLOT = Value("0"), Number(0, 9_999), ROLES,
        "Which copy of the program this is: every copy needs a number of its own";
    CONSUMER_SESSION_TIMEOUT = Value("6s"), Time(s(1), s(5 * MINUTE)), ROLES,
        "How long a consumer that does not answer keeps its partitions; the broker's own least, usually 6 s, holds too";
    RETRY_FIRST_WAIT = Value("1s"), Time(ms(10), s(MINUTE)), ROLES,
        "When a record that failed is tried again; it is tried five times, and every wait is twice the one before";
    RETRY_MAX_ELAPSED = Value("5m"), Time(ms(10), s(5 * MINUTE)), ROLES,
        "How long a record that failed is tried again, at most; then it is a dead letter";

    HTTP_ADDR = Value("127.0.0.1:4000"), Kind::Address, API,
        "Where the API listens";
    HTTP_ALLOWED_HOSTS = Value(""), Kind::Hosts, API,
        "Names by which GraphQL clients may call the API besides localhost and loopback addresses; a request for another name is refused, so that a page can not reach the API by a name of its own";
    HTTP_ALLOWED_ORIGINS = Value(""), Kind::Origins, API,
        "Origins of web pages that may use GraphQL besides the API's own; requests from other pages are refused";
    HTTPS_ONLY = Value("auto"), Kind::Switch, API,
        "Whether browsers are told to reach this name over TLS alone, which a proxy in front has to end; auto is on in production";
    INTROSPECTION = Value("auto"), Kind::Switch, API,
        "Whether clients may ask for the schema, and are told what they may have meant; auto is on in development alone";
    EXPLORERS = Value("auto"), Kind::Switch, API,
        "Whether the pages GraphiQL and GraphQL Playground are served; auto is on in development alone";
    JWT_SECRET (secret) = Value(""), Kind::TokenSecret, API,
        "What tokens are signed with by HS256. Either this or JWT_JWKS must be set in production, while in development there is a secret that everybody knows";
    JWT_JWKS = Value(""), Kind::KeySet, API,
        "Where the keys that verify tokens by RS256, ES256 or EdDSA are published, as a JSON Web Key Set; read every 5 minutes, and when a token names a key that is not known";
    JWT_ISSUER = DevelopmentOnly("shop-development"), Kind::Word, API,
        "Who must have issued a token: its claim iss";
    JWT_AUDIENCE = DevelopmentOnly("shop"), Kind::Word, API,
        "Whom a token must be for: its claim aud, or one of those there";
    JWT_ROLE_CLAIM = Value("role"), Kind::Word, API,
        "Which claim of a token says customer, staff or admin, as a word or a list of words; dots lead into objects, as in realm_access.roles. Without one of these words a token is a customer's";
    HTTP_BODY_BYTES = Value("131072"), Number(1_024, 67_108_864), API,
        "Bytes of one request's body, at most; a larger one is refused with 413";
    HTTP_READ_TIMEOUT = Value("10s"), Time(ms(10), s(5 * MINUTE)), API,
        "How long a client may take to send the head of a request, and how long its body; a slower one is closed with 408";
    HTTP_IDLE_TIMEOUT = Value("75s"), Time(ms(10), s(60 * MINUTE)), API,
        "How long a connection is kept for another request, or for a client that takes nothing of its answer";
    HTTP_CONNECTIONS = Value("30000"), Number(1, 10_000_000), API,
        "Connections that one process has open, at most, sockets and event streams among them; more are closed with 503. It needs as many open files and some hundred more: the limit is raised to the hard one (ulimit -Hn), and where that is too low there are fewer connections and a warning";
    HTTP_CONNECTIONS_PER_ADDRESS = Value("2000"), Number(1, 10_000_000), API,
        "The same for one address (an IPv6 network of 64 bits), but not for loopback's and those of TRUSTED_PROXIES";
    TRUSTED_PROXIES = Value(""), Kind::Networks, API,
        "Proxies in front of the API, whose word in X-Forwarded-For counts for where a request comes from";
    REQUESTS_AT_ONCE = Value("auto"), NumberOrAuto(1, 1_000_000), API,
        "Queries that one process runs at once, at most, and half as many mutations, but no more than MYSQL_POOL_SIZE; auto is 16 for each processor. More wait for a moment, or not at all while many are refused, and are then refused with OVERLOADED. While many queries are refused a third as many mutations run";
    RATE_PER_ADDRESS = Value("1500000"), Number(0, 1_000_000_000), API,
        "What the operations of one address (an IPv6 network of 64 bits) may cost per minute, and at once; more are refused with RATE_LIMITED. 0 for no bound";
    RATE_PER_USER = Value("300000"), Number(0, 1_000_000_000), API,
        "The same for one user, wherever its requests come from";
    HEALTH_ADDR = PerProgram, Kind::Address, SERVERS,
        "Where /healthz, /readyz and /metrics are answered, for those who run the program; HTTP_ADDR has none of them";
    REQUEST_TIMEOUT = Value("10s"), Time(ms(50), s(5 * MINUTE)), API,
        "The deadline of a GraphQL request";
    LIVE_SUBSCRIPTIONS = Value("100000"), Number(1, 10_000_000), API,
        "Operations over sockets and event streams that one process has open, at most";
    LIVE_ANSWER_BYTES = Value("4194304"), Number(1_024, 1_073_741_824), API,
        "Bytes of one answer over a socket or event stream, at most; a larger one ends its operation with an error";
    SOCKETS = Value("20000"), Number(1, 1_000_000), API,
        "WebSockets and event streams of users that one process has open, at most; more are refused with 503, or closed with 1013 once they say who they are. Of clients that have not said it yet a quarter as many, of whom the first is closed with 1013 for the next";
    SOCKETS_PER_USER = Value("500"), Number(0, 1_000_000), API,
        "The same for one user. An event stream of many operations counts from when it is reserved. 0 for no bound but that for all";
    SOCKET_SUBSCRIPTIONS = Value("100"), Number(1, 100_000), API,
        "Operations that one socket has open, at most; more are answered with an error";
    SOCKET_MESSAGE_BYTES = Value("131072"), Number(128, 67_108_864), API,
        "Bytes of one message from a socket's client, at most; a larger one closes the socket with 1009";
    SOCKET_MESSAGE_RATE = Value("100"), Number(1, 1_000_000), API,
        "Messages a second that a socket's client may send, and ten seconds' worth at once; more close the socket with 1008";
    SOCKET_QUEUE_BYTES = Value("1048576"), Number(1_024, 1_073_741_824), API,
        "Bytes that wait for a socket's client before its operations are held back";
    SOCKET_QUEUE_MESSAGES = Value("64"), Number(1, 100_000), API,
        "Messages that wait for a socket's client before its operations are held back";
    SOCKET_WRITE_TIMEOUT = Value("10s"), Time(ms(10), s(5 * MINUTE)), API,
        "How long a socket's client may take to read one message; a slower one is closed with 1013";
    SOCKET_INIT_TIMEOUT = Value("10s"), Time(ms(10), s(5 * MINUTE)), API,
        "How long a socket's client may take to send connection_init";
    SOCKET_IDLE_TIMEOUT = Value("1m"), Time(ms(30), s(60 * MINUTE)), API,
        "How long a socket's client may be silent; it is pinged three times as often, and an answer to that is enough";
    LIVE_HANDOVER = Value("3s"), Time(ms(1), s(5 * MINUTE)), API,
        "Over how long sockets and event streams are ended, each at a time of its own, when the program is asked to stop; never more than half of SHUTDOWN_GRACE";
    READ_YOUR_WRITE_TIMEOUT = Value("2s"), Time(ms(1), s(MINUTE)), &[Program::Api],
        "How long a query with minVersion waits for that version, never more than half of REQUEST_TIMEOUT";
    IDEMPOTENCY_TTL = Value("24h"), Time(s(1), s(30 * DAY)), &[Program::Api, Program::OutboxRelay],
        "How long a mutation that is sent again with the same idempotencyKey is not made again";
    SHUTDOWN_GRACE = Value("10s"), Time(ms(50), s(10 * MINUTE)), ALL_PROGRAMS,
        "How long a program that was asked to stop may take to finish what it has in hand; a client that is slow to send a request, or to read an answer, has a fifth of it";
}
