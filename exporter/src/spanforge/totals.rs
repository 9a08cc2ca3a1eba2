//! What a run of an agent came to.
//!
//! Totals that were recorded, since another system said them, are written as they are. All others are added up from the spans that are
//! delivered together with the run: those of its block and batch, which is where a run of ordinary length is as a whole. How many these
//! were is said beside, since spans of a long run may have been delivered before. SpanForge's SDK adds up steps and inner runs only; here all
//! spans under the run count, at any depth.

use std::cell::OnceCell;

use serde::Deserialize;
use spanring::{Cost, Kind, names};
use spanring_spool::{Figures, Node, SpanData, Trace};

use super::parts::{CostBreakdown, TokenUsage};
use super::said::Said;
use super::span::Sort;
use super::usage;

/// Under which key of the attributes it is how many spans the totals are of.
const OF_SPANS: &str = "spanring.run.totals.spans";

/// Spans that are delivered together, as traces where a run asks for its own.
pub(super) struct Together<'a> {
    spans: &'a [SpanData],
    traces: OnceCell<Vec<Trace>>,
}

impl<'a> Together<'a> {
    pub(super) fn new(spans: &'a [SpanData]) -> Self {
        Together { spans, traces: OnceCell::new() }
    }

    fn trace_of(&self, span: &SpanData) -> Option<&Trace> {
        let traces = self.traces.get_or_init(|| Trace::collect(self.spans.iter().cloned()));
        traces.iter().find(|trace| trace.trace_id() == span.trace_id)
    }
}

/// What a run came to.
#[derive(Clone, PartialEq, Debug, Default)]
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

impl Totals {
    /// Those of the run whose span this is. What nobody said of them is that of the spans it is together with.
    pub(super) fn of(run: &SpanData, said: &mut Said, together: &Together<'_>) -> Self {
        let told: Told = said.take(names::RUN_TOTALS).unwrap_or_default();
        if let Told {
            total_steps: Some(total_steps),
            total_model_calls: Some(total_model_calls),
            total_tool_calls: Some(total_tool_calls),
            total_token_usage: Some(total_token_usage),
            total_cost: Some(total_cost),
        } = told
        {
            return Totals {
                total_steps,
                total_model_calls,
                total_tool_calls,
                total_token_usage,
                total_cost,
            };
        }
        let (counted, count) = Totals::under(run, together);
        said.set(OF_SPANS, count);
        Totals {
            total_steps: told.total_steps.unwrap_or(counted.total_steps),
            total_model_calls: told.total_model_calls.unwrap_or(counted.total_model_calls),
            total_tool_calls: told.total_tool_calls.unwrap_or(counted.total_tool_calls),
            total_token_usage: told.total_token_usage.unwrap_or(counted.total_token_usage),
            total_cost: told.total_cost.unwrap_or(counted.total_cost),
        }
    }

    /// What the spans under it come to, and how many these are. Tokens and costs add up as [`Figures`](spanring_spool::Figures) do: what
    /// tells what its parts came to does not count beside them.
    fn under(run: &SpanData, together: &Together<'_>) -> (Self, usize) {
        let tree = together.trace_of(run).map(Trace::tree);
        let nodes = tree.as_ref().map(|tree| tree.nodes()).unwrap_or_default();
        let run_at = nodes.iter().position(|node| node.span.span_id == run.span_id);
        let Some(run_at) = run_at else { return (Totals::default(), 0) };
        let own = &nodes[run_at];
        let under = &nodes[run_at + 1..=run_at + own.descendants];

        let mut totals = Totals::default();
        for node in under {
            totals.total_steps += u64::from(Sort::of(node.span) == Sort::Step);
            // Calls without a span of their own.
            totals.total_tool_calls += node.span.tool_calls().len() as u64;
            match node.span.kind {
                _ if node.span.is_pending => {}
                Kind::Llm | Kind::Response => totals.total_model_calls += 1,
                Kind::Tool => totals.total_tool_calls += 1,
                _ => {}
            }
        }
        if let Some(tokens) = own.total.tokens {
            let [input_tokens, output_tokens] = [tokens.input, tokens.output].map(Option::unwrap_or_default);
            totals.total_token_usage = TokenUsage {
                input_tokens,
                output_tokens,
                total_tokens: tokens.sum().unwrap_or_default(),
                cached_tokens: tokens.cached,
                cache_creation_tokens: tokens.cache_creation,
                reasoning_tokens: tokens.reasoning,
                image_tokens: tokens.image,
            };
        }
        totals.total_cost = cost(&nodes[run_at..=run_at + own.descendants], &own.total);
        (totals, under.len())
    }
}

/// What a run costs whose nodes these are, the run's own first: in dollars, or else in the first currency that there is. Costs in others
/// are left out, since SpanForge's totals have one.
fn cost(nodes: &[Node<'_>], total: &Figures<'_>) -> CostBreakdown {
    let mut sum = CostBreakdown::default();
    let dollars = Cost::CURRENCY;
    let currencies = || total.cost.iter().map(|&(currency, _)| currency);
    let Some(currency) = currencies().find(|&currency| currency == dollars).or_else(|| currencies().next())
    else {
        return sum;
    };
    sum.currency = currency.to_owned();
    for (at, node) in nodes.iter().enumerate() {
        // What a whole costs counts where none of its parts says what it costs.
        let tells_of_parts = matches!(node.span.kind, Kind::Agent | Kind::Task | Kind::Turn);
        let parts = &nodes[at + 1..=at + node.descendants];
        let is_told_again = tells_of_parts && parts.iter().any(|part| !part.own.cost.is_empty());
        if is_told_again || node.own.cost_in(currency).is_none() {
            continue;
        }
        if let Some(cost) = node.span.cost() {
            let cost = usage::breakdown(&cost);
            sum.input_cost_usd += cost.input_cost_usd;
            sum.output_cost_usd += cost.output_cost_usd;
            sum.total_cost_usd += cost.total_cost_usd;
            sum.cached_discount_usd += cost.cached_discount_usd;
            sum.reasoning_cost_usd += cost.reasoning_cost_usd;
        }
    }
    sum
}
