//! How fast do spans become blocks, and blocks spans?

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};
use spanring_benches::{AgentRun, Calls, Captured, Place};
use spanring_spool::measured::Blocks;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    encode(&mut criterion);
    criterion.final_summary();
}

/// How often the agent runs are encoded, and how many made spans and tool calls: a few blocks of each.
const RUNS: u64 = 8;
const SPANS: u64 = 20_000;
const TOOLS: usize = 100_000;

/// What does a span cost the drain, and what a reader, when there is no file? Decides how columns are built and
/// compressed. `encode` goes from the bytes of a ring to compressed payloads, `decode` from there to
/// spans. The throughput is of logical bytes ([`AgentRun::logical_len`]), and what is printed first says how many spans that is.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(4));

    for stream in [agent_spans(), agent_runs(), tool_calls()] {
        let mut blocks = Blocks::new();
        let mut encoded = Vec::new();
        stream.captured.look(|records| blocks.encode(records, |block| encoded.push(block.clone())));
        let bytes = encoded.iter().map(|block| block.len() as u64).sum::<u64>();
        eprintln!(
            "{}: {} spans of {:.0} logical bytes, {:.1} bytes each in {} blocks",
            stream.name,
            stream.spans,
            stream.logical_len as f64 / stream.spans as f64,
            bytes as f64 / stream.spans as f64,
            encoded.len()
        );
        group.throughput(Throughput::ElementsAndBytes { elements: stream.spans, bytes: stream.logical_len });
        group.bench_function(format!("encode/{}", stream.name), |bencher| {
            bencher.iter(|| {
                let mut spans = 0;
                stream.captured.look(|records| blocks.encode(records, |block| spans += block.spans()));
                assert_eq!(spans, stream.spans, "spans in are spans out");
            });
        });
        group.bench_function(format!("decode/{}", stream.name), |bencher| {
            bencher.iter(|| {
                let spans = encoded.iter().map(|block| blocks.decode(block)).sum::<u64>();
                assert_eq!(spans, stream.spans, "spans in are spans out");
            });
        });
    }
}

/// Spans in a ring.
struct Stream {
    name: &'static str,
    spans: u64,
    logical_len: u64,
    captured: Captured,
}

fn agent_spans() -> Stream {
    of_runs("agent_spans", &AgentRun::synthetic(5, SPANS), 1)
}

fn agent_runs() -> Stream {
    of_runs("agent_runs", &AgentRun::all(), RUNS)
}

fn of_runs(name: &'static str, runs: &[AgentRun], times: u64) -> Stream {
    let spans = runs.iter().map(AgentRun::len).sum::<u64>() * times;
    let logical_len = runs.iter().map(AgentRun::logical_len).sum::<u64>() * times;
    let record = || (0..times).for_each(|_| runs.iter().for_each(AgentRun::record));
    Stream { name, spans, logical_len, captured: Captured::of(place(), spans, record) }
}

fn tool_calls() -> Stream {
    let calls = Calls::seeded(4);
    let captured = Captured::of(place(), TOOLS as u64 + 1, || {
        let run = spanring::span("run").root().start();
        calls.tools(&run, TOOLS);
    });
    let spans = TOOLS as u64 + 1;
    Stream { name: "4_attributes", spans, logical_len: TOOLS as u64 * Calls::TOOL_LOGICAL_LEN, captured }
}

fn place() -> Place {
    Place::new(env!("CARGO_TARGET_TMPDIR"))
}
