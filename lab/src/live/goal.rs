//! A figure beside what it should be.

use std::fmt;

use serde::Serialize;

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Should {
    /// This, and nothing else.
    Be(usize),
    /// This or more.
    BeAtLeast(usize),
    /// This or less.
    BeAtMost(usize),
}

/// A figure beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Goal {
    /// What was counted.
    pub what: &'static str,
    /// What it came to.
    pub figure: usize,
    /// What it should come to.
    pub should: Should,
    /// Whether it does.
    pub reached: bool,
}

impl Goal {
    /// Compares the two.
    pub const fn new(what: &'static str, figure: usize, should: Should) -> Self {
        let reached = match should {
            Should::Be(goal) => figure == goal,
            Should::BeAtLeast(goal) => figure >= goal,
            Should::BeAtMost(goal) => figure <= goal,
        };
        Self {
            what,
            figure,
            should,
            reached,
        }
    }
}

impl fmt::Display for Should {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Be(goal) => write!(f, "{goal}"),
            Self::BeAtLeast(goal) => write!(f, ">= {goal}"),
            Self::BeAtMost(goal) => write!(f, "<= {goal}"),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, figure, should) = (self.what, self.figure, self.should);
        write!(f, "{what}: {figure}, should be {should}")
    }
}

/// What to say of goals that are missed.
pub fn missed(goals: &[Goal]) -> Vec<String> {
    let missed = goals.iter().filter(|goal| !goal.reached);
    missed.map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_reached_at_their_bounds_and_missed_beyond() {
        for (should, figure, reached) in [
            (Should::Be(2), 2, true),
            (Should::Be(2), 3, false),
            (Should::BeAtLeast(2), 2, true),
            (Should::BeAtLeast(2), 1, false),
            (Should::BeAtMost(2), 2, true),
            (Should::BeAtMost(2), 3, false),
        ] {
            let goal = Goal::new("figures", figure, should);
            assert_eq!(goal.reached, reached, "{goal}");
            assert_eq!(missed(&[goal]).is_empty(), reached);
        }
    }
}
