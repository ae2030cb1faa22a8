//! What the API promises, and whether it is so.

use serde::Serialize;

use super::figures::Figures;
use super::{Case, Kind};

/// A promise: a figure that must not be above a limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Goal {
    /// What is promised.
    pub what: &'static str,
    /// What it is in.
    pub unit: &'static str,
    /// The limit.
    pub at_most: f64,
    /// What was measured.
    pub measured: Option<f64>,
    /// Whether it was kept.
    pub reached: bool,
}

impl Goal {
    fn new(what: &'static str, unit: &'static str, at_most: f64, measured: Option<f64>) -> Self {
        Self {
            what,
            unit,
            at_most,
            measured,
            reached: measured.is_some_and(|measured| measured <= at_most),
        }
    }
}

/// Every goal. What was not measured was not reached.
pub(super) fn goals(figures: &Figures) -> Vec<Goal> {
    let cpu = |kind| figures.row(kind, Case::OneOrder)?.cpu_us_per_frame;
    let compared = |kind| Some(cpu(Kind::Ours)? / cpu(kind)?);
    let kib = |case| Some(figures.row(Kind::Ours, case)?.bytes_per_subscriber / 1024.0);
    vec![
        Goal::new(
            "CPU per frame of one order, beside the plain broadcast",
            "times",
            1.5,
            compared(Kind::Plain),
        ),
        Goal::new(
            "CPU per frame of one order, beside Node",
            "times",
            0.2,
            compared(Kind::Node),
        ),
        Goal::new(
            "memory per idle WebSocket subscriber of one order",
            "KiB",
            8.0,
            kib(Case::OneOrder),
        ),
        Goal::new(
            "memory per idle WebSocket subscriber of its own order",
            "KiB",
            8.0,
            kib(Case::OwnOrders),
        ),
        Goal::new(
            "memory per idle SSE subscriber",
            "KiB",
            4.0,
            kib(Case::Events),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_up_to_its_limit() {
        for (measured, reached) in [
            (Some(1.0), true),
            (Some(1.5), true),
            (Some(1.51), false),
            (None, false),
        ] {
            assert_eq!(Goal::new("", "", 1.5, measured).reached, reached);
        }
    }

    #[test]
    fn what_was_not_measured_was_not_reached() {
        assert!(goals(&Figures::default()).iter().all(|goal| !goal.reached));
    }
}
