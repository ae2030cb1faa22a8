//! How a connection ends whose client may still be sending.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long what a client still sends is passed over, at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of it that are read at once.
const PASSED_OVER_AT_ONCE: usize = 1024;

/// Says something last, and passes over what still comes until the client goes, or for a moment. What comes to a connection that is closed
/// is answered with a reset, which may take along what was said before it is read (RFC 9112, section 9.6).
pub async fn say_and_part(stream: TcpStream, words: &[u8]) {
    // Who does not hear it sees the connection close.
    let _ = timeout(PATIENCE, part(stream, words)).await;
}

async fn part(mut stream: TcpStream, words: &[u8]) -> io::Result<()> {
    stream.write_all(words).await?;
    stream.shutdown().await?;
    let mut heard = [0; PASSED_OVER_AT_ONCE];
    while stream.read(&mut heard).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::{Instant, sleep};

    use super::*;

    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.expect("connected"), server.expect("accepted").0)
    }

    #[tokio::test]
    async fn who_goes_on_sending_hears_the_last_word() {
        let (mut client, server) = connection().await;
        client.write_all(b"unread").await.expect("sent");
        let parting = tokio::spawn(part(server, b"bye"));
        client.readable().await.expect("the last word");
        for _ in 0..5 {
            client.write_all(b"more").await.expect("no reset");
            sleep(Duration::from_millis(20)).await; // one would have come
        }
        let mut told = String::new();
        let read = client.read_to_string(&mut told).await;
        read.expect("an orderly end");
        assert_eq!(told, "bye");
        drop(client);
        let parted = timeout(30 * PATIENCE, parting).await;
        let _ = parted.expect("nobody is waited for").expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stays_is_not_heard_for_ever() {
        let (_client, server) = connection().await;
        let begun = Instant::now();
        say_and_part(server, b"bye").await;
        assert!(begun.elapsed() >= PATIENCE && begun.elapsed() < 2 * PATIENCE);
    }
}
