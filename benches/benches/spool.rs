//! How many spans can be carried from the rings into segments, and how large are they there?

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Bencher, Criterion, SamplingMode, Throughput};
use spanring_benches::{AgentRun, Bed, Calls, Place};
use spanring_exporter::otlp::{self, Names};
use spanring_spool::{Reader, SpanData, SpoolDir};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    eprintln!("segments are on {}", place().file_system());
    spool(&mut criterion);
    // Behind the rest, so that all names and keys are known, and nothing holds up what is recorded at once.
    let sizes = [made_spans().size(), agent_runs().size(), agent_runs().size_as_otlp()];
    sizes.iter().for_each(|size| eprintln!("{size}"));
    criterion.final_summary();
}

/// Half of a ring is the most that can be recorded without compression being made faster, at the cost of its strength.
const RING_LEN: usize = 256 << 20;
/// How many tool calls a burst has: about 80 MiB.
const TOOL_BURST: usize = 600_000;
/// How often a burst repeats the agent runs: about 80 MiB.
const RUNS_BURST: u64 = 96;
/// How many made agent spans a burst has: about 80 MiB.
const SPANS_BURST: u64 = 128_000;

/// How many spans a second does one drain core carry from ring to committed segment, at the default compression? Decides how
/// blocks are built and compressed. Timed from the first span of a burst until all of it is committed.
fn spool(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spool");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_secs(2)).measurement_time(Duration::from_secs(8));

    let Runs { runs, spans, .. } = made_spans();
    group.throughput(Throughput::Elements(spans));
    group.bench_function("agent_spans", |bencher| {
        bursts(bencher, spans, || runs.iter().for_each(AgentRun::record));
    });

    let Runs { runs, spans, .. } = agent_runs();
    let spans = spans * RUNS_BURST;
    group.throughput(Throughput::Elements(spans));
    group.bench_function("agent_runs", |bencher| {
        bursts(bencher, spans, || {
            for _ in 0..RUNS_BURST {
                runs.iter().for_each(AgentRun::record);
            }
        });
    });

    let calls = Calls::seeded(4);
    let spans = TOOL_BURST as u64;
    group.throughput(Throughput::Elements(spans + 1));
    group.bench_function("4_attributes", |bencher| {
        bursts(bencher, spans + 1, || {
            let run = spanring::span("run").root().start();
            calls.tools(&run, TOOL_BURST);
        });
    });
}

/// Times `record`, which records that many spans, until they are committed. They are then read back, counted and
/// removed, without being timed.
fn bursts(bencher: &mut Bencher<'_>, spans: u64, record: impl Fn()) {
    let mut bed = Bed::new(place(), |spool| spool.ring_bytes(RING_LEN).rings(1, 1));
    let mut reader = bed.reader();
    bencher.iter_custom(|iterations| {
        let mut timed = Duration::ZERO;
        for _ in 0..iterations {
            let start = Instant::now();
            record();
            bed.drain();
            timed += start.elapsed();
            bed.settle(spans);
            assert_eq!(bed.read_and_remove(&mut reader), spans, "spans in are spans out");
        }
        timed
    });
    bed.stop();
}

/// Agent runs whose size is told.
struct Runs {
    name: &'static str,
    runs: Vec<AgentRun>,
    spans: u64,
}

/// Made ones: see the head of `src/agent_runs/synthetic.rs`.
fn made_spans() -> Runs {
    Runs::new("agent spans", AgentRun::synthetic(5, SPANS_BURST))
}

/// Real ones.
fn agent_runs() -> Runs {
    Runs::new("agent runs", AgentRun::all())
}

impl Runs {
    fn new(name: &'static str, runs: Vec<AgentRun>) -> Self {
        Runs { name, spans: runs.iter().map(AgentRun::len).sum(), runs }
    }

    /// Records all of them once, in one go, and returns where their spool is.
    fn spooled(&self) -> (Place, SpoolDir) {
        let bed = Bed::new(place(), |spool| spool.ring_bytes(RING_LEN).linger(Duration::from_secs(1)));
        // Until a drain that has nothing to do looks round as seldom as it does.
        thread::sleep(Duration::from_millis(50));
        self.runs.iter().for_each(AgentRun::record);
        bed.drain();
        bed.stop()
    }

    /// How much of the disk they take at the default compression.
    fn size(&self) -> String {
        /// Where the blocks of a segment start.
        const SEGMENT_HEADER_LEN: u64 = 8192;

        let (place, dir) = self.spooled();
        let spans = Reader::open(place.path().join("spool")).expect("the spool is there").count() as u64;
        assert_eq!(spans, self.spans, "spans in are spans out");

        let (mut segments, mut bytes) = (0, 0);
        for recorder in dir.recorders().expect("the spool can be listed") {
            let files = dir.recorder_path(&recorder).read_dir().expect("the recorder can be listed");
            for entry in files.flatten() {
                if entry.file_name().to_string_lossy().ends_with(".segment") {
                    segments += 1;
                    bytes += entry.metadata().map_or(0, |metadata| metadata.len());
                }
            }
        }
        let logical_len = self.runs.iter().map(AgentRun::logical_len).sum::<u64>();
        format!(
            "{}: {spans} spans of {:.0} logical bytes in {bytes} bytes of segments, {:.1} bytes a span; without the \
             segments' headers {:.1}",
            self.name,
            logical_len as f64 / spans as f64,
            bytes as f64 / spans as f64,
            (bytes - segments * SEGMENT_HEADER_LEN) as f64 / spans as f64,
        )
    }

    /// How much an exporter posts: OTLP in requests of 512 spans, each compressed by `gzip -6`, the program; what compresses requests
    /// here is faster, and makes them a seventh longer.
    fn size_as_otlp(&self) -> String {
        const REQUEST_LEN: usize = 512;

        let (place, _) = self.spooled();
        let spans: Vec<SpanData> = Reader::open(place.path().join("spool"))
            .expect("the spool is there")
            .collect::<Result<_, _>>()
            .expect("the spool can be read");
        let (mut plain, mut gzipped) = (0, 0);
        for spans in spans.chunks(REQUEST_LEN) {
            let request = otlp::to_protobuf(Names::GenAi, &[], spans);
            plain += request.len();
            gzipped += gzip_6(&place.path().join("request"), &request);
        }
        format!(
            "{} as OTLP in requests of {REQUEST_LEN} spans: {:.1} bytes a span, {:.1} under gzip -6",
            self.name,
            plain as f64 / spans.len() as f64,
            gzipped as f64 / spans.len() as f64,
        )
    }
}

/// How long `gzip -6` makes a request, which is written to `path` for it.
fn gzip_6(path: &Path, request: &[u8]) -> usize {
    fs::write(path, request).expect("a file can be written");
    let output = Command::new("gzip").args(["-6", "--stdout"]).arg(path).output().expect("gzip can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.len()
}

fn place() -> Place {
    Place::new(env!("CARGO_TARGET_TMPDIR"))
}
