//! Writing to the generation of the views that is served, whenever that changes.
//!
//! A rebuild makes writers pause, brings its generation up to the end of the topics, and has it served. What was written
//! before the pause is in the topics before those ends. What was written across a change may be in neither generation that
//! counts, so it is written again, to the one that is served then: nothing of it was told to anybody yet.

use std::time::{Duration, Instant};

use shop_core::views::{Served, ViewError, Views};

use super::fold::{Folded, WrittenViews};

/// How often a writer that pauses looks again.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long writers pause at most: then whoever asked for it is gone, and the pause is ended.
pub const PAUSE_AT_MOST: Duration = Duration::from_secs(10);

/// Waits for the end of a pause. Returns what is served then.
pub async fn open(views: &Views) -> Result<Served, ViewError> {
    let mut seen: Option<(i64, Instant)> = None;
    loop {
        let served = views.served().await?;
        if !served.paused {
            return Ok(served);
        }
        let since = match seen {
            Some((epoch, since)) if epoch == served.epoch => since,
            // Counted anew from each change, by this process's own clock.
            _ => Instant::now(),
        };
        seen = Some((served.epoch, since));
        if since.elapsed() > PAUSE_AT_MOST {
            tracing::warn!("nobody ended the pause of the views' writers: going on");
            let going_on = Served {
                paused: false,
                ..served.clone()
            };
            views.change_served(&served, going_on).await?;
            continue;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Writes a folded batch to the generation that is served, again and again until that fell between two changes.
pub(super) async fn write(views: &Views, folded: &Folded) -> Result<WrittenViews, ViewError> {
    loop {
        let before = open(views).await?;
        let written = super::write(&views.at(before.generation), folded).await?;
        if views.served().await?.epoch == before.epoch {
            return Ok(written);
        }
    }
}
