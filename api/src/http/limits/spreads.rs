//! What a document asks for when every fragment stands where it is spread, without spreading one: a fragment is weighed once.
//! Spreading doubles with every fragment that spreads two, and the library spreads before it asks whether it may.

use std::collections::HashMap;

use async_graphql::parser::types::OperationType;

use super::excess::Excess;
use super::sketch::Definition;
use crate::graphql::Limits;

/// What a definition is with all that it spreads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Weight {
    selections: usize,
    roots: usize,
    depth: usize,
    level: usize,
}

/// What is known of a fragment.
#[derive(Clone, Copy)]
enum Known {
    Nothing,
    /// It is being weighed: who finds it so is a part of it.
    Begun,
    All(Weight),
}

struct Scales<'a> {
    definitions: &'a [Definition<'a>],
    fragments: HashMap<&'a str, usize>,
    known: Vec<Known>,
}

/// Weighs all operations of a document.
///
/// # Errors
/// The first limit that it goes beyond, or a fragment that is a part of itself.
pub fn weigh(definitions: &[Definition<'_>]) -> Result<(), Excess> {
    let is_small = |definition: &Definition<'_>| {
        let is_fragment_or_query =
            matches!(definition.operation, None | Some(OperationType::Query));
        definition.spreads.is_empty() && is_fragment_or_query
    };
    if definitions.iter().all(is_small) {
        return Ok(()); // every limit was looked at while it was read, and it has too few tokens to ask for too much
    }
    let fragments = definitions.iter().enumerate();
    let fragments = fragments.filter(|(_, definition)| definition.operation.is_none());
    let mut scales = Scales {
        definitions,
        fragments: fragments
            .filter_map(|(index, definition)| Some((definition.name?, index)))
            .collect(),
        known: vec![Known::Nothing; definitions.len()],
    };
    let mut selections = 0_usize;
    for (index, definition) in definitions.iter().enumerate() {
        let weight = scales.weigh(index)?;
        if definition.operation.is_some() {
            selections = selections.saturating_add(weight.selections);
        }
        for (count, most, excess) in [
            (selections, Limits::SELECTIONS, Excess::Selections),
            (weight.depth, Limits::DEPTH, Excess::Depth),
            (weight.level, Limits::RECURSION, Excess::Level),
        ] {
            if count > most {
                return Err(excess);
            }
        }
        match definition.operation {
            Some(OperationType::Mutation) if weight.roots > Limits::MUTATIONS => {
                return Err(Excess::Roots);
            }
            Some(OperationType::Subscription) if weight.roots > 1 => {
                return Err(Excess::Subscriptions);
            }
            _ => {}
        }
    }
    Ok(())
}

impl Scales<'_> {
    fn weigh(&mut self, index: usize) -> Result<Weight, Excess> {
        let definitions = self.definitions;
        let definition = &definitions[index];
        match self.known[index] {
            Known::All(weight) => return Ok(weight),
            Known::Begun => {
                let name = definition.name.unwrap_or_default();
                return Err(Excess::Circle(name.to_owned()));
            }
            Known::Nothing => self.known[index] = Known::Begun,
        }
        let mut weight = Weight {
            selections: definition.selections,
            roots: definition.roots,
            depth: definition.depth,
            level: definition.level,
        };
        for spread in &definition.spreads {
            let Some(&fragment) = self.fragments.get(spread.name) else {
                continue; // the library says that there is none
            };
            let more = self.weigh(fragment)?;
            weight.selections = weight.selections.saturating_add(more.selections);
            weight.depth = weight.depth.max(spread.depth.saturating_add(more.depth));
            weight.level = weight.level.max(spread.level + 1 + more.level);
            if spread.is_root {
                weight.roots = weight.roots.saturating_add(more.roots);
            }
        }
        self.known[index] = Known::All(weight);
        Ok(weight)
    }
}
