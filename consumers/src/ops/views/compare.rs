//! Two generations beside each other, document by document.

use std::collections::{BTreeMap, HashMap};

use shop_core::views::{FieldDifference, Image, View, ViewError, Views};
use uuid::Uuid;

use crate::ops::audit::Documents;
use crate::ops::{OpsError, Progress, outlast};

/// Documents per look.
const CHUNK: usize = 500;

/// How a document of the generation that is served differs from the rebuilt one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// It is not there.
    Missing,
    /// The rebuilt generation does not have it.
    Extra,
    /// It is of an earlier version.
    Older(i64, i64),
    /// It is of a later version.
    Newer(i64, i64),
    /// It is of the same version, and has other fields.
    Fields(Vec<FieldDifference>),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => write!(f, "is missing"),
            Self::Extra => write!(f, "has no row"),
            Self::Older(found, rebuilt) | Self::Newer(found, rebuilt) => {
                write!(f, "version is {found}, not {rebuilt}")
            }
            Self::Fields(fields) => {
                let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
                write!(f, "{}", fields.join("; "))
            }
        }
    }
}

/// Differences by document.
pub type Differences = BTreeMap<(View, Uuid), Difference>;

fn judge(served: Option<&Image>, rebuilt: Option<&Image>) -> Option<Difference> {
    let (served, rebuilt) = match (served, rebuilt) {
        (None, None) => return None,
        (None, Some(_)) => return Some(Difference::Missing),
        (Some(_), None) => return Some(Difference::Extra),
        (Some(served), Some(rebuilt)) => (served, rebuilt),
    };
    let fields = rebuilt.differences(served);
    if fields.is_empty() {
        return None;
    }
    match (served.version(), rebuilt.version()) {
        (Some(found), Some(new)) if found < new => Some(Difference::Older(found, new)),
        (Some(found), Some(new)) if found > new => Some(Difference::Newer(found, new)),
        _ => Some(Difference::Fields(fields)),
    }
}

/// Everything, by id.
pub async fn all(
    served: &Views,
    rebuilt: &Views,
    progress: &Progress,
) -> Result<Differences, OpsError> {
    let mut differences = Differences::new();
    let mut count = 0_u64;
    for view in View::ALL {
        let (mut left, mut right) = (Documents::new(served, view), Documents::new(rebuilt, view));
        let (mut a, mut b) = (left.next().await?, right.next().await?);
        loop {
            let id = match (&a, &b) {
                (None, None) => break,
                (Some(one), None) | (None, Some(one)) => one.id(),
                (Some(one), Some(other)) => one.id().min(other.id()),
            };
            let of_id = |image: &Option<Image>| image.as_ref().is_some_and(|one| one.id() == id);
            let (take_a, take_b) = (of_id(&a), of_id(&b));
            let found = judge(a.as_ref().filter(|_| take_a), b.as_ref().filter(|_| take_b));
            if let Some(difference) = found {
                differences.insert((view, id), difference);
            }
            count += 1;
            if count.is_multiple_of(1_000) {
                progress.at(|| format!("{count} documents compared"));
                // Both read ahead together.
                let (one, other) = tokio::join!(left.fill(), right.fill());
                one?;
                other?;
            }
            if take_a {
                a = left.next().await?;
            }
            if take_b {
                b = right.next().await?;
            }
        }
    }
    Ok(differences)
}

/// Some documents.
pub async fn some(
    served: &Views,
    rebuilt: &Views,
    documents: impl IntoIterator<Item = (View, Uuid)>,
) -> Result<Differences, OpsError> {
    let mut by_view: BTreeMap<View, Vec<Uuid>> = BTreeMap::new();
    for (view, id) in documents {
        by_view.entry(view).or_default().push(id);
    }
    let mut differences = Differences::new();
    for (view, ids) in by_view {
        for chunk in ids.chunks(CHUNK) {
            // The served one first: what is written meanwhile makes the other one newer, never older.
            let a = by_id(served, view, chunk).await?;
            let b = by_id(rebuilt, view, chunk).await?;
            for id in chunk {
                if let Some(difference) = judge(a.get(id), b.get(id)) {
                    differences.insert((view, *id), difference);
                }
            }
        }
    }
    Ok(differences)
}

/// Writes documents of the rebuilt generation to the one that is served; the newer one stays.
pub async fn bring_up(
    served: &Views,
    rebuilt: &Views,
    documents: &[(View, Uuid)],
) -> Result<(), OpsError> {
    for view in View::ALL {
        let ids: Vec<Uuid> = documents
            .iter()
            .filter(|(of, _)| *of == view)
            .map(|(_, id)| *id)
            .collect();
        for chunk in ids.chunks(CHUNK) {
            let images = outlast(async || rebuilt.images(view, chunk).await).await?;
            outlast(async || served.apply_images(view, &images).await).await?;
        }
    }
    Ok(())
}

async fn by_id(views: &Views, view: View, ids: &[Uuid]) -> Result<HashMap<Uuid, Image>, ViewError> {
    let images = outlast(async || views.images(view, ids).await).await?;
    Ok(images
        .into_iter()
        .map(|image| (image.id(), image))
        .collect())
}
