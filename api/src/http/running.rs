//! The operations of one socket or stream, by their ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::stream::{self, AbortHandle, BoxStream, SelectAll, StreamExt as _};

use crate::http::operations::{Started, Step};

/// Operations that have begun and are not over, by their ids as they stand in JSON. All of them end when this is dropped.
#[derive(Default)]
pub enum Running {
    /// There is none.
    #[default]
    None,
    /// One that is alone, as most are: it takes less than one of many.
    One(Operation),
    /// There are several, or were until lately.
    Many(Box<Many>),
}

/// An operation.
pub struct Operation {
    id: Arc<str>,
    started: Started,
}

/// Several operations. Only those that have something to tell are looked at.
#[derive(Default)]
pub struct Many {
    open: HashMap<Arc<str>, Open>,
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

/// An id as it stands in JSON.
pub fn quoted(id: &str) -> String {
    serde_json::Value::from(id).to_string()
}

impl Running {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(many) => many.open.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is one of this id.
    pub fn has(&self, id: &str) -> bool {
        match self {
            Self::None => false,
            Self::One(operation) => *operation.id == *id,
            Self::Many(many) => many.open.contains_key(id),
        }
    }

    /// Takes one on; its id must be free.
    pub fn begin(&mut self, id: &str, started: Started) {
        let id = id.into();
        let operation = Operation { id, started };
        *self = match std::mem::take(self) {
            Self::None => Self::One(operation),
            Self::One(first) => {
                let mut many = Box::<Many>::default();
                many.begin(first);
                many.begin(operation);
                Self::Many(many)
            }
            Self::Many(many) if many.open.is_empty() => Self::One(operation),
            Self::Many(mut many) => {
                many.begin(operation);
                Self::Many(many)
            }
        };
    }

    /// Ends one; nothing more is heard of it. Returns whether it was there: else it was over already.
    pub fn stop(&mut self, id: &str) -> bool {
        let was_there = self.has(id);
        match self {
            Self::Many(many) => many.stop(id),
            one if was_there => *one = Self::None,
            _ => {}
        }
        was_there
    }

    /// Ends those that could go on for ever; returns which.
    pub fn stop_streams(&mut self) -> Vec<Arc<str>> {
        match self {
            Self::One(operation) if !operation.started.once => {
                let id = Arc::clone(&operation.id);
                *self = Self::None;
                vec![id]
            }
            Self::None | Self::One(_) => Vec::new(),
            Self::Many(many) => many.stop_streams(),
        }
    }

    /// The next step of any of them; `None` is the end of one. Waits for ever while there is none. Safe to drop and ask again.
    pub async fn next(&mut self) -> (Arc<str>, Option<Step>) {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for one who waits for something else too.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Arc<str>, Option<Step>)> {
        match self {
            Self::None => Poll::Pending,
            Self::One(Operation { id, started }) => {
                let step = ready!(started.steps.poll_next_unpin(cx));
                let id = Arc::clone(id);
                if !matches!(step, Some(Step::Next(_))) {
                    *self = Self::None;
                }
                Poll::Ready((id, step))
            }
            Self::Many(many) => many.poll_next(cx),
        }
    }
}

impl Many {
    fn begin(&mut self, Operation { id, started }: Operation) {
        self.begun += 1;
        let number = self.begun;
        let (steps, stop) = stream::abortable(started.steps);
        let once = started.once;
        let open = Open { number, once, stop };
        self.open.insert(Arc::clone(&id), open);
        let steps = steps.map(Some).chain(stream::iter([None]));
        let pieces = steps.map(move |step| Piece {
            id: Arc::clone(&id),
            number,
            step,
        });
        self.pieces.push(pieces.boxed());
    }

    fn stop(&mut self, id: &str) {
        if let Some(open) = self.open.remove(id) {
            open.stop.abort();
        }
    }

    fn stop_streams(&mut self) -> Vec<Arc<str>> {
        let stopped = self.open.extract_if(|_, open| !open.once);
        let ids = stopped.map(|(id, open)| {
            open.stop.abort();
            id
        });
        ids.collect()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Arc<str>, Option<Step>)> {
        while let Some(piece) = ready!(self.pieces.poll_next_unpin(cx)) {
            let open = self.open.get(&piece.id);
            if open.is_none_or(|open| open.number != piece.number) {
                continue; // stopped, or over with an error
            }
            if !matches!(piece.step, Some(Step::Next(_))) {
                self.open.remove(&piece.id);
            }
            return Poll::Ready((piece.id, piece.step));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::channel::mpsc::{UnboundedSender, unbounded};

    use super::*;

    type Steps = UnboundedSender<Step>;

    fn begin(running: &mut Running, id: &str) -> Steps {
        let (tell, told) = unbounded();
        let steps = told.boxed();
        running.begin(id, Started { once: false, steps });
        tell
    }

    fn tell(steps: &Steps, text: &str) {
        let step = Step::Next(text.into());
        steps.unbounded_send(step).expect("it is running");
    }

    /// What is told now.
    fn told(running: &mut Running) -> Vec<(String, Option<Step>)> {
        let next = || running.next().now_or_never();
        let told = std::iter::from_fn(next);
        told.map(|(id, step)| (id.to_string(), step)).collect()
    }

    fn next(id: &str, text: &str) -> (String, Option<Step>) {
        (id.to_owned(), Some(Step::Next(text.into())))
    }

    #[test]
    fn one_is_told_whether_it_is_alone_or_not() {
        let mut running = Running::default();
        let first = begin(&mut running, "1");
        tell(&first, "alone");
        assert_eq!(told(&mut running), [next("1", "alone")]);
        let second = begin(&mut running, "2");
        tell(&first, "not alone");
        assert_eq!(told(&mut running), [next("1", "not alone")]);
        tell(&second, "neither");
        assert_eq!(told(&mut running), [next("2", "neither")]);
        drop(second);
        assert_eq!(told(&mut running), [("2".to_owned(), None)]);
        tell(&first, "alone again");
        assert_eq!(told(&mut running), [next("1", "alone again")]);
        drop(first);
        assert_eq!(told(&mut running), [("1".to_owned(), None)]);
        assert!(running.is_empty());
    }

    #[test]
    fn one_that_was_stopped_is_not_heard_of_and_its_id_is_free() {
        for others in [0, 1] {
            let mut running = Running::default();
            let _others: Vec<_> = (0..others).map(|_| begin(&mut running, "0")).collect();
            let stopped = begin(&mut running, "1");
            tell(&stopped, "never told");
            assert!(running.stop("1"));
            assert!(!running.stop("1"), "it is over");
            assert_eq!(running.len(), others);
            let anew = begin(&mut running, "1");
            tell(&anew, "told");
            assert_eq!(told(&mut running), [next("1", "told")]);
        }
    }

    #[test]
    fn after_several_one_is_alone_again() {
        let mut running = Running::default();
        let both = ["1", "2"].map(|id| begin(&mut running, id));
        assert_eq!(both.len(), running.len());
        assert!(running.stop("1") && running.stop("2"));
        let steps = begin(&mut running, "3");
        assert!(matches!(running, Running::One(_)));
        tell(&steps, "told");
        assert_eq!(told(&mut running), [next("3", "told")]);
    }

    #[test]
    fn only_streams_are_stopped_with_the_program() {
        for others in [0, 1] {
            let mut running = Running::default();
            let _others: Vec<_> = (0..others).map(|_| begin(&mut running, "0")).collect();
            let (_answer, told) = unbounded();
            let steps = told.boxed();
            running.begin("1", Started { once: true, steps });
            assert_eq!(running.stop_streams().len(), others);
            assert_eq!((running.len(), running.has("1")), (1, true));
        }
        let mut running = Running::default();
        let _steps = begin(&mut running, "1");
        assert_eq!(running.stop_streams(), [Arc::<str>::from("1")]);
        assert!(running.is_empty());
    }
}
