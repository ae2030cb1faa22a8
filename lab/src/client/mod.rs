//! The shop's clients: one that sends mutations and queries over HTTP, one that listens on a WebSocket. They know the
//! GraphQL contract and how tokens are signed, and nothing else.
//!
//! Whoever acts does so with a token of its own: buyers on their orders, staff where orders are moved along or looked through,
//! an administrator where users and products are managed.

pub mod answer;
pub mod buyers;
pub mod diary;
pub mod documents;
pub mod journal;
pub mod line;
pub mod shop;
pub mod token;
pub mod watch;

pub use answer::{Answer, Refusal};
pub use buyers::Buyers;
pub use journal::Journal;
pub use line::{Line, Said};
pub use shop::Shop;
pub use token::Token;
pub use watch::Watch;
