//! order_saga
