//! The spool of this process: started once, held for as long as spans are to be recorded.

mod builder;
mod choosing;
mod recording;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use spanring::TraceId;

pub use builder::SpoolBuilder;
use recording::Recording;

use crate::ledger::Ledger;
use crate::{Error, RecorderId, SpanData, Termination, Trouble};

/// What must have happened to a span. Each level includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Its `end` returned `Recorded`: it survives SIGKILL, abort, panic and the OOM killer, until the machine is rebooted.
    Recorded,
    /// It stands in a segment.
    Spooled,
    /// The segment was synced: it survives a power cut and a kernel panic.
    Durable,
    /// Every sink that the spool's configuration names has acknowledged it, or refused it for good, so that it is a dead letter.
    Delivered,
}

/// The spool of this process. While it lives, spans are recorded.
///
/// [`stop`](Spool::stop) empties and closes it, and tells how that went; dropping it tries the same for up to five
/// seconds. A process that is killed needs neither: what it had recorded is recovered.
///
/// In a forked child the spool is the parent's, and does nothing. A child that records gets a recorder of its own in the
/// same directory, at its first span.
///
/// Where the variable `SPANRING_DISABLED` or `OTEL_SDK_DISABLED` is `true` when the spool starts, or recording was compiled out, it [is disabled](Spool::is_disabled): there is no directory
/// and no thread, spans cost what they cost without a spool, and everything that can be asked of it is as if nothing had been
/// recorded, for that is so.
#[derive(Debug)]
#[must_use = "recording stops when the spool is dropped"]
pub struct Spool {
    id: RecorderId,
    /// `None` while the environment has recording disabled.
    recording: Option<Recording>,
}

/// What became of everything that was recorded, when a spool stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct StopReport {
    /// The account.
    pub ledger: Ledger,
    /// Whether all is in segments and durable. If not, spans were still open, threads may still record, or the disk refused:
    /// what is missing stays in the rings, and is recovered when the process has ended.
    pub is_complete: bool,
}

/// How it stands with a spool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// Whether what is recorded survives the process. It does not where no file system was found to keep the rings in.
    pub is_crash_safe: bool,
    /// Whether a sync has failed in a way that cannot be made good: nothing from then on counts as durable.
    pub is_durable: bool,
    /// What does not work at present, such as preparing a segment on a full disk.
    pub trouble: Option<Trouble>,
    /// The variables of the environment that made no sense when the spool started, and as what each of them counts, if it does.
    pub warnings: Vec<Trouble>,
}

impl Spool {
    /// A spool in the directory at `path`, which is made where there is none.
    pub fn open(path: impl AsRef<Path>) -> SpoolBuilder {
        SpoolBuilder::new(path.as_ref())
    }

    /// Whether nothing is recorded, since the environment said so when the spool started, or recording was compiled out.
    pub fn is_disabled(&self) -> bool {
        self.recording.is_none()
    }

    /// The recorder of this process. That of a disabled spool has recorded nothing, and is nowhere.
    pub fn id(&self) -> &RecorderId {
        &self.id
    }

    /// Waits until everything that was recorded before the call has reached a level. With a disabled spool that is nothing, so any
    /// level is reached at once.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: it may still get there. At once: [`Error::NotRecorded`] for [`Level::Recorded`] where rings do not
    /// survive the process; [`Error::NotDurable`] where a sync has failed for good; [`Error::NoSinkNamed`] for
    /// [`Level::Delivered`] where the configuration names none; [`Error::InForkedChild`].
    pub fn flush(&self, level: Level, timeout: Duration) -> Result<(), Error> {
        self.recording.as_ref().map_or(Ok(()), |recording| recording.flush(level, timeout))
    }

    /// The account, as of now: exact while no span starts or ends.
    pub fn ledger(&self) -> Ledger {
        self.recording.as_ref().map(Recording::ledger).unwrap_or_default()
    }

    /// Whether everything works. A disabled spool has nothing that could fail.
    pub fn health(&self) -> Health {
        let nothing_fails =
            || Health { is_crash_safe: true, is_durable: true, trouble: None, warnings: Vec::new() };
        self.recording.as_ref().map_or_else(nothing_fails, Recording::health)
    }

    /// Whether a receiver of the spans wants this process stopped, and why; the process does with it what it likes. `None` until an exporter was told so,
    /// and for a disabled spool. In a forked child that records, whether the child is to stop.
    ///
    /// ```
    /// # fn work(spool: &spanring_spool::Spool, tasks: Vec<fn()>) {
    /// for task in tasks {
    ///     if let Some(termination) = spool.termination() {
    ///         eprintln!("stopped: {termination}");
    ///         break;
    ///     }
    ///     task();
    /// }
    /// # }
    /// ```
    ///
    /// It is seen about a second after the exporter was told, later where the disk hangs: a thread of the spool looks for it once a second. The call
    /// is a read of memory, which waits for nothing, and allocates only where there is something.
    pub fn termination(&self) -> Option<Termination> {
        self.recording.as_ref().and_then(Recording::termination)
    }

    /// Reads the spans of one trace that this process has recorded, in the order in which they ended: those that are
    /// spooled (see [`flush`](Spool::flush)) and not delivered and removed yet.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when a segment cannot be read.
    pub fn trace(&self, id: TraceId) -> Result<Vec<SpanData>, Error> {
        self.recording.as_ref().map_or(Ok(Vec::new()), |recording| recording.trace(id))
    }

    /// Ends recording, empties the rings, seals and syncs the segments. Waits for the disk up to `timeout`.
    ///
    /// Spans that are open stay recoverable, and can still end. If there are any, or a thread that has recorded is still
    /// there, the recorder's files and lock stay until the process ends, and recovery finishes the rest.
    pub fn stop(mut self, timeout: Duration) -> StopReport {
        let nothing_is_left = || StopReport { ledger: Ledger::default(), is_complete: true };
        self.recording.as_mut().map_or_else(nothing_is_left, |recording| recording.stop(timeout))
    }

    fn recording(recording: Recording) -> Self {
        Spool { id: recording.id.clone(), recording: Some(recording) }
    }

    fn disabled() -> Self {
        Spool { id: RecorderId::from_parts(spanring::clock::unix_ns(), 0), recording: None }
    }
}

impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ledger)?;
        let nothing_is_left = self.ledger.in_flight == 0 && self.ledger.unspooled() == 0;
        match self.is_complete {
            true => Ok(()),
            // Nor is it known that all is durable.
            false if nothing_is_left => f.write_str(
                "\n  incomplete: all is spooled, but threads that have recorded are still there, or the disk has not synced; \
                 it is settled when this process has ended",
            ),
            false => f.write_str("\n  incomplete: the rest is recovered when this process has ended"),
        }
    }
}
