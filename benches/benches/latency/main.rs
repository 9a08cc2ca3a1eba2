//! How long does recording a span hold its thread up at worst? Decides whether it may be done where every microsecond counts.
//!
//! A thread records a million spans a second, one each microsecond by the time-stamp counter, with the spool's threads at work.
//! What it takes beyond an empty loop at its worst is what recording adds: interrupts, and neighbours of a virtual machine,
//! hold up the empty loop as well. So they take turns, a second each, and a bad minute of the machine hits both. But what takes
//! longer is also hit more often: so there is a third, a busy loop that only waits, for as long as most spans take.
//!
//! Not a benchmark of criterion's, which knows means: percentiles up to the 99.999th, and the maximum, as a table and a plot.

mod plot;

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use spanring::Ended;
use spanring_benches::{Bed, Calls, Place, ticks, ticks_after};

const CALLS_PER_SECOND: u32 = 1_000_000;
/// Room for a pause of the drain: at this rate it is 12 ms. The kernel writes each page back every half minute, and then it is missing
/// once; of a ring four times as long, that would be more than one call in ten thousand. What happens when a ring is full is another question.
const RING_LEN: usize = 2 << 20;
/// For how long each loop is measured in all, in rounds of a second, unless `--seconds` says otherwise.
const SECONDS: usize = 9;
/// A round in which spans were dropped does not count, and so many may not: the disk, or what else the machine does, can
/// keep the drain from its work for longer than a ring lasts.
const TURNED_DOWN_MAX: usize = 8;
/// A latency beyond this counts as this, in ticks: seconds.
const LATENCY_MAX: u64 = 10_000_000_000;
/// What the table shows, in percent.
const PERCENTILES: [f64; 6] = [50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
/// How much longer a span may take than nothing does, at a percentile, in nanoseconds.
const GOALS: [(f64, f64); 2] = [(99.9, 100.0), (99.99, 1_000.0)];

fn main() {
    let Some(rounds) = rounds(env::args().skip(1)) else { return };
    let place = Place::new(env!("CARGO_TARGET_TMPDIR"));
    let file_system = place.file_system();
    // The spool's threads inherit where this one may run until then.
    let processors = share_processors();
    let bed = Bed::new(place, |spool| spool.ring_bytes(RING_LEN).rings(1, 4));
    let mut reader = bed.reader();
    if let Some([_, mine]) = &processors {
        sched_setaffinity(None, mine).expect("a thread may keep to some of its processors");
    }

    let calls = Calls::seeded(6);
    let clock = Clock::measure();
    let [mut empty, mut busy, mut recording] = [(); 3].map(|()| Distribution::new());
    let mut most_take = 0;
    let (mut counted, mut turned_down) = (0, 0);
    // The first enters names and keys, and touches pages.
    for round in 0..=rounds + TURNED_DOWN_MAX {
        let nothing = Distribution::of_a_round(&clock, |number| _ = black_box(number));
        let waits = Distribution::of_a_round(&clock, |_| {
            let start = ticks();
            while ticks().saturating_sub(start) < most_take {}
        });
        let run = spanring::span("run").root().start();
        bed.drain();
        let mut recorded = 0;
        let spans = Distribution::of_a_round(&clock, |number| {
            recorded += u64::from(calls.tool(&run, number) == Ended::Recorded);
        });
        let in_all = recorded + u64::from(run.end() == Ended::Recorded);
        bed.drain();
        assert_eq!(bed.read_and_remove(&mut reader), in_all, "spans in are spans out");
        if round == 0 {
            let of_nothing = nothing.latencies.value_at_percentile(50.0);
            most_take = spans.latencies.value_at_percentile(50.0).saturating_sub(of_nothing);
        } else if recorded == u64::from(CALLS_PER_SECOND) {
            empty.add(&nothing);
            busy.add(&waits);
            recording.add(&spans);
            counted += 1;
        } else {
            turned_down += 1;
        }
        if counted == rounds {
            break;
        }
    }
    bed.stop();
    if counted == 0 {
        eprintln!("latency: spans were dropped in each of {turned_down} rounds; nothing can be said");
        return;
    }

    eprintln!(
        "latency of a call, {CALLS_PER_SECOND} a second for {counted} s each, {}; rings and segments are on {file_system}",
        processors.map_or("on any processor", |_| "on a processor of its own"),
    );
    if turned_down > 0 {
        eprintln!("{turned_down} further rounds do not count: the ring was full, and spans were dropped");
    }
    let loops = [("recording a span", &recording), ("busy loop", &busy), ("empty loop", &empty)];
    eprint!("{}", table(&clock, &loops));
    for (percentile, goal) in GOALS {
        let [of_span, of_busy, of_empty] = loops.map(|(_, of)| of.at(&clock, percentile));
        let (above, above_busy) = (of_span - of_empty, of_span - of_busy);
        let verdict = if above <= goal { "met" } else { "missed" };
        eprintln!(
            "p{percentile}: {above:.0} ns above the empty loop's; the goal of {goal} ns is {verdict}; {above_busy:.0} ns above the busy loop's"
        );
    }
    plot(&clock, &loops);
}

fn plot(clock: &Clock, loops: &[(&str, &Distribution); 3]) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("latency.svg");
    fs::write(&path, plot::svg(&loops.map(|(name, of)| (name, of.curve(clock)))))
        .expect("the plot can be written");
    eprintln!("plot: {}", path.display());
}

/// How many rounds there are to be; none where the arguments, which `cargo bench` hands to every benchmark, ask for another.
/// Like those of criterion, it is only tried out where it is not run by `cargo bench`.
fn rounds(arguments: impl Iterator<Item = String>) -> Option<usize> {
    let (mut seconds, mut is_bench) = (SECONDS, false);
    let mut option = String::new();
    for argument in arguments {
        match (option.as_str(), argument.as_str()) {
            ("--seconds", number) => seconds = number.parse().expect("--seconds has a number of seconds"),
            (_, "--bench") => is_bench = true,
            (_, "--list") => return None,
            (_, flag) if flag.starts_with('-') => {
                option = argument;
                continue;
            }
            ("", filter) if !"latency".contains(filter) => return None,
            _ => {}
        }
        option.clear();
    }
    Some(if is_bench { seconds } else { 1 })
}

/// The processors for the spool's threads, and one apart for this: to share one with them, or to be moved, is a latency of its own.
/// None where there is but one.
fn share_processors() -> Option<[CpuSet; 2]> {
    let mut theirs = sched_getaffinity(None).ok().filter(|all| all.count() > 1)?;
    let interrupts = interrupts_by_processor();
    let quietest = (0..CpuSet::MAX_CPU)
        .filter(|&cpu| theirs.is_set(cpu))
        .min_by_key(|&cpu| interrupts.get(cpu).copied().unwrap_or(0))?;
    let mut mine = CpuSet::new();
    mine.set(quietest);
    theirs.unset(quietest);
    sched_setaffinity(None, &theirs).ok()?;
    Some([theirs, mine])
}

/// How often devices have interrupted each processor: a spool keeps a disk busy, and the disk one of them.
fn interrupts_by_processor() -> Vec<u64> {
    let table = fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let mut sums = vec![0; table.lines().next().map_or(0, |head| head.split_ascii_whitespace().count())];
    for line in table.lines() {
        let Some((name, counts)) = line.split_once(':') else { continue };
        // Those of devices have a number, those of the processors themselves a name.
        if name.trim().parse::<u32>().is_ok() {
            for (sum, count) in sums.iter_mut().zip(counts.split_ascii_whitespace()) {
                *sum += count.parse().unwrap_or(0);
            }
        }
    }
    sums
}

/// How ticks become nanoseconds.
struct Clock {
    ticks_per_ns: f64,
}

impl Clock {
    fn measure() -> Self {
        let (start, first) = (Instant::now(), ticks());
        while start.elapsed() < Duration::from_millis(200) {}
        let (elapsed, last) = (start.elapsed(), ticks());
        Clock { ticks_per_ns: (last - first) as f64 / elapsed.as_nanos() as f64 }
    }

    fn ns(&self, ticks: u64) -> f64 {
        ticks as f64 / self.ticks_per_ns
    }
}

/// The latencies of the calls of one loop, in ticks.
struct Distribution {
    latencies: Histogram<u64>,
    /// How many calls began an interval or more after their time, since an earlier one had taken so long.
    late: u64,
    faults: u64,
    switches: u64,
}

/// What the kernel did with this thread.
struct Scheduled {
    /// How often a page was missing.
    faults: u64,
    /// How often another thread had the processor.
    switches: u64,
}

impl Scheduled {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
        // Fields are counted behind the name of the program, which may have any characters.
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let number = |at: usize| fields.get(at).and_then(|text| text.parse().ok()).unwrap_or(0);
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
        let switches = switches.filter_map(|line| line.split_ascii_whitespace().last()?.parse::<u64>().ok());
        Scheduled { faults: number(7) + number(9), switches: switches.sum() }
    }
}

impl Distribution {
    fn new() -> Self {
        let mut latencies =
            black_box(Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("the bounds are such"));
        // Writes all of it, so that no page is missing later.
        latencies.clear();
        Distribution { latencies, late: 0, faults: 0, switches: 0 }
    }

    fn add(&mut self, other: &Distribution) {
        self.latencies.add(&other.latencies).expect("the bounds are the same");
        self.late += other.late;
        self.faults += other.faults;
        self.switches += other.switches;
    }

    /// Of calls at the rate that is asked for, for a second.
    fn of_a_round(clock: &Clock, call: impl FnMut(usize)) -> Self {
        let mut of_round = Distribution::new();
        of_round.measure(clock, call);
        of_round
    }

    fn measure(&mut self, clock: &Clock, mut call: impl FnMut(usize)) {
        let before = Scheduled::now();
        let interval = clock.ticks_per_ns * 1e9 / f64::from(CALLS_PER_SECOND);
        let first = ticks();
        let due = |number: u32| first + ticks_of(f64::from(number) * interval);
        for number in 0..CALLS_PER_SECOND {
            let due = due(number);
            let start = loop {
                let now = ticks();
                if now >= due {
                    break now;
                }
                std::hint::spin_loop();
            };
            call(number as usize);
            let end = ticks_after();
            self.latencies.saturating_record(end.saturating_sub(start).max(1));
            self.late += u64::from(start - due >= ticks_of(interval));
        }
        let after = Scheduled::now();
        self.faults += after.faults - before.faults;
        self.switches += after.switches - before.switches;
    }

    fn at(&self, clock: &Clock, percentile: f64) -> f64 {
        clock.ns(self.latencies.value_at_percentile(percentile))
    }

    /// The latency in nanoseconds, by how many nines the percentile has.
    fn curve(&self, clock: &Clock) -> Vec<(f64, f64)> {
        const STEPS_PER_NINE: u32 = 50;
        let nines = (0..).map(|step| f64::from(step) / f64::from(STEPS_PER_NINE));
        let all = self.latencies.len() as f64;
        nines
            .take_while(|nines| 10_f64.powf(*nines) <= all)
            .map(|nines| (nines, self.at(clock, 100.0 * (1.0 - 10_f64.powf(-nines)))))
            .collect()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a second has fewer than 2^53 ticks"
)]
fn ticks_of(ticks: f64) -> u64 {
    ticks as u64
}

fn table(clock: &Clock, loops: &[(&str, &Distribution)]) -> String {
    let mut heads = PERCENTILES.map(|percentile| format!("p{percentile}")).to_vec();
    heads.extend(["max", "late", "faults", "switches"].map(str::to_owned));
    let mut text = row("ns", &heads);
    for (name, of) in loops {
        let mut cells = PERCENTILES.map(|percentile| format!("{:.0}", of.at(clock, percentile))).to_vec();
        cells.push(format!("{:.0}", clock.ns(of.latencies.max())));
        cells.extend([of.late, of.faults, of.switches].map(|count| count.to_string()));
        text += &row(name, &cells);
    }
    text
}

fn row(name: &str, cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!("{cell:>9}")).collect();
    format!("{name:<17}{cells}\n")
}
