//! Twenty thousand sockets that say nothing: half of them connections without a word, half of them sockets that never say whose
//! they are. What they cost, whether users notice, and how they end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use shop_lab::client::{Line, Token};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::goal::{Goal, Should, figure};
use crate::live::process::Process;

/// Of each kind.
const EACH: usize = 10_000;
/// Files that the API and this process need at most; a WebSocket that was sent away may still be open.
pub(super) const FILES: usize = 2 * EACH - 100;
/// How long the API lets a client be silent, for the settings and as it is.
pub(super) const PATIENCE: (&str, Duration) = ("45s", Duration::from_secs(45));
/// What the API may take longer than that.
const LATE: Duration = Duration::from_secs(10);
/// How many are opened at once.
const AT_ONCE: usize = 64;
/// How often a user asks, each time over a connection of its own.
const QUESTIONS: usize = 500;
/// How long a user waits.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the API is watched while it has the crowd.
const REST: Duration = Duration::from_secs(3);
/// Open files that may be left afterwards.
const FILES_LEFT: usize = 16;
/// The code with which a WebSocket is closed that has not begun in time.
const INIT_TIMEOUT: u16 = 4408;
/// That of one that had to leave for others.
const CROWDED: u16 = 1013;

const UPGRADE: &[u8] = b"GET /graphql HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n";

/// Lets the crowd come, and tells what it did.
///
/// # Errors
/// If it can not be measured.
pub(super) async fn endure(process: &Process, address: SocketAddr) -> anyhow::Result<Vec<Goal>> {
    let user = User::new(address)?;
    user.ask().await?; // so that everything is warm
    let before = user.ask().await?;
    let (memory, files) = (process.resident()?, process.open_files()?);

    println!("{EACH} connections without a word and {EACH} WebSockets of nobody");
    let begun = Instant::now();
    let silent = open(async || TcpStream::connect(address).await).await?;
    let strangers = open(async || Ok(tokio::spawn(last_words(upgraded(address).await?)))).await?;
    let opened = begun.elapsed();
    let memory = process.resident()?.saturating_sub(memory);
    let there = process.open_files()?.saturating_sub(files).max(1);
    let cpu = process.cpu()?;
    sleep(REST).await;
    let rests = process.cpu()?.since(&cpu).as_secs_f64() / REST.as_secs_f64();
    let meanwhile = user.ask().await?;
    let line = Line::open(&address.to_string(), &user.token, ANSWER).await;
    let is_welcome = line.is_ok();
    ensure!(
        begun.elapsed() < PATIENCE.1,
        "it took {:.0?} to open and measure them, and the first are sent away after {:?}",
        begun.elapsed(),
        PATIENCE.1
    );

    println!("opened within {opened:.1?}; waiting until they are sent away");
    let by = begun + opened + PATIENCE.1 + LATE;
    let closed = count(silent.into_iter().map(to_the_end), by, Vec::is_empty).await;
    let told_why = count(strangers, by, |told| {
        told.as_ref().is_ok_and(|told| closing_code(told).is_some())
    });
    let told_why = told_why.await;
    drop(line);
    let left = settled(process, files).await?;
    let after = user.ask().await?;

    let kib = figure(usize::try_from(memory / 1024)?) / figure(there);
    let ms = |time: Duration| Some(time.as_secs_f64() * 1e3);
    let at_most =
        |what, unit, measured, most| Goal::new(what, unit, measured, Should::BeAtMost(most));
    Ok(vec![
        at_most("memory of the API for each of them", "KiB", Some(kib), 16.0),
        at_most(
            "cores that the API takes while they are silent",
            "",
            Some(rests),
            0.1,
        ),
        at_most(
            "a user's answer, the 99th of 100, before",
            "ms",
            ms(before.late),
            50.0,
        ),
        at_most(
            "a user's answer, the 99th of 100, meanwhile",
            "ms",
            ms(meanwhile.late),
            50.0,
        ),
        at_most(
            "a user's answer, the median, meanwhile : before",
            "times",
            Some(meanwhile.median.as_secs_f64() / before.median.as_secs_f64()),
            2.0,
        ),
        at_most(
            "a user's answer, the 99th of 100, after",
            "ms",
            ms(after.late),
            50.0,
        ),
        Goal::none(
            "users' WebSockets that were not welcome",
            usize::from(!is_welcome),
        ),
        Goal::none("connections that were not closed", EACH - closed),
        Goal::none(
            "WebSockets that were not told 4408 or 1013",
            EACH - told_why,
        ),
        Goal::new(
            "files that are still open afterwards",
            "",
            Some(figure(left)),
            Should::BeAtMost(figure(FILES_LEFT)),
        ),
    ])
}

/// Opens as many as there are of a kind.
async fn open<T>(one: impl AsyncFn() -> std::io::Result<T>) -> anyhow::Result<Vec<T>> {
    let opening = stream::iter((0..EACH).map(|_| one()));
    let opened = opening.buffer_unordered(AT_ONCE).try_collect().await;
    opened.context("the API does not take them")
}

/// A WebSocket of nobody.
async fn upgraded(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(UPGRADE).await?;
    let (mut told, mut byte) = (Vec::new(), [0]);
    // One byte after the other: what follows the head belongs to whoever reads on.
    while !told.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await? > 0 {
        told.extend(byte);
    }
    if told.starts_with(b"HTTP/1.1 101") {
        Ok(stream)
    } else {
        Err(std::io::Error::other(
            String::from_utf8_lossy(&told).into_owned(),
        ))
    }
}

/// Everything that a connection is told until it is closed; one that never began is told nothing.
async fn to_the_end(mut stream: TcpStream) -> Vec<u8> {
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told).await;
    told
}

/// What a WebSocket is told until the frame that closes it; then it is closed on this side too, as clients do.
async fn last_words(mut stream: TcpStream) -> Vec<u8> {
    let mut told = Vec::new();
    while closing_code(&told).is_none() {
        if !matches!(stream.read_buf(&mut told).await, Ok(read) if read > 0) {
            break;
        }
    }
    told
}

/// The code in a frame that closes, if it is one of those that are expected.
fn closing_code(told: &[u8]) -> Option<u16> {
    const CLOSE: u8 = 0x88;
    let codes = told
        .windows(4)
        .filter(|four| four[0] == CLOSE)
        .map(|four| u16::from_be_bytes([four[2], four[3]]));
    codes
        .into_iter()
        .find(|code| [INIT_TIMEOUT, CROWDED].contains(code))
}

/// How many are told what they should be, until a moment.
async fn count<T>(
    told: impl IntoIterator<Item: Future<Output = T>>,
    by: Instant,
    should: impl Fn(&T) -> bool,
) -> usize {
    let mut count = 0;
    for told in told {
        let rest = by.saturating_duration_since(Instant::now());
        let told = timeout(rest.max(Duration::from_millis(1)), told).await;
        count += usize::from(told.is_ok_and(|told| should(&told)));
    }
    count
}

/// How many files are open beyond those before, once few are, or after a while.
async fn settled(process: &Process, before: usize) -> anyhow::Result<usize> {
    let begun = Instant::now();
    loop {
        let left = process.open_files()?.saturating_sub(before);
        if left <= FILES_LEFT || begun.elapsed() > LATE {
            return Ok(left);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Somebody who is known.
struct User {
    address: SocketAddr,
    token: Token,
    request: Vec<u8>,
}

/// How long answers took.
struct Times {
    median: Duration,
    late: Duration,
}

impl User {
    fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let token = Token::staff()?;
        let body = r#"{"query":"{ __typename }"}"#;
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n",
            token.bearer(),
            body.len()
        );
        Ok(Self {
            address,
            token,
            request: (head + body).into_bytes(),
        })
    }

    /// Asks again and again.
    ///
    /// # Errors
    /// If an answer does not come.
    async fn ask(&self) -> anyhow::Result<Times> {
        let mut times = Vec::with_capacity(QUESTIONS);
        for _ in 0..QUESTIONS {
            let begun = Instant::now();
            let told = timeout(ANSWER, self.ask_once()).await;
            let told = told.context("a user has no answer in time")??;
            ensure!(
                told.windows(5).any(|five| five == b"Query"),
                "a user is told {}",
                String::from_utf8_lossy(&told)
            );
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        Ok(Times {
            median: times[QUESTIONS / 2],
            late: times[QUESTIONS * 99 / 100],
        })
    }

    async fn ask_once(&self) -> anyhow::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(&self.request).await?;
        let mut told = Vec::new();
        stream.read_to_end(&mut told).await?;
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_in_the_frame_that_closes() {
        let ping = [0x89, 0x00];
        let close = [0x88, 0x04, 0x11, 0x38, b'n', b'o'];
        assert_eq!(closing_code(&[&ping[..], &close].concat()), Some(4408));
        assert_eq!(closing_code(&[0x88, 0x02, 0x03, 0xf5]), Some(1013));
        assert_eq!(closing_code(&[0x88, 0x02, 0x03, 0xe8]), None);
        assert_eq!(closing_code(&ping), None);
    }
}
