//! Decisions about stock, and levels.

use super::{convert, uuid};
use crate::domain::stock::{HoldState, Units};
use crate::domain::{OrderId, ProductId, StockLevel};
use crate::events::event::StockDecision;
use crate::events::pb;
use crate::events::wire::DecodeError;

impl From<&Units> for pb::Units {
    fn from(units: &Units) -> Self {
        Self {
            product_id: units.product_id.uuid().to_string(),
            quantity: units.quantity,
        }
    }
}

impl TryFrom<pb::Units> for Units {
    type Error = DecodeError;

    fn try_from(units: pb::Units) -> Result<Self, DecodeError> {
        let product_id = ProductId::from_uuid(uuid(&units.product_id)?);
        Ok(Self {
            product_id,
            quantity: units.quantity,
        })
    }
}

impl From<&StockDecision> for pb::StockDecision {
    fn from(decision: &StockDecision) -> Self {
        let kind = match decision.state {
            None => pb::DecisionKind::Unspecified,
            Some(HoldState::Held) => pb::DecisionKind::Reserved,
            Some(HoldState::Rejected) => pb::DecisionKind::Rejected,
            Some(HoldState::Released) => pb::DecisionKind::Released,
            Some(HoldState::Shipped) => pb::DecisionKind::Shipped,
        };
        Self {
            order_id: decision.order_id.uuid().to_string(),
            version: decision.version,
            order_version: decision.order_version,
            decision: kind.into(),
            lines: decision.lines.iter().map(Into::into).collect(),
            shortages: decision.shortages.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::StockDecision> for StockDecision {
    type Error = DecodeError;

    fn try_from(decision: pb::StockDecision) -> Result<Self, DecodeError> {
        let state = match pb::DecisionKind::try_from(decision.decision).unwrap_or_default() {
            pb::DecisionKind::Unspecified => None,
            pb::DecisionKind::Reserved => Some(HoldState::Held),
            pb::DecisionKind::Rejected => Some(HoldState::Rejected),
            pb::DecisionKind::Released => Some(HoldState::Released),
            pb::DecisionKind::Shipped => Some(HoldState::Shipped),
        };
        Ok(Self {
            order_id: OrderId::from_uuid(uuid(&decision.order_id)?),
            version: decision.version,
            order_version: decision.order_version,
            state,
            lines: convert(decision.lines)?,
            shortages: convert(decision.shortages)?,
        })
    }
}

impl From<&StockLevel> for pb::StockLevel {
    fn from(level: &StockLevel) -> Self {
        Self {
            product_id: level.product_id.uuid().to_string(),
            version: level.version,
            on_hand: level.on_hand,
            reserved: level.reserved,
            available: level.available(),
            sellable: level.sellable,
        }
    }
}

impl TryFrom<pb::StockLevel> for StockLevel {
    type Error = DecodeError;

    fn try_from(level: pb::StockLevel) -> Result<Self, DecodeError> {
        Ok(Self {
            product_id: ProductId::from_uuid(uuid(&level.product_id)?),
            version: level.version,
            on_hand: level.on_hand,
            reserved: level.reserved,
            sellable: level.sellable,
        })
    }
}
