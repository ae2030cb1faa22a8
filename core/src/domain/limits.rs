//! Every limit on what a client may send, and on what programs carry at once, in one place. The API's descriptions and the
//! commands' checks read them.

/// Lines in one order, at most.
pub const ORDER_LINES: usize = 100;
/// Units of one product in one order, at most.
pub const LINE_QUANTITY: u32 = 10_000;
/// Characters in a user's or product's name, at most.
pub const NAME_CHARS: usize = 200;
/// Characters in a product's description, at most.
pub const DESCRIPTION_CHARS: usize = 5_000;
/// Characters in an e-mail address, at most (RFC 5321, 4.5.3.1.3, less the angle brackets).
pub const EMAIL_CHARS: usize = 254;
/// Characters in the reason of a cancellation or adjustment, at most.
pub const REASON_CHARS: usize = 500;
/// Characters in a payment's reference or method, at most.
pub const REFERENCE_CHARS: usize = 100;
/// Payments of one order, at most: after a cancellation each further one is recorded as refund due.
pub const ORDER_PAYMENTS: usize = 20;
/// A price in minor units, at most. With the limits above an order's total stays far below `i64::MAX`.
pub const PRICE_MINOR: i64 = 100_000_000_000;
/// Units of one product on hand, at most.
pub const STOCK_UNITS: u32 = 1_000_000_000;
/// Bytes of one event, at most; a larger one is refused where it is written.
pub const EVENT_BYTES: usize = 512 * 1024;
/// Bytes of a record's value, at most; a larger one is none of ours. The same event as JSON is longer than as binary.
pub const RECORD_BYTES: usize = 4 * EVENT_BYTES;
/// Bytes of values or payloads in one batch, at most, and one more where it would not fit alone: what a consumer handles, the relay sends and a
/// statement or command carries at once. Well below any sensible `max_allowed_packet`.
pub const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Items of a page when the client does not say.
pub const PAGE_DEFAULT: usize = 20;
/// Items of a page, at most.
pub const PAGE_MAX: usize = 100;
/// Ids in one `nodes` query, at most.
pub const NODES_MAX: usize = 100;
