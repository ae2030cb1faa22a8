//! One socket from its upgrade to its close, whatever protocol it speaks.
//!
//! One task reads, runs operations, writes and keeps the times; nothing in it waits for the client. Every wait has an end, and every end has
//! a reason ([`Ending`]). A socket is somebody's, by the token of its handshake, until that runs out; a fresh one may be shown
//! before, in another `connection_init` or a `ping`, and then nothing is interrupted.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_graphql::Request;
use axum::body::Bytes;
use axum::extract::ws::Message;
use futures::future::BoxFuture;
use futures::{Sink, Stream};
use serde_json::value::RawValue;
use shop_core::runtime::Shutdown;
use shop_core::runtime::settings::SocketSettings;
use tokio::time::{Instant, Sleep, sleep_until};

use super::dialect::{Dialect, Said};
use super::ending::Ending;
use super::wire::{Event, Wire};
use crate::http::events::GOODBYE;
use crate::http::operations::{Started, Step, stopping, too_many};
use crate::http::places::Standing;
use crate::http::running::{Running, quoted};
use crate::identity::{Caller, Denied, Identity, in_payload};

/// So much of the message rate may be used up at once.
const BURST: Duration = Duration::from_secs(10);
/// How long queries and mutations may take to end when the program stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Pings per idle time.
const PINGS: u32 = 3;

/// What a session needs of its program.
pub trait Host {
    /// Begins an operation.
    fn begin(&self, request: Request, identity: &Identity) -> Started;
    /// Verifies a token.
    fn verify(&self, token: String) -> BoxFuture<'static, Verdict>;
}

/// Who a token names, or why it is not taken.
pub type Verdict = Result<Caller, Denied>;

/// A socket, its operations and its times.
pub struct Session<S, H> {
    wire: Wire<S>,
    dialect: &'static Dialect,
    host: H,
    settings: Arc<SocketSettings>,
    running: Running,
    pace: Pace,
    /// Whom the request for the socket named.
    given: Option<Identity>,
    /// Its place among the sockets.
    standing: Standing,
    /// Whose it is, once the handshake is done.
    identity: Option<Identity>,
    /// A token that is being verified.
    shown: Option<Box<Shown>>,
    /// When the token runs out.
    ends_at: Option<Instant>,
    /// Until when the handshake must have come; `None` once it has.
    init_by: Option<Instant>,
    heard: Instant,
    ping_at: Instant,
    /// Until when what is under way must end; set when the program stops.
    leave_by: Option<Instant>,
}

/// A token that is being verified.
struct Shown {
    verdict: BoxFuture<'static, Verdict>,
    /// What is answered when it is taken.
    answer: String,
}

impl<S, H> Session<S, H>
where
    S: Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin,
    H: Host,
{
    /// A socket that was upgraded just now, by a request that named somebody, or nobody; `standing` is a user's or a stranger's.
    pub fn new(
        socket: S,
        dialect: &'static Dialect,
        host: H,
        given: Option<Identity>,
        standing: Standing,
        settings: Arc<SocketSettings>,
    ) -> Self {
        let now = Instant::now();
        Self {
            wire: Wire::new(socket, Arc::clone(&settings)),
            dialect,
            host,
            given,
            standing,
            identity: None,
            shown: None,
            ends_at: None,
            running: Running::default(),
            pace: Pace::new(settings.message_rate, now),
            init_by: Some(now + settings.init_timeout),
            heard: now,
            ping_at: now + settings.idle_timeout / PINGS,
            leave_by: None,
            settings,
        }
    }

    /// Serves it to its end, and says why it ended.
    pub async fn run(&mut self, shutdown: &Shutdown) -> Ending {
        let ending = self.talk(shutdown).await;
        self.running = Running::default(); // before the goodbye, which the client may make last
        // On the heap: who talks need not hold what saying goodbye takes.
        Box::pin(self.part(&ending, shutdown)).await;
        ending
    }

    /// Says why it ends, and lets the client say goodbye. Once the program stops there is a moment for that, whatever the reason; half of
    /// one after what was under way has taken all its time.
    async fn part(&mut self, ending: &Ending, shutdown: &Shutdown) {
        let leave_by = self.leave_by;
        let moment = async {
            shutdown.requested().await;
            let by = Instant::now() + GOODBYE;
            sleep_until(leave_by.map_or(by, |leave_by| by.min(leave_by + GOODBYE / 2))).await;
        };
        tokio::select! {
            () = self.wire.finish(ending) => {}
            () = moment => {}
        }
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
        // Nothing is told any more once the token has run out.
        while !self.is_over(Instant::now())
            && self.wire.has_room()
            && let Poll::Ready((id, step)) = self.running.poll_next(cx)
        {
            self.tell(&id, step);
        }
        let shown = self.shown.as_mut().map(|shown| shown.verdict.as_mut());
        let verdict = match shown.map(|verdict| verdict.poll(cx)) {
            Some(Poll::Ready(verdict)) => Some(verdict),
            Some(Poll::Pending) | None => None,
        };
        // Who is not known yet is not read: some clients say what they want without waiting for the answer.
        let is_known = self.shown.is_none() || verdict.is_some() || self.identity.is_some();
        let event = match is_known.then(|| self.wire.poll_next(cx)) {
            Some(Poll::Ready(event)) => Some(event),
            Some(Poll::Pending) | None => None,
        };
        let is_turn = self.leave_by.is_none() && turn.poll(cx).is_ready();
        // One that is set too early wakes this once for nothing, which costs less than setting it anew for every message.
        let due = self.due();
        if due < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(due);
        }
        let is_due = timer.poll(cx).is_ready();
        let is_done = self.leave_by.is_some() && self.running.is_empty();
        let is_shown_out = self.standing.is_shown_out(cx);
        let news = News {
            verdict,
            event,
            is_turn,
            is_due,
            is_done,
            is_shown_out,
        };
        if news.is_none() {
            Poll::Pending
        } else {
            Poll::Ready(news)
        }
    }

    fn heed(&mut self, news: News) -> Result<(), Ending> {
        if let Some(verdict) = news.verdict {
            self.admit(verdict)?;
        }
        if self.is_over(Instant::now()) {
            return Err(Ending::Denied(Denied::Expired));
        }
        if let Some(event) = news.event {
            self.take(event)?;
        }
        // Unless it has just said it.
        if news.is_shown_out && self.identity.is_none() {
            return Err(Ending::Crowded);
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
        [self.init_by, self.wire.due(), self.leave_by, self.ends_at]
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
            Said::Init(payload) => {
                let is_first = self.init_by.take().is_some();
                match (token_in(payload.as_deref())?, self.given.take()) {
                    (Some(token), _) => self.show(token, self.dialect.ack.to_owned()),
                    (None, Some(given)) if is_first => self.welcome(given)?,
                    (None, None) if is_first => return Err(Ending::Denied(Denied::Missing)),
                    (None, _) => return Err(Ending::InitTwice),
                }
            }
            Said::Start { .. } if self.identity.is_none() => return Err(Ending::NotInitialised),
            Said::Start { id, request } => self.start(id, *request)?,
            Said::Stop { id } => {
                let id = quoted(&id);
                if self.running.stop(&id) && self.dialect.is_stop_answered {
                    self.tell(&id, None);
                }
            }
            Said::Ping(payload) => match token_in(payload.as_deref()) {
                // A token is not repeated.
                Ok(Some(token)) if self.identity.is_some() => {
                    self.show(token, (self.dialect.pong)(None));
                }
                _ => self.wire.push_text((self.dialect.pong)(payload.as_deref())),
            },
            Said::Pong => {}
            Said::Terminate => return Err(Ending::Terminated),
        }
        Ok(())
    }

    /// Has a token verified, one at a time. The newest counts: one that is still being verified is passed over and only answered.
    fn show(&mut self, token: String, answer: String) {
        let verdict = self.host.verify(token);
        let before = self.shown.replace(Box::new(Shown { verdict, answer }));
        if let Some(before) = before {
            self.wire.push_text(before.answer);
        }
    }

    /// Begins, or goes on, with a token that was verified.
    fn admit(&mut self, verdict: Verdict) -> Result<(), Ending> {
        let answer = self.shown.take().map(|shown| shown.answer);
        let caller = verdict.map_err(Ending::Denied)?;
        let Some(identity) = &self.identity else {
            return self.welcome(Identity::from(caller));
        };
        identity.renew(caller).map_err(Ending::Denied)?;
        self.ends_at = Some(Instant::now() + identity.left());
        if let Some(answer) = answer {
            self.wire.push_text(answer);
        }
        Ok(())
    }

    fn welcome(&mut self, identity: Identity) -> Result<(), Ending> {
        if !self.standing.identify(identity.caller().user) {
            return Err(Ending::Crowded);
        }
        self.ends_at = Some(Instant::now() + identity.left());
        self.identity = Some(identity);
        self.wire.push_text(self.dialect.ack.to_owned());
        self.keep_alive();
        Ok(())
    }

    fn is_over(&self, now: Instant) -> bool {
        self.ends_at.is_some_and(|at| at <= now)
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
        } else if let Some(identity) = &self.identity {
            let started = self.host.begin(request, identity);
            self.running.begin(&words, started);
        }
        Ok(())
    }

    fn keep_alive(&mut self) {
        let words = self.dialect.keep_alive;
        if let Some(words) = words.filter(|_| self.identity.is_some()) {
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

/// The token of a message's payload, if it has one.
fn token_in(payload: Option<&RawValue>) -> Result<Option<String>, Ending> {
    let token = payload.map(|payload| in_payload(payload.get()));
    Ok(token.transpose().map_err(Ending::Denied)?.flatten())
}

/// What has happened.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is news of its own, and several may come at once"
)]
struct News {
    verdict: Option<Verdict>,
    event: Option<Event>,
    /// The program stops, and it is this socket's turn to go.
    is_turn: bool,
    /// There is something to do by the clock.
    is_due: bool,
    /// It was its turn, and what was under way is over.
    is_done: bool,
    /// Others want its place, and it has not said who it is.
    is_shown_out: bool,
}

impl News {
    const fn is_none(&self) -> bool {
        self.verdict.is_none()
            && self.event.is_none()
            && !self.is_turn
            && !self.is_due
            && !self.is_done
            && !self.is_shown_out
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
