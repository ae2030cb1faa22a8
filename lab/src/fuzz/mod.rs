//! Asks the API what nobody asks, and as nobody asks it, and looks that it answers as if nothing were: documents, variables, HTTP and
//! WebSocket frames from one seed, with tokens of all roles and with none.
//!
//! A case is made from the seed and its number (`case`): `document` follows the schema (`grammar`, `values`), `shapes`, `mutate`, `heads` and
//! `frames` do not. `play` sends it over a connection that smooths nothing over (`wire`), `judge` says what may come back, `board` keeps
//! what was heard and found, and `health` looks after the program meanwhile. What cases change is the shop's they are played in: one
//! that is played again alone meets a fresh one.
//!
//! To add a way to ask: 1. a [`case::Play`], 2. how it is made in `case`, 3. how it is played in `play`.

pub mod board;
pub mod case;
pub mod document;
pub mod frames;
pub mod grammar;
pub mod heads;
pub mod health;
pub mod judge;
pub mod mutate;
pub mod options;
pub mod play;
pub mod report;
pub mod run;
pub mod shapes;
pub mod things;
pub mod values;
pub mod wire;

pub use options::Options;
pub use run::fuzz;
