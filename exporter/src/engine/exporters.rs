//! Exporters of several spools, in one process.
//!
//! ```text
//!   spool ──► exporter ──► sink ┐
//!                               ├──► the same receiver, or one file
//!   spool ──► exporter ──► sink ┘
//! ```
//!
//! Each has what an exporter by itself has: its claim on its spool, its cursors, dead letters and retries. What they share is when they begin and
//! when they are asked to stop, and what their routes and sinks share: a limit of spans a second, a file. So nothing that goes wrong with one
//! spool holds up another. A disk that does not answer holds up the thread that waits for it, so each has [one of its own](Exporters::run_apart)
//! unless somebody wants them on a runtime.

mod apart;

use std::panic::resume_unwind;
use std::path::PathBuf;

use spanring_spool::SpoolDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::apart::Apart;
use super::report::ExportReport;
use super::reports::{ExportReports, SpoolReport};
use super::spawned::{SpawnedExporter, spawn};
use super::{Claimed, Exporter, stopped};
use crate::Error;

/// Exporters of several spools, which begin together and are asked to stop together.
///
/// ```no_run
/// use spanring_exporter::sink::{SinkAddress, SinkOptions};
/// use spanring_exporter::{Exporter, Exporters, Route, RouteOptions};
/// use spanring_spool::SpoolDir;
///
/// # async fn export() -> Result<(), Box<dyn std::error::Error>> {
/// let spools = [SpoolDir::open("/var/spool/shop")?, SpoolDir::open("/var/spool/crawler")?];
/// let sink: SinkAddress = "file:spans.jsonl".parse()?;
/// // One file for both.
/// let sinks = sink.open_each(&SinkOptions::default(), spools.len())?;
/// let routes = Route::together(sinks, RouteOptions::default());
/// let exporters = spools.into_iter().zip(routes).map(|(spool, route)| Exporter::new(spool).along(route));
/// let report = Exporters::new(exporters).run_apart(std::future::pending()).await?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[must_use = "exporters deliver when they are run"]
pub struct Exporters {
    exporters: Vec<Exporter>,
    is_patient: bool,
}

impl Exporters {
    /// These exporters.
    pub fn new(exporters: impl IntoIterator<Item = Exporter>) -> Self {
        Exporters { exporters: exporters.into_iter().collect(), is_patient: false }
    }

    /// What `change` makes of each of them.
    pub fn each(self, change: impl FnMut(Exporter) -> Exporter) -> Self {
        Exporters { exporters: self.exporters.into_iter().map(change).collect(), ..self }
    }

    /// Waits for a spool that another exporter has, while the others are delivered, instead of refusing to begin. It is for exporters
    /// [apart](Self::run_apart), and for whoever had the spools a moment ago: an exporter that was left, as its disk did not answer, has its claim
    /// until it does.
    pub fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// Delivers all spools on the runtime that it is called on, as [`Exporter::run`] does one. They end by themselves, each for itself, or once
    /// `stop` is ready. Spools are read, and cursors synced, on the runtime's own threads.
    ///
    /// # Errors
    ///
    /// As for [`Exporter::run`], where any of them cannot begin: then none does. [`Error::NoSpool`]; [`Error::SpoolTwice`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<ExportReports, Error> {
        Ok(run(self.claim()?, stop).await)
    }

    /// Delivers each spool on a thread and a runtime of its own, so that a disk that does not answer holds up its own spool, and no other. One that
    /// has not ended two seconds after the [deadline](Exporter::stop_deadline) of a stop is not waited for: its report says so, and its thread, with
    /// its claim on the spool, ends once the disk answers, or with the process.
    ///
    /// Spools are claimed there too. The others wait for a claim for two seconds, to begin together, and then go on without; it
    /// begins once it is claimed. Where it cannot be by then, its report says why.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run), as far as it is known within the two seconds; [`Error::Thread`], where those that had begun are asked to stop. Of
    /// a directory that is mounted twice, [`Error::Spool`]: the second claim is refused.
    pub async fn run_apart(self, stop: impl Future<Output = ()>) -> Result<ExportReports, Error> {
        tokio::pin!(stop);
        let mut is_stopped = false;
        let begun = apart::begin(self.start()?, async {
            stop.as_mut().await;
            is_stopped = true;
        });
        let begun = begun.await?;
        let stop = async {
            if !is_stopped {
                stop.await;
            }
        };
        Ok(run(begun, stop).await)
    }

    /// Delivers each spool on a thread of its own, as [`Exporter::spawn`] does one, and [as apart](Self::run_apart). What panics there ends all of
    /// them, and not the program.
    ///
    /// # Errors
    ///
    /// As for [`run_apart`](Self::run_apart).
    pub fn spawn(self) -> Result<SpawnedExporter<ExportReports>, Error> {
        let started = self.start()?;
        let (told, is_begun) = std::sync::mpsc::channel();
        let spawned = spawn(move |stop| async move {
            match apart::begin(started, std::future::pending()).await {
                Ok(begun) => {
                    // Whoever spawns waits for it.
                    drop(told.send(Ok(())));
                    run(begun, stop).await
                }
                Err(error) => {
                    drop(told.send(Err(error)));
                    ExportReports::default()
                }
            }
        })?;
        is_begun.recv().unwrap_or(Err(Error::Panicked)).map(|()| spawned)
    }

    /// Starts the threads, each of which claims its spool and delivers nothing yet.
    fn start(self) -> Result<Vec<Apart>, Error> {
        self.check(|one, other| one.path() == other.path())?;
        let Exporters { exporters, is_patient } = self;
        exporters.iter().try_for_each(Exporter::check)?;
        exporters.into_iter().map(|exporter| Apart::start(exporter, is_patient)).collect()
    }

    /// Does what can fail before delivery begins, for all of them.
    fn claim(self) -> Result<Vec<Claimed>, Error> {
        self.check(are_same_spool)?;
        self.exporters.into_iter().map(Exporter::claim).collect()
    }

    fn check(&self, are_same: impl Fn(&SpoolDir, &SpoolDir) -> bool) -> Result<(), Error> {
        let Exporters { exporters, .. } = self;
        if exporters.is_empty() {
            return Err(Error::NoSpool);
        }
        for (number, exporter) in exporters.iter().enumerate() {
            if exporters[..number].iter().any(|other| are_same(&other.spool, &exporter.spool)) {
                return Err(Error::SpoolTwice { path: exporter.spool.path().to_owned() });
            }
        }
        Ok(())
    }
}

/// Whether two spools are one, whatever ways lead there.
pub(crate) fn are_same_spool(one: &SpoolDir, other: &SpoolDir) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let identity = |spool: &SpoolDir| {
        let metadata = std::fs::metadata(spool.path()).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    // Links are followed in their paths; of a directory that is mounted twice only the identity tells.
    one.path() == other.path() || identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// An exporter that can be run beside others.
trait Beside: Send + 'static {
    /// The directory of its spool.
    fn spool(&self) -> PathBuf;

    /// Runs until it ends, after a stop is asked for if not before.
    fn run(self, stop: watch::Receiver<bool>) -> impl Future<Output = ExportReport> + Send;
}

impl Beside for Claimed {
    fn spool(&self) -> PathBuf {
        self.exporter.spool.path().to_owned()
    }

    async fn run(self, mut stop: watch::Receiver<bool>) -> ExportReport {
        Claimed::run(self, stopped(&mut stop)).await
    }
}

async fn run<E: Beside>(exporters: Vec<E>, stop: impl Future<Output = ()>) -> ExportReports {
    let (stopping, stop_seen) = watch::channel(false);
    let mut reports: Vec<(PathBuf, Option<ExportReport>)> = Vec::new();
    let mut running = JoinSet::new();
    for (number, exporter) in exporters.into_iter().enumerate() {
        reports.push((exporter.spool(), None));
        let stop = stop_seen.clone();
        running.spawn(async move { (number, exporter.run(stop).await) });
    }
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop, if !*stopping.borrow() => stopping.send_modify(|stopping| *stopping = true),
            ended = running.join_next() => match ended {
                Some(Ok((number, report))) => reports[number].1 = Some(report),
                Some(Err(error)) => resume_unwind(error.into_panic()),
                None => break,
            }
        }
    }
    let of_spool = |(spool, report): (PathBuf, Option<_>)| Some(SpoolReport { spool, report: report? });
    ExportReports { spools: reports.into_iter().filter_map(of_spool).collect() }
}
