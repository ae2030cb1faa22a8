//! The GraphQL edge: what clients may ask, change and watch. Knows neither SQL nor rules: it parses, calls `core`, and
//! renders.
//!
//! `model` holds the types, `query`, `mutation` and `subscription` the entry points, one file per noun; `loaders` batches
//! what hangs off them; `error` says what clients learn of a failure. To add a field see `model`, a mutation `mutation`.

pub mod error;
pub mod loaders;
pub mod model;
pub mod mutation;
pub mod query;
pub mod scalar;
pub mod subscription;
pub mod variables;

use std::time::Duration;

use async_graphql::{Context, SDLExportOptions, Schema, SchemaBuilder};
use shop_core::commands::Call;
use shop_core::db::Db;
use shop_core::domain::Principal;
use shop_core::events::TraceParent;
use shop_core::runtime::settings::Environment;
use shop_core::views::Views;

use self::loaders::Loaders;
use self::mutation::Mutation;
use self::query::Query;
use self::subscription::Subscription;
use crate::live::Live;

/// The schema of the shop.
pub type ShopSchema = Schema<Query, Mutation, Subscription>;

/// What resolvers work with.
#[derive(Clone)]
pub struct App {
    /// The write side.
    pub db: Db,
    /// The read side.
    pub views: Views,
    /// What is live.
    pub live: Live,
    /// How long an idempotency key counts.
    pub idempotency_ttl: Duration,
    /// How long a query waits for the version that it wants.
    pub read_your_write_timeout: Duration,
}

/// Every limit on a document, in one place. Generous: they stop what no page of ours asks for.
pub struct Limits;

impl Limits {
    /// Fields below fields.
    pub const DEPTH: usize = 24;
    /// Fields in all, those of a list counted once per item that may come.
    pub const COMPLEXITY: usize = 100_000;
    /// Selection sets within selection sets, fragments included; looked at before anything else.
    pub const RECURSION: usize = 32;
    /// Directives on one field.
    pub const DIRECTIVES: usize = 8;

    /// What a page costs: its fields once per item that was asked for.
    fn page_cost(first: Option<i64>, last: Option<i64>, child: usize) -> usize {
        use shop_core::domain::limits::{PAGE_DEFAULT, PAGE_MAX};

        let items = first.or(last).map_or(PAGE_DEFAULT, |count| {
            usize::try_from(count).unwrap_or(0).min(PAGE_MAX) // more is refused by the resolver
        });
        items.max(1).saturating_mul(child).saturating_add(1)
    }
}

/// The schema without anything to work on: enough to print it.
pub fn schema_builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(
        Query::default(),
        Mutation::default(),
        Subscription::default(),
    )
    .limit_depth(Limits::DEPTH)
    .limit_complexity(Limits::COMPLEXITY)
    .limit_recursive_depth(Limits::RECURSION)
    .limit_directives(Limits::DIRECTIVES)
}

/// The schema on an app. In production names are not guessed for who mistypes them.
pub fn schema(app: App, environment: Environment) -> ShopSchema {
    let builder = schema_builder().data(app);
    match environment {
        Environment::Development => builder.finish(),
        Environment::Production => builder.disable_suggestions().finish(),
    }
}

/// `schema.graphql`: sorted, so that moving code moves no line of it.
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .include_specified_by()
        .prefer_single_line_descriptions()
        .use_space_ident();
    let sdl = schema_builder().finish().sdl_with_options(options);
    let lines: Vec<_> = sdl.trim().lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// What every resolver can reach.
trait ContextExt {
    fn app(&self) -> &App;
    fn loaders(&self) -> &Loaders;
    fn trace(&self) -> &TraceParent;

    fn db(&self) -> &Db {
        &self.app().db
    }

    fn views(&self) -> &Views {
        &self.app().views
    }

    /// Whoever the request comes from: the one place that says whose idempotency keys they are.
    fn principal(&self) -> Principal {
        Principal::ANYONE
    }

    /// Now, within the request's trace.
    fn call(&self) -> Call {
        Call::now(Some(self.trace().clone()))
    }
}

impl ContextExt for Context<'_> {
    fn app(&self) -> &App {
        self.data_unchecked()
    }

    fn loaders(&self) -> &Loaders {
        self.data_unchecked()
    }

    fn trace(&self) -> &TraceParent {
        self.data_unchecked()
    }
}
