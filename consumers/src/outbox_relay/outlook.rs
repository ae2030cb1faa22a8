//! How a leader finds out where unsent rows can be, and finds those that are where none should be.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use shop_core::db::lock::NamedLock;
use shop_core::db::outbox;

use super::position::{HORIZON, Position};

/// Numbers that one statement looks through, at most.
const SPAN: u64 = 20_000;
/// How often one span below the position is looked through again.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A position and what keeps it honest.
#[derive(Debug)]
pub struct Outlook {
    /// Where to look.
    pub position: Position,
    /// The number that the next sweep begins at.
    next: u64,
    swept: Instant,
}

impl Outlook {
    /// Surveys the outbox at the beginning of a term. Every statement is bounded, however long the table and whatever is not
    /// purged of it.
    ///
    /// # Errors
    /// If the lock is lost or a statement failed.
    pub async fn survey(lock: &mut NamedLock) -> anyhow::Result<Self> {
        let (oldest, newest, settled) = lock
            .run(async |conn| {
                let (oldest, newest) = outbox::ends(conn).await?;
                // Numbers below it were given out before any transaction that is open now began.
                let settled = outbox::sent_before(conn, HORIZON).await?;
                Ok((oldest, newest, settled))
            })
            .await
            .context("failed to look for the outbox's ends")?;
        // Without one nothing is known: even a number below all rows that can be seen may be one that commits late.
        let settled = settled.unwrap_or(0);
        let mut outlook = Self {
            position: Position::after(settled),
            next: oldest,
            swept: Instant::now(),
        };
        for span in spans(oldest.max(settled + 1), newest) {
            let range = &span;
            let sent = lock
                .run(async move |conn| outbox::sent_within(conn, range).await)
                .await
                .context("failed to look for what was sent")?;
            outlook.position.sent(&sent, Instant::now());
        }
        outlook.position.seen_up_to(newest, Instant::now());
        for span in spans(oldest, settled) {
            outlook.look_again(lock, span).await?;
        }
        Ok(outlook)
    }

    /// Once a second, looks through another span below the position for unsent rows, round and round. There are none, unless
    /// somebody set them back by hand or a transaction stayed open longer than the horizon.
    ///
    /// # Errors
    /// If the lock is lost or the statement failed.
    pub async fn sweep(&mut self, lock: &mut NamedLock) -> anyhow::Result<()> {
        if self.swept.elapsed() < SWEEP_EVERY {
            return Ok(());
        }
        self.swept = Instant::now();
        let end = self.position.tail();
        if self.next >= end {
            let ends = lock.run(async |conn| outbox::ends(conn).await).await;
            self.next = ends.context("failed to look for the outbox's ends")?.0;
        }
        if let Some(span) = spans(self.next, end.saturating_sub(1)).next() {
            self.next = span.end() + 1;
            self.look_again(lock, span).await?;
        }
        Ok(())
    }

    async fn look_again(
        &mut self,
        lock: &mut NamedLock,
        span: RangeInclusive<u64>,
    ) -> anyhow::Result<()> {
        let range = &span;
        let unsent = lock
            .run(async move |conn| outbox::unsent_within(conn, range).await)
            .await
            .context("failed to look for what was left unsent")?;
        if let Some(range) = unsent {
            self.position.reopen(&range, Instant::now());
        }
        Ok(())
    }
}

/// The numbers from one to another, both included, in spans.
fn spans(from: u64, to: u64) -> impl Iterator<Item = RangeInclusive<u64>> {
    let first = move |n: u64| from + n * SPAN;
    (0..)
        .map(first)
        .take_while(move |first| *first <= to)
        .map(move |first| first..=to.min(first + (SPAN - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_all_numbers_once() {
        assert_eq!(spans(5, 4).count(), 0);
        assert_eq!(spans(1, 1).collect::<Vec<_>>(), [1..=1]);
        let several: Vec<_> = spans(1, 2 * SPAN + 1).collect();
        assert_eq!(
            several,
            [1..=SPAN, SPAN + 1..=2 * SPAN, 2 * SPAN + 1..=2 * SPAN + 1]
        );
    }
}
