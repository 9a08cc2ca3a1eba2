//! A spool while it records: what its threads, its files and those who wait for it share.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use spanring::TraceId;
use spanring::recorder::Recorder;

use super::builder::{forget_children, termination_of_child};
use super::{Health, Level, StopReport};
use crate::ledger::Ledger;
use crate::lock::RecorderLock;
use crate::progress::{Progress, Stop};
use crate::ring_files::{Placement, remove_memory};
use crate::{Cursor, Error, RecorderId, RecorderReader, SpanData, SpoolDir, Termination, Trouble, layout};

/// How long [`Drop`] waits for the spool to be emptied.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a flush that waits for a sink looks at its cursor.
const CURSOR_INTERVAL: Duration = Duration::from_millis(5);

/// A spool that records. What its methods promise is said at those of [`Spool`](super::Spool).
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) dir: SpoolDir,
    pub(super) id: RecorderId,
    pub(super) recorder: &'static Recorder,
    pub(super) progress: Arc<Progress>,
    pub(super) placement: Placement,
    pub(super) sinks: Vec<String>,
    /// What of the environment was ignored.
    pub(super) warnings: Vec<Trouble>,
    pub(super) running: Option<Running>,
}

/// What a spool lets go of when it stops.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) lock: RecorderLock,
    pub(super) drain: JoinHandle<()>,
    pub(super) sync: JoinHandle<()>,
}

impl Recording {
    pub(super) fn flush(&self, level: Level, timeout: Duration) -> Result<(), Error> {
        if self.recorder.is_forked() {
            return Err(Error::InForkedChild);
        }
        let deadline = deadline_after(timeout);
        let timed_out = || Error::TimedOut { waited: timeout };
        let has_processed = || {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.recorder.flush_processors(left) { Ok(()) } else { Err(timed_out()) }
        };
        match level {
            Level::Recorded if self.placement == Placement::Heap => {
                return Err(Error::NotRecorded { path: self.dir.path().to_owned() });
            }
            Level::Recorded => return has_processed(),
            Level::Delivered if self.sinks.is_empty() => return Err(Error::NoSinkNamed),
            _ => {}
        }
        // First, as they may record what is to be flushed.
        let processed = has_processed();
        self.wait_spooled(deadline).ok_or_else(timed_out)?;
        processed?;
        if level == Level::Spooled {
            return Ok(());
        }
        let spooled = self.wait_durable(deadline, timed_out)?;
        if level == Level::Durable {
            return Ok(());
        }
        let path = self.dir.recorder_path(&self.id);
        for sink in &self.sinks {
            while Cursor::peek(&path, sink)?.position.next_sequence < spooled {
                if Instant::now() >= deadline {
                    return Err(timed_out());
                }
                thread::sleep(CURSOR_INTERVAL);
            }
        }
        Ok(())
    }

    /// Waits until the rings are released up to where they are filled now.
    fn wait_spooled(&self, deadline: Instant) -> Option<()> {
        let tails = self.recorder.tails();
        let is_spooled =
            || tails.iter().zip(self.recorder.released()).all(|(tail, released)| *tail <= released);
        let mut state = self.progress.lock();
        state.flushes += 1;
        let reached = loop {
            if is_spooled() {
                break Some(());
            }
            if let Some(running) = &self.running {
                running.drain.thread().unpark();
            }
            if Instant::now() >= deadline || state.stop == Stop::Done {
                break None;
            }
            // Woken by every commit; the limit is for a drain that is stuck.
            let pause = Instant::now() + Duration::from_millis(5);
            self.progress.wait_moved(&mut state, pause.min(deadline));
        };
        state.flushes -= 1;
        reached
    }

    /// Waits until all rows that are spooled now are durable, and returns how many these are.
    fn wait_durable(&self, deadline: Instant, timed_out: impl Fn() -> Error) -> Result<u64, Error> {
        let mut state = self.progress.lock();
        let spooled = state.spooled;
        while state.durable() < spooled {
            if state.not_durable {
                break;
            }
            if Instant::now() >= deadline || state.stop == Stop::Done {
                return Err(timed_out());
            }
            state.sync_wanted = true;
            self.progress.notify_work();
            self.progress.wait_moved(&mut state, deadline);
        }
        if state.not_durable {
            Err(Error::NotDurable { path: self.dir.path().to_owned() })
        } else {
            Ok(spooled)
        }
    }

    pub(super) fn ledger(&self) -> Ledger {
        if self.recorder.is_forked() {
            return Ledger::default();
        }
        let state = self.progress.lock();
        Ledger::live(&self.recorder.counters(), state.spooled_spans, state.damaged)
    }

    pub(super) fn health(&self) -> Health {
        if self.recorder.is_forked() {
            return Health { is_crash_safe: false, is_durable: false, trouble: None, warnings: Vec::new() };
        }
        let state = self.progress.lock();
        Health {
            is_crash_safe: self.placement != Placement::Heap,
            is_durable: !state.not_durable,
            trouble: state
                .troubles
                .iter()
                .next()
                .map(|(action, reason)| Trouble { action, reason: reason.clone() }),
            warnings: self.warnings.clone(),
        }
    }

    pub(super) fn termination(&self) -> Option<Termination> {
        if self.recorder.is_forked() {
            return termination_of_child();
        }
        self.progress.termination.get().cloned()
    }

    pub(super) fn trace(&self, id: TraceId) -> Result<Vec<SpanData>, Error> {
        let mut reader = RecorderReader::open(&self.dir.recorder_path(&self.id), true)?;
        let mut spans = Vec::new();
        while let Some(block) = reader.next_block()? {
            spans.extend(block.spans.into_iter().filter(|span| span.trace_id == id));
        }
        Ok(spans)
    }

    pub(super) fn stop(&mut self, timeout: Duration) -> StopReport {
        let Some(Running { lock, drain, sync }) = self.running.take() else {
            return StopReport { ledger: self.ledger(), is_complete: false };
        };
        if self.recorder.is_forked() {
            // All of it is the parent's: threads that do not exist here, and a descriptor that is closed.
            std::mem::forget((lock, drain, sync));
            return StopReport { ledger: Ledger::default(), is_complete: false };
        }
        // Whatever happens here, nobody may think that this process is dead while its threads still write.
        let lock = ManuallyDrop::new(lock);
        // First, so that it cannot take away what another start sets from now on.
        forget_children();
        self.recorder.uninstall();
        let is_idle = self.recorder.close();
        let deadline = deadline_after(timeout);
        // What they have not finished by then is theirs: it shows nowhere here.
        self.recorder.flush_processors(timeout);
        self.recorder.shut_processors_down();
        let mut state = self.progress.lock();
        state.stop = state.stop.max(Stop::Draining(deadline));
        // What has not been done by then is left behind: a sync that hangs, rings that a full disk keeps from being emptied.
        while state.stop < Stop::Done && Instant::now() < deadline {
            drain.thread().unpark();
            self.progress.notify_work();
            self.progress.wait_moved(&mut state, Instant::now() + Duration::from_millis(20));
        }
        let is_stopped = state.stop == Stop::Done;
        let is_durable = is_stopped && !state.not_durable && state.durable() == state.spooled;
        drop(state);
        let is_empty = self.recorder.tails() == self.recorder.released();
        let is_complete = is_idle && is_durable && is_empty && self.close().is_ok();
        if is_complete {
            drop(ManuallyDrop::into_inner(lock));
        }
        // Else it is held until the process ends: its death is what lets others recover the rest.
        if is_stopped {
            // Both threads are at their end; one that panicked is what the report shows as incomplete.
            drop(drain.join());
            drop(sync.join());
        }
        StopReport { ledger: self.ledger(), is_complete }
    }

    /// Marks the recorder as closed in order, after which its memory is not needed.
    fn close(&self) -> Result<(), Error> {
        let storage = &**self.dir.storage();
        let path = self.dir.recorder_path(&self.id);
        let marker = path.join(layout::CLOSED);
        let file = storage.create(&marker, 0).map_err(Error::io("create", &marker))?;
        file.syncer().sync().map_err(Error::io("sync", &marker))?;
        storage.sync_dir(&path).map_err(Error::io("sync", &path))?;
        if let Placement::Files(memory) = &self.placement {
            remove_memory(storage, memory)?;
        }
        Ok(())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.running.is_some() {
            drop(self.stop(DROP_TIMEOUT));
        }
    }
}

/// The moment after so long; one that is never reached where the clock does not go so far.
fn deadline_after(timeout: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + NEVER)
}
