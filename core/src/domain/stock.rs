//! Stock: what is on hand, what is held for orders, and the decisions over a batch of orders.
//!
//! Decisions look at what an order now **is** and what was done for it, never at the step that an event names. So repeats,
//! skipped and shuffled events end in the same stock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::limits::STOCK_UNITS;
use super::order::Shortage;
use super::refusal::{Refusal, path};
use super::{OrderId, OrderStatus, ProductId, Version};

/// How much there is of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockLevel {
    /// Which product.
    pub product_id: ProductId,
    /// Units in the warehouse.
    pub on_hand: u32,
    /// Units of them held for orders; never more than `on_hand`.
    pub reserved: u32,
    /// Whether it can be ordered: false once the product is deleted.
    pub sellable: bool,
    /// The number of changes so far.
    pub version: Version,
}

impl StockLevel {
    /// Units that can still be ordered.
    pub fn available(&self) -> u32 {
        if self.sellable {
            self.on_hand - self.reserved.min(self.on_hand)
        } else {
            0
        }
    }

    /// Adds units (takes them away, if negative), never below what is reserved.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::StockReserved`].
    pub fn adjust(&mut self, delta: i64) -> Result<(), Refusal> {
        let field = || path([&"delta"]);
        if delta == 0 {
            return Err(Refusal::invalid(field(), "must not be 0"));
        }
        let on_hand = i64::from(self.on_hand).saturating_add(delta);
        if on_hand > i64::from(STOCK_UNITS) {
            let problem = format!("would leave more than {STOCK_UNITS} units on hand");
            return Err(Refusal::invalid(field(), problem));
        }
        match u32::try_from(on_hand) {
            Ok(on_hand) if on_hand >= self.reserved => {
                self.on_hand = on_hand;
                self.version += 1;
                Ok(())
            }
            _ => Err(Refusal::StockReserved {
                path: field(),
                on_hand: self.on_hand,
                reserved: self.reserved,
                available: self.on_hand - self.reserved,
            }),
        }
    }
}

/// What was done for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// All of its lines are held.
    Held,
    /// Something was short; nothing is held.
    Rejected,
    /// What was held went back; or the order ended before anything was held.
    Released,
    /// What was held left the warehouse.
    Shipped,
}

impl HoldState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Held, Self::Rejected, Self::Released, Self::Shipped];

    /// The word that tables use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::Rejected => "REJECTED",
            Self::Released => "RELEASED",
            Self::Shipped => "SHIPPED",
        }
    }

    /// The state of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Units of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Units {
    /// Which product.
    pub product_id: ProductId,
    /// How many.
    pub quantity: u32,
}

/// The stock side of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Which order.
    pub order_id: OrderId,
    /// What was done for it.
    pub state: HoldState,
    /// The number of decisions about it that were announced.
    pub version: Version,
    /// The newest version of the order that was acted on.
    pub order_version: Version,
    /// What was held; empty unless it was HELD once.
    pub lines: Vec<Units>,
    /// What was short, if REJECTED.
    pub shortages: Vec<Shortage>,
}

/// What stock-reservation needs to know of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderFacts {
    /// Which order.
    pub order_id: OrderId,
    /// As of which version.
    pub order_version: Version,
    /// Where it stands.
    pub status: OrderStatus,
    /// What it asks for, no product twice.
    pub lines: Vec<Units>,
}

/// Why units moved, for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MovementKind {
    /// Came in; raises on hand.
    Received,
    /// Counted differently; raises or lowers on hand.
    Adjusted,
    /// Held for an order; raises reserved.
    Reserved,
    /// No longer held; lowers reserved.
    Released,
    /// Left with an order; lowers both.
    Shipped,
}

impl MovementKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Received,
        Self::Adjusted,
        Self::Reserved,
        Self::Released,
        Self::Shipped,
    ];

    /// The kind of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The word that tables use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "RECEIVED",
            Self::Adjusted => "ADJUSTED",
            Self::Reserved => "RESERVED",
            Self::Released => "RELEASED",
            Self::Shipped => "SHIPPED",
        }
    }
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Which product.
    pub product_id: ProductId,
    /// Why.
    pub kind: MovementKind,
    /// How many units; negative only for an adjustment.
    pub quantity: i64,
    /// For which order, if any.
    pub order_id: Option<OrderId>,
}

/// What became of one record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Units moved or an order was rejected; the hold's state says which. To be announced.
    Decided(HoldState),
    /// Noted, with nothing to announce: an order that ended before anything was held for it.
    Noted,
    /// This version of the order, or a later one, was acted on before.
    Repeat,
    /// There is nothing to do for an order in this status.
    Nothing,
}

/// The rows that a batch works on, held in memory between one lock and one save.
#[derive(Debug, Default)]
pub struct Warehouse {
    levels: BTreeMap<ProductId, StockLevel>,
    holds: HashMap<OrderId, Hold>,
    changed_levels: BTreeSet<ProductId>,
    changed_holds: BTreeSet<OrderId>,
    new_holds: BTreeSet<OrderId>,
    movements: Vec<Movement>,
}

impl Warehouse {
    /// A warehouse of these levels and holds.
    pub fn new(
        levels: impl IntoIterator<Item = StockLevel>,
        holds: impl IntoIterator<Item = Hold>,
    ) -> Self {
        Self {
            levels: levels
                .into_iter()
                .map(|level| (level.product_id, level))
                .collect(),
            holds: holds
                .into_iter()
                .map(|hold| (hold.order_id, hold))
                .collect(),
            ..Self::default()
        }
    }

    /// Decides one record; call it in log order.
    pub fn decide(&mut self, facts: &OrderFacts) -> Decision {
        let Some(hold) = self.holds.get_mut(&facts.order_id) else {
            return self.decide_first(facts);
        };
        if hold.order_version >= facts.order_version {
            return Decision::Repeat;
        }
        let (state, kind) = match (hold.state, facts.status) {
            (HoldState::Held, OrderStatus::Canceled) => {
                (HoldState::Released, MovementKind::Released)
            }
            (HoldState::Held, OrderStatus::Shipped | OrderStatus::Delivered) => {
                (HoldState::Shipped, MovementKind::Shipped)
            }
            _ => return Decision::Nothing,
        };
        hold.state = state;
        hold.version += 1;
        hold.order_version = facts.order_version;
        self.changed_holds.insert(facts.order_id);
        for units in hold.lines.clone() {
            self.move_units(facts.order_id, units, kind);
        }
        Decision::Decided(state)
    }

    fn decide_first(&mut self, facts: &OrderFacts) -> Decision {
        let mut hold = Hold {
            order_id: facts.order_id,
            state: HoldState::Released,
            version: 1,
            order_version: facts.order_version,
            lines: Vec::new(),
            shortages: Vec::new(),
        };
        let decision = match facts.status {
            OrderStatus::Pending => {
                hold.shortages = self.shortages(&facts.lines);
                hold.state = if hold.shortages.is_empty() {
                    hold.lines.clone_from(&facts.lines);
                    HoldState::Held
                } else {
                    HoldState::Rejected
                };
                Decision::Decided(hold.state)
            }
            // Nothing was announced; the row keeps a late repeat of "created" from holding stock.
            OrderStatus::Canceled => {
                hold.version = 0;
                Decision::Noted
            }
            _ => return Decision::Nothing,
        };
        for units in hold.lines.clone() {
            self.move_units(facts.order_id, units, MovementKind::Reserved);
        }
        self.changed_holds.insert(facts.order_id);
        self.new_holds.insert(facts.order_id);
        self.holds.insert(facts.order_id, hold);
        decision
    }

    fn shortages(&self, lines: &[Units]) -> Vec<Shortage> {
        lines
            .iter()
            .filter_map(|line| {
                let available = self
                    .levels
                    .get(&line.product_id)
                    .map_or(0, StockLevel::available);
                (available < line.quantity).then_some(Shortage {
                    product_id: line.product_id,
                    requested: line.quantity,
                    available,
                })
            })
            .collect()
    }

    fn move_units(&mut self, order_id: OrderId, units: Units, kind: MovementKind) {
        let Some(level) = self.levels.get_mut(&units.product_id) else {
            debug_assert!(false, "units of a product without a level were moved");
            return;
        };
        match kind {
            MovementKind::Reserved => level.reserved += units.quantity,
            MovementKind::Released => level.reserved -= units.quantity,
            MovementKind::Shipped => {
                level.reserved -= units.quantity;
                level.on_hand -= units.quantity;
            }
            MovementKind::Received | MovementKind::Adjusted => {
                debug_assert!(false, "{kind:?} is no movement of an order");
            }
        }
        // One version per product and batch, however many orders of the batch moved it.
        if self.changed_levels.insert(units.product_id) {
            level.version += 1;
        }
        self.movements.push(Movement {
            product_id: units.product_id,
            kind,
            quantity: i64::from(units.quantity),
            order_id: Some(order_id),
        });
    }

    /// The stock side of an order, as it is now.
    pub fn hold(&self, order_id: OrderId) -> Option<&Hold> {
        self.holds.get(&order_id)
    }

    /// The levels that changed, by product id.
    pub fn changed_levels(&self) -> impl Iterator<Item = &StockLevel> {
        self.changed_levels
            .iter()
            .filter_map(|id| self.levels.get(id))
    }

    /// The holds that are new or changed, by order id.
    pub fn changed_holds(&self) -> impl Iterator<Item = &Hold> {
        self.changed_holds
            .iter()
            .filter_map(|id| self.holds.get(id))
    }

    /// Whether nothing was done for an order before these decisions.
    pub fn is_new(&self, order_id: OrderId) -> bool {
        self.new_holds.contains(&order_id)
    }

    /// The ledger lines to append, in the order in which they happened.
    pub fn movements(&self) -> &[Movement] {
        &self.movements
    }
}
