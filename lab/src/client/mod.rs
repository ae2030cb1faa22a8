//! The shop's clients: one that sends mutations and queries over HTTP, one that listens on a WebSocket. They know the
//! GraphQL contract and nothing else.

pub mod answer;
pub mod diary;
pub mod documents;
pub mod journal;
pub mod line;
pub mod shop;
pub mod watch;

pub use answer::{Answer, Refusal};
pub use journal::Journal;
pub use line::{Line, Said};
pub use shop::Shop;
pub use watch::Watch;
