//! stock_reservation
