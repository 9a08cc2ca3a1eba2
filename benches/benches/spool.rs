//! How many spans can be carried from the rings into segments, and how long are they there?

use std::time::{Duration, Instant};

use criterion::{Bencher, Criterion, SamplingMode, Throughput};
use spanring_benches::{AgentRun, Bed, Calls, Place};
use spanring_spool::Reader;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let size = size_of_agent_runs();
    eprintln!("segments are on {}", place().file_system());
    spool(&mut criterion);
    eprintln!("{size}");
    criterion.final_summary();
}

/// Half of a ring is the most that can be recorded without compression being made faster, at the cost of its strength.
const RING_LEN: usize = 64 << 20;
/// How many tool calls a burst has: about 20 MiB.
const TOOL_BURST: usize = 150_000;
/// How often a burst repeats the agent runs: about 20 MiB.
const RUNS_BURST: u64 = 24;

/// How many spans a second does one drain core carry from ring to committed segment, at the default compression? Decides how
/// blocks are built and compressed. Timed from the first span of a burst until all of it is committed.
fn spool(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spool");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_secs(2)).measurement_time(Duration::from_secs(10));

    let runs = AgentRun::all();
    let spans: u64 = runs.iter().map(AgentRun::len).sum::<u64>() * RUNS_BURST;
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

/// How much of the disk the agent runs take, each recorded once.
fn size_of_agent_runs() -> String {
    /// Where the blocks of a segment start.
    const SEGMENT_HEADER_LEN: u64 = 8192;

    let runs = AgentRun::all();
    let bed = Bed::new(place(), |spool| spool.linger(Duration::from_secs(1)));
    runs.iter().for_each(AgentRun::record);
    bed.drain();
    let (place, dir) = bed.stop();
    let spans = Reader::open(place.path().join("spool")).expect("the spool is there").count();
    assert_eq!(spans as u64, runs.iter().map(AgentRun::len).sum::<u64>(), "spans in are spans out");

    let (mut segments, mut bytes) = (0, 0);
    for recorder in dir.recorders().expect("the spool can be listed") {
        for entry in dir.recorder_path(&recorder).read_dir().expect("the recorder can be listed").flatten() {
            if entry.file_name().to_string_lossy().ends_with(".segment") {
                segments += 1;
                bytes += entry.metadata().map_or(0, |metadata| metadata.len());
            }
        }
    }
    let blocks = bytes - segments * SEGMENT_HEADER_LEN;
    format!(
        "agent runs: {spans} spans in {bytes} bytes of segments, {:.0} bytes a span; without the segments' headers {:.0}",
        bytes as f64 / spans as f64,
        blocks as f64 / spans as f64,
    )
}

fn place() -> Place {
    Place::new(env!("CARGO_TARGET_TMPDIR"))
}
