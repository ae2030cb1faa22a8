//! How many values a text in JSON holds, and how deep within each other, looked at before they take memory.

use super::excess::Excess;
use crate::graphql::Limits;

/// Objects around the variables of a body.
pub const BODY: usize = 1;
/// Objects around variables that come alone.
pub const ALONE: usize = 0;

/// Looks at a text whose variables are within so many objects. What is no JSON is found out by who reads it.
///
/// # Errors
/// The first limit that it goes beyond.
pub fn check(text: &[u8], around: usize) -> Result<(), Excess> {
    let (mut at, mut values, mut depth) = (0, 0_usize, 0_usize);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_string(text, at),
            b'[' | b'{' => {
                depth += 1;
                values += 1;
                if depth > Limits::VARIABLE_DEPTH + around {
                    return Err(Excess::ValueDepth);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => continue,
        }
        if values > Limits::VARIABLE_VALUES {
            return Err(Excess::Values);
        }
    }
    Ok(())
}

/// Just after the string that begins before `at`.
fn end_of_string(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = text[at..]
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\'))
    {
        let is_end = text[at + found] == b'"';
        at += found + 1;
        if is_end {
            return at;
        }
        at += 1; // what is escaped
        if at >= text.len() {
            break;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(variables: &str) -> Result<(), Excess> {
        check(
            format!(r#"{{"query":"{{a}} [[[[","variables":{variables}}}"#).as_bytes(),
            BODY,
        )
    }

    fn deep(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn values_are_counted_outside_of_strings() {
        let most = Limits::VARIABLE_VALUES;
        for (variables, expected) in [
            ("{}".to_owned(), Ok(())),
            (format!(r#"{{"a":"{}"}}"#, ",[{".repeat(most)), Ok(())),
            (format!(r#"{{"a":"\"{}\\"}}"#, ",[{".repeat(most)), Ok(())),
            (format!(r#"{{"a":[{}1]}}"#, "1,".repeat(most - 10)), Ok(())),
            (
                format!(r#"{{"a":[{}1]}}"#, "1,".repeat(most)),
                Err(Excess::Values),
            ),
            (
                format!(r#"{{"a":[{}1]}}"#, "[],".repeat(most / 2)),
                Err(Excess::Values),
            ),
            (
                format!(r#"{{"a":"\\",{}"b":1}}"#, r#""c":1,"#.repeat(most)),
                Err(Excess::Values),
            ),
            (deep(Limits::VARIABLE_DEPTH), Ok(())),
            (deep(Limits::VARIABLE_DEPTH + 1), Err(Excess::ValueDepth)),
            ("[".repeat(100_000), Err(Excess::ValueDepth)),
        ] {
            assert_eq!(body(&variables), expected, "{variables:.100}");
        }
        for text in ["", "\"", "\"\\", "\"\\\"", "]]]"] {
            assert_eq!(check(text.as_bytes(), ALONE), Ok(()), "{text}");
        }
    }
}
