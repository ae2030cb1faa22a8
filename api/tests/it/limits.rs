//! Bounds on connections, rates and what runs at once: what is told beyond them, and that others are served meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use shop_core::testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::process::Process;
use crate::socket::Socket;
use crate::tokens;

const BOUND: Duration = Duration::from_secs(30);
const TYPENAME: &str = "{ __typename }";

/// A request that needs no server, but for its host and token.
const QUESTION: &str = "GET /graphql?query=%7B__typename%7D HTTP/1.1\r\n";

fn authorization() -> String {
    let token = tokens::bearer(&tokens::admin());
    format!("authorization: {token}\r\n")
}

async fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.expect("a connection")
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("sent");
}

/// All that comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = timeout(BOUND, stream.read_to_end(&mut text)).await;
    let _ = read.expect("closed in time"); // a connection that is reset has ended too
    String::from_utf8_lossy(&text).into_owned()
}

async fn post(api: &Process, query: &str, from: Option<&str>) -> reqwest::Response {
    let url = format!("http://{}/graphql", api.addr);
    let mut request = tokens::client().post(url).json(&json!({ "query": query }));
    if let Some(from) = from {
        request = request.header("x-forwarded-for", from);
    }
    request.send().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_or_body_that_does_not_come_in_time_ends_its_connection_alone() {
    let patience = Duration::from_millis(600);
    let api = Process::start(&[("HTTP_READ_TIMEOUT", "600ms"), ("HTTP_IDLE_TIMEOUT", "6s")]).await;
    let begun = Instant::now();
    let mut silent = connect(api.addr).await;
    assert_eq!(rest(&mut silent).await, "", "nobody asked anything");
    assert!(begun.elapsed() >= patience);

    // A byte now and then does not make it longer.
    let mut slow = connect(api.addr).await;
    let begun = Instant::now();
    let (mut reader, mut writer) = slow.split();
    let drip = async {
        send_slowly(
            &mut writer,
            "GET /graphql?query=%7B__typename%7D HTTP/1.1\r\n",
        )
        .await;
    };
    let mut answer = Vec::new(); // a text would be lost with the connection, should that be reset
    tokio::select! {
        () = drip => panic!("a slow head was waited for"),
        read = timeout(BOUND, reader.read_to_end(&mut answer)) => {
            let _ = read.expect("closed in time"); // a connection that is reset has ended too
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
    assert!(begun.elapsed() >= patience && begun.elapsed() < BOUND);

    let mut no_body = connect(api.addr).await;
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        api.addr,
        tokens::bearer(&tokens::admin()),
    );
    send(&mut no_body, &head).await;
    let answer = rest(&mut no_body).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("BAD_REQUEST"),
        "{answer}"
    );

    let mut idle = connect(api.addr).await;
    let request = format!("{QUESTION}host: {}\r\n{}\r\n", api.addr, authorization());
    for _ in 0..3 {
        send(&mut idle, &request).await;
        let mut answer = [0; 4_096];
        let read = idle.read(&mut answer).await.expect("an answer");
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
        sleep(patience / 2 * 3).await; // longer than a head may take
    }
    let begun = Instant::now();
    rest(&mut idle).await;
    assert!(
        begun.elapsed() < BOUND / 2,
        "it is closed when nothing more comes"
    );

    // A subscription lasts longer than all of that.
    let mut socket = Socket::open(api.addr).await;
    sleep(3 * patience).await;
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await, Ok(json!({ "type": "pong" })));
}

async fn send_slowly(writer: &mut (impl tokio::io::AsyncWrite + Unpin), text: &str) {
    for byte in text.bytes() {
        if writer.write_all(&[byte]).await.is_err() {
            std::future::pending::<()>().await;
        }
        sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused() {
    let api = Process::start(&[]).await;
    let many: Vec<_> = (0..150).map(|n| format!("x-{n}: y\r\n")).collect();
    let many = many.concat();
    for (headers, expected) in [
        ("x: y\r\n".to_owned(), "200"),
        (format!("x: {}\r\n", "y".repeat(10_000)), "200"),
        (format!("x: {}\r\n", "y".repeat(20_000)), "431"),
        (format!("x: {}\r\n", "y".repeat(200_000)), "431"),
        (many, "431"),
    ] {
        let mut stream = connect(api.addr).await;
        let request = format!(
            "{QUESTION}host: {}\r\n{}connection: close\r\n{headers}\r\n",
            api.addr,
            authorization(),
        );
        // Who is refused may not be read to the end.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = [0; 12];
        if stream.read_exact(&mut answer).await.is_ok() {
            let answer = String::from_utf8_lossy(&answer);
            assert_eq!(answer, format!("HTTP/1.1 {expected}"), "{headers:.20}");
        } else {
            assert_eq!(expected, "431", "{headers:.20}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_connections_take_nothing_from_others_and_go() {
    let api = Process::start(&[
        ("HTTP_CONNECTIONS", "2050"),
        ("HTTP_READ_TIMEOUT", "10s"),
        ("HTTP_IDLE_TIMEOUT", "10s"),
    ])
    .await;
    let mut idle = Vec::new();
    for _ in 0..2_000 {
        idle.push(connect(api.addr).await);
    }
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(post(&api, TYPENAME, None).await.status(), StatusCode::OK);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    for stream in &mut idle {
        // They are let go by the server, each after its time.
        assert_eq!(rest(stream).await, "");
    }

    let mut full = Vec::new();
    for _ in 0..2_100 {
        full.push(connect(api.addr).await);
    }
    let mut refused = full.pop().expect("the last one");
    assert!(rest(&mut refused).await.starts_with("HTTP/1.1 503 "));
    drop(full);
    eventually("seats to be free again", BOUND, async || {
        let url = format!("http://{}/graphql?query={{__typename}}", api.addr);
        let answer = tokens::client().get(url).send().await;
        answer
            .is_ok_and(|it| it.status() == StatusCode::OK)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_used_up_the_rate_is_told_when_to_come_back_and_others_are_served() {
    let api = Process::start(&[
        ("RATE_PER_ADDRESS", "60"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ])
    .await;
    // It costs 3, and the request itself 1.
    let page = "{ __schema { types { name } } }";
    let mut served = 0;
    let refused = loop {
        let answer = post(&api, page, Some("192.0.2.1")).await;
        if answer.status() != StatusCode::OK {
            break answer;
        }
        served += 1;
        assert!(served <= 20, "nobody is refused");
    };
    assert!(served >= 10, "{served} of 15 were served");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds = refused.headers()["retry-after"].to_str().expect("text");
    let seconds: u64 = seconds.parse().expect("whole seconds");
    let body: Value = refused.json().await.expect("JSON");
    let extensions = &body["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "RATE_LIMITED");
    assert_eq!(extensions["retryable"], true);
    let millis = extensions["retryAfterMs"].as_u64().expect("milliseconds");
    assert!(
        millis > 0 && millis <= 1_000 * seconds && seconds <= 5,
        "{millis} {seconds}"
    );

    for other in ["192.0.2.2", "192.0.2.1, 192.0.2.3", "2001:db8::1"] {
        assert_eq!(
            post(&api, page, Some(other)).await.status(),
            StatusCode::OK,
            "{other}"
        );
    }
    sleep(Duration::from_millis(millis + 1_500)).await;
    assert_eq!(
        post(&api, TYPENAME, Some("192.0.2.1")).await.status(),
        StatusCode::OK
    );

    // The same over a socket, which has the address that opened it.
    let mut socket = Socket::open(api.addr).await;
    let code = loop {
        socket.subscribe("1", page, json!({})).await;
        let message = socket.receive().await.expect("an open socket");
        if message["type"] == "error" {
            break message["payload"][0]["extensions"]["code"].clone();
        }
        socket.completed("1").await;
    };
    assert_eq!(code, "RATE_LIMITED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_lane_refuses_within_50_ms_and_the_other_one_serves() {
    let api = Process::start(&[("REQUESTS_AT_ONCE", "2"), ("MONGO_TIMEOUT", "60s")]).await;
    // There is no MongoDB: each of them looks for it as long as it may.
    let slow = "{ users { nodes { id } } }";
    let url = format!("http://{}/graphql", api.addr);
    let client = tokens::client();
    let running: Vec<_> = (0..2)
        .map(|_| tokio::spawn(client.post(&url).json(&json!({ "query": slow })).send()))
        .collect();
    let refused = eventually("the lane to be full", BOUND, async || {
        let answer = client.post(&url).json(&json!({ "query": TYPENAME })).send();
        let answer = answer.await.expect("an answer");
        (answer.status() != StatusCode::OK).then_some(answer)
    })
    .await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    let body: Value = refused.json().await.expect("JSON");
    let extensions = &body["errors"][0]["extensions"];
    assert_eq!(
        (&extensions["code"], &extensions["retryable"]),
        (&json!("OVERLOADED"), &json!(true))
    );

    let timed = async |query: &str, status: StatusCode| {
        let begun = Instant::now();
        let answer = client.post(&url).json(&json!({ "query": query })).send();
        assert_eq!(answer.await.expect("an answer").status(), status);
        begun.elapsed()
    };
    let (mut waits, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        waits.push(timed(TYPENAME, StatusCode::SERVICE_UNAVAILABLE).await);
        // A subscription is refused here before there is a lane to wait for.
        plain.push(timed("subscription { a }", StatusCode::OK).await);
    }
    // How long it takes to be heard at all, while the machine is busy with other tests, is no waiting for a lane.
    waits.sort_unstable();
    plain.sort_unstable();
    assert!(
        waits[10] < plain[10] + Duration::from_millis(50),
        "{waits:?} beside {plain:?}"
    );

    let mut socket = Socket::open(api.addr).await;
    socket.subscribe("1", TYPENAME, json!({})).await;
    let errors = socket.refused("1").await;
    assert_eq!(errors[0]["extensions"]["code"], "OVERLOADED");

    // Mutations have a lane of their own.
    let mutation = "mutation { deleteUser(input: { id: \"user_x\" }) { errors { code } } }";
    let answer = client.post(&url).json(&json!({ "query": mutation })).send();
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!answer.text().await.expect("text").contains("OVERLOADED"));
    for task in running {
        task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_an_operation_while_there_is_no_place_for_any_is_told_before_anybody_asks_who_it_is()
 {
    // A MySQL that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    let mysql = format!("mysql://shop:shop@{address}/shop");
    let api = Process::start(&[
        ("REQUESTS_AT_ONCE", "6"),
        ("MONGO_TIMEOUT", "60s"),
        ("MYSQL_TIMEOUT", "1m"),
        ("MYSQL_DSN", &mysql),
    ])
    .await;
    let url = format!("http://{}/graphql", api.addr);
    let (user, stranger) = (tokens::client(), reqwest::Client::new());
    let slow = "{ users { nodes { id } } }";
    let mutation = "mutation { deleteUser(input: { id: \"user_00000000-0000-7000-8000-000000000000\" }) { errors { code } } }";
    let running: Vec<_> = [slow; 6]
        .into_iter()
        .chain([mutation; 2])
        .map(|query| tokio::spawn(user.post(&url).json(&json!({ "query": query })).send()))
        .collect();
    let ask = async |client: &reqwest::Client, accept: &str| {
        let asked = client.post(&url).header("accept", accept);
        let asked = asked.json(&json!({ "query": TYPENAME })).send();
        asked.await.expect("an answer")
    };
    let (refused, needs_no_place) = eventually("both lanes to be full", BOUND, async || {
        // As long as users are refused as well, nobody waits.
        let (_, _, refused, query, stream) = tokio::join!(
            ask(&user, "application/json"),
            ask(&user, "application/json"),
            ask(&stranger, "application/graphql-response+json"),
            stranger.get(format!("{url}?query=%7B__typename%7D")).send(),
            ask(&stranger, "text/event-stream"),
        );
        let query = query.expect("an answer");
        let is_told = refused.status() != StatusCode::UNAUTHORIZED;
        is_told.then_some((refused, [query.status(), stream.status()]))
    })
    .await;
    assert_eq!(needs_no_place, [StatusCode::UNAUTHORIZED; 2]);
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(
        refused.headers()["content-type"],
        "application/graphql-response+json"
    );
    assert_eq!(refused.headers()["cache-control"], "no-store");
    assert!(refused.headers().contains_key("x-trace-id"));
    let body: Value = refused.json().await.expect("JSON");
    assert_eq!(body["errors"][0]["extensions"]["code"], "OVERLOADED");
    for task in running {
        task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_has_some_of_the_places_however_it_takes_them() {
    let api = Process::start(&[("SOCKETS", "100"), ("SOCKETS_PER_USER", "2")]).await;
    let url = format!("http://{}/graphql/stream", api.addr);
    let reserve = async |client: reqwest::Client| {
        let answer = client.put(&url).send().await.expect("an answer");
        answer.status()
    };
    let _socket = Socket::open(api.addr).await;
    assert_eq!(reserve(tokens::client()).await, StatusCode::CREATED);
    let full = tokens::client().put(&url).send().await.expect("an answer");
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(full.headers().contains_key("retry-after"));
    assert!(
        Socket::upgrade(api.addr, "graphql-transport-ws")
            .await
            .is_err()
    );
    let mut late = Socket::upgrade_as_nobody(api.addr, "graphql-transport-ws").await;
    late.init_with(&tokens::admin()).await;
    assert_eq!(late.closed().await.0, 1013);
    // Somebody else has its own.
    let other = reqwest::Client::builder().default_headers(tokens::headers(&tokens::staff()));
    let other = other.build().expect("a client");
    assert_eq!(reserve(other.clone()).await, StatusCode::CREATED);
    assert_eq!(reserve(other).await, StatusCode::CREATED);
    // How full it is can be seen, once who was refused has left.
    let full = [("max", 100), ("strangers", 0), ("users", 4)]
        .map(|(state, count)| format!("live_places{{state=\"{state}\"}} {count}"));
    eventually("four places to be taken", BOUND, async || {
        (api.metric("live_places").await == full).then_some(())
    })
    .await;
}
