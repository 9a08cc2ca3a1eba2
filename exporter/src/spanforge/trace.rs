//! A trace as JSON, and as the lines that it is saved as.

use serde_json::{Map, Value as Json};
use spanring::names;
use spanring_spool::SpanData;

use super::python_json::spaced;
use super::said::Said;
use super::span::payload;
use super::totals::RunTotals;

/// A trace in the form of SpanForge's `Trace.to_json`: the run of an agent that `run` is the span of, with the payloads of `spans`. The run's
/// attributes are those of the trace. The totals of runs within it are those of `spans`.
pub fn trace_to_json(run: &SpanData, spans: &[SpanData]) -> String {
    let mut said = Said::of(run);
    let mut trace = Map::new();
    trace.insert("trace_id".to_owned(), run.trace_id.to_string().into());
    let name = said.take_text(names::AGENT_NAME, |name| !name.is_empty());
    trace.insert("agent_name".to_owned(), name.unwrap_or_else(|| run.name.clone()).into());
    trace.insert("start_time".to_owned(), seconds(run.start_unix_ns).into());
    trace.insert("spans".to_owned(), payloads(spans).collect());
    if let Some(attributes) = said.rest() {
        trace.insert("attributes".to_owned(), attributes.into());
    }
    spaced(&trace)
}

/// Spans in the form of SpanForge's `Trace.save`: a payload a line. The totals of runs are those of `spans`, which should be whole traces.
pub fn saved(spans: &[SpanData]) -> String {
    payloads(spans).map(|payload| spaced(&payload) + "\n").collect()
}

fn payloads(spans: &[SpanData]) -> impl Iterator<Item = Json> {
    let totals = RunTotals::of(spans);
    spans.iter().map(move |span| payload(span, Said::of(span), &totals).to_dict().into())
}

/// Seconds since the Unix epoch: the floating-point number next to what the decimal says.
fn seconds(unix_ns: u64) -> f64 {
    let text = format!("{}.{:09}", unix_ns / 1_000_000_000, unix_ns % 1_000_000_000);
    text.parse().expect("it is a decimal number")
}
