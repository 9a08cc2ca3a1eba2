//! Delivering again what a sink has had: a receiver that lost it, or a sink that did not exist then.
//!
//! ```text
//!   recorder  │ block │ block │ block │ block │ block │ …
//!             │ removed, or   │  redelivery   │  the exporter's business
//!             │ ended before  │               │
//!                                             ▲
//!                                    the sink's cursor
//! ```
//!
//! Where a batch ends depends on its block alone, so these are the batches of the first delivery, under the same identities. Only
//! where a sync had failed, and the exporter was restarted right there, may a block have been divided otherwise at first; and what was delivered by
//! trace, along a route with rules, goes by block here, all of it, under other identities.
//!
//! A sink that needs traces, an overview of them, or parents first, gets [traces](lineages), by the hands that delivered them first. Small traces may
//! share other batches then, where some are left out.
//!
//! The spool is claimed meanwhile, so that no exporter removes what is being read, and is left as it is otherwise: no cursor moves, nothing is
//! counted, set aside or removed, and no process learns that it is to stop.

mod blocks;
mod lineages;
mod past;
mod report;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spanring_spool::SpoolDir;
use tokio::sync::watch;

use self::blocks::{PastBlock, PastBlocks};
use self::lineages::{Found, PastTraces, Then};
use self::past::Past;
pub use self::report::{RedeliveryPlan, RedeliveryReport};
use super::porter::{Counts, Load, Places, Porter, Terms};
use super::rate::Rate;
use super::{Mode, Notice, Notices, STOP_DEADLINE, SinkEnd, Status, counted};
use crate::Error;
use crate::sink::{Needs, Sink};

/// Delivers again, to one sink, what the spool still holds of the blocks that the sink has had and that hold a span which ended since some
/// moment; or of the traces, where the sink [needs](Sink::needs) more than spans. A sink that is new to the spool gets those that any sink has had.
///
/// Spans that were dead letters go along. What the sink has not had yet is left to an [`Exporter`](super::Exporter), which keeps
/// for a redelivery what its [grace](super::Exporter::grace) says.
///
/// ```no_run
/// use std::time::{Duration, SystemTime};
///
/// use spanring_exporter::{Redelivery, sink::SinkAddress};
/// use spanring_spool::SpoolDir;
///
/// # async fn redeliver() -> Result<(), Box<dyn std::error::Error>> {
/// let sink: SinkAddress = "otlp+http://localhost:4318".parse()?;
/// let an_hour_ago = SystemTime::now() - Duration::from_secs(60 * 60);
/// let redelivery = Redelivery::new(SpoolDir::open("/var/spool/shop")?, an_hour_ago);
/// let report = redelivery.run(sink.open()?, Duration::from_secs(30)).await?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[must_use = "spans are delivered when it is run"]
pub struct Redelivery {
    spool: SpoolDir,
    since_unix_ns: u64,
    notices: Notices,
    rate: Option<Rate>,
}

impl Redelivery {
    /// A redelivery of what ended at this moment or later.
    pub fn new(spool: SpoolDir, since: SystemTime) -> Self {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_unix_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Redelivery { spool, since_unix_ns, notices: Notices(Arc::new(drop)), rate: None }
    }

    /// Delivers so many spans a second at most, on average.
    pub fn spans_per_second(mut self, limit: NonZeroU32) -> Self {
        self.rate = Some(Rate::new(limit));
        self
    }

    /// Calls `tell` for each notice.
    pub fn on_notice(mut self, tell: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        self.notices = Notices(Arc::new(tell));
        self
    }

    /// What [`run`](Self::run) would send to the sink with this address, which has these needs. Nothing is sent.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn plan(self, sink: &str, needs: Needs) -> Result<RedeliveryPlan, Error> {
        let _claim = self.spool.claim_for_export()?;
        let past = self.past(sink, needs)?;
        let mut plan = RedeliveryPlan::new(sink, needs);
        let past = match needs {
            Needs::Spans => {
                let mut blocks = PastBlocks::of(past);
                while let Some(found) = blocks.next() {
                    plan.add_block(&found);
                }
                blocks.past
            }
            Needs::ParentsFirst | Needs::Overview | Needs::Traces => {
                let mut traces = PastTraces::of(past, false);
                while let Some(found) = traces.next() {
                    plan.add_traces(&found);
                    found.traces.done(&found.over);
                }
                traces.past
            }
        };
        (plan.skipped, plan.troubles) = (past.skipped, past.troubles);
        Ok(plan)
    }

    /// Delivers, in the order of the first delivery. A sink that has failed for the time of `deadline` without a success in between is
    /// given up, as is one that takes nothing; the rest is counted then.
    ///
    /// A sink that needs more than spans is [told](Sink::process_over) that a process is over, as it was before, once all that is to be delivered again
    /// of it was, if that was anything. Else an instance would go on for ever at a receiver that has lost its end. What ended before that moment a
    /// receiver has, or whoever asks would have said an earlier one.
    ///
    /// # Errors
    ///
    /// [`Error::Spool`] where an exporter has claimed the spool, or its recorders cannot be listed. What goes wrong later is in the report.
    pub async fn run(self, sink: Box<dyn Sink>, deadline: Duration) -> Result<RedeliveryReport, Error> {
        let claim = self.spool.claim_for_export()?;
        let needs = sink.needs();
        let past = self.past(sink.name(), needs)?;
        let plan = RedeliveryPlan::new(sink.name(), needs);
        // Nobody asks for a stop.
        let (_, stop) = watch::channel(false);
        let terms = Terms {
            spool: self.spool,
            letters: None,
            mode: Mode::Once { deadline },
            status: Status::default(),
            notices: self.notices,
            stop,
            stop_deadline: STOP_DEADLINE,
        };
        let porter = Porter::new(0, sink, self.rate, terms);
        let mut trip = Trip { porter, plan, end: SinkEnd::Complete };
        let past = match needs {
            Needs::Spans => trip.go_by_block(PastBlocks::of(past)).await,
            Needs::ParentsFirst | Needs::Overview | Needs::Traces => {
                let keeps_starts = trip.porter.sink.wants_starts();
                trip.go_by_trace(PastTraces::of(past, keeps_starts)).await
            }
        };
        drop(claim);
        Ok(trip.report(past))
    }

    fn past(&self, sink: &str, needs: Needs) -> Result<Past, Error> {
        Ok(Past::of(self.spool.clone(), sink, needs, self.since_unix_ns, self.notices.clone())?)
    }
}

/// A redelivery on its way.
struct Trip {
    porter: Porter,
    plan: RedeliveryPlan,
    /// How it ended, or complete as long as it goes on.
    end: SinkEnd,
}

impl Trip {
    async fn go_by_block(&mut self, mut blocks: PastBlocks) -> Past {
        while let Some(found) = blocks.next() {
            self.plan.add_block(&found);
            if self.end != SinkEnd::Complete {
                continue;
            }
            let PastBlock { recorder, resource, block } = &found;
            let places = Places::Block(block.position);
            let cuts = self.porter.cuts((&block.spans).into());
            let load =
                Load { recorder, resource, spans: (&block.spans).into(), starts: &[], places, cuts: &cuts };
            if let Err(end) = self.porter.deliver(&load).await {
                self.ended(end);
            }
        }
        blocks.past
    }

    async fn go_by_trace(&mut self, mut traces: PastTraces) -> Past {
        // Of the process that is gone through.
        let (mut is_any_sent, mut is_all_read, mut is_begun) = (false, true, false);
        while let Some(mut found) = traces.next() {
            self.plan.add_traces(&found);
            if !std::mem::replace(&mut is_begun, true) {
                self.porter.recall_past(&found.recorders[0]);
            }
            let (then, mut unread) = (found.then, None);
            if self.end == SinkEnd::Complete {
                is_any_sent |= !found.over.is_empty();
                let lost = self.porter.report.lost;
                match self.deliver(&mut found).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => unread = Some((found.recorders[0].clone(), error)),
                    Err(end) => self.ended(end),
                }
                is_all_read &= unread.is_none() && self.porter.report.lost == lost;
            }
            let is_to_be_told = then == Then::Over && is_any_sent && is_all_read;
            if self.end == SinkEnd::Complete
                && is_to_be_told
                && let Err(end) = self.porter.process_over(&found.recorders[0], found.resource).await
            {
                self.ended(end);
            }
            found.traces.done(&found.over);
            if then != Then::More {
                (is_any_sent, is_all_read, is_begun) = (false, true, false);
                // Nothing more comes of it, and a spool may hold any number of processes.
                let first = &found.recorders[0];
                self.porter.sink.forget(&first.origin().unwrap_or_else(|| first.clone()));
            }
            if let Some((recorder, error)) = unread {
                traces.past.trouble(&recorder, &error);
            }
        }
        traces.past
    }

    async fn deliver(&mut self, found: &mut Found<'_>) -> Result<Result<(), spanring_spool::Error>, SinkEnd> {
        let Found { recorders, resource, traces, over, .. } = found;
        self.porter.deliver_over(recorders, traces, resource, over, None, &mut Counts::new()).await
    }

    fn ended(&mut self, end: SinkEnd) {
        if let SinkEnd::GaveUp { reason } | SinkEnd::Refused { reason } = &end {
            let (sink, reason) = (self.plan.sink.clone(), format!("given up: {reason}"));
            self.porter.tell(Notice::Ended { sink, reason });
        }
        self.end = end;
    }

    fn report(self, past: Past) -> RedeliveryReport {
        let Trip { porter, mut plan, mut end } = self;
        (plan.skipped, plan.troubles) = (past.skipped, past.troubles);
        if porter.report.lost > 0 {
            plan.troubles.push(format!("{} could not be read again", counted(porter.report.lost, "span")));
        }
        if end == SinkEnd::Complete && !plan.troubles.is_empty() {
            end = SinkEnd::Incomplete;
        }
        RedeliveryReport::new(plan, end, &porter)
    }
}

impl fmt::Debug for Redelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redelivery").field("spool", &self.spool).finish_non_exhaustive()
    }
}
