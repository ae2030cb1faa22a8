//! The shop's GraphQL server: mutations to MySQL, queries from the views, live status to browsers.
//!
//! Owns the public contract, `schema.graphql`. A door: rules and stores are in `shop-core`.

pub mod grants;
pub mod graphql;
pub mod http;
pub mod identity;
pub mod live;
pub mod migrate;
pub mod seed;
pub mod serve;
pub mod token;
