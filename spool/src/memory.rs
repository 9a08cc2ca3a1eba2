//! Recording into memory, for tests of what a program records.
//!
//! ```
//! use spanring_spool::memory::MemoryRecorder;
//! use spanring::Status;
//!
//! # fn main() -> Result<(), spanring_spool::memory::MemoryError> {
//! let recorder = MemoryRecorder::start()?;
//!
//! // The code under test.
//! let run = spanring::trace("research").start();
//! let call = run.llm("gpt-4o").start();
//! call.event("retry");
//! call.complete();
//! run.tool("search").start().fail("rate limited");
//! drop(run);
//!
//! recorder.assert_tree(
//!     "
//!     research (agent)
//!       chat gpt-4o (llm) ok
//!         · event: retry
//!       execute_tool search (tool) error: rate limited
//!     ",
//! );
//! let spans = recorder.spans();
//! spans.one("chat gpt-4o").assert_attribute("gen_ai.request.model", "gpt-4o").assert_under(&spans.one("research"));
//! spans.one("execute_tool search").assert_status(Status::Error);
//! recorder.assert_no_open_spans();
//! # Ok(())
//! # }
//! ```
//!
//! Nothing is written to disk, and no thread is started. A span that ended is there at once: ending is synchronous, so there is nothing to
//! wait for but the threads and tasks under test themselves. It went through the same rings and blocks, and is decoded by the same code, as a
//! span that is read from a spool. Everything that can be asked of spans panics where the answer is not the expected one.
//!
//! # The outline of a trace
//!
//! [`tree`](Spans::tree) writes, and [`assert_tree`](Spans::assert_tree) compares, a line a span, indented by two spaces under its parent.
//! Siblings stand in the order in which they started, or [in any order](Spans::in_any_order).
//!
//! ```text
//! research (agent)
//!   chat gpt-4o (llm) ok
//!     · event: retry
//!     · gen_ai.request.model = "gpt-4o"
//!   execute_tool search (tool) error: rate limited
//!   plan open
//!   ...
//! ```
//!
//! | written | says of the span |
//! |---|---|
//! | `chat gpt-4o` | its name, and that it ended and nobody said that it failed, was cancelled or timed out |
//! | `(llm)` | its [kind](spanring::Kind); any where none is written |
//! | `ok` `error` `cancelled` `timed_out` | its [status](spanring::Status) |
//! | `error: rate limited` | and what was said about it; anything where nothing is written |
//! | `open` | that it has not ended |
//! | `cancelled, never started` | that it was pending to the end; where only `cancelled` is written, it may have been |
//! | `· event: retry` | that it has such an event; events stand in their order, and others may stand between them |
//! | `· key = value` | that it has this attribute; others are not looked at. `· key = ...` for any value |
//! | `...` | in the place of spans: any number of them, with all that stands under them, or none |
//!
//! Under a span stands what is written there and no other span, unless `...` is. What a terminal would obey is written as an escape; a name that
//! could be mistaken (empty, with blanks around it, `...`) is written in quotes. Values are written as in Rust: `"text"`, `1`, `1.0`,
//! `true`, `null`, `[1, 2]`, `{"key": "value"}`, `b"bytes"`.
//!
//! # One at a time
//!
//! A process has one recorder, and `cargo test` runs the tests of a binary on several threads. So [`MemoryRecorder::start`] waits until
//! no other is alive: tests that record run one after another, and the others beside them.
//!
//! What *any* thread records meanwhile is recorded, that of other tests too. Where tests of the same binary run instrumented code without a
//! recorder of their own, look only at the trace of your own ([`Spans::of_trace`]), or run each test in a process of its own, as `cargo nextest` does.
//!
//! Spans that are open when a recorder is dropped can still end, and are in none that is started later. The memory of a recorder (20 MiB, and
//! what is recorded) is used again by the next, unless such spans are left; then by one after they have ended. A hundred tests of a
//! binary can leave spans open for ever.
//!
//! # What it cannot do
//!
//! Between two looks at what is recorded, all must fit the rings, as nobody empties them: see [`MemoryRecorderBuilder`]. What does not fit is
//! dropped, and everything that is asked of the spans then panics and says so. The environment is not looked at: neither
//! `OTEL_SDK_DISABLED` nor any other variable changes what a test sees. In a forked child nothing is recorded. With the feature
//! `off` of `spanring` there is nothing to see.

mod compare;
mod outline;
mod rings;
mod spans;
#[cfg(test)]
mod tests;
mod turn;

use std::fmt;
use std::io;
use std::time::Duration;

use parking_lot::Mutex;
use spanring::Hooks;
use spanring::recorder::{Limits, RecorderError};

pub use spans::{Found, Spans};

use crate::{Ledger, Trace};
use rings::{Plan, Rings};
use turn::Turn;

/// How long processors may take to finish what they have begun.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Records into memory for as long as it lives. See [the module](self).
#[derive(Debug)]
#[must_use = "recording stops when the recorder is dropped"]
pub struct MemoryRecorder {
    /// `None` once it has stopped.
    rings: Mutex<Option<Rings>>,
    turn: Turn,
}

/// How a [`MemoryRecorder`] works. Its defaults are those of a spool, so that values are cut and left out where they would be there, and
/// its room is for what 64 threads record at the same time.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is recorded before `start`"]
pub struct MemoryRecorderBuilder {
    plan: Plan,
    hooks: Hooks,
}

/// Why nothing could be recorded into memory.
#[derive(Debug)]
#[non_exhaustive]
pub enum MemoryError {
    /// A spool, or a recorder that something else has made, records in this process.
    AlreadyRecording,
    /// This thread has started one that is still alive, and would wait for itself.
    OnThisThread,
    /// The ring's length is no power of two from 4 KiB to 1 GiB.
    RingLength,
    /// More than 1,023 threads, or spans of some hundred earlier recorders are still open: their memory cannot be used again, and
    /// a process can have no more of it.
    TooMany,
    /// The operating system has no memory.
    Memory(io::Error),
}

impl MemoryRecorder {
    /// Records from now on, once no other [`MemoryRecorder`] of the process is alive.
    ///
    /// # Errors
    ///
    /// [`MemoryError::AlreadyRecording`], [`MemoryError::OnThisThread`], [`MemoryError::TooMany`], [`MemoryError::Memory`].
    pub fn start() -> Result<Self, MemoryError> {
        Self::builder().start()
    }

    /// For another setup than the usual.
    pub fn builder() -> MemoryRecorderBuilder {
        MemoryRecorderBuilder::default()
    }

    /// What was recorded so far, in the order in which it started. Spans that are open are among them, as they were when they started,
    /// and are [marked](crate::SpanData::is_open); those that are pending are not.
    ///
    /// # Panics
    ///
    /// When a span was dropped for lack of room: what is said about the others may be wrong then.
    #[track_caller]
    pub fn spans(&self) -> Spans {
        let mut rings = self.rings.lock();
        let Some(rings) = &mut *rings else { return Spans::default() };
        if let Some(lost) = rings.look() {
            panic!("{lost}");
        }
        Spans::new(rings.spans())
    }

    /// What was recorded so far, by trace.
    ///
    /// # Panics
    ///
    /// As [`spans`](Self::spans).
    #[track_caller]
    pub fn traces(&self) -> Vec<Trace> {
        Trace::collect(self.spans())
    }

    /// What was recorded so far, as text: see [`Spans::tree`].
    ///
    /// # Panics
    ///
    /// As [`spans`](Self::spans).
    #[track_caller]
    pub fn tree(&self) -> String {
        self.spans().tree()
    }

    /// Compares what was recorded so far with an outline: see [`Spans::assert_tree`].
    ///
    /// # Panics
    ///
    /// When it is not as expected, and as [`spans`](Self::spans).
    #[track_caller]
    pub fn assert_tree(&self, expected: &str) {
        self.spans().assert_tree(expected);
    }

    /// That every span that was made has ended, pending ones included.
    ///
    /// # Panics
    ///
    /// When one has not, and as [`spans`](Self::spans).
    #[track_caller]
    pub fn assert_no_open_spans(&self) {
        let spans = self.spans();
        spans.assert_no_open_spans();
        let open = self.ledger().in_flight;
        assert!(
            open == 0,
            "{open} spans have not ended that are pending, or found no room when they started"
        );
    }

    /// The account, which tells what was dropped, cut or left out. Exact while no span starts or ends.
    pub fn ledger(&self) -> Ledger {
        self.rings.lock().as_mut().map(Rings::ledger).unwrap_or_default()
    }

    /// Ends recording, and returns what was recorded. Dropping the recorder ends it as well.
    ///
    /// # Panics
    ///
    /// As [`spans`](Self::spans).
    #[track_caller]
    pub fn stop(self) -> Spans {
        // Before it is looked at, so that nothing is added meanwhile.
        if let Some(rings) = &*self.rings.lock() {
            rings.uninstall();
        }
        self.spans()
    }
}

impl Drop for MemoryRecorder {
    fn drop(&mut self) {
        if let Some(rings) = self.rings.get_mut().take() {
            rings.uninstall();
            rings.shut_down(FLUSH_TIMEOUT);
            self.turn.keep(rings);
        }
    }
}

impl MemoryRecorderBuilder {
    /// The length of each thread's ring in bytes, a power of two from 4 KiB to 1 GiB; 1 MiB unless said otherwise. All that a thread records
    /// between two looks must fit, each span twice: when it starts, and when it ends. A span takes at most a quarter of it.
    pub fn ring_bytes(mut self, ring_bytes: usize) -> Self {
        self.plan.ring_bytes = ring_bytes;
        self
    }

    /// How many threads can record at the same time, 1,023 at most; 64 unless said otherwise.
    pub fn threads(mut self, threads: usize) -> Self {
        self.plan.threads = threads;
        self
    }

    /// How much a span may hold, as in a [spool](crate::SpoolBuilder::limits).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.plan.limits = limits;
        self
    }

    /// The sampler, filter, redaction and processors under test. There are none unless said otherwise.
    pub fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// Records from now on, once no other [`MemoryRecorder`] of the process is alive.
    ///
    /// # Errors
    ///
    /// Those of [`MemoryRecorder::start`], and [`MemoryError::RingLength`].
    pub fn start(self) -> Result<MemoryRecorder, MemoryError> {
        let mut turn = Turn::wait()?;
        let rings = turn.rings(self.plan, self.hooks)?;
        if let Err(error) = rings.install() {
            turn.keep(rings);
            return Err(error);
        }
        Ok(MemoryRecorder { rings: Mutex::new(Some(rings)), turn })
    }
}

impl From<RecorderError> for MemoryError {
    fn from(error: RecorderError) -> Self {
        match error {
            RecorderError::AlreadyInstalled => MemoryError::AlreadyRecording,
            RecorderError::RingLength => MemoryError::RingLength,
            _ => MemoryError::TooMany,
        }
    }
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryError::AlreadyRecording => {
                f.write_str("cannot record into memory: a spool records in this process")
            }
            MemoryError::OnThisThread => {
                f.write_str("this thread has a MemoryRecorder already, which must be dropped first")
            }
            MemoryError::RingLength => write!(f, "{}", RecorderError::RingLength),
            MemoryError::TooMany => write!(f, "{}", RecorderError::TooMany),
            MemoryError::Memory(error) => write!(f, "there is no memory to record into: {error}"),
        }
    }
}

impl std::error::Error for MemoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MemoryError::Memory(error) => Some(error),
            _ => None,
        }
    }
}
