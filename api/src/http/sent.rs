//! The body of a request, read within bounds of size and time.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use futures::stream::StreamExt as _;
use shop_core::runtime::Shutdown;
use shop_core::runtime::settings::HttpSettings;
use tokio::time::{sleep, timeout};

use super::Edge;

/// What a client sent, or the status to answer and what is wrong.
pub struct Sent(pub Result<Bytes, (StatusCode, String)>);

impl FromRequest<Arc<Edge>> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, Infallible> {
        let http = &edge.settings.http;
        let read = read(request.into_body(), http.body_bytes);
        Ok(Self(tokio::select! {
            biased; // most are there at once
            read = read => read,
            problem = late(http, &edge.shutdown) => Err((StatusCode::REQUEST_TIMEOUT, problem)),
        }))
    }
}

/// Waits until a body is late, and says why; sooner when the program stops.
async fn late(http: &HttpSettings, shutdown: &Shutdown) -> String {
    let stopping = async {
        shutdown.requested().await;
        sleep(http.drain).await;
    };
    match timeout(http.read_timeout, stopping).await {
        Ok(()) => "the program is stopping, and the body did not come".to_owned(),
        Err(_) => format!("the body did not come within {:?}", http.read_timeout),
    }
}

async fn read(body: Body, most: usize) -> Result<Bytes, (StatusCode, String)> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut chunks = body.into_data_stream();
    let too_large = || {
        let problem = format!("the body has more than {most} bytes; send less at a time");
        Err((StatusCode::PAYLOAD_TOO_LARGE, problem))
    };
    if announced > most {
        return too_large();
    }
    let (mut first, mut all) = (Bytes::new(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| (StatusCode::BAD_REQUEST, format!("no whole body: {error}")))?;
        if first.len() + all.len() + chunk.len() > most {
            return too_large();
        }
        if first.is_empty() && all.is_empty() {
            first = chunk; // most have one
        } else {
            if all.is_empty() {
                all.reserve(announced.max(first.len() + chunk.len()));
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&chunk);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use shop_core::runtime::Settings;
    use tokio::time::Instant;

    use super::*;

    async fn sent(body: Body) -> Result<String, u16> {
        let read = read(body, 10).await;
        read.map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
            .map_err(|(status, _)| status.as_u16())
    }

    fn chunks(chunks: &[&'static str]) -> Body {
        let chunks = chunks
            .iter()
            .copied()
            .map(Ok::<_, Infallible>)
            .collect::<Vec<_>>();
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_is_read_whole_or_not_at_all() {
        for (body, expected) in [
            (Body::empty(), Ok("")),
            (Body::from("0123456789"), Ok("0123456789")),
            (Body::from("0123456789x"), Err(413)),
            (chunks(&["01", "", "23456", "789"]), Ok("0123456789")),
            (chunks(&["", "01"]), Ok("01")),
            (chunks(&["01", "23456", "789", "x"]), Err(413)),
            (Body::from("x".repeat(1024 * 1024)), Err(413)),
        ] {
            assert_eq!(
                sent(body).await.as_deref().map_err(|status| *status),
                expected
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_too_large_is_not_waited_for() {
        let endless = stream::iter([Ok::<_, Infallible>("x".repeat(11))]).chain(stream::pending());
        assert_eq!(sent(Body::from_stream(endless)).await, Err(413));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_less_time_when_the_program_stops() {
        let settings = Settings::read(&|_| None).expect("the defaults are valid");
        let (http, shutdown) = (settings.edge.http, Shutdown::new());
        let begun = Instant::now();
        let problem = late(&http, &shutdown).await;
        assert!(problem.ends_with("within 10s"), "{problem}");
        assert_eq!(begun.elapsed(), http.read_timeout);
        shutdown.request();
        let begun = Instant::now();
        let problem = late(&http, &shutdown).await;
        assert!(problem.contains("stopping"), "{problem}");
        assert_eq!(begun.elapsed(), http.drain);
    }
}
