//! The shop, simulated: the programs' own decisions over simulated MySQL, Kafka and MongoDB and a simulated clock, all from
//! one seed.
//!
//! What decides is the code that is shipped: orders and stock (`shop_core::domain`), batches (`shop_core::commands`), the
//! projector's fold and the relay's position (`shop_consumers`), what is parked (`shop_core::bus`, in [`lanes`]), hub, merge and watcher (`shop_api::live`). What is simulated
//! is what they stand on ([`shop`]), and each program's loop, cut into steps ([`actors`]). Between any two steps chance may crash a
//! program, take its partitions or its lock away, deliver again, or let time jump ([`fault`]). A run is a function of its
//! [`run::Plan`]; [`plant`] switches one guard off, to see that it is missed.
//!
//! To add a promise: a line in [`check`], and a plant that breaks it.

pub mod actors;
pub mod check;
pub mod fault;
pub mod lanes;
pub mod options;
pub mod plant;
pub mod run;
pub mod shop;
pub mod world;
