//! How deep a document's brackets nest, looked at before it is parsed: the library's parser calls itself for every value
//! within a value, without a bound, and a stack that overflows ends the process.

/// Brackets and braces within each other, at most. No selection that the schema's limits allow comes near.
pub const MOST: usize = 64;

/// Whether the document nests deeper than [`MOST`]. Strings and comments do not count.
pub fn is_too_deep(document: &str) -> bool {
    let text = document.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        at = match byte {
            b'#' => end_of_comment(text, at),
            b'"' => end_of_string(text, at),
            _ => at + 1,
        };
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MOST {
            return true;
        }
    }
    false
}

fn end_of_comment(text: &[u8], at: usize) -> usize {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    text[at..]
        .iter()
        .position(is_end)
        .map_or(text.len(), |length| at + length)
}

/// Just after the string that begins at `at`, as the parser reads it: what begins like a block string and does not end is
/// an empty string with something after it.
fn end_of_string(text: &[u8], at: usize) -> usize {
    const BLOCK: &[u8] = b"\"\"\"";
    if text[at..].starts_with(BLOCK) {
        let mut end = at + BLOCK.len();
        while end < text.len() {
            if text[end..].starts_with(BLOCK) {
                return end + BLOCK.len();
            }
            let escaped = text[end..].starts_with(b"\\\"\"\"");
            end += if escaped { 1 + BLOCK.len() } else { 1 };
        }
        return at + 2;
    }
    let mut end = at + 1;
    while let Some(byte) = text.get(end) {
        match byte {
            b'"' => return end + 1,
            b'\n' | b'\r' => return end, // no string: the parser stops here
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn list(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn brackets_and_braces_count_wherever_they_are_code() {
        for (document, is_deep) in [
            (String::new(), false),
            ("{a}".to_owned(), false),
            (format!("{{a(b:{})}}", list(MOST - 1)), false),
            (format!("{{a(b:{})}}", list(MOST)), true),
            ("{a:[".repeat(MOST), true),
            (list(MOST).repeat(100), false),
            ("]".repeat(100) + &list(MOST + 1), true),
            ("[".repeat(1_000_000), true),
        ] {
            assert_eq!(is_too_deep(&document), is_deep, "{document:.80}");
        }
    }

    #[test]
    fn strings_and_comments_do_not_count() {
        let deep = list(500);
        for document in [
            format!("{{a(b:\"{deep}\")}}"),
            format!("{{a(b:\"\\\"{deep}\")}}"),
            format!("{{a(b:\"\"\"\n{deep} \\\"\"\" \" {deep}\"\"\")}}"),
            format!("# {deep}\n{{a # {deep}\r}}"),
        ] {
            assert!(parse_query(&document).is_ok(), "{document:.80}");
            assert!(!is_too_deep(&document), "{document:.80}");
        }
    }

    #[test]
    fn what_only_looks_like_a_string_or_a_comment_hides_nothing() {
        let deep = list(500);
        for document in [
            format!("{{a(b:[\"\"\"c\" {deep}])}}"),
            format!("{{a(b:[\"\" {deep}])}}"),
            format!("{{a(b:[\"#\" {deep}])}}"),
            format!("{{a(b:[\"\\\\\" {deep}])}}"),
            format!("{{a(b:[\"\"\"\\\\\"\"\" {deep}])}}"),
            format!("{{a(b:[\"\"\"#\"\"\" {deep}])}}"),
            format!("# \"\n{{a(b:{deep})}}"),
            format!("#\r{{a(b:{deep})}}"),
            format!("\"\n{deep}"),
        ] {
            assert!(is_too_deep(&document), "{document:.80}");
        }
    }
}
