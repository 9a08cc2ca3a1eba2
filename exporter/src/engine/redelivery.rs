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
//! The spool is claimed meanwhile, so that no exporter removes what is being read, and is left as it is otherwise: no cursor moves, nothing is
//! counted, set aside or removed.

mod past;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use spanring_spool::SpoolDir;
use tokio::time::{Instant, sleep};

use self::past::{Past, PastBlock};
use super::batching::{Part, batches};
use super::{Notice, Notices, SinkEnd, counted};
use crate::Error;
use crate::breaker::Breaker;
use crate::sink::{Batch, BatchId, Needs, Outcome, Sink};

/// How many spans in a row a sink may refuse until it is given up as one that takes nothing.
const REFUSED_IN_A_ROW_MAX: u32 = 100;

/// Delivers again, to one sink, what the spool still holds of the blocks that the sink has had and that hold a span which ended since some
/// moment. A sink that is new to the spool gets those that any sink has had.
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
}

/// What a redelivery would send.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RedeliveryPlan {
    /// The address of the sink.
    pub sink: String,
    /// How many blocks.
    pub blocks: u64,
    /// How many spans are in them.
    pub spans: u64,
    /// What could not be read, by recorder.
    pub skipped: Vec<String>,
    /// What did not work.
    pub troubles: Vec<String>,
}

/// What a redelivery came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct RedeliveryReport {
    /// What there was to send.
    #[serde(flatten)]
    pub plan: RedeliveryPlan,
    /// How many spans the sink has taken.
    pub delivered: u64,
    /// How many it took and did not want (partial success).
    pub rejected: u64,
    /// How many it refused one by one.
    pub refused: u64,
    /// How many batches were sent, again or not.
    pub requests: u64,
    /// How many of those were sent again.
    pub retries: u64,
    /// How many of those it refused, so that their halves were sent.
    pub divided: u64,
    /// How it ended.
    #[serde(flatten)]
    pub end: SinkEnd,
}

impl Redelivery {
    /// A redelivery of what ended at this moment or later.
    pub fn new(spool: SpoolDir, since: SystemTime) -> Self {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_unix_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Redelivery { spool, since_unix_ns, notices: Notices(Arc::new(drop)) }
    }

    /// Calls `tell` for each notice.
    pub fn on_notice(mut self, tell: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        self.notices = Notices(Arc::new(tell));
        self
    }

    /// What [`run`](Self::run) would send to the sink with this address. Nothing is sent.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn plan(self, sink: &str) -> Result<RedeliveryPlan, Error> {
        let _claim = self.spool.claim_for_export()?;
        let mut past = self.past(sink)?;
        let mut plan = RedeliveryPlan { sink: sink.to_owned(), ..RedeliveryPlan::default() };
        while let Some(PastBlock { block, .. }) = past.next_block() {
            plan.blocks += 1;
            plan.spans += block.spans.len() as u64;
        }
        (plan.skipped, plan.troubles) = (past.skipped, past.troubles);
        Ok(plan)
    }

    /// Delivers, in the order of the first delivery. A sink that has failed for the time of `deadline` without a success in between is
    /// given up, as is one that takes nothing; the rest is counted then.
    ///
    /// # Errors
    ///
    /// [`Error::Spool`] where an exporter has claimed the spool, or its recorders cannot be listed. What goes wrong later is in the report.
    pub async fn run(self, sink: Box<dyn Sink>, deadline: Duration) -> Result<RedeliveryReport, Error> {
        let claim = self.spool.claim_for_export()?;
        let mut past = self.past(sink.name())?;
        let plan = RedeliveryPlan { sink: sink.name().to_owned(), ..RedeliveryPlan::default() };
        let (delivered, rejected, refused, requests, retries, divided) = (0, 0, 0, 0, 0, 0);
        let end = match sink.needs() {
            Needs::Spans => SinkEnd::Complete,
            _ => SinkEnd::Refused { reason: "it takes traces, which are not delivered again".to_owned() },
        };
        let report = RedeliveryReport { plan, delivered, rejected, refused, requests, retries, divided, end };
        let mut receiver = Receiver {
            sink,
            breaker: Breaker::new(Some(deadline)),
            refused_in_a_row: 0,
            report,
            notices: self.notices.clone(),
        };
        while let Some(found) = past.next_block() {
            receiver.report.plan.blocks += 1;
            receiver.report.plan.spans += found.block.spans.len() as u64;
            if receiver.report.end == SinkEnd::Complete
                && let Err(end) = receiver.deliver(&found).await
            {
                receiver.ended(end);
            }
        }
        drop(claim);
        let Receiver { mut report, .. } = receiver;
        (report.plan.skipped, report.plan.troubles) = (past.skipped, past.troubles);
        if report.end == SinkEnd::Complete && !report.plan.troubles.is_empty() {
            report.end = SinkEnd::Incomplete;
        }
        Ok(report)
    }

    fn past(&self, sink: &str) -> Result<Past, Error> {
        Ok(Past::of(self.spool.clone(), sink, self.since_unix_ns, self.notices.clone())?)
    }
}

/// The sink, and what it has been sent.
struct Receiver {
    sink: Box<dyn Sink>,
    breaker: Breaker,
    refused_in_a_row: u32,
    report: RedeliveryReport,
    notices: Notices,
}

impl Receiver {
    /// Delivers a block, in halves where the sink refuses, as an exporter does.
    async fn deliver(&mut self, found: &PastBlock<'_>) -> Result<(), SinkEnd> {
        let PastBlock { recorder, resource, block } = found;
        let mut first = 0;
        for (number, spans) in batches(&block.spans, self.sink.spans_max()).enumerate() {
            let id = BatchId { recorder, block: block.position, number, part: BatchId::WHOLE };
            let mut parts = vec![Part { batch: Batch { id, resource, spans, starts: &[] }, first }];
            first += spans.len();
            while let Some(part) = parts.pop() {
                let Some(reason) = self.deliver_batch(&part.batch).await? else { continue };
                match part.halves() {
                    Some([left, right]) => {
                        self.divided(&part.batch, reason);
                        parts.extend([right, left]);
                    }
                    None => self.refused(&part.batch, reason)?,
                }
            }
        }
        Ok(())
    }

    /// Why the sink refuses a batch, if it does.
    async fn deliver_batch(&mut self, batch: &Batch<'_>) -> Result<Option<String>, SinkEnd> {
        loop {
            let began = Instant::now();
            self.report.requests += 1;
            let (after, reason) = match self.sink.deliver(batch).await {
                Outcome::Delivered { rejected, message } => {
                    self.delivered(batch, rejected, message);
                    return Ok(None);
                }
                Outcome::Rejected { reason } => return Ok(Some(reason)),
                Outcome::Parked { reason } => return Err(SinkEnd::Refused { reason }),
                Outcome::Retry { after, reason } => (after, reason),
            };
            let pause = self.breaker.fail(began, after, &reason);
            let wait = pause.map_err(|reason| SinkEnd::GaveUp { reason })?.wait;
            self.report.retries += 1;
            self.notices.tell(Notice::Retrying { sink: self.sink.name().to_owned(), wait, reason });
            sleep(wait).await;
        }
    }

    fn delivered(&mut self, batch: &Batch<'_>, rejected: u64, message: String) {
        self.breaker.close();
        self.refused_in_a_row = 0;
        // No receiver can reject more than it was sent, whatever it says.
        let rejected = rejected.min(batch.spans.len() as u64);
        self.report.delivered += batch.spans.len() as u64 - rejected;
        self.report.rejected += rejected;
        if rejected > 0 || !message.is_empty() {
            let (sink, batch) = (self.sink.name().to_owned(), batch.id.to_string());
            self.notices.tell(Notice::Answered { sink, batch, rejected, message });
        }
    }

    fn divided(&mut self, batch: &Batch<'_>, reason: String) {
        self.breaker.close();
        self.report.divided += 1;
        if batch.id.part == BatchId::WHOLE {
            let (sink, batch) = (self.sink.name().to_owned(), batch.id.to_string());
            self.notices.tell(Notice::Divided { sink, batch, reason });
        }
    }

    /// Notes that the sink refuses a span by itself.
    fn refused(&mut self, batch: &Batch<'_>, reason: String) -> Result<(), SinkEnd> {
        self.breaker.close();
        self.report.refused += batch.spans.len() as u64;
        self.refused_in_a_row += 1;
        if self.refused_in_a_row > REFUSED_IN_A_ROW_MAX {
            return Err(SinkEnd::Refused {
                reason: format!("it refuses one span after the other: {reason}"),
            });
        }
        let sink = self.sink.name();
        for span in batch.spans {
            let (sink, span_id, reason) = (sink.to_owned(), span.span_id, reason.clone());
            self.notices.tell(Notice::NotTaken { sink, span_id, reason });
        }
        Ok(())
    }

    fn ended(&mut self, end: SinkEnd) {
        if let SinkEnd::GaveUp { reason } | SinkEnd::Refused { reason } = &end {
            let (sink, reason) = (self.sink.name().to_owned(), format!("given up: {reason}"));
            self.notices.tell(Notice::Ended { sink, reason });
        }
        self.report.end = end;
    }
}

impl RedeliveryReport {
    /// Whether the sink has taken all that there was.
    pub fn is_complete(&self) -> bool {
        self.end == SinkEnd::Complete && self.refused == 0
    }
}

impl fmt::Debug for Redelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redelivery").field("spool", &self.spool).finish_non_exhaustive()
    }
}

impl fmt::Display for RedeliveryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedeliveryPlan { sink, blocks, spans, skipped, troubles } = self;
        let (spans, blocks) = (counted(*spans, "span"), counted(*blocks, "block"));
        write!(f, "{sink}: {spans} in {blocks} would be delivered again")?;
        skipped.iter().chain(troubles).try_for_each(|line| write!(f, "\n{line}"))
    }
}

impl fmt::Display for RedeliveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedeliveryReport { plan, delivered, rejected, refused, requests, retries, divided, end } = self;
        let RedeliveryPlan { sink, blocks, spans, skipped, troubles } = plan;
        let (spans, blocks) = (counted(*spans, "span"), counted(*blocks, "block"));
        let requests = counted(*requests, "request");
        write!(f, "{sink}: {delivered} of {spans} in {blocks} delivered again in {requests}")?;
        if *retries > 0 {
            write!(f, ", {retries} again")?;
        }
        if *divided > 0 {
            write!(f, ", {divided} divided")?;
        }
        if *rejected > 0 {
            write!(f, ", {} rejected by the receiver", counted(*rejected, "span"))?;
        }
        if *refused > 0 {
            write!(f, ", {} refused", counted(*refused, "span"))?;
        }
        match end {
            SinkEnd::Complete | SinkEnd::Stopped => {}
            SinkEnd::Incomplete => write!(f, "; some recorders could not be read")?,
            SinkEnd::GaveUp { reason } => write!(f, "; gave up: {reason}")?,
            SinkEnd::Refused { reason } => write!(f, "; refused: {reason}")?,
        }
        skipped.iter().chain(troubles).try_for_each(|line| write!(f, "\n{line}"))
    }
}
