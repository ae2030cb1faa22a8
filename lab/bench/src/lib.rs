//! What live subscribers cost, beside a plain broadcast and beside Node's `graphql-ws`, what it costs to refuse, and what becomes of a
//! storm; never shipped, and nothing depends on it.
//!
//! `hostile` is `make bench-hostile`, `overload` is `make bench-overload`. The rest is `make bench-live`: `sockets` are the processes that hold ten thousand sockets, on
//! either side, built for release; `live` directs them, feeds the API and judges. They talk by lines: see `talk`. Shares no code with
//! the programs: orders are copies of one that went through all of them.

pub mod clock;
pub mod goal;
pub mod hostile;
pub mod limit;
pub mod live;
pub mod overload;
pub mod sockets;
pub mod talk;
