//! One operation as clients write it in JSON, the same over every transport.

use async_graphql::{Request, Variables};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::limits::{Excess, values};

/// An operation. Other members are ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Body<'a> {
    query: String,
    operation_name: Option<String>,
    variables: Option<Variables>,
    #[serde(borrow, default)]
    extensions: Option<&'a RawValue>,
}

/// What is read of an operation's extensions: `graphql-sse` names operations here. Others are ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extensions {
    operation_id: Option<async_graphql::Value>,
}

/// The extension that names an operation, in the request's extensions too.
pub const OPERATION_ID: &str = "operationId";

impl Body<'_> {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(text: &[u8]) -> Result<Request, String> {
        if let Err(excess) = values::check(text, values::BODY) {
            return Ok(beyond(excess));
        }
        let body: Body<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if body.extensions.is_some_and(|it| !it.get().starts_with('{')) {
            return Err("extensions must be an object".to_owned());
        }
        let extensions = body.extensions.map(|it| serde_json::from_str(it.get()));
        let extensions: Option<Extensions> =
            extensions.transpose().map_err(|error| error.to_string())?;
        let mut request = Request::new(body.query).variables(body.variables.unwrap_or_default());
        request.operation_name = body.operation_name;
        if let Some(id) = extensions.and_then(|it| it.operation_id) {
            request.extensions.insert(OPERATION_ID.to_owned(), id);
        }
        Ok(request)
    }
}

/// A request that goes beyond a limit before it is read: it is refused like any other one, over every transport.
pub fn beyond(excess: Excess) -> Request {
    Request::new("").data(excess)
}
