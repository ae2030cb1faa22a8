//! Why a socket ends: the code and the words that its client reads, and the word that is counted.

use axum::extract::ws::CloseFrame;

use crate::identity::Denied;

/// What a close frame may hold besides its code.
const REASON_BYTES: usize = 123;

/// Why a socket ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The client said goodbye.
    Left,
    /// The connection broke.
    Lost,
    /// The client ended the protocol and leaves the closing to us.
    Terminated,
    /// A message that the protocol does not know; with what is wrong with it.
    Malformed(String),
    /// A frame that is against RFC 6455.
    Broken(String),
    /// Text that is not UTF-8.
    NotText,
    /// A message of more bytes than this.
    TooBig(usize),
    /// More messages a second than this.
    Flood(u32),
    /// An operation before the handshake.
    NotInitialised,
    /// No handshake in time.
    InitTimeout,
    /// A second handshake.
    InitTwice,
    /// An operation under the name of another.
    Duplicate(String),
    /// No protocol that is spoken here.
    NoProtocol,
    /// The client did not read what it was sent.
    Slow,
    /// The client did not answer pings.
    Silent,
    /// The client has said who it is, and there is no place for one more user; or it has not, and others who have not want its place.
    Crowded,
    /// Nobody is known to be at the other end, or not any more.
    Denied(Denied),
    /// The program stops, and it is this socket's turn.
    Stopping,
}

impl Ending {
    /// What the client is told, if there is anyone to tell. Codes from 4400 are those of `graphql-transport-ws`, lower ones those of RFC
    /// 6455 and its registry; clients try again after 1001, 1013 and 3008.
    pub fn frame(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Left | Self::Lost => return None,
            Self::Terminated => (1000, "goodbye".to_owned()),
            Self::Stopping => (
                1001,
                "the server is going away: come back, and go on after your last cursor".to_owned(),
            ),
            Self::Broken(problem) => (1002, problem.clone()),
            Self::NotText => (1007, "text must be UTF-8".to_owned()),
            Self::Flood(rate) => (1008, format!("more than {rate} messages a second")),
            Self::TooBig(most) => (1009, format!("a message may have {most} bytes")),
            Self::Slow => (1013, "too slow: what was sent was not read".to_owned()),
            Self::Crowded => (
                1013,
                "there are too many sockets; try again later".to_owned(),
            ),
            Self::Silent => (3008, "no sign of life".to_owned()),
            Self::Malformed(problem) => (4400, format!("Invalid message: {problem}")),
            Self::NotInitialised => (4401, "Unauthorized".to_owned()),
            // Clients try again after it, with a fresh token.
            Self::Denied(denied) => (4403, format!("Forbidden: {denied}")),
            Self::NoProtocol => (4406, "Subprotocol not acceptable".to_owned()),
            Self::InitTimeout => (4408, "Connection initialisation timeout".to_owned()),
            Self::Duplicate(id) => (4409, format!("Subscriber for {id} already exists")),
            Self::InitTwice => (4429, "Too many initialisation requests".to_owned()),
        };
        let end = reason.floor_char_boundary(REASON_BYTES);
        Some(CloseFrame {
            code,
            reason: reason[..end].into(),
        })
    }

    /// The word that is counted.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Lost => "lost",
            Self::Terminated => "terminated",
            Self::Malformed(_) => "malformed",
            Self::Broken(_) => "broken_frame",
            Self::NotText => "not_utf8",
            Self::TooBig(_) => "too_big",
            Self::Flood(_) => "flood",
            Self::NotInitialised => "not_initialised",
            Self::InitTimeout => "init_timeout",
            Self::InitTwice => "init_twice",
            Self::Duplicate(_) => "duplicate_id",
            Self::NoProtocol => "no_protocol",
            Self::Slow => "slow",
            Self::Crowded => "crowded",
            Self::Silent => "silent",
            Self::Denied(Denied::Expired) => "expired",
            Self::Denied(_) => "denied",
            Self::Stopping => "stopping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_into_a_close_frame_whatever_is_in_it() {
        for length in 0..REASON_BYTES {
            let ending = Ending::Duplicate("x".repeat(length) + &"é".repeat(200));
            let frame = ending.frame().expect("a frame");
            assert!(frame.reason.len() <= REASON_BYTES);
            assert!(frame.reason.len() > REASON_BYTES - 4);
        }
    }
}
