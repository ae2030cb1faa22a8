//! What may come back for a mutation.

use serde_json::Value;

/// Why a mutation was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs: `ALREADY_PAID`.
    pub code: String,
    /// For people.
    pub message: String,
    /// The status before, if the refusal is about a transition.
    pub from: Option<String>,
}

/// What came back for a mutation.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It was done; the payload.
    Done(Value),
    /// It was refused, or done with a remark; the payload and why.
    Refused(Value, Vec<Refusal>),
    /// It never reached the server, or was turned away before anything was done: it may be sent again as it is.
    NotSent(String),
    /// No answer, or none that says what happened: done or not.
    Unknown(String),
}

impl Answer {
    /// Reads a GraphQL response to a document with one mutation.
    pub fn from_response(mutation: &str, response: &Value) -> Self {
        if let Some(errors) = response["errors"]
            .as_array()
            .filter(|errors| !errors.is_empty())
        {
            let problem = Value::Array(errors.clone()).to_string();
            return if errors.iter().all(changed_nothing) {
                Self::NotSent(problem)
            } else {
                Self::Unknown(problem)
            };
        }
        let payload = &response["data"][mutation];
        if !payload.is_object() {
            return Self::Unknown(format!("an answer without {mutation}: {response}"));
        }
        let refusals: Vec<Refusal> = payload["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(refusal)
            .collect();
        if refusals.is_empty() {
            Self::Done(payload.clone())
        } else {
            Self::Refused(payload.clone(), refusals)
        }
    }
}

/// Whether an error says that nothing was done. A deadline does not, nor what was committed or not.
fn changed_nothing(error: &Value) -> bool {
    let code = error["extensions"]["code"].as_str();
    code.is_some_and(|code| ["OVERLOADED", "RATE_LIMITED", "UNAVAILABLE"].contains(&code))
}

fn refusal(error: &Value) -> Refusal {
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    Refusal {
        code: text("code"),
        message: text("message"),
        from: error["from"].as_str().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_done_refused_or_unknown() {
        let done = json!({ "data": { "payOrder": { "order": { "version": 3 }, "errors": [] } } });
        assert!(matches!(
            Answer::from_response("payOrder", &done),
            Answer::Done(_)
        ));
        let refused = json!({ "data": { "payOrder": { "order": null, "errors": [
            { "code": "ALREADY_PAID", "message": "is paid" }] } } });
        match Answer::from_response("payOrder", &refused) {
            Answer::Refused(_, refusals) => assert_eq!(refusals[0].code, "ALREADY_PAID"),
            other => panic!("{other:?}"),
        }
        let failed = |code| json!({ "errors": [{ "extensions": { "code": code } }] });
        for code in ["OVERLOADED", "UNAVAILABLE"] {
            let answer = Answer::from_response("payOrder", &failed(code));
            assert!(matches!(answer, Answer::NotSent(_)), "{code}");
        }
        for unknown in [
            failed("DEADLINE_EXCEEDED"),
            failed("OUTCOME_UNKNOWN"),
            json!({ "errors": [{ "message": "x" }] }),
            json!({ "data": null }),
            json!(1),
        ] {
            assert!(matches!(
                Answer::from_response("payOrder", &unknown),
                Answer::Unknown(_)
            ));
        }
    }
}
