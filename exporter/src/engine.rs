//! The engine: takes spans from a spool to sinks, so that none is lost, and removes what every sink has.
//!
//! ```text
//!              ┌───────────┐ census  ┌─────────┐ batch   ┌──────┐
//!   spool ───► │ discovery │ ──────► │ courier │ ──────► │ sink │     one courier a sink,
//!              │  recover  │ ◄────── │         │ ◄────── │      │     each at its own pace
//!              │  remove   │ progress└─────────┘ outcome └──────┘
//!              └───────────┘              │ ▲
//!                                       cursors
//! ```

mod arrivals;
mod backlog;
mod batching;
mod courier;
mod discovery;
mod exporters;
mod grace;
mod json;
mod keep;
mod notice;
mod porter;
mod rate;
mod redelivery;
mod report;
mod reports;
mod route;
mod spawned;
mod status;
mod traces;
mod waiting;

pub use batching::{BYTES_MAX, SPANS_MAX};
pub use exporters::Exporters;
pub(crate) use exporters::are_same_spool;
pub use json::{ledger_json, recovery_json};
pub use keep::Keep;
pub use notice::Notice;
pub use redelivery::{Redelivery, RedeliveryPlan, RedeliveryReport};
pub(crate) use report::counted;
pub use report::{ExportReport, SinkEnd, SinkReport};
pub use reports::{ExportReports, SpoolReport};
pub use route::{Route, RouteOptions};
pub use spawned::SpawnedExporter;
pub use status::{Backlog, SinkSnapshot, SinkState, Snapshot, Status};

use std::collections::BTreeSet;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use spanring_spool::{ExportClaim, SpoolDir};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use self::arrivals::{Arrivals, Watch};
use self::courier::{Courier, Journey, Shared};
use self::discovery::{Discovery, Progress};
use self::porter::Terms;
use crate::Error;
use crate::error::with_causes;
use crate::sink::Sink;

const INTERVALS: Intervals = Intervals {
    first: Duration::from_millis(100),
    cap: Duration::from_secs(1),
    discovery: Duration::from_secs(1),
};
/// How long a sink that takes nothing at all is left alone, in an exporter that follows its spool. Somebody has to change
/// something first: its credentials, its address.
const PARKED_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How long a sink has for the batch that it is at once a stop was asked for, unless said otherwise.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Delivers a spool to sinks. Several of them, of several spools, are [`Exporters`].
///
/// ```no_run
/// use std::time::Duration;
///
/// use spanring_exporter::{Exporter, sink::SinkAddress};
/// use spanring_spool::{ExportClaim, SpoolDir};
///
/// # async fn export() -> Result<(), Box<dyn std::error::Error>> {
/// let sink: SinkAddress = "otlp+http://localhost:4318".parse()?;
/// let report = Exporter::new(SpoolDir::open("/var/spool/shop")?)
///     .to(sink.open()?)
///     .once(Duration::from_secs(30))
///     .run(std::future::pending())
///     .await?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[must_use = "an exporter delivers when it is run"]
pub struct Exporter {
    spool: SpoolDir,
    routes: Vec<Route>,
    status: Status,
    is_watched: bool,
    mode: Mode,
    stop_deadline: Duration,
    grace: Duration,
    notices: Notices,
}

/// How long to go on.
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Until all that is there is delivered.
    Once {
        /// How long a sink may fail without any success in between.
        deadline: Duration,
    },
    /// Until a stop is asked for.
    Follow {
        /// How long a sink is left alone that takes nothing at all.
        parked_interval: Duration,
        /// How often the spool is looked at if nobody tells that something has happened there.
        intervals: Intervals,
    },
}

/// How often a spool is looked at.
#[derive(Clone, Copy, Debug)]
struct Intervals {
    /// How soon growing recorders are looked at again after all was delivered.
    first: Duration,
    /// How late at most, after nothing came for a while.
    cap: Duration,
    /// How often it is searched for new and for dead recorders, and freed of what is delivered.
    discovery: Duration,
}

impl Mode {
    fn intervals(self) -> Intervals {
        match self {
            Mode::Once { .. } => INTERVALS,
            Mode::Follow { intervals, .. } => intervals,
        }
    }
}

impl Exporter {
    /// An exporter that follows the spool until it is stopped, and retries for ever.
    pub fn new(spool: SpoolDir) -> Self {
        let mode = Mode::Follow { parked_interval: PARKED_INTERVAL, intervals: INTERVALS };
        Exporter {
            spool,
            routes: Vec::new(),
            status: Status::default(),
            is_watched: false,
            mode,
            stop_deadline: STOP_DEADLINE,
            grace: Duration::ZERO,
            notices: Notices(Arc::new(drop)),
        }
    }

    /// Delivers to this sink too. What is delivered is removed once all sinks of this exporter have it.
    pub fn to(self, sink: Box<dyn Sink>) -> Self {
        self.along(Route::to(sink))
    }

    /// As [`to`](Self::to), in the way that the route says.
    pub fn along(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// What it delivers.
    pub fn spool(&self) -> &SpoolDir {
        &self.spool
    }

    /// How the exporter stands, from now on and while it works.
    pub fn status(&mut self) -> Status {
        self.is_watched = true;
        self.status.clone()
    }

    /// Delivers what is there when it is run, and ends. A sink that has failed for the time of `deadline` without any
    /// success in between is given up; what it did not take is kept.
    pub fn once(mut self, deadline: Duration) -> Self {
        self.mode = Mode::Once { deadline };
        self
    }

    /// Waits so long for what the sinks answer to the batches that they are at, once a stop was asked for. A batch without an answer is
    /// delivered again by the next run; the sink may have had it. Unless it is said, it is [`STOP_DEADLINE`].
    pub fn stop_deadline(mut self, deadline: Duration) -> Self {
        self.stop_deadline = deadline;
        self
    }

    /// Keeps what is delivered until it was last written so long ago, for a [redelivery](Redelivery) or to look at. A recorder goes when
    /// none of its segments is in grace any more. Without it, and by default, what every sink has is removed at once.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Calls `tell` for each notice, from any thread.
    pub fn on_notice(mut self, tell: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        self.notices = Notices(Arc::new(tell));
        self
    }

    /// Delivers, on a tokio runtime with time (and I/O, if a sink needs it). Once `stop` is ready, each sink finishes the
    /// batch that it is at, or is left at it after the [deadline](Self::stop_deadline). A file or a pipe may be written to on a thread of
    /// the runtime's even then, so whoever must not wait for a disk ends the runtime by `shutdown_background`. Where there is no such runtime,
    /// [`spawn`](Self::spawn) has one of its own.
    ///
    /// # Errors
    ///
    /// When delivery cannot begin: [`Error::NoSink`], [`Error::SinkTwice`], and [`Error::Spool`] where another exporter
    /// has claimed the spool. What goes wrong later is in the report.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<ExportReport, Error> {
        Ok(self.claim()?.run(stop).await)
    }

    /// Does what can fail before delivery begins.
    fn claim(self) -> Result<Claimed, Error> {
        self.check()?;
        let claim = self.spool.claim_for_export()?;
        Ok(Claimed { exporter: self, claim })
    }

    /// Sees what is wrong whatever the disk says.
    fn check(&self) -> Result<(), Error> {
        if self.routes.is_empty() {
            return Err(Error::NoSink);
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = self.routes.iter().find(|route| !names.insert(route.sink.name())) {
            return Err(Error::SinkTwice { address: twice.sink.name().to_owned() });
        }
        Ok(())
    }
}

/// An exporter that alone delivers from its spool.
struct Claimed {
    exporter: Exporter,
    claim: ExportClaim,
}

impl Claimed {
    async fn run(self, stop: impl Future<Output = ()>) -> ExportReport {
        let Claimed { exporter, claim } = self;
        let Exporter { spool, routes, status, is_watched, mode, stop_deadline, grace, notices } = exporter;
        let letters = spool.dead_letters();
        if let Err(error) = letters.sweep() {
            let reason = format!("cannot sweep the dead letters: {}", with_causes(&error));
            notices.tell(Notice::Trouble { recorder: None, reason });
        }

        status.update(|standing| {
            standing.began = Some(SystemTime::now());
            standing.sinks = routes.iter().map(|route| SinkSnapshot::new(route.sink.name())).collect();
        });
        let watch = match mode {
            Mode::Follow { .. } => Watch::of(&spool).unwrap_or_else(|error| {
                notices.tell(Notice::unwatched(&error));
                Watch::none(&spool)
            }),
            Mode::Once { .. } => Watch::none(&spool),
        };
        let (segments, mut arrivals) = (watch.segments.clone(), watch.recorders.clone());
        let progress = Arc::new(Progress::new(routes.len()));
        let sinks = routes.iter().map(|route| route.sink.name().to_owned()).collect();
        let mut discovery =
            Discovery::new(watch, sinks, mode, grace, Arc::clone(&progress), status.clone(), notices.clone());
        let census;
        (discovery, census) = blocking(discovery, move |discovery| {
            discovery.sweep();
            let census = discovery.census().unwrap_or_default();
            if is_watched {
                discovery.look_at_ends(Some(&census));
            }
            census
        })
        .await;
        status.update(|snapshot| {
            discovery.show(snapshot);
            snapshot.is_looked_through = true;
        });
        let (census, census_seen) = watch::channel(Arc::new(census));
        let (stopping, stop_seen) = watch::channel(false);
        let terms = Terms {
            spool,
            letters: Some(letters),
            mode,
            status: status.clone(),
            notices,
            stop: stop_seen,
            stop_deadline,
        };
        let shared = Shared { terms, progress, census: census_seen, segments };
        let mut couriers = JoinSet::new();
        for (number, route) in routes.into_iter().enumerate() {
            let courier = Courier::new(number, route, shared.clone());
            couriers.spawn(async move { (number, courier.run().await) });
        }

        let mut journeys = Vec::new();
        let mut ticks = interval(mode.intervals().discovery);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Looking takes the longer the more recorders there are, and is done no more than half of the time.
        let mut rested = Instant::now();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop, if !*stopping.borrow() => {
                    status.update(|standing| standing.is_stopping = true);
                    stopping.send_modify(|stopping| *stopping = true);
                }
                () = due(&mut ticks, &mut arrivals, rested) => {
                    let began = Instant::now();
                    let seen;
                    (discovery, seen) = blocking(discovery, move |discovery| {
                        discovery.remove_delivered();
                        discovery.sweep_if_due();
                        let seen = matches!(mode, Mode::Follow { .. }).then(|| discovery.census()).flatten();
                        if is_watched {
                            discovery.look_at_ends(seen.as_ref());
                        }
                        seen
                    })
                    .await;
                    status.update(|standing| discovery.show(standing));
                    if let Some(seen) = seen.map(Arc::new) {
                        census.send_if_modified(|last| {
                            let differs = *last != seen;
                            *last = seen;
                            differs
                        });
                    }
                    rested = Instant::now() + began.elapsed();
                }
                ended = couriers.join_next() => match ended {
                    Some(Ok(journey)) => journeys.push(journey),
                    Some(Err(error)) => resume_unwind(error.into_panic()),
                    None => break,
                }
            }
        }
        (discovery, ()) = blocking(discovery, Discovery::remove_delivered).await;
        status.update(|standing| {
            discovery.show(standing);
            standing.has_ended = true;
        });
        drop(claim);
        report(discovery, journeys)
    }
}

/// Waits until the recorders are to be looked after: now and then, and when they change, but not before this moment.
async fn due(ticks: &mut Interval, changes: &mut Arrivals, rested: Instant) {
    let told = async {
        sleep_until(rested).await;
        changes.wait().await;
    };
    tokio::select! {
        _ = ticks.tick() => {}
        () = told => {}
    }
}

/// Waits until a stop is asked for.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|&stop| stop).await.is_err() {
        // Nobody can ask any more.
        std::future::pending().await
    }
}

/// Runs what may take long where it holds up no sink.
async fn blocking<T: Send + 'static>(
    mut discovery: Discovery,
    task: impl FnOnce(&mut Discovery) -> T + Send + 'static,
) -> (Discovery, T) {
    let done = spawn_blocking(move || {
        let result = task(&mut discovery);
        (discovery, result)
    });
    match done.await {
        Ok(done) => done,
        Err(error) => resume_unwind(error.into_panic()),
    }
}

fn report(discovery: Discovery, mut journeys: Vec<(usize, (SinkReport, Journey))>) -> ExportReport {
    journeys.sort_by_key(|&(number, _)| number);
    let mut report = ExportReport {
        recorders: discovery.recorders,
        recorders_removed: discovery.recorders_removed,
        segments_removed: discovery.segments_removed,
        segments_in_grace: discovery.segments_in_grace,
        troubles: discovery.troubles().collect(),
        recoveries: discovery.recoveries,
        recovered: discovery.recovered,
        unproven: discovery.unproven,
        ..ExportReport::default()
    };
    for (_, (sink, journey)) in journeys {
        report.recorders_skipped_in = report.recorders_skipped_in.max(journey.recorders_skipped_in);
        for (recorder, skipped) in journey.skipped {
            // Each sink reads for itself, from where it had got: who read more has seen more.
            let most = report.skipped.entry(recorder).or_default();
            if skipped.bytes >= most.bytes {
                *most = skipped;
            }
        }
        for (recorder, reason) in journey.troubles {
            let trouble = Notice::Trouble { recorder: Some(recorder), reason }.to_string();
            if !report.troubles.contains(&trouble) {
                report.troubles.push(trouble);
            }
        }
        report.sinks.push(sink);
    }
    report
}

/// Whom to tell what happens.
#[derive(Clone)]
struct Notices(Arc<dyn Fn(Notice) + Send + Sync>);

impl Notices {
    fn tell(&self, notice: Notice) {
        (self.0)(notice);
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notices")
    }
}

#[cfg(test)]
pub(crate) mod tests;
