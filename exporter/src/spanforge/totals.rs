//! What runs of agents came to.
//!
//! Totals that were recorded, since another system said them, are written as they are. All others are [added up](super::rollup) from the spans
//! under the run, at any depth, where SpanForge's SDK adds up steps and inner runs only. How many these were is said beside.

use std::collections::{HashMap, HashSet};
use std::io;

use serde::{Deserialize, Serialize};
use spanring::{SpanId, TraceId, names};
use spanring_spool::{SpanData, Value};
use tokio::task::yield_now;

use super::parts::{CostBreakdown, TokenUsage};
use super::rollup::Rollup;
use super::said::Said;
use super::span::Sort;
use crate::sink::TraceSpans;

/// Under which key of the attributes it is how many spans the totals are of.
const OF_SPANS: &str = "spanring.run.totals.spans";
/// Under which name totals are kept with a run that is set aside, and how many spans they are of.
const KEPT: &str = "spanforge.totals";
const KEPT_SPANS: &str = "spanforge.totals.spans";

/// What a run came to.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) total_steps: u64,
    pub(super) total_model_calls: u64,
    pub(super) total_tool_calls: u64,
    pub(super) total_token_usage: TokenUsage,
    pub(super) total_cost: CostBreakdown,
}

/// Totals that somebody said.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    total_steps: Option<u64>,
    total_model_calls: Option<u64>,
    total_tool_calls: Option<u64>,
    total_token_usage: Option<TokenUsage>,
    total_cost: Option<CostBreakdown>,
}

impl Told {
    /// All of them, where nothing is missing but what these say.
    fn or(self, counted: impl FnOnce() -> Totals) -> Totals {
        if let Told {
            total_steps: Some(total_steps),
            total_model_calls: Some(total_model_calls),
            total_tool_calls: Some(total_tool_calls),
            total_token_usage: Some(total_token_usage),
            total_cost: Some(total_cost),
        } = self
        {
            return Totals {
                total_steps,
                total_model_calls,
                total_tool_calls,
                total_token_usage,
                total_cost,
            };
        }
        let counted = counted();
        Totals {
            total_steps: self.total_steps.unwrap_or(counted.total_steps),
            total_model_calls: self.total_model_calls.unwrap_or(counted.total_model_calls),
            total_tool_calls: self.total_tool_calls.unwrap_or(counted.total_tool_calls),
            total_token_usage: self.total_token_usage.unwrap_or(counted.total_token_usage),
            total_cost: self.total_cost.unwrap_or(counted.total_cost),
        }
    }
}

impl Totals {
    /// Those of the run whose span this is. What nobody said of them is as it was added up.
    pub(super) fn of(run: &SpanData, said: &mut Said, runs: &RunTotals) -> Self {
        let told: Told = said.take(names::RUN_TOTALS).unwrap_or_default();
        told.or(|| {
            let Counted { totals, spans } = runs.get(run).cloned().unwrap_or_default();
            said.set(OF_SPANS, spans);
            totals
        })
    }
}

/// What was added up of a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Counted {
    pub(super) totals: Totals,
    /// Of how many spans.
    pub(super) spans: u64,
}

/// What the runs of agents among some spans came to, each with what stands under it among these.
///
/// A run is right where it was read with all spans of its trace. In pieces, a long trace is read once for its totals, and then written piece by piece:
///
/// ```
/// use spanring_exporter::spanforge::{Emitter, RunTotals};
/// # fn write(spans: &[spanring_spool::SpanData]) {
///
/// let totals = RunTotals::of(spans);
/// for piece in spans.chunks(100) {
///     for event in Emitter::default().events_with(piece, &totals) {
///         println!("{}", event.to_json());
///     }
/// }
/// # }
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RunTotals(HashMap<(TraceId, SpanId), Counted>);

impl RunTotals {
    /// Of the runs among these spans, which may be of several traces.
    pub fn of(spans: &[SpanData]) -> Self {
        if !spans.iter().any(is_run) {
            return RunTotals::default();
        }
        // Of a span that was announced, and is there itself, the announcement does not count.
        let ended: HashSet<_> = match spans.iter().any(|span| span.is_open) {
            true => spans.iter().filter(|span| !span.is_open).map(identity).collect(),
            false => HashSet::new(),
        };
        let counts = |span: &&SpanData| !span.is_open || !ended.contains(&identity(span));
        let mut rollup = Rollup::default();
        loop {
            spans.iter().filter(counts).for_each(|span| rollup.see(span));
            if !rollup.sees_again() {
                return RunTotals(rollup.runs());
            }
        }
    }

    /// Of the runs among spans that are read some at a time, twice: what is in memory is what has others under it, and not all of them. Others have
    /// their turn in between.
    ///
    /// # Errors
    ///
    /// Where they cannot be read.
    pub async fn read(spans: &mut dyn TraceSpans) -> io::Result<Self> {
        let mut rollup = Rollup::default();
        loop {
            spans.rewind();
            while let Some(spans) = spans.next()? {
                spans.iter().for_each(|span| rollup.see(span));
                yield_now().await;
            }
            if !rollup.sees_again() {
                return Ok(RunTotals(rollup.runs()));
            }
        }
    }

    /// Whether nothing is missing here of what these spans need.
    pub(crate) fn covers(&self, spans: &[SpanData]) -> bool {
        spans.iter().all(|span| !is_run(span) || self.get(span).is_some())
    }

    /// What was added up of a run, in a form that is kept with its span; nothing for what is none.
    pub(crate) fn kept_of(&self, span: &SpanData) -> Vec<(String, Value)> {
        let Some(Counted { totals, spans }) = self.get(span) else { return Vec::new() };
        // A cost that is no number has no form.
        let json = serde_json::to_value(totals).and_then(serde_json::from_value::<Value>);
        let totals = json.into_iter().map(|totals| (KEPT.to_owned(), totals));
        totals.chain([(KEPT_SPANS.to_owned(), Value::U64(*spans))]).collect()
    }

    /// What was kept with the span of a run.
    pub(crate) fn kept(span: &SpanData, kept: &[(String, Value)]) -> Self {
        let value = |name| kept.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let told = value(KEPT).and_then(|totals| serde_json::to_value(totals).ok());
        let told = told.and_then(|totals| serde_json::from_value::<Told>(totals).ok());
        let Some(told) = told else { return RunTotals::default() };
        let spans = value(KEPT_SPANS).and_then(Value::as_u64).unwrap_or_default();
        let counted = Counted { totals: told.or(Totals::default), spans };
        RunTotals(HashMap::from([(identity(span), counted)]))
    }

    fn get(&self, run: &SpanData) -> Option<&Counted> {
        self.0.get(&identity(run))
    }
}

fn is_run(span: &SpanData) -> bool {
    Sort::of(span) == Sort::Run
}

fn identity(span: &SpanData) -> (TraceId, SpanId) {
    (span.trace_id, span.span_id)
}
