//! What a redelivery would send, and what it came to.

use std::fmt;

use serde::Serialize;

use super::super::porter::Porter;
use super::super::{SinkEnd, counted};
use super::blocks::PastBlock;
use super::lineages::Found;
use crate::sink::Needs;

/// What a redelivery would send.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RedeliveryPlan {
    /// The address of the sink.
    pub sink: String,
    /// How many traces, to a sink that is delivered such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<u64>,
    /// How many blocks; of traces, those that their spans stand in.
    pub blocks: u64,
    /// How many spans.
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
    /// How many batches, or traces, were sent, again or not.
    pub requests: u64,
    /// How many of those were sent again.
    pub retries: u64,
    /// How many of those it refused, so that their halves were sent.
    pub divided: u64,
    /// How it ended.
    #[serde(flatten)]
    pub end: SinkEnd,
}

impl RedeliveryPlan {
    pub(super) fn new(sink: &str, needs: Needs) -> Self {
        let traces = (needs != Needs::Spans).then_some(0);
        RedeliveryPlan { sink: sink.to_owned(), traces, ..RedeliveryPlan::default() }
    }

    pub(super) fn add_block(&mut self, found: &PastBlock<'_>) {
        self.blocks += 1;
        self.spans += found.block.spans.len() as u64;
    }

    pub(super) fn add_traces(&mut self, found: &Found<'_>) {
        *self.traces.get_or_insert_default() += found.over.len() as u64;
        self.blocks += found.blocks;
        self.spans += found.over.iter().map(|over| over.len() as u64).sum::<u64>();
    }

    fn amount(&self) -> String {
        let (spans, blocks) = (counted(self.spans, "span"), counted(self.blocks, "block"));
        match self.traces {
            Some(traces) => format!("{spans} of {} in {blocks}", counted(traces, "trace")),
            None => format!("{spans} in {blocks}"),
        }
    }
}

impl RedeliveryReport {
    pub(super) fn new(plan: RedeliveryPlan, end: SinkEnd, porter: &Porter) -> Self {
        let sent = &porter.report;
        RedeliveryReport {
            plan,
            delivered: sent.delivered,
            rejected: sent.rejected,
            // Where nothing is set aside, these are only counted.
            refused: sent.dead_lettered,
            requests: sent.requests,
            retries: sent.retries,
            divided: sent.divided,
            end,
        }
    }

    /// Whether the sink has taken all that there was.
    pub fn is_complete(&self) -> bool {
        self.end == SinkEnd::Complete && self.refused == 0
    }
}

impl fmt::Display for RedeliveryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedeliveryPlan { sink, skipped, troubles, .. } = self;
        write!(f, "{sink}: {} would be delivered again", self.amount())?;
        skipped.iter().chain(troubles).try_for_each(|line| write!(f, "\n{line}"))
    }
}

impl fmt::Display for RedeliveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedeliveryReport { plan, delivered, rejected, refused, requests, retries, divided, end } = self;
        let RedeliveryPlan { sink, skipped, troubles, .. } = plan;
        let (amount, requests) = (plan.amount(), counted(*requests, "request"));
        write!(f, "{sink}: {delivered} of {amount} delivered again in {requests}")?;
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
