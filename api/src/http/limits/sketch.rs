//! What a document is made of, counted token by token before it is parsed: parsing takes a hundred times as long.
//!
//! Counts what the parser would accept as the parser reads it. What it would not accept may be counted wrong, and is refused by it.
//! Nothing is counted beyond its limit, so a document takes no longer than its first thousand tokens.

use async_graphql::parser::types::OperationType;

use super::excess::Excess;
use super::tokens::{AfterSpread, Token, Tokens};
use crate::graphql::Limits;

/// An operation or fragment.
#[derive(Debug)]
pub struct Definition<'a> {
    /// Its kind, unless it is a fragment.
    pub operation: Option<OperationType>,
    /// Its name, if it has one.
    pub name: Option<&'a str>,
    /// Fields and fragments in all of it.
    pub selections: usize,
    /// Fields of its outermost selection.
    pub roots: usize,
    /// Fields within fields.
    pub depth: usize,
    /// Selection sets within selection sets.
    pub level: usize,
    /// The fragments that it spreads.
    pub spreads: Vec<Spread<'a>>,
}

/// A fragment that is spread somewhere.
#[derive(Debug)]
pub struct Spread<'a> {
    /// Its name.
    pub name: &'a str,
    /// Fields around it.
    pub depth: usize,
    /// Selection sets around it, but for one.
    pub level: usize,
    /// Whether it stands in the outermost selection.
    pub is_root: bool,
}

/// A selection set that is open.
struct Open {
    selections: usize,
    depth: usize,
    is_root: bool,
}

/// What a selection set may belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Field,
    Other,
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    tokens_read: usize,
    nesting: usize,
    parentheses: usize,
    aliases: usize,
    directives: usize,
    is_directive: bool,
    is_aliased: bool,
    last: Last,
    open: Vec<Open>,
    current: Option<Definition<'a>>,
    done: Vec<Definition<'a>>,
}

/// Reads a document.
///
/// # Errors
/// The first limit that it goes beyond.
pub fn read(document: &str) -> Result<Vec<Definition<'_>>, Excess> {
    if document.len() > Limits::DOCUMENT_BYTES {
        return Err(Excess::Bytes);
    }
    let mut reader = Reader::of(document);
    reader.read()?;
    Ok(reader.done)
}

/// Aliases and directives of a document.
#[cfg(test)]
pub fn totals(document: &str) -> (usize, usize) {
    let mut reader = Reader::of(document);
    reader.read().expect("within the limits");
    (reader.aliases, reader.directives)
}

impl<'a> Reader<'a> {
    const fn of(document: &'a str) -> Self {
        Self {
            tokens: Tokens::of(document),
            tokens_read: 0,
            nesting: 0,
            parentheses: 0,
            aliases: 0,
            directives: 0,
            is_directive: false,
            is_aliased: false,
            last: Last::Other,
            open: Vec::new(),
            current: None,
            done: Vec::new(),
        }
    }

    fn read(&mut self) -> Result<(), Excess> {
        while let Some(token) = self.tokens.next() {
            self.take(token)?;
        }
        Ok(())
    }

    fn take(&mut self, token: Token<'a>) -> Result<(), Excess> {
        self.count(1)?;
        match token {
            Token::Mark(mark) => self.mark(mark),
            Token::Name(_) if std::mem::take(&mut self.is_directive) => Ok(()),
            Token::Name(name) if self.parentheses > 0 => self.count(hidden_values(name)),
            Token::Name(name) if self.open.is_empty() => {
                self.header(name);
                Ok(())
            }
            Token::Name(name) => self.field(name),
            Token::Spread if self.parentheses == 0 => self.spread(),
            Token::Spread | Token::Value => Ok(()),
            Token::Endless => Err(Excess::Endless),
        }
    }

    fn count(&mut self, tokens: usize) -> Result<(), Excess> {
        self.tokens_read += tokens;
        within(self.tokens_read, Limits::TOKENS, Excess::Tokens)
    }

    fn mark(&mut self, mark: u8) -> Result<(), Excess> {
        match mark {
            b'{' | b'[' => {
                self.nesting += 1;
                within(self.nesting, Limits::NESTING, Excess::Nesting)?;
                if mark == b'{' && self.parentheses == 0 {
                    return self.open();
                }
            }
            b'}' | b']' => {
                self.nesting = self.nesting.saturating_sub(1);
                if mark == b'}' && self.parentheses == 0 {
                    self.close();
                }
            }
            b'(' => self.parentheses += 1,
            b')' => self.parentheses = self.parentheses.saturating_sub(1),
            b'@' => {
                self.is_directive = true;
                self.directives += 1;
                within(self.directives, Limits::ALL_DIRECTIVES, Excess::Directives)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A name outside of all selections. Keywords need no space behind them.
    fn header(&mut self, name: &'a str) {
        if let Some(definition) = &mut self.current {
            definition.name = definition.name.or(Some(name));
            return;
        }
        let keywords = [
            ("query", Some(OperationType::Query)),
            ("mutation", Some(OperationType::Mutation)),
            ("subscription", Some(OperationType::Subscription)),
            ("fragment", None),
        ];
        let mut keywords = keywords.into_iter();
        self.current = keywords.find_map(|(keyword, operation)| {
            let rest = name.strip_prefix(keyword)?;
            let name = (!rest.is_empty()).then_some(rest);
            Some(Definition::new(operation, name))
        });
    }

    fn open(&mut self) -> Result<(), Excess> {
        let opened = match self.open.last() {
            None => Open {
                selections: 0,
                depth: 0,
                is_root: true,
            },
            Some(around) => Open {
                selections: 0,
                depth: around.depth + usize::from(self.last == Last::Field),
                is_root: around.is_root && self.last == Last::Other,
            },
        };
        let level = self.open.len();
        within(level, Limits::RECURSION, Excess::Level)?;
        if self.current.is_none() {
            self.current = Some(Definition::new(Some(OperationType::Query), None));
        }
        if let Some(definition) = &mut self.current {
            definition.level = definition.level.max(level);
        }
        if self.open.is_empty() {
            within(
                self.done.len() + 1,
                Limits::DEFINITIONS,
                Excess::Definitions,
            )?;
        }
        self.open.push(opened);
        Ok(())
    }

    fn close(&mut self) {
        self.open.pop();
        if self.open.is_empty() {
            self.done.extend(self.current.take());
        }
    }

    /// A name in a selection: an alias, or the field itself.
    fn field(&mut self, name: &'a str) -> Result<(), Excess> {
        if !std::mem::take(&mut self.is_aliased) {
            self.select()?;
            if self.tokens.take_colon() {
                self.is_aliased = true;
                self.aliases += 1;
                self.count(1)?;
                return within(self.aliases, Limits::ALIASES, Excess::Aliases);
            }
        }
        self.last = Last::Field;
        if let (Some(definition), Some(open)) = (&mut self.current, self.open.last()) {
            definition.roots += usize::from(open.is_root);
            if name != "__typename" {
                definition.depth = definition.depth.max(open.depth + 1);
                return within(definition.depth, Limits::DEPTH, Excess::Depth);
            }
        }
        Ok(())
    }

    fn spread(&mut self) -> Result<(), Excess> {
        let after = self.tokens.after_spread();
        self.last = Last::Other;
        match after {
            AfterSpread::Nothing => {}
            AfterSpread::Condition => self.count(2)?,
            AfterSpread::Fragment(name) => {
                self.count(1)?;
                let level = self.open.len().saturating_sub(1);
                if let (Some(definition), Some(open)) = (&mut self.current, self.open.last()) {
                    definition.spreads.push(Spread {
                        name,
                        depth: open.depth,
                        level,
                        is_root: open.is_root,
                    });
                }
            }
        }
        self.select()
    }

    /// Counts a field or fragment in its selection.
    fn select(&mut self) -> Result<(), Excess> {
        if let Some(definition) = &mut self.current {
            definition.selections += 1;
        }
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        open.selections += 1;
        within(open.selections, Limits::FIELDS, Excess::Fields)
    }
}

impl<'a> Definition<'a> {
    const fn new(operation: Option<OperationType>, name: Option<&'a str>) -> Self {
        Self {
            operation,
            name,
            selections: 0,
            roots: 0,
            depth: 0,
            level: 0,
            spreads: Vec::new(),
        }
    }
}

/// The parser takes `nulltrue` for two values.
fn hidden_values(mut name: &str) -> usize {
    let mut hidden = 0;
    while let Some(rest) = ["true", "false", "null"]
        .iter()
        .find_map(|word| name.strip_prefix(word))
    {
        name = rest;
        hidden += usize::from(!rest.is_empty());
    }
    hidden
}

fn within(count: usize, most: usize, excess: Excess) -> Result<(), Excess> {
    if count > most { Err(excess) } else { Ok(()) }
}
