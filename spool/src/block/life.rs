//! How a span's life shows in its row: when it started, how it ended, and whether that was in time.

use spanring::Status;
use spanring::clock::Timeline;
use spanring::record::{Body, Entry, Scalar, Time};

use super::{STATE_ANNOUNCEMENT, STATE_INTERRUPTED};

/// What a row says about its span.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    Ended,
    /// It ended at a moment that the caller gave, which lies before its start.
    EndedBeforeStart,
    Interrupted,
    Open,
}

impl Report {
    /// Its bits of the row's state.
    pub(super) fn state(self) -> u8 {
        match self {
            Report::Ended | Report::EndedBeforeStart => 0,
            Report::Interrupted => STATE_INTERRUPTED,
            Report::Open => STATE_ANNOUNCEMENT,
        }
    }

    /// The status of a span that was given `status`. What failed or was cancelled has not timed out as well.
    pub(super) fn status(self, status: Status, is_late: bool) -> Status {
        match (self, status) {
            (Report::Ended | Report::Interrupted, Status::Unset | Status::Ok | Status::TimedOut)
                if is_late =>
            {
                Status::TimedOut
            }
            (Report::Interrupted, _) => Status::Error,
            (Report::Ended | Report::EndedBeforeStart | Report::Open, status) => status,
        }
    }
}

/// When a span started.
pub(super) struct Start {
    time: Time,
    pub(super) unix_ns: u64,
    /// Whether it never did, and was made then.
    pub(super) is_pending: bool,
    /// Whether it did only as it was dropped.
    pub(super) by_drop: bool,
}

impl Start {
    pub(super) fn of(body: &Body<'_>, timeline: &Timeline) -> Self {
        let started = body.started();
        let time = started.unwrap_or(body.head.start);
        let unix_ns = match time {
            Time::Ticks(ticks) => timeline.unix_ns(ticks),
            Time::UnixNs(ns) => ns,
        };
        let is_by_drop = |entry| matches!(entry, Ok(Entry::Started { by_drop: true, .. }));
        let by_drop = body.head.is_pending && body.entries().any(is_by_drop);
        Start { time, unix_ns, is_pending: started.is_none(), by_drop }
    }

    /// A moment of the span in Unix nanoseconds: the start and the ticks from there, so that a clock that was set
    /// meanwhile does not show.
    pub(super) fn moment(&self, time: Time, timeline: &Timeline) -> u64 {
        match (self.time, time) {
            (Time::Ticks(start), Time::Ticks(ticks)) if ticks >= start => {
                self.unix_ns.saturating_add(timeline.elapsed_ns(start, ticks))
            }
            (Time::Ticks(start), Time::Ticks(ticks)) => {
                self.unix_ns.saturating_sub(timeline.elapsed_ns(ticks, start))
            }
            (Time::UnixNs(_), Time::Ticks(ticks)) => timeline.unix_ns(ticks),
            (_, Time::UnixNs(ns)) => ns,
        }
    }
}

/// The number that a deadline must be.
pub(super) fn whole_number(value: Scalar<'_>) -> Option<u64> {
    match value {
        Scalar::U64(number) => Some(number),
        Scalar::I64(number) => u64::try_from(number).ok(),
        _ => None,
    }
}
