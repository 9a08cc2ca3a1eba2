//! How fast may a thread record for as long as it likes, and what is too slow beyond that? Decides how compression steps down.
//!
//! A thread records spans with four attributes at a steady rate for two seconds, into a ring of the default length, with the spool's threads at work.
//! Then the rate is doubled, and so on; in the end it records as fast as it can. What does not fit into the ring is dropped, and counted. While a
//! ring fills the drain spends less on making blocks small, and stores them as they are in the end: so each rate is shown with how many bytes a
//! span came to, how many of them a second were written, and how busy the drain was. What the file system takes of one who only writes and
//! syncs is measured beside.
//!
//! Not a benchmark of criterion's, which knows times: a table, and the highest rate at which no span was dropped.

use std::env;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use spanring::{Ended, Span};
use spanring_benches::{Bed, Calls, Place};

/// Spans a second.
const RATES: [u32; 6] = [500_000, 1_000_000, 2_000_000, 4_000_000, 6_000_000, 8_000_000];
const SECONDS: u32 = 2;
/// How many spans are recorded at a time: a few microseconds' worth, less than a ring holds by far.
const STEP: usize = 64;
/// How much is written to see what the file system takes.
const WRITTEN_LEN: usize = 1 << 30;
/// After how many bytes a spool asks for a sync unless it is told otherwise.
const SYNCED_LEN: usize = 1 << 20;

fn main() {
    let Some(is_bench) = is_asked_for(env::args().skip(1)) else { return };
    // To see that it works, where nothing is measured.
    let (rates, seconds, written_len) = match is_bench {
        true => (&RATES[..], SECONDS, WRITTEN_LEN),
        false => (&RATES[..1], 1, SYNCED_LEN),
    };
    let place = || Place::new(env!("CARGO_TARGET_TMPDIR"));
    let file_system = place().file_system();
    let mut bed = Bed::new(place(), |spool| spool.rings(1, 1));
    let mut reader = bed.reader();
    let calls = Calls::seeded(8);
    eprintln!(
        "sustained: 4 attributes, from one thread, {seconds} s each; rings and segments are on {file_system}"
    );
    eprintln!(
        "{:>12}{:>12}{:>12}{:>10}{:>10}{:>14}",
        "asked for/s", "spans/s", "dropped", "B/span", "MB/s", "drain's CPU"
    );

    let mut highest = None;
    for rate in rates.iter().copied().map(Some).chain([None]) {
        let run = spanring::span("run").root().start();
        bed.drain();
        bed.carried(&mut reader);
        let (cpu, start) = (drain_cpu(), Instant::now());
        let (tried, recorded) = record(&calls, &run, rate, Duration::from_secs(u64::from(seconds)));
        bed.drain();
        let (cpu, took) = (drain_cpu() - cpu, start.elapsed());
        let carried = bed.carried(&mut reader);
        assert_eq!(carried.spans, recorded, "spans in are spans out");
        assert_eq!(carried.dropped, tried - recorded, "what is not there is counted");
        if carried.dropped == 0 {
            highest = highest.max(rate);
        }
        eprintln!(
            "{:>12}{:>12.0}{:>11.2}%{:>10.1}{:>10.0}{:>13.0}%",
            rate.map_or("any".to_owned(), |rate| rate.to_string()),
            tried as f64 / took.as_secs_f64(),
            carried.dropped as f64 / tried as f64 * 100.0,
            carried.bytes as f64 / recorded as f64,
            carried.bytes as f64 / took.as_secs_f64() / 1e6,
            cpu.as_secs_f64() / took.as_secs_f64() * 100.0,
        );
        assert_eq!(run.end(), Ended::Recorded);
    }
    bed.stop();
    match highest {
        Some(rate) => eprintln!("no span was dropped at up to {rate} a second"),
        None => eprintln!("spans were dropped at each rate"),
    }
    eprintln!(
        "who only writes to the same file system, and syncs every {} KiB: {:.0} MB/s",
        SYNCED_LEN >> 10,
        written_per_second(&place(), written_len) / 1e6,
    );
}

/// Records at that rate, or as fast as it goes, for so long. How many spans there were, and how many of them were recorded.
fn record(calls: &Calls, run: &Span, rate: Option<u32>, time: Duration) -> (u64, u64) {
    let (mut tried, mut recorded) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < time {
        if let Some(rate) = rate {
            while start.elapsed().as_secs_f64() * f64::from(rate) < tried as f64 {
                std::hint::spin_loop();
            }
        }
        for _ in 0..STEP {
            recorded += u64::from(black_box(calls.tool(run, tried)) == Ended::Recorded);
            tried += 1;
        }
    }
    (tried as u64, recorded)
}

/// How long the drain's thread has been at work, by the kernel's clock, which counts hundredths of a second.
fn drain_cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let drain = tasks.map(|task| task.path()).find(|task| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == "spanring-drain")
    });
    let stat = drain.and_then(|task| fs::read_to_string(task.join("stat")).ok()).unwrap_or_default();
    // Fields are counted behind the name of the thread, which may have any characters.
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = [11, 12].map(|at| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0));
    Duration::from_millis(10 * ticks.iter().sum::<u64>())
}

/// How many bytes a second the file system takes of one who does nothing else.
fn written_per_second(place: &Place, len: usize) -> f64 {
    let piece: Vec<u8> = (0..SYNCED_LEN).map(|at| ((at * 31) >> 3).to_le_bytes()[0]).collect();
    let mut file = File::create(place.path().join("written")).expect("a file can be made");
    let start = Instant::now();
    for _ in 0..len / SYNCED_LEN {
        file.write_all(&piece).expect("it can be written to");
        file.sync_data().expect("it can be synced");
    }
    len as f64 / start.elapsed().as_secs_f64()
}

/// Whether to measure, or only to try it out, as those of criterion do where they are not run by `cargo bench`; none where the arguments, which it hands
/// to every benchmark, ask for another.
fn is_asked_for(arguments: impl Iterator<Item = String>) -> Option<bool> {
    let mut is_bench = false;
    for argument in arguments {
        match argument.as_str() {
            "--bench" => is_bench = true,
            "--list" => return None,
            flag if flag.starts_with('-') => {}
            filter if !"sustained".contains(filter) => return None,
            _ => {}
        }
    }
    Some(is_bench)
}
