//! One line about what is going on, every second: it replaces itself on a terminal and stays out of the way elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// How often elsewhere.
const LINES: u64 = 5;

/// What is going on. A copy changes the same line.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    line: Mutex<String>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Progress {
    /// Begins to tell.
    pub fn start() -> Self {
        let inner = Arc::new(Inner {
            line: Mutex::new(String::new()),
            task: Mutex::new(None),
        });
        let (weak, terminal) = (Arc::downgrade(&inner), std::io::stderr().is_terminal());
        let started = Instant::now();
        let task = tokio::spawn(async move {
            let mut told = String::new();
            for second in 0_u64.. {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let Some(inner) = weak.upgrade() else { return };
                let line = inner
                    .line
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                let elapsed = started.elapsed().as_secs();
                if terminal {
                    eprint!("\r\x1b[K[{elapsed:>4} s] {line}");
                } else if second % LINES == 0 && line != told {
                    eprintln!("[{elapsed:>4} s] {line}");
                    told = line;
                }
                let _ = std::io::stderr().flush();
            }
        });
        *inner.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Self(inner)
    }

    /// What is going on now.
    pub fn set(&self, line: impl Into<String>) {
        *self.0.line.lock().unwrap_or_else(PoisonError::into_inner) = line.into();
    }

    /// Ends the line.
    pub fn finish(&self) {
        if let Some(task) = self
            .0
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            task.abort();
            if std::io::stderr().is_terminal() {
                eprint!("\r\x1b[K");
            }
        }
    }
}
