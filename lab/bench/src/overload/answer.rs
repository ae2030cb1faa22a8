//! What came back for a request.

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has data and no errors.
    Served,
    /// The server is full, says so, and did nothing.
    Refused,
    /// Anything else; the code, or what went wrong.
    Failed(String),
}

/// Where the head of an answer ends, and how long its body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The status.
    pub status: u16,
    /// Where the body begins.
    pub body: usize,
    /// How long it is.
    pub length: usize,
    /// Whether the server closes the connection.
    pub closes: bool,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Extensions {
    code: String,
    retryable: bool,
}

/// The order of a `createOrder` that was served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Order {
    /// Its public id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// Its status.
    pub status: String,
}

/// Reads a head; `None` if it has not come whole.
pub(super) fn head(answer: &[u8]) -> anyhow::Result<Option<Head>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = answer.windows(END.len()).position(|it| it == END) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&answer[..end]).context("a head that is no text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|first| first.split(' ').nth(1));
    let status = status.and_then(|status| status.parse().ok());
    let (mut length, mut closes) = (None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse().context("content-length")?);
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.trim().eq_ignore_ascii_case("close");
        }
    }
    Ok(Some(Head {
        status: status.with_context(|| format!("no status in {text:.100}"))?,
        body: end + END.len(),
        length: length.context("an answer without content-length")?,
        closes,
    }))
}

/// What an answer says.
pub(super) fn outcome(status: u16, body: &[u8]) -> Outcome {
    // Who finds no seat is turned away without a word.
    if status == 503 && body.is_empty() {
        return Outcome::Refused;
    }
    let Ok(answer) = serde_json::from_slice::<Answer<'_>>(body) else {
        return Outcome::Failed(format!("HTTP {status} without an answer in JSON"));
    };
    match answer.errors.first() {
        None if status == 200 && answer.data.is_some_and(|data| data.get() != "null") => {
            Outcome::Served
        }
        None => Outcome::Failed(format!("HTTP {status} without data")),
        Some(Problem { extensions }) if extensions.code == "OVERLOADED" && extensions.retryable => {
            Outcome::Refused
        }
        Some(Problem { extensions }) => Outcome::Failed(extensions.code.clone()),
    }
}

/// The order of an answer to `createOrder`.
///
/// # Errors
/// If it holds none: what it holds instead.
pub(super) fn order(body: &[u8]) -> anyhow::Result<Order> {
    #[derive(Deserialize)]
    struct Response {
        data: Data,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        create_order: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        order: Option<Order>,
        errors: Vec<serde_json::Value>,
    }
    let response: Response = serde_json::from_slice(body)?;
    let Payload { order, errors } = response.data.create_order;
    ensure!(errors.is_empty(), "{}", serde_json::Value::from(errors));
    order.context("an answer without an order")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_served_refused_or_failed() {
        let failed = |what: &str| Outcome::Failed(what.to_owned());
        for (status, body, expected) in [
            (200, r#"{"data":{"a":null}}"#, Outcome::Served),
            (
                200,
                r#"{"data":{"a":{"errors":[]}},"extensions":{"cost":{}}}"#,
                Outcome::Served,
            ),
            (
                503,
                r#"{"errors":[{"message":"full","extensions":{"code":"OVERLOADED","retryable":true}}]}"#,
                Outcome::Refused,
            ),
            (503, "", Outcome::Refused),
            (
                200,
                r#"{"data":null,"errors":[{"extensions":{"code":"UNAVAILABLE","retryable":true}}]}"#,
                failed("UNAVAILABLE"),
            ),
            (200, r#"{"data":null}"#, failed("HTTP 200 without data")),
            (502, "no", failed("HTTP 502 without an answer in JSON")),
        ] {
            assert_eq!(
                outcome(status, body.as_bytes()),
                expected,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_head_says_how_long_the_body_is() {
        let text = b"HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-LENGTH: 7\r\n\r\n{}";
        let expected = Head {
            status: 200,
            body: text.len() - 2,
            length: 7,
            closes: true,
        };
        assert_eq!(head(text).expect("a head"), Some(expected));
        assert_eq!(head(&text[..30]).expect("half a head"), None);
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn an_order_is_read_from_its_answer() {
        let body = r#"{"data":{"createOrder":{"order":{"id":"order_1","version":1,"status":"PENDING"},"errors":[]}}}"#;
        assert_eq!(order(body.as_bytes()).expect("an order").id, "order_1");
        let body = r#"{"data":{"createOrder":{"order":null,"errors":[{"code":"INVALID_INPUT"}]}}}"#;
        let error = order(body.as_bytes()).expect_err("no order");
        assert!(error.to_string().contains("INVALID_INPUT"));
    }
}
