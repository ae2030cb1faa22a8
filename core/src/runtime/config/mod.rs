//! Reads settings from the environment and checks them, all at once.
//!
//! To add one: 1. a row in `table.rs`, 2. a field in [`Settings`], 3. its line in [`Settings::read`], 4. `UPDATE=1 cargo test -p
//! shop-core config::docs` writes `docs/settings.md`, `.env.example` and the table in `README.md` anew.

#[cfg(test)]
mod docs;
mod parse;
mod protect;
pub mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use table::{Fallback, Kind, Setting};

use super::settings::{
    ConsumerSettings, EdgeSettings, Environment, HttpSettings, IdentitySettings, KNOWN_SECRET,
    KafkaSettings, KeySource, MongoSettings, MysqlSettings, OutboxSettings, RetentionSettings,
    Settings, SocketSettings, TokenKeys,
};
use super::{EXIT_USAGE, Program};
use crate::events::{Encoding, TopicNames};

/// What `auto` is for each processor: enough to keep it busy while most of them wait for a server.
const PER_PROCESSOR: u32 = 16;
/// Characters of a bad value that are repeated, at most.
const SHOWN_CHARS: usize = 80;

/// Every setting that can not be used: one line each, naming the variable, what was given and what is expected. Values of secret
/// settings are not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(Vec<String>);

impl ConfigErrors {
    /// The code a program ends with (`EX_USAGE`).
    pub const EXIT_CODE: u8 = EXIT_USAGE;

    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Settings {
    /// The settings in this process's environment. An unset [`Settings::health_addr`] is any free port of loopback; a program started
    /// by [`main`](super::main) has an address of its own.
    ///
    /// # Errors
    /// [`ConfigErrors`] with every bad value; the program should end with [`ConfigErrors::EXIT_CODE`].
    pub fn from_env() -> Result<Self, ConfigErrors> {
        Self::read(&variable)
    }

    /// The same for a program: its own address for health where none is set.
    ///
    /// # Errors
    /// As [`Settings::from_env`].
    pub fn from_env_for(program: Program) -> Result<Self, ConfigErrors> {
        Self::read_for(Some(program), &with_program_defaults(program, &variable))
    }

    /// Reads settings from any place that gives values by name. Absent and empty are the same.
    ///
    /// # Errors
    /// [`ConfigErrors`] with every bad value.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        Self::read_for(None, lookup)
    }

    /// What production must be told it must tell only to those who read it: no program is to have a secret for nothing.
    fn read_for(
        program: Option<Program>,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(program, lookup);
        let request_timeout = reader.time(&table::REQUEST_TIMEOUT);
        let shutdown_grace = reader.time(&table::SHUTDOWN_GRACE);
        let idempotency_ttl = reader.time(&table::IDEMPOTENCY_TTL);
        let requests_at_once: usize = reader.number(&table::REQUESTS_AT_ONCE);
        let mysql_pool_size: usize = reader.number(&table::MYSQL_POOL_SIZE);
        let settings = Self {
            environment: reader.environment,
            log: reader.simple(&table::LOG, parse::log_filter),
            mysql: MysqlSettings {
                dsn: reader.checked(&table::MYSQL_DSN, parse::mysql_dsn),
                pool_size: mysql_pool_size,
                timeout: reader.time(&table::MYSQL_TIMEOUT),
                tls: reader.mysql_tls(),
            },
            mongo: MongoSettings {
                uri: reader.checked(&table::MONGO_URI, parse::mongo_uri),
                pool_size: reader.number(&table::MONGO_POOL_SIZE),
                timeout: reader.time(&table::MONGO_TIMEOUT),
            },
            kafka: KafkaSettings {
                brokers: reader.simple(&table::KAFKA_BROKERS, parse::brokers),
                topics: reader.simple::<TopicNames>(&table::TOPIC_PREFIX, parse::topic_prefix),
                partitions: reader.number(&table::TOPIC_PARTITIONS),
                replication: reader.number(&table::TOPIC_REPLICATION),
                encoding: reader.simple::<Encoding>(&table::EVENT_ENCODING, parse::encoding),
                security: reader.kafka_security(),
            },
            outbox: OutboxSettings {
                poll_interval: reader.time(&table::OUTBOX_POLL_INTERVAL),
                batch: reader.number(&table::OUTBOX_BATCH),
                lease: reader.time(&table::RELAY_LEASE),
            },
            retention: RetentionSettings {
                outbox: reader.time(&table::OUTBOX_RETENTION),
                inbox: reader.time(&table::INBOX_RETENTION),
                idempotency: idempotency_ttl,
                interval: reader.time(&table::PRUNE_INTERVAL),
                batch: reader.number(&table::PRUNE_BATCH),
            },
            consumer: ConsumerSettings {
                workers: reader.number(&table::CONSUMER_WORKERS),
                batch: reader.number(&table::CONSUMER_BATCH),
                slot: reader.number(&table::CONSUMER_SLOT),
                session_timeout: reader.time(&table::CONSUMER_SESSION_TIMEOUT),
                retry_first_wait: reader.time(&table::RETRY_FIRST_WAIT),
                retry_max_elapsed: reader.time(&table::RETRY_MAX_ELAPSED),
            },
            payment_timeout: reader.time(&table::PAYMENT_TIMEOUT),
            payment_check_interval: reader.time(&table::PAYMENT_CHECK_INTERVAL),
            http_addr: reader.address(&table::HTTP_ADDR).unwrap_or(NOWHERE),
            identity: reader.identity(),
            edge: EdgeSettings {
                hosts: reader.simple(&table::HTTP_ALLOWED_HOSTS, parse::hosts),
                origins: reader.simple(&table::HTTP_ALLOWED_ORIGINS, parse::origins),
                https_only: reader.switch_by(&table::HTTPS_ONLY, Environment::Production),
                introspection: reader.switch_by(&table::INTROSPECTION, Environment::Development),
                explorers: reader.switch_by(&table::EXPLORERS, Environment::Development),
                subscriptions: reader.number(&table::LIVE_SUBSCRIPTIONS),
                answer_bytes: reader.number(&table::LIVE_ANSWER_BYTES),
                sockets: reader.number(&table::SOCKETS),
                sockets_per_user: reader.number(&table::SOCKETS_PER_USER),
                http: HttpSettings {
                    body_bytes: reader.number(&table::HTTP_BODY_BYTES),
                    read_timeout: reader.time(&table::HTTP_READ_TIMEOUT),
                    idle_timeout: reader.time(&table::HTTP_IDLE_TIMEOUT),
                    drain: shutdown_grace / 5,
                    connections: reader.number(&table::HTTP_CONNECTIONS),
                    connections_per_address: reader.number(&table::HTTP_CONNECTIONS_PER_ADDRESS),
                    trusted_proxies: reader.simple(&table::TRUSTED_PROXIES, parse::networks),
                    requests_at_once,
                    mutations_at_once: requests_at_once.div_ceil(2).min(mysql_pool_size),
                    rate_per_address: reader.number(&table::RATE_PER_ADDRESS),
                    rate_per_user: reader.number(&table::RATE_PER_USER),
                },
                socket: socket(&mut reader, shutdown_grace),
            },
            health_addr: reader.address(&table::HEALTH_ADDR).unwrap_or(NOWHERE),
            request_timeout,
            read_your_write_timeout: reader
                .time(&table::READ_YOUR_WRITE_TIMEOUT)
                .min(request_timeout / 2),
            idempotency_ttl,
            shutdown_grace,
        };
        reader.want_protection(&settings);
        if reader.errors.is_empty() {
            Ok(settings)
        } else {
            Err(ConfigErrors(reader.errors))
        }
    }
}

/// What each socket may.
fn socket(reader: &mut Reader<'_>, shutdown_grace: Duration) -> SocketSettings {
    SocketSettings {
        subscriptions: reader.number(&table::SOCKET_SUBSCRIPTIONS),
        message_bytes: reader.number(&table::SOCKET_MESSAGE_BYTES),
        message_rate: reader.number(&table::SOCKET_MESSAGE_RATE),
        queue_bytes: reader.number(&table::SOCKET_QUEUE_BYTES),
        queue_messages: reader.number(&table::SOCKET_QUEUE_MESSAGES),
        write_timeout: reader.time(&table::SOCKET_WRITE_TIMEOUT),
        init_timeout: reader.time(&table::SOCKET_INIT_TIMEOUT),
        idle_timeout: reader.time(&table::SOCKET_IDLE_TIMEOUT),
        handover: reader.time(&table::LIVE_HANDOVER).min(shutdown_grace / 2),
    }
}

/// Any free port of loopback. Stands also where a bad address was given; nobody sees that.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// How much of a thing that keeps processors busy is good for this machine.
fn by_processors() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(processors)
        .unwrap_or(u32::MAX)
        .saturating_mul(PER_PROCESSOR)
}

/// What is not Unicode comes with replacement characters, which no setting accepts.
#[expect(
    clippy::disallowed_methods,
    reason = "the legal home of the environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

fn with_program_defaults(
    program: Program,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> impl Fn(&str) -> Option<String> {
    move |name| {
        let value = lookup(name).filter(|value| !value.is_empty());
        if name == table::HEALTH_ADDR.name {
            value.or_else(|| program.health_addr().map(str::to_owned))
        } else {
            value
        }
    }
}

/// Reads values one by one and gathers what is wrong. After an error it hands out a placeholder, which nobody sees: with an
/// error there are no settings.
struct Reader<'a> {
    /// For whom; `None` is for all of them.
    program: Option<Program>,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    environment: Environment,
    errors: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(program: Option<Program>, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let mut reader = Self {
            program,
            lookup,
            environment: Environment::Development,
            errors: Vec::new(),
        };
        let setting = &table::ENV;
        if let Some(text) = reader.text(setting) {
            match parse::environment(&text) {
                Some(Environment::Development) => {}
                Some(environment @ Environment::Production) => reader.environment = environment,
                None => reader.reject(setting, &text, &parse::expected(setting.kind)),
            }
        }
        reader
    }

    /// The variable's value, or what holds without it. `None` if there is no such thing; then an error is noted where one is due.
    fn text(&mut self, setting: &Setting) -> Option<String> {
        match self.given(setting) {
            Ok(None) => {}
            Ok(given) => return given,
            Err(problem) => {
                self.errors.push(problem);
                return None;
            }
        }
        match setting.fallback {
            Fallback::DevelopmentOnly(_) if self.must_be_told(setting) => {
                let expected = parse::expected(setting.kind);
                self.errors.push(format!(
                    "{} is not set: production needs it, as {expected}",
                    setting.name
                ));
                None
            }
            Fallback::Value(value) | Fallback::DevelopmentOnly(value) => Some(value.to_owned()),
            Fallback::PerProgram => None,
        }
    }

    /// What the variable says, or the file that it names; else what is wrong.
    fn given(&self, setting: &Setting) -> Result<Option<String>, String> {
        let name = setting.name;
        let value = |name: &str| (self.lookup)(name).filter(|value| !value.is_empty());
        let file = setting.secret.then(|| value(&format!("{name}_FILE")));
        match (value(name), file.flatten()) {
            (plain, None) => Ok(plain),
            (Some(_), Some(_)) => Err(format!(
                "{name} and {name}_FILE are both set: one of them is enough"
            )),
            (None, Some(file)) => match protect::secret_in(&file) {
                Ok(secret) => Ok(Some(secret)),
                Err(error) => Err(format!("{name}_FILE can not be {file:?}: {error}")),
            },
        }
    }

    fn reject(&mut self, setting: &Setting, given: &str, expected: &str) {
        let name = setting.name;
        self.errors.push(if setting.secret {
            format!("{name} can not be used (its value is secret and not shown): {expected}")
        } else {
            let shown: String = given.chars().take(SHOWN_CHARS).collect();
            let more = if shown.len() < given.len() { "…" } else { "" };
            format!("{name} can not be {shown:?}{more}: expected {expected}")
        });
    }

    fn get<T>(&mut self, setting: &Setting, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(setting)?;
        let value = parse(&text);
        if value.is_none() {
            self.reject(setting, &text, &parse::expected(setting.kind));
        }
        value
    }

    fn simple<T: Default>(&mut self, setting: &Setting, parse: fn(&str) -> Option<T>) -> T {
        self.get(setting, parse).unwrap_or_default()
    }

    fn must_be_told(&self, setting: &Setting) -> bool {
        let reads = |program| setting.readers.contains(&program);
        self.environment == Environment::Production && self.program.is_none_or(reads)
    }

    fn identity(&mut self) -> IdentitySettings {
        IdentitySettings {
            keys: self.token_keys(),
            issuer: self.simple(&table::JWT_ISSUER, parse::word),
            audience: self.simple(&table::JWT_AUDIENCE, parse::word),
            role_claim: self.simple(&table::JWT_ROLE_CLAIM, parse::word),
        }
    }

    /// One of two settings says how tokens are verified; in production one must.
    fn token_keys(&mut self) -> TokenKeys {
        let secret = self.simple(&table::JWT_SECRET, parse::token_secret);
        let source = self.simple(&table::JWT_JWKS, parse::key_set);
        let is_production = self.environment == Environment::Production;
        match (secret.is_empty(), &source) {
            (false, KeySource::None) => {
                if is_production && secret == KNOWN_SECRET {
                    self.complain("JWT_SECRET is the one of development, which everybody knows");
                }
                return TokenKeys::Secret(secret);
            }
            (false, _) => self.complain("JWT_SECRET and JWT_JWKS are both set: one must go"),
            (true, KeySource::None) if self.must_be_told(&table::JWT_SECRET) => {
                self.complain("neither JWT_SECRET nor JWT_JWKS is set: production needs one");
            }
            (true, KeySource::None) => return TokenKeys::EverybodyKnows,
            (true, KeySource::Address(address))
                if is_production && address.starts_with("http://") =>
            {
                self.complain("JWT_JWKS is read without TLS: production needs https://");
            }
            (true, _) => {}
        }
        TokenKeys::Published(source)
    }

    fn complain(&mut self, line: &str) {
        self.errors.push(line.to_owned());
    }

    /// `auto` is on in one environment alone.
    fn switch_by(&mut self, setting: &Setting, on_in: Environment) -> bool {
        let auto = self.environment == on_in;
        self.get(setting, |text| parse::switch(text, auto))
            .unwrap_or_default()
    }

    fn address(&mut self, setting: &Setting) -> Option<SocketAddr> {
        self.get(setting, parse::address)
    }

    fn checked(&mut self, setting: &Setting, parse: fn(&str) -> Result<String, String>) -> String {
        let Some(text) = self.text(setting) else {
            return String::new();
        };
        parse(&text).unwrap_or_else(|expected| {
            self.reject(setting, &text, &expected);
            String::new()
        })
    }

    fn number<T: TryFrom<u32> + Default>(&mut self, setting: &Setting) -> T {
        self.get(setting, |text| {
            let number = match setting.kind {
                Kind::Number(least, most) => parse::number(text, least, most),
                Kind::NumberOrAuto(least, most) => {
                    parse::number_or_auto(text, least, most, by_processors())
                }
                _ => None,
            };
            number.and_then(|number| T::try_from(number).ok())
        })
        .unwrap_or_default()
    }

    fn time(&mut self, setting: &Setting) -> Duration {
        self.get(setting, |text| match setting.kind {
            Kind::Time(least, most) => parse::span(text, least, most),
            Kind::Seconds(least, most) => parse::seconds(text, least, most),
            _ => None,
        })
        .unwrap_or_default()
    }
}
