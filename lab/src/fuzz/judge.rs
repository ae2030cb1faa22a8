//! What may come for a request, and what may not.

use serde_json::Value;

use super::wire::{Answer, Came};

/// What the API may say. 500 and its like are not among it.
const STATUSES: [u16; 23] = [
    101, 200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409, 411, 413, 414, 415, 417,
    421, 426, 431, 503,
];
/// The words of `extensions.code`, but that for a mistake of ours; a stream that is not there is told without one.
const CODES: [&str; 23] = [
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
    "QUERY_TOO_COMPLEX",
    "DOCUMENT_TOO_LARGE",
    "VARIABLES_TOO_LARGE",
    "REQUEST_TOO_LARGE",
    "RATE_LIMITED",
    "OVERLOADED",
    "BAD_REQUEST",
    "RESPONSE_TOO_LARGE",
    "BAD_USER_INPUT",
    "INVALID_CURSOR",
    "NOT_FOUND",
    "NOT_YET",
    "BEFORE_CREATION",
    "IN_THE_FUTURE",
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "TOO_MANY_SUBSCRIPTIONS",
    "DEADLINE_EXCEEDED",
    "OUTCOME_UNKNOWN",
    "UNAVAILABLE",
    "",
];
/// Why a socket may be closed. 1011, a mistake of ours, is not among it.
const CLOSES: [u16; 17] = [
    1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 1013, 3008, 4400, 4401, 4403, 4406, 4408, 4409,
    4429,
];
/// What a server says in either protocol.
const SAID: [&str; 9] = [
    "connection_ack",
    "connection_error",
    "next",
    "data",
    "error",
    "complete",
    "ping",
    "pong",
    "ka",
];

/// What is to be said of a case.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What must not be.
    pub findings: Vec<String>,
    /// What was answered: statuses, codes of errors and of closing.
    pub heard: Vec<String>,
}

impl Verdict {
    /// Notes what must not be.
    pub fn find(&mut self, what: impl Into<String>) {
        self.findings.push(what.into());
    }

    /// Judges an answer. `due` says whether there has to be one.
    pub fn http(&mut self, came: &Came, due: bool) {
        match came {
            Came::Answer(answer) => self.answer(answer, due),
            Came::Closed if due => self.find("closed without an answer"),
            Came::Nothing if due => self.find("no answer in time"),
            Came::Closed => self.heard.push("closed".to_owned()),
            Came::Nothing => self.heard.push("silence".to_owned()),
            Came::Garbage(text) => self.find(format!("no HTTP: {text:.200}")),
        }
    }

    fn answer(&mut self, answer: &Answer, due: bool) {
        let status = answer.status;
        self.heard.push(format!("HTTP {status}"));
        if !STATUSES.contains(&status) {
            self.find(format!("status {status}"));
        }
        let media_type = answer.header("content-type").unwrap_or_default();
        if media_type.starts_with("text/event-stream") {
            self.events(&answer.body);
            return;
        }
        if !answer.whole {
            if due {
                self.find(format!("half an answer, status {status}"));
            }
            return;
        }
        let is_graphql = media_type.contains("json") && !answer.body.is_empty();
        if is_graphql {
            match serde_json::from_slice(&answer.body) {
                Ok(body) => self.graphql(&body),
                Err(error) => self.find(format!("an answer that is no JSON: {error}")),
            }
        } else if status == 200 && due {
            self.find(format!("200 with {media_type:?} for an operation"));
        }
    }

    /// Judges what a stream of events said so far.
    fn events(&mut self, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        for event in text.split("\n\n") {
            let mut lines = event.lines();
            let data = lines.find_map(|line| line.strip_prefix("data:"));
            let Some(data) = data.map(str::trim).filter(|data| !data.is_empty()) else {
                continue;
            };
            match serde_json::from_str::<Value>(data) {
                // In the single connection mode the result stands beside the id.
                Ok(body) if body.get("id").is_some() => self.next(&body["payload"]),
                Ok(body) => self.graphql(&body),
                Err(_) if text.ends_with(event) => {} // the rest was not waited for
                Err(error) => self.find(format!("an event that is no JSON: {error}")),
            }
        }
    }

    /// Judges a result in GraphQL's form.
    fn graphql(&mut self, body: &Value) {
        let Some(members) = body.as_object() else {
            self.find(format!("no result: {}", short(body)));
            return;
        };
        let known = ["data", "errors", "extensions"];
        if let Some(other) = members.keys().find(|name| !known.contains(&name.as_str())) {
            self.find(format!("a result with {other:?}"));
        }
        match members.get("errors") {
            Some(Value::Array(errors)) if !errors.is_empty() => self.errors(errors),
            Some(other) => self.find(format!("errors are {}", short(other))),
            None if members.get("data").is_none_or(Value::is_null) => {
                self.find(format!("neither data nor errors: {}", short(body)));
            }
            None => self.heard.push("data".to_owned()),
        }
    }

    fn errors(&mut self, errors: &[Value]) {
        for error in errors {
            let code = error["extensions"]["code"].as_str().unwrap_or_default();
            if !error["message"].is_string() || !CODES.contains(&code) {
                self.find(format!("an error that nobody may see: {}", short(error)));
            }
            if !code.is_empty() {
                self.heard.push(code.to_owned());
            }
        }
    }

    /// Judges a frame of text from a socket.
    pub fn said(&mut self, text: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Value>(text) else {
            self.find(format!(
                "a message that is no JSON: {:.200}",
                text.escape_ascii()
            ));
            return;
        };
        let kind = message["type"].as_str().unwrap_or_default();
        if !SAID.contains(&kind) {
            self.find(format!("a message of type {kind:?}"));
        }
        match kind {
            "next" | "data" => self.next(&message["payload"]),
            "error" => match &message["payload"] {
                Value::Array(errors) => self.errors(errors),
                one => self.errors(std::slice::from_ref(one)),
            },
            _ => {}
        }
    }

    fn next(&mut self, payload: &Value) {
        // The end of an operation has none.
        if !payload.is_null() {
            self.graphql(payload);
        }
    }

    /// Judges the end of a socket.
    pub fn closed(&mut self, payload: &[u8]) {
        let code = match payload {
            [] => 1005,
            [high, low, ..] => u16::from_be_bytes([*high, *low]),
            [_] => 0,
        };
        self.heard.push(format!("close {code}"));
        // Our own code may be given back, whatever it is.
        if !CLOSES.contains(&code) && !(3_000..5_000).contains(&code) {
            self.find(format!("closed with {code}"));
        }
    }
}

/// The beginning of a value.
fn short(value: &Value) -> String {
    value.to_string().chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(status: u16, body: &str) -> Came {
        Came::Answer(Answer {
            status,
            head: "HTTP/1.1 x\r\ncontent-type: application/json".to_owned(),
            body: body.as_bytes().to_vec(),
            whole: true,
        })
    }

    #[test]
    fn only_well_formed_answers_pass() {
        let error = |code: &str| {
            format!(r#"{{"errors":[{{"message":"m","extensions":{{"code":"{code}"}}}}]}}"#)
        };
        for (came, passes) in [
            (json(200, r#"{"data":{"a":null},"extensions":{}}"#), true),
            (json(400, &error("BAD_REQUEST")), true),
            (json(200, &error("INTERNAL")), false),
            (json(500, &error("BAD_REQUEST")), false),
            (json(200, r#"{"data":null}"#), false),
            (json(200, r#"{"errors":[]}"#), false),
            (json(200, r#"{"data":{},"more":1}"#), false),
            (json(200, "{"), false),
            (Came::Closed, false),
            (Came::Nothing, false),
            (Came::Garbage("x".to_owned()), false),
        ] {
            let mut verdict = Verdict::default();
            verdict.http(&came, true);
            assert_eq!(verdict.findings.is_empty(), passes, "{came:?} {verdict:?}");
        }
    }

    #[test]
    fn a_mistake_of_ours_is_found_wherever_it_is_told() {
        let error = r#"{"message":"m","extensions":{"code":"INTERNAL"}}"#;
        let mut verdict = Verdict::default();
        verdict.said(format!(r#"{{"type":"error","id":"1","payload":[{error}]}}"#).as_bytes());
        verdict.said(
            format!(r#"{{"type":"data","id":"1","payload":{{"errors":[{error}]}}}}"#).as_bytes(),
        );
        verdict.events(format!("event: next\ndata: {{\"errors\":[{error}]}}\n\n").as_bytes());
        assert_eq!(verdict.findings.len(), 3);
        verdict.closed(&1_011_u16.to_be_bytes());
        verdict.closed(&1_000_u16.to_be_bytes());
        assert_eq!(verdict.findings.len(), 4);
    }
}
