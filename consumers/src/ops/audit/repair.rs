//! `--repair`: documents that are wrong are projected again from the write side.

use std::collections::BTreeMap;

use shop_core::views::{Image, View, Views};
use uuid::Uuid;

use super::Violation;
use super::recheck::{Compared, documents};
use crate::ops::{Desk, OpsError, outlast};

/// Documents per write.
const CHUNK: usize = 500;

/// Puts the documents of violations right, after asking. Returns the violations that are left.
pub async fn repair(
    desk: &Desk,
    views: &Views,
    violations: Vec<Violation>,
) -> Result<Vec<Violation>, OpsError> {
    let (wrong, mut left): (Vec<_>, Vec<_>) = violations
        .into_iter()
        .partition(|violation| violation.document.is_some());
    if wrong.is_empty() {
        return Ok(left);
    }
    let question = format!("project {} documents again", wrong.len());
    if !desk.consent.to_destroy(&question)? {
        left.extend(wrong);
        return Ok(left);
    }
    let mut by_view: BTreeMap<View, Vec<Uuid>> = BTreeMap::new();
    for (view, id) in wrong.iter().filter_map(|violation| violation.document) {
        by_view.entry(view).or_default().push(id);
    }
    let mut still: BTreeMap<(View, Uuid), bool> = BTreeMap::new();
    for (view, ids) in by_view {
        for chunk in ids.chunks(CHUNK) {
            put_right(desk, views, view, chunk).await?;
            let after = documents(desk, views, view, chunk).await?;
            for (id, compared) in chunk.iter().zip(after) {
                still.insert((view, *id), compared.is_wrong());
            }
        }
    }
    let before = wrong.len();
    left.extend(wrong.into_iter().filter(|violation| {
        violation
            .document
            .is_none_or(|document| still.get(&document) != Some(&false))
    }));
    let unrepaired = left
        .iter()
        .filter(|violation| violation.document.is_some())
        .count();
    eprintln!("projected {} documents again", before - unrepaired);
    Ok(left)
}

/// Guarded twice: nothing is put in the place of a document that changed since it was looked at, and nothing is written
/// of a row that did.
async fn put_right(desk: &Desk, views: &Views, view: View, ids: &[Uuid]) -> Result<(), OpsError> {
    let first = documents(desk, views, view, ids).await?;
    let second = documents(desk, views, view, ids).await?;
    let (mut missing, mut wrong): (Vec<Image>, Vec<(Image, Option<Image>)>) = (vec![], vec![]);
    for (first, second) in first.into_iter().zip(second) {
        if first.expected != second.expected || first.found != second.found {
            continue; // it moves: the projector is at it
        }
        match second {
            compared if !compared.is_wrong() => {}
            Compared {
                expected: Some(expected),
                found: None,
                ..
            } => missing.push(expected),
            Compared {
                expected,
                found: Some(found),
                ..
            } => wrong.push((found, expected)),
            Compared { .. } => {}
        }
    }
    outlast(async || views.apply_images(view, &missing).await).await?;
    // Only what is still at the version that was found is replaced: twice is the same as once.
    outlast(async || views.replace_images(view, &wrong).await).await?;
    Ok(())
}
