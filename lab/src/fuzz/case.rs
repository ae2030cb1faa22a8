//! One case: made from the seed and its number, and from nothing else but what there is in the shop.

use std::fmt::{self, Write as _};

use fastrand::Rng;
use serde_json::{Value, json};

use super::document::{Operation, operation};
use super::frames::{Script, script};
use super::heads;
use super::mutate::{spoil, spoil_text};
use super::shapes::shape;
use super::things::Role;
use super::values::{Source, odd};

/// How a case talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `POST /graphql`.
    Post,
    /// `GET /graphql`.
    Get,
    /// Server-sent events.
    Events,
    /// Many operations over one event stream.
    Stream,
    /// HTTP as nobody writes it.
    Http,
    /// A WebSocket.
    Socket,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Play {
    /// A request that is due an answer.
    Asked(Vec<u8>),
    /// A request whose answer is a stream, if it is accepted.
    Listened(Vec<u8>),
    /// Pieces of what may be a request.
    Perhaps(Vec<Vec<u8>>),
    /// Heads and bodies of requests to one stream: `TOKEN` stands for its token.
    Stream(Vec<String>),
    /// A WebSocket.
    Socket(Script),
}

/// A case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its number.
    pub number: u64,
    /// How it talks.
    pub kind: Kind,
    /// Who asks.
    pub role: Role,
    /// What is sent.
    pub play: Play,
}

impl Kind {
    /// The word of reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET",
            Self::Events => "events",
            Self::Stream => "stream",
            Self::Http => "odd HTTP",
            Self::Socket => "WebSocket",
        }
    }
}

impl Case {
    /// The case of a number.
    ///
    /// # Errors
    /// If no token can be signed.
    pub fn of(seed: u64, number: u64, source: Source<'_>) -> anyhow::Result<Self> {
        let chance = &mut Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let role = Role::of(chance);
        let bearer = role.bearer(source.things)?;
        let bearer = bearer.as_deref();
        let (kind, play) = match chance.u8(0..100) {
            0..45 => (Kind::Post, Play::Asked(post(source, bearer, chance))),
            45..55 => (Kind::Get, Play::Asked(get(source, bearer, chance))),
            55..63 => (Kind::Events, Play::Listened(events(source, bearer, chance))),
            63..66 => (Kind::Stream, Play::Stream(stream(source, bearer, chance))),
            66..82 => {
                let body = body(source, chance);
                (
                    Kind::Http,
                    Play::Perhaps(heads::request(bearer, &body, chance)),
                )
            }
            _ => (Kind::Socket, Play::Socket(script(source, bearer, chance))),
        };
        Ok(Self {
            number,
            kind,
            role,
            play,
        })
    }
}

/// An operation, spoiled or not.
fn asked(source: Source<'_>, subscribes: bool, chance: &mut Rng) -> Operation {
    let mut made = match chance.u8(0..10) {
        0 | 1 => Operation {
            query: shape(chance),
            variables: Value::Null,
        },
        _ => operation(source, chance, subscribes),
    };
    match chance.u8(0..10) {
        0 | 1 => made.query = spoil_text(&made.query, chance),
        2 => made.variables = odd(chance),
        3 => {
            if let Value::Object(variables) = &mut made.variables {
                for value in variables.values_mut() {
                    *value = odd(chance);
                }
            }
        }
        _ => {}
    }
    made
}

/// A body in JSON, or nearly.
fn body(source: Source<'_>, chance: &mut Rng) -> Vec<u8> {
    let Operation { query, variables } = asked(source, false, chance);
    let mut body = json!({ "query": query, "variables": variables });
    match chance.u8(0..40) {
        0 => body["operationName"] = odd(chance),
        1 => body["extensions"] = odd(chance),
        2 => body["query"] = odd(chance),
        3 => body = Value::Array(vec![body; chance.usize(..3)]),
        4 => body = odd(chance),
        5 => {
            return br#"{"query":"{ __typename }","query":"\ud800","variables":{"a":NaN}}"#
                .to_vec();
        }
        6 => {
            return br#"{"query":"{ __typename }","variables":{"a":1e999,"b":-0.0,"a":0x1}}"#
                .to_vec();
        }
        7 | 8 => return spoil(body.to_string().as_bytes(), chance),
        _ => {}
    }
    body.to_string().into_bytes()
}

fn post(source: Source<'_>, bearer: Option<&str>, chance: &mut Rng) -> Vec<u8> {
    let accept = match chance.u8(0..4) {
        0 => "accept: application/graphql-response+json\r\n",
        _ => "",
    };
    let body = body(source, chance);
    request("POST", "/graphql", bearer, accept, &body)
}

fn get(source: Source<'_>, bearer: Option<&str>, chance: &mut Rng) -> Vec<u8> {
    request("GET", &target(source, false, chance), bearer, "", b"")
}

fn events(source: Source<'_>, bearer: Option<&str>, chance: &mut Rng) -> Vec<u8> {
    let accept = match chance.u8(0..4) {
        0 => "accept: text/event-stream\r\nlast-event-id: abc\r\n",
        _ => "accept: text/event-stream\r\n",
    };
    if chance.bool() {
        return request("GET", &target(source, true, chance), bearer, accept, b"");
    }
    let Operation { query, variables } = asked(source, true, chance);
    let body = json!({ "query": query, "variables": variables }).to_string();
    request("POST", "/graphql", bearer, accept, body.as_bytes())
}

/// Requests to a stream of many operations, in any order.
fn stream(source: Source<'_>, bearer: Option<&str>, chance: &mut Rng) -> Vec<String> {
    let mut requests = Vec::new();
    let token = "x-graphql-event-stream-token: TOKEN\r\n";
    for number in 0..chance.usize(1..5) {
        let made = match chance.u8(0..6) {
            0 => request("GET", "/graphql/stream", bearer, token, b""),
            1 => {
                let target = format!("/graphql/stream?operationId={number}");
                request("DELETE", &target, bearer, token, b"")
            }
            2 => request("DELETE", "/graphql/stream?token=TOKEN", bearer, "", b""),
            _ => {
                let Operation { query, variables } = asked(source, true, chance);
                let id = match chance.u8(0..5) {
                    0 => odd(chance),
                    _ => number.to_string().into(),
                };
                let body = json!({
                    "query": query, "variables": variables, "extensions": { "operationId": id },
                });
                let body = body.to_string();
                request("POST", "/graphql/stream", bearer, token, body.as_bytes())
            }
        };
        requests.push(String::from_utf8_lossy(&made).into_owned());
    }
    requests
}

/// An operation in a URL that fits into a head.
fn target(source: Source<'_>, subscribes: bool, chance: &mut Rng) -> String {
    let Operation { query, variables } = asked(source, subscribes, chance);
    let mut target = format!("/graphql?query={}", escaped(&query));
    if !variables.is_null() && chance.u8(0..8) > 0 {
        let _ = write!(target, "&variables={}", escaped(&variables.to_string()));
    }
    if chance.u8(0..20) == 0 {
        target += "&query=%7B&operationName=%ED%A0%80&&=";
    }
    target.truncate(12_000);
    target
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(byte.into());
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// A request as a client writes it.
pub fn request(
    method: &str,
    target: &str,
    bearer: Option<&str>,
    lines: &str,
    body: &[u8],
) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n{lines}");
    if let Some(bearer) = bearer {
        let _ = write!(head, "authorization: {bearer}\r\n");
    }
    if method == "POST" {
        let _ = write!(
            head,
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// For people: what is sent, in words that can be printed.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "case {} by {:?}, {}",
            self.number,
            self.role,
            self.kind.as_str()
        )?;
        let show = |bytes: &[u8]| format!("{}", bytes.escape_ascii());
        match &self.play {
            Play::Asked(request) | Play::Listened(request) => f.write_str(&show(request)),
            Play::Perhaps(pieces) => pieces
                .iter()
                .try_for_each(|piece| writeln!(f, "{}", show(piece))),
            Play::Stream(requests) => requests
                .iter()
                .try_for_each(|it| writeln!(f, "{}", show(it.as_bytes()))),
            Play::Socket(script) => {
                writeln!(f, "{}", show(&script.head))?;
                script.frames.iter().take(50).try_for_each(|frame| {
                    let start = &frame[..frame.len().min(2_000)];
                    writeln!(f, "{}", show(start))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::grammar::Grammar;
    use super::super::things::Things;
    use super::*;

    #[test]
    fn a_case_is_its_seed_and_number_and_all_kinds_come() {
        let (grammar, things) = (Grammar::read().expect("a schema"), Things::default());
        let source = Source {
            grammar: &grammar,
            things: &things,
        };
        let mut kinds = std::collections::BTreeSet::new();
        for number in 0..300 {
            let case = Case::of(7, number, source).expect("a case");
            let again = Case::of(7, number, source).expect("a case");
            // Tokens are signed once and stay the same.
            assert_eq!(case, again);
            kinds.insert(case.kind);
        }
        assert_eq!(kinds.len(), 6);
    }
}
