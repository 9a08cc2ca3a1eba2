//! Adding up what stands under runs, of spans that are read some at a time.
//!
//! ```text
//! first     which spans have others under them: they, and runs, are *nodes*
//! second    what a node says itself, and what stands directly under it and is no node
//! then      from below, what stands under each node
//! ```
//!
//! Spans come as they ended, children before their parents, and in any number; there are far fewer nodes. Each node stands where it was found first,
//! and sums are formed in that order: numbers with a fraction come to the same whenever the same spans are read.
//!
//! Whatever parents say, each span counts once. Of several with the same identity the first is the parent; of spans that are each other's parents the one
//! that started first stands under no other.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use spanring::{Cost, Kind, SpanId, Tokens, TraceId};
use spanring_spool::SpanData;

use super::parts::{CostBreakdown, TokenUsage};
use super::span::Sort;
use super::totals::{Counted, Totals};
use super::usage;

/// In how many currencies a sum is kept, and dollars.
const CURRENCIES_MAX: usize = 16;

type Identity = (TraceId, SpanId);

/// What some spans come to, which are seen once or twice.
#[derive(Default)]
pub(super) struct Rollup {
    with_runs: HashSet<TraceId>,
    /// Where each node stands.
    places: HashMap<Identity, usize>,
    /// The nodes, once their spans are seen again.
    nodes: Vec<Node>,
    is_second: bool,
}

/// What has others under it, or is a run.
#[derive(Default)]
struct Node {
    /// The span, once it was found.
    span: Option<Found>,
    /// What stands under it.
    under: Sum,
}

struct Found {
    identity: Identity,
    parent: Option<SpanId>,
    start_unix_ns: u64,
    is_run: bool,
    /// Whether it says what its parts came to.
    tells_of_parts: bool,
    own: Sum,
}

impl Rollup {
    /// Sees a span.
    pub(super) fn see(&mut self, span: &SpanData) {
        if self.is_second {
            if self.with_runs.contains(&span.trace_id) {
                self.add(span);
            }
            return;
        }
        if let Some(parent) = span.parent_id {
            self.place((span.trace_id, parent));
        }
        if Sort::of(span) == Sort::Run {
            self.place((span.trace_id, span.span_id));
            self.with_runs.insert(span.trace_id);
        }
    }

    /// Whether all spans are to be seen once more, in the same order, now that each was.
    pub(super) fn sees_again(&mut self) -> bool {
        if self.is_second || self.with_runs.is_empty() {
            return false;
        }
        self.nodes.resize_with(self.places.len(), Node::default);
        self.is_second = true;
        true
    }

    fn place(&mut self, identity: Identity) {
        let next = self.places.len();
        self.places.entry(identity).or_insert(next);
    }

    fn add(&mut self, span: &SpanData) {
        let identity = (span.trace_id, span.span_id);
        let own = Sum::of(span);
        match self.places.get(&identity).map(|&at| &mut self.nodes[at].span) {
            Some(found @ None) => {
                *found = Some(Found {
                    identity,
                    parent: span.parent_id,
                    start_unix_ns: span.start_unix_ns,
                    is_run: Sort::of(span) == Sort::Run,
                    tells_of_parts: matches!(span.kind, Kind::Agent | Kind::Task | Kind::Turn),
                    own,
                });
            }
            // Nothing stands under it.
            found => {
                if let Some(Some(first)) = found {
                    first.is_run |= Sort::of(span) == Sort::Run;
                }
                let parent = span.parent_id.and_then(|parent| self.places.get(&(span.trace_id, parent)));
                if let Some(&parent) = parent {
                    self.nodes[parent].under.add(&own);
                }
            }
        }
    }

    /// What the runs come to: adds all up from below.
    pub(super) fn runs(mut self) -> HashMap<Identity, Counted> {
        let mut parents: Vec<Option<usize>> = self.nodes.iter().map(|node| self.parent(node)).collect();
        let mut waits_for = vec![0_usize; self.nodes.len()];
        parents.iter().flatten().for_each(|&parent| waits_for[parent] += 1);
        let mut ready: VecDeque<usize> = (0..self.nodes.len()).filter(|&at| waits_for[at] == 0).collect();
        let mut is_done = vec![false; self.nodes.len()];
        let mut unseen = 0;
        loop {
            while let Some(at) = ready.pop_front() {
                is_done[at] = true;
                let Some(parent) = parents[at] else { continue };
                let total = self.nodes[at].total();
                self.nodes[parent].under.add(&total);
                waits_for[parent] -= 1;
                if waits_for[parent] == 0 {
                    ready.push_back(parent);
                }
            }
            // What is left goes round in circles.
            while is_done.get(unseen) == Some(&true) {
                unseen += 1;
            }
            if unseen == self.nodes.len() {
                break;
            }
            let circle =
                std::iter::successors(Some(unseen), |&at| parents[at].filter(|&next| next != unseen));
            let started = |&at: &usize| self.nodes[at].span.as_ref().map(|span| span.start_unix_ns);
            let first = circle.min_by_key(started).unwrap_or(unseen);
            if let Some(parent) = parents[first].take() {
                waits_for[parent] -= 1;
                ready.extend((waits_for[parent] == 0).then_some(parent));
            }
        }
        let runs = self.nodes.into_iter().filter_map(|node| {
            let span = node.span.as_ref().filter(|span| span.is_run)?;
            Some((span.identity, node.counted()))
        });
        runs.collect()
    }

    fn parent(&self, node: &Node) -> Option<usize> {
        let Found { identity: (trace_id, _), parent, .. } = node.span.as_ref()?;
        let at = *self.places.get(&(*trace_id, (*parent)?))?;
        self.nodes[at].span.is_some().then_some(at)
    }
}

impl Node {
    /// What it comes to with all that stands under it.
    fn total(&self) -> Sum {
        let mut total = self.under.clone();
        if let Some(Found { own, .. }) = &self.span {
            total.spans += own.spans;
            total.steps += own.steps;
            total.model_calls += own.model_calls;
            total.tool_calls += own.tool_calls;
            self.add_usage(&mut total);
        }
        total
    }

    /// What it used and cost itself. What tells what its parts came to does not count beside them.
    fn add_usage(&self, total: &mut Sum) {
        let Some(Found { tells_of_parts, own, .. }) = &self.span else { return };
        if !tells_of_parts || self.under.tokens.is_none() {
            total.add_tokens(own);
        }
        if !tells_of_parts || self.under.costs.is_empty() {
            total.add_costs(own);
        }
    }

    /// Of a run, what stands under it, and what that used and cost.
    fn counted(&self) -> Counted {
        let mut sum = self.under.clone();
        self.add_usage(&mut sum);
        let Sum { spans, steps, model_calls, tool_calls, tokens, costs } = sum;
        let mut totals = Totals {
            total_steps: steps,
            total_model_calls: model_calls,
            total_tool_calls: tool_calls,
            ..Totals::default()
        };
        if let Some(tokens) = tokens {
            totals.total_token_usage = TokenUsage {
                input_tokens: tokens.input.unwrap_or_default(),
                output_tokens: tokens.output.unwrap_or_default(),
                total_tokens: tokens.sum().unwrap_or_default(),
                cached_tokens: tokens.cached,
                cache_creation_tokens: tokens.cache_creation,
                reasoning_tokens: tokens.reasoning,
                image_tokens: tokens.image,
            };
        }
        // Costs in other currencies are left out, since SpanForge's totals have one.
        let cost = costs.get(Cost::CURRENCY).or_else(|| costs.values().next());
        totals.total_cost = cost.cloned().unwrap_or_default();
        Counted { totals, spans }
    }
}

/// What some spans come to.
#[derive(Clone, Default)]
struct Sum {
    spans: u64,
    steps: u64,
    model_calls: u64,
    tool_calls: u64,
    tokens: Option<Tokens>,
    /// By currency.
    costs: BTreeMap<String, CostBreakdown>,
}

impl Sum {
    fn of(span: &SpanData) -> Self {
        let is_called = |kinds: &[Kind]| u64::from(!span.is_pending && kinds.contains(&span.kind));
        Sum {
            spans: 1,
            steps: u64::from(Sort::of(span) == Sort::Step),
            model_calls: is_called(&[Kind::Llm, Kind::Response]),
            // And calls without a span of their own.
            tool_calls: is_called(&[Kind::Tool]) + span.tool_calls().len() as u64,
            tokens: span.tokens().map(|tokens| Tokens { total: tokens.sum(), ..tokens }),
            costs: cost(span).into_iter().map(|cost| (cost.currency.clone(), cost)).collect(),
        }
    }

    fn add(&mut self, other: &Sum) {
        self.spans += other.spans;
        self.steps += other.steps;
        self.model_calls += other.model_calls;
        self.tool_calls += other.tool_calls;
        self.add_tokens(other);
        self.add_costs(other);
    }

    fn add_tokens(&mut self, other: &Sum) {
        let Some(more) = &other.tokens else { return };
        let sum = self.tokens.get_or_insert_default();
        for (sum, more) in [
            (&mut sum.input, more.input),
            (&mut sum.output, more.output),
            (&mut sum.total, more.total),
            (&mut sum.cached, more.cached),
            (&mut sum.cache_creation, more.cache_creation),
            (&mut sum.reasoning, more.reasoning),
            (&mut sum.image, more.image),
        ] {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        }
    }

    fn add_costs(&mut self, other: &Sum) {
        for (currency, more) in &other.costs {
            if let Some(sum) = self.costs.get_mut(currency) {
                for (sum, more) in [
                    (&mut sum.input_cost_usd, more.input_cost_usd),
                    (&mut sum.output_cost_usd, more.output_cost_usd),
                    (&mut sum.total_cost_usd, more.total_cost_usd),
                    (&mut sum.cached_discount_usd, more.cached_discount_usd),
                    (&mut sum.reasoning_cost_usd, more.reasoning_cost_usd),
                ] {
                    *sum = (*sum + more).clamp(f64::MIN, f64::MAX);
                }
            } else if self.costs.len() < CURRENCIES_MAX || currency == Cost::CURRENCY {
                self.costs.insert(currency.clone(), more.clone());
            }
        }
    }
}

/// What a span says that it cost. A number that is infinite or none is as good as nothing said.
fn cost(span: &SpanData) -> Option<CostBreakdown> {
    let finite = |part: Option<f64>| part.filter(|part| part.is_finite());
    let said = span.cost()?;
    let said = Cost {
        input: finite(said.input),
        output: finite(said.output),
        total: finite(said.total),
        cached_discount: finite(said.cached_discount),
        reasoning: finite(said.reasoning),
        ..said
    };
    said.sum().filter(|sum| sum.is_finite())?;
    let currency = said.currency.filter(|currency| !currency.is_empty()).unwrap_or(Cost::CURRENCY);
    Some(CostBreakdown { currency: currency.to_owned(), ..usage::breakdown(&said) })
}

#[cfg(test)]
mod tests;
