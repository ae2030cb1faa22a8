//! Faults in topics, in views, and in what subscribers received.

use shop_lab::check::Kind;
use uuid::Uuid;

use super::{Fault, view, watched};
use crate::evidence::{DELIVERED, PRODUCT, USER};

pub(super) const FAULTS: &[Fault] = &[
    // 6: the log.
    (
        "versions that overtake each other",
        |e| {
            let records = e.log.get_mut("orders").expect("a topic");
            let first = records
                .iter()
                .position(|r| r.key == DELIVERED)
                .expect("one");
            let (one, two) = (records[first].offset, records[first + 1].offset);
            (records[first].offset, records[first + 1].offset) = (two, one);
        },
        6,
        DELIVERED,
        "comes before version 1",
    ),
    (
        "a key in two partitions",
        |e| {
            let records = e.log.get_mut("orders").expect("a topic");
            records
                .iter_mut()
                .rfind(|r| r.key == DELIVERED)
                .expect("one")
                .partition = 1;
        },
        6,
        DELIVERED,
        "is in several partitions",
    ),
    (
        "a status that was never published",
        |e| {
            e.log
                .get_mut("order-status")
                .expect("a topic")
                .retain(|r| r.key != DELIVERED || r.version != 6);
        },
        6,
        DELIVERED,
        "topic order-status ends with version 5",
    ),
    (
        "a level that was never published",
        |e| e.log.get_mut("stock-status").expect("a topic").clear(),
        6,
        PRODUCT,
        "topic stock-status ends with nothing",
    ),
    // 8: views.
    (
        "a view set back",
        |e| {
            let view = view(e, Kind::Order, DELIVERED);
            view.version = 3;
            view.state["status"] = "PAID".into();
        },
        8,
        DELIVERED,
        "view: is at version 3, the row at 6",
    ),
    (
        "a view with another field",
        |e| view(e, Kind::Order, DELIVERED).state["items"][0]["quantity"] = 7.into(),
        8,
        DELIVERED,
        "view: items[0].quantity is 7, the row says 2",
    ),
    (
        "a view that lost its last step",
        |e| {
            view(e, Kind::Order, DELIVERED).state["timeline"]
                .as_array_mut()
                .expect("a list")
                .pop();
        },
        8,
        DELIVERED,
        "view: timeline",
    ),
    (
        "a view that is missing",
        |e| {
            e.views.get_mut(&Kind::User).expect("users").remove(&USER);
        },
        8,
        USER,
        "view: is missing",
    ),
    (
        "a view of nothing",
        |e| {
            let view = view(e, Kind::User, USER).clone();
            e.views
                .get_mut(&Kind::User)
                .expect("users")
                .insert(Uuid::from_u128(77), view);
        },
        8,
        Uuid::from_u128(77),
        "has a view, but no row",
    ),
    (
        "an event that tells something else",
        |e| {
            e.log.get_mut("products").expect("a topic")[0].state["name"] = "Cup".into();
        },
        8,
        PRODUCT,
        "newest event: name is \"Cup\", the row says \"Mug\"",
    ),
    // 9: subscribers.
    (
        "a frame that was skipped",
        |e| {
            watched(e, DELIVERED).connections[0].remove(2);
        },
        9,
        DELIVERED,
        "version 5 came after version 3: a gap",
    ),
    (
        "a frame that came twice",
        |e| {
            let frames = &mut watched(e, DELIVERED).connections[0];
            frames.insert(2, frames[1].clone());
        },
        9,
        DELIVERED,
        "version 3 came after version 3: a repeat",
    ),
    (
        "a subscriber that misses the end",
        |e| {
            watched(e, DELIVERED).connections[0].pop();
        },
        9,
        DELIVERED,
        "saw version 5 last, the row is at 6",
    ),
    (
        "a subscriber that saw nothing",
        |e| watched(e, DELIVERED).connections = vec![vec![]],
        9,
        DELIVERED,
        "saw nothing",
    ),
    (
        "an older snapshot after a reconnect",
        |e| {
            let connections = &mut watched(e, DELIVERED).connections;
            let again = connections[0][1..].to_vec();
            connections.push(again);
        },
        9,
        DELIVERED,
        "began with version 3 after version 6",
    ),
    (
        "a frame that lies",
        |e| "SHIPPED".clone_into(&mut watched(e, DELIVERED).connections[0][1].status),
        9,
        DELIVERED,
        "the frame of version 3 says",
    ),
    (
        "a frame with a later order",
        |e| watched(e, DELIVERED).connections[0][1].order_version = 4,
        9,
        DELIVERED,
        "came with the order at 4",
    ),
    (
        "a subscription that failed",
        |e| watched(e, DELIVERED).errors.push("boom".to_owned()),
        9,
        DELIVERED,
        "the subscription failed: boom",
    ),
];
