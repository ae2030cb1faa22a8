//! From where one may call: from a place that only this machine's users, or those whom the settings name, can speak from.
//!
//! A browser lets any page open a WebSocket to any address, and lets a page reach this one under a name of the page's own
//! choice. The first it tells in `Origin`, the second in `Host`; neither can be made up by a page.

use std::sync::Arc;

use async_graphql::ServerError;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use shop_core::runtime::settings::EdgeSettings;

use super::execute::coded;
use super::refusal::NotRun;
use super::trace_of;
use crate::graphql::error::{code, dress};

/// How long a browser may remember what it was allowed.
const REMEMBER: HeaderValue = HeaderValue::from_static("600");

/// The names and origins that may call besides loopback's own. Clones share them.
#[derive(Debug, Clone)]
pub struct Gate {
    hosts: Arc<[String]>,
    origins: Arc<[String]>,
}

/// Where a request that may pass comes from.
#[derive(Debug, PartialEq, Eq)]
enum Caller {
    /// No page, or a page of ours.
    Own,
    /// A page that the settings name.
    Listed(HeaderValue),
}

impl Gate {
    /// Lets in what the settings say.
    pub fn new(settings: &EdgeSettings) -> Self {
        Self {
            hosts: settings.hosts.as_slice().into(),
            origins: settings.origins.as_slice().into(),
        }
    }

    fn check(&self, headers: &HeaderMap) -> Result<Caller, (StatusCode, String)> {
        let host = only(headers, &header::HOST).unwrap_or_default();
        let name = name_of(host).to_ascii_lowercase();
        if !is_loopback(&name) && !self.hosts.contains(&name) {
            let problem =
                format!("requests for {name:.100} are not answered: see HTTP_ALLOWED_HOSTS");
            return Err((StatusCode::MISDIRECTED_REQUEST, problem));
        }
        if !headers.contains_key(header::ORIGIN) {
            return Ok(Caller::Own);
        }
        let origin = only(headers, &header::ORIGIN).unwrap_or_default();
        let origin = origin.to_ascii_lowercase();
        let place = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        if place.is_some_and(|place| place.eq_ignore_ascii_case(host)) {
            return Ok(Caller::Own);
        }
        match headers.get(header::ORIGIN) {
            Some(listed) if self.origins.contains(&origin) => Ok(Caller::Listed(listed.clone())),
            _ => {
                let problem =
                    format!("pages of {origin:.100} may not call: see HTTP_ALLOWED_ORIGINS");
                Err((StatusCode::FORBIDDEN, problem))
            }
        }
    }
}

/// Lets a request pass, or answers it with why not. Pages that the settings name learn here what they may send.
pub async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    match gate.check(request.headers()) {
        Ok(Caller::Own) => next.run(request).await,
        Ok(Caller::Listed(origin)) => {
            let mut response = if request.method() == Method::OPTIONS {
                preflight()
            } else {
                let mut answer = next.run(request).await;
                let headers = answer.headers_mut();
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
                answer
            };
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.append(header::VARY, HeaderValue::from_static("origin"));
            response
        }
        Err((status, problem)) => {
            let mut error = coded(code::BAD_REQUEST, ServerError::new(problem, None));
            dress(&mut error, &trace_of(request.headers()));
            (status, axum::Json(NotRun::from(&error))).into_response()
        }
    }
}

/// What a page of another origin may send along: the last one is `graphql-sse`'s, for many operations over one
/// connection.
const HEADERS: &str =
    "authorization, content-type, traceparent, last-event-id, x-graphql-event-stream-token";

/// What a page of another origin may read of an answer's head besides what browsers show to any: when to come back, what is wrong with its
/// token, and the trace to ask us about.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, www-authenticate, x-trace-id");

fn preflight() -> Response {
    let headers: [(HeaderName, HeaderValue); 3] = [
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("POST, PUT, DELETE"),
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(HEADERS),
        ),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBER),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// A header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_loopback(name: &str) -> bool {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(bare) => bare
            .parse::<std::net::Ipv6Addr>()
            .is_ok_and(|ip| ip.is_loopback()),
        None if name == "localhost" => true,
        None => name
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|ip| ip.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::{middleware, routing};
    use tower_service::Service as _;

    use super::*;
    use crate::http::post::TRACE_ID;

    const FRONT: &str = "https://front.example";

    fn status(gate: &Gate, host: &[&str], origin: &[&str]) -> u16 {
        let mut headers = HeaderMap::new();
        for value in host {
            headers.append(header::HOST, value.parse().expect("a header"));
        }
        for value in origin {
            headers.append(header::ORIGIN, value.parse().expect("a header"));
        }
        match gate.check(&headers) {
            Ok(Caller::Own) => 200,
            Ok(Caller::Listed(_)) => 204,
            Err((status, _)) => status.as_u16(),
        }
    }

    #[test]
    fn loopback_and_what_is_listed_may_call_and_nobody_else() {
        let gate = Gate {
            hosts: ["shop.example".to_owned()].into(),
            origins: [FRONT.to_owned()].into(),
        };
        for (host, origin, expected) in [
            (&["127.0.0.1:4000"][..], &[][..], 200),
            (&["127.8.9.10"], &[], 200),
            (&["LOCALHOST:1"], &[], 200),
            (&["[::1]:4000"], &[], 200),
            (&["Shop.Example"], &[], 200),
            (&["shop.example:80"], &["http://shop.example:80"], 200),
            (&["localhost:4000"], &["HTTP://localhost:4000"], 200),
            (&["localhost:4000"], &["https://front.example"], 204),
            (&["localhost:4000"], &["http://localhost:3000"], 403),
            (&["localhost:4000"], &["http://front.example"], 403),
            (&["localhost:4000"], &["https://front.example.evil"], 403),
            (&["localhost:4000"], &["http://evil.example"], 403),
            (&["localhost:4000"], &["null"], 403),
            (&["localhost:4000"], &[""], 403),
            (
                &["localhost:4000"],
                &["http://localhost:4000", "http://evil.example"],
                403,
            ),
            (&["evil.example"], &[], 421),
            (&["evil.example:4000"], &["http://evil.example:4000"], 421),
            (&["localhost.evil.example"], &[], 421),
            (&["shop.example."], &[], 421),
            (&["127.0.0.1.evil.example"], &[], 421),
            (&["192.168.1.5:4000"], &[], 421),
            (&["[::2]"], &[], 421),
            (&["[::1"], &[], 421),
            (&[""], &[], 421),
            (&[], &[], 421),
            (&["localhost", "evil.example"], &[], 421),
        ] {
            assert_eq!(status(&gate, host, origin), expected, "{host:?} {origin:?}");
        }
    }

    #[tokio::test]
    async fn pages_of_listed_origins_can_read_when_to_come_back_and_which_trace_it_was() {
        let gate = Gate {
            hosts: Arc::default(),
            origins: [FRONT.to_owned()].into(),
        };
        let mut router: Router = Router::new()
            .route("/", routing::get(async || StatusCode::TOO_MANY_REQUESTS))
            .layer(middleware::from_fn_with_state(gate, guard));
        for (method, origin, is_exposed) in [
            (Method::GET, Some(FRONT), true),
            (Method::GET, None, false),
            (Method::GET, Some("http://localhost"), false),
            (Method::GET, Some("http://evil.example"), false),
            (Method::OPTIONS, Some(FRONT), false), // a browser looks for it in the answer itself
        ] {
            let mut request = Request::new(Body::empty());
            *request.method_mut() = method.clone();
            let headers = request.headers_mut();
            headers.insert(header::HOST, HeaderValue::from_static("localhost"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            let response = router.call(request).await.expect("an answer");
            let exposed = response
                .headers()
                .get(header::ACCESS_CONTROL_EXPOSE_HEADERS);
            assert_eq!(exposed.is_some(), is_exposed, "{method} {origin:?}");
            if let Some(exposed) = exposed {
                let names = exposed.to_str().expect("a text").split(", ");
                let expected = [header::RETRY_AFTER, header::WWW_AUTHENTICATE, TRACE_ID];
                assert!(
                    names.eq(expected.iter().map(HeaderName::as_str)),
                    "{exposed:?}"
                );
            }
        }
    }
}
