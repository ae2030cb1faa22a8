//! What subscriptions ask: each document is held once, however many have asked it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{Request, ServerError, Variables};
use sha2::{Digest as _, Sha256};

/// So many are remembered before those that nobody has any more are looked for.
const SWEEP_FROM: usize = 64;

/// A document that was accepted, and which of its operations is asked for.
#[derive(Debug)]
pub struct Asked {
    query: String,
    operation_name: Option<String>,
    document: ExecutableDocument,
}

/// Those that somebody has. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Documents(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    all: HashMap<[u8; 32], Weak<Asked>>,
    sweep_at: usize,
}

impl Asked {
    /// A request that asks it again, without its being parsed again.
    pub fn request(&self, variables: Variables) -> Request {
        let mut request = Request::new(self.query.as_str()).variables(variables);
        request.operation_name.clone_from(&self.operation_name);
        request.set_parsed_query(self.document.clone());
        request
    }
}

impl Documents {
    /// What a request asks; the same for all that ask the same.
    ///
    /// # Errors
    /// If the document can not be parsed.
    pub fn keep(&self, request: &mut Request) -> Result<Arc<Asked>, ServerError> {
        let name = request.operation_name.as_deref().unwrap_or("");
        let mut hash = Sha256::new();
        hash.update(name.len().to_le_bytes());
        hash.update(name);
        hash.update(&request.query);
        let key = hash.finalize().into();
        if let Some(asked) = self.lock().get(&key) {
            return Ok(asked);
        }
        let asked = Arc::new(Asked {
            document: request.parsed_query()?.clone(),
            query: request.query.clone(),
            operation_name: request.operation_name.clone(),
        });
        let mut known = self.lock();
        if let Some(same) = known.get(&key) {
            return Ok(same);
        }
        known.put(key, &asked);
        Ok(asked)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn get(&self, key: &[u8; 32]) -> Option<Arc<Asked>> {
        self.all.get(key)?.upgrade()
    }

    fn put(&mut self, key: [u8; 32], asked: &Arc<Asked>) {
        if self.all.len() >= self.sweep_at.max(SWEEP_FROM) {
            self.all.retain(|_, asked| asked.strong_count() > 0);
            self.sweep_at = self.all.len() * 2;
        }
        self.all.insert(key, Arc::downgrade(asked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(documents: &Documents, query: &str) -> Arc<Asked> {
        documents
            .keep(&mut Request::new(query))
            .expect("a document")
    }

    #[test]
    fn who_asks_the_same_has_the_same_document() {
        let documents = Documents::default();
        let first = keep(&documents, "query A { a } query B { b }");
        assert!(Arc::ptr_eq(
            &first,
            &keep(&documents, "query A { a } query B { b }")
        ));
        let mut named = Request::new("query A { a } query B { b }").operation_name("A");
        let named = documents.keep(&mut named).expect("a document");
        assert!(!Arc::ptr_eq(&first, &named));
        assert_eq!(
            named
                .request(Variables::default())
                .operation_name
                .as_deref(),
            Some("A")
        );
        assert!(documents.keep(&mut Request::new("{")).is_err());
    }

    #[test]
    fn what_nobody_has_is_not_kept() {
        let documents = Documents::default();
        let kept = keep(&documents, "{ kept }");
        for number in 0..10 * SWEEP_FROM {
            keep(&documents, &format!("{{ a{number} }}"));
        }
        let known = documents.0.lock().expect("no panic");
        assert!(known.all.len() <= SWEEP_FROM, "{}", known.all.len());
        assert!(known.all.values().any(|it| it.strong_count() > 0));
        drop((known, kept));
    }
}
