//! What is sent over a WebSocket: sequences of either protocol, in order and out of it, and frames against RFC 6455.

use std::fmt::Write as _;

use fastrand::Rng;
use serde_json::{Value, json};

use super::document::operation;
use super::mutate::{spoil, spoil_text};
use super::shapes::shape;
use super::values::{Source, odd};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const PROTOCOLS: [&str; 7] = [
    "graphql-transport-ws",
    "graphql-transport-ws",
    "graphql-ws",
    "graphql-ws",
    "graphql-ws, graphql-transport-ws",
    "soap",
    "",
];
/// More than a message may have.
const OVERSIZE: usize = 140 * 1024;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The request to upgrade.
    pub head: Vec<u8>,
    /// Frames, whole or not.
    pub frames: Vec<Vec<u8>>,
}

/// A script by chance.
pub fn script(source: Source<'_>, bearer: Option<&str>, chance: &mut Rng) -> Script {
    let protocol = chance.choice(PROTOCOLS).unwrap_or_default();
    let legacy = protocol.starts_with("graphql-ws");
    let mut messages = messages(source, bearer, legacy, chance);
    match chance.u8(0..8) {
        0 => chance.shuffle(&mut messages),
        1 => messages.truncate(chance.usize(..=messages.len())),
        2 => {
            let again = messages.clone();
            messages.extend(again);
        }
        3 => {
            messages = messages
                .iter()
                .map(|text| spoil_text(text, chance))
                .collect();
        }
        4 => messages.insert(chance.usize(..=messages.len()), odd(chance).to_string()),
        _ => {}
    }
    let mut frames = Vec::new();
    for message in &messages {
        frames.extend(framed(message.as_bytes(), chance));
    }
    if chance.u8(0..3) == 0 {
        frames.extend(against_the_rules(chance));
    }
    Script {
        head: upgrade(protocol, bearer, chance),
        frames,
    }
}

/// A conversation as a client has it.
fn messages(
    source: Source<'_>,
    bearer: Option<&str>,
    legacy: bool,
    chance: &mut Rng,
) -> Vec<String> {
    let payload = match bearer {
        Some(bearer) if chance.u8(0..8) > 0 => json!({ "authorization": bearer }),
        Some(bearer) => json!({ "headers": { "authorization": bearer } }),
        None => odd(chance),
    };
    let mut all = vec![json!({ "type": "connection_init", "payload": payload })];
    let (start, stop) = if legacy {
        ("start", "stop")
    } else {
        ("subscribe", "complete")
    };
    for number in 0..chance.usize(1..4) {
        let id = match chance.u8(0..12) {
            0 => odd(chance),
            1 => "0".into(),
            _ => number.to_string().into(),
        };
        let payload = if chance.u8(0..5) == 0 {
            json!({ "query": shape(chance) })
        } else {
            let subscribes = chance.bool();
            let operation = operation(source, chance, subscribes);
            json!({ "query": operation.query, "variables": operation.variables })
        };
        all.push(json!({ "type": start, "id": id, "payload": payload }));
        match chance.u8(0..6) {
            0 => all.push(json!({ "type": stop, "id": id })),
            1 => all.push(json!({ "type": "ping", "payload": { "a": odd(chance) } })),
            2 => all.push(json!({ "type": "pong" })),
            3 => all.push(json!({ "type": odd(chance), "id": id, "payload": odd(chance) })),
            _ => {}
        }
    }
    if legacy && chance.u8(0..4) == 0 {
        all.push(json!({ "type": "connection_terminate" }));
    }
    all.iter().map(Value::to_string).collect()
}

/// The request to upgrade; now and then one that is none.
fn upgrade(protocol: &str, bearer: Option<&str>, chance: &mut Rng) -> Vec<u8> {
    let mut head =
        "GET /graphql HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            .to_owned();
    if !protocol.is_empty() {
        let _ = write!(head, "sec-websocket-protocol: {protocol}\r\n");
    }
    if let Some(bearer) = bearer
        && chance.u8(0..3) == 0
    {
        let _ = write!(head, "authorization: {bearer}\r\n");
    }
    head += "\r\n";
    match chance.u8(0..30) {
        0 => head.replace("13", "8").into_bytes(),
        1 => head.replace("sec-websocket-key", "x").into_bytes(),
        2 => head.replace("GET", "POST").into_bytes(),
        3 => head.replace("HTTP/1.1", "HTTP/1.0").into_bytes(),
        _ => head.into_bytes(),
    }
}

/// A message in frames: one mostly.
fn framed(message: &[u8], chance: &mut Rng) -> Vec<Vec<u8>> {
    match chance.u8(0..24) {
        0 => vec![frame(BINARY, true, message, chance)],
        1 => {
            // In two, with a ping in between.
            let at = chance.usize(..=message.len());
            vec![
                frame(TEXT, false, &message[..at], chance),
                frame(PING, true, b"between", chance),
                frame(0, true, &message[at..], chance),
            ]
        }
        2 => {
            let pieces: Vec<&[u8]> = message.chunks(7).collect();
            let last = pieces.len().saturating_sub(1);
            let numbered = pieces.iter().enumerate();
            numbered
                .map(|(n, piece)| frame(if n == 0 { TEXT } else { 0 }, n == last, piece, chance))
                .collect()
        }
        3 => vec![unmasked(TEXT, message)],
        4 => vec![spoil(&frame(TEXT, true, message, chance), chance)],
        _ => vec![frame(TEXT, true, message, chance)],
    }
}

/// Frames that no client may send, and too many of those that it may.
fn against_the_rules(chance: &mut Rng) -> Vec<Vec<u8>> {
    match chance.u8(0..14) {
        0 => vec![frame(TEXT, true, &vec![b'x'; OVERSIZE], chance)],
        1 => (0..chance.usize(1..200))
            .map(|_| frame(PING, true, &[7; 125], chance))
            .collect(),
        2 => (0..1_300)
            .map(|_| frame(TEXT, true, br#"{"type":"pong"}"#, chance))
            .collect(),
        3 => vec![frame(PING, true, &[7; 126], chance)],
        4 => vec![frame(PING, false, b"in pieces", chance)],
        5 => vec![frame(
            chance.choice([3, 4, 5, 6, 7, 11, 15]).unwrap_or(3),
            true,
            b"what",
            chance,
        )],
        6 => vec![frame(TEXT | 0x40, true, b"{}", chance)],
        7 => vec![frame(TEXT, true, b"\xff\xfe\xc0", chance)],
        8 => vec![frame(0, true, b"nothing to go on from", chance)],
        9 => vec![vec![
            0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, b'x',
        ]],
        10 => vec![vec![0x81, 0xfe, 0, 2, 0, 0, 0, 0, b'{', b'}']], // a length that is longer than it has to be
        11 => vec![
            frame(TEXT, false, b"{", chance),
            frame(TEXT, true, b"}", chance),
        ],
        12 => vec![frame(PONG, true, b"", chance); 3],
        _ => {
            let code = chance.choice([
                0, 999, 1_000, 1_001, 1_005, 1_006, 1_015, 3_000, 4_400, 4_999, 5_000, 65_535,
            ]);
            let code: u16 = code.unwrap_or(1_000);
            let mut payload = code.to_be_bytes().to_vec();
            payload.extend_from_slice(
                chance
                    .choice([&b"bye"[..], b"", b"\xff\xff"])
                    .unwrap_or_default(),
            );
            payload.truncate(chance.usize(1..6));
            vec![frame(CLOSE, true, &payload, chance)]
        }
    }
}

/// A frame as a client sends it.
fn frame(opcode: u8, fin: bool, payload: &[u8], chance: &mut Rng) -> Vec<u8> {
    let mask = chance.u32(..).to_be_bytes();
    let mut bytes = header(opcode, fin, payload.len(), 0x80);
    bytes.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(opcode, true, payload.len(), 0);
    bytes.extend_from_slice(payload);
    bytes
}

fn header(opcode: u8, fin: bool, length: usize, masked: u8) -> Vec<u8> {
    let mut bytes = vec![opcode | if fin { 0x80 } else { 0 }];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => bytes.push(masked | short),
        (_, Ok(middle)) => {
            bytes.push(masked | 0x7e);
            bytes.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            bytes.push(masked | 0x7f);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes
}

/// The goodbye of a client that has enough.
pub fn goodbye() -> Vec<u8> {
    vec![0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]
}
