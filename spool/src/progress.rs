//! How far spooling has come: what the drain thread, the sync thread and those who flush tell each other.
//!
//! # Invariants
//!
//! * **G1** Rows below `spooled` are committed in segments, in the order of their sequence.
//! * **G2** Every committed row that is not known to survive a power cut lies in a [`Dirty`] segment, at or behind its `first`.
//!   So what lies below all of them is durable.
//! * **G3** A segment whose sync failed stays dirty until its rows were written to another one: no later sync of it counts for
//!   them, since the kernel has marked its pages as clean (see [`storage`](crate::storage)).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::Termination;
use crate::storage::{StorageFile, StorageSync};

/// Shared by the threads of one spool.
#[derive(Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
    /// Something moved that a flush may wait for.
    moved: Condvar,
    /// There is something to do for the sync thread.
    work: Condvar,
    /// Set once a receiver wants the process stopped. Read without the lock, as often as a program likes.
    pub(crate) termination: OnceLock<Termination>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

/// What is known at one moment.
#[derive(Default)]
pub(crate) struct State {
    /// The sequence of the next row to be committed.
    pub(crate) spooled: u64,
    /// Of the committed rows, how many are spans and no announcements.
    pub(crate) spooled_spans: u64,
    /// Spans lost to damage of a ring.
    pub(crate) damaged: u64,
    /// Segments with rows that are not durable yet, oldest first.
    pub(crate) dirty: Vec<Dirty>,
    /// Segments that are full, to be cut to their length and synced.
    pub(crate) sealed: Vec<Sealed>,
    /// The segment that comes next, ready to be written to.
    pub(crate) standby: Option<Standby>,
    /// How long the next segment must be at least; 0 while none is wanted.
    pub(crate) standby_wanted: u64,
    /// How many segments there are or were, the standby included.
    pub(crate) segments: u64,
    /// How many flushes wait for what lies in rings to be spooled.
    pub(crate) flushes: u32,
    /// Whether a sync is wanted at once.
    pub(crate) sync_wanted: bool,
    /// Whether rows were lost to a failed sync that could not be written again, so that nothing behind them counts as durable.
    pub(crate) not_durable: bool,
    /// What has failed and not succeeded since, with the reason.
    pub(crate) troubles: BTreeMap<&'static str, String>,
    /// Where a stop is.
    pub(crate) stop: Stop,
}

/// The stages of a stop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Stop {
    #[default]
    Running,
    /// The drain is to empty the rings and seal, if it can by then.
    Draining(Instant),
    /// The drain is done; the sync thread is to sync what is left.
    Syncing,
    /// Both are done.
    Done,
}

/// A segment with rows that may not survive a power cut.
pub(crate) struct Dirty {
    pub(crate) segment: u64,
    pub(crate) file: Arc<dyn StorageSync>,
    /// The first of those rows.
    pub(crate) first: u64,
    /// The first of the rows that were written since the last sync began; `None` where none was.
    pub(crate) written: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) since: Instant,
    pub(crate) failed: bool,
}

/// A segment that is full.
pub(crate) struct Sealed {
    pub(crate) file: Box<dyn StorageFile>,
    pub(crate) len: u64,
}

/// A segment that is ready to be written to: its header and its name survive a power cut.
pub(crate) struct Standby {
    pub(crate) number: u64,
    pub(crate) nonce: u64,
    pub(crate) len: u64,
    pub(crate) file: Box<dyn StorageFile>,
}

/// What does not work at present.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// What failed, as it follows "cannot".
    pub action: &'static str,
    /// Why.
    pub reason: String,
}

impl State {
    /// Rows below this one survive a power cut.
    pub(crate) fn durable(&self) -> u64 {
        self.dirty.iter().map(|dirty| dirty.first).min().unwrap_or(self.spooled)
    }

    /// Notes that a block was committed.
    pub(crate) fn commit(
        &mut self,
        segment: u64,
        file: &Arc<dyn StorageSync>,
        rows: std::ops::Range<u64>,
        bytes: u64,
    ) {
        match self.dirty.iter_mut().find(|dirty| dirty.segment == segment && !dirty.failed) {
            Some(dirty) => {
                dirty.bytes += bytes;
                dirty.first = dirty.first.min(rows.start);
                // Not only of new rows: those whose sync had failed elsewhere are written here again.
                dirty.written = Some(dirty.written.map_or(rows.start, |first| first.min(rows.start)));
            }
            None => self.dirty.push(Dirty {
                segment,
                file: file.clone(),
                first: rows.start,
                written: Some(rows.start),
                bytes,
                since: Instant::now(),
                failed: false,
            }),
        }
        self.spooled = self.spooled.max(rows.end);
    }

    /// Notes that something does not work.
    pub(crate) fn fail(&mut self, action: &'static str, reason: String) {
        self.troubles.insert(action, reason);
    }

    /// Notes that something works, again perhaps.
    pub(crate) fn succeed(&mut self, action: &'static str) {
        self.troubles.remove(action);
    }

    /// Whether what is dirty is old or large enough to be synced.
    pub(crate) fn is_sync_due(&self, interval: Duration, bytes_max: u64) -> bool {
        let mut dirty = self.dirty.iter().filter(|dirty| !dirty.failed).peekable();
        dirty.peek().is_some()
            && (self.sync_wanted
                || self.stop >= Stop::Syncing
                || dirty.any(|dirty| dirty.bytes >= bytes_max || dirty.since.elapsed() >= interval))
    }

    /// The segments to sync now. What is written to them from here on is not covered.
    pub(crate) fn begin_sync(&mut self) -> Vec<(u64, Arc<dyn StorageSync>)> {
        let dirty = self.dirty.iter_mut().filter(|dirty| !dirty.failed);
        dirty
            .map(|dirty| {
                dirty.written = None;
                (dirty.segment, dirty.file.clone())
            })
            .collect()
    }

    /// Notes that the sync of a segment has succeeded or failed.
    pub(crate) fn end_sync(&mut self, segment: u64, is_synced: bool) {
        let Some(at) = self.dirty.iter().position(|dirty| dirty.segment == segment && !dirty.failed) else {
            return;
        };
        let dirty = &mut self.dirty[at];
        match dirty.written {
            _ if !is_synced => dirty.failed = true,
            None => drop(self.dirty.remove(at)),
            Some(first) => (dirty.first, dirty.bytes, dirty.since) = (first, 0, Instant::now()),
        }
    }

    /// The oldest row of a segment whose sync failed.
    pub(crate) fn failed_from(&self) -> Option<u64> {
        self.dirty.iter().filter(|dirty| dirty.failed).map(|dirty| dirty.first).min()
    }
}

impl Progress {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Tells those who flush.
    pub(crate) fn notify_moved(&self) {
        self.moved.notify_all();
    }

    /// Tells the sync thread.
    pub(crate) fn notify_work(&self) {
        self.work.notify_all();
    }

    /// Waits until something moved, or `deadline`; `false` at the deadline.
    pub(crate) fn wait_moved(&self, state: &mut MutexGuard<'_, State>, deadline: Instant) -> bool {
        !self.moved.wait_until(state, deadline).timed_out()
    }

    /// Waits until there is work, `timeout` at most.
    pub(crate) fn wait_work(&self, state: &mut MutexGuard<'_, State>, timeout: Duration) {
        // Why it returns does not matter: the caller looks what there is to do.
        let _ = self.work.wait_for(state, timeout);
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    struct Synced;
    impl StorageSync for Synced {
        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_lies_below_all_dirty_rows_is_durable() {
        let file: Arc<dyn StorageSync> = Arc::new(Synced);
        let mut state = State::default();
        assert_eq!(state.durable(), 0);
        state.commit(1, &file, 0..5, 100);
        state.commit(2, &file, 5..9, 100);
        assert_eq!((state.spooled, state.durable()), (9, 0));
        state.dirty.remove(0);
        assert_eq!(state.durable(), 5);
        state.dirty.clear();
        assert_eq!(state.durable(), 9);
    }

    #[test]
    fn rows_written_while_a_sync_goes_on_are_not_durable_by_it_even_if_they_are_old() {
        let file: Arc<dyn StorageSync> = Arc::new(Synced);
        let mut state = State::default();
        state.commit(1, &file, 0..9, 100);
        state.begin_sync();
        state.end_sync(1, false);
        // The first rows are written again, and a sync begins before the others are.
        state.commit(2, &file, 0..5, 50);
        assert_eq!(state.begin_sync().len(), 1);
        state.commit(2, &file, 5..9, 50);
        state.end_sync(2, true);
        state.dirty.retain(|dirty| !dirty.failed);
        assert_eq!((state.spooled, state.durable()), (9, 5));
        state.begin_sync();
        state.end_sync(2, true);
        assert_eq!(state.durable(), 9);
    }

    #[test]
    fn rows_written_again_elsewhere_do_not_move_the_end_back() {
        let file: Arc<dyn StorageSync> = Arc::new(Synced);
        let mut state = State::default();
        state.commit(1, &file, 0..9, 100);
        state.dirty[0].failed = true;
        state.commit(2, &file, 0..5, 100);
        assert_eq!((state.spooled, state.durable(), state.failed_from()), (9, 0, Some(0)));
    }
}
