//! A span ends: as somebody says, or because it is dropped, and into the ring of its own lane or on the long way.

use std::fmt;
use std::mem::ManuallyDrop;
use std::thread;

use serde::Serialize;

use super::{Ended, Span, State};
use crate::Status;
use crate::clock;
use crate::control::Counter;
use crate::failure::Failure;
use crate::in_span::is_given_up;
use crate::record::RECORD_END_IS_UNIX;
use crate::recorder::{self, DropReason, Recorder};
use crate::slot::{Claimed, Slot};
use crate::thread::local;

impl Span {
    /// Ends the span, and says whether it was recorded.
    #[inline(always)]
    pub fn end(self) -> Ended {
        finish(&ManuallyDrop::new(self), None)
    }

    /// Ends the span as a success.
    #[inline]
    pub fn complete(self) -> Ended {
        self.set_status(Status::Ok);
        self.end()
    }

    /// Ends the span as a success whose result is `payload`: see [`output`](Span::output).
    pub fn complete_with<T: Serialize + ?Sized>(self, payload: &T) -> Ended {
        self.output(payload).set_status(Status::Ok);
        self.end()
    }

    /// Ends the span as a failure: see [`error`](Span::error).
    pub fn fail<Via>(self, failure: impl Failure<Via>) -> Ended {
        self.record_failure(&failure);
        self.end()
    }

    /// Ends the span as a failure whose result is `payload`.
    pub fn fail_with<T: Serialize + ?Sized>(self, payload: &T) -> Ended {
        self.output(payload).set_status(Status::Error);
        self.end()
    }

    /// Ends the span as given up.
    pub fn cancel(self) -> Ended {
        self.set_status(Status::Cancelled);
        self.end()
    }

    /// Ends the span as the result says, and hands it on: `Ok` is a success, `Err` a failure (see [`error`](Span::error)).
    ///
    /// ```
    /// let call = spanring::tool("parse").start();
    /// let number = call.finish("12".parse::<u32>());
    /// assert_eq!(number, Ok(12));
    /// ```
    ///
    /// # Errors
    ///
    /// What it is given.
    pub fn finish<T, E: Failure<Via>, Via>(self, result: Result<T, E>) -> Result<T, E> {
        match &result {
            Ok(_) => _ = self.set_status(Status::Ok),
            Err(error) => self.record_failure(error),
        }
        result
    }

    /// [`finish`](Span::finish) for errors that can only be displayed.
    ///
    /// # Errors
    ///
    /// What it is given.
    pub fn finish_display<T, E: fmt::Display>(self, result: Result<T, E>) -> Result<T, E> {
        match &result {
            Ok(_) => _ = self.set_status(Status::Ok),
            Err(error) => self.record_display(error),
        }
        result
    }

    pub(crate) fn record_display<E: fmt::Display>(&self, error: &E) {
        if let State::Open(slot) = &self.state {
            self.set_status(Status::Error);
            slot.beyond_limit(|| _ = self.error_type(std::any::type_name::<E>()));
            self.status_display(error);
        }
    }

    /// Ends the span at this moment, in nanoseconds since the Unix epoch, and not now.
    pub fn end_at_unix_ns(self, end_unix_ns: u64) -> Ended {
        finish(&ManuallyDrop::new(self), Some(end_unix_ns))
    }
}

/// Ends a span, which must not be used again: its cells belong to others then.
#[inline(always)]
fn finish(span: &Span, end_unix_ns: Option<u64>) -> Ended {
    match &span.state {
        State::Open(slot) => {
            if let Some(unix_ns) = end_unix_ns {
                return finish_on_long_way(slot.lend(), RECORD_END_IS_UNIX, unix_ns);
            }
            let end = clock::ticks();
            match local().lane_on_short_way() {
                Some(lane) if slot.is_of(lane) => as_ended(slot.end_at_home(lane, end)),
                _ => finish_on_long_way(slot.lend(), 0, end),
            }
        }
        State::WithoutCell(recorder) => end_unslotted(recorder, DropReason::NoCell),
        State::WithoutLane(recorder) => end_unslotted(recorder, DropReason::NoLane),
        State::Off => Ended::NotRecording,
    }
}

#[inline(always)]
fn as_ended(recorded: Result<(), DropReason>) -> Ended {
    recorded.map_or_else(Ended::Dropped, |()| Ended::Recorded)
}

/// Ends a span that somebody is told of, or into another ring than that of its cell.
#[cold]
#[inline(never)]
fn finish_on_long_way(lent: ManuallyDrop<Claimed>, flags: u8, end: u64) -> Ended {
    let slot = lent.slot();
    let recorder = slot.recorder();
    if recorder.has_processors() {
        tell_of_end(lent);
    }
    match local().lane_in(recorder) {
        Some(lane) => as_ended(slot.end(lane, flags, end)),
        None => end_unattached(slot, flags, end),
    }
}

/// Has the processors told that a span is about to end.
#[cold]
#[inline(never)]
fn tell_of_end(lent: ManuallyDrop<Claimed>) {
    let (recorder, context) = (lent.recorder(), lent.context());
    if !recorder.is_forked() {
        let is_first = lent.head().is_first;
        let span = ManuallyDrop::new(Span { context, state: State::Open(ManuallyDrop::into_inner(lent)) });
        recorder.hooks().ending(recorder, &span, is_first);
    }
}

/// Ends a span on a thread that holds no lane of its recorder.
#[cold]
#[inline(never)]
fn end_unattached(slot: &Slot, flags: u8, end: u64) -> Ended {
    let recorder = slot.recorder();
    if slot.is_inherited() {
        return Ended::NotRecording;
    }
    // A thread that only ends spans takes a lane for it too.
    let current = recorder::catch_up().filter(|(_, current)| std::ptr::eq(*current, recorder));
    if let Some(lane) = current.and_then(|(generation, _)| local().attach(generation, recorder)) {
        return as_ended(slot.end(lane, flags, end));
    }
    match recorder.wait_for(|| recorder.orphan()) {
        Some(orphan) => as_ended(slot.end(orphan.lane, flags, end)),
        None => Ended::Dropped(slot.abandon(DropReason::NoLane)),
    }
}

#[cold]
#[inline(never)]
fn end_unslotted(recorder: &'static Recorder, reason: DropReason) -> Ended {
    if recorder.is_forked() {
        return Ended::NotRecording;
    }
    recorder.control().count(match reason {
        DropReason::NoLane => Counter::UnslottedNoLane,
        DropReason::NoCell | DropReason::RingFull => Counter::UnslottedNoCell,
    });
    Ended::Dropped(reason)
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if self.is_recording() {
            if thread::panicking() {
                self.fail_by_panic();
            } else if self.work().is_some_and(is_given_up) {
                self.cancel_unless_said();
            }
        }
        // Whether it was recorded is counted; only `end` tells.
        let _outcome = finish(self, None);
    }
}

impl Span {
    /// What is dropped after its work was has been cancelled, unless something else was said.
    #[cold]
    #[inline(never)]
    fn cancel_unless_said(&self) {
        if self.status() == Status::Unset {
            self.set_status(Status::Cancelled);
        }
    }

    /// What is dropped because of a panic has failed, unless something else was said.
    #[cold]
    #[inline(never)]
    fn fail_by_panic(&self) {
        if self.status() == Status::Unset {
            self.set_status(Status::Error).error_type("panic").status_message("dropped by a panic");
        }
    }
}
