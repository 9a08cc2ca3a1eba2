//! What does a span cost the thread that records it?

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{Bencher, BenchmarkGroup, Criterion, SamplingMode};
use spanring::callsite::Directives;
use spanring::recorder::Recorder;
use spanring::sampling::AlwaysOff;
use spanring::{Ended, Span, span};
use spanring_benches::{Bed, Calls, Floor, Place};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    record_disabled(&mut criterion);
    record_left_out(&mut criterion);

    let bed = &mut Bed::new(place(), |spool| spool);
    eprintln!("rings and segments are on {}", place().file_system());
    record_child(&mut criterion, bed);
    record_4_attributes(&mut criterion, bed);
    record_llm(&mut criterion, bed);
    criterion.final_summary();
}

/// How many spans a burst has. It must not fill half of a ring of 1 MiB, or the drain is woken by the recording thread.
const BURST: usize = 2048;
/// The spans of `record_llm` are up to 700 bytes long.
const LLM_BURST: usize = 512;

/// What do instrumented libraries cost in a program that records nothing? Decides whether they may be instrumented
/// unconditionally.
fn record_disabled(criterion: &mut Criterion) {
    let calls = Calls::seeded(5);
    let mut group = group(criterion, "record_disabled");
    group.bench_function("spanring", |bencher| {
        assert!(!Recorder::is_any_installed());
        let run = spanring::span("run").start();
        bencher.iter(|| black_box(calls.step(black_box(&run))));
        assert!(!Recorder::is_any_installed(), "nothing was recorded");
    });
    group.bench_function("callsite", |bencher| {
        assert!(!Recorder::is_any_installed());
        bencher.iter(|| black_box(span!("step", number = black_box(1)).end()));
    });
}

/// What does a span cost that was decided against? Decides whether an agent can be instrumented more finely than it is recorded.
fn record_left_out(criterion: &mut Criterion) {
    let calls = Calls::seeded(5);
    let mut group = group(criterion, "record_left_out");
    let off: Directives = "off".parse().expect("it is a directive");
    let bed = Bed::new(place(), |spool| spool.filter(off).sampler(AlwaysOff));
    group.bench_function("by_callsite", |bencher| {
        bencher.iter(|| black_box(span!("step", number = black_box(1)).end()));
    });
    group.bench_function("by_sampling", |bencher| {
        let run = spanring::span("run").root().start();
        assert!(!run.is_recording());
        bencher.iter(|| black_box(calls.step(black_box(&run))));
    });
    drop(bed);
}

/// How far is the cheapest span from what the hardware demands? Decides whether the record path can be improved.
fn record_child(criterion: &mut Criterion, bed: &mut Bed) {
    let calls = Calls::seeded(1);
    let mut group = group(criterion, "record_child");
    group.bench_function("floor", floor::<16>);
    group.bench_function("spanring", |bencher| {
        spans(bencher, bed, BURST, |run, _| calls.step(run));
    });
}

/// What do attributes cost on top? Decides how values are encoded on the recording thread.
fn record_4_attributes(criterion: &mut Criterion, bed: &mut Bed) {
    let calls = Calls::seeded(2);
    let mut group = group(criterion, "record_4_attributes");
    group.bench_function("floor", floor::<16>);
    group.bench_function("spanring", |bencher| {
        spans(bencher, bed, BURST, |run, number| calls.tool(run, number));
    });
}

/// What does the span cost that agents record most, with its reply? Decides how longer texts and events are copied.
fn record_llm(criterion: &mut Criterion, bed: &mut Bed) {
    let calls = Calls::seeded(3);
    let mut group = group(criterion, "record_llm");
    group.bench_function("floor", floor::<64>);
    group.bench_function("spanring", |bencher| {
        spans(bencher, bed, LLM_BURST, |run, number| calls.model(run, number));
    });
}

fn place() -> Place {
    Place::new(env!("CARGO_TARGET_TMPDIR"))
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(60).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    group
}

/// Times bursts of spans under one run. Between them the ring is drained, and the ledger checked, without being timed.
fn spans(bencher: &mut Bencher<'_>, bed: &mut Bed, burst: usize, record: impl Fn(&Span, usize) -> Ended) {
    bencher.iter_custom(|iterations| {
        let mut timed = Duration::ZERO;
        let mut left = iterations;
        // It stays open over all bursts; settled before, so that its announcement is not drained within one.
        let run = spanring::span("run").root().start();
        bed.settle(0);
        while left > 0 {
            let spans = usize::try_from(left).map_or(burst, |left| left.min(burst));
            let start = Instant::now();
            let mut last = Ended::NotRecording;
            for number in 0..spans {
                last = black_box(record(&run, number));
            }
            timed += start.elapsed();
            assert_eq!(last, Ended::Recorded);
            bed.settle(spans as u64);
            left -= spans as u64;
        }
        drop(run);
        bed.settle(1);
        timed
    });
}

fn floor<const WORDS: usize>(bencher: &mut Bencher<'_>) {
    let mut floor = Floor::new(place());
    bencher.iter(|| floor.span::<WORDS>());
}
