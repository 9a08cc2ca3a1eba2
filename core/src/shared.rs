//! A span that several threads hold.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::misuse::{self, Misuse};
use crate::pending::Pending;
use crate::span::{Ended, Span};
use crate::{Lifecycle, Status};

/// A span that can be cloned and used from several threads, for programs that cannot tell who ends it.
///
/// It lives on the heap and behind a lock, unlike [`Span`]. What comes too late (a second start or end, a change after the end) does
/// nothing; where there is a recorder it is counted, and warned about once, on standard error and by the thread that calls. When the last clone is dropped, the span ends if nobody ended it.
///
/// ```
/// let shared = spanring::tool("search").prepare().shared();
/// let clone = shared.clone();
/// std::thread::spawn(move || {
///     clone.start();
///     clone.with(|span| {
///         span.output("3 hits");
///     });
///     clone.complete();
/// })
/// .join()
/// .unwrap();
/// assert!(!shared.with(|span| {
///     span.output("too late");
/// }));
/// ```
#[must_use = "a shared span ends when its last clone is dropped"]
#[derive(Clone)]
pub struct SharedSpan {
    context: Context,
    held: Arc<Mutex<Held>>,
}

enum Held {
    Pending(Pending),
    Active(Span),
    Over(Over),
}

/// What remains to be asked about a span that has ended.
#[derive(Clone, Debug)]
struct Over {
    status: Status,
    start_unix_ns: Option<u64>,
    end_unix_ns: u64,
    error: Option<String>,
}

impl SharedSpan {
    pub(crate) fn pending(pending: Pending) -> Self {
        SharedSpan { context: pending.context(), held: Arc::new(Mutex::new(Held::Pending(pending))) }
    }

    pub(crate) fn active(span: Span) -> Self {
        SharedSpan { context: span.context(), held: Arc::new(Mutex::new(Held::Active(span))) }
    }

    /// No call leaves the span in between, so one that panicked within a caller's closure has done no harm.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The identities to start other spans under this one, on any thread.
    pub fn context(&self) -> Context {
        self.context
    }

    /// Starts the span if it is pending, and says whether it did.
    pub fn start(&self) -> bool {
        let mut held = self.held();
        match std::mem::replace(&mut *held, Held::Active(Span::off(self.context))) {
            Held::Pending(pending) => {
                *held = Held::Active(pending.start());
                true
            }
            other => {
                *held = other;
                misuse::report(Misuse::SecondStart);
                false
            }
        }
    }

    /// Lets `change` set things on the span, and says whether it could: not after the end.
    ///
    /// The span is locked meanwhile, so `change` must not use this handle or a clone of it.
    pub fn with(&self, change: impl FnOnce(&Span)) -> bool {
        match &*self.held() {
            Held::Pending(pending) => change(pending),
            Held::Active(span) => change(span),
            Held::Over(_) => {
                misuse::report(Misuse::ChangeAfterEnd);
                return false;
            }
        }
        true
    }

    /// See [`Span::end`]. A pending span is started before.
    pub fn end(&self) -> Ended {
        self.end_after(None, true, |_| ())
    }

    /// See [`Span::complete`]. A pending span is started before.
    pub fn complete(&self) -> Ended {
        self.end_after(Some(Status::Ok), true, |_| ())
    }

    /// See [`Span::complete_with`]. A pending span is started before.
    pub fn complete_with<T: Serialize + ?Sized>(&self, payload: &T) -> Ended {
        self.end_after(Some(Status::Ok), true, |span| _ = span.output(payload))
    }

    /// See [`Span::cancel`]. A pending span is cancelled without having started.
    pub fn cancel(&self) -> Ended {
        self.end_after(Some(Status::Cancelled), false, |_| ())
    }

    /// See [`Span::fail`]. A pending span is started before.
    pub fn fail<Via>(&self, failure: impl Failure<Via>) -> Ended {
        self.end_after(Some(Status::Error), true, |span| span.record_failure(&failure))
    }

    /// See [`Span::fail_with`]. A pending span is started before.
    pub fn fail_with<T: Serialize + ?Sized>(&self, payload: &T) -> Ended {
        self.end_after(Some(Status::Error), true, |span| _ = span.output(payload))
    }

    /// See [`Span::finish`]. A pending span is started before.
    ///
    /// # Errors
    ///
    /// What it is given.
    pub fn finish<T, E: Failure<Via>, Via>(&self, result: Result<T, E>) -> Result<T, E> {
        // Whether it was recorded is counted.
        let _outcome = match &result {
            Ok(_) => self.complete(),
            Err(error) => self.end_after(Some(Status::Error), true, |span| span.record_failure(error)),
        };
        result
    }

    /// Ends the span with this status, or the one it has, after `conclude` has said more; one that is pending starts before if
    /// `starts`.
    ///
    /// Nothing is locked meanwhile, as `conclude` runs code of an error's, which may use this handle. It is over already then.
    fn end_after(&self, status: Option<Status>, starts: bool, conclude: impl FnOnce(&Span)) -> Ended {
        let end_unix_ns = clock::unix_ns();
        let mut held = self.held();
        let has_started = starts || !matches!(&*held, Held::Pending(_));
        let over = |status| Over { status, start_unix_ns: None, end_unix_ns, error: None };
        let span = match std::mem::replace(&mut *held, Held::Over(over(status.unwrap_or_default()))) {
            Held::Active(span) => span,
            Held::Pending(pending) if starts => pending.start(),
            Held::Pending(pending) => pending.into_unstarted(),
            over @ Held::Over(_) => {
                *held = over;
                misuse::report(Misuse::SecondEnd);
                return Ended::AlreadyEnded;
            }
        };
        drop(held);
        if let Some(status) = status {
            span.set_status(status);
        }
        conclude(&span);
        let start_unix_ns = span.start_unix_ns().filter(|_| has_started);
        let (error, deadline_ns) = span.remarks();
        // Unless recording is off, when nothing is known of the span but what it was ended as.
        let mut status = if span.is_recording() { span.status() } else { status.unwrap_or_default() };
        let is_late = start_unix_ns
            .zip(deadline_ns)
            .is_some_and(|(start, deadline)| end_unix_ns.saturating_sub(start) > deadline);
        // As it will be read: see `Span::deadline`.
        if is_late && matches!(status, Status::Unset | Status::Ok) {
            status = Status::TimedOut;
        }
        let ended = span.end();
        *self.held() = Held::Over(Over { status, start_unix_ns, end_unix_ns, error });
        ended
    }

    /// [`finish`](SharedSpan::finish) for errors that can only be displayed.
    ///
    /// # Errors
    ///
    /// What it is given.
    pub fn finish_display<T, E: fmt::Display>(&self, result: Result<T, E>) -> Result<T, E> {
        // Whether it was recorded is counted.
        let _outcome = match &result {
            Ok(_) => self.complete(),
            Err(error) => self.end_after(Some(Status::Error), true, |span| span.record_display(error)),
        };
        result
    }

    /// How the span stands, or how it ended.
    pub fn status(&self) -> Status {
        match &*self.held() {
            Held::Pending(pending) => pending.status(),
            Held::Active(span) => span.status(),
            Held::Over(over) => over.status,
        }
    }

    /// Where the span is in its life.
    pub fn lifecycle(&self) -> Lifecycle {
        match &*self.held() {
            Held::Pending(_) => Lifecycle::Pending,
            Held::Active(_) => Lifecycle::Active,
            Held::Over(over) => match over.status {
                Status::Unset | Status::Ok => Lifecycle::Complete,
                Status::Error => Lifecycle::Failed,
                Status::Cancelled => Lifecycle::Cancelled,
                Status::TimedOut => Lifecycle::TimedOut,
            },
        }
    }

    /// When the span started, in nanoseconds since the Unix epoch, see [`Span::start_unix_ns`].
    pub fn start_unix_ns(&self) -> Option<u64> {
        match &*self.held() {
            Held::Pending(_) => None,
            Held::Active(span) => span.start_unix_ns(),
            Held::Over(over) => over.start_unix_ns,
        }
    }

    /// When the span ended, in nanoseconds since the Unix epoch; `None` before it has.
    pub fn end_unix_ns(&self) -> Option<u64> {
        match &*self.held() {
            Held::Over(over) => Some(over.end_unix_ns),
            _ => None,
        }
    }

    /// What was said about its failure, see [`Span::error_message`].
    pub fn error_message(&self) -> Option<String> {
        match &*self.held() {
            Held::Pending(pending) => pending.error_message(),
            Held::Active(span) => span.error_message(),
            Held::Over(over) => over.error.clone(),
        }
    }

    /// Whether anything that is set on the span is recorded: not after its end.
    pub fn is_recording(&self) -> bool {
        match &*self.held() {
            Held::Pending(pending) => pending.is_recording(),
            Held::Active(span) => span.is_recording(),
            Held::Over(_) => false,
        }
    }
}

impl fmt::Debug for SharedSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSpan").field("context", &self.context).finish_non_exhaustive()
    }
}
