//! How an exporter stands, while it works.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use spanring_spool::Ledger;

use super::report::SinkReport;

/// How an exporter stands at this moment, for whoever watches it. Its clones are of the same exporter.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Mutex<Snapshot>>);

/// How an exporter stood at one moment. All counts are since it began.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// When it began to deliver; `None` before that.
    pub began: Option<SystemTime>,
    /// Whether the spool was claimed and looked through once, so that what is said of recorders is known.
    pub is_looked_through: bool,
    /// Whether a stop was asked for.
    pub is_stopping: bool,
    /// Whether it has ended.
    pub has_ended: bool,
    /// When it last got on with looking through the spool, which it does every second; `None` before the first time. One that does not get
    /// on any more is stuck.
    pub turned_at: Option<Instant>,
    /// How many recorders were found.
    pub recorders: u64,
    /// How many of those are there.
    pub recorders_present: u64,
    /// How many recorders were recovered, since their process had died.
    pub recoveries: u64,
    /// Of how many recorders nobody can tell whether their process lives.
    pub unproven: u64,
    /// The account of the recorders that are there or were since it began, as of the last blocks that they wrote.
    pub ledger: Ledger,
    /// How many recorders were removed, since every sink had all that they held.
    pub recorders_removed: u64,
    /// How many segments were removed.
    pub segments_removed: u64,
    /// How many things do not work at present, apart from sinks.
    pub troubles: u64,
    /// The sinks, in the order in which they were named.
    pub sinks: Vec<SinkSnapshot>,
}

/// How a sink stood at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SinkSnapshot {
    /// What it was delivered since the exporter began. How it ended says nothing before it has.
    pub report: SinkReport,
    /// Whether it is delivered to.
    pub state: SinkState,
    /// Since when all attempts have failed.
    pub failing_since: Option<SystemTime>,
    /// When it took a batch last.
    pub delivered_at: Option<SystemTime>,
    /// How far it is behind.
    pub backlog: Backlog,
}

/// Whether a sink is delivered to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum SinkState {
    /// It takes what it is sent, or an attempt failed that is made again soon.
    #[default]
    Closed,
    /// It is taken for one that is out, and left alone until the next probe.
    Open,
    /// It was taken for one that is out, and is being probed.
    HalfOpen,
    /// It takes nothing until somebody changes something, and is asked every few minutes. It stays parked while it is asked.
    Parked,
    /// It is not asked any more.
    Ended,
}

/// What a sink has yet to be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Backlog {
    /// How many spans stand in the spool that it has not been done with. It is looked at every second; of a spool with very many recorders
    /// it takes some until all are known.
    pub spans: u64,
    /// How many traces are waited for, where it is delivered traces that are over: their spans are part of the backlog.
    pub open_traces: u64,
    /// When the first span ended that it has yet to get, of all recorders and of traces that are waited for, in nanoseconds since the Unix epoch; 0
    /// where there is none. Of a recorder that it has not come to it is as near as can be told without reading it: what waits ended then or later.
    /// It is looked at as `spans` is, and whenever the sink is sent something else.
    pub oldest_unix_ns: u64,
}

impl Snapshot {
    /// Whether spans are delivered, as far as there are any and the sinks take them.
    pub fn is_delivering(&self) -> bool {
        self.is_looked_through && !self.is_stopping && !self.has_ended
    }
}

impl Status {
    /// How it stands now.
    pub fn now(&self) -> Snapshot {
        self.lock().clone()
    }

    pub(super) fn update<R>(&self, change: impl FnOnce(&mut Snapshot) -> R) -> R {
        change(&mut self.lock())
    }

    /// Notes that the exporter gets on.
    pub(super) fn turn(&self) {
        self.lock().turned_at = Some(Instant::now());
    }

    /// Changes what is said of a sink.
    pub(super) fn update_sink(&self, number: usize, change: impl FnOnce(&mut SinkSnapshot)) {
        if let Some(sink) = self.lock().sinks.get_mut(number) {
            change(sink);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SinkSnapshot {
    pub(crate) fn new(name: &str) -> Self {
        SinkSnapshot {
            report: SinkReport::new(name),
            state: SinkState::default(),
            failing_since: None,
            delivered_at: None,
            backlog: Backlog::default(),
        }
    }
}
