//! What is left of a request's body when its answer is made: an answer may come before all of the body was read, and the next
//! request begins behind it.
//!
//! It is passed over, within bounds, so that the connection can go on, and so that a client that sends before it reads is told: a
//! connection that is closed with something unread in it takes the answer with it. Beyond the bounds the answer has to say that
//! the connection ends, for else the next request would be closed on without a word.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::timeout;

/// Bytes that are passed over, at most.
const MOST: u64 = 1024 * 1024;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// A body that comes back when it is dropped before its end.
pub struct Lent<B: HttpBody + Unpin>(Option<(B, oneshot::Sender<B>)>);

/// What is left of a body that was lent.
pub struct Leftover<B>(oneshot::Receiver<B>);

/// Lends a body to whoever answers.
pub fn lend<B: HttpBody + Unpin>(body: B) -> (Lent<B>, Leftover<B>) {
    let (back, leftover) = oneshot::channel();
    let lent = (!body.is_end_stream()).then_some((body, back));
    (Lent(lent), Leftover(leftover))
}

impl<B: HttpBody<Data = Bytes> + Unpin> Leftover<B> {
    /// Passes over what is left, within bounds; whether the connection can go on. What the client asks about before it sends
    /// it is not passed over.
    pub async fn pass_over(mut self, asks_first: bool) -> bool {
        let body = match self.0.try_recv() {
            Ok(_) if asks_first => return false,
            Ok(body) => body,
            Err(TryRecvError::Closed) => return true, // nothing is left
            Err(TryRecvError::Empty) => return false, // somebody may still read it
        };
        if body.size_hint().lower() > MOST {
            return false;
        }
        timeout(PATIENCE, end_of(body)).await.unwrap_or(false)
    }
}

/// Reads a body to its end; false if it is too large, or breaks off.
async fn end_of<B: HttpBody<Data = Bytes> + Unpin>(body: B) -> bool {
    let (mut body, mut left) = (pin!(body), MOST);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(frame) = frame else { return false };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX)) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

impl<B: HttpBody + Unpin> HttpBody for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some((body, _)) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if frame.is_none() {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or(SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}

impl<B: HttpBody + Unpin> Drop for Lent<B> {
    fn drop(&mut self) {
        if let Some((body, back)) = self.0.take()
            && !body.is_end_stream()
        {
            let _ = back.send(body); // who does not want it back drops it
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use futures::stream::{self, StreamExt as _};
    use tokio::time::Instant;

    use super::*;

    fn chunks(count: usize) -> Body {
        Body::from_stream(stream::iter(vec![
            Ok::<_, Infallible>("x".repeat(1024));
            count
        ]))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_passed_over_within_bounds() {
        let endless = chunks(3).into_data_stream().chain(stream::pending());
        for (body, goes_on, seconds) in [
            (Body::empty(), true, 0),
            (chunks(1024), true, 0),
            (chunks(1025), false, 0),
            (Body::from("x".repeat(2 * 1024 * 1024)), false, 0),
            (Body::from_stream(endless), false, 1),
        ] {
            let begun = Instant::now();
            let (lent, leftover) = lend(body);
            drop(lent);
            assert_eq!(leftover.pass_over(false).await, goes_on);
            assert_eq!(begun.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_body_that_was_read() {
        let (lent, leftover) = lend(chunks(3));
        let read = axum::body::to_bytes(Body::new(lent), usize::MAX).await;
        assert_eq!(read.expect("a body").len(), 3 * 1024);
        assert!(leftover.pass_over(false).await);
        let (_lent, leftover) = lend(chunks(3));
        assert!(!leftover.pass_over(false).await, "it may still be read");
    }
}
