//! Does the whole pipeline keep up, and does it catch up after its receiver has failed? Decides how fast delivery has to be, and how long
//! it may wait before it tries again.
//!
//! ```text
//!   agent ══► spool ══► exporter ──► receiver
//!   100,000 spans a second           answers 503 for a while
//! ```
//!
//! Agent and exporter are processes of their own, this program started anew; the receiver is in this one. Each span has its number
//! as its identity, so the receiver counts in a bitmap what arrived, and what arrived again. Blocks are delivered in the order in
//! which they were recorded: so the newest span that was acknowledged says how far delivery lags behind recording.
//!
//! Not a benchmark of criterion's, which knows times: a table of seconds, and a verdict. The exit status is 1 if spans were lost; with
//! `--full`, also if one was dropped, or delivery took longer to catch up than it is to.

mod agent;
mod exporter;
mod receiver;

use std::env;
use std::io::{BufRead as _, BufReader};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use spanring_benches::Place;

use agent::SPANS_PER_SECOND;
use receiver::Counting;

/// How soon after an outage delivery is to be less than this behind recording.
const LAG_GOAL: Duration = Duration::from_secs(1);
const CATCH_UP_GOAL: Duration = Duration::from_secs(30);
/// What has not arrived so long after the last span that did is taken for lost: longer than any wait of the exporter's.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// How often is looked.
const GLANCE_INTERVAL: Duration = Duration::from_millis(50);

/// How long the agent records, and when the receiver fails.
struct Plan {
    recording: Duration,
    outage: Range<Duration>,
    /// Whether it is to be judged by its times, which only a machine that does nothing else can promise.
    is_full: bool,
}

impl Plan {
    const FULL: Plan = Plan { is_full: true, ..Plan::of_seconds(60, 10..30) };
    const SHORT: Plan = Plan::of_seconds(10, 2..5);
    /// To see that it works, where nothing is measured.
    const TRIED_OUT: Plan = Plan::of_seconds(2, 1..2);

    const fn of_seconds(recording: u64, outage: Range<u64>) -> Self {
        let outage = Duration::from_secs(outage.start)..Duration::from_secs(outage.end);
        Plan { recording: Duration::from_secs(recording), outage, is_full: false }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [agent::ROLE, spool, seconds] => {
            agent::run(Path::new(spool), seconds.parse().expect("it is a number of seconds"));
            ExitCode::SUCCESS
        }
        [exporter::ROLE, spool, sink] => {
            exporter::run(Path::new(spool), sink);
            ExitCode::SUCCESS
        }
        _ => plan(&arguments).map_or(ExitCode::SUCCESS, |plan| measure(&plan)),
    }
}

/// What is asked for; none where the arguments, which `cargo bench` hands to every benchmark, ask for another.
fn plan(arguments: &[String]) -> Option<Plan> {
    let (flags, filters): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.starts_with('-'));
    let has = |flag| flags.iter().any(|given| *given == flag);
    if has("--list") || filters.iter().any(|filter| !"pipeline".contains(filter.as_str())) {
        return None;
    }
    Some(match (has("--full"), has("--bench")) {
        (true, _) => Plan::FULL,
        (false, true) => Plan::SHORT,
        (false, false) => Plan::TRIED_OUT,
    })
}

fn measure(plan: &Plan) -> ExitCode {
    let place = Place::new(env!("CARGO_TARGET_TMPDIR"));
    let spool = place.path().join("spool");
    let Plan { recording, outage, is_full } = plan;
    eprintln!(
        "pipeline: {SPANS_PER_SECOND} spans a second for {} s, the receiver fails from {} s to {} s; segments are on {}",
        recording.as_secs(),
        outage.start.as_secs(),
        outage.end.as_secs(),
        place.file_system(),
    );
    let counting = Counting::start(SPANS_PER_SECOND * recording.as_secs());
    let mut agent = Recording::start(&spool, *recording);
    let exporter = Exporting::start(&spool, &counting.sink());
    let ran = watch(plan, &counting, &mut agent);

    eprintln!("{}", exporter.finish());
    let [recorded, dropped] = agent.finish();
    let count = counting.count();
    let lost = recorded.saturating_sub(count.unique);
    eprintln!(
        "{recorded} spans recorded, {} delivered, {lost} lost, {} delivered again, {dropped} dropped in the ring and counted",
        count.unique, count.again
    );
    match ran.caught_up {
        None => eprintln!("delivery did not catch up after the outage"),
        Some(after) => eprintln!(
            "less than {} s behind {:.1} s after the outage, of which {:.1} s passed until the next attempt; the goal of {} s is {}",
            LAG_GOAL.as_secs(),
            after.as_secs_f64(),
            ran.next_attempt.unwrap_or_default().as_secs_f64(),
            CATCH_UP_GOAL.as_secs(),
            if after <= CATCH_UP_GOAL { "met" } else { "missed" },
        ),
    }
    assert!(count.unique <= recorded, "nothing arrives that was not recorded");
    let is_met = dropped == 0 && ran.caught_up.is_some_and(|after| after <= CATCH_UP_GOAL);
    if lost == 0 && (is_met || !is_full) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was seen of an outage's end, each since then.
#[derive(Default)]
struct Seen {
    next_attempt: Option<Duration>,
    caught_up: Option<Duration>,
}

/// Fails when it is time to, and prints a line each second, until all is delivered or nothing comes any more.
fn watch(plan: &Plan, counting: &Counting, agent: &mut Recording) -> Seen {
    eprintln!(
        "{:>6} {:>9} {:>12} {:>12} {:>10} {:>8} {:>8}",
        "second", "receiver", "recorded", "delivered", "behind", "lag, s", "refused"
    );
    let began = Instant::now();
    let (mut seen, mut agent_ended) = (Seen::default(), None);
    let mut line = 1;
    let (mut last, mut last_news) = (0, began);
    loop {
        thread::sleep(GLANCE_INTERVAL);
        let elapsed = began.elapsed();
        let fails = plan.outage.contains(&elapsed);
        counting.fail(fails);
        if agent_ended.is_none() && agent.has_ended() {
            agent_ended = Some(SystemTime::now());
        }
        let count = counting.count();
        let recorded = agent.recorded();
        if count.unique > last {
            (last, last_news) = (count.unique, Instant::now());
        }
        let is_done = agent_ended.is_some() && count.unique >= recorded;
        // Once the agent has ended, nothing newer will come.
        let newest = agent_ended.unwrap_or_else(SystemTime::now);
        let lag =
            if is_done { Duration::ZERO } else { newest.duration_since(count.newest).unwrap_or_default() };
        if let Some(since) = elapsed.checked_sub(plan.outage.end) {
            if count.accepted_after_outage {
                seen.next_attempt.get_or_insert(since);
            }
            if seen.next_attempt.is_some() && lag < LAG_GOAL {
                seen.caught_up.get_or_insert(since);
            }
        }
        let is_over = is_done || agent_ended.is_some() && last_news.elapsed() > SILENCE_MAX;
        if elapsed.as_secs() >= line || is_over {
            line = elapsed.as_secs() + 1;
            let behind = recorded.saturating_sub(count.unique);
            let state = if fails { "fails" } else { "answers" };
            eprintln!(
                "{:>6.0} {state:>9} {recorded:>12} {:>12} {behind:>10} {:>8.1} {:>8}",
                elapsed.as_secs_f64(),
                count.unique,
                lag.as_secs_f64(),
                count.refused
            );
        }
        if is_over {
            return seen;
        }
    }
}

/// This program in another role. It is killed when nobody waits for it any more.
struct Role(Child);

impl Role {
    fn start(role: &str, arguments: [&str; 2]) -> Self {
        let program = env::current_exe().expect("this program is known");
        let mut command = Command::new(program);
        command.arg(role).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        Role(command.spawn().expect("a process can be started"))
    }

    fn lines(&mut self) -> impl Iterator<Item = String> + Send + use<> {
        let lines = BufReader::new(self.0.stdout.take().expect("it is a pipe")).lines();
        lines.map(|line| line.expect("a role says what it does"))
    }

    /// Tells it, by the end of its standard input, that it is to end, and waits until it has.
    fn end(&mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("it can be waited for").success());
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The agent, and what it says.
struct Recording {
    process: Role,
    recorded: Arc<AtomicU64>,
    /// Hands back what the agent counted in the end: what was recorded, what was dropped.
    listener: JoinHandle<[u64; 2]>,
}

impl Recording {
    /// Starts it, and waits until its spool is there.
    fn start(spool: &Path, recording: Duration) -> Self {
        let seconds = recording.as_secs().to_string();
        let mut process = Role::start(agent::ROLE, [text(spool), &seconds]);
        let mut lines = process.lines();
        assert_eq!(lines.next().as_deref(), Some(agent::READY));
        let recorded = Arc::<AtomicU64>::default();
        let told = Arc::clone(&recorded);
        let listener = thread::spawn(move || {
            let mut dropped = 0;
            for line in lines {
                let mut numbers =
                    line.split(' ').map(|number| number.parse::<u64>().expect("it is a number"));
                told.store(numbers.next().unwrap_or_default(), Ordering::Relaxed);
                dropped = numbers.next().unwrap_or(dropped);
            }
            [told.load(Ordering::Relaxed), dropped]
        });
        Recording { process, recorded, listener }
    }

    fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Whether it has said its last.
    fn has_ended(&self) -> bool {
        self.listener.is_finished()
    }

    fn finish(self) -> [u64; 2] {
        let Recording { mut process, listener, .. } = self;
        process.end();
        listener.join().expect("the agent said numbers")
    }
}

/// The exporter.
struct Exporting(Role);

impl Exporting {
    fn start(spool: &Path, sink: &str) -> Self {
        Exporting(Role::start(exporter::ROLE, [text(spool), sink]))
    }

    /// Its report.
    fn finish(mut self) -> String {
        let lines = self.0.lines();
        self.0.end();
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("directories of builds have names in UTF-8")
}
