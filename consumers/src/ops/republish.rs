//! `ops republish`: sends what was announced again, through the outbox.

use shop_core::commands::Call;
use shop_core::commands::republish::{Republished, republish};
use shop_core::db::outbox_again;
use shop_core::domain::{OrderId, ProductId, UserId};
use shop_core::events::AggregateType;
use uuid::Uuid;

use super::audit::log_name;
use super::{Desk, OpsError, Progress};

/// Aggregates per transaction.
const BATCH: i64 = 500;

/// Sends the events of chosen aggregates, or of all, again: same ids, same versions; for a Kafka that lost its data
#[derive(Debug, Clone, Default, clap::Args)]
#[group(required = true, multiple = true)]
pub struct Republish {
    /// Everything
    #[arg(long, conflicts_with_all = ["order", "product", "user"])]
    pub all: bool,
    /// An order, and what was decided about its stock
    #[arg(long, value_name = "ID")]
    pub order: Vec<OrderId>,
    /// A product and its stock level
    #[arg(long, value_name = "ID")]
    pub product: Vec<ProductId>,
    /// A user
    #[arg(long, value_name = "ID")]
    pub user: Vec<UserId>,
}

/// Of which kind, and whether each of them must exist.
type Chosen = (AggregateType, Vec<Uuid>, bool);

impl Republish {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), OpsError> {
        let done = self.republish(desk, &Progress::new()).await?;
        if !desk.consent.dry_run {
            println!(
                "{} aggregates: {} events of the outbox are sent again, {} were pruned and are made anew",
                done.aggregates, done.kept, done.renewed
            );
        }
        Ok(())
    }

    /// Puts the events into the outbox again. A dry run only counts.
    ///
    /// # Errors
    /// [`OpsError::Refused`] for an id that does not exist; nothing is sent then.
    pub async fn republish(
        &self,
        desk: &Desk,
        progress: &Progress,
    ) -> Result<Republished, OpsError> {
        if self.all {
            return everything(desk, progress).await;
        }
        let chosen = self.chosen();
        for (kind, ids, must_exist) in &chosen {
            for id in ids.iter().filter(|_| *must_exist) {
                if !exists(desk, *kind, *id).await? {
                    let name = log_name((*kind, *id));
                    return Err(OpsError::refused(format!("there is no {name}")));
                }
            }
        }
        let mut done = Republished::default();
        for (kind, ids, _) in chosen {
            for chunk in ids.chunks(usize::try_from(BATCH).unwrap_or(1)) {
                let what = format!("send {} of kind {} again", chunk.len(), kind.as_str());
                if desk.consent.to_change(&what) {
                    add(
                        &mut done,
                        republish(&desk.db, &Call::now(None), kind, chunk).await?,
                    );
                }
            }
        }
        Ok(done)
    }

    fn chosen(&self) -> Vec<Chosen> {
        let users: Vec<Uuid> = self.user.iter().map(|id| id.uuid()).collect();
        let products: Vec<Uuid> = self.product.iter().map(|id| id.uuid()).collect();
        let orders: Vec<Uuid> = self.order.iter().map(|id| id.uuid()).collect();
        vec![
            (AggregateType::User, users, true),
            (AggregateType::Product, products.clone(), true),
            (AggregateType::StockLevel, products, false),
            (AggregateType::Order, orders.clone(), true),
            (AggregateType::Stock, orders, false),
        ]
    }
}

async fn everything(desk: &Desk, progress: &Progress) -> Result<Republished, OpsError> {
    let mut done = Republished::default();
    for kind in [
        AggregateType::User,
        AggregateType::Product,
        AggregateType::StockLevel,
        AggregateType::Order,
        AggregateType::Stock,
    ] {
        let (mut after, mut count) = (Uuid::nil(), 0);
        loop {
            let ids = page(desk, kind, after, BATCH).await?;
            let Some(last) = ids.last() else { break };
            after = *last;
            count += ids.len();
            if !desk.consent.dry_run {
                add(
                    &mut done,
                    republish(&desk.db, &Call::now(None), kind, &ids).await?,
                );
            }
            progress.at(|| format!("{count} of kind {}", kind.as_str()));
        }
        if desk.consent.dry_run {
            desk.consent
                .to_change(&format!("send {count} of kind {} again", kind.as_str()));
        }
    }
    Ok(done)
}

async fn page(
    desk: &Desk,
    kind: AggregateType,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, OpsError> {
    Ok(desk
        .db
        .transaction("republish", async |tx| {
            outbox_again::aggregates_after(tx, kind, after, limit).await
        })
        .await?)
}

async fn exists(desk: &Desk, kind: AggregateType, id: Uuid) -> Result<bool, OpsError> {
    let before = Uuid::from_u128(id.as_u128().saturating_sub(1));
    Ok(page(desk, kind, before, 1).await?.contains(&id))
}

fn add(done: &mut Republished, more: Republished) {
    done.aggregates += more.aggregates;
    done.kept += more.kept;
    done.renewed += more.renewed;
}
