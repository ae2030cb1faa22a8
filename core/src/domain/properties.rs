//! Properties that hold whatever happens: no illegal status, stock never negative, nothing held twice.

use std::collections::HashMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::order::{Actor, NewLine, NewPayment};
use super::status::TRANSITIONS;
use super::stock::{Decision, Hold, HoldState, OrderFacts, Units, Warehouse};
use super::{
    Money, Order, OrderId, OrderStatus, Product, ProductId, StockLevel, Timestamp, User, UserId,
};

fn pending_order() -> Order {
    let now = Timestamp::from_millis(0);
    let user = User::create(
        UserId::from_uuid(Uuid::from_u128(1)),
        now,
        "Ada",
        "ada@example.org",
    );
    let price = Money {
        minor: 250,
        currency: "EUR".parse().expect("a currency"),
    };
    let id = ProductId::from_uuid(Uuid::from_u128(2));
    let product = Product::create(id, now, "Mug", "", price).expect("a product");
    let line = NewLine {
        product_id: id,
        quantity: 1,
        expected_unit_price: None,
    };
    let order_id = OrderId::from_uuid(Uuid::from_u128(3));
    Order::place(order_id, now, &user.expect("a user"), &[line], &[product]).expect("an order")
}

/// Does one of everything that can be done to an order; refusals are part of the game.
fn act(order: &mut Order, action: u8, at: Timestamp) -> bool {
    let payment = NewPayment {
        method: "card".into(),
        reference: format!("p-{}", order.version),
    };
    match action {
        0 => order.confirm(at).is_ok(),
        1 => order.reject(at, vec![]).is_ok(),
        2 => order.pay(at, payment).is_ok(),
        3 => order.cancel(at, Actor::Customer, None).is_ok(),
        4 => order.delete(at).is_ok(),
        status => order
            .advance(at, OrderStatus::ALL[usize::from(status) % 8])
            .is_ok(),
    }
}

proptest! {
    #[test]
    fn an_order_only_ever_takes_steps_of_the_table(
        actions in prop::collection::vec((0_u8..13, -1_000_i64..1_000), 0..40)
    ) {
        let mut order = pending_order();
        for (action, at) in actions {
            let before = order.clone();
            if !act(&mut order, action, Timestamp::from_millis(at)) {
                prop_assert_eq!(&order, &before, "a refusal changed something");
                continue;
            }
            prop_assert_eq!(order.version, before.version + 1);
            let listed = TRANSITIONS
                .iter()
                .any(|step| step.from == before.status && step.to == order.status);
            prop_assert!(listed || order.status == before.status);
        }
        prop_assert_eq!(order.timeline.len(), order.version as usize);
        prop_assert!(order.timeline.is_sorted_by_key(|entry| entry.at));
        let standing = order.payments.iter().filter(|p| p.refund_due_version.is_none()).count();
        prop_assert!(standing <= 1);
        prop_assert!(order.status != OrderStatus::Canceled || standing == 0);
    }

    #[test]
    fn stock_is_never_negative_and_sums_to_what_is_held(
        on_hand in 0_u32..20,
        events in prop::collection::vec((0_u128..6, 0_usize..8, 1_u32..8, 1_u32..6), 0..60)
    ) {
        let product_id = ProductId::from_uuid(Uuid::from_u128(1));
        let level = StockLevel { product_id, on_hand, reserved: 0, sellable: true, version: 1 };
        let mut warehouse = Warehouse::new([level], []);
        let mut holds: HashMap<OrderId, Hold> = HashMap::new();
        let mut shipped = 0;
        for (order, status, order_version, quantity) in events {
            let order_id = OrderId::from_uuid(Uuid::from_u128(order));
            let lines = vec![Units { product_id, quantity }];
            let status = OrderStatus::ALL[status];
            let decision =
                warehouse.decide(&OrderFacts { order_id, order_version, status, lines });
            if let Decision::Decided(state) = decision {
                let hold = warehouse.hold(order_id).expect("decided").clone();
                if state == HoldState::Shipped {
                    shipped += hold.lines.iter().map(|units| units.quantity).sum::<u32>();
                }
                let before = holds.insert(order_id, hold);
                let may_follow = match before.map(|hold| hold.state) {
                    None => matches!(state, HoldState::Held | HoldState::Rejected),
                    Some(HoldState::Held) => {
                        matches!(state, HoldState::Released | HoldState::Shipped)
                    }
                    Some(_) => false,
                };
                prop_assert!(may_follow, "a hold ended twice");
            }
            let held: u32 = holds
                .values()
                .filter(|hold| hold.state == HoldState::Held)
                .flat_map(|hold| &hold.lines)
                .map(|units| units.quantity)
                .sum();
            if let Some(level) = warehouse.changed_levels().next() {
                prop_assert_eq!(level.reserved, held);
                prop_assert_eq!(level.on_hand, on_hand - shipped);
                prop_assert!(level.reserved <= level.on_hand);
            }
        }
    }
}
