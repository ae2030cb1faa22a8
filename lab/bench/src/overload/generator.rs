//! Offers load from one thread: it has the same cores as what it measures, and has to leave them alone.
//!
//! A closed loop asks again as soon as it is answered, so a slow server is asked less. An open loop asks by the clock, as a crowd of
//! strangers does: what is due is sent, whatever became of what was sent before. Both ask over the connections of a crowd, of which the
//! one that rested longest is the next: few that are used all the time cost the server less, and would be no measure for the other.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use shop_lab::stage::Progress;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::answer::{Outcome, order, outcome};
use super::line::{Line, PATIENCE};
use super::mix::{Kind, Mix, Request};
use super::scene::Scene;
use super::tally::{Tally, micros};

/// How often an open loop looks what is due.
const TICK: Duration = Duration::from_millis(1);
/// How many connections a closed loop has.
const CROWD: usize = 2_000;
/// How many connections an open loop has, at least and at most; in between a second's worth of requests.
const CONNECTIONS: (usize, usize) = (256, 6_000);
/// How long opening all of them may take.
const OPENING: Duration = Duration::from_secs(30);
/// How long a client waits that can not connect.
const PAUSE: Duration = Duration::from_millis(100);

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Load {
    /// So many requests at a time, each of which is followed by another as soon as it is answered.
    Closed(usize),
    /// So many requests a second.
    Open(f64),
}

/// What happened so far, for the line on the screen.
#[derive(Debug, Default)]
struct Counts {
    served: AtomicUsize,
    refused: AtomicUsize,
    failed: AtomicUsize,
}

/// Offers a load for a while, and says how it goes. The answers to what was asked are waited for.
///
/// # Errors
/// If it can not be offered.
pub(super) async fn offer(
    scene: &Arc<Scene>,
    load: Load,
    lasting: Duration,
    progress: &Progress,
    doing: &str,
) -> anyhow::Result<Tally> {
    let counts = Arc::new(Counts::default());
    let (tell, mut told) = oneshot::channel();
    let desk = (Arc::clone(scene), Arc::clone(&counts));
    // A thread of its own: if this run is stopped, nobody waits for it.
    let thread = std::thread::Builder::new().name("generator".to_owned());
    thread.spawn(move || {
        let _ = tell.send(generate(desk.0, desk.1, load, lasting));
    })?;
    let bound = OPENING + lasting + 2 * PATIENCE;
    let begun = Instant::now();
    loop {
        tokio::select! {
            tally = &mut told => return tally.context("the generator failed")?,
            () = sleep(Duration::from_secs(1)) => {}
        }
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let (served, refused) = (count(&counts.served), count(&counts.refused));
        let failed = count(&counts.failed);
        progress.set(format!(
            "{doing}: {served} served, {refused} refused, {failed} failed"
        ));
        anyhow::ensure!(begun.elapsed() < bound, "{doing}: no end after {bound:?}");
    }
}

fn generate(
    scene: Arc<Scene>,
    counts: Arc<Counts>,
    load: Load,
    lasting: Duration,
) -> anyhow::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let desk = Rc::new(Desk {
        mix: RefCell::new(Mix::new(Arc::clone(&scene))),
        tally: RefCell::default(),
        scene,
        counts,
    });
    let local = LocalSet::new();
    let took = local.block_on(&runtime, async {
        match load {
            Load::Closed(clients) => closed(&desk, clients, lasting).await,
            Load::Open(rate) => open(&desk, rate, lasting).await,
        }
    })?;
    let mut tally = desk.tally.take();
    tally.lasting = took;
    Ok(tally)
}

/// What all clients of a load share.
struct Desk {
    scene: Arc<Scene>,
    mix: RefCell<Mix>,
    tally: RefCell<Tally>,
    counts: Arc<Counts>,
}

impl Desk {
    /// Asks for something and notes what becomes of it. A connection that is lost is opened anew, whose time does not count.
    async fn exchange(&self, line: &mut Option<Line>) {
        let open = match line.take() {
            Some(open) => Ok(open),
            None => Line::open(self.scene.address).await,
        };
        let Ok(mut open) = open else {
            self.fail(None, "not connected");
            sleep(PAUSE).await;
            return;
        };
        let request = self.mix.borrow_mut().next();
        let sent = Instant::now();
        let Ok(told) = open.ask(&request.bytes).await else {
            self.fail(Some(&request), "no answer");
            return;
        };
        let took = sent.elapsed();
        let outcome = outcome(told.status, told.body);
        self.note(&request, &outcome, took, told.body);
        if !told.closes {
            *line = Some(open);
        }
    }

    fn note(&self, request: &Request, outcome: &Outcome, took: Duration, body: &[u8]) {
        let counter = match outcome {
            Outcome::Served => &self.counts.served,
            Outcome::Refused => &self.counts.refused,
            Outcome::Failed(_) => &self.counts.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut tally = self.tally.borrow_mut();
        tally.note(request.kind, outcome, took);
        if request.kind != Kind::CreateOrder {
            return;
        }
        match outcome {
            Outcome::Served => match order(body) {
                Ok(order) => {
                    let mut mix = self.mix.borrow_mut();
                    mix.placed(order.id.clone(), request.customer);
                    tally.acknowledge(request, order);
                }
                Err(error) => tally.surprises.push(format!("createOrder: {error:#}")),
            },
            Outcome::Refused => {}
            Outcome::Failed(_) => tally.unknown.push(Arc::clone(&request.bytes)),
        }
    }

    /// Notes what was not answered, or not even asked.
    fn fail(&self, request: Option<&Request>, what: &str) {
        let outcome = Outcome::Failed(what.to_owned());
        if let Some(request) = request {
            self.note(request, &outcome, Duration::ZERO, b"");
        } else {
            let mut tally = self.tally.borrow_mut();
            *tally.failures.entry(what.to_owned()).or_default() += 1;
        }
    }
}

/// So many requests at a time, over and over. Out: how long.
async fn closed(desk: &Rc<Desk>, at_a_time: usize, lasting: Duration) -> anyhow::Result<Duration> {
    let lines = timeout(OPENING, async {
        let mut lines = VecDeque::new();
        for _ in 0..CROWD.max(at_a_time) {
            lines.push_back(Some(Line::open(desk.scene.address).await?));
        }
        anyhow::Ok(lines)
    });
    let lines = lines.await.context("the connections take too long")??;
    let resting = Rc::new(RefCell::new(lines));
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..at_a_time {
        let (desk, resting) = (Rc::clone(desk), Rc::clone(&resting));
        asking.spawn_local(async move {
            while begun.elapsed() < lasting {
                let mut line = resting.borrow_mut().pop_front().flatten();
                desk.exchange(&mut line).await;
                resting.borrow_mut().push_back(line);
            }
        });
    }
    all_of(asking).await?;
    Ok(begun.elapsed())
}

/// The connections of an open loop that nobody uses, by number; the one that rested longest is the first.
type Idle = Rc<RefCell<VecDeque<usize>>>;

/// Requests by the clock. Out: how long.
async fn open(desk: &Rc<Desk>, rate: f64, lasting: Duration) -> anyhow::Result<Duration> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few thousand"
    )]
    let connections = (rate as usize).clamp(CONNECTIONS.0, CONNECTIONS.1);
    let idle = Idle::default();
    let mut asking = JoinSet::new();
    let doors = timeout(OPENING, async {
        let mut doors = Vec::new();
        for number in 0..connections {
            let line = Line::open(desk.scene.address).await?;
            let (door, orders) = mpsc::channel(1);
            asking.spawn_local(connection(
                Rc::clone(desk),
                Rc::clone(&idle),
                number,
                line,
                orders,
            ));
            idle.borrow_mut().push_back(number);
            doors.push(door);
        }
        anyhow::Ok(doors)
    });
    let doors = doors.await.context("the connections take too long")??;

    let begun = Instant::now();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut asked = 0_u32;
    loop {
        tick.tick().await;
        let now = begun.elapsed();
        let end = now.min(lasting).as_secs_f64() * rate;
        while f64::from(asked) < end {
            let due = Duration::from_secs_f64(f64::from(asked) / rate);
            asked += 1;
            let free = idle.borrow_mut().pop_front();
            let given = free.is_some_and(|number| doors[number].try_send(()).is_ok());
            let mut tally = desk.tally.borrow_mut();
            if given {
                tally.late.push(micros(now.saturating_sub(due)));
            } else {
                tally.unsent += 1;
            }
        }
        if now >= lasting {
            break;
        }
    }
    drop(doors);
    all_of(asking).await?;
    Ok(lasting)
}

/// One connection, which asks once whenever it is told to.
async fn connection(
    desk: Rc<Desk>,
    idle: Idle,
    number: usize,
    line: Line,
    mut orders: mpsc::Receiver<()>,
) {
    let mut line = Some(line);
    while orders.recv().await.is_some() {
        desk.exchange(&mut line).await;
        idle.borrow_mut().push_back(number);
    }
}

/// Waits until all of them have their last answers.
async fn all_of(mut asking: JoinSet<()>) -> anyhow::Result<()> {
    while let Some(ended) = asking.join_next().await {
        ended.context("a client failed")?;
    }
    Ok(())
}
