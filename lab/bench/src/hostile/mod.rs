//! What it costs to refuse: the processor time of the API for each hostile request, beside the smallest answer that there is; and
//! what a crowd of sockets costs that say nothing.
//!
//! `make bench-hostile`. Needs no server: what is refused reaches none. `cases` are the requests, `client` sends them, `crowd` is silent.

mod cases;
mod client;
mod crowd;

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use shop_lab::client::Token;
use tokio::process::Command;

use self::cases::{Case, cases};
use self::client::send_all;
use crate::limit;
use crate::live::process::{Process, released};

/// How often everything is measured; medians are told.
const ROUNDS: usize = 5;
/// How often each request is sent in a round.
const REQUESTS: usize = 4_000;
/// How many times the smallest answer a refusal may cost.
const AT_MOST: f64 = 2.0;
/// How long the API may take until it serves.
const READY: Duration = Duration::from_secs(30);
/// How long it is watched while it does nothing.
const REST: Duration = Duration::from_secs(2);

/// Where nobody listens.
const NO_SERVERS: [(&str, &str); 8] = [
    ("MYSQL_DSN", "mysql://shop:shop@127.0.0.1:1/shop"),
    ("MONGO_URI", "mongodb://127.0.0.1:1/shop"),
    ("KAFKA_BROKERS", "127.0.0.1:1"),
    ("RATE_PER_ADDRESS", "0"),
    ("RATE_PER_USER", "0"),
    ("SOCKETS_PER_USER", "0"),
    ("HTTP_READ_TIMEOUT", crowd::PATIENCE.0),
    ("SOCKET_INIT_TIMEOUT", crowd::PATIENCE.0),
];

/// Measures and tells; returns whether the goal was reached.
///
/// # Errors
/// If it can not be measured.
pub async fn bench() -> anyhow::Result<bool> {
    limit::raise(crowd::FILES)?;
    let (process, address) = start().await?;
    let measured = tokio::task::block_in_place(|| measure(&process, address));
    process.stop().await;
    let is_cheap = tell(&measured?);
    println!();
    // One that has held nothing yet.
    let (process, address) = start().await?;
    let goals = crowd::endure(&process, address).await;
    process.stop().await;
    let goals = goals?;
    for goal in &goals {
        println!("{goal}");
    }
    Ok(is_cheap && goals.iter().all(|goal| goal.reached))
}

/// A request and what it cost, in microseconds.
struct Measured {
    case: Case,
    micros: f64,
}

fn measure(process: &Process, address: SocketAddr) -> anyhow::Result<Vec<Measured>> {
    let cases = cases(Token::staff()?.as_str());
    for case in &cases {
        send_all(address, case, REQUESTS / 10)?; // so that everything is warm
    }
    let before = process.cpu()?;
    std::thread::sleep(REST);
    let idle = process.cpu()?.since(&before).as_secs_f64() / REST.as_secs_f64();
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (case, times) in cases.iter().zip(&mut times) {
            let (before, begun) = (process.cpu()?, Instant::now());
            send_all(address, case, REQUESTS)?;
            let elapsed = begun.elapsed().as_secs_f64();
            let taken = process.cpu()?.since(&before).as_secs_f64() - idle * elapsed;
            #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
            times.push(taken * 1e6 / REQUESTS as f64);
        }
    }
    let medians = times.into_iter().map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    });
    let measured = cases.into_iter().zip(medians);
    Ok(measured
        .map(|(case, micros)| Measured { case, micros })
        .collect())
}

/// Prints a table; whether every refusal was cheap enough.
fn tell(measured: &[Measured]) -> bool {
    let smallest = measured.first().map_or(f64::NAN, |first| first.micros);
    println!(
        "{REQUESTS} requests a round, medians of {ROUNDS} rounds; the CPU time of all threads of the API\n"
    );
    println!(
        "{:<34} {:>8} {:>10} {:>7}  goal",
        "request", "bytes", "CPU us", "times"
    );
    let mut is_good = true;
    for Measured { case, micros } in measured {
        let times = micros / smallest;
        let reached = times < AT_MOST;
        is_good &= reached;
        let goal = if reached { "reached" } else { "MISSED" };
        let (name, bytes) = (case.name, case.request.len());
        println!("{name:<34} {bytes:>8} {micros:>10.1} {times:>7.2}  {goal} (below {AT_MOST})");
    }
    is_good
}

async fn start() -> anyhow::Result<(Process, SocketAddr)> {
    // Free until somebody else takes it, which nobody does on purpose.
    let free = || TcpListener::bind(("127.0.0.1", 0))?.local_addr();
    let (address, health) = (free()?, free()?);
    let mut command = Command::new(released("api")?);
    command
        .arg("serve")
        .envs(NO_SERVERS)
        .envs(shop_lab::client::token::SETTINGS)
        .env("HTTP_ADDR", address.to_string())
        .env("HEALTH_ADDR", health.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut process = Process::start("api-hostile", &mut command)?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let deadline = Instant::now() + READY;
    loop {
        let answer = http.get(format!("http://{health}/healthz")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok((process, address));
        }
        ensure!(
            !process.has_ended() && Instant::now() < deadline,
            "the API does not serve; {}",
            process.gone()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The figures of a case that was told, for who wants to know what went wrong.
fn unexpected(case: &Case, answer: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{}: expected {} in the answer, not {answer:.300}",
        case.name,
        case.expected
    )
}

/// Reads a number out of an answer's head.
fn header(head: &str, name: &str) -> anyhow::Result<usize> {
    let mut lines = head.lines();
    let value = lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    });
    let value = value.with_context(|| format!("an answer without {name}: {head}"))?;
    value.parse().with_context(|| format!("{name}: {value}"))
}
