//! The operations of one socket or stream, by their ids.

use std::collections::HashMap;
use std::sync::Arc;

use futures::stream::{self, AbortHandle, BoxStream, SelectAll, StreamExt as _};

use crate::http::operations::{Started, Step};

/// Operations that have begun and are not over. All of them end when this is dropped.
#[derive(Default)]
pub struct Running {
    open: HashMap<Arc<str>, Open>,
    /// Only those that have something to tell are looked at.
    pieces: SelectAll<BoxStream<'static, Piece>>,
    begun: u64,
}

struct Open {
    number: u64,
    once: bool,
    stop: AbortHandle,
}

/// A step of an operation; `None` is its end. The number tells it from an earlier one with the same id.
struct Piece {
    id: Arc<str>,
    number: u64,
    step: Option<Step>,
}

impl Running {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether there is one of this id.
    pub fn has(&self, id: &str) -> bool {
        self.open.contains_key(id)
    }

    /// Takes one on; its id must be free.
    pub fn begin(&mut self, id: &str, started: Started) {
        let id: Arc<str> = id.into();
        self.begun += 1;
        let number = self.begun;
        let (steps, stop) = stream::abortable(started.steps);
        let once = started.once;
        self.open
            .insert(Arc::clone(&id), Open { number, once, stop });
        let steps = steps.map(Some).chain(stream::iter([None]));
        let pieces = steps.map(move |step| Piece {
            id: Arc::clone(&id),
            number,
            step,
        });
        self.pieces.push(pieces.boxed());
    }

    /// Ends one; nothing more is heard of it. Returns whether it was there: else it was over already.
    pub fn stop(&mut self, id: &str) -> bool {
        let open = self.open.remove(id);
        if let Some(open) = &open {
            open.stop.abort();
        }
        open.is_some()
    }

    /// Ends those that could go on for ever.
    pub fn stop_streams(&mut self) {
        self.open.retain(|_, open| {
            if !open.once {
                open.stop.abort();
            }
            open.once
        });
    }

    /// The next step of any of them; `None` is the end of one. Waits for ever while there is none. Safe to drop and ask again.
    pub async fn next(&mut self) -> (Arc<str>, Option<Step>) {
        while let Some(piece) = self.pieces.next().await {
            let open = self.open.get(&piece.id);
            if open.is_none_or(|open| open.number != piece.number) {
                continue; // stopped, or over with an error
            }
            if !matches!(piece.step, Some(Step::Next(_))) {
                self.open.remove(&piece.id);
            }
            return (piece.id, piece.step);
        }
        std::future::pending().await
    }
}
