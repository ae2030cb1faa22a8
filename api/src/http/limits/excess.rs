//! The one table of what is said about a document that goes beyond a limit.

use async_graphql::ServerError;

use crate::graphql::Limits;
use crate::graphql::error::code;
use crate::http::execute::coded;

/// A limit that a request goes beyond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excess {
    /// Bytes of the document.
    Bytes,
    /// Tokens of the document.
    Tokens,
    /// A block string without an end, which can not be told from tokens.
    Endless,
    /// Brackets within brackets.
    Nesting,
    /// Aliases.
    Aliases,
    /// Fields and fragments of one selection set.
    Fields,
    /// Directives.
    Directives,
    /// Operations and fragments that are defined.
    Definitions,
    /// Fields, those of a fragment counted wherever it is spread.
    Selections,
    /// Fields within fields.
    Depth,
    /// Selection sets within selection sets.
    Level,
    /// Fields of a mutation's root.
    Roots,
    /// Fields of a subscription's root: the specification allows one (section 5.2.3.1).
    Subscriptions,
    /// A fragment that is a part of itself.
    Circle(String),
    /// Lists of the schema's own description within each other.
    Described,
    /// What the operation costs.
    Cost(usize),
    /// What an item of a subscription costs.
    ItemCost(usize),
    /// Values in the variables.
    Values,
    /// Values within values in the variables.
    ValueDepth,
}

impl Excess {
    /// The word in `extensions.code`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bytes | Self::Tokens => code::DOCUMENT_TOO_LARGE,
            Self::Values | Self::ValueDepth => code::VARIABLES_TOO_LARGE,
            Self::Endless => code::PARSE_FAILED,
            Self::Circle(_) | Self::Subscriptions => code::VALIDATION_FAILED,
            _ => code::QUERY_TOO_COMPLEX,
        }
    }

    /// The limit, if it is one.
    pub const fn limit(&self) -> Option<usize> {
        Some(match self {
            Self::Bytes => Limits::DOCUMENT_BYTES,
            Self::Tokens => Limits::TOKENS,
            Self::Nesting => Limits::NESTING,
            Self::Aliases => Limits::ALIASES,
            Self::Fields => Limits::FIELDS,
            Self::Directives => Limits::ALL_DIRECTIVES,
            Self::Definitions => Limits::DEFINITIONS,
            Self::Selections => Limits::SELECTIONS,
            Self::Depth => Limits::DEPTH,
            Self::Level => Limits::RECURSION,
            Self::Roots => Limits::MUTATIONS,
            Self::Subscriptions => 1,
            Self::Circle(_) | Self::Endless => return None,
            Self::Described => Limits::DESCRIBED_LISTS,
            Self::Cost(_) => Limits::COMPLEXITY,
            Self::ItemCost(_) => Limits::ITEM_COMPLEXITY,
            Self::Values => Limits::VARIABLE_VALUES,
            Self::ValueDepth => Limits::VARIABLE_DEPTH,
        })
    }

    /// As an answer's error.
    pub fn error(&self) -> ServerError {
        let mut error = coded(self.code(), ServerError::new(self.to_string(), None));
        if let Some(limit) = self.limit() {
            error.extensions.get_or_insert_default().set("limit", limit);
        }
        error
    }
}

#[rustfmt::skip] // a table
impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let most = self.limit().unwrap_or_default();
        match self {
            Self::Bytes => write!(f, "the document has more than {most} bytes; send values as variables"),
            Self::Tokens => write!(f, "the document has more than {most} tokens; ask for less at a time, and send values as variables"),
            Self::Endless => f.write_str("a block string does not end"),
            Self::Nesting => write!(f, "the document nests more than {most} brackets; send values as variables"),
            Self::Aliases => write!(f, "the document has more than {most} aliases; ask for less at a time, or for a list"),
            Self::Fields => write!(f, "a selection has more than {most} fields; ask for each once"),
            Self::Directives => write!(f, "the document has more than {most} directives; leave out what is not asked for"),
            Self::Definitions => write!(f, "the document defines more than {most} operations and fragments; send only what is run"),
            Self::Selections => write!(f, "the document asks for more than {most} fields, those of fragments counted wherever they are spread; ask for less at a time"),
            Self::Depth => write!(f, "the document has more than {most} fields within each other; ask in several steps"),
            Self::Level => write!(f, "the document has more than {most} selections within each other; ask in several steps"),
            Self::Roots => write!(f, "the mutation has more than {most} fields; send several requests"),
            Self::Subscriptions => f.write_str("a subscription has one field at its root, and in no fragment; send one operation for each"),
            Self::Described => write!(f, "the schema's description nests more than {most} lists; ask for each type by its name"),
            Self::Circle(name) => write!(f, "the fragment {name:?} is a part of itself"),
            Self::Cost(cost) => write!(f, "the operation costs {cost}, {most} at most; ask for smaller pages or fewer fields"),
            Self::ItemCost(cost) => write!(f, "an item of the subscription costs {cost}, {most} at most; ask for less, and for the rest by a query"),
            Self::Values => write!(f, "the variables hold more than {most} values; send several requests"),
            Self::ValueDepth => write!(f, "the variables hold more than {most} values within each other; no input of the schema has so many"),
        }
    }
}
