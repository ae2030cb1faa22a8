//! The generation that is being built: copied from one moment of the write side, then kept up with the topics.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use shop_core::bus::{Observer, Offsets, Replay, TailItem, behind, ends};
use shop_core::db::Snapshot;
use shop_core::events::{Envelope, Payload, Topic};
use shop_core::views::{Image, View, Views};
use uuid::Uuid;

use crate::ops::audit::states_after;
use crate::ops::{Desk, OpsError, Progress, outlast};
use crate::projector;
use crate::projector::fold::fold;

/// The topics that views are made of.
pub const TOPICS: [Topic; 4] = [
    Topic::Users,
    Topic::Products,
    Topic::StockLevels,
    Topic::Orders,
];
const PAGE: i64 = 1_000;
/// Records per batch.
const BATCH: usize = 1_000;
const LOOK: Duration = Duration::from_millis(100);

/// The next generation.
pub struct Next {
    /// Its documents.
    pub views: Views,
    replay: Replay,
    observer: Observer,
    /// Documents that the topics have changed since this was asked last.
    touched: HashSet<(View, Uuid)>,
    /// How many documents were copied.
    pub copied: u64,
    /// How many records of the topics were taken in.
    pub followed: u64,
    /// How many of them could not be read.
    pub unreadable: u64,
}

impl Next {
    /// Copies the write side. Whatever is committed after the snapshot comes through the topics after the ends that were
    /// noted before it.
    pub async fn copy(desk: &Desk, views: Views, progress: &Progress) -> Result<Self, OpsError> {
        views.ensure_indexes().await?;
        let observer = Observer::new(&desk.settings.kafka, "ops")?;
        let from = ends(&observer.extents(&TOPICS).await?);
        let mut snapshot = Snapshot::open(&desk.settings.mysql).await?;
        let mut copied = 0;
        for view in View::ALL {
            let mut page = read(&mut snapshot, view, None).await?;
            while let Some(last) = page.last().map(Image::id) {
                let (written, following) = tokio::join!(
                    outlast(async || views.apply_images(view, &page).await),
                    read(&mut snapshot, view, Some(last))
                );
                copied += written?.len() as u64;
                page = following?;
                progress.at(|| format!("{copied} documents copied, at {}", view.collection()));
            }
        }
        Ok(Self {
            views,
            replay: Replay::open(&desk.settings.kafka, &from)?,
            observer,
            touched: HashSet::new(),
            copied,
            followed: 0,
            unreadable: 0,
        })
    }

    /// Where the topics end now.
    pub async fn ends(&self) -> Result<Offsets, OpsError> {
        Ok(ends(&self.observer.extents(&TOPICS).await?))
    }

    /// Takes in what the topics hold up to some offsets.
    ///
    /// # Errors
    /// [`OpsError::Failed`] when that takes longer than the bound.
    pub async fn catch_up(
        &mut self,
        to: &Offsets,
        bound: Duration,
        progress: &Progress,
    ) -> Result<(), OpsError> {
        let begun = Instant::now();
        loop {
            let left = behind(self.replay.reached(), to);
            if left == 0 {
                return Ok(());
            }
            if begun.elapsed() > bound {
                return Err(OpsError::Failed(anyhow::anyhow!(
                    "{left} records of the topics are left after {bound:?}"
                )));
            }
            progress.at(|| format!("{left} records of the topics to take in"));
            let mut batch: Vec<Envelope> = Vec::new();
            for item in self.replay.next(BATCH, LOOK).await? {
                match item {
                    TailItem::Event(envelope) => batch.push(envelope),
                    TailItem::Skipped { .. } => self.unreadable += 1,
                }
            }
            self.followed += batch.len() as u64;
            self.touched.extend(batch.iter().filter_map(touches));
            let folded = fold(&batch);
            outlast(async || projector::write(&self.views, &folded).await).await?;
        }
    }

    /// The documents that changed since this was asked last.
    pub fn take_touched(&mut self) -> HashSet<(View, Uuid)> {
        std::mem::take(&mut self.touched)
    }
}

fn touches(envelope: &Envelope) -> Option<(View, Uuid)> {
    let view = match envelope.event.payload {
        Payload::User(_) => View::Users,
        Payload::Product(_) => View::Products,
        Payload::StockLevel(_) => View::StockLevels,
        Payload::Order(_) => View::Orders,
        Payload::Stock(_) => return None,
    };
    Some((view, envelope.event.aggregate_id()))
}

async fn read(
    snapshot: &mut Snapshot,
    view: View,
    after: Option<Uuid>,
) -> Result<Vec<Image>, OpsError> {
    let states = snapshot
        .read(async move |conn| states_after(conn, view, after, PAGE).await)
        .await?;
    let mut images = Vec::with_capacity(states.len());
    for state in &states {
        images.extend(Image::of(state)?.map(|(_, image)| image));
    }
    Ok(images)
}
