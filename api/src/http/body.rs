//! One operation as clients write it in JSON, the same over every transport.

use async_graphql::{Request, Variables};
use serde::Deserialize;
use serde_json::value::RawValue;

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

impl Body<'_> {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(text: &[u8]) -> Result<Request, String> {
        let body: Body<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if body.extensions.is_some_and(|it| !it.get().starts_with('{')) {
            return Err("extensions must be an object".to_owned());
        }
        let mut request = Request::new(body.query).variables(body.variables.unwrap_or_default());
        request.operation_name = body.operation_name;
        Ok(request)
    }
}
