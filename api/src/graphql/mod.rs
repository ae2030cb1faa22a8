//! The GraphQL edge: what clients may ask, change and watch. Knows neither SQL nor rules: it parses, calls `core`, and
//! renders.
//!
//! `model` holds the types, `query`, `mutation` and `subscription` the entry points, one file per noun; `loaders` batches
//! what hangs off them; `rules` says who may do what, `cost` what an operation costs, `described` how much of the schema it may ask for, `error` what clients learn of a failure. To add a field see
//! `model`, a mutation `mutation`.

pub mod cost;
pub mod described;
pub mod error;
pub mod loaders;
pub mod model;
pub mod mutation;
pub mod query;
pub mod rules;
pub mod scalar;
pub mod subscription;
pub mod variables;

use std::time::Duration;

use async_graphql::{Context, SDLExportOptions, Schema, SchemaBuilder};
use shop_core::commands::Call;
use shop_core::db::Db;
use shop_core::domain::{Principal, Scope};
use shop_core::events::TraceParent;
use shop_core::views::Views;

use self::loaders::Loaders;
use self::mutation::Mutation;
use self::query::Query;
use self::subscription::Subscription;
use crate::http::lanes::Slot;
use crate::identity::{Caller, Identity, Role};
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

/// Every limit on what one request may ask, in one place. Generous: they stop what no page of ours asks for. All but `COMPLEXITY` and
/// `DIRECTIVES` are looked at before the document is parsed (`http/limits`). What an operator may want otherwise is a setting.
pub struct Limits;

impl Limits {
    /// Bytes of a document; a product's longest description fits in.
    pub const DOCUMENT_BYTES: usize = 32 * 1024;
    /// Tokens of a document: names, values and punctuation.
    pub const TOKENS: usize = 1_000;
    /// Brackets and braces within each other. The library's parser calls itself for every value within a value, without a bound, and
    /// a stack that overflows ends the process.
    pub const NESTING: usize = 64;
    /// Operations and fragments that a document defines.
    pub const DEFINITIONS: usize = 50;
    /// Aliases in all.
    pub const ALIASES: usize = 100;
    /// Fields and fragments of one selection set.
    pub const FIELDS: usize = 150;
    /// Fields in all, those of a fragment counted wherever it is spread.
    pub const SELECTIONS: usize = 2_000;
    /// Directives in all.
    pub const ALL_DIRECTIVES: usize = 50;
    /// Directives on one field.
    pub const DIRECTIVES: usize = 8;
    /// Fields of a mutation's root, which run one after the other.
    pub const MUTATIONS: usize = 10;
    /// Fields below fields.
    pub const DEPTH: usize = 24;
    /// Selection sets within selection sets, fragments included.
    pub const RECURSION: usize = 32;
    /// What an operation costs: its fields, those of a list counted once per item that may come.
    pub const COMPLEXITY: usize = 100_000;
    /// The same for a subscription, whose items cost nobody's rate: there may be many, and somebody else may bring them about.
    pub const ITEM_COMPLEXITY: usize = 2_000;
    /// What a list that takes no arguments is counted as: as many items as a page has that does not say how many. A few lists can be
    /// longer, most are shorter.
    pub const LIST_ITEMS: usize = shop_core::domain::limits::PAGE_DEFAULT;
    /// Lists of the schema's own description within each other. Each multiplies what is below, and types lead back to themselves.
    pub const DESCRIBED_LISTS: usize = 2;
    /// Values in the variables, those of lists and objects too; the largest order has 600.
    pub const VARIABLE_VALUES: usize = 2_000;
    /// Lists and objects within each other in the variables.
    pub const VARIABLE_DEPTH: usize = 16;

    /// What a list without arguments costs: its fields once per item.
    const fn list_cost(child: usize) -> usize {
        Self::LIST_ITEMS.saturating_mul(child).saturating_add(1)
    }

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

/// The schema on an app. Where it may not be asked for, names are not guessed either for who mistypes them.
pub fn schema(app: App, introspection: bool) -> ShopSchema {
    let builder = schema_builder().data(app);
    if introspection {
        builder.finish()
    } else {
        builder
            .disable_introspection()
            .disable_suggestions()
            .finish()
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
    fn identity(&self) -> &Identity;
    fn slot(&self) -> Option<&Slot>;

    fn db(&self) -> &Db {
        &self.app().db
    }

    fn views(&self) -> &Views {
        &self.app().views
    }

    /// Whoever the request comes from, as of now.
    fn caller(&self) -> Caller {
        self.identity().caller()
    }

    /// Whose idempotency keys they are.
    fn principal(&self) -> Principal {
        self.caller().user.into()
    }

    /// Whose orders are reached, and which users are seen.
    fn scope(&self) -> Scope {
        self.caller().scope(Role::Staff)
    }

    /// Now, within the request's trace, for whose orders are reached.
    fn call(&self) -> Call {
        Call {
            scope: self.scope(),
            ..Call::now(Some(self.trace().clone()))
        }
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

    fn identity(&self) -> &Identity {
        self.data_unchecked()
    }

    fn slot(&self) -> Option<&Slot> {
        self.data_opt()
    }
}
