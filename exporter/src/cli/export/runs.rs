//! The runs of one export: a SIGHUP ends one and begins the next, as what is said by then has it.
//!
//! What is said anew is looked at before anything stops. Then the sinks finish the batches that they are at, the cursors are stored, and the
//! spools and the files are let go of; the next run takes them again. A sink that cannot be opened then brings back what was before.
//!
//! Files and spools are opened on threads that a disk may hold up: neither a signal nor whoever watches waits for it.

use std::panic::resume_unwind;
use std::time::Duration;

use serde_json::json;
use spanring_exporter::config::Plan;
use spanring_exporter::log::Level;
use spanring_exporter::{Error, ExportReports, Exporters};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::signals::{Asked, Signals, unless_stopped};
use crate::cli::Failure;
use crate::cli::log::LogFormat;

/// How long sinks are left alone that could not be opened anew, such as a file to which a batch that was left is still written.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// What all runs come to, and whether standard output was a sink of any.
pub(super) type Done = (ExportReports, bool);

/// Runs what `again` says, now and after each SIGHUP, until all is delivered or a stop is asked for. `adjust` says of
/// exporters what a plan does not.
pub(super) async fn run(
    mut signals: Signals,
    log: LogFormat,
    again: impl AsyncFn() -> Result<Plan, Failure>,
    adjust: impl Fn(&Plan, Exporters) -> Exporters,
) -> Result<Done, Failure> {
    let opened = async {
        let plan = again().await?;
        Ok::<_, Failure>((exporters_of(&plan).await?, plan))
    };
    let Some(opened) = unless_stopped(&mut signals, opened).await else {
        let message =
            "a stop was asked for before the spools and the sinks were open, as if a disk did not answer";
        return Err(Failure::incomplete(message.to_owned()));
    };
    let (mut exporters, mut plan) = opened?;
    let (mut report, mut has_stdout) = (ExportReports::default(), false);
    // What was before a reload, until it is known that the spools of what is now can be had.
    let mut last: Option<Plan> = None;
    let mut has_run = false;
    loop {
        has_stdout |= plan.has_stdout();
        let mut next = None;
        let told = async { next = plan_of_reload(&mut signals, log, &again).await };
        match (adjust(&plan, exporters).run_apart(told).await, last.take()) {
            (Ok(later), _) => {
                has_run = true;
                report = later.following(report);
                let Some(next) = next else { return Ok((report, has_stdout)) };
                let Some(begun) = begin(next, &plan, &mut signals, log, &again).await else {
                    return Ok((report, has_stdout));
                };
                last = Some(plan);
                (exporters, plan) = begun;
            }
            (Err(error), Some(before)) => {
                unchanged(log, error.into());
                match unless_stopped(&mut signals, exporters_of(&before)).await {
                    None => return Ok((report, has_stdout)),
                    Some(Ok(opened)) => (exporters, plan) = (opened, before),
                    // What was open a moment ago will be again.
                    Some(Err(error)) => {
                        unchanged(log, error.into());
                        let begun = begin(before.clone(), &before, &mut signals, log, &again).await;
                        let Some(begun) = begun else { return Ok((report, has_stdout)) };
                        (exporters, plan) = begun;
                    }
                }
            }
            // It was had a moment ago: by an exporter of this process that was left, since its disk does not answer, or by somebody who came
            // in between. The others go on without.
            (Err(error), None) if has_run => {
                unchanged(log, error.into());
                let Some(next) = after_a_while(&plan, &mut signals, log, &again).await else {
                    return Ok((report, has_stdout));
                };
                let Some(begun) = begin(next, &plan, &mut signals, log, &again).await else {
                    return Ok((report, has_stdout));
                };
                (exporters, plan) = begun;
                exporters = exporters.patient();
            }
            (Err(error), None) => return Err(error.into()),
        }
    }
}

/// What is to be done after a SIGHUP, or `None` once a stop is asked for.
async fn plan_of_reload(
    signals: &mut Signals,
    log: LogFormat,
    again: &impl AsyncFn() -> Result<Plan, Failure>,
) -> Option<Plan> {
    loop {
        match signals.next().await {
            Asked::Stop => return None,
            Asked::Reload => {
                if let Some(plan) = unless_stopped(signals, said_anew(log, again)).await? {
                    return Some(plan);
                }
            }
        }
    }
}

/// What is said by now, where that makes sense.
async fn said_anew(log: LogFormat, again: &impl AsyncFn() -> Result<Plan, Failure>) -> Option<Plan> {
    again().await.map_err(|failure| unchanged(log, failure)).ok()
}

/// The exporters of `next`, or of `last` where that cannot be opened; `None` where a stop is asked for before either can.
async fn begin(
    mut next: Plan,
    last: &Plan,
    signals: &mut Signals,
    log: LogFormat,
    again: &impl AsyncFn() -> Result<Plan, Failure>,
) -> Option<(Exporters, Plan)> {
    loop {
        match unless_stopped(signals, exporters_of(&next)).await? {
            Ok(exporters) => {
                log.say(Level::Info, "the sinks are open anew", &json!({"event": "reloaded"}));
                return Some((exporters, next));
            }
            Err(error) => unchanged(log, error.into()),
        }
        match unless_stopped(signals, exporters_of(last)).await? {
            Ok(exporters) => {
                log.say(Level::Info, "the sinks are open as before", &json!({"event": "reopened"}));
                return Some((exporters, last.clone()));
            }
            Err(error) => unchanged(log, error.into()),
        }
        next = after_a_while(&next, signals, log, again).await?;
    }
}

/// What is to be done once it has been waited, or at once after a SIGHUP; `None` once a stop is asked for.
async fn after_a_while(
    next: &Plan,
    signals: &mut Signals,
    log: LogFormat,
    again: &impl AsyncFn() -> Result<Plan, Failure>,
) -> Option<Plan> {
    let asked = tokio::select! {
        () = sleep(REOPEN_INTERVAL) => None,
        asked = signals.next() => Some(asked),
    };
    let anew = match asked {
        None => None,
        Some(Asked::Stop) => return None,
        Some(Asked::Reload) => unless_stopped(signals, said_anew(log, again)).await?,
    };
    Some(anew.unwrap_or_else(|| next.clone()))
}

async fn exporters_of(plan: &Plan) -> Result<Exporters, Error> {
    let plan = plan.clone();
    blocking(move || plan.exporters()).await
}

/// What `work` comes to, on a thread that a disk may hold up.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

fn unchanged(log: LogFormat, failure: Failure) {
    let reason = failure.message.unwrap_or_default();
    let event = json!({"event": "not_reloaded", "reason": reason});
    log.say(Level::Error, &format!("not reloaded, nothing changes: {reason}"), &event);
}
