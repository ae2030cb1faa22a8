//! A named lock held on a connection.
