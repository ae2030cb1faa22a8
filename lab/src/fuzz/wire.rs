//! A connection, and what comes over it, read byte by byte so that nothing that is wrong with it is smoothed over.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// How long connecting or sending may take.
const SENDING: Duration = Duration::from_secs(5);
/// Bytes that are kept of what comes, at most.
const MOST: usize = 8 * 1024 * 1024;
const PIECE: usize = 16 * 1024;
/// Between two pieces of a request.
const PAUSE: Duration = Duration::from_millis(2);

/// An open connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head.
    pub head: String,
    /// Its body, as much as came.
    pub body: Vec<u8>,
    /// Whether all of it came.
    pub whole: bool,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// An answer, or a part of one with its head.
    Answer(Answer),
    /// The connection was closed without one.
    Closed,
    /// Nothing, in time.
    Nothing,
    /// No HTTP.
    Garbage(String),
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.split("\r\n").skip(1);
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        let found = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// Whether another request may follow.
    pub fn keeps(&self) -> bool {
        let closes = self.header("connection");
        self.whole
            && self.status != 101
            && !closes.is_some_and(|it| it.eq_ignore_ascii_case("close"))
    }
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// If the server does not take the connection.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = timeout(SENDING, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    /// Sends pieces; whether the server took all of them.
    pub async fn send(&mut self, pieces: &[impl AsRef<[u8]>]) -> bool {
        for (number, piece) in pieces.iter().enumerate() {
            if number > 0 && pieces.len() < 5 {
                tokio::time::sleep(PAUSE).await;
            }
            let sent = timeout(SENDING, self.stream.write_all(piece.as_ref())).await;
            if !matches!(sent, Ok(Ok(()))) {
                return false;
            }
        }
        true
    }

    /// Reads more, until a moment. `None` if it was closed, `Some(false)` if nothing came in time.
    pub async fn more(&mut self, until: Instant) -> Option<bool> {
        if self.unread.len() > MOST {
            return None;
        }
        self.unread.reserve(PIECE);
        match timeout_at(until, self.stream.read_buf(&mut self.unread)).await {
            Ok(Ok(read)) if read > 0 => Some(true),
            Ok(_) => None,
            Err(_) => Some(false),
        }
    }

    /// What came and was not read.
    pub const fn unread(&mut self) -> &mut Vec<u8> {
        &mut self.unread
    }

    /// The next answer, within a bound. That to HEAD has no body.
    pub async fn answer(&mut self, bound: Duration, is_head: bool) -> Came {
        let until = Instant::now() + bound;
        loop {
            let (head, rest) = match self.head(until).await {
                Ok(found) => found,
                Err(came) => return came,
            };
            let Some(status) = status(&head) else {
                return Came::Garbage(head);
            };
            self.unread.drain(..rest);
            if (100..200).contains(&status) && status != 101 {
                continue; // go on, it says
            }
            let mut answer = Answer {
                status,
                head,
                body: Vec::new(),
                whole: false,
            };
            if is_head || matches!(status, 101 | 204 | 304) {
                answer.whole = true;
            } else {
                self.body(&mut answer, until).await;
            }
            return Came::Answer(answer);
        }
    }

    async fn head(&mut self, until: Instant) -> Result<(String, usize), Came> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            if let Some(end) = self.unread.windows(END.len()).position(|it| it == END) {
                let head = String::from_utf8_lossy(&self.unread[..end]).into_owned();
                return Ok((head, end + END.len()));
            }
            let nothing = self.unread.is_empty();
            match self.more(until).await {
                Some(true) => {}
                Some(false) if nothing => return Err(Came::Nothing),
                None if nothing => return Err(Came::Closed),
                _ => {
                    let part = String::from_utf8_lossy(&self.unread).into_owned();
                    return Err(Came::Garbage(part));
                }
            }
        }
    }

    async fn body(&mut self, answer: &mut Answer, until: Instant) {
        let chunked = answer.header("transfer-encoding").is_some();
        let length = answer
            .header("content-length")
            .and_then(|it| it.parse().ok());
        loop {
            if chunked {
                if let Some(used) = unchunk(&self.unread, &mut answer.body) {
                    self.unread.drain(..used);
                    answer.whole = true;
                    return;
                }
            } else if let Some(length) = length
                && self.unread.len() >= length
            {
                answer.body = self.unread.drain(..length).collect();
                answer.whole = true;
                return;
            }
            if self.more(until).await == Some(true) {
                continue;
            }
            // Without a length it ends with the connection.
            answer.whole = !chunked && length.is_none();
            if !chunked {
                answer.body = std::mem::take(&mut self.unread);
            }
            return;
        }
    }
}

/// The status of a head.
fn status(head: &str) -> Option<u16> {
    let first = head.split("\r\n").next()?;
    let status = first.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    status.parse().ok()
}

/// Puts chunks together: into the body what is there. Out: how many bytes they are if the last one is among them.
fn unchunk(mut chunks: &[u8], body: &mut Vec<u8>) -> Option<usize> {
    let all = chunks.len();
    body.clear();
    loop {
        let end = chunks.windows(2).position(|it| it == b"\r\n")?;
        let size = std::str::from_utf8(&chunks[..end]).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let chunk = chunks.get(end + 2..end + 2 + size)?;
        body.extend_from_slice(chunk);
        chunks = chunks.get(end + 2 + size + 2..)?;
        if size == 0 {
            return Some(all - chunks.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_as_far_as_they_came() {
        let mut body = Vec::new();
        let chunks = b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\nnext";
        assert_eq!(unchunk(chunks, &mut body), Some(chunks.len() - 4));
        assert_eq!(body, b"abcd");
        assert_eq!(unchunk(&chunks[..10], &mut body), None);
        assert_eq!(body, b"abc");
    }

    #[test]
    fn a_status_is_read_from_the_first_line() {
        assert_eq!(status("HTTP/1.1 404 Not Found\r\na: b"), Some(404));
        assert_eq!(status("HTTP/1.1 x"), None);
        assert_eq!(status("hello"), None);
    }
}
