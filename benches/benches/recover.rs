//! How fast is what was recorded read back, and recovered from a process that was killed?

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Bencher, Criterion, SamplingMode, Throughput};
use spanring_benches::{AgentRun, Bed, Calls, Place};
use spanring_spool::{Reader, Spool, SpoolDir};

/// Says to a process that it is the one to be killed, and where its spool is.
const VICTIM: &str = "SPANRING_BENCH_VICTIM";

fn main() {
    if let Some(spool) = std::env::var_os(VICTIM) {
        return be_killed(Path::new(&spool));
    }
    let mut criterion = Criterion::default().configure_from_args();
    eprintln!("segments are on {}", place().file_system());
    recover(&mut criterion);
    criterion.final_summary();
}

/// How many tool calls are read back.
const TOOLS: usize = 500_000;
/// How many are recorded at a time, so that they fit the ring.
const TOOL_BURST: usize = 10_000;
/// How often the agent runs are read back.
const RUNS: u64 = 60;
/// How many tool calls a process that is killed leaves in its ring. The drain leaves less than 256 KiB there.
const IN_RING: usize = 1_800;

/// How long does somebody wait after a crash? Decides how blocks are decoded, and how much a ring may hold.
///
/// `read` verifies, decompresses and decodes every span of a spool; `rings` is a whole recovery of one process, with
/// its syncs.
fn recover(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recover");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));

    let runs = AgentRun::all();
    let spans = RUNS * runs.iter().map(AgentRun::len).sum::<u64>();
    group.throughput(Throughput::Elements(spans));
    group.bench_function("read/agent_runs", |bencher| {
        read(bencher, spans, |bed| {
            for _ in 0..RUNS {
                runs.iter().for_each(AgentRun::record);
                bed.drain();
            }
        });
    });

    let calls = Calls::seeded(6);
    let spans = TOOLS as u64 + 1;
    group.throughput(Throughput::Elements(spans));
    group.bench_function("read/4_attributes", |bencher| {
        read(bencher, spans, |bed| {
            let run = spanring::span("run").root().start();
            for _ in 0..TOOLS / TOOL_BURST {
                calls.tools(&run, TOOL_BURST);
                bed.drain();
            }
        });
    });

    group.throughput(Throughput::Elements(IN_RING as u64));
    group.bench_function("rings/4_attributes", |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| recover_one()).sum());
    });
}

/// Times reading a whole spool into which `record` has put that many spans.
fn read(bencher: &mut Bencher<'_>, spans: u64, record: impl FnOnce(&Bed)) {
    let mut bed = Bed::new(place(), |spool| spool.ring_bytes(4 << 20));
    record(&bed);
    bed.settle(spans);
    let (place, _) = bed.stop();
    bencher.iter(|| {
        let mut reader = Reader::open(place.path().join("spool")).expect("the spool is there");
        assert_eq!((&mut reader).count() as u64, spans, "spans in are spans out");
        assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
    });
}

/// Has a process record and be killed, and times the recovery.
fn recover_one() -> Duration {
    let place = place();
    let spool = place.path().join("spool");
    let mut victim = Command::new(std::env::current_exe().expect("the benchmark has a path"))
        .env(VICTIM, &spool)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the benchmark can be started again");
    let mut line = String::new();
    let output = victim.stdout.take().expect("its output is a pipe");
    BufReader::new(output).read_line(&mut line).expect("it says when it has recorded");
    victim.kill().expect("it can be killed");
    victim.wait().expect("it can be waited for");
    assert_eq!(line, "recorded\n");

    let dir = SpoolDir::open(&spool).expect("the spool is there");
    let recorder = dir.recorders().expect("the spool can be listed").remove(0);
    let start = Instant::now();
    let report = dir.recover(&recorder).expect("it can be recovered");
    let timed = start.elapsed();
    assert_eq!(report.from_segments + report.from_rings, IN_RING as u64, "spans in are spans out");
    assert_eq!((report.from_tables, report.unaccounted), (1, 0), "the run is interrupted");
    timed
}

/// The process that is killed: it records, says so, and waits.
fn be_killed(spool: &Path) {
    let _spool =
        Spool::open(spool).linger(Duration::from_secs(3600)).ring_bytes(2 << 20).start().expect("it starts");
    let calls = Calls::seeded(7);
    let run = spanring::span("run").root().start();
    calls.tools(&run, IN_RING);
    std::io::Write::write_all(&mut std::io::stdout().lock(), b"recorded\n").expect("its parent listens");
    loop {
        std::thread::park();
    }
}

fn place() -> Place {
    Place::new(env!("CARGO_TARGET_TMPDIR"))
}
