//! Long work that asks the views thousands of times outlasts a moment in which they do not answer.

use std::time::Duration;

use shop_core::runtime::Backoff;
use shop_core::views::ViewError;
use tokio::time::Instant;

/// How long one question is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between the first try and the second; then longer.
const PAUSE: Duration = Duration::from_millis(200);

/// Asks until there is an answer, or an error that asking again does not mend, or no patience left. What is asked must be
/// safe to repeat, for a write that was not answered in time may have happened.
///
/// # Errors
/// The last one.
pub async fn outlast<T>(
    mut ask: impl AsyncFnMut() -> Result<T, ViewError>,
) -> Result<T, ViewError> {
    let begun = Instant::now();
    let mut backoff = Backoff::with_base(PAUSE);
    loop {
        let error = match ask().await {
            Err(error) if error.is_retryable() => error,
            answer => return answer,
        };
        let wait = backoff.next();
        if begun.elapsed() + wait > PATIENCE {
            return Err(error);
        }
        tracing::warn!("asking again in {} ms: {error}", wait.as_millis());
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWAY: ViewError = ViewError::TimedOut(Duration::from_secs(3));
    const WRONG: ViewError = ViewError::Refused { code: 2 };

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_outlasted() {
        let mut left = 3;
        let answer = outlast(async || {
            left -= 1;
            if left > 0 { Err(AWAY) } else { Ok("here") }
        });
        assert_eq!(answer.await.expect("it came back"), "here");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_is_told_at_once() {
        let mut asked = 0;
        let answer = outlast::<()>(async || {
            asked += 1;
            Err(WRONG)
        });
        assert!(matches!(answer.await, Err(ViewError::Refused { code: 2 })));
        assert_eq!(asked, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let mut asked = 0;
        let begun = Instant::now();
        let answer = outlast::<()>(async || {
            asked += 1;
            Err(AWAY)
        });
        assert!(matches!(answer.await, Err(ViewError::TimedOut(_))));
        assert!(asked > 3 && begun.elapsed() <= PATIENCE);
    }
}
