//! How fast are spans delivered?

mod inbox;
#[cfg(not(no_peers))]
mod opentelemetry_sdk;

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{Bencher, BenchmarkGroup, Criterion, SamplingMode, Throughput};
use spanring_benches::{AgentRun, Bed, Calls, Place};
use spanring_exporter::Exporter;
use spanring_exporter::engine::SPANS_MAX;
use spanring_exporter::otlp::{self, Names};
use spanring_exporter::sink::{OtlpOptions, SinkAddress, SinkOptions};
use spanring_spool::{SpanData, SpoolBuilder};
use tokio::runtime::Runtime;

use inbox::{Inbox, spans_in};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    eprintln!("segments are on {}", place().file_system());
    export(&mut criterion);
    criterion.final_summary();
}

/// How often the agent runs are recorded, and how many tool calls.
const RUNS: u64 = 12;
const TOOLS: usize = 100_000;

/// How many spans a second does one exporter deliver? Decides how batches are made and sent.
///
/// `encode` makes OTLP requests of spans in memory. `deliver` is a whole pass of the exporter, as `spanring export --once`
/// does it: from segments until a receiver on loopback, in this process, has unpacked and acknowledged the last request, and the
/// segments are removed. `from_ring` begins at the first span's start, as `opentelemetry_sdk` does: its batch processor and its OTLP exporter, which
/// deliver the same spans from memory to the same receiver. By default they send them as they are; `opentelemetry_sdk_gzip`
/// compresses them as we do. We do not where `OTEL_EXPORTER_OTLP_COMPRESSION=none` is set.
fn export(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("export");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));

    let runs = AgentRun::all();
    let spans = RUNS * runs.iter().map(AgentRun::len).sum::<u64>();
    of(&mut group, "agent_runs", spans, &|| {
        for _ in 0..RUNS {
            runs.iter().for_each(AgentRun::record);
        }
    });

    let calls = Calls::seeded(8);
    of(&mut group, "4_attributes", TOOLS as u64 + 1, &|| {
        let run = spanring::span("run").root().start();
        calls.tools(&run, TOOLS);
    });
    #[cfg(not(no_peers))]
    for (name, is_compressed) in [("opentelemetry_sdk", false), ("opentelemetry_sdk_gzip", true)] {
        let mut line = None;
        group.bench_function(format!("{name}/4_attributes"), |bencher| {
            let line = line.get_or_insert_with(|| opentelemetry_sdk::Line::new(is_compressed));
            bencher.iter_custom(|iterations| (0..iterations).map(|_| line.carry(&calls, TOOLS)).sum());
        });
    }
}

fn of(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, spans: u64, record: &dyn Fn()) {
    group.throughput(Throughput::Elements(spans));
    let mut read = None;
    group.bench_function(format!("encode/{name}"), |bencher| {
        encode(bencher, read.get_or_insert_with(|| read_back(spans, record)));
    });
    for (way, is_from_ring) in [("deliver", false), ("from_ring", true)] {
        let mut line = None;
        group.bench_function(format!("{way}/{name}"), |bencher| {
            let line = line.get_or_insert_with(Line::new);
            bencher.iter_custom(|iterations| {
                (0..iterations).map(|_| line.carry(spans, record, is_from_ring)).sum()
            });
        });
    }
}

/// Times making requests of so many spans as a batch has at most.
fn encode(bencher: &mut Bencher<'_>, spans: &[SpanData]) {
    let encode = || spans.chunks(SPANS_MAX).map(|batch| otlp::to_protobuf(Names::GenAi, &[], batch));
    assert_eq!(
        encode().map(|body| spans_in(&body)).sum::<u64>(),
        spans.len() as u64,
        "spans in are spans out"
    );
    bencher.iter(|| encode().map(|body| body.len()).sum::<usize>());
}

/// The spans that `record` records, as they are read back.
fn read_back(spans: u64, record: &dyn Fn()) -> Vec<SpanData> {
    let mut bed = Bed::new(place(), large_ring);
    let mut reader = bed.reader();
    record();
    bed.settle(spans);
    let mut read = Vec::new();
    while let Some(block) = reader.next_block().expect("a segment can be read") {
        read.extend(block.spans);
    }
    assert_eq!(read.len() as u64, spans, "spans in are spans out");
    read
}

/// A spool, an exporter, and a receiver.
struct Line {
    bed: Bed,
    runtime: Runtime,
    sink: SinkAddress,
    options: SinkOptions,
    inbox: Inbox,
}

impl Line {
    fn new() -> Self {
        let inbox = Inbox::new();
        let sink = format!("otlp+http://{}", inbox.address()).parse().expect("it is an address");
        let otlp = OtlpOptions::from_environment().expect("the environment makes sense");
        let options = SinkOptions { otlp, ..SinkOptions::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be built");
        Line { bed: Bed::new(place(), large_ring), runtime, sink, options, inbox }
    }

    /// Records spans, has them delivered, and counts them there. How long it took, with the recording or without.
    fn carry(&mut self, spans: u64, record: &dyn Fn(), is_from_ring: bool) -> Duration {
        let mut start = Instant::now();
        record();
        self.bed.drain();
        if !is_from_ring {
            start = Instant::now();
        }
        let exporter = Exporter::new(self.bed.dir().clone())
            .to(self.sink.open_with(&self.options).expect("the sink can be opened"))
            .once(Duration::from_secs(30));
        let report = self.runtime.block_on(exporter.run(std::future::pending())).expect("it can begin");
        let timed = start.elapsed();

        assert!(report.is_complete(), "{report}");
        assert_eq!(self.inbox.take(), spans, "spans in are spans out");
        self.bed.settle(spans);
        timed
    }
}

/// All that is recorded at once fits half of it.
fn large_ring(spool: SpoolBuilder) -> SpoolBuilder {
    spool.ring_bytes(64 << 20).rings(1, 1)
}

fn place() -> Place {
    Place::new(env!("CARGO_TARGET_TMPDIR"))
}
