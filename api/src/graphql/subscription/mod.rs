//! What clients can watch.
//!
//! To add one: 1. a watcher in `live`, 2. a resolver in the noun's file, 3. a document in `tests/it/documents`, 4. `make schema`.

mod orders;

pub use orders::Subscription;
