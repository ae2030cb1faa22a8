//! TLS to the real servers: what is proved is spoken to, and nothing else is.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use shop_core::db::{Db, StoreError, connect};
use shop_core::events::Encoding;
use shop_core::runtime::settings::{MongoSettings, MysqlSettings, Tls};
use shop_core::testkit::{TestDb, TestViews, setting};
use shop_core::views::Views;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Who vouches for the server of `lab/engines`; nobody for another one, whose certificate is its own business.
fn authority() -> Option<PathBuf> {
    let file = setting("SHOP_MYSQL_CA", "");
    if file.is_empty() {
        eprintln!("left out: SHOP_MYSQL_CA does not name who vouches for MySQL");
        return None;
    }
    Some(file.into())
}

fn required(db: &TestDb, ca: Option<PathBuf>) -> MysqlSettings {
    MysqlSettings {
        tls: Tls::Required { ca },
        timeout: TIMEOUT,
        ..db.settings().clone()
    }
}

/// `host:port` in an address.
fn server_of(dsn: &str) -> &str {
    let (_, rest) = dsn.rsplit_once('@').expect("a user");
    rest.split('/').next().expect("a server")
}

/// Why a server is not spoken to.
async fn refusal(settings: &MysqlSettings) -> String {
    let begun = Instant::now();
    let error = match connect(settings).await {
        Ok(_) => panic!("it was spoken to"),
        Err(StoreError::Unavailable(error)) => error.to_string(),
        Err(error) => panic!("{error}"),
    };
    assert!(begun.elapsed() < 2 * TIMEOUT, "{:?}", begun.elapsed());
    assert!(!error.contains(&settings.dsn), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_is_spoken_to_over_tls_when_its_certificate_is_vouched_for() {
    #[derive(QueryableByName)]
    #[diesel(check_for_backend(diesel::mysql::Mysql))]
    struct Cipher {
        #[diesel(sql_type = Text)]
        cipher: String,
    }
    let Some(ca) = authority() else { return };
    let db = TestDb::new().await;
    let settings = required(&db, Some(ca));
    let pool = Db::new(&settings, Encoding::Json).expect("a pool");
    let cipher = async || {
        let query = "SELECT VARIABLE_VALUE AS cipher FROM performance_schema.session_status \
                     WHERE VARIABLE_NAME = 'Ssl_cipher'";
        let found = pool.transaction("test", async |tx| {
            let row: Cipher = diesel::sql_query(query).get_result(tx).await?;
            Ok::<_, StoreError>(row.cipher)
        });
        found.await.expect("MySQL is up")
    };
    for _ in 0..2 {
        assert!(cipher().await.starts_with("TLS_"), "no TLS");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_that_proves_nothing_is_not_spoken_to() {
    let db = TestDb::new().await;
    // Nobody vouches for it whom everybody knows.
    let error = refusal(&required(&db, None)).await;
    assert!(error.contains("certificate"), "{error}");

    // The right certificate at another address.
    let Some(ca) = authority() else { return };
    let server = server_of(&db.settings().dsn).to_owned();
    let listener = TcpListener::bind("127.0.0.2:0").await.expect("a free port");
    let elsewhere = listener.local_addr().expect("its address").to_string();
    let mut settings = required(&db, Some(ca));
    settings.dsn = settings.dsn.replace(&server, &elsewhere);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&server).await.expect("MySQL is up");
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    });
    let error = refusal(&settings).await;
    assert!(error.contains("certificate"), "{error}");
}

/// A server that greets like MySQL and says that it has no TLS; what it is told after that.
async fn plain_server() -> (String, tokio::task::JoinHandle<Vec<u8>>) {
    const NO_TLS: u32 = 0x00ff_f7ff & !0x0800;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    let told = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut greeting = b"\x0a8.4.0\0\x07\0\0\0abcdefgh\0".to_vec();
        let [a, b, c, d] = NO_TLS.to_le_bytes();
        greeting.extend([a, b, 0xff, 2, 0, c, d, 21]);
        greeting.extend([0; 10]);
        greeting.extend(b"ijklmnopqrst\0caching_sha2_password\0");
        let length = u8::try_from(greeting.len()).expect("a short greeting");
        let packet = [&[length, 0, 0, 0][..], &greeting].concat();
        client.write_all(&packet).await.expect("a client");
        let mut told = Vec::new();
        let _ = client.read_to_end(&mut told).await;
        told
    });
    (address, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_without_tls_is_told_nothing_not_even_who_we_are() {
    let (address, told) = plain_server().await;
    let settings = MysqlSettings {
        dsn: format!("mysql://ann:hush@{address}/shop"),
        pool_size: 1,
        timeout: TIMEOUT,
        tls: Tls::Required { ca: None },
    };
    let error = refusal(&settings).await;
    assert!(error.contains("SSL"), "{error}");
    assert_eq!(told.await.expect("no panic"), b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mongodb_without_tls_is_as_good_as_away() {
    let views = TestViews::new().await;
    let plain = views.settings();
    let mark = if plain.uri.contains('?') { '&' } else { '?' };
    let settings = MongoSettings {
        uri: format!("{}{mark}tls=true", plain.uri),
        pool_size: 1,
        timeout: Duration::from_millis(500),
    };
    let views = Views::connect(&settings, "test").await.expect("an address");
    let begun = Instant::now();
    let error = views.ping().await.expect_err("it was spoken to");
    assert!(error.is_retryable(), "{error:?}");
    assert!(begun.elapsed() < TIMEOUT, "{:?}", begun.elapsed());
}
