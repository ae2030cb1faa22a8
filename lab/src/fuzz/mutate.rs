//! Spoils what was well.

use fastrand::Rng;

/// What is put in somewhere.
const PIECES: [&str; 22] = [
    "{", "}", "(", ")", "[", "]", "\"", "\"\"\"", "...", "$", "@", "!", ":", "\\", "\\ud800",
    "null", "NaN", "-", "1e999", "#", "\u{0}", "on",
];

/// The same with a few mistakes in it.
pub fn spoil(bytes: &[u8], chance: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..chance.usize(1..4) {
        let (from, to) = range(bytes.len(), chance);
        match chance.u8(0..6) {
            0 => drop(bytes.drain(from..to)),
            1 => {
                let copy = bytes[from..to].to_vec();
                bytes.splice(from..from, copy);
            }
            2 => bytes.truncate(from),
            3 => {
                let piece = chance.choice(PIECES).unwrap_or_default();
                bytes.splice(from..from, piece.bytes());
            }
            4 if from < bytes.len() => bytes[from] = chance.u8(..),
            _ => bytes[from..to].reverse(),
        }
    }
    bytes
}

/// The same for text, which stays text.
pub fn spoil_text(text: &str, chance: &mut Rng) -> String {
    String::from_utf8_lossy(&spoil(text.as_bytes(), chance)).into_owned()
}

/// Somewhere, and not too much of it.
fn range(length: usize, chance: &mut Rng) -> (usize, usize) {
    let from = chance.usize(..=length);
    let to = (from + chance.usize(..40)).min(length);
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_spoiled_is_spoiled_the_same_way_by_the_same_seed() {
        for seed in 0..2_000 {
            let made = |text: &str| spoil_text(text, &mut Rng::with_seed(seed));
            for text in ["", "{ order(id: \"é\") { id } }"] {
                assert_eq!(made(text), made(text));
            }
        }
    }
}
