//! What does a span cost the thread that records it?
//!
//! Each group asks it for one sort of span, of every way to record one ([`ways`]). A sample counts only when nothing was dropped:
//! spans are recorded in bursts that fit a ring and what the others have in its place, and after each burst, without
//! being timed, as many spans are counted where they arrive ([`bursts`]).

mod bursts;
mod floor;
mod full_ring;
mod left_out;
mod ours;
#[cfg(not(no_peers))]
mod peers;
mod quantiles;
mod ways;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use spanring_benches::{Calls, Place};

use bursts::EachBurst;
use ways::{WAYS, Work};

fn main() {
    let criterion = Criterion::default().sample_size(60).nresamples(10_000);
    let criterion =
        criterion.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    let mut criterion = criterion.configure_from_args();
    let since = SystemTime::now();
    eprintln!("rings and segments are on {}", place().file_system());
    eprintln!("spanring {}", env!("CARGO_PKG_VERSION"));
    #[cfg(not(no_peers))]
    eprintln!("{}", peers::versions());

    // First, as nothing may have been turned on yet.
    record_disabled(&mut criterion);
    record_left_out(&mut criterion);
    let mut bursts = Bursts::new();
    record_child(&mut criterion, &mut bursts);
    record_4_attributes(&mut criterion, &mut bursts);
    record_llm(&mut criterion, &mut bursts);
    record_2_threads(&mut criterion, &mut bursts);
    record_full_ring(&mut criterion);
    criterion.final_summary();
    quantiles::print(since, bursts);
}

/// What do instrumented libraries cost in a program that records nothing? Decides whether they may be instrumented
/// unconditionally. The floor is the empty loop.
fn record_disabled(criterion: &mut Criterion) {
    let mut group = group(criterion, "record_disabled");
    for way in WAYS.iter().filter(|way| !way.is_variant) {
        group.bench_function(way.name, |bencher| bursts::off(bencher, way.off));
    }
    group.bench_function("callsite", |bencher| bursts::off(bencher, ours::callsite_off));
}

/// What does a span cost that was decided against? Decides whether an agent can be instrumented more finely than it is recorded.
fn record_left_out(criterion: &mut Criterion) {
    let mut group = group(criterion, "record_left_out");
    let mut bed = None;
    group.bench_function("by_callsite", |bencher| {
        bed.get_or_insert_with(left_out::bed);
        bursts::off(bencher, left_out::by_callsite);
    });
    group.bench_function("by_sampling", |bencher| {
        bed.get_or_insert_with(left_out::bed);
        bursts::off(bencher, left_out::by_sampling);
    });
}

/// How far is the cheapest span from what the hardware demands? Decides whether the record path can be improved.
fn record_child(criterion: &mut Criterion, bursts: &mut Bursts) {
    alone(criterion, bursts, "record_child", Work::Child);
}

/// What do attributes cost on top? Decides how values are encoded on the recording thread.
fn record_4_attributes(criterion: &mut Criterion, bursts: &mut Bursts) {
    alone(criterion, bursts, "record_4_attributes", Work::FourAttributes);
}

/// What does the span cost that agents record most, with its reply? Decides how longer texts and events are copied.
fn record_llm(criterion: &mut Criterion, bursts: &mut Bursts) {
    alone(criterion, bursts, "record_llm", Work::Llm);
}

fn alone(criterion: &mut Criterion, bursts: &mut Bursts, name: &'static str, work: Work) {
    let calls = Calls::seeded(1);
    let mut group = group(criterion, name);
    for way in WAYS {
        let mut started = None;
        let each = each_burst(bursts, name, way.name);
        group.bench_function(way.name, |bencher| {
            let recording = started.get_or_insert_with(way.start);
            bursts::alone(bencher, each, &**recording, work, &calls);
        });
    }
}

/// What each burst of a group's function took: of those that were timed in this run.
type Bursts = BTreeMap<&'static str, BTreeMap<String, EachBurst>>;

fn each_burst<'a>(bursts: &'a mut Bursts, group: &'static str, function: &str) -> &'a mut EachBurst {
    bursts.entry(group).or_default().entry(function.to_owned()).or_default()
}

/// Do threads that record at the same time hinder each other? Decides what they may share. Children without attributes; the time
/// is that of a span of one thread while the other records too, to be compared with that of one thread alone, timed
/// in the same manner.
fn record_2_threads(criterion: &mut Criterion, bursts: &mut Bursts) {
    const NAME: &str = "record_2_threads";
    let calls = Calls::seeded(1);
    let mut group = group(criterion, NAME);
    for way in WAYS.iter().filter(|way| !way.is_variant) {
        let mut started = None;
        let each = each_burst(bursts, NAME, way.name);
        group.bench_function(way.name, |bencher| {
            let recording = started.get_or_insert_with(way.start);
            bursts::together(bencher, each, &**recording, Work::Child, &calls, 2);
        });
    }
    for way in WAYS.iter().filter(|way| ["floor", "spanring"].contains(&way.name)) {
        let mut started = None;
        let name = format!("{}_1_thread", way.name);
        let each = each_burst(bursts, NAME, &name);
        group.bench_function(name, |bencher| {
            let recording = started.get_or_insert_with(way.start);
            bursts::together(bencher, each, &**recording, Work::Child, &calls, 1);
        });
    }
}

/// What does a span cost for which there is no room? Decides what a program pays that records faster than its disk can
/// take. Nobody drains the ring; each span is found dropped, and counted.
fn record_full_ring(criterion: &mut Criterion) {
    let mut group = group(criterion, "record_full_ring");
    let mut full = None;
    group.bench_function("spanring", |bencher| {
        let full = full.get_or_insert_with(full_ring::FullRing::new);
        bencher.iter_custom(|iterations| full.drop_spans(iterations));
    });
}

fn place() -> Place {
    Place::new(env!("CARGO_TARGET_TMPDIR"))
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    group
}
