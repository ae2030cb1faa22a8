//! WebSocket frames, as far as a client of well-behaved servers needs them: it reads whole frames and writes short ones.
//!
//! By hand, since the clients share the cores with the server that is measured.

use anyhow::ensure;

/// A frame of text.
pub const TEXT: u8 = 1;
/// Wants a [`PONG`] with the same payload.
pub const PING: u8 = 9;
/// The answer to a [`PING`].
pub const PONG: u8 = 10;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Instead of a length: it is in the next two bytes.
const LENGTH_IN_2: u8 = 0x7e;
/// In the next eight.
const LENGTH_IN_8: u8 = 0x7f;

/// What came from a server, cut into frames.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    taken: usize,
}

impl Frames {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
        } else {
            self.bytes.drain(..self.taken);
        }
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// What was not taken yet, frames or not.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Takes so many bytes that are no frame.
    pub fn skip(&mut self, bytes: usize) {
        self.taken = self.bytes.len().min(self.taken + bytes);
    }

    /// The next whole frame: its kind and payload.
    pub fn next(&mut self) -> anyhow::Result<Option<(u8, &[u8])>> {
        let rest = &self.bytes[self.taken..];
        let [first, second, ..] = *rest else {
            return Ok(None);
        };
        ensure!(first & FINAL != 0, "a message came in pieces");
        ensure!(second & MASKED == 0, "a server masked a frame");
        let number = |digits: Option<&[u8]>| {
            digits.map(|digits| {
                digits
                    .iter()
                    .fold(0, |n, digit| n << 8 | usize::from(*digit))
            })
        };
        let (head, length): (usize, Option<usize>) = match second {
            LENGTH_IN_2 => (4, number(rest.get(2..4))),
            LENGTH_IN_8 => (10, number(rest.get(2..10))),
            short => (2, Some(usize::from(short))),
        };
        let Some(end) = length.and_then(|length| head.checked_add(length)) else {
            return Ok(None);
        };
        let Some(payload) = rest.get(head..end) else {
            return Ok(None);
        };
        self.taken += end;
        Ok(Some((first & 0x0f, payload)))
    }
}

/// A client's frame. Its mask is zero, which is one like any other and leaves the payload as it is.
pub fn frame(kind: u8, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut frame = vec![FINAL | kind];
    if let Some(short) = u8::try_from(payload.len())
        .ok()
        .filter(|length| *length < LENGTH_IN_2)
    {
        frame.push(MASKED | short);
    } else {
        frame.push(MASKED | LENGTH_IN_2);
        frame.extend(u16::try_from(payload.len())?.to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::*;

    /// What a server of another make sends.
    fn sent(messages: &[&str]) -> Vec<u8> {
        let wire = std::io::Cursor::new(Vec::new());
        let mut server = WebSocket::from_raw_socket(wire, Role::Server, None);
        for text in messages {
            server.send(Message::text(*text)).expect("sent");
        }
        server.into_inner().into_inner()
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let long = "x".repeat(300);
        let longer = "y".repeat(70_000);
        let messages = ["short", &long, "", &longer];
        let bytes = sent(&messages);
        for step in [1, 3, 1_000, bytes.len()] {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for piece in bytes.chunks(step) {
                frames.push(piece);
                while let Some((kind, payload)) = frames.next().expect("frames") {
                    assert_eq!(kind, TEXT);
                    found.push(String::from_utf8(payload.to_vec()).expect("text"));
                }
            }
            assert_eq!(found, messages);
        }
    }

    #[test]
    fn a_server_of_another_make_reads_what_is_written() {
        for length in [0, 125, 126, 4_000] {
            let text = "z".repeat(length);
            let wire = std::io::Cursor::new(frame(TEXT, text.as_bytes()).expect("a frame"));
            let mut server = WebSocket::from_raw_socket(wire, Role::Server, None);
            assert_eq!(server.read().expect("a message"), Message::text(text));
        }
    }
}
