//! The tables, as `migrations/` makes them.

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};

table! {
    users (id) {
        id -> Binary,
        version -> Unsigned<Integer>,
        name -> Text,
        email -> Nullable<Text>,
        created_at -> Datetime,
        updated_at -> Datetime,
        deleted_at -> Nullable<Datetime>,
    }
}

table! {
    products (id) {
        id -> Binary,
        version -> Unsigned<Integer>,
        name -> Text,
        description -> Text,
        price_minor -> BigInt,
        currency -> Text,
        created_at -> Datetime,
        updated_at -> Datetime,
        deleted_at -> Nullable<Datetime>,
    }
}

table! {
    stock (product_id) {
        product_id -> Binary,
        version -> Unsigned<Integer>,
        on_hand -> Unsigned<Integer>,
        reserved -> Unsigned<Integer>,
        sellable -> Bool,
    }
}

table! {
    orders (id) {
        id -> Binary,
        version -> Unsigned<Integer>,
        status -> Text,
        customer_id -> Binary,
        customer_name -> Text,
        total_minor -> BigInt,
        currency -> Text,
        awaiting_payment_since -> Nullable<Datetime>,
        created_at -> Datetime,
        updated_at -> Datetime,
        deleted_at -> Nullable<Datetime>,
    }
}

table! {
    order_items (order_id, line) {
        order_id -> Binary,
        line -> Unsigned<SmallInt>,
        product_id -> Binary,
        product_name -> Text,
        unit_price_minor -> BigInt,
        quantity -> Unsigned<Integer>,
        short_available -> Nullable<Unsigned<Integer>>,
    }
}

table! {
    order_transitions (order_id, version) {
        order_id -> Binary,
        version -> Unsigned<Integer>,
        from_status -> Nullable<Text>,
        to_status -> Text,
        reason -> Nullable<Text>,
        actor -> Text,
        at -> Datetime,
    }
}

table! {
    payments (reference) {
        reference -> Text,
        order_id -> Binary,
        method -> Text,
        amount_minor -> BigInt,
        currency -> Text,
        state -> Text,
        recorded_at -> Datetime,
        recorded_version -> Unsigned<Integer>,
        refund_due_version -> Nullable<Unsigned<Integer>>,
    }
}

table! {
    stock_orders (order_id) {
        order_id -> Binary,
        state -> Text,
        version -> Unsigned<Integer>,
        order_version -> Unsigned<Integer>,
    }
}

table! {
    stock_order_lines (order_id, line) {
        order_id -> Binary,
        line -> Unsigned<SmallInt>,
        product_id -> Binary,
        quantity -> Unsigned<Integer>,
        short_available -> Nullable<Unsigned<Integer>>,
    }
}

table! {
    stock_movements (id) {
        id -> Unsigned<BigInt>,
        product_id -> Binary,
        order_id -> Nullable<Binary>,
        kind -> Text,
        quantity -> BigInt,
        created_at -> Datetime,
    }
}

table! {
    outbox (seq) {
        seq -> Unsigned<BigInt>,
        event_id -> Binary,
        aggregate_type -> Text,
        aggregate_id -> Binary,
        version -> Unsigned<Integer>,
        event_type -> Text,
        content_type -> Text,
        payload -> Binary,
        traceparent -> Nullable<Text>,
        created_at -> Datetime,
        processed_at -> Nullable<Datetime>,
    }
}

table! {
    processed_events (consumer, event_id) {
        consumer -> Text,
        event_id -> Binary,
        processed_at -> Datetime,
    }
}

table! {
    idempotency_keys (idempotency_key, principal) {
        idempotency_key -> Binary,
        principal -> Text,
        request_hash -> Binary,
        outcome -> Nullable<Binary>,
        created_at -> Datetime,
    }
}

table! {
    parked_records (consumer, topic, partition_no, log_offset) {
        consumer -> Text,
        topic -> Text,
        partition_no -> Integer,
        log_offset -> BigInt,
        record_key -> Nullable<Binary>,
        headers -> Binary,
        payload -> Nullable<Binary>,
        state -> Text,
        tries -> Unsigned<Integer>,
        next_try_at -> Nullable<Datetime>,
        first_failed_at -> Nullable<Datetime>,
        last_failed_at -> Nullable<Datetime>,
        parked_at -> Datetime,
        cause -> Nullable<Text>,
        causes -> Nullable<Text>,
    }
}

joinable!(order_items -> orders (order_id));
joinable!(stock -> products (product_id));
allow_tables_to_appear_in_same_query!(orders, order_items, products, stock);
