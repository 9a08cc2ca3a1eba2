//! A recording process is killed at random moments, and what comes back is compared with what it had witnessed.
//!
//! `SPANRING_KILL_ROUNDS` sets how many processes are killed (200 unless said otherwise), `SPANRING_KILL_SEED` with which
//! one the rounds begin. A failure names its seed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use spanring_spool::{Life, RecoveryReport, SpanData, SpoolDir};

mod agent;
mod content;
mod judge;
mod witness;

use agent::{Plan, Random};
use judge::{Verdict, judge};

/// A process is killed within so many microseconds after it has begun to work.
const DELAY_MAX_US: usize = 40_000;
const CHILD: &str = "SPANRING_KILL_CHILD";

/// Not a test of its own: what the test below starts and kills.
#[test]
fn agent_process() {
    if let (Ok(seed), Ok(dir)) = (env::var(CHILD), env::var("SPANRING_KILL_DIR")) {
        agent::run(Path::new(&dir), Plan::parse(&seed));
    }
}

#[test]
fn a_process_killed_at_any_moment_loses_nothing_that_it_recorded() {
    let setting =
        |name: &str, default: u64| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let first = setting("SPANRING_KILL_SEED", 1);
    let rounds = setting("SPANRING_KILL_ROUNDS", 200);
    let mut sum = Verdict::default();
    for seed in first..first + rounds {
        let verdict =
            std::panic::catch_unwind(|| round(seed)).unwrap_or_else(|_| panic!("seed {seed}: see above"));
        sum.recorded += verdict.recorded;
        sum.dropped += verdict.dropped;
        sum.interrupted += verdict.interrupted;
        sum.from_segments += verdict.from_segments;
        sum.from_rings += verdict.from_rings;
        sum.from_tables += verdict.from_tables;
    }
    eprintln!("{rounds} processes killed: {sum:?}");
    assert!(
        sum.from_segments > 0 && sum.from_rings > 0 && sum.from_tables > 0,
        "every way is taken: {sum:?}"
    );
    assert!(rounds < 50 || sum.dropped > 0, "some spans are dropped: {sum:?}");
}

fn round(seed: u64) -> Verdict {
    let plan = Plan::from_seed(seed);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made");
    let dir = dir.path();
    let mut child = start_agent(dir, seed);
    wait_for(&dir.join("ready"), &mut child);
    let mut random = Random(seed.wrapping_mul(0xd134_2543_de82_ef95) | 1);
    let delay = random.below(DELAY_MAX_US);
    thread::sleep(Duration::from_micros(delay as u64));
    child.kill().expect("the child can be killed");
    child.wait().expect("the child can be waited for");

    let spool = SpoolDir::open(dir.join("spool")).expect("the agent has made a spool");
    let forked = fs::read_to_string(dir.join("forked")).ok().map(|pid| pid.parse().expect("a process id"));
    let mut reports = recover(&spool, forked.is_some());
    if let Some(pid) = forked {
        kill(pid);
        reports.extend(recover_when_dead(&spool));
    }
    let spans = read_all(&spool);
    let notes = witness::read_all(dir);
    // Two for the fork: the child, and the thread that has made it.
    judge(plan, &notes, &spans, &reports, plan.threads + if plan.forks { 2 } else { 0 })
}

fn start_agent(dir: &Path, seed: u64) -> Child {
    Command::new(env::current_exe().expect("the test knows itself"))
        .args(["agent_process", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, seed.to_string())
        .env("SPANRING_KILL_DIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the child starts")
}

fn wait_for(path: &Path, child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert_eq!(child.try_wait().expect("the child can be asked"), None, "the agent died by itself");
        assert!(Instant::now() < deadline, "the agent does not get ready");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Recovers every recorder whose process is dead. Where a forked child lives on, its own recorder is alive, and only that.
fn recover(spool: &SpoolDir, child_lives: bool) -> Vec<RecoveryReport> {
    let mut reports = Vec::new();
    for id in spool.recorders().expect("the spool can be listed").iter().filter(|id| !id.is_recovery()) {
        match spool.life(id).expect("the lock can be probed") {
            Life::Dead => reports.push(spool.recover(id).expect("the dead can be recovered")),
            Life::Alive if child_lives => {}
            life => panic!("recorder {id} is {life:?}"),
        }
    }
    assert_eq!(reports.len(), 1, "the agent's lock is not kept by its child");
    reports
}

fn recover_when_dead(spool: &SpoolDir) -> Vec<RecoveryReport> {
    let ids = spool.recorders().expect("the spool can be listed");
    let mut reports = Vec::new();
    for id in ids.iter().filter(|id| !id.is_recovery()) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while spool.life(id).expect("the lock can be probed") == Life::Alive {
            assert!(Instant::now() < deadline, "a killed process keeps its lock");
            thread::sleep(Duration::from_millis(1));
        }
        let report = spool.recover(id).expect("the dead can be recovered");
        if !report.already_done {
            reports.push(report);
        }
    }
    reports
}

fn read_all(spool: &SpoolDir) -> Vec<SpanData> {
    let mut spans = Vec::new();
    for id in spool.recorders().expect("the spool can be listed") {
        let mut reader = spool.reader(&id).expect("a recorder can be read");
        while let Some(block) = reader.next_block().expect("a block can be read") {
            spans.extend(block.spans);
        }
        assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
    }
    spans
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id is above 0");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the forked child lives on");
}
