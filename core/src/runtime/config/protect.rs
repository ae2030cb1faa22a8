//! How servers are spoken to, as whom, and that nobody on the way listens where it counts.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use mongodb::options::{ConnectionString, HostInfo, ServerAddress, Tls as MongoTls};

use super::table::{self, Kind, Setting};
use super::{Reader, parse};
use crate::runtime::settings::{Environment, KafkaSecurity, Sasl, Settings, Tls};

/// A secret in a file, without the line's end that editors put there.
pub(super) fn secret_in(file: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err("the file is empty".to_owned());
    }
    Ok(secret.to_owned())
}

impl Reader<'_> {
    /// The word that was chosen.
    fn choice(&mut self, setting: &Setting) -> &'static str {
        let Kind::Choice(words) = setting.kind else {
            return "";
        };
        self.get(setting, |text| parse::choice(text, words))
            .unwrap_or_default()
    }

    fn tls(&mut self, wanted: bool, ca: &Setting) -> Tls {
        let readable = |text: &str| {
            let file = Path::new(text);
            (text.is_empty() || std::fs::File::open(file).is_ok()).then(|| file.to_owned())
        };
        let ca = self.get(ca, readable).unwrap_or_default();
        let ca = Some(ca).filter(|ca| *ca != PathBuf::new());
        if wanted {
            Tls::Required { ca }
        } else {
            Tls::Off
        }
    }

    pub(super) fn mysql_tls(&mut self) -> Tls {
        let wanted = self.choice(&table::MYSQL_TLS) == "required";
        self.tls(wanted, &table::MYSQL_TLS_CA)
    }

    pub(super) fn kafka_security(&mut self) -> KafkaSecurity {
        let protocol = self.choice(&table::KAFKA_SECURITY_PROTOCOL);
        let tls = self.tls(protocol.ends_with("SSL"), &table::KAFKA_TLS_CA);
        let mechanism = self.choice(&table::KAFKA_SASL_MECHANISM);
        let mut text = |setting: &Setting| self.text(setting).unwrap_or_default();
        let username = text(&table::KAFKA_SASL_USERNAME);
        let password = text(&table::KAFKA_SASL_PASSWORD);
        if !protocol.starts_with("SASL") {
            return KafkaSecurity { tls, sasl: None };
        }
        for (setting, value) in [
            (&table::KAFKA_SASL_USERNAME, &username),
            (&table::KAFKA_SASL_PASSWORD, &password),
        ] {
            if value.is_empty() {
                let name = setting.name;
                self.errors.push(format!(
                    "{name} is not set: KAFKA_SECURITY_PROTOCOL={protocol} needs it"
                ));
            }
        }
        let sasl = Some(Sasl {
            mechanism,
            username,
            password,
        });
        KafkaSecurity { tls, sasl }
    }

    /// In production nothing is said in plain text to another machine, unless that is wanted, and TLS always asks who is there. The
    /// addresses of MySQL and the settings of Kafka have no way to leave that out.
    pub(super) fn want_protection(&mut self, settings: &Settings) {
        let wanted = self.choice(&table::PLAINTEXT_SERVERS) == "yes";
        if self.environment != Environment::Production {
            return;
        }
        if believes_anybody(&settings.mongo.uri) {
            let name = table::MONGO_URI.name;
            self.errors.push(format!(
                "{name} takes any certificate, so that anybody can be the server: leave tlsInsecure and tlsAllowInvalidCertificates \
                 out of it, and name who vouches for the server with tlsCAFile="
            ));
        }
        if wanted {
            return;
        }
        let in_plain = |name: &str, cure: &str| {
            format!(
                "{name} leads to another machine in plain text: {cure}, or PLAINTEXT_SERVERS=yes if the network itself is trusted"
            )
        };
        if settings.mysql.tls == Tls::Off && leads_away(&mysql_hosts(&settings.mysql.dsn)) {
            self.errors
                .push(in_plain(table::MYSQL_DSN.name, "set MYSQL_TLS=required"));
        }
        if leads_away(&plain_mongo_hosts(&settings.mongo.uri)) {
            self.errors
                .push(in_plain(table::MONGO_URI.name, "add tls=true to it"));
        }
        let kafka = &settings.kafka;
        if kafka.security.tls == Tls::Off && leads_away(&broker_hosts(&kafka.brokers)) {
            let cure = "set KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL";
            self.errors.push(in_plain(table::KAFKA_BROKERS.name, cure));
        }
    }
}

fn leads_away(hosts: &[String]) -> bool {
    let is_here = |host: &String| {
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let ip: Option<IpAddr> = name.parse().ok();
        name.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback())
    };
    !hosts.iter().all(is_here)
}

fn without_port(server: &str) -> String {
    let (host, port) = server.rsplit_once(':').unwrap_or((server, ""));
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    if is_port { host } else { server }.to_owned()
}

/// The address is one that was checked, or empty.
fn mysql_hosts(dsn: &str) -> Vec<String> {
    let address = dsn.split('?').next().unwrap_or_default();
    let server = address.rsplit_once('@').map(|(_, rest)| rest);
    let server = server.and_then(|rest| rest.split('/').next());
    server.map(without_port).into_iter().collect()
}

fn broker_hosts(brokers: &str) -> Vec<String> {
    let brokers = brokers.split(',').filter(|broker| !broker.is_empty());
    brokers.map(without_port).collect()
}

/// Whether an option keeps the driver from checking certificates; it reads their names in large and small letters.
fn believes_anybody(uri: &str) -> bool {
    let parsed = ConnectionString::parse(uri);
    parsed.is_ok_and(|parsed| match parsed.tls {
        Some(MongoTls::Enabled(tls)) => tls.allow_invalid_certificates == Some(true),
        _ => false,
    })
}

/// None if TLS is on. What is looked up in the DNS is spoken to over TLS unless the address says otherwise.
fn plain_mongo_hosts(uri: &str) -> Vec<String> {
    let Ok(parsed) = ConnectionString::parse(uri) else {
        return Vec::new();
    };
    if matches!(parsed.tls, Some(MongoTls::Enabled(_))) {
        return Vec::new();
    }
    match parsed.host_info {
        HostInfo::HostIdentifiers(hosts) => hosts
            .into_iter()
            .filter_map(|address| match address {
                ServerAddress::Tcp { host, .. } => Some(host),
                _ => None, // a socket is on this machine
            })
            .collect(),
        HostInfo::DnsRecord(name) => vec![name],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said about these settings in production.
    fn complaints(given: &[(&str, &str)]) -> Vec<String> {
        let here = [
            ("ENV", "production"),
            ("MYSQL_DSN", "mysql://a:hush@127.0.0.2:3306/s"),
            ("MONGO_URI", "mongodb://a:hush@[::1]:27017,localhost/s"),
            ("KAFKA_BROKERS", "localhost:9092,[::1]:9092"),
        ];
        let lookup = |name: &str| {
            let mut all = given.iter().chain(&here);
            let found = all.find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let lines = match Settings::read(&lookup) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.lines().to_vec(),
        };
        let about = |line: &String| line.contains("plain text") || line.contains("certificate");
        lines.into_iter().filter(about).collect()
    }

    fn read(given: &[(&str, &str)]) -> Result<Settings, String> {
        let lookup = |name: &str| {
            let found = given.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&lookup).map_err(|errors| errors.to_string())
    }

    #[test]
    fn tls_and_users_are_read() {
        let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"); // any file will do
        let settings = read(&[
            ("MYSQL_TLS", "required"),
            ("MYSQL_TLS_CA", ca),
            ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
            ("KAFKA_SASL_USERNAME", "shop"),
            ("KAFKA_SASL_PASSWORD", "hush"),
        ])
        .expect("good settings");
        let ca = Some(PathBuf::from(ca));
        assert_eq!(settings.mysql.tls, Tls::Required { ca });
        assert_eq!(settings.kafka.security.tls, Tls::Required { ca: None });
        let sasl = settings.kafka.security.sasl.as_ref().expect("a user");
        assert_eq!(
            (sasl.mechanism, &*sasl.username, &*sasl.password),
            ("SCRAM-SHA-512", "shop", "hush")
        );
        assert!(!format!("{settings:?}").contains("hush"));

        for (name, value, hint) in [
            ("MYSQL_TLS", "preferred", "off or required"),
            ("MYSQL_TLS_CA", "/nowhere/ca.pem", "a file that can be read"),
            (
                "KAFKA_SECURITY_PROTOCOL",
                "TLS",
                "SASL_PLAINTEXT or SASL_SSL",
            ),
            (
                "KAFKA_SECURITY_PROTOCOL",
                "SASL_SSL",
                "KAFKA_SASL_PASSWORD is not set",
            ),
        ] {
            let error = read(&[(name, value)]).expect_err("it was taken");
            assert!(error.contains(hint), "{name}={value}: {error}");
        }
    }

    #[test]
    fn a_secret_can_be_in_a_file_and_is_not_shown_from_there_either() {
        let file = std::env::temp_dir().join(format!("{}.secret", crate::runtime::ids::fresh()));
        let path = file.to_str().expect("a path in UTF-8").to_owned();
        let given = [("MYSQL_DSN_FILE", path.as_str())];
        let error = read(&given).expect_err("there is no such file");
        assert!(error.starts_with("MYSQL_DSN_FILE can not be"), "{error}");

        std::fs::write(&file, "mysql://a:hush@h/s\n").expect("a file");
        assert_eq!(
            read(&given).expect("it is good").mysql.dsn,
            "mysql://a:hush@h/s"
        );
        let twice = [given[0], ("MYSQL_DSN", "mysql://a:hush@h/s")];
        let error = read(&twice).expect_err("both are given");
        assert!(
            error.contains("both set") && !error.contains("hush"),
            "{error}"
        );
        std::fs::write(&file, "mysql://a:hush@h").expect("a file");
        let error = read(&given).expect_err("no database");
        assert!(
            error.contains("is secret") && !error.contains("hush"),
            "{error}"
        );
        std::fs::remove_file(&file).expect("it is there");

        // What is no secret is not read from a file.
        assert!(read(&[("KAFKA_BROKERS_FILE", "/nowhere")]).is_ok());
    }

    #[test]
    fn production_speaks_to_no_other_machine_in_plain_text() {
        assert_eq!(complaints(&[]), Vec::<String>::new());
        for (name, value, cure) in [
            (
                "MYSQL_DSN",
                "mysql://a:hush@db/s",
                ("MYSQL_TLS", "required"),
            ),
            (
                "MYSQL_DSN",
                "mysql://a:hush@10.0.0.7:3306/s",
                ("MYSQL_TLS", "required"),
            ),
            (
                "KAFKA_BROKERS",
                "localhost:9092,b:9093",
                ("KAFKA_SECURITY_PROTOCOL", "SSL"),
            ),
            (
                "MONGO_URI",
                "mongodb://a:hush@localhost,b:2/s",
                ("MONGO_URI", "mongodb://a:hush@localhost,b:2/s?tls=true"),
            ),
            (
                "MONGO_URI",
                "mongodb+srv://a:hush@c.example/s?tls=false",
                ("MONGO_URI", "mongodb+srv://a:hush@c.example/s"),
            ),
        ] {
            let lines = complaints(&[(name, value)]);
            assert_eq!(lines.len(), 1, "{name}={value}: {lines:?}");
            assert!(lines[0].starts_with(name) && !lines[0].contains("hush"));
            assert!(complaints(&[cure, (name, value)]).is_empty(), "{value}");
            let trusted = ("PLAINTEXT_SERVERS", "yes");
            assert!(complaints(&[(name, value), trusted]).is_empty());
            let development = ("ENV", "development");
            assert!(complaints(&[development, (name, value)]).is_empty());
        }
    }

    #[test]
    fn production_takes_no_certificate_that_nobody_vouches_for() {
        for option in [
            "tlsInsecure=true",
            "tls=true&tlsInsecure=true",
            "TLSINSECURE=true",
            "tlsAllowInvalidCertificates=true",
            "tlsallowinvalidcertificates=true&ssl=true",
            "tlsInsecure=%74rue",
        ] {
            for address in ["mongodb://a:hush@b:2/s", "mongodb+srv://a:hush@c.example/s"] {
                let uri = format!("{address}?{option}");
                let trusted = ("PLAINTEXT_SERVERS", "yes");
                for given in [
                    &[("MONGO_URI", &*uri)][..],
                    &[("MONGO_URI", &*uri), trusted],
                ] {
                    let lines = complaints(given);
                    assert_eq!(lines.len(), 1, "{uri}: {lines:?}");
                    assert!(lines[0].starts_with("MONGO_URI") && !lines[0].contains("hush"));
                    assert!(lines[0].contains("tlsCAFile"), "{lines:?}");
                }
                let development = ("ENV", "development");
                assert!(complaints(&[development, ("MONGO_URI", &*uri)]).is_empty());
            }
        }
        for option in ["tls=true", "tls=true&tlsInsecure=false"] {
            let uri = format!("mongodb://a:hush@b:2/s?{option}");
            assert!(complaints(&[("MONGO_URI", &*uri)]).is_empty(), "{uri}");
        }
        // Neither the driver nor we know another way to say yes.
        let uri = "mongodb://a:hush@b:2/s?tlsInsecure=TRUE";
        assert!(read(&[("MONGO_URI", uri)]).is_err());
    }
}
