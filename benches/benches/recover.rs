//! How fast is what was recorded read back, and recovered from a process that was killed?

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use spanring::Ended;
use spanring_benches::{AgentRun, Bed, Calls, FullDisk, Place, logical_len};
use spanring_spool::{Reader, Spool, SpoolDir};

/// Says to a process that it is the one to be killed, and where its spool is.
const VICTIM: &str = "SPANRING_BENCH_VICTIM";
/// And how many of its threads record.
const THREADS: &str = "SPANRING_BENCH_THREADS";

fn main() {
    if let Some(spool) = std::env::var_os(VICTIM) {
        let threads = std::env::var(THREADS).ok().and_then(|threads| threads.parse().ok());
        return be_killed(Path::new(&spool), threads.expect("it is told how many"));
    }
    let mut criterion = Criterion::default().configure_from_args();
    eprintln!("segments are on {}", place().file_system());
    recover(&mut criterion);
    criterion.final_summary();
}

/// How many tool calls are read back.
const TOOLS: usize = 300_000;
/// How many are recorded at a time, so that they fit the ring.
const TOOL_BURST: usize = 10_000;
/// How many spans of agent runs, at least.
const AGENT_SPANS: u64 = 20_000;

/// How long does somebody wait after a crash, and what does a reader cost beside the agents that it reads of? Decides how blocks
/// are decoded, and how much a ring may hold.
///
/// `read` verifies and decompresses a spool, and looks at every part of every span where it lies; `owned` makes a
/// [`SpanData`](spanring_spool::SpanData) of each as well. Bytes are logical ones: see [`logical_len`]. `rings` is a whole recovery of
/// one process whose rings, of the default length, are full, with its syncs; bytes and spans are those of the rings.
fn recover(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recover");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));

    let real = AgentRun::all();
    read(&mut group, "agent_runs", |bed| {
        let rounds = AGENT_SPANS.div_ceil(real.iter().map(AgentRun::len).sum());
        (0..rounds).map(|_| record(bed, &real)).sum()
    });
    read(&mut group, "synthetic", |bed| record(bed, &AgentRun::synthetic(5, AGENT_SPANS)));
    let calls = Calls::seeded(6);
    read(&mut group, "4_attributes", |bed| {
        let run = spanring::span("run").root().start();
        for _ in 0..TOOLS / TOOL_BURST {
            calls.tools(&run, TOOL_BURST);
            bed.drain();
        }
        TOOLS as u64 + 1
    });
    for (name, threads) in [("1_full_ring", 1), ("8_full_rings", 8)] {
        rings(&mut group, name, threads);
    }
}

/// Records runs, a few at a time so that they fit the ring, and returns how many spans they have.
fn record(bed: &Bed, runs: &[AgentRun]) -> u64 {
    for runs in runs.chunks(40) {
        runs.iter().for_each(AgentRun::record);
        bed.drain();
    }
    runs.iter().map(AgentRun::len).sum()
}

/// Times reading a whole spool into which `record` has put as many spans as it says.
fn read(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, record: impl FnOnce(&Bed) -> u64) {
    let mut bed = Bed::new(place(), |spool| spool.ring_bytes(8 << 20));
    let spans = record(&bed);
    bed.settle(spans);
    let (place, _) = bed.stop();
    let spool = place.path().join("spool");
    let (read, bytes) = look_at_all(&spool);
    assert_eq!(read, spans, "spans in are spans out");
    eprintln!("{name}: {:.0} logical bytes a span", bytes as f64 / spans as f64);

    group.throughput(Throughput::ElementsAndBytes { elements: spans, bytes });
    group.bench_function(format!("read/{name}"), |bencher| {
        bencher.iter(|| assert_eq!(look_at_all(&spool), (spans, bytes), "spans in are spans out"));
    });
    group.bench_function(format!("owned/{name}"), |bencher| {
        bencher.iter(|| {
            let mut reader = Reader::open(&spool).expect("the spool is there");
            assert_eq!((&mut reader).count() as u64, spans, "spans in are spans out");
            assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
        });
    });
}

/// How many spans a spool has, and how many logical bytes these have.
fn look_at_all(spool: &Path) -> (u64, u64) {
    let mut reader = Reader::open(spool).expect("the spool is there");
    let (mut spans, mut bytes) = (0, 0);
    while let Some(block) = reader.next_block_ref().expect("the spool can be read") {
        for span in block.spans() {
            spans += 1;
            bytes += logical_len(&span);
        }
    }
    assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
    (spans, bytes)
}

/// Times the recovery of what so many threads have left in their rings.
fn rings(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, threads: usize) {
    // Processes leave more or fewer spans in their segments, and hardly differ in what their rings hold.
    let usual = recover_one(threads);
    group.throughput(Throughput::ElementsAndBytes { elements: usual.spans, bytes: usual.bytes });
    group.bench_function(format!("rings/{name}"), |bencher| {
        bencher.iter_custom(|iterations| {
            let recovered = (0..iterations).map(|_| recover_one(threads));
            recovered.map(|one| one.took.mul_f64(usual.spans as f64 / one.spans as f64)).sum()
        });
    });
}

struct Recovered {
    /// Those of the rings.
    spans: u64,
    /// Their logical bytes: their part of those of all spans, which are alike.
    bytes: u64,
    took: Duration,
}

/// Has a process fill its rings and be killed, and times the recovery.
fn recover_one(threads: usize) -> Recovered {
    let place = place();
    let spool = place.path().join("spool");
    let mut victim = Command::new(std::env::current_exe().expect("the benchmark has a path"))
        .env(VICTIM, &spool)
        .env(THREADS, threads.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the benchmark can be started again");
    let mut line = String::new();
    let output = victim.stdout.take().expect("its output is a pipe");
    BufReader::new(output).read_line(&mut line).expect("it says when it has recorded");
    victim.kill().expect("it can be killed");
    victim.wait().expect("it can be waited for");
    let recorded: u64 = line.trim().parse().expect("it says how many it has recorded");

    let dir = SpoolDir::open(&spool).expect("the spool is there");
    let recorder = dir.recorders().expect("the spool can be listed").remove(0);
    let start = Instant::now();
    let report = dir.recover(&recorder).expect("it can be recovered");
    let took = start.elapsed();
    assert_eq!(report.from_segments + report.from_rings, recorded, "spans in are spans out");
    assert_eq!((report.from_tables, report.unaccounted), (threads as u64, 0), "the runs are interrupted");
    let (spans, bytes) = look_at_all(&spool);
    assert_eq!(spans, recorded + threads as u64, "what was recovered can be read");
    Recovered { spans: report.from_rings, bytes: bytes * report.from_rings / spans, took }
}

/// The process that is killed: its disk fills up, and then its rings; it says how many spans it has recorded, and waits.
fn be_killed(spool: &Path, threads: usize) {
    let disk = Arc::new(FullDisk::default());
    let spool = Spool::open(spool).storage(disk.clone()).rings(threads, threads.max(2));
    let _spool = spool.start().expect("it starts");
    let calls = Calls::seeded(7);
    let all_have_begun = Barrier::new(threads);
    std::thread::scope(|scope| {
        let fill = || {
            let run = spanring::span("run").root().start();
            if all_have_begun.wait().is_leader() {
                disk.fill();
            }
            let mut recorded = 0;
            // Each time that the ring is full the drain may still be at work on what it has.
            for _ in 0..20 {
                while calls.tool(&run, recorded) == Ended::Recorded {
                    recorded += 1;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            // The run is in flight when the process dies, and its thread at its end would give the ring away.
            (run, recorded)
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(fill)).collect();
        let runs: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("it records")).collect();
        let recorded: usize = runs.iter().map(|(_, recorded)| recorded).sum();
        writeln!(std::io::stdout().lock(), "{recorded}").expect("its parent listens");
        loop {
            std::thread::park();
        }
    });
}

fn place() -> Place {
    Place::new(env!("CARGO_TARGET_TMPDIR"))
}
