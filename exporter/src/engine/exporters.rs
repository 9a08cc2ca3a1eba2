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
//! spool holds up another.

use std::panic::resume_unwind;
use std::path::PathBuf;

use spanring_spool::SpoolDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

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
/// let report = Exporters::new(exporters).run(std::future::pending()).await?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[must_use = "exporters deliver when they are run"]
pub struct Exporters(Vec<Exporter>);

impl Exporters {
    /// These exporters.
    pub fn new(exporters: impl IntoIterator<Item = Exporter>) -> Self {
        Exporters(exporters.into_iter().collect())
    }

    /// What `change` makes of each of them.
    pub fn each(self, change: impl FnMut(Exporter) -> Exporter) -> Self {
        Exporters(self.0.into_iter().map(change).collect())
    }

    /// Delivers all spools, as [`Exporter::run`] does one. They end by themselves, each for itself, or once `stop` is ready.
    ///
    /// # Errors
    ///
    /// As for [`Exporter::run`], where any of them cannot begin: then none does. [`Error::NoSpool`]; [`Error::SpoolTwice`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<ExportReports, Error> {
        Ok(run(self.claim()?, stop).await)
    }

    /// Delivers all spools on one thread of its own, as [`Exporter::spawn`] does one. What panics there ends all of them, and not the program.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run); [`Error::Thread`].
    pub fn spawn(self) -> Result<SpawnedExporter<ExportReports>, Error> {
        let claimed = self.claim()?;
        spawn(|stop| run(claimed, stop))
    }

    /// Does what can fail before delivery begins, for all of them.
    fn claim(self) -> Result<Vec<Claimed>, Error> {
        let Exporters(exporters) = self;
        if exporters.is_empty() {
            return Err(Error::NoSpool);
        }
        for (number, exporter) in exporters.iter().enumerate() {
            if exporters[..number].iter().any(|other| are_same_spool(&other.spool, &exporter.spool)) {
                return Err(Error::SpoolTwice { path: exporter.spool.path().to_owned() });
            }
        }
        exporters.into_iter().map(Exporter::claim).collect()
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

async fn run(exporters: Vec<Claimed>, stop: impl Future<Output = ()>) -> ExportReports {
    let (stopping, stop_seen) = watch::channel(false);
    let mut reports: Vec<(PathBuf, Option<ExportReport>)> = Vec::new();
    let mut running = JoinSet::new();
    for (number, claimed) in exporters.into_iter().enumerate() {
        reports.push((claimed.exporter.spool.path().to_owned(), None));
        let mut stop = stop_seen.clone();
        running.spawn(async move { (number, claimed.run(stopped(&mut stop)).await) });
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
