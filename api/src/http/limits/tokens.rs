//! A document's tokens, as the library's parser tells them apart, read without parsing and without taking memory.
//!
//! What this reads as one token the parser reads as one: else many could hide as one. Where the parser is more generous than the
//! specification, so is this: it takes `[00]` for two numbers and `[nullnull]` for two values.

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// A name or keyword.
    Name(&'a str),
    /// A number or string.
    Value,
    /// A block string without an end. The parser would take its first two quotes for an empty string; the specification does not.
    Endless,
    /// `...`
    Spread,
    /// Any other character.
    Mark(u8),
}

/// What follows `...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterSpread<'a> {
    /// `on` and a type.
    Condition,
    /// A fragment's name.
    Fragment(&'a str),
    /// Neither.
    Nothing,
}

/// The tokens of a document, one after the other.
#[derive(Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    /// From the beginning.
    pub const fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads what follows `...`.
    pub fn after_spread(&mut self) -> AfterSpread<'a> {
        self.skip(true);
        match self.name() {
            None => AfterSpread::Nothing,
            Some("on") => {
                let behind = self.at;
                self.skip(false); // a comment there makes it a fragment's name
                if self.at > behind && self.name().is_some() {
                    return AfterSpread::Condition;
                }
                self.at = behind;
                AfterSpread::Fragment("on")
            }
            Some(name) => AfterSpread::Fragment(name),
        }
    }

    /// Reads `:` if it comes next.
    pub fn take_colon(&mut self) -> bool {
        self.skip(true);
        let is_colon = self.peek() == Some(b':');
        self.at += usize::from(is_colon);
        is_colon
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes over what has no meaning.
    fn skip(&mut self, comments: bool) {
        let text = self.text.as_bytes();
        loop {
            match self.peek() {
                Some(b' ' | b',' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(0xEF) if text[self.at..].starts_with(b"\xEF\xBB\xBF") => self.at += 3,
                Some(b'#') if comments => {
                    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
                    let rest = text[self.at..].iter().position(is_end);
                    self.at = rest.map_or(text.len(), |length| self.at + length);
                }
                _ => return,
            }
        }
    }

    fn name(&mut self) -> Option<&'a str> {
        let text = self.text.as_bytes();
        let begin = self.at;
        if !text.get(begin).is_some_and(|byte| is_of_name(*byte)) || text[begin].is_ascii_digit() {
            return None;
        }
        let length = text[begin..].iter().position(|byte| !is_of_name(*byte));
        self.at = length.map_or(text.len(), |length| begin + length);
        self.text.get(begin..self.at)
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn number(&mut self) {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits();
        }
        let text = self.text.as_bytes();
        let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
        if self.peek() == Some(b'.') && is_digit(self.at + 1) {
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            let is_signed = matches!(text.get(self.at + 1), Some(b'+' | b'-'));
            let first = self.at + 1 + usize::from(is_signed);
            if is_digit(first) {
                self.at = first;
                self.digits();
            }
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip(true);
        let text = self.text.as_bytes();
        let first = self.peek()?;
        Some(match first {
            b'"' => {
                let end = end_of_string(text, self.at);
                self.at = end.unwrap_or(text.len());
                end.map_or(Token::Endless, |_| Token::Value)
            }
            b'0'..=b'9' | b'-' => {
                self.number();
                Token::Value
            }
            b'.' if text[self.at..].starts_with(b"...") => {
                self.at += 3;
                Token::Spread
            }
            _ => {
                if let Some(name) = self.name() {
                    Token::Name(name)
                } else {
                    self.at += 1;
                    Token::Mark(first)
                }
            }
        })
    }
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Just after the string that begins at `at`, or after what there is of it on its line; `None` if it is a block string without an end.
fn end_of_string(text: &[u8], at: usize) -> Option<usize> {
    const BLOCK: &[u8] = b"\"\"\"";
    if text[at..].starts_with(BLOCK) {
        let mut end = at + BLOCK.len();
        while end < text.len() {
            if text[end..].starts_with(BLOCK) {
                return Some(end + BLOCK.len());
            }
            let escaped = text[end..].starts_with(b"\\\"\"\"");
            end += if escaped { 1 + BLOCK.len() } else { 1 };
        }
        return None;
    }
    let mut end = at + 1;
    while let Some(byte) = text.get(end) {
        match byte {
            b'"' => return Some(end + 1),
            b'\n' | b'\r' => break, // no string: the parser stops here
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    Some(end.min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let words = Tokens::of(text).map(|token| match token {
            Token::Name(name) => name.to_owned(),
            Token::Value => "#".to_owned(),
            Token::Endless => "endless".to_owned(),
            Token::Spread => "...".to_owned(),
            Token::Mark(mark) => char::from(mark).to_string(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_document_is_read_token_by_token() {
        for (text, expected) in [
            ("", ""),
            ("\u{feff}{ a,b\t}", "{ a b }"),
            (
                "query A($b: [ID!]! = [\"c\"]) @d { e }",
                "query A ( $ b : [ ID ! ] ! = [ # ] ) @ d { e }",
            ),
            ("{a(b:-1.5e+3,c:0)}", "{ a ( b : # c : # ) }"),
            ("[00-1-1 1.5 1e5]", "[ # # # # # # ]"),
            ("{...A ... on B{c}}", "{ ... A ... on B { c } }"),
            ("{a#b\n#c\rd}", "{ a d }"),
            ("\"\"\"a \\\"\"\" \" # \"\"\" b", "# b"),
            ("\"a \\\" # b\" c", "# c"),
            ("a \"\"\"b\" {", "a endless"),
            ("\"\"\"\\\"\"\"", "endless"),
            ("\"\" \"\"a\"\\", "# # a #"),
            ("1.. é", "# . . \u{c3} \u{a9}"),
        ] {
            assert_eq!(words(text).trim(), expected.trim(), "{text}");
        }
    }

    #[test]
    fn a_type_condition_is_told_from_a_fragment_of_that_name() {
        for (text, expected) in [
            (" on A", AfterSpread::Condition),
            ("#\non,\nA", AfterSpread::Condition),
            ("on {", AfterSpread::Fragment("on")),
            ("on#\nA", AfterSpread::Fragment("on")),
            ("onA", AfterSpread::Fragment("onA")),
            ("{", AfterSpread::Nothing),
            ("@a", AfterSpread::Nothing),
        ] {
            assert_eq!(Tokens::of(text).after_spread(), expected, "{text}");
        }
    }
}
