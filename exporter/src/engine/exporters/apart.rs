//! One exporter of several, on a thread of its own: a disk that does not answer holds up nobody else.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::super::report::{ExportReport, SinkEnd, SinkReport};
use super::super::spawned::{SpawnedExporter, spawn};
use super::super::{Claimed, Status, stopped};
use super::Beside;
use crate::Error;

/// How long an exporter has, once its sinks had their time to stop, to store and sync where they have got to.
const SETTLING_MAX: Duration = Duration::from_secs(2);

/// An exporter that was begun on a thread of its own.
pub(super) struct Apart {
    spool: PathBuf,
    status: Status,
    stop_deadline: Duration,
    thread: SpawnedExporter<()>,
    report: oneshot::Receiver<ExportReport>,
}

impl Apart {
    pub(super) fn begin(claimed: Claimed) -> Result<Self, Error> {
        let exporter = &claimed.exporter;
        let (spool, status) = (exporter.spool.path().to_owned(), exporter.status.clone());
        let stop_deadline = exporter.stop_deadline;
        let (sender, report) = oneshot::channel();
        let thread = spawn(|stop| async move {
            // Nobody wants to know of one that was not waited for.
            drop(sender.send(claimed.run(stop).await));
        })?;
        Ok(Apart { spool, status, stop_deadline, thread, report })
    }
}

impl Beside for Apart {
    fn spool(&self) -> PathBuf {
        self.spool.clone()
    }

    async fn run(self, mut stop: watch::Receiver<bool>) -> ExportReport {
        let Apart { status, stop_deadline, thread, mut report, .. } = self;
        let ended = tokio::select! {
            ended = &mut report => Some(ended),
            () = stopped(&mut stop) => None,
        };
        // Which asks it to stop.
        drop(thread);
        let ended = match ended {
            Some(ended) => ended,
            None => tokio::select! {
                biased;
                ended = report => ended,
                () = sleep(stop_deadline.saturating_add(SETTLING_MAX)) => return left(&status),
            },
        };
        // What it panicked with was said by its thread.
        ended.unwrap_or_else(|_| resume_unwind(Box::new("an exporter panicked")))
    }
}

/// What is known of an exporter that has not ended.
fn left(status: &Status) -> ExportReport {
    let snapshot = status.now();
    let of_sink = |report: SinkReport| SinkReport { end: SinkEnd::Stopped, ..report };
    ExportReport {
        sinks: snapshot.sinks.into_iter().map(|sink| of_sink(sink.report)).collect(),
        recorders: snapshot.recorders,
        recorders_removed: snapshot.recorders_removed,
        segments_removed: snapshot.segments_removed,
        recoveries: snapshot.recoveries,
        troubles: vec!["it has not ended in time, as if its disk did not answer, and was left".to_owned()],
        ..ExportReport::default()
    }
}
