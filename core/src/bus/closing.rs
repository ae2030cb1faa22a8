//! Closing clients. That blocks for as long as the library waits for its threads, longer while a broker is away, and nobody has to wait for it.

use std::future::Future;
use std::ops::Deref;
use std::time::Duration;

/// How long closing may take. A static member does not leave its group by closing, so there is nobody to tell.
const CLOSE_BOUND: Duration = Duration::from_secs(3);

/// A client that closes on a thread of its own when it is dropped.
pub(super) struct Closing<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Closing<T> {
    pub(super) fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> Deref for Closing<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let Some(client) = &self.0 else {
            unreachable!("only `drop` takes it")
        };
        client
    }
}

impl<T: Send + 'static> Drop for Closing<T> {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(close(client));
        }
    }
}

/// Closes a client on a thread of its own; what it returns ends when that is done, or after three seconds. A thread, so that
/// a process that ends does not wait for it.
pub(super) fn close<T: Send + 'static>(client: T) -> impl Future<Output = ()> + Send + use<T> {
    let (closed, done) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new()
        .name("kafka-close".to_owned())
        .spawn(move || {
            drop(client);
            let _ = closed.send(());
        });
    async move {
        if started.is_ok() && tokio::time::timeout(CLOSE_BOUND, done).await.is_err() {
            tracing::warn!("a Kafka client did not close within {CLOSE_BOUND:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};

    use super::*;

    /// Takes long to close, and tells where it did.
    struct Slow {
        may_end: mpsc::Receiver<()>,
        ended_in: mpsc::Sender<ThreadId>,
    }

    impl Drop for Slow {
        fn drop(&mut self) {
            self.may_end.recv().expect("the test lets it end");
            self.ended_in
                .send(thread::current().id())
                .expect("the test listens");
        }
    }

    #[test]
    fn whoever_drops_a_client_does_not_wait_for_its_end() {
        let ((let_end, may_end), (ended_in, ended)) = (mpsc::channel(), mpsc::channel());
        drop(Closing::new(Slow { may_end, ended_in })); // on this thread it would wait for what follows
        let_end.send(()).expect("it waits");
        let closed_in = ended.recv_timeout(Duration::from_secs(10));
        assert_ne!(closed_in.expect("it ends"), thread::current().id());
    }
}
