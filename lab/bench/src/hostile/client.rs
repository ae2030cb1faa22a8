//! Sends a request many times over a few connections, and looks at every answer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::cases::Case;
use super::{header, unexpected};

/// How many send at once.
const CONNECTIONS: usize = 4;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends it so many times.
///
/// # Errors
/// If an answer is not the one that is expected.
pub(super) fn send_all(address: SocketAddr, case: &Case, times: usize) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| send(address, case, times / CONNECTIONS)))
            .collect();
        senders
            .into_iter()
            .try_for_each(|sender| sender.join().expect("no panic"))
    })
}

fn send(address: SocketAddr, case: &Case, times: usize) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    for _ in 0..times {
        stream.write_all(&case.request)?;
        receive(&mut stream, &mut answer).with_context(|| case.name)?;
        let text = String::from_utf8_lossy(&answer);
        if !text.contains(case.expected) {
            return Err(unexpected(case, &text));
        }
    }
    Ok(())
}

/// Reads one answer, whose length is said.
fn receive(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<()> {
    const END: &[u8] = b"\r\n\r\n";
    answer.clear();
    let mut piece = [0; 4_096];
    loop {
        let read = stream.read(&mut piece)?;
        ensure!(read > 0, "the connection was closed");
        answer.extend_from_slice(&piece[..read]);
        let Some(end) = answer.windows(END.len()).position(|it| it == END) else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]);
        if answer.len() >= end + END.len() + header(&head, "content-length")? {
            return Ok(());
        }
    }
}
