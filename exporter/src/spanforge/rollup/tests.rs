use std::io;

use proptest::prelude::*;
use serde_json::Value as Json;
use spanring::names;
use spanring_spool::{Node, Trace, Value};

use super::*;
use crate::sink::TraceSpans;
use crate::spanforge::{RunTotals, payload_with};

/// Spans that are read so many at a time.
struct Chunks<'a> {
    spans: &'a [SpanData],
    len: usize,
    at: usize,
    /// How often reading began.
    reads: usize,
}

impl TraceSpans for Chunks<'_> {
    fn rewind(&mut self) {
        (self.at, self.reads) = (0, self.reads + 1);
    }

    fn next(&mut self) -> io::Result<Option<&[SpanData]>> {
        let chunk = self.spans.get(self.at..(self.at + self.len).min(self.spans.len()));
        self.at += self.len;
        Ok(chunk.filter(|chunk| !chunk.is_empty()))
    }
}

/// The totals of a run, by the tree of its trace.
fn by_the_tree(run: &SpanData, spans: &[SpanData]) -> Counted {
    let traces = Trace::collect(spans.iter().cloned());
    let trace = traces.iter().find(|trace| trace.trace_id() == run.trace_id).unwrap();
    let tree = trace.tree();
    let nodes = tree.nodes().iter().enumerate();
    let with_id = nodes.filter(|(_, node)| node.span.span_id == run.span_id);
    let (at, _) = with_id.min_by_key(|(_, node)| node.span.start_unix_ns).unwrap();
    let of_run = &tree.nodes()[at..=at + tree.nodes()[at].descendants];
    let [own, under @ ..] = of_run else { unreachable!("the run is the first") };
    let of_kind = |kinds: &[Kind]| {
        under.iter().filter(|node| !node.span.is_pending && kinds.contains(&node.span.kind)).count() as u64
    };
    let calls: u64 = under.iter().map(|node| node.span.tool_calls().len() as u64).sum();
    let tokens = own.total.tokens.unwrap_or_default();
    let totals = Totals {
        total_steps: under.iter().filter(|node| Sort::of(node.span) == Sort::Step).count() as u64,
        total_model_calls: of_kind(&[Kind::Llm, Kind::Response]),
        total_tool_calls: of_kind(&[Kind::Tool]) + calls,
        total_token_usage: TokenUsage {
            input_tokens: tokens.input.unwrap_or_default(),
            output_tokens: tokens.output.unwrap_or_default(),
            total_tokens: tokens.sum().unwrap_or_default(),
            cached_tokens: tokens.cached,
            ..TokenUsage::default()
        },
        total_cost: cost_by_the_tree(of_run),
    };
    Counted { totals, spans: under.len() as u64 }
}

fn cost_by_the_tree(nodes: &[Node<'_>]) -> CostBreakdown {
    let mut sum = CostBreakdown::default();
    let currencies = || nodes[0].total.cost.iter().map(|&(currency, _)| currency);
    let Some(currency) = currencies().find(|&name| name == "USD").or_else(|| currencies().next()) else {
        return sum;
    };
    sum.currency = currency.to_owned();
    for (at, node) in nodes.iter().enumerate() {
        let parts = &nodes[at + 1..=at + node.descendants];
        let tells_of_parts = matches!(node.span.kind, Kind::Agent | Kind::Task | Kind::Turn);
        let is_told_again = tells_of_parts && parts.iter().any(|part| !part.own.cost.is_empty());
        if !is_told_again && node.own.cost_in(currency).is_some() {
            let cost = usage::breakdown(&node.span.cost().unwrap());
            sum.input_cost_usd += cost.input_cost_usd;
            sum.output_cost_usd += cost.output_cost_usd;
            sum.total_cost_usd += cost.total_cost_usd;
        }
    }
    sum
}

/// What a span is made of: identity, parent, sort, tokens, cost in currency, trace.
type Made = (u8, Option<u8>, u8, Option<u8>, Option<(u8, u8)>, u8);

fn made((id, parent, sort, tokens, cost, trace): Made, start_unix_ns: u64) -> SpanData {
    let kinds = [Kind::Agent, Kind::Llm, Kind::Tool, Kind::Task, Kind::Turn, Kind::Chain, Kind::Response];
    let mut attributes: Vec<(&str, Value)> = Vec::new();
    match sort {
        0..=2 => attributes.push((names::AGENT_NAME, "planner".into())),
        10 => attributes.push((names::STEP_INDEX, Value::U64(1))),
        11 => {
            let call = ["tool_call_id", "function_name", "status"].map(|key| (key, Value::from("x")));
            attributes.push((names::TOOL_CALLS, Value::from(vec![Value::from_iter(call)])));
        }
        _ => {}
    }
    if let Some(tokens) = tokens {
        attributes.push((names::USAGE_INPUT_TOKENS, Value::U64(tokens.into())));
        attributes.push((names::USAGE_CACHED_TOKENS, Value::U64(1)));
    }
    if let Some((cost, currency)) = cost {
        // Of fractions that add up exactly, in whatever order.
        attributes.push((names::COST_INPUT, (f64::from(cost) / 16.0).into()));
        attributes.push((names::COST_OUTPUT, (f64::from(cost) / 64.0).into()));
        attributes.push((names::COST_CURRENCY, ["USD", "EUR", "CHF"][usize::from(currency)].into()));
    }
    SpanData {
        trace_id: TraceId::from_bytes([trace; 16]),
        span_id: SpanId::from_bytes([id; 8]),
        parent_id: parent.map(|parent| SpanId::from_bytes([parent; 8])),
        kind: kinds[usize::from(sort.saturating_sub(2)) % kinds.len()],
        start_unix_ns,
        is_pending: sort == 12,
        attributes: attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        ..SpanData::default()
    }
}

fn spans() -> impl Strategy<Value = Vec<SpanData>> {
    let cost = proptest::option::of((0..64_u8, 0..3_u8));
    let one = (
        1..12_u8,
        proptest::option::weighted(0.9, 1..12_u8),
        0..16_u8,
        proptest::option::of(0..9_u8),
        cost,
        1..3_u8,
    );
    (proptest::collection::vec(one, 1..24), any::<bool>()).prop_map(|(mut all, starts_backwards)| {
        if starts_backwards {
            // Who comes first among those of the same identity is another one there.
            let mut known = HashSet::new();
            all.retain(|&(id, .., trace)| known.insert((trace, id)));
        }
        let start = |at: u64| if starts_backwards { 1_000 - at } else { at };
        (1..).zip(all).map(|(at, one)| made(one, start(at))).collect()
    })
}

fn totals(run: &SpanData, runs: &RunTotals) -> Json {
    let payload: Json = payload_with(run, runs).to_dict().into();
    let of = |key: &str| payload[key].clone();
    let counts = ["total_steps", "total_model_calls", "total_tool_calls"].map(of);
    let rest = ["total_token_usage", "total_cost"].map(of);
    [&counts[..], &rest, &[payload["attributes"]["spanring.run.totals.spans"].clone()]]
        .concat()
        .into_iter()
        .collect()
}

fn shown(Counted { totals, spans }: Counted) -> Json {
    let Totals { total_steps, total_model_calls, total_tool_calls, total_token_usage, total_cost } = totals;
    serde_json::json!([
        total_steps,
        total_model_calls,
        total_tool_calls,
        total_token_usage,
        total_cost,
        spans
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_parents_say_a_run_comes_to_what_the_tree_of_its_trace_says(spans in spans(), len in 1..9_usize) {
        let mut chunks = Chunks { spans: &spans, len, at: 0, reads: 0 };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(RunTotals::read(&mut chunks)).unwrap();
        let is_any = spans.iter().any(|span| Sort::of(span) == Sort::Run);
        prop_assert_eq!(chunks.reads, if is_any { 2 } else { 1 });
        prop_assert_eq!(&read, &RunTotals::of(&spans));
        prop_assert!(read.covers(&spans));
        for run in spans.iter().filter(|span| Sort::of(span) == Sort::Run) {
            let said = totals(run, &read);
            prop_assert_eq!(&said, &shown(by_the_tree(run, &spans)));
            // What is kept with it says the same.
            prop_assert_eq!(totals(run, &RunTotals::kept(run, &read.kept_of(run))), said);
        }
    }
}

#[test]
fn a_thousand_levels_and_a_circle_of_a_thousand_are_added_up() {
    let id = |number: u64| SpanId::from_bytes(number.to_le_bytes());
    let level = |at: u64, parent: Option<u64>| SpanData {
        span_id: id(at),
        parent_id: parent.map(id),
        start_unix_ns: at,
        ..made((1, None, if at == 1 { 0 } else { 1 }, None, None, 1), at)
    };
    for in_circle in [None, Some(1_000)] {
        let spans: Vec<_> = (1..=1_000).rev().map(|at| level(at, (at > 1).then(|| at - 1))).collect();
        let mut spans = spans;
        spans.last_mut().unwrap().parent_id = in_circle.map(id);
        let runs = RunTotals::of(&spans);
        assert_eq!(totals(spans.last().unwrap(), &runs)[5], 999);
    }
}

#[test]
fn sums_stop_at_the_largest_numbers_and_what_is_no_number_does_not_count() {
    let call = |id, cost: f64| SpanData {
        attributes: vec![
            (names::USAGE_INPUT_TOKENS.into(), Value::U64(u64::MAX)),
            (names::COST_TOTAL.into(), cost.into()),
        ],
        ..made((id, Some(1), 3, None, None, 1), 1)
    };
    let run = made((1, None, 0, None, None, 1), 1);
    let spans = [call(2, f64::MAX), call(3, f64::MAX), call(4, f64::NAN), call(5, f64::INFINITY), run];
    let said = totals(&spans[4], &RunTotals::of(&spans));
    assert_eq!((&said[3]["input_tokens"], &said[4]["total_cost_usd"]), (&u64::MAX.into(), &f64::MAX.into()));
}

#[test]
fn an_announcement_of_a_span_that_is_there_does_not_count() {
    let run = made((1, None, 0, None, None, 1), 1);
    let call = made((2, Some(1), 3, None, None, 1), 2);
    let announced = SpanData { is_open: true, ..call.clone() };
    let open = SpanData { is_open: true, ..made((3, Some(1), 3, None, None, 1), 2) };
    let spans = [announced, call, open, run];
    assert_eq!(totals(&spans[3], &RunTotals::of(&spans))[5], 2);
}
