//! What the environment may hold, what it means, and what is said about the rest.

use std::collections::BTreeSet;
use std::time::Duration;

use super::table::{ALL, Fallback, Kind};
use super::*;

fn read(given: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    Settings::read(&|name| {
        given
            .iter()
            .find(|(given, _)| *given == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

/// The only line about a variable with this value.
fn complaint(name: &str, value: &str) -> String {
    match read(&[(name, value)]) {
        Ok(_) => panic!("{name}={value} was taken"),
        Err(errors) => {
            let [line] = errors.lines() else {
                panic!("not one line: {errors}")
            };
            assert!(line.starts_with(name), "{line} does not begin with {name}");
            line.clone()
        }
    }
}

#[test]
fn without_an_environment_the_defaults_hold() {
    let settings = read(&[]).expect("defaults are good");
    assert_eq!(settings.environment, Environment::Development);
    assert_eq!(settings.log, "info");
    assert_eq!(settings.mysql.dsn, "mysql://shop:shop@127.0.0.1:43306/shop");
    assert_eq!(
        (settings.mysql.pool_size, settings.mysql.timeout),
        (16, Duration::from_secs(5))
    );
    assert_eq!(settings.mongo.uri, "mongodb://127.0.0.1:47017/shop");
    assert_eq!(
        (settings.mongo.pool_size, settings.mongo.timeout),
        (32, Duration::from_secs(3))
    );
    assert_eq!(settings.kafka.brokers, "127.0.0.1:49092");
    assert_eq!(settings.kafka.topics, TopicNames::default());
    assert_eq!(
        (settings.kafka.partitions, settings.kafka.replication),
        (3, 1)
    );
    assert_eq!(settings.kafka.encoding, Encoding::Json);
    assert_eq!(settings.outbox.poll_interval, Duration::from_millis(10));
    assert_eq!(
        (settings.outbox.batch, settings.outbox.lease),
        (1_000, Duration::from_secs(3))
    );
    let day = Duration::from_hours(24);
    assert_eq!(
        (settings.retention.outbox, settings.retention.inbox),
        (day, day)
    );
    assert_eq!(
        (settings.retention.interval, settings.retention.batch),
        (Duration::from_secs(10), 1_000)
    );
    assert_eq!(settings.payment_timeout, Duration::from_mins(15));
    assert_eq!(settings.payment_check_interval, Duration::from_secs(1));
    assert_eq!(
        (settings.consumer.workers, settings.consumer.batch),
        (1, 500)
    );
    assert_eq!(settings.consumer.slot, 0);
    assert_eq!(settings.consumer.session_timeout, Duration::from_secs(6));
    assert_eq!(settings.consumer.retry_first_wait, Duration::from_secs(1));
    assert_eq!(settings.consumer.retry_max_elapsed, Duration::from_mins(5));
    assert_eq!(settings.http_addr.to_string(), "127.0.0.1:4000");
    assert!(settings.edge.hosts.is_empty() && settings.edge.origins.is_empty());
    assert_eq!(settings.edge.answer_bytes, 4 * 1024 * 1024);
    assert_eq!(settings.edge.http.body_bytes, 128 * 1024);
    assert_eq!(settings.edge.http.drain, Duration::from_secs(2));
    assert_eq!(settings.edge.socket.message_bytes, 128 * 1024);
    assert!(settings.edge.http.trusted_proxies.is_empty());
    assert_eq!(settings.edge.socket.subscriptions, 100);
    assert_eq!(settings.edge.socket.idle_timeout, Duration::from_mins(1));
    assert_eq!(settings.request_timeout, Duration::from_secs(10));
    assert_eq!(settings.read_your_write_timeout, Duration::from_secs(2));
    assert_eq!(settings.idempotency_ttl, Duration::from_hours(24));
    assert_eq!(settings.shutdown_grace, Duration::from_secs(10));
}

#[test]
fn every_program_has_an_address_of_its_own_for_health() {
    let addr = |program, given: &[(&str, &str)]| {
        let lookup = |name: &str| {
            given
                .iter()
                .find(|(given, _)| *given == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let settings = Settings::read(&with_program_defaults(program, &lookup));
        settings.expect("good settings").health_addr.to_string()
    };
    for (program, port) in [
        (Program::Api, 4005),
        (Program::OutboxRelay, 4001),
        (Program::StockReservation, 4002),
        (Program::OrderSaga, 4003),
        (Program::Projector, 4004),
    ] {
        assert_eq!(addr(program, &[]), format!("127.0.0.1:{port}"));
        assert_eq!(
            addr(program, &[("HEALTH_ADDR", ""), ("HTTP_ADDR", "0.0.0.0:80")]),
            format!("127.0.0.1:{port}")
        );
        assert_eq!(
            addr(program, &[("HEALTH_ADDR", "127.0.0.1:9")]),
            "127.0.0.1:9"
        );
    }
}

#[test]
fn what_is_given_is_read() {
    let settings = read(&[
        (
            "MYSQL_DSN",
            "mysql://ann:p%40ss@db.example:3306/orders?compression=fast",
        ),
        (
            "MONGO_URI",
            "mongodb://ann:secret@a:1,b:2/views?replicaSet=rs",
        ),
        ("KAFKA_BROKERS", "a:9092, [::1]:9093"),
        ("TOPIC_PREFIX", "test-7."),
        ("EVENT_ENCODING", "protobuf"),
        ("OUTBOX_POLL_INTERVAL", "250ms 500us"),
        ("CONSUMER_SLOT", "2"),
        ("LOG", "warn,shop_core::bus=debug"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("MYSQL_POOL_SIZE", ""),
    ])
    .expect("good settings");
    assert_eq!(
        settings.mysql.dsn,
        "mysql://ann:p%40ss@db.example:3306/orders?compression=fast"
    );
    assert_eq!(
        settings.mysql.pool_size, 16,
        "an empty variable has its default"
    );
    assert_eq!(
        settings.mongo.uri,
        "mongodb://ann:secret@a:1,b:2/views?replicaSet=rs"
    );
    assert_eq!(settings.kafka.brokers, "a:9092,[::1]:9093");
    assert_eq!(settings.kafka.topics, TopicNames::with_prefix("test-7."));
    assert_eq!(settings.kafka.encoding, Encoding::Binary);
    assert_eq!(
        settings.outbox.poll_interval,
        Duration::from_micros(250_500)
    );
    assert_eq!(settings.consumer.slot, 2);
    assert_eq!(settings.log, "warn,shop_core::bus=debug");
    let [network, address] = &settings.edge.http.trusted_proxies[..] else {
        panic!("two: {settings:?}");
    };
    assert!(network.contains([10, 9, 8, 7].into()) && !network.contains([11, 0, 0, 1].into()));
    assert!(address.contains(std::net::Ipv6Addr::LOCALHOST.into()));
}

#[test]
fn a_query_never_waits_for_a_version_until_its_deadline() {
    let settings = read(&[("REQUEST_TIMEOUT", "3s")]).expect("good settings");
    assert_eq!(
        settings.read_your_write_timeout,
        Duration::from_millis(1_500)
    );
}

#[test]
fn half_as_many_mutations_as_queries_run_at_once_and_none_without_a_connection() {
    let at_once = |given: &[(&str, &str)]| {
        let http = read(given).expect("good settings").edge.http;
        (http.requests_at_once, http.mutations_at_once)
    };
    for (queries, pool, expected) in [
        ("1", "16", (1, 1)),
        ("5", "16", (5, 3)),
        ("1000", "16", (1_000, 16)),
        ("1000", "4", (1_000, 4)),
    ] {
        let given = [("REQUESTS_AT_ONCE", queries), ("MYSQL_POOL_SIZE", pool)];
        assert_eq!(at_once(&given), expected);
    }
    let processors = std::thread::available_parallelism().expect("they are known");
    let (queries, mutations) = at_once(&[("MYSQL_POOL_SIZE", "512")]);
    assert_eq!((queries, mutations), (16 * processors.get(), queries / 2));
    complaint("REQUESTS_AT_ONCE", "AUTO");
}

/// A leader that is well says something three times per lease, and looking into the outbox is how.
#[test]
fn the_longest_pause_of_the_relay_is_shorter_than_a_third_of_the_shortest_lease() {
    let (Kind::Time(_, pause), Kind::Seconds(lease, _)) =
        (table::OUTBOX_POLL_INTERVAL.kind, table::RELAY_LEASE.kind)
    else {
        panic!("both are times");
    };
    assert!(pause < Duration::from_secs(lease) / 3);
}

#[test]
fn bounds_are_inside_and_what_is_beyond_is_refused() {
    for setting in ALL {
        let (inside, outside): (Vec<String>, Vec<String>) = match setting.kind {
            Kind::Number(least, most) | Kind::NumberOrAuto(least, most) => {
                let beyond = i64::from(most) + 1;
                let below = i64::from(least) - 1;
                (
                    vec![least.to_string(), most.to_string()],
                    [below.to_string(), beyond.to_string()]
                        .into_iter()
                        .chain(words())
                        .collect(),
                )
            }
            Kind::Time(least, most) => (
                vec![
                    format!("{}ms", least.as_millis()),
                    format!("{}ms", most.as_millis()),
                ],
                [
                    format!("{}ns", least.as_nanos() - 1),
                    format!("{}ns", most.as_nanos() + 1),
                ]
                .into_iter()
                .chain(words())
                .collect(),
            ),
            Kind::Seconds(least, most) => (
                vec![format!("{least}s"), format!("{most}s")],
                [
                    format!("{}s", least - 1),
                    format!("{}s", most + 1),
                    format!("{least}s 1ms"),
                ]
                .into_iter()
                .chain(words())
                .collect(),
            ),
            _ => continue,
        };
        for value in &inside {
            let result = read(&[(setting.name, value)]);
            assert!(result.is_ok(), "{}={value}: {result:?}", setting.name);
        }
        for value in &outside {
            complaint(setting.name, value);
        }
    }
}

/// What is neither a number nor a time.
fn words() -> impl Iterator<Item = String> {
    [
        "many",
        "-1",
        "5 apples",
        "1e3",
        "99999999999999999999",
        "99999999999999999999s",
        " ",
    ]
    .into_iter()
    .map(str::to_owned)
}

#[test]
fn bad_values_are_named_shown_and_corrected() {
    for (name, value, line) in [
        (
            "ENV",
            "staging",
            r#"ENV can not be "staging": expected development or production"#,
        ),
        (
            "MYSQL_POOL_SIZE",
            "0",
            r#"MYSQL_POOL_SIZE can not be "0": expected a whole number from 1 to 512"#,
        ),
        (
            "RELAY_LEASE",
            "1s",
            r#"RELAY_LEASE can not be "1s": expected a time in whole seconds, from 2s to 60s"#,
        ),
        (
            "OUTBOX_POLL_INTERVAL",
            "10",
            r#"OUTBOX_POLL_INTERVAL can not be "10": expected a time such as 10ms, 5s or 15m, from 1ms to 500ms"#,
        ),
        (
            "HTTP_ADDR",
            ":4000",
            r#"HTTP_ADDR can not be ":4000": expected ip:port, as in 127.0.0.1:4000"#,
        ),
        (
            "EVENT_ENCODING",
            "xml\n",
            r#"EVENT_ENCODING can not be "xml\n": expected json or protobuf"#,
        ),
    ] {
        assert_eq!(complaint(name, value), line);
    }
    for (name, value) in [
        ("KAFKA_BROKERS", "localhost"),
        ("KAFKA_BROKERS", "localhost:9092,"),
        ("KAFKA_BROKERS", "localhost:0"),
        ("TOPIC_PREFIX", "shop one"),
        ("TOPIC_PREFIX", "größe"),
        ("HEALTH_ADDR", "localhost:4001"),
        ("LOG", "shop=loud"),
        ("JWT_JWKS", "ftp://login.example/keys"),
        ("JWT_JWKS", "https://"),
        ("JWT_AUDIENCE", "my shop"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "proxy.internal"),
        ("TRUSTED_PROXIES", "10.0.0.1,"),
    ] {
        complaint(name, value);
    }
    assert!(complaint("ENV", &"x".repeat(10_000)).len() < 200);
}

#[test]
fn all_bad_values_are_told_at_once() {
    let errors = read(&[
        ("MYSQL_POOL_SIZE", "x"),
        ("HTTP_ADDR", "y"),
        ("MONGO_URI", "z"),
    ])
    .expect_err("three bad values were taken");
    assert_eq!(errors.lines().len(), 3);
    assert_eq!(errors.to_string().lines().count(), 3);
}

#[test]
fn production_has_no_default_addresses() {
    let errors = read(&[("ENV", "production")]).expect_err("production was taken");
    for name in ["MYSQL_DSN", "MONGO_URI", "KAFKA_BROKERS"] {
        let line = errors.lines().iter().find(|line| line.starts_with(name));
        assert!(
            line.is_some_and(|line| line.contains("is not set")),
            "{name}: {errors}"
        );
    }
}

const PRODUCTION: [(&str, &str); 7] = [
    ("ENV", "production"),
    ("MYSQL_DSN", "mysql://a:b@h/s"),
    ("MONGO_URI", "mongodb://h/s"),
    ("KAFKA_BROKERS", "h:9092"),
    ("JWT_ISSUER", "https://login.example/"),
    ("JWT_AUDIENCE", "shop"),
    ("PLAINTEXT_SERVERS", "yes"),
];

#[test]
fn production_wants_one_source_of_keys_that_is_nobody_elses() {
    let secret = "0123456789abcdef0123456789abcdef";
    let read_with = |more: &[(&str, &str)]| read(&[&PRODUCTION, more].concat());
    for more in [
        &[("JWT_SECRET", secret)][..],
        &[("JWT_JWKS", "/etc/shop/keys.json")],
        &[("JWT_JWKS", "https://login.example/.well-known/jwks.json")],
    ] {
        read_with(more).expect("good settings");
    }
    for (more, word) in [
        (&[][..], "neither"),
        (&[("JWT_SECRET", KNOWN_SECRET)], "everybody knows"),
        (
            &[("JWT_SECRET", secret), ("JWT_JWKS", "/keys.json")],
            "both",
        ),
        (&[("JWT_JWKS", "http://login.example/keys")], "without TLS"),
        (&[("JWT_SECRET", &secret[1..])], "32 bytes"),
    ] {
        let errors = read_with(more).expect_err(word);
        assert!(errors.to_string().contains(word), "{errors}");
    }
}

#[test]
fn production_tells_no_schema_has_no_explorers_and_wants_tls_unless_it_is_told_otherwise() {
    let switches = |given: &[(&str, &str)]| {
        let edge = read(given).expect("good settings").edge;
        [edge.introspection, edge.explorers, edge.https_only]
    };
    let secret = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");
    let production = [&PRODUCTION[..], &[secret]].concat();
    assert_eq!(switches(&[]), [true, true, false]);
    assert_eq!(switches(&production), [false, false, true]);
    for (word, in_development, in_production) in [
        ("auto", [true, true, false], [false, false, true]),
        ("on", [true; 3], [true; 3]),
        ("off", [false; 3], [false; 3]),
    ] {
        let told = ["INTROSPECTION", "EXPLORERS", "HTTPS_ONLY"].map(|name| (name, word));
        assert_eq!(switches(&told), in_development, "{word}");
        let told = [&production[..], &told].concat();
        assert_eq!(switches(&told), in_production, "{word}");
    }
    for word in ["yes", "true", "1", "ON"] {
        complaint("INTROSPECTION", word);
        complaint("EXPLORERS", word);
    }
}

#[test]
fn a_program_must_be_told_only_what_it_reads() {
    let given = |name: &str| {
        let given = [
            ("ENV", "production"),
            ("MYSQL_DSN", "mysql://a:b@h/s"),
            ("KAFKA_BROKERS", "h:9092"),
            ("PLAINTEXT_SERVERS", "yes"),
        ];
        let found = given.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.to_owned())
    };
    Settings::read_for(Some(Program::OutboxRelay), &given).expect("enough for the relay");
    let errors = Settings::read_for(Some(Program::Api), &given).expect_err("too little");
    for word in ["MONGO_URI", "JWT_ISSUER", "JWT_JWKS"] {
        assert!(errors.to_string().contains(word), "{errors}");
    }
}

#[test]
fn secrets_are_not_repeated() {
    for (name, value) in [
        ("JWT_SECRET", "hush"),
        ("MYSQL_DSN", "shop:hush@tcp(db:3306)/shop"),
        ("MYSQL_DSN", "mysql://shop:hush@db:port/shop"),
        ("MONGO_URI", "mongodb://shop:hush@db:port/shop"),
    ] {
        let line = complaint(name, value);
        assert!(
            !line.contains("hush") && line.contains("is secret"),
            "{line}"
        );
    }
}

#[test]
fn secrets_stay_out_of_debug() {
    let given = [
        ("MYSQL_DSN", "mysql://a:hush@h/s"),
        ("MONGO_URI", "mongodb://a:hush@h/s"),
        ("JWT_SECRET", "hush-hush-hush-hush-hush-hush-hush"),
    ];
    let settings = read(&given).expect("good settings");
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn the_table_names_each_setting_once_and_for_somebody() {
    let names: BTreeSet<_> = ALL.iter().map(|setting| setting.name).collect();
    assert_eq!(names.len(), ALL.len(), "a setting is declared twice");
    for setting in ALL {
        assert!(!setting.readers.is_empty(), "nobody reads {}", setting.name);
        assert!(
            !setting.doc.ends_with('.') && !setting.doc.contains('|'),
            "doc of {}",
            setting.name
        );
        assert_eq!(
            setting.fallback == Fallback::PerProgram,
            setting.name == "HEALTH_ADDR"
        );
    }
}

#[test]
fn every_declared_setting_is_read() {
    let asked = std::cell::RefCell::new(BTreeSet::new());
    let _ = Settings::read(&|name| {
        asked.borrow_mut().insert(name.to_owned());
        None
    });
    let mut declared: BTreeSet<_> = ALL.iter().map(|setting| setting.name.to_owned()).collect();
    let secret = ALL.iter().filter(|setting| setting.secret);
    declared.extend(secret.map(|setting| format!("{}_FILE", setting.name)));
    assert_eq!(*asked.borrow(), declared);
}
