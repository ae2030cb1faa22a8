//! The question that containers ask: is the program behind this address alive?

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::EXIT_FAILURE;

/// How long the answer may take.
const BOUND: Duration = Duration::from_secs(2);
/// All that is read of the answer.
const STATUS_LINE: &[u8] = b"HTTP/1.1 200 ";

/// Asks `/healthz` at an address a program listens on, for 2 s at most: code 0 if it is alive, else 1 and a line on standard error.
pub fn healthcheck(addr: SocketAddr) -> ExitCode {
    match ask(reachable(addr), Instant::now() + BOUND) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("no healthy answer from {addr}: {error}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// A program that listens on every address is asked over loopback.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

fn ask(addr: SocketAddr, deadline: Instant) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&addr, left(deadline)?)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(
        format!("GET /healthz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = [0; STATUS_LINE.len()];
    let mut filled = 0;
    while filled < answer.len() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut answer[filled..])? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    if answer == STATUS_LINE {
        return Ok(());
    }
    let line = String::from_utf8_lossy(&answer).into_owned();
    Err(std::io::Error::other(format!("it answered {line:?}")))
}

fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(std::io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that reads one request and gives one answer.
    fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("its address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 1_024];
            let count = stream.read(&mut request).expect("a request");
            assert!(request[..count].starts_with(b"GET /healthz HTTP/1.1\r\n"));
            stream
                .write_all(answer.as_bytes())
                .expect("a client that reads");
        });
        addr
    }

    fn soon() -> Instant {
        Instant::now() + BOUND
    }

    #[test]
    fn only_200_is_healthy() {
        assert!(ask(answering("HTTP/1.1 200 OK\r\n\r\n"), soon()).is_ok());
        for answer in [
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
            "",
            "hello there, this is no HTTP",
        ] {
            assert!(
                ask(answering(answer), soon()).is_err(),
                "{answer:?} counted as healthy"
            );
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_not_waited_for() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = silent.local_addr().expect("its address");
        let begun = Instant::now();
        assert!(ask(addr, begun + Duration::from_millis(50)).is_err());
        assert!(begun.elapsed() < BOUND);
    }

    #[test]
    fn a_program_on_every_address_is_asked_over_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:4001", "127.0.0.1:4001"),
            ("[::]:4001", "[::1]:4001"),
            ("10.0.0.7:4001", "10.0.0.7:4001"),
        ] {
            assert_eq!(
                reachable(listens.parse().expect(listens)).to_string(),
                asked
            );
        }
    }
}
