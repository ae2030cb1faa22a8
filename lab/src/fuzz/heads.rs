//! Heads and bodies of HTTP requests as no client writes them.

use std::fmt::Write as _;

use fastrand::Rng;

const METHODS: [&str; 12] = [
    "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI", "post",
    "G\u{1}T",
];
const TARGETS: [&str; 16] = [
    "/graphql",
    "/graphql",
    "/graphql",
    "/graphql?query=%7B__typename%7D",
    "/graphql?query=%ff%fe&variables=%7B",
    "/graphql?query=%7B__typename%7D&variables=[1]&operationName=%00",
    "/graphql/stream",
    "/graphql/stream?token=x&operationId=y",
    "/",
    "/playground",
    "/healthz",
    "*",
    "//graphql",
    "/graphql/../graphql",
    "http://evil.example/graphql",
    "/%00",
];
const VERSIONS: [&str; 5] = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTX/1.1"];
const HOSTS: [&str; 6] = [
    "host: localhost\r\n",
    "host: localhost\r\n",
    "host: localhost\r\nhost: evil.example\r\n",
    "host: evil.example\r\n",
    "host:\r\n",
    "",
];
const TYPES: [&str; 8] = [
    "application/json",
    "application/json; charset=utf-16",
    "APPLICATION/JSON",
    "application/graphql",
    "text/plain",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    ";;;",
];
const ACCEPTED: [&str; 6] = [
    "*/*",
    "application/graphql-response+json",
    "application/json;q=0",
    "text/html, image/*;q=x",
    "text/event-stream;q=0.1, application/json",
    "\u{7f}",
];
const ODD_LINES: [&str; 22] = [
    "x: a\r\n folded: b",
    "x: a\nb: c",
    "x: a\rb: c",
    "x\u{0}y: z",
    "no colon here",
    ": no name",
    "x : space",
    "é: é",
    "expect: 100-continue",
    "expect: miracles",
    "connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__",
    "connection: upgrade\r\nupgrade: websocket",
    "connection: close",
    "connection: keep-alive, close, x",
    "origin: null",
    "origin: http://evil.example",
    "sec-fetch-site: cross-site",
    "traceparent: 00-zz-00-ff",
    "last-event-id: \u{fffd}",
    "cookie: a=b; c",
    "authorization: Bearer",
    "authorization: Basic eDp5",
];

/// Pieces of a request, as they are sent one after the other.
pub fn request(bearer: Option<&str>, body: &[u8], chance: &mut Rng) -> Vec<Vec<u8>> {
    let one =
        |all: &[&'static str], chance: &mut Rng| chance.choice(all).copied().unwrap_or_default();
    let (method, target) = (one(&METHODS, chance), one(&TARGETS, chance));
    let version = one(&VERSIONS, chance);
    let mut head = match chance.u8(0..20) {
        0 => format!("{method} /graphql?{} {version}\r\n", "a".repeat(20_000)),
        1 => format!("{method}\r\n"),
        _ => format!("{method} {target} {version}\r\n"),
    };
    head += one(&HOSTS, chance);
    if let Some(bearer) = bearer {
        let _ = write!(head, "authorization: {bearer}\r\n");
    }
    let _ = write!(head, "content-type: {}\r\n", one(&TYPES, chance));
    if chance.bool() {
        let _ = write!(head, "accept: {}\r\n", one(&ACCEPTED, chance));
    }
    for _ in 0..chance.usize(..3) {
        let _ = write!(head, "{}\r\n", one(&ODD_LINES, chance));
    }
    match chance.u8(0..30) {
        0 => head += &"x: y\r\n".repeat(200),
        1 => {
            let _ = write!(head, "x: {}\r\n", "y".repeat(20_000));
        }
        _ => {}
    }
    let (framing, body) = framed(body, chance);
    head += &framing;
    head += "\r\n";
    let mut pieces = vec![head.into_bytes(), body];
    if chance.u8(0..5) == 0 {
        // A byte here and a byte there, with a stop in between.
        let head = pieces.remove(0);
        let at = chance.usize(..head.len());
        pieces.insert(0, head[at..].to_vec());
        pieces.insert(0, head[..at].to_vec());
    }
    pieces
}

/// What says how long a body is, and the body.
fn framed(body: &[u8], chance: &mut Rng) -> (String, Vec<u8>) {
    let length = body.len();
    let chunked = |text: Vec<u8>| ("transfer-encoding: chunked\r\n".to_owned(), text);
    let chunk = |size: String| [size.as_bytes(), b"\r\n", body, b"\r\n0\r\n\r\n"].concat();
    match chance.u8(0..18) {
        0 => (
            format!("content-length: {}\r\n", length + 10),
            body.to_vec(),
        ),
        1 => (format!("content-length: {}\r\n", length / 2), body.to_vec()),
        2 => ("content-length: -1\r\n".to_owned(), body.to_vec()),
        3 => (format!("content-length: +{length}\r\n"), body.to_vec()),
        4 => (
            format!(
                "content-length: {length}\r\ncontent-length: {}\r\n",
                length + 1
            ),
            body.to_vec(),
        ),
        5 => (
            "content-length: 18446744073709551616\r\n".to_owned(),
            body.to_vec(),
        ),
        6 => (
            format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
            body.to_vec(),
        ),
        7 => chunked(chunk(format!("{length:x};a=\"b\""))),
        8 => chunked(chunk(format!("0x{length:x}"))),
        9 => chunked(chunk("ffffffffffffffff1".to_owned())),
        10 => chunked(chunk(format!("{:x}", length + 1))),
        11 => chunked(
            [
                chunk(format!("{length:X}")).as_slice(),
                b"trailer: x\r\n\r\n",
            ]
            .concat(),
        ),
        12 => chunked(
            body.iter()
                .take(2_000)
                .flat_map(|byte| [b'1', b'\r', b'\n', *byte, b'\r', b'\n'])
                .chain(*b"0\r\n\r\n")
                .collect(),
        ),
        13 => (
            "transfer-encoding: gzip, chunked\r\n".to_owned(),
            chunk(format!("{length:x}")),
        ),
        14 => (String::new(), body.to_vec()),
        15 => (
            "content-encoding: gzip\r\n".to_owned() + &format!("content-length: {length}\r\n"),
            body.to_vec(),
        ),
        _ => (format!("content-length: {length}\r\n"), body.to_vec()),
    }
}
