//! The processes that hold sockets: the clients, and the plain broadcast to compare with.

mod broadcast;
mod clients;
mod connection;
mod frames;
mod tally;

use std::future::Future;

use anyhow::bail;
use tokio::runtime::Builder;

/// Does what the word says until the director is gone: `clients` or `broadcast`.
///
/// # Errors
/// If it can not go on, or there is no such word.
pub fn run(word: &str) -> anyhow::Result<()> {
    match word {
        // One thread: the other core is the server's.
        "clients" => block_on(&mut Builder::new_current_thread(), clients::run()),
        // As many threads as the API has.
        "broadcast" => block_on(&mut Builder::new_multi_thread(), broadcast::run()),
        other => bail!("expected clients or broadcast, not {other:?}"),
    }
}

fn block_on(
    builder: &mut Builder,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let runtime = builder.enable_all().build()?;
    let done = runtime.block_on(work);
    // A read of standard input that is under way can not be ended.
    runtime.shutdown_background();
    done
}
