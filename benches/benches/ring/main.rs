//! What does it cost to hand a record to another thread? Decides whether a ring of one's own is worth its proof.
//!
//! The ring is the one that recording uses; the others carry records of a fixed length, and may not outlive their process.

mod queues;

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{Bencher, BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};

use queues::{CrossbeamArrayQueue, CrossbeamChannel, Pop, Push, Queue, Rtrb, Spanring};

/// As long as a thread's ring is by default, in bytes.
const RING_LEN: usize = 1 << 20;
/// Half of it is filled by a burst.
const BURST_LEN: usize = RING_LEN / 2;
/// How long a lazy consumer leaves the producer alone between two looks.
const PAUSE: Duration = Duration::from_micros(20);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    ring(&mut criterion);
    ring_threads(&mut criterion);
    criterion.final_summary();
}

/// What does a record cost its producer while nobody else looks at the ring? It is drained between bursts, without being timed.
fn ring(criterion: &mut Criterion) {
    let mut group = group(criterion, "ring");
    every::<8>(&mut group, Measured::Burst);
    every::<16>(&mut group, Measured::Burst);
}

/// And while another thread takes what there is every now and then? That is how rings are drained.
fn ring_threads(criterion: &mut Criterion) {
    let mut group = group(criterion, "ring_threads");
    every::<8>(&mut group, Measured::Threads);
    every::<16>(&mut group, Measured::Threads);
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_millis(1500));
    group
}

#[derive(Clone, Copy)]
enum Measured {
    Burst,
    Threads,
}

/// Measures all queues with records of so many words.
fn every<const WORDS: usize>(group: &mut BenchmarkGroup<'_, WallTime>, measured: Measured) {
    one::<Spanring, WORDS>(group, measured);
    one::<Rtrb, WORDS>(group, measured);
    one::<CrossbeamArrayQueue, WORDS>(group, measured);
    one::<CrossbeamChannel, WORDS>(group, measured);
}

fn one<Q: Queue<WORDS>, const WORDS: usize>(group: &mut BenchmarkGroup<'_, WallTime>, measured: Measured) {
    let id = BenchmarkId::new(Q::NAME, format!("{}_bytes", 8 * WORDS));
    group.bench_function(id, |bencher| match measured {
        Measured::Burst => bursts::<Q, WORDS>(bencher),
        Measured::Threads => threads::<Q, WORDS>(bencher),
    });
}

/// What came out, to be compared with what went in.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Tally {
    records: u64,
    /// Of the numbers of the records.
    sum: u64,
}

impl Tally {
    fn of(records: u64) -> Self {
        Tally { records, sum: (0..records).sum() }
    }

    #[inline]
    fn add(&mut self, last_word: u64) {
        self.records += 1;
        self.sum += last_word;
    }
}

fn bursts<Q: Queue<WORDS>, const WORDS: usize>(bencher: &mut Bencher<'_>) {
    let (mut producer, mut consumer) = Q::of_len(RING_LEN);
    let burst = (BURST_LEN / (8 * WORDS)) as u64;
    bencher.iter_custom(|iterations| {
        let (mut timed, mut tally) = (Duration::ZERO, Tally::default());
        let mut number = 0;
        while number < iterations {
            let end = iterations.min(number + burst);
            let start = Instant::now();
            for number in number..end {
                assert!(producer.push(black_box([number; WORDS])), "a burst fits");
            }
            timed += start.elapsed();
            consumer.pop_all(|last_word| tally.add(last_word));
            number = end;
        }
        assert_eq!(tally, Tally::of(iterations), "records in are records out");
        timed
    });
}

fn threads<Q: Queue<WORDS>, const WORDS: usize>(bencher: &mut Bencher<'_>) {
    let (mut producer, mut consumer) = Q::of_len(RING_LEN);
    bencher.iter_custom(|iterations| {
        let (is_ready, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let (is_ready, is_over, consumer) = (&is_ready, &is_over, &mut consumer);
            let taken = scope.spawn(move || {
                let mut tally = Tally::default();
                is_ready.store(true, Ordering::Release);
                loop {
                    // Asked before the last look.
                    let is_last = is_over.load(Ordering::Acquire);
                    consumer.pop_all(|last_word| tally.add(last_word));
                    if is_last {
                        return tally;
                    }
                    let looked = Instant::now();
                    while looked.elapsed() < PAUSE {
                        spin_loop();
                    }
                }
            });
            while !is_ready.load(Ordering::Acquire) {
                spin_loop();
            }
            let start = Instant::now();
            for number in 0..iterations {
                let record = black_box([number; WORDS]);
                while !producer.push(record) {
                    spin_loop();
                }
            }
            let timed = start.elapsed();
            is_over.store(true, Ordering::Release);
            let tally = taken.join().expect("the consumer ends");
            assert_eq!(tally, Tally::of(iterations), "records in are records out");
            timed
        })
    });
}
