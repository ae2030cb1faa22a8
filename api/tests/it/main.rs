//! Integration tests against the real servers.
