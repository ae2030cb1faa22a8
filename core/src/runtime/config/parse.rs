//! From a variable's text to a value. An error says what is expected, and never repeats what was given: it may be secret.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use mongodb::options::{ConnectionString, HostInfo};
use tracing_subscriber::EnvFilter;

use super::table::Kind;
use crate::events::{Encoding, TopicNames};
use crate::runtime::network::Network;
use crate::runtime::settings::{Environment, KeySource};

/// Of a secret that signs tokens, at least: as much as the hash has (RFC 7518, section 3.2).
const TOKEN_SECRET_BYTES: usize = 32;
const MYSQL_FORM: &str = "mysql://user:password@host:port/database";
const MONGO_FORM: &str = "mongodb://host:port/database";

/// What a kind of value looks like, in words.
pub fn expected(kind: Kind) -> String {
    match kind {
        Kind::Environment => "development or production".to_owned(),
        Kind::MysqlDsn => MYSQL_FORM.to_owned(),
        Kind::MongoUri => MONGO_FORM.to_owned(),
        Kind::Choice(words) => match words {
            [] => "nothing".to_owned(),
            [only] => (*only).to_owned(),
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
        },
        Kind::File => "the path of a file that can be read".to_owned(),
        Kind::Text => "a text".to_owned(),
        Kind::Brokers => "host:port, or several of them with commas between".to_owned(),
        Kind::TopicPrefix => {
            "letters, digits, dots, hyphens and underscores, at most 100".to_owned()
        }
        Kind::Encoding => "json or protobuf".to_owned(),
        Kind::LogFilter => {
            "a level (error, warn, info, debug, trace) or module=level, with commas between"
                .to_owned()
        }
        Kind::Address => "ip:port, as in 127.0.0.1:4000".to_owned(),
        Kind::Hosts => {
            "names without ports and with commas between, as in shop.example,api".to_owned()
        }
        Kind::Origins => "origins with commas between, as in https://shop.example".to_owned(),
        Kind::Switch => "on, off or auto".to_owned(),
        Kind::TokenSecret => format!("{TOKEN_SECRET_BYTES} bytes or more"),
        Kind::KeySet => {
            "the path of a file, or an address as in https://login.example/.well-known/jwks.json"
                .to_owned()
        }
        Kind::Word => "a text without spaces".to_owned(),
        Kind::Networks => {
            "addresses and networks with commas between, as in 10.0.0.7,fd00::/8".to_owned()
        }
        Kind::Number(least, most) => format!("a whole number from {least} to {most}"),
        Kind::NumberOrAuto(least, most) => {
            format!("auto, or a whole number from {least} to {most}")
        }
        Kind::Time(least, most) => {
            format!(
                "a time such as 10ms, 5s or 15m, from {} to {}",
                time(least),
                time(most)
            )
        }
        Kind::Seconds(least, most) => format!("a time in whole seconds, from {least}s to {most}s"),
    }
}

fn time(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}

pub fn environment(text: &str) -> Option<Environment> {
    match text {
        "development" => Some(Environment::Development),
        "production" => Some(Environment::Production),
        _ => None,
    }
}

pub fn number(text: &str, least: u32, most: u32) -> Option<u32> {
    text.parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
}

/// `auto` is by the machine.
pub fn number_or_auto(text: &str, least: u32, most: u32, auto: u32) -> Option<u32> {
    if text == "auto" {
        return Some(auto.clamp(least, most));
    }
    number(text, least, most)
}

pub fn span(text: &str, least: Duration, most: Duration) -> Option<Duration> {
    humantime::parse_duration(text)
        .ok()
        .filter(|span| (least..=most).contains(span))
}

pub fn seconds(text: &str, least: u64, most: u64) -> Option<Duration> {
    span(text, Duration::from_secs(least), Duration::from_secs(most))
        .filter(|span| span.subsec_nanos() == 0)
}

pub fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

pub fn encoding(text: &str) -> Option<Encoding> {
    text.parse().ok()
}

pub fn log_filter(text: &str) -> Option<String> {
    EnvFilter::builder()
        .parse(text)
        .ok()
        .map(|_| text.to_owned())
}

pub fn topic_prefix(text: &str) -> Option<TopicNames> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (text.len() <= 100 && text.bytes().all(legal)).then(|| TopicNames::with_prefix(text))
}

pub fn choice(text: &str, words: &[&'static str]) -> Option<&'static str> {
    words.iter().find(|word| **word == text).copied()
}

pub fn brokers(text: &str) -> Option<String> {
    let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
    let good = brokers.iter().all(|broker| {
        broker
            .rsplit_once(':')
            .is_some_and(|(host, port)| is_host(host) && is_port(port))
    });
    good.then(|| brokers.join(","))
}

/// In small letters, as they are compared.
pub fn hosts(text: &str) -> Option<Vec<String>> {
    let hosts = list(text);
    hosts.iter().all(|host| is_host(host)).then_some(hosts)
}

/// In small letters, as they are compared.
pub fn origins(text: &str) -> Option<Vec<String>> {
    let is_origin = |text: &String| {
        let Some((scheme, place)) = text.split_once("://") else {
            return false;
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (place, None),
        };
        matches!(scheme, "http" | "https") && is_host(host) && port.is_none_or(is_port)
    };
    let origins = list(text);
    origins.iter().all(is_origin).then_some(origins)
}

pub fn switch(text: &str, auto: bool) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        "auto" => Some(auto),
        _ => None,
    }
}

/// None is the empty one.
pub fn token_secret(text: &str) -> Option<String> {
    (text.is_empty() || text.len() >= TOKEN_SECRET_BYTES).then(|| text.to_owned())
}

/// None is the empty one.
pub fn key_set(text: &str) -> Option<KeySource> {
    if text.is_empty() {
        return Some(KeySource::None);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Some(KeySource::File(text.into()));
    };
    let place = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let is_good = matches!(scheme, "http" | "https")
        && is_host(host)
        && port.is_none_or(is_port)
        && !text.contains(char::is_whitespace);
    is_good.then(|| KeySource::Address(text.to_owned()))
}

pub fn word(text: &str) -> Option<String> {
    let is_good = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    is_good.then(|| text.to_owned())
}

pub fn networks(text: &str) -> Option<Vec<Network>> {
    let networks = list(text).into_iter().map(|one| one.parse().ok());
    networks.collect()
}

fn list(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',')
        .map(|one| one.trim().to_ascii_lowercase())
        .collect()
}

/// Checks the address of `MongoDB` by the driver's own rules, and that it names a database.
pub fn mongo_uri(text: &str) -> Result<String, String> {
    let wrong = |what: &str| format!("expected {MONGO_FORM}; {what}");
    if !text.starts_with("mongodb://") && !text.starts_with("mongodb+srv://") {
        return Err(wrong("it does not begin with mongodb://"));
    }
    // The driver's words are left out: they may quote the password.
    let parsed = ConnectionString::parse(text)
        .map_err(|_| wrong("host, port, password or an option can not be read"))?;
    if matches!(&parsed.host_info, HostInfo::HostIdentifiers(hosts) if hosts.is_empty()) {
        return Err(wrong("the host is missing"));
    }
    match parsed.default_database.as_deref() {
        None | Some("") => Err(wrong("the database is missing")),
        Some(_) => Ok(text.to_owned()),
    }
}

/// Checks the address of MySQL. The form that Go programs use is answered with this one.
pub fn mysql_dsn(text: &str) -> Result<String, String> {
    if let Some(url) = from_go_form(text) {
        return Err(format!("the Go form is not read; write {url}"));
    }
    let wrong = |what: &str| Err(format!("expected {MYSQL_FORM}; {what}"));
    let Some(rest) = text.strip_prefix("mysql://") else {
        return wrong("it does not begin with mysql://");
    };
    let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
    if options.split('&').any(is_about_tls) {
        return wrong("TLS is for MYSQL_TLS and MYSQL_TLS_CA to say, not for the address");
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let Some((login, server)) = authority.rsplit_once('@') else {
        return wrong("the user is missing (in a password, write / as %2F, ? as %3F and @ as %40)");
    };
    let (host, port) = server.rsplit_once(':').unwrap_or((server, "3306"));
    if login.is_empty() || login.starts_with(':') {
        wrong("the user is missing")
    } else if !is_host(host) {
        wrong("the host is missing or not valid")
    } else if !is_port(port) {
        wrong("the port is not a number from 1 to 65535")
    } else if database.is_empty() || database.contains('/') {
        wrong("the database is missing or not one name")
    } else {
        Ok(text.to_owned())
    }
}

/// Whether an option of the driver would change whether, or of whom, a certificate is wanted.
fn is_about_tls(option: &str) -> bool {
    let name = option.split('=').next().unwrap_or_default();
    matches!(
        name,
        "require_ssl" | "verify_ca" | "verify_identity" | "built_in_roots"
    )
}

/// `user:password@tcp(host:port)/database?parameters` in the form that is read, the password as `…`.
fn from_go_form(text: &str) -> Option<String> {
    let text = text.strip_prefix("mysql://").unwrap_or(text);
    // The last one: a password may hold the same characters.
    let (login, rest) = text.rsplit_once("@tcp(")?;
    let (server, rest) = rest.split_once(')')?;
    let database = rest
        .strip_prefix('/')?
        .split('?')
        .next()
        .unwrap_or_default();
    let user = match login.split_once(':') {
        Some((user, _password)) => format!("{}:…", percent_encoded(user)),
        None => percent_encoded(login),
    };
    let server = match server {
        "" => "127.0.0.1:3306".to_owned(),
        host if !host.contains(':') => format!("{host}:3306"),
        host_and_port => host_and_port.to_owned(),
    };
    let database = if database.is_empty() {
        "database"
    } else {
        database
    };
    Some(format!("mysql://{user}@{server}/{database}"))
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest
            .strip_suffix(']')
            .is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said about an address that is not taken.
    fn complaint(parse: fn(&str) -> Result<String, String>, bad: &str, secret: &str) -> String {
        let Err(line) = parse(bad) else {
            panic!("{bad} was taken")
        };
        assert!(!line.contains(secret), "{line} shows the password");
        line
    }

    #[test]
    fn hosts_and_origins_are_lists_that_may_be_empty() {
        let owned = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
        assert_eq!(hosts(""), owned(&[]));
        assert_eq!(
            hosts("Shop.example, [::1]"),
            owned(&["shop.example", "[::1]"])
        );
        for bad in ["shop.example:80", "a,", "http://a", "*"] {
            assert_eq!(hosts(bad), None, "{bad}");
        }
        assert_eq!(origins(""), owned(&[]));
        let good = [
            "https://shop.example",
            "http://localhost:3000",
            "http://[::1]",
            "http://[::1]:1",
        ];
        assert_eq!(origins(&good.join(" ,")), owned(&good));
        for bad in [
            "shop.example",
            "https://a/",
            "ftp://a",
            "null",
            "https://",
            "http://a:x",
        ] {
            assert_eq!(origins(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_address_of_mysql_has_all_its_parts() {
        for good in [
            "mysql://root@localhost/shop",
            "mysql://a:@[::1]:3306/shop",
            "mysql://a:b@h_1/s?x=/y@z",
            "mysql://ann:p%40ss@db.example:3306/orders?compression=fast",
        ] {
            assert_eq!(mysql_dsn(good).as_deref(), Ok(good));
        }
        for (bad, hint) in [
            ("postgres://a:hush@h/s", "mysql://"),
            ("mysql://h:3306/s", "user"),
            ("mysql://:hush@h/s", "user"),
            ("mysql://a:hush/hush@h/s", "%2F"),
            ("mysql://a:hush@/s", "host"),
            ("mysql://a:hush@h:port/s", "port"),
            ("mysql://a:hush@h:0/s", "port"),
            ("mysql://a:hush@h:3306", "database"),
            ("mysql://a:hush@h:3306/", "database"),
            ("mysql://a:hush@h:3306/s/t", "database"),
            ("mysql://a:hush@h/s?x=y&verify_ca=false", "MYSQL_TLS"),
            // A socket has no form as a URL.
            ("a:hush@unix(/run/mysql.sock)/s", "mysql://"),
        ] {
            let line = complaint(mysql_dsn, bad, "hush");
            assert!(
                line.contains(hint) && line.contains(MYSQL_FORM),
                "{bad}: {line}"
            );
        }
    }

    #[test]
    fn the_go_form_is_answered_with_the_new_one() {
        for (go, url) in [
            (
                "shop:hush@tcp(db:3306)/shop?parseTime=true",
                "mysql://shop:…@db:3306/shop",
            ),
            (
                "shop:hu@tcp(sh@tcp([::1]:3307)/shop",
                "mysql://shop:…@[::1]:3307/shop",
            ),
            ("shop:h/u:s@hu@tcp(db)/", "mysql://shop:…@db:3306/database"),
            (
                "me@corp:hush@tcp()/shop",
                "mysql://me%40corp:…@127.0.0.1:3306/shop",
            ),
            (
                "mysql://shop@tcp(db:3306)/shop",
                "mysql://shop@db:3306/shop",
            ),
        ] {
            let line = complaint(mysql_dsn, go, "hu");
            assert_eq!(line, format!("the Go form is not read; write {url}"));
        }
    }

    #[test]
    fn an_address_of_mongodb_names_a_database() {
        for good in [
            "mongodb://h/shop",
            "mongodb://a:b@h:27017/shop?authSource=admin",
            "mongodb://a:b@h:1,i:2/shop?replicaSet=rs",
            "mongodb+srv://a:b@c.example/shop",
        ] {
            assert_eq!(mongo_uri(good).as_deref(), Ok(good));
        }
        for (bad, hint) in [
            ("h:27017/shop", "mongodb://"),
            ("mongodb://", "host"),
            ("mongodb:///shop", "host"),
            ("mongodb://h:27017", "database"),
            ("mongodb://a:hush@h:27017/", "database"),
            ("mongodb://a:hush@h:x/s", "can not be read"),
            ("mongodb://a:hush@h/s?maxPoolSize=hush", "can not be read"),
        ] {
            let line = complaint(mongo_uri, bad, "hush");
            assert!(
                line.contains(hint) && line.contains(MONGO_FORM),
                "{bad}: {line}"
            );
        }
    }
}
