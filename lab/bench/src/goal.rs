//! A figure beside what it should be.

use std::fmt;

use serde::Serialize;

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Should {
    /// This or more.
    BeAtLeast(f64),
    /// This or less.
    BeAtMost(f64),
}

/// A figure beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    /// What was measured.
    pub what: &'static str,
    /// In what.
    pub unit: &'static str,
    /// What it came to; `None` if it was not measured.
    pub measured: Option<f64>,
    /// What it should come to.
    pub should: Should,
    /// Whether it does. What was not measured was not reached.
    pub reached: bool,
}

impl Goal {
    /// Compares the two.
    pub fn new(
        what: &'static str,
        unit: &'static str,
        measured: Option<f64>,
        should: Should,
    ) -> Self {
        Self {
            what,
            unit,
            measured,
            should,
            reached: measured.is_some_and(|measured| match should {
                Should::BeAtLeast(goal) => measured >= goal,
                Should::BeAtMost(goal) => measured <= goal,
            }),
        }
    }

    /// A count that should be zero.
    pub fn none(what: &'static str, count: usize) -> Self {
        Self::new(what, "", Some(figure(count)), Should::BeAtMost(0.0))
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.reached { "reached" } else { "MISSED" };
        let (words, goal) = match self.should {
            Should::BeAtLeast(goal) => ("at least", goal),
            Should::BeAtMost(goal) => ("at most", goal),
        };
        let measured = self.measured.map_or_else(|| "-".to_owned(), rounded);
        let (what, unit) = (self.what, self.unit);
        write!(
            f,
            "{verdict:<7} {what:<66} {measured:>9} {unit:<5} ({words} {})",
            rounded(goal)
        )
    }
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn figure(count: usize) -> f64 {
    count as f64
}

/// To two decimals, whole numbers without.
fn rounded(figure: f64) -> String {
    let text = format!("{figure:.2}");
    text.strip_suffix(".00").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_at_its_bound_and_missed_beyond() {
        for (measured, should, reached) in [
            (Some(2.0), Should::BeAtLeast(2.0), true),
            (Some(1.9), Should::BeAtLeast(2.0), false),
            (Some(2.0), Should::BeAtMost(2.0), true),
            (Some(2.1), Should::BeAtMost(2.0), false),
            (None, Should::BeAtMost(2.0), false),
        ] {
            let goal = Goal::new("figures", "", measured, should);
            assert_eq!(goal.reached, reached, "{goal}");
            assert_eq!(goal.to_string().contains("MISSED"), !reached);
        }
        assert!(Goal::none("findings", 0).reached && !Goal::none("findings", 1).reached);
    }
}
