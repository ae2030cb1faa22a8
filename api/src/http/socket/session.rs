//! One socket from its upgrade to its close, whatever protocol it speaks.
//!
//! One task reads, runs operations, writes and keeps the times; nothing in it waits for the client. Every wait has an end, and every end has
//! a reason ([`Ending`]).

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use async_graphql::Request;
use axum::body::Bytes;
use axum::extract::ws::Message;
use futures::{Sink, Stream};
use shop_core::runtime::Shutdown;
use shop_core::runtime::settings::SocketSettings;
use tokio::time::{Instant, Sleep, sleep_until};

use super::dialect::{Dialect, Said};
use super::ending::Ending;
use super::wire::{Event, Wire};
use crate::http::operations::{Started, Step, stopping, too_many};
use crate::http::running::{Running, quoted};

/// So much of the message rate may be used up at once.
const BURST: Duration = Duration::from_secs(10);
/// How long queries and mutations may take to end when the program stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Pings per idle time.
const PINGS: u32 = 3;

/// A socket, its operations and its times.
pub struct Session<S, B> {
    wire: Wire<S>,
    dialect: &'static Dialect,
    begin: B,
    settings: SocketSettings,
    running: Running,
    pace: Pace,
    /// Until when the handshake must have come; `None` once it has.
    init_by: Option<Instant>,
    heard: Instant,
    ping_at: Instant,
    /// Until when what is under way must end; set when the program stops.
    leave_by: Option<Instant>,
}

impl<S, B> Session<S, B>
where
    S: Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin,
    B: Fn(Request) -> Started,
{
    /// A socket that was upgraded just now; `begin` begins operations.
    pub fn new(socket: S, dialect: &'static Dialect, begin: B, settings: &SocketSettings) -> Self {
        let now = Instant::now();
        Self {
            wire: Wire::new(socket, settings),
            dialect,
            begin,
            settings: settings.clone(),
            running: Running::default(),
            pace: Pace::new(settings.message_rate, now),
            init_by: Some(now + settings.init_timeout),
            heard: now,
            ping_at: now + settings.idle_timeout / PINGS,
            leave_by: None,
        }
    }

    /// Serves it to its end, and says why it ended.
    pub async fn run(&mut self, shutdown: &Shutdown) -> Ending {
        let ending = self.talk(shutdown).await;
        self.running = Running::default(); // before the goodbye, which the client may make last
        // On the heap: who talks need not hold what saying goodbye takes.
        Box::pin(self.wire.finish(&ending)).await;
        ending
    }

    async fn talk(&mut self, shutdown: &Shutdown) -> Ending {
        let mut turn = pin!(shutdown.turn(self.settings.handover));
        let mut timer = pin!(sleep_until(self.due()));
        loop {
            let news = poll_fn(|cx| self.poll(cx, turn.as_mut(), timer.as_mut())).await;
            if let Err(ending) = self.heed(news) {
                return ending;
            }
        }
    }

    /// Tells what there is to tell, and looks at everything else once: so that nothing is late because something else never rests.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        turn: Pin<&mut impl Future<Output = ()>>,
        mut timer: Pin<&mut Sleep>,
    ) -> Poll<News> {
        while self.wire.has_room()
            && let Poll::Ready((id, step)) = self.running.poll_next(cx)
        {
            self.tell(&id, step);
        }
        let event = match self.wire.poll_next(cx) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        };
        let is_turn = self.leave_by.is_none() && turn.poll(cx).is_ready();
        // One that is set too early wakes this once for nothing, which costs less than setting it anew for every message.
        let due = self.due();
        if due < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(due);
        }
        let is_due = timer.poll(cx).is_ready();
        let is_done = self.leave_by.is_some() && self.running.is_empty();
        let news = News {
            event,
            is_turn,
            is_due,
            is_done,
        };
        if news.is_none() {
            Poll::Pending
        } else {
            Poll::Ready(news)
        }
    }

    fn heed(&mut self, news: News) -> Result<(), Ending> {
        if let Some(event) = news.event {
            self.take(event)?;
        }
        if news.is_turn {
            self.running.stop_streams();
            self.leave_by = Some(Instant::now() + DRAIN);
        }
        if news.is_due {
            self.tick(Instant::now())?;
        }
        if news.is_done {
            return Err(Ending::Stopping);
        }
        Ok(())
    }

    /// When there is something to do though nothing happens.
    fn due(&self) -> Instant {
        let silent = self.heard + self.settings.idle_timeout;
        [self.init_by, self.wire.due(), self.leave_by]
            .into_iter()
            .flatten()
            .fold(silent.min(self.ping_at), Instant::min)
    }

    fn tick(&mut self, now: Instant) -> Result<(), Ending> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.leave_by) {
            return Err(Ending::Stopping);
        }
        if is_due(self.wire.due()) {
            return Err(Ending::Slow);
        }
        if is_due(self.init_by) {
            return Err(Ending::InitTimeout);
        }
        if self.heard + self.settings.idle_timeout <= now {
            return Err(Ending::Silent);
        }
        if self.ping_at <= now {
            self.ping_at = now + self.settings.idle_timeout / PINGS;
            self.wire.push(Message::Ping(Bytes::new()));
            self.keep_alive();
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<(), Ending> {
        let text = match event {
            Event::Over(ending) => return Err(ending),
            Event::Room => return Ok(()),
            Event::Alive => None,
            Event::Said(text) => Some(text),
        };
        self.heard = Instant::now();
        if !self.pace.allows(self.heard) {
            return Err(Ending::Flood(self.settings.message_rate));
        }
        match text {
            Some(text) => self.answer((self.dialect.read)(&text).map_err(Ending::Malformed)?),
            None => Ok(()),
        }
    }

    fn answer(&mut self, said: Said) -> Result<(), Ending> {
        match said {
            Said::Init => {
                self.init_by.take().ok_or(Ending::InitTwice)?;
                self.wire.push_text(self.dialect.ack.to_owned());
                self.keep_alive();
            }
            Said::Start { .. } if self.init_by.is_some() => return Err(Ending::NotInitialised),
            Said::Start { id, request } => self.start(id, *request)?,
            Said::Stop { id } => {
                let id = quoted(&id);
                if self.running.stop(&id) && self.dialect.is_stop_answered {
                    self.tell(&id, None);
                }
            }
            Said::Ping(payload) => self.wire.push_text((self.dialect.pong)(payload.as_deref())),
            Said::Pong => {}
            Said::Terminate => return Err(Ending::Terminated),
        }
        Ok(())
    }

    fn start(&mut self, id: String, request: Request) -> Result<(), Ending> {
        let words = quoted(&id);
        if self.running.has(&words) {
            return Err(Ending::Duplicate(id));
        }
        if self.leave_by.is_some() {
            self.tell(&words, Some(stopping()));
        } else if self.running.len() >= self.settings.subscriptions {
            self.tell(&words, Some(too_many()));
        } else {
            self.running.begin(&words, (self.begin)(request));
        }
        Ok(())
    }

    fn keep_alive(&mut self) {
        let words = self.dialect.keep_alive;
        if let Some(words) = words.filter(|_| self.init_by.is_none()) {
            self.wire.push_text(words.to_owned());
        }
    }

    /// Queues a piece of an operation's answer. The id comes in JSON.
    fn tell(&mut self, id: &str, step: Option<Step>) {
        self.wire.push_text(match step {
            Some(Step::Next(payload)) => (self.dialect.next)(id, &payload),
            Some(Step::Error(errors)) => (self.dialect.error)(id, &errors),
            None => (self.dialect.complete)(id),
        });
    }
}

/// What has happened.
struct News {
    event: Option<Event>,
    /// The program stops, and it is this socket's turn to go.
    is_turn: bool,
    /// There is something to do by the clock.
    is_due: bool,
    /// It was its turn, and what was under way is over.
    is_done: bool,
}

impl News {
    const fn is_none(&self) -> bool {
        self.event.is_none() && !self.is_turn && !self.is_due && !self.is_done
    }
}

/// A bound on the rate of messages, and on how many may come at once.
struct Pace {
    every: Duration,
    /// When the next message would come if all had come evenly.
    next: Instant,
}

impl Pace {
    fn new(rate: u32, now: Instant) -> Self {
        Self {
            every: Duration::from_secs(1) / rate,
            next: now,
        }
    }

    fn allows(&mut self, now: Instant) -> bool {
        self.next = self.next.max(now) + self.every;
        self.next <= now + BURST
    }
}
