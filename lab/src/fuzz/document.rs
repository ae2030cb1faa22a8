//! Documents that fit the schema, by chance.

use std::fmt::Write as _;

use apollo_compiler::ast::{FieldDefinition, InputValueDefinition};
use fastrand::Rng;
use serde_json::{Map, Value};

use super::values::Source;

/// Selections within selections, at most.
const DEPTH: usize = 7;
/// Fields in all, at most.
const FIELDS: usize = 60;

/// An operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// The document.
    pub query: String,
    /// What its variables are.
    pub variables: Value,
}

/// A document that is being written.
struct Draft<'a> {
    source: Source<'a>,
    chance: &'a mut Rng,
    declared: Vec<String>,
    variables: Map<String, Value>,
    fragments: Vec<String>,
    left: usize,
}

/// An operation that fits, but for a value here and there. `subscribes` says whether it goes on.
pub fn operation(source: Source<'_>, chance: &mut Rng, subscribes: bool) -> Operation {
    let (word, root) = match chance.u8(0..100) {
        _ if subscribes => ("subscription", "Subscription"),
        0..65 => ("query", "Query"),
        65..95 => ("mutation", "Mutation"),
        _ => ("subscription", "Subscription"),
    };
    let mut draft = Draft {
        source,
        chance,
        declared: Vec::new(),
        variables: Map::new(),
        fragments: Vec::new(),
        left: FIELDS,
    };
    let selection = draft.selection(root, root, DEPTH);
    let mut query = word.to_owned();
    if !draft.declared.is_empty() {
        let _ = write!(query, " O({})", draft.declared.join(", "));
    }
    let _ = write!(query, " {selection}");
    for fragment in &draft.fragments {
        let _ = write!(query, " {fragment}");
    }
    Operation {
        query,
        variables: draft.variables.into(),
    }
}

impl Draft<'_> {
    fn one_in(&mut self, times: usize) -> bool {
        self.chance.usize(..times) == 0
    }

    /// The fields of a type. The hint is the name of the field that led here.
    fn selection(&mut self, name: &str, hint: &str, depth: usize) -> String {
        let grammar = self.source.grammar;
        let known = grammar.fields(name);
        let is_root = ["Query", "Mutation", "Subscription"].contains(&name);
        let wanted = match (is_root, name) {
            (true, "Subscription") => 1,
            (true, _) => self.chance.usize(1..3),
            _ => self.chance.usize(1..6),
        };
        let mut parts = Vec::new();
        for _ in 0..wanted {
            let Some(field) = self.chance.choice(&known) else {
                break;
            };
            parts.extend(self.field(field, hint, depth));
        }
        let objects = grammar.objects_of(name);
        if let Some(object) = self.chance.choice(&objects)
            && depth > 1
        {
            let inner = self.selection(object, hint, depth - 1);
            parts.push(format!("... on {object} {inner}"));
        }
        if self.one_in(12) && depth > 1 && !is_root {
            let inner = self.selection(name, hint, depth - 1);
            let number = self.fragments.len();
            self.fragments
                .push(format!("fragment F{number} on {name} {inner}"));
            parts.push(format!("...F{number}"));
        }
        if parts.is_empty() || self.one_in(10) {
            parts.push("__typename".to_owned());
        }
        format!("{{ {} }}", parts.join(" "))
    }

    fn field(&mut self, field: &FieldDefinition, hint: &str, depth: usize) -> Option<String> {
        let of = field.ty.inner_named_type().as_str();
        let composite = self.source.grammar.is_composite(of);
        if self.left == 0 || (composite && depth == 0) {
            return None;
        }
        // What is deleted is gone for all the cases that come after.
        if field.name.starts_with("delete") && !self.one_in(10) {
            return None;
        }
        self.left -= 1;
        let mut text = String::new();
        if self.one_in(8) {
            let _ = write!(text, "a{}: ", self.left);
        }
        text.push_str(&field.name);
        let arguments = self.arguments(field, hint);
        if !arguments.is_empty() {
            let _ = write!(text, "({})", arguments.join(", "));
        }
        if self.one_in(12) {
            let (word, value) = (["include", "skip"], self.chance.bool());
            let word = word[usize::from(self.chance.bool())];
            let _ = write!(text, " @{word}(if: {value})");
        }
        if composite {
            let inner = self.selection(of, &field.name, depth.saturating_sub(1));
            let _ = write!(text, " {inner}");
        }
        Some(text)
    }

    fn arguments(&mut self, field: &FieldDefinition, hint: &str) -> Vec<String> {
        let mut written = Vec::new();
        for argument in &field.arguments {
            if !argument.ty.is_non_null() && !self.one_in(3) {
                continue;
            }
            // An id is one of what the field is about.
            let about = match argument.name.as_str() {
                "id" | "input" => field.name.as_str(),
                "after" | "before" => hint,
                own => own,
            };
            written.push(self.argument(argument, about));
        }
        written
    }

    fn argument(&mut self, argument: &InputValueDefinition, about: &str) -> String {
        let source = self.source;
        let value = source.value(&argument.ty, about, self.chance);
        let name = &argument.name;
        if self.chance.bool() {
            return format!("{name}: {}", source.literal(&argument.ty, &value));
        }
        let variable = format!("v{}", self.declared.len());
        self.declared.push(format!("${variable}: {}", argument.ty));
        self.variables.insert(variable.clone(), value);
        format!("{name}: ${variable}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::grammar::Grammar;
    use super::super::things::Things;
    use super::*;

    #[test]
    fn one_seed_makes_one_document_and_most_documents_can_be_parsed() {
        let (grammar, things) = (Grammar::read().expect("a schema"), Things::default());
        let source = Source {
            grammar: &grammar,
            things: &things,
        };
        let made = |seed| operation(source, &mut Rng::with_seed(seed), false);
        assert_eq!(made(7), made(7));
        let parsed = (0..200).filter(|seed| {
            apollo_compiler::ast::Document::parse(made(*seed).query, "case").is_ok()
        });
        assert!(parsed.count() > 150);
    }
}
