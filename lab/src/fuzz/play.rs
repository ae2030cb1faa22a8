//! Plays a case, and listens to what comes of it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::case::{Case, Play, request};
use super::frames::{Script, goodbye};
use super::judge::Verdict;
use super::wire::{Came, Wire};

/// How long an answer may take: longer than the API lets a request.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a connection has rested that the API may have closed: it keeps one for 75 s.
const RESTED: Duration = Duration::from_mins(1);
/// How long something is waited for that may never come.
const MAYBE: Duration = Duration::from_secs(2);
/// How long a stream or socket is listened to that says nothing more.
const LISTENING: Duration = Duration::from_millis(150);
/// Bytes of a frame from the server, at most.
const FRAME: u64 = 8 * 1024 * 1024;

/// Plays cases, one after the other.
#[derive(Debug)]
pub struct Player {
    address: SocketAddr,
    /// A connection for the next request, and when it was last used.
    kept: Option<(Wire, Instant)>,
}

impl Player {
    /// Who plays against an API.
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            kept: None,
        }
    }

    /// Plays a case.
    pub async fn play(&mut self, case: &Case, bearer: Option<&str>) -> Verdict {
        let mut verdict = Verdict::default();
        let played = match &case.play {
            Play::Asked(request) => self.ask(request, &mut verdict).await,
            Play::Listened(request) => self.listen(request, &mut verdict).await,
            Play::Perhaps(pieces) => self.perhaps(pieces, &mut verdict).await,
            Play::Stream(requests) => self.stream(requests, bearer, &mut verdict).await,
            Play::Socket(script) => self.socket(script, &mut verdict).await,
        };
        if let Err(error) = played {
            verdict.find(format!("no connection: {error:#}"));
        }
        verdict
    }

    async fn ask(&mut self, request: &[u8], verdict: &mut Verdict) -> anyhow::Result<()> {
        let kept = self.kept.take();
        let (mut wire, rested) = match kept {
            Some((wire, used)) => (wire, used.elapsed()),
            None => (Wire::open(self.address).await?, Duration::ZERO),
        };
        wire.send(&[request]).await;
        let mut came = wire.answer(PATIENCE, false).await;
        if rested > RESTED && came == Came::Closed {
            // It had been idle for too long, perhaps.
            wire = Wire::open(self.address).await?;
            wire.send(&[request]).await;
            came = wire.answer(PATIENCE, false).await;
        }
        verdict.http(&came, true);
        if matches!(&came, Came::Answer(answer) if answer.keeps()) {
            self.kept = Some((wire, Instant::now()));
        }
        Ok(())
    }

    async fn listen(&self, request: &[u8], verdict: &mut Verdict) -> anyhow::Result<()> {
        let mut wire = Wire::open(self.address).await?;
        wire.send(&[request]).await;
        let came = wire.answer(LISTENING, false).await;
        let came = match came {
            // A stream says at once that it was heard; anything else takes its time.
            Came::Nothing => wire.answer(PATIENCE, false).await,
            came => came,
        };
        let due = match &came {
            Came::Answer(answer) => answer.whole,
            _ => true,
        };
        verdict.http(&came, due);
        Ok(())
    }

    async fn perhaps(&self, pieces: &[Vec<u8>], verdict: &mut Verdict) -> anyhow::Result<()> {
        let mut wire = Wire::open(self.address).await?;
        wire.send(pieces).await;
        let is_head = pieces.concat().starts_with(b"HEAD ");
        let came = wire.answer(MAYBE, is_head).await;
        verdict.http(&came, false);
        Ok(())
    }

    /// Reserves a stream and sends requests to it; each over a connection of its own, since one of them is taken by the stream.
    async fn stream(
        &self,
        requests: &[String],
        bearer: Option<&str>,
        verdict: &mut Verdict,
    ) -> anyhow::Result<()> {
        let mut wire = Wire::open(self.address).await?;
        let reserve = request("PUT", "/graphql/stream", bearer, "", b"");
        wire.send(&[reserve]).await;
        let came = wire.answer(PATIENCE, false).await;
        verdict.http(&came, true);
        let token = match &came {
            Came::Answer(answer) if answer.status == 201 => {
                String::from_utf8_lossy(&answer.body).into_owned()
            }
            _ => "none".to_owned(),
        };
        let mut open = Vec::new();
        for request in requests {
            let request = request.replace("TOKEN", &token);
            let mut wire = Wire::open(self.address).await?;
            wire.send(&[&request]).await;
            let came = wire.answer(LISTENING, false).await;
            verdict.http(&came, false);
            open.push(wire);
        }
        Ok(())
    }

    async fn socket(&self, script: &Script, verdict: &mut Verdict) -> anyhow::Result<()> {
        let mut wire = Wire::open(self.address).await?;
        wire.send(&[&script.head]).await;
        let came = wire.answer(PATIENCE, false).await;
        verdict.http(&came, false);
        if !matches!(&came, Came::Answer(answer) if answer.status == 101) {
            return Ok(());
        }
        // Many at once are sent in one piece, as a flood comes.
        if script.frames.len() > 50 {
            wire.send(&[script.frames.concat()]).await;
        } else {
            wire.send(&script.frames).await;
        }
        if !hear(&mut wire, LISTENING, verdict).await {
            wire.send(&[goodbye()]).await;
            hear(&mut wire, MAYBE, verdict).await;
        }
        Ok(())
    }
}

/// Listens to a socket until it says nothing for a while; whether it is closed.
async fn hear(wire: &mut Wire, quiet: Duration, verdict: &mut Verdict) -> bool {
    let end = Instant::now() + PATIENCE;
    loop {
        match frame(wire.unread()) {
            Ok(Some((opcode, payload))) => match opcode {
                1 => verdict.said(&payload),
                8 => {
                    verdict.closed(&payload);
                    return true;
                }
                9 | 10 => {}
                other => verdict.find(format!("a frame with opcode {other}")),
            },
            Ok(None) => match wire.more((Instant::now() + quiet).min(end)).await {
                Some(true) => {}
                Some(false) => return false,
                None => return true,
            },
            Err(problem) => {
                verdict.find(problem);
                return true;
            }
        }
    }
}

/// Takes a frame of the server's; `None` if it has not come whole.
fn frame(bytes: &mut Vec<u8>) -> Result<Option<(u8, Vec<u8>)>, String> {
    let [first, second, ..] = bytes[..] else {
        return Ok(None);
    };
    if first & 0xf0 != 0x80 || second & 0x80 != 0 {
        return Err(format!("a frame that begins with {first:02x} {second:02x}"));
    }
    let (size, length) = match second {
        126 => (
            4,
            bytes
                .get(2..4)
                .map(|it| u64::from(u16::from_be_bytes([it[0], it[1]]))),
        ),
        127 => {
            let eight = bytes.get(2..10).and_then(|it| it.try_into().ok());
            (10, eight.map(u64::from_be_bytes))
        }
        short => (2, Some(u64::from(short))),
    };
    let Some(length) = length else {
        return Ok(None);
    };
    if length > FRAME {
        return Err(format!("a frame of {length} bytes"));
    }
    let end = size + usize::try_from(length).unwrap_or(usize::MAX);
    if bytes.len() < end {
        return Ok(None);
    }
    let payload = bytes[size..end].to_vec();
    bytes.drain(..end);
    Ok(Some((first & 0x0f, payload)))
}

#[cfg(test)]
mod tests {
    use super::frame;

    #[test]
    fn frames_are_taken_one_by_one() {
        let mut bytes = b"\x81\x02{}\x88\x02\x03\xe8\x81\x7e\x00".to_vec();
        assert_eq!(frame(&mut bytes), Ok(Some((1, b"{}".to_vec()))));
        assert_eq!(frame(&mut bytes), Ok(Some((8, b"\x03\xe8".to_vec()))));
        assert_eq!(frame(&mut bytes), Ok(None));
        assert!(frame(&mut b"\xc1\x00".to_vec()).is_err());
        assert!(frame(&mut b"\x81\x80".to_vec()).is_err());
    }
}
