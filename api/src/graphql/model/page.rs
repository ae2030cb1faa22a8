//! Pages of lists, as the Relay specification has them.

use std::borrow::Cow;

use async_graphql::{Object, OutputType, SimpleObject, TypeName};
use shop_core::domain::limits::{PAGE_DEFAULT, PAGE_MAX};
use shop_core::views::{InvalidCursor, Page, PageRequest, Take};

use crate::graphql::error::ApiError;
use crate::graphql::scalar::Int;

/// The arguments that every list takes.
#[derive(Debug, Clone, Default)]
pub struct PageArgs {
    /// How many from the beginning.
    pub first: Option<Int>,
    /// Only what follows this cursor.
    pub after: Option<String>,
    /// How many from the end.
    pub last: Option<Int>,
    /// Only what comes before this cursor.
    pub before: Option<String>,
}

impl PageArgs {
    /// Reads them; `decode` reads a cursor of the list.
    ///
    /// # Errors
    /// [`ApiError::BadUserInput`] that names the argument.
    pub fn parse<K>(
        self,
        decode: impl Fn(&str) -> Result<K, InvalidCursor>,
    ) -> Result<PageRequest<K>, ApiError> {
        let cursor = |argument, text: Option<String>| {
            text.map(|text| {
                decode(&text).map_err(|problem| ApiError::bad_input(argument, problem.to_string()))
            })
            .transpose()
        };
        let take = match (self.first, self.last) {
            (Some(_), Some(_)) => {
                return Err(ApiError::bad_input(
                    "last",
                    "may not be given together with first",
                ));
            }
            (None, Some(last)) => Take::Last(count("last", last)?),
            (Some(first), None) => Take::First(count("first", first)?),
            (None, None) => Take::First(PAGE_DEFAULT),
        };
        Ok(PageRequest {
            take,
            after: cursor("after", self.after)?,
            before: cursor("before", self.before)?,
        })
    }
}

fn count(argument: &'static str, number: Int) -> Result<usize, ApiError> {
    usize::try_from(number)
        .ok()
        .filter(|count| *count <= PAGE_MAX)
        .ok_or_else(|| {
            ApiError::bad_input(
                argument,
                format!("must be between 0 and {PAGE_MAX}, not {number}"),
            )
        })
}

/// Where a page stands in its list.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
pub struct PageInfo {
    /// Whether there are items after this page.
    pub has_next_page: bool,
    /// Whether there are items before this page.
    pub has_previous_page: bool,
    /// The cursor of the first item, for `before`; null if the page is empty.
    pub start_cursor: Option<String>,
    /// The cursor of the last item, for `after`; null if the page is empty.
    pub end_cursor: Option<String>,
}

/// One item of a page.
#[derive(Debug, Clone)]
pub struct Edge<N> {
    cursor: String,
    node: N,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Connection<N> {
    edges: Vec<Edge<N>>,
    page_info: PageInfo,
}

impl<N> Connection<N> {
    /// Renders a page of a list.
    pub fn new<T: Into<N>>(page: Page<T>, cursor: impl Fn(&T) -> String) -> Self {
        let edges: Vec<_> = (page.items.into_iter())
            .map(|item| Edge {
                cursor: cursor(&item),
                node: item.into(),
            })
            .collect();
        let page_info = PageInfo {
            has_next_page: page.has_next,
            has_previous_page: page.has_previous,
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        };
        Self { edges, page_info }
    }
}

impl<N: OutputType> TypeName for Edge<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", N::type_name()).into()
    }
}

impl<N: OutputType> TypeName for Connection<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

/// One item of a page, with the cursor that names its place in the list.
#[Object(name_type)]
impl<N: OutputType> Edge<N> {
    /// Where the item stands in the list, for `after` and `before`. It stays good when the list changes.
    async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The item.
    async fn node(&self) -> &N {
        &self.node
    }
}

/// A page of a list.
#[Object(name_type)]
impl<N: OutputType> Connection<N> {
    /// The items with their cursors, in the list's order.
    async fn edges(&self) -> &[Edge<N>] {
        &self.edges
    }

    /// The items, in the list's order.
    async fn nodes(&self) -> Vec<&N> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where the page stands in the list.
    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: PageArgs) -> Result<PageRequest<String>, String> {
        let decode = |text: &str| {
            if text == "bad" {
                Err(InvalidCursor)
            } else {
                Ok(text.to_owned())
            }
        };
        args.parse(decode).map_err(|error| error.to_string())
    }

    #[test]
    fn a_page_is_twenty_from_the_beginning_unless_the_client_says() {
        assert_eq!(
            parse(PageArgs::default()),
            Ok(PageRequest::first(PAGE_DEFAULT))
        );
        let args = PageArgs {
            last: Some(0),
            before: Some("x".into()),
            ..PageArgs::default()
        };
        assert_eq!(parse(args), Ok(PageRequest::last(0).before("x".into())));
    }

    #[test]
    fn an_argument_that_can_not_be_met_is_named() {
        let none = PageArgs::default;
        for (args, argument) in [
            (
                PageArgs {
                    first: Some(101),
                    ..none()
                },
                "first",
            ),
            (
                PageArgs {
                    first: Some(-1),
                    ..none()
                },
                "first",
            ),
            (
                PageArgs {
                    last: Some(1 << 40),
                    ..none()
                },
                "last",
            ),
            (
                PageArgs {
                    first: Some(1),
                    last: Some(1),
                    ..none()
                },
                "last",
            ),
            (
                PageArgs {
                    after: Some("bad".into()),
                    ..none()
                },
                "after",
            ),
            (
                PageArgs {
                    before: Some("bad".into()),
                    ..none()
                },
                "before",
            ),
        ] {
            let problem = parse(args).expect_err(argument);
            assert!(
                problem.starts_with(&format!("argument {argument}: ")),
                "{problem}"
            );
        }
    }
}
