//! The older protocol `graphql-ws`, of Apollo's package `subscriptions-transport-ws` and of GraphQL Playground. It shares its name with the
//! npm package of the newer protocol, and not its messages.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::dialect::{Dialect, Said, checked_id};
use crate::http::body::Body;

/// The protocol.
pub const DIALECT: Dialect = Dialect {
    name: "graphql-ws",
    read,
    ack: r#"{"type":"connection_ack"}"#,
    keep_alive: Some(r#"{"type":"ka"}"#),
    is_stop_answered: true,
    next: |id, payload| {
        [
            r#"{"id":"#,
            id,
            r#","type":"data","payload":"#,
            payload,
            "}",
        ]
        .concat()
    },
    error: |id, errors| {
        let error = first(errors);
        format!(r#"{{"id":{id},"type":"error","payload":{error}}}"#)
    },
    complete: |id| format!(r#"{{"id":{id},"type":"complete"}}"#),
    pong: |_| r#"{"type":"ka"}"#.to_owned(), // nobody asks: the protocol has no pings
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
    match message.kind.as_str() {
        "connection_init" => {
            let payload = message.payload.map(ToOwned::to_owned);
            Ok(Said::Init(payload))
        }
        "connection_terminate" => Ok(Said::Terminate),
        "stop" => Ok(Said::Stop {
            id: checked_id(message.id)?,
        }),
        "start" => {
            let id = checked_id(message.id)?;
            let payload = message.payload.ok_or("payload is missing")?;
            let request = Body::read(payload.get().as_bytes())?;
            Ok(Said::Start {
                id,
                request: Box::new(request),
            })
        }
        kind => Err(format!("type {kind:?} is not known")),
    }
}

/// The protocol has room for one error.
fn first(errors: &str) -> Value {
    let errors: Vec<Value> = serde_json::from_str(errors).unwrap_or_default();
    let nothing = || serde_json::json!({ "message": "something went wrong here" });
    errors.into_iter().next().unwrap_or_else(nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_say_is_read() {
        for (text, said) in [
            (
                r#"{"type":"connection_init","payload":{}}"#,
                "Init(Some(RawValue({})))",
            ),
            (r#"{"type":"connection_init"}"#, "Init(None)"),
            (r#"{"type":"connection_terminate"}"#, "Terminate"),
            (r#"{"type":"stop","id":"7"}"#, r#"Stop { id: "7" }"#),
        ] {
            assert_eq!(format!("{:?}", read(text.as_bytes()).expect(text)), said);
        }
        let text = r#"{"id":"1","type":"start","payload":{"query":"{a}","operationName":null,"variables":{},"extensions":{}}}"#;
        let Ok(Said::Start { id, request }) = read(text.as_bytes()) else {
            panic!("it is not read");
        };
        assert_eq!((id.as_str(), request.query.as_str()), ("1", "{a}"));
        for text in [
            "",
            "{}",
            r#"{"type":"subscribe","id":"1","payload":{"query":"{a}"}}"#,
            r#"{"type":"start","payload":{"query":"{a}"}}"#,
            r#"{"type":"start","id":"1"}"#,
            r#"{"type":"stop"}"#,
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn of_several_errors_the_first_is_told() {
        let told = (DIALECT.error)("\"1\"", r#"[{"message":"a"},{"message":"b"}]"#);
        assert_eq!(
            told,
            r#"{"id":"1","type":"error","payload":{"message":"a"}}"#
        );
        assert!((DIALECT.error)("\"1\"", "?").contains("message"));
    }
}
