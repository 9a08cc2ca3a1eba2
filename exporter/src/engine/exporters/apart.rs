//! One exporter of several, on a thread of its own: a disk that does not answer holds up nobody else.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, sleep_until};

use super::super::report::{ExportReport, SinkEnd, SinkReport};
use super::super::spawned::{SpawnedExporter, spawn};
use super::super::{Claimed, Exporter, Notice, Notices, Status, stopped};
use super::Beside;
use crate::Error;
use crate::error::with_causes;

/// How long an exporter has, once its sinks had their time to stop, to store and sync where they have got to.
const SETTLING_MAX: Duration = Duration::from_secs(2);
/// How long the others wait for a claim, so that all begin or none does.
const CLAIMING_MAX: Duration = Duration::from_secs(2);
/// How often a patient exporter asks for a spool that another one has.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// An exporter that was started on a thread of its own.
pub(super) struct Apart {
    spool: PathBuf,
    status: Status,
    notices: Notices,
    stop_deadline: Duration,
    thread: SpawnedExporter<()>,
    /// Told once the spool is claimed, or cannot be.
    claim: Claim,
    /// Lets it deliver.
    go: Option<oneshot::Sender<()>>,
    /// What it came to. It is closed, with nothing said, once the claim was let go of.
    report: oneshot::Receiver<ExportReport>,
}

enum Claim {
    Awaited(oneshot::Receiver<Result<(), Error>>),
    Had,
}

impl Apart {
    /// Starts the thread, which claims the spool and waits to be [begun](begin).
    pub(super) fn start(exporter: Exporter, is_patient: bool) -> Result<Self, Error> {
        let (spool, status) = (exporter.spool.path().to_owned(), exporter.status.clone());
        let (notices, stop_deadline) = (exporter.notices.clone(), exporter.stop_deadline);
        let (told, claim) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        let (sender, report) = oneshot::channel();
        let thread = spawn(move |mut stop| async move {
            let claim = loop {
                match exporter.spool.claim_for_export() {
                    Err(error @ spanring_spool::Error::Locked { .. }) if is_patient => tokio::select! {
                        () = sleep(ASK_INTERVAL) => {}
                        () = &mut stop => break Err(error),
                    },
                    claim => break claim,
                }
            };
            let claimed = match claim {
                Ok(claim) => Claimed { exporter, claim },
                // Nobody wants to know, here and below, of one that was not waited for.
                Err(error) => return drop(told.send(Err(error.into()))),
            };
            drop(told.send(Ok(())));
            match may_go.await {
                Ok(()) => drop(sender.send(claimed.run(stop).await)),
                // In this order, since whoever waits for the end of `sender` wants the spool.
                Err(_) => {
                    drop(claimed);
                    drop(sender);
                }
            }
        })?;
        let claim = Claim::Awaited(claim);
        Ok(Apart { spool, status, notices, stop_deadline, thread, claim, go: Some(go), report })
    }

    /// Waits for its claim.
    async fn claimed(&mut self) -> Result<(), Error> {
        if let Claim::Awaited(claim) = &mut self.claim {
            // Where nothing is said, its thread panicked, and that is found when it is run.
            claim.await.unwrap_or(Ok(()))?;
            self.claim = Claim::Had;
        }
        Ok(())
    }

    /// What it came to, where its thread ended without saying so.
    fn never_begun(claim: Claim, status: &Status, notices: &Notices) -> ExportReport {
        let Claim::Awaited(mut claim) = claim else { panicked() };
        let Ok(Err(error)) = claim.try_recv() else { panicked() };
        let reason = with_causes(&error);
        notices.tell(Notice::Trouble { recorder: None, reason: reason.clone() });
        status.update(|standing| standing.has_ended = true);
        ExportReport { troubles: vec![reason], ..ExportReport::default() }
    }
}

fn panicked() -> ! {
    // What it panicked with was said by its thread.
    resume_unwind(Box::new("an exporter panicked"))
}

/// Lets all deliver once all have their claims, or whoever has not has had its time, or a stop is asked for.
///
/// # Errors
///
/// The first of a claim that is refused until then: the others have let go of theirs.
pub(super) async fn begin(
    mut started: Vec<Apart>,
    stop: impl Future<Output = ()>,
) -> Result<Vec<Apart>, Error> {
    tokio::pin!(stop);
    let until = tokio::time::Instant::now() + CLAIMING_MAX;
    let mut refused = None;
    for apart in &mut started {
        // Whoever has been told already is heard even if the time is over.
        tokio::select! {
            biased;
            claimed = apart.claimed() => refused = refused.or(claimed.err()),
            () = sleep_until(until) => {}
            () = &mut stop => break,
        }
    }
    if let Some(error) = refused {
        for Apart { claim, go, report, thread, .. } in started {
            drop((go, thread));
            if let Claim::Had = claim {
                drop(report.await);
            }
        }
        return Err(error);
    }
    for apart in &mut started {
        if let Some(go) = apart.go.take() {
            // One whose thread has ended is found when it is run.
            go.send(()).unwrap_or_default();
        }
    }
    Ok(started)
}

impl Beside for Apart {
    fn spool(&self) -> PathBuf {
        self.spool.clone()
    }

    async fn run(self, mut stop: watch::Receiver<bool>) -> ExportReport {
        let Apart { status, notices, stop_deadline, thread, claim, mut report, .. } = self;
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
        ended.unwrap_or_else(|_| Self::never_begun(claim, &status, &notices))
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
