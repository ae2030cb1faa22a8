//! A line on standard error that says how far long work has come: rewritten in place on a terminal, else one per second.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks of a line on a terminal.
const REDRAW: Duration = Duration::from_millis(100);

/// Where the work says how far it is.
pub struct Progress {
    in_place: bool,
    silent: bool,
    last: Mutex<Option<Instant>>,
    begun: Instant,
}

impl Progress {
    /// On standard error.
    pub fn new() -> Self {
        Self {
            in_place: std::io::stderr().is_terminal(),
            silent: false,
            last: Mutex::default(),
            begun: Instant::now(),
        }
    }

    /// Says nothing.
    pub fn silent() -> Self {
        let mut progress = Self::new();
        progress.silent = true;
        progress
    }

    /// How long the work has taken.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Says something, unless something was said a moment ago.
    pub fn at(&self, what: impl FnOnce() -> String) {
        let pause = if self.in_place { REDRAW } else { PAUSE };
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if self.silent || last.is_some_and(|last| last.elapsed() < pause) {
                return;
            }
            *last = Some(Instant::now());
        }
        self.say(&what());
    }

    /// Says that a step begins, whatever was said before.
    pub fn step(&self, what: &str) {
        if self.silent {
            return;
        }
        self.say(what);
        if self.in_place {
            eprintln!();
        }
    }

    fn say(&self, what: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        if self.in_place {
            eprint!("\r\x1b[2K{seconds:6.1} s  {what}");
            let _ = std::io::stderr().flush(); // nobody is left to tell
        } else {
            eprintln!("{seconds:6.1} s  {what}");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let said = self.last.get_mut().is_ok_and(|last| last.is_some());
        if self.in_place && said {
            eprint!("\r\x1b[2K");
        }
    }
}
