//! An exporter on a thread of its own, in a program that records or does anything else.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::oneshot;

use super::{ExportReport, Exporter};
use crate::Error;

/// An exporter, or [several](super::Exporters), on a thread and a runtime of its own, until it is stopped.
///
/// Dropping it asks the exporter to stop and waits for nothing: each sink finishes the batch that it is at, unless the program ends before,
/// which loses nothing either. [`stop`](Self::stop) waits, and says what it came to.
///
/// ```
/// use std::time::Duration;
///
/// use spanring_exporter::{Exporter, sink::SinkAddress};
/// use spanring_spool::{Level, Spool, SpoolDir};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("spool");
/// # let sink = format!("file:{}", dir.path().join("spans.jsonl").display());
/// let spool = Spool::open(&path).service("shop").delivered_by(&sink).start()?;
/// let sink: SinkAddress = sink.parse()?;
/// let exporter = Exporter::new(SpoolDir::open(&path)?).to(sink.open()?).spawn()?;
///
/// drop(spanring::span!("checkout", items = 2));
///
/// spool.flush(Level::Delivered, Duration::from_secs(30))?;
/// let report = exporter.stop(Duration::from_secs(30))?;
/// assert_eq!(report.sinks[0].delivered, 1);
/// # spool.stop(Duration::from_secs(5));
/// # Ok(())
/// # }
/// ```
#[must_use = "an exporter is asked to stop when its handle is dropped"]
pub struct SpawnedExporter<R = ExportReport> {
    /// Dropped to ask for a stop.
    _stop: oneshot::Sender<()>,
    end: Arc<End<R>>,
}

/// What the exporter came to, once it has ended.
struct End<R> {
    came_to: Mutex<Option<Result<R, Error>>>,
    changed: Condvar,
}

impl Exporter {
    /// Delivers on a thread of its own. It may be called anywhere, within a runtime too. What panics there, a sink's own code included, ends
    /// the exporter and not the program; the spans are kept.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run); [`Error::Thread`] where there is no thread or runtime to be had.
    pub fn spawn(self) -> Result<SpawnedExporter, Error> {
        let claimed = self.claim()?;
        spawn(|stop| claimed.run(stop))
    }
}

/// Runs what `run` returns on a thread of its own. The future that it is handed is ready once a stop is asked for.
pub(super) fn spawn<R, F>(
    run: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>) -> F + Send + 'static,
) -> Result<SpawnedExporter<R>, Error>
where
    R: Send + 'static,
    F: Future<Output = R>,
{
    let (stop, stopped) = oneshot::channel::<()>();
    let (started, start) = std::sync::mpsc::channel();
    let end = Arc::new(End { came_to: Mutex::new(None), changed: Condvar::new() });
    let ending = Arc::clone(&end);
    let body = move || {
        // Made here, since a runtime must not be dropped within another.
        let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        // Whoever spawns waits for it.
        drop(started.send(Ok(())));
        let stop = Box::pin(async { drop(stopped.await) });
        let ran = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(stop))));
        ending.set(ran.map_err(|panic| {
            // What a panic carries may panic when it is dropped.
            std::mem::forget(panic);
            Error::Panicked
        }));
    };
    let spawned = thread::Builder::new().name("spanring-export".to_owned()).spawn(body);
    let started =
        spawned.and_then(|_| start.recv().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into())));
    match started {
        Ok(()) => Ok(SpawnedExporter { _stop: stop, end }),
        Err(source) => Err(Error::Thread { source }),
    }
}

impl<R> SpawnedExporter<R> {
    /// Asks it to stop, and waits until each sink has finished the batch that it is at. The calling thread is blocked meanwhile; async code
    /// calls this on a thread that may block, or has a runtime for [`Exporter::run`] anyway.
    ///
    /// # Errors
    ///
    /// [`Error::NotStopped`] where it took longer than `deadline`: it goes on to its end by itself, and has its claim on the spool until then.
    /// [`Error::Panicked`].
    pub fn stop(self, deadline: Duration) -> Result<R, Error> {
        let SpawnedExporter { _stop: stop, end } = self;
        drop(stop);
        end.wait(deadline).unwrap_or(Err(Error::NotStopped { deadline }))
    }

    /// Whether it has ended by itself: an exporter that [delivers once](Exporter::once), or one that panicked.
    pub fn is_finished(&self) -> bool {
        self.end.came_to.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl<R> End<R> {
    fn set(&self, came_to: Result<R, Error>) {
        *self.came_to.lock().unwrap_or_else(PoisonError::into_inner) = Some(came_to);
        self.changed.notify_all();
    }

    /// `None` where it has not ended until then.
    fn wait(&self, deadline: Duration) -> Option<Result<R, Error>> {
        let began = Instant::now();
        let mut came_to = self.came_to.lock().unwrap_or_else(PoisonError::into_inner);
        while came_to.is_none() {
            let left = deadline.checked_sub(began.elapsed()).filter(|left| !left.is_zero())?;
            (came_to, _) = self.changed.wait_timeout(came_to, left).unwrap_or_else(PoisonError::into_inner);
        }
        came_to.take()
    }
}

impl<R> fmt::Debug for SpawnedExporter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnedExporter").field("is_finished", &self.is_finished()).finish_non_exhaustive()
    }
}
