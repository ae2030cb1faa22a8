//! The life of a process: arguments, settings, logs, signals, draining, exit code.

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::{
    Backoff, EXIT_FAILURE, EXIT_SIGNAL, EXIT_USAGE, Health, Program, Runtime, Settings, Shutdown,
    healthcheck, metrics, telemetry,
};

/// How often histograms are folded into buckets when nobody reads them.
const UPKEEP: Duration = Duration::from_secs(5);
/// The first pause between two looks whether the program is ready.
const READY_POLL: Duration = Duration::from_millis(100);
/// How long threads may hang on after the program has returned.
const LINGER: Duration = Duration::from_secs(1);

/// Runs a program from its arguments to its exit code.
///
/// Reads the settings, starts logs, metrics and (not for the API, which does so itself when it serves) the health server, then
/// `run` until it returns. The first SIGTERM or SIGINT throws [`Runtime::shutdown`]; `run` should then finish what it has in hand and return.
///
/// Codes: 0 when `run` returned `Ok`; 1 when it returned an error, which is logged once with its causes, or when draining
/// took longer than `SHUTDOWN_GRACE`; 64 for a bad setting or argument; 130 after a second signal.
///
/// Programs but the API take one optional argument, `healthcheck`. The API reads its own arguments before it calls this.
pub fn main<F, Fut>(program: Program, run: F) -> ExitCode
where
    F: FnOnce(Runtime) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let args = std::env::args_os().skip(1);
    let task = if program == Program::Api {
        Some(Task::Run)
    } else {
        Task::from_args(args)
    };
    let Some(task) = task else {
        eprintln!("usage: {program} [healthcheck]");
        return ExitCode::from(EXIT_USAGE);
    };
    let settings = match Settings::from_env_for(program) {
        Ok(settings) => Arc::new(settings),
        Err(errors) => {
            for line in errors.lines() {
                eprintln!("{program}: {line}");
            }
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match task {
        Task::Run => serve(program, settings, run),
        Task::Healthcheck => healthcheck(settings.health_addr),
    }
}

/// What the arguments ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Run,
    Healthcheck,
}

impl Task {
    fn from_args(mut args: impl Iterator<Item = OsString>) -> Option<Self> {
        match (args.next(), args.next()) {
            (None, _) => Some(Self::Run),
            (Some(word), None) if word == "healthcheck" => Some(Self::Healthcheck),
            _ => None,
        }
    }
}

fn serve<F, Fut>(program: Program, settings: Arc<Settings>, run: F) -> ExitCode
where
    F: FnOnce(Runtime) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    telemetry::install(program, settings.environment, &settings.log);
    metrics::install();
    let threads = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(threads) => threads,
        Err(error) => {
            error!("failed to start threads: {error}");
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    let shutdown = Shutdown::new();
    let health = Health::new(shutdown.clone());
    let runtime = Runtime {
        program,
        settings,
        shutdown,
        health,
    };
    let outcome = threads.block_on(live(runtime.clone(), run));
    runtime.shutdown.request();
    threads.shutdown_timeout(LINGER);
    match outcome {
        Ok(()) => {
            info!("{program} stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            error!("{program} failed: {error:#}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

async fn live<F, Fut>(runtime: Runtime, run: F) -> anyhow::Result<()>
where
    F: FnOnce(Runtime) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let Runtime {
        program,
        settings,
        shutdown,
        health,
    } = &runtime;
    let signals = signals().context("failed to listen to signals")?;
    let watch = watch(signals, shutdown.clone(), settings.shutdown_grace);
    // In a task of its own, so that a program that blocks its thread is stopped all the same.
    tokio::spawn(async move { std::process::exit(watch.await.into()) });
    tokio::spawn(keep_metrics_small());

    if *program == Program::Api {
        info!("{program} starts");
    } else {
        let addr = health.listen(settings.health_addr).await?;
        info!(health.addr = %addr, "{program} starts");
    }
    tokio::spawn(say_when_ready(*program, shutdown.clone(), health.clone()));
    run(runtime.clone()).await
}

/// SIGTERM and SIGINT, as they come.
fn signals() -> std::io::Result<mpsc::Receiver<&'static str>> {
    let (sender, receiver) = mpsc::channel(2);
    for (name, kind) in [
        ("SIGTERM", SignalKind::terminate()),
        ("SIGINT", SignalKind::interrupt()),
    ] {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() && sender.send(name).await.is_ok() {}
        });
    }
    Ok(receiver)
}

/// Throws the switch at the first signal. Ends when the process has to end at once: with the second signal, or when draining
/// took longer than `grace`. Returns the exit code.
async fn watch(
    mut signals: mpsc::Receiver<&'static str>,
    shutdown: Shutdown,
    grace: Duration,
) -> u8 {
    tokio::select! {
        name = next(&mut signals) => info!("{name}: finishing what is in hand"),
        () = shutdown.requested() => {}
    }
    shutdown.request();
    tokio::select! {
        name = next(&mut signals) => {
            warn!("{name} again: stopping at once");
            EXIT_SIGNAL
        }
        () = tokio::time::sleep(grace) => {
            warn!("not finished after {} s: stopping at once", grace.as_secs_f64());
            EXIT_FAILURE
        }
    }
}

async fn next(signals: &mut mpsc::Receiver<&'static str>) -> &'static str {
    match signals.recv().await {
        Some(name) => name,
        None => std::future::pending().await,
    }
}

async fn keep_metrics_small() {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics::upkeep();
    }
}

/// One line, once every dependency answers for the first time.
async fn say_when_ready(program: Program, shutdown: Shutdown, health: Health) {
    let mut pauses = Backoff::with_base(READY_POLL);
    while !shutdown.is_requested() {
        if health.check().await.status == super::health::Readiness::Ready {
            info!("{program} is ready");
            return;
        }
        tokio::time::sleep(pauses.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any test takes.
    const NEVER: Duration = Duration::from_hours(1);

    fn task(args: &[&str]) -> Option<Task> {
        Task::from_args(args.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_none_or_healthcheck() {
        assert_eq!(task(&[]), Some(Task::Run));
        assert_eq!(task(&["healthcheck"]), Some(Task::Healthcheck));
        for args in [&["--help"][..], &["serve"], &["healthcheck", "now"], &[""]] {
            assert_eq!(task(args), None, "{args:?} was taken");
        }
    }

    #[tokio::test]
    async fn the_first_signal_asks_and_the_second_ends() {
        let (sender, signals) = mpsc::channel(2);
        let shutdown = Shutdown::new();
        let watch = tokio::spawn(watch(signals, shutdown.clone(), NEVER));
        assert!(!shutdown.is_requested());
        sender.send("SIGTERM").await.expect("a listener");
        shutdown.requested().await;
        assert!(!watch.is_finished());
        sender.send("SIGINT").await.expect("a listener");
        assert_eq!(watch.await.expect("no panic"), EXIT_SIGNAL);
    }

    #[tokio::test]
    async fn draining_has_an_end() {
        let (sender, signals) = mpsc::channel(2);
        sender.send("SIGTERM").await.expect("a listener");
        let code = watch(signals, Shutdown::new(), Duration::ZERO).await;
        assert_eq!(code, EXIT_FAILURE);
    }

    #[tokio::test]
    async fn draining_that_the_program_began_has_an_end_too() {
        let (_sender, signals) = mpsc::channel(2);
        let shutdown = Shutdown::new();
        shutdown.request();
        assert_eq!(watch(signals, shutdown, Duration::ZERO).await, EXIT_FAILURE);
    }
}
