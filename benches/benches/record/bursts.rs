//! Timing bursts, and checking after each that as many spans arrived as were recorded.
//!
//! Criterion's samples are sums over many bursts. What each burst took that was as long as it should be is kept beside.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use criterion::Bencher;
use spanring_benches::Calls;

use crate::ways::{Recording, Work};

/// Times what recording takes that is off.
pub(crate) fn off(bencher: &mut Bencher<'_>, spans: fn(u64)) {
    bencher.iter_custom(|iterations| {
        let start = Instant::now();
        spans(iterations);
        start.elapsed()
    });
}

/// Nanoseconds a span, of each whole burst.
pub(crate) type EachBurst = Vec<f64>;

/// Times bursts of this thread.
pub(crate) fn alone(
    bencher: &mut Bencher<'_>,
    each: &mut EachBurst,
    recording: &dyn Recording,
    work: Work,
    calls: &Calls,
) {
    bencher.iter_custom(|iterations| {
        let mut session = recording.session();
        // The run's start must not be drained within a burst.
        assert_eq!(recording.arrived(0), 0);
        let mut timed = Duration::ZERO;
        for spans in bursts(iterations, work) {
            let start = Instant::now();
            session.record(work, calls, spans);
            let elapsed = start.elapsed();
            timed += elapsed;
            keep(each, elapsed, spans, work);
            session.hand_over();
            let spans = spans as u64;
            assert_eq!(recording.arrived(spans), spans, "spans in are spans out");
        }
        timed
    });
}

/// Times bursts of so many threads at once; returns the mean of their times.
pub(crate) fn together(
    bencher: &mut Bencher<'_>,
    each: &mut EachBurst,
    recording: &dyn Recording,
    work: Work,
    calls: &Calls,
    threads: usize,
) {
    bencher.iter_custom(|iterations| {
        let at_start = AtomicUsize::new(0);
        thread::scope(|scope| {
            // Whoever panics drops its channels, which ends the others.
            let workers: Vec<_> = (0..threads)
                .map(|number| {
                    let (to_worker, orders) = channel();
                    let (reports, from_worker) = channel();
                    let start = || meet(&at_start, threads);
                    let worker = move || recorder(recording, work, calls, start, &orders, &reports);
                    let named = Builder::new().name(format!("recorder {number}"));
                    named.spawn_scoped(scope, worker).expect("a thread can be started");
                    (to_worker, from_worker)
                })
                .collect();
            let all = |spans| {
                workers.iter().for_each(|(orders, _)| orders.send(spans).expect("it waits for orders"));
                workers.iter().map(|(_, reports)| reports.recv().expect("it reports")).sum::<Duration>()
            };
            all(0);
            assert_eq!(recording.arrived(0), 0);
            let mut timed = Duration::ZERO;
            for spans in bursts(iterations, work) {
                let elapsed = all(spans);
                timed += elapsed;
                keep(each, elapsed, spans * threads, work);
                let spans = (spans * threads) as u64;
                assert_eq!(recording.arrived(spans), spans, "spans in are spans out");
            }
            timed / u32::try_from(threads).unwrap_or(u32::MAX)
        })
    });
}

fn keep(each: &mut EachBurst, elapsed: Duration, spans: usize, work: Work) {
    // One that is cut short has not gone round the ring as the others have.
    if spans.is_multiple_of(work.burst()) {
        each.push(elapsed.as_secs_f64() * 1e9 / spans as f64);
    }
}

/// One of the threads: records a burst for each order, and reports how long it took.
fn recorder(
    recording: &dyn Recording,
    work: Work,
    calls: &Calls,
    start: impl Fn(),
    orders: &Receiver<usize>,
    reports: &Sender<Duration>,
) {
    let mut session = recording.session();
    while let Ok(spans) = orders.recv() {
        start();
        let start = Instant::now();
        session.record(work, calls, spans);
        let timed = start.elapsed();
        session.hand_over();
        if reports.send(timed).is_err() {
            break;
        }
    }
}

/// Waits until all threads are here. They were woken microseconds apart, so this spins.
fn meet(arrived: &AtomicUsize, threads: usize) {
    let number = arrived.fetch_add(1, Ordering::AcqRel);
    let all = (number / threads + 1) * threads;
    while arrived.load(Ordering::Acquire) < all {
        std::hint::spin_loop();
    }
}

fn bursts(iterations: u64, work: Work) -> impl Iterator<Item = usize> {
    let mut left = usize::try_from(iterations).expect("it takes no year");
    std::iter::from_fn(move || {
        let spans = left.min(work.burst());
        left -= spans;
        (spans > 0).then_some(spans)
    })
}
