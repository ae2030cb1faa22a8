//! `GraphiQL` and `GraphQL Playground`: two pages and their files, built into the program, so that they work without internet.

use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use shop_core::db::Db;

use crate::identity::Role;
use crate::identity::demo::{Signer, Tokens, user_of};
use crate::seed;

/// Name and content of every file.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Only this host is asked for anything. The editor measures its text with inline styles and draws with data: pictures.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; worker-src 'self'; connect-src 'self'; \
     font-src 'self' data:; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The routes of the pages; with a signer they find tokens here that let them begin.
pub fn router(demo: Option<Demo>) -> Router {
    Router::new()
        .route("/demo-tokens", get(move || tokens(demo.clone())))
        .route("/", get(async || file("index.html")))
        .route("/playground", get(async || file("playground.html")))
        .route(
            "/assets/{name}",
            get(async |Path(name): Path<String>| file(&name)),
        )
}

/// What signs tokens for whoever tries the shop out, and where its first customer is found.
#[derive(Clone)]
pub struct Demo {
    /// Signs.
    pub signer: Signer,
    /// The write side.
    pub db: Db,
}

async fn tokens(demo: Option<Demo>) -> Response {
    let Some(Demo { signer, db }) = demo else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let first = seed::first_user(&db).await.ok().flatten();
    let customer = first.unwrap_or_else(|| user_of(Role::Customer));
    match Tokens::sign(&signer, customer) {
        Ok(tokens) => ([(header::CACHE_CONTROL, "no-store")], Json(tokens)).into_response(),
        Err(error) => {
            tracing::error!("no tokens for the pages: {error:#}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn file(name: &str) -> Response {
    let Some((name, content)) = FILES.iter().find(|(known, _)| *known == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers: [(HeaderName, HeaderValue); 5] = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(content_type(name)),
        ),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, *content).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("ttf") => "font/ttf",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_served_with_its_policy_and_nothing_else_is() {
        for page in ["index.html", "playground.html"] {
            let page = file(page);
            assert_eq!(page.status(), StatusCode::OK);
            let content_type = &page.headers()[header::CONTENT_TYPE];
            assert_eq!(content_type, "text/html; charset=utf-8");
            assert!(page.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        }
        for name in ["", ".inputs", "../Cargo.toml", "nothing.js"] {
            assert_eq!(file(name).status(), StatusCode::NOT_FOUND, "{name}");
        }
    }

    #[test]
    fn every_file_of_the_page_has_a_type_and_names_no_foreign_address() {
        for (name, content) in FILES {
            assert_ne!(content_type(name), "application/octet-stream", "{name}");
            if content_type(name).starts_with("text/html") {
                let page = str::from_utf8(content).expect("a page is text");
                assert!(!page.contains("//") || !page.contains("http"), "{page}");
            }
        }
    }
}
