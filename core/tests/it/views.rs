//! The views on the real server.

mod errors;
mod orders;
mod pages;
mod writes;

use shop_core::domain::{Order, Product, StockLevel, User};
use shop_core::testkit::Histories;

/// Every state of some aggregates, in the order in which they came to be.
struct Shop {
    users: Vec<Vec<User>>,
    products: Vec<Vec<Product>>,
    levels: Vec<Vec<StockLevel>>,
    orders: Vec<Vec<Order>>,
}

impl Shop {
    fn made_up(histories: &mut Histories, count: usize) -> Self {
        Self {
            users: (0..count).map(|_| histories.user()).collect(),
            products: (0..count).map(|_| histories.product()).collect(),
            levels: (0..count).map(|_| histories.stock_level()).collect(),
            orders: (0..count).map(|_| histories.order()).collect(),
        }
    }
}

/// All states twice, in any order.
fn shuffled_and_doubled<T: Clone>(histories: &[Vec<T>], rng: &mut fastrand::Rng) -> Vec<T> {
    let mut states: Vec<T> = histories.iter().flatten().cloned().collect();
    states.extend(states.clone());
    rng.shuffle(&mut states);
    states
}

/// The last state of each history.
fn last<T: Clone>(histories: &[Vec<T>]) -> Vec<T> {
    histories
        .iter()
        .filter_map(|history| history.last().cloned())
        .collect()
}
