//! How far everything has to come that may be on its way: first the outbox, then every role.

use std::time::Instant;

use shop_core::bus::{Extents, Observer, behind, ends};
use shop_core::db::outbox_again;
use shop_core::events::Topic;

use super::sweep::TOPICS;
use crate::ops::{Desk, OpsError};
use crate::{order_saga, projector, stock_reservation};

/// A role and what it reads.
pub type Reader = (&'static str, &'static [Topic]);

/// The role that writes views.
pub const PROJECTOR: Reader = (
    projector::NAME,
    &[
        Topic::Users,
        Topic::Products,
        Topic::StockLevels,
        Topic::Orders,
    ],
);
/// Every role.
pub const ROLES: [Reader; 3] = [
    PROJECTOR,
    (stock_reservation::NAME, &[Topic::Orders]),
    (order_saga::NAME, &[Topic::Stock]),
];

/// How far everything has to come that may be on its way now.
pub struct Mark {
    /// When it was noted.
    pub set_at: Instant,
    seq: u64,
    observers: Vec<(&'static str, &'static [Topic], Observer)>,
    /// Where the topics ended once the outbox was sent up to `seq`.
    ends: Option<Extents>,
}

impl Mark {
    /// Notes it for some roles.
    pub async fn set(desk: &Desk, roles: &[Reader]) -> Result<Self, OpsError> {
        let set_at = Instant::now();
        let seq = desk
            .db
            .transaction("audit", async |tx| outbox_again::last_seq(tx).await)
            .await?;
        let observers = roles
            .iter()
            .map(|(role, topics)| Ok((*role, *topics, Observer::new(&desk.settings.kafka, role)?)));
        Ok(Self {
            set_at,
            seq,
            observers: observers.collect::<Result<_, OpsError>>()?,
            ends: None,
        })
    }

    async fn unsent(&self, desk: &Desk) -> Result<u64, OpsError> {
        let seq = self.seq;
        Ok(desk
            .db
            .transaction("audit", async |tx| {
                outbox_again::unsent_up_to(tx, seq).await
            })
            .await?)
    }

    /// How many records each role has not handled yet.
    async fn behind(&self, extents: &Extents) -> Result<Vec<(&'static str, i64)>, OpsError> {
        let mut all = Vec::new();
        for (role, topics, observer) in &self.observers {
            let of_role: Extents = extents
                .iter()
                .filter(|((topic, _), _)| topics.contains(topic))
                .map(|(partition, extent)| (*partition, *extent))
                .collect();
            let reached = observer.committed(&of_role).await?;
            all.push((*role, behind(&reached, &ends(&of_role))));
        }
        Ok(all)
    }

    /// Whether all of it has arrived.
    pub async fn has_passed(&mut self, desk: &Desk) -> Result<bool, OpsError> {
        let extents = match &self.ends {
            Some(extents) => extents.clone(),
            None if self.unsent(desk).await? > 0 => return Ok(false),
            None => {
                let Some((_, _, observer)) = self.observers.first() else {
                    return Ok(true);
                };
                let extents = observer.extents(&TOPICS).await?;
                self.ends = Some(extents.clone());
                extents
            }
        };
        Ok(self
            .behind(&extents)
            .await?
            .iter()
            .all(|(_, records)| *records == 0))
    }

    /// What has not arrived, in words.
    pub async fn waits_for(&self, desk: &Desk) -> Result<Vec<String>, OpsError> {
        let Some(extents) = &self.ends else {
            let unsent = self.unsent(desk).await?;
            return Ok(vec![format!("{unsent} events of the outbox are not sent")]);
        };
        let late = self.behind(extents).await?.into_iter();
        Ok(late
            .filter(|(_, records)| *records > 0)
            .map(|(role, records)| format!("{role} has {records} records to handle"))
            .collect())
    }
}
