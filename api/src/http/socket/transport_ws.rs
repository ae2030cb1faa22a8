//! The protocol `graphql-transport-ws`, of the npm package `graphql-ws` and its many siblings.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::dialect::{Dialect, Said, checked_id};
use crate::http::body::Body;

/// The protocol.
pub const DIALECT: Dialect = Dialect {
    name: "graphql-transport-ws",
    read,
    ack: r#"{"type":"connection_ack"}"#,
    keep_alive: None,
    is_stop_answered: false,
    next: |id, payload| {
        [
            r#"{"id":"#,
            id,
            r#","type":"next","payload":"#,
            payload,
            "}",
        ]
        .concat()
    },
    error: |id, errors| format!(r#"{{"id":{id},"type":"error","payload":{errors}}}"#),
    complete: |id| format!(r#"{{"id":{id},"type":"complete"}}"#),
    pong: |payload| match payload {
        Some(payload) => format!(r#"{{"type":"pong","payload":{payload}}}"#),
        None => r#"{"type":"pong"}"#.to_owned(),
    },
};

/// A message. Members that it does not name are ignored.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

fn read(text: &[u8]) -> Result<Said, String> {
    let message: Message<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let payload = message.payload;
    if payload.is_some_and(|payload| !payload.get().starts_with('{')) {
        return Err("payload must be an object".to_owned());
    }
    match message.kind.as_str() {
        "connection_init" => Ok(Said::Init(payload.map(ToOwned::to_owned))),
        "ping" => Ok(Said::Ping(payload.map(ToOwned::to_owned))),
        "pong" => Ok(Said::Pong),
        "complete" => Ok(Said::Stop {
            id: checked_id(message.id)?,
        }),
        "subscribe" => {
            let id = checked_id(message.id)?;
            let payload = payload.ok_or("payload is missing")?;
            let request = Body::read(payload.get().as_bytes())?;
            Ok(Said::Start {
                id,
                request: Box::new(request),
            })
        }
        kind => Err(format!("type {kind:?} is not known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_say_is_read() {
        for (text, said) in [
            (r#"{"type":"connection_init"}"#, "Init(None)"),
            (r#"{"type":"connection_init","payload":null}"#, "Init(None)"),
            (
                r#" {"payload": {"token":"x"}, "type":"connection_init", "more":1}"#,
                r#"Init(Some(RawValue({"token":"x"})))"#,
            ),
            (r#"{"type":"ping"}"#, "Ping(None)"),
            (
                r#"{"type":"ping","payload":{"a":1}}"#,
                r#"Ping(Some(RawValue({"a":1})))"#,
            ),
            (r#"{"type":"pong","payload":{}}"#, "Pong"),
            (r#"{"type":"complete","id":"7"}"#, r#"Stop { id: "7" }"#),
        ] {
            assert_eq!(format!("{:?}", read(text.as_bytes()).expect(text)), said);
        }
        let text = r#"{"id":"1","type":"subscribe","payload":{"query":"{a}","operationName":"A","variables":{"b":[1]},"extensions":{}}}"#;
        let Ok(Said::Start { id, request }) = read(text.as_bytes()) else {
            panic!("it is not read");
        };
        assert_eq!((id.as_str(), request.query.as_str()), ("1", "{a}"));
        assert_eq!(request.operation_name.as_deref(), Some("A"));
        assert_eq!(request.variables.len(), 1);
        let text = r#"{"id":"1","type":"subscribe","payload":{"query":"{a}","operationName":null,"variables":null,"extensions":null}}"#;
        assert!(read(text.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_message_is_said_to_be_none() {
        let long = "x".repeat(257);
        for text in [
            "",
            "hello",
            "7",
            "null",
            "[]",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"hello"}"#,
            r#"{"type":"connection_ack"}"#,
            r#"{"type":"next","id":"1","payload":{}}"#,
            r#"{"type":"connection_init","payload":7}"#,
            r#"{"type":"ping","payload":[]}"#,
            r#"{"type":"ping"} {"type":"ping"}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"complete","id":7}"#,
            r#"{"type":"complete","id":""}"#,
            r#"{"type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":7}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":[]}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","operationName":7}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","extensions":7}}"#,
            &format!(r#"{{"type":"complete","id":"{long}"}}"#),
        ] {
            let problem = read(text.as_bytes()).expect_err(text);
            assert!(!problem.is_empty());
        }
        assert!(read(b"{\"type\":\"\xff\"}").is_err());
    }
}
