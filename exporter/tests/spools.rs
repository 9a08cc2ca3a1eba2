//! One exporter of several spools, recorded by real processes.

mod agent;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use spanring_exporter::demo::receiver::Answer;
use spanring_spool::{Cursor, Ledger, SpoolDir};

use self::agent::{Arrived, TestSpool, complaint, receiver, spanring, wait_until};

#[test]
fn a_recording_process() {
    agent::main();
}

/// `spanring export` of these directories.
fn export(spools: &[&Path], sinks: &[&str]) -> Command {
    let mut command = spanring();
    command.arg("export");
    for spool in spools {
        command.arg("--spool").arg(spool);
    }
    for sink in sinks {
        command.args(["--to", sink]);
    }
    command
}

/// Status, report and what was said of `spanring export --once`.
fn export_once(mut command: Command) -> (i32, serde_json::Value, String) {
    let output = command.args(["--once", "--json", "--deadline", "1s"]).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap(), report, String::from_utf8(output.stderr).unwrap())
}

/// An exporter at work, which is killed when it is dropped. What it says and prints is in files.
struct Running {
    child: Child,
    said: PathBuf,
    printed: PathBuf,
}

impl Running {
    fn start(mut command: Command, dir: &TestSpool) -> Self {
        let (said, printed) = (dir.file("said"), dir.file("printed"));
        command.stdout(File::create(&printed).unwrap()).stderr(File::create(&said).unwrap());
        Running { child: command.spawn().unwrap(), said, printed }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(kill.unwrap().success());
    }

    /// Asks it to stop; how it ends, what it printed and what it said.
    fn stop(mut self) -> (ExitStatus, String, String) {
        self.signal("TERM");
        let mut ended = None;
        wait_until("the exporter ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        (ended.unwrap(), fs::read_to_string(&self.printed).unwrap(), self.said())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the recorders of a spool count, and what the cursors of a sink say became of it: delivered, dead-lettered, dropped.
fn account(spool: &TestSpool, sink: &str) -> (Ledger, [u64; 3]) {
    let dir = SpoolDir::open(spool.path()).unwrap();
    let recorders = dir.recorders().unwrap();
    let (mut ledger, mut became) = (Ledger::default(), [0; 3]);
    for recorder in &recorders {
        let state = Cursor::peek(&dir.recorder_path(recorder), sink).unwrap();
        became[0] += state.delivered;
        became[1] += state.dead_lettered;
        became[2] += state.dropped;
        // The account of a recorder that was recovered is in what was recovered of it.
        if recorder.is_recovery() || !recorders.contains(&recorder.recovery()) {
            ledger.add(&dir.end(recorder).unwrap().ledger().unwrap());
        }
    }
    (ledger, became)
}

/// Nothing is left out of any account: what ended or was interrupted was delivered, set aside or dropped, as often as that is said.
#[track_caller]
fn assert_balance(spool: &TestSpool, sink: &str, interrupted: u64, expected: [u64; 3]) {
    let (ledger, became) = account(spool, sink);
    assert_eq!((ledger.interrupted, ledger.in_flight), (interrupted, 0), "{ledger:?}");
    assert_eq!(became, expected, "{ledger:?}");
    let [delivered, dead_lettered, dropped] = became;
    let lost =
        ledger.dropped.ring_full + ledger.dropped.no_cell + ledger.dropped.no_lane + ledger.dropped.damaged;
    assert_eq!(ledger.ended + ledger.interrupted, delivered + dead_lettered + dropped + lost, "{ledger:?}");
}

fn number_of(request: &[u8]) -> Vec<i64> {
    let arrived = Arrived::default();
    arrived.add(request);
    arrived.numbers().into_keys().collect()
}

#[test]
fn agents_in_two_spools_are_delivered_by_one_exporter_that_is_killed_in_between_and_each_account_balances() {
    const POISONED: i64 = 3;
    let (one, other) = (TestSpool::new(), TestSpool::new());
    (0..5).for_each(|process| one.record(process * 1000, 1000));
    let (one_agent, other_agent) = (one.start(5000, 1000), other.start(6000, 3000));
    (0..3).for_each(|process| other.record(9000 + process * 1000, 1000));

    // Takes what it is sent but for one span of one spool, and stays silent about every fifth request.
    let (requests, patient) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, answering) = (Arc::clone(&requests), Arc::clone(&patient));
    let taken = Arrived::default();
    let keeps = taken.clone();
    let (_receiver, sink, _) = receiver(move |request| {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        if number_of(&request.body).contains(&POISONED) {
            return Some(Answer::status(400));
        }
        keeps.add(&request.body);
        let silent = number.is_multiple_of(5) && !answering.load(Ordering::SeqCst);
        let delay = if silent { Duration::from_secs(600) } else { Duration::ZERO };
        Some(Answer { delay, ..Answer::status(200) })
    });
    let both = || {
        let mut command = export(&[&one.path(), &other.path()], &[&sink]);
        command.args(["--grace", "1h"]);
        command
    };
    let mut living = vec![other_agent, one_agent];
    while let Some(agent) = living.pop() {
        let mut exporter = both().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let before = requests.load(Ordering::SeqCst);
        wait_until("a request stays without an answer", || requests.load(Ordering::SeqCst) / 5 > before / 5);
        exporter.kill().unwrap();
        exporter.wait().unwrap();
        agent.kill();
    }
    patient.store(true, Ordering::SeqCst);
    let (status, report, said) = export_once(both());
    // A span that is set aside is not delivered.
    assert_eq!(status, 1, "{report} {said}");
    let numbers = taken.numbers();
    let missing: Vec<_> = (0..12_000).filter(|number| !numbers.contains_key(number)).collect();
    assert_eq!(missing, [POISONED], "{report}");

    assert_balance(&one, &sink, 1, [6005, 1, 0]);
    assert_balance(&other, &sink, 1, [6004, 0, 0]);
    for (number, spool) in [&one, &other].into_iter().enumerate() {
        let listed = &report["spools"][number];
        assert_eq!(listed["spool"], spool.path().canonicalize().unwrap().to_str().unwrap());
        assert_eq!(listed["sinks"][0]["end"], "complete");
    }
    let delivered = |report: &serde_json::Value| report["sinks"][0]["delivered"].as_u64().unwrap();
    let listed: u64 = (0..2).map(|number| delivered(&report["spools"][number])).sum();
    assert_eq!(delivered(&report), listed, "{report}");
    let letters =
        |spool: &TestSpool| SpoolDir::open(spool.path()).unwrap().dead_letters().names().unwrap().len();
    assert_eq!((letters(&one), letters(&other)), (1, 0));

    // Each of them has its place: there is nothing that is new to the sink.
    let before = requests.load(Ordering::SeqCst);
    let (status, report, _) = export_once(both());
    assert_eq!((status, delivered(&report), requests.load(Ordering::SeqCst)), (0, 0, before), "{report}");
}

#[test]
fn a_spool_that_vanishes_stops_no_other_and_is_said_with_its_name() {
    let (gone, stays) = (TestSpool::new(), TestSpool::new());
    gone.record(0, 10);
    stays.record(10, 10);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let at_gone = gone.path().canonicalize().unwrap();
    let mut command = export(&[&gone.path(), &stays.path()], &[&sink]);
    command.args(["--json"]);
    let exporter = Running::start(command, &stays);
    wait_until("both are delivered", || arrived.numbers().len() == 20);
    fs::rename(gone.path(), gone.file("elsewhere")).unwrap();
    let complaint = format!("spanring: spool {}: ", at_gone.display());
    wait_until("it is said", || exporter.said().contains(&complaint));
    stays.record(20, 10);
    wait_until("the other goes on", || arrived.numbers().len() == 30 && stays.recorders().is_empty());
    let (status, printed, said) = exporter.stop();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!said.contains(&stays.path().canonicalize().unwrap().display().to_string()), "{said}");
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let troubles = |number: usize| report["spools"][number]["troubles"].as_array().unwrap().len();
    assert!(troubles(0) > 0 && troubles(1) == 0, "{report}");
    let trouble = report["troubles"][0].as_str().unwrap();
    assert!(trouble.starts_with(&format!("spool {}: ", at_gone.display())), "{trouble}");
    arrived.assert_each_once(30);
}

#[test]
fn nothing_begins_where_another_exporter_has_one_of_the_spools() {
    let (free, had) = (TestSpool::new(), TestSpool::new());
    free.record(0, 10);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let (_other_receiver, other_sink, at_other) = receiver(|_| None);
    had.record(0, 10);
    let has_it = Running::start(export(&[&had.path()], &[&other_sink]), &had);
    wait_until("the other exporter is at work", || at_other.numbers().len() == 10);
    let output = export(&[&free.path(), &had.path()], &[&sink]).arg("--once").output().unwrap();
    let (status, said) = complaint(output);
    let lock = had.path().canonicalize().unwrap().join("exporter.lock");
    assert!(said.contains(lock.to_str().unwrap()), "{said}");
    assert_eq!((status, said.lines().count(), arrived.numbers().len()), (1, 1, 0), "{said}");
    assert_eq!(free.recorders().len(), 1);

    assert_eq!(has_it.stop().0.code(), Some(0));
    had.record(10, 10);
    let (status, report, said) = export_once(export(&[&free.path(), &had.path()], &[&sink]));
    assert_eq!((status, said.as_str()), (0, ""), "{report}");
    arrived.assert_each_once(20);
}

#[test]
fn a_spool_that_is_not_there_or_named_twice_is_bad_input_and_nothing_begins() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let link = spool.file("link");
    std::os::unix::fs::symlink(spool.path(), &link).unwrap();
    let (_receiver, sink, arrived) = receiver(|_| None);
    for (other, expected) in [
        (spool.file("missing"), "there is no spool at "),
        (spool.file("."), " is not a spool: "),
        (spool.path(), " is named twice, by one path or by several"),
        (link, " is named twice, by one path or by several"),
        (spool.path().join("../spool/"), " is named twice, by one path or by several"),
    ] {
        let output = export(&[&spool.path(), &other], &[&sink]).arg("--once").output().unwrap();
        let (status, said) = complaint(output);
        assert_eq!((status, said.lines().count()), (2, 1), "{said}");
        assert!(said.contains(expected), "{said}");
        let config = spool.file("export.toml");
        let said_in_file = format!(
            "spools = [\n  \"spool\",\n  {:?},\n]\n[[sink]]\nto = {sink:?}\n",
            other.display().to_string()
        );
        fs::write(&config, said_in_file).unwrap();
        let (status, said) = complaint(spanring().args(["config", "check"]).arg(&config).output().unwrap());
        assert_eq!(status, 2, "{said}");
        assert!(said.contains("export.toml:3:3: ") && said.contains(expected), "{said}");
    }
    assert!(arrived.numbers().is_empty() && spool.recorders().len() == 1);
}

#[test]
fn files_and_standard_output_are_written_to_by_all_spools() {
    let (one, other) = (TestSpool::new(), TestSpool::new());
    one.record(0, 3000);
    other.record(3000, 3000);
    let (lines, events, spans) = (one.file("spans.jsonl"), one.file("events.jsonl"), one.file("prela"));
    let sinks = [
        "stdout".to_owned(),
        format!("file:{}", lines.display()),
        format!("spanforge-file:{}", events.display()),
        format!("prela-file:{}", spans.display()),
    ];
    let sinks: Vec<&str> = sinks.iter().map(String::as_str).collect();
    let output =
        export(&[&one.path(), &other.path()], &sinks).args(["--once", "--rotate", "1MiB"]).output().unwrap();
    let report = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.contains("all spools:\nstdout: 6002 spans delivered"), "{report}");
    let printed = one.file("printed");
    fs::write(&printed, output.stdout).unwrap();
    Arrived::in_file(&printed).assert_each_once(6000);

    let all_of = |dir: &Path, name: &str| {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name)).collect::<Vec<_>>()
    };
    let arrived = Arrived::default();
    let rotated = all_of(&one.file(""), "spans.jsonl");
    assert!(rotated.len() > 1, "{rotated:?}");
    rotated.iter().for_each(|path| arrived.add_file(path));
    arrived.assert_each_once(6000);
    let count = |paths: &[PathBuf]| {
        let lines = paths.iter().flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        lines.filter(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().is_object()).count()
    };
    assert_eq!(count(&all_of(&spans, "traces-")), 6002);
    assert!(count(&all_of(&one.file(""), "events.jsonl")) >= 6002);
    assert!(one.recorders().is_empty() && other.recorders().is_empty());
}

#[test]
fn a_reload_takes_another_spool_in_and_a_stop_waits_for_no_receiver_that_is_silent() {
    let (one, other) = (TestSpool::new(), TestSpool::new());
    one.record(0, 10);
    other.record(10, 10);
    let silent = Arc::new(AtomicBool::new(false));
    let is_silent = Arc::clone(&silent);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let (_receiver, sink, arrived) = receiver(move |request| {
        is_silent.load(Ordering::SeqCst).then(|| {
            counted.fetch_add(number_of(&request.body).len(), Ordering::SeqCst);
            Answer { delay: Duration::from_secs(3600), ..Answer::status(200) }
        })
    });
    let config = one.file("export.toml");
    let sinks = format!("stop_deadline = \"100ms\"\n[[sink]]\nto = {sink:?}\ntimeout = \"1h\"\n");
    fs::write(&config, format!("spool = \"spool\"\n{sinks}")).unwrap();
    let mut command = spanring();
    command.args(["export", "--log-format", "json", "--config"]).arg(&config);
    let exporter = Running::start(command, &one);
    wait_until("the first spool is delivered", || arrived.numbers().len() == 10);
    assert_eq!(other.recorders().len(), 1);
    let at_other = other.path().canonicalize().unwrap();
    fs::write(&config, format!("spools = [\"spool\", {:?}]\n{sinks}", at_other.to_str().unwrap())).unwrap();
    exporter.signal("HUP");
    wait_until("the other is delivered too", || {
        arrived.numbers().len() == 20 && one.recorders().is_empty() && other.recorders().is_empty()
    });

    silent.store(true, Ordering::SeqCst);
    one.record(20, 1);
    other.record(21, 1);
    wait_until("both wait for an answer", || asked.load(Ordering::SeqCst) == 2);
    let (status, _, said) = exporter.stop();
    assert_eq!(status.code(), Some(0), "{said}");
    let events: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let mut abandoned: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "abandoned")
        .map(|event| event["spool"].as_str())
        .collect();
    let at_one = one.path().canonicalize().unwrap();
    let mut spools = [at_one.to_str(), at_other.to_str()];
    abandoned.sort_unstable();
    spools.sort_unstable();
    assert_eq!(abandoned, spools, "{said}");
    let report = events.last().unwrap();
    // What was delivered before the reload counts with that behind it.
    assert_eq!(
        (&report["event"], &report["sinks"][0]["delivered"]),
        (&"report".into(), &22.into()),
        "{report}"
    );
    assert_eq!(report["spools"].as_array().unwrap().len(), 2);

    silent.store(false, Ordering::SeqCst);
    let (status, report, _) = export_once(export(&[&one.path(), &other.path()], &[&sink]));
    assert_eq!((status, &report["sinks"][0]["delivered"]), (0, &4.into()), "{report}");
    arrived.assert_each_once(22);
}

#[test]
fn a_spool_that_somebody_has_after_a_reload_is_waited_for_while_the_others_are_delivered() {
    let (one, other) = (TestSpool::new(), TestSpool::new());
    one.record(0, 10);
    other.record(10, 10);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let mut exporter = Running::start(export(&[&one.path(), &other.path()], &[&sink]), &one);
    wait_until("both are delivered", || arrived.numbers().len() == 20);
    let spool = SpoolDir::open(one.path()).unwrap();
    let mut claim = None;
    wait_until("the spool is taken between two runs", || {
        exporter.signal("HUP");
        claim = (0..20_000).find_map(|_| spool.claim_for_export().ok());
        claim.is_some()
    });
    let told = |exporter: &Running| exporter.said().matches("not reloaded").count();
    wait_until("it is said", || {
        let ended = exporter.child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", exporter.said());
        told(&exporter) > 0
    });
    other.record(20, 1);
    wait_until("the other one is delivered", || arrived.numbers().len() == 21);
    one.record(21, 1);
    drop(claim);
    wait_until("both are delivered again", || arrived.numbers().len() == 22);
    let (status, _, said) = exporter.stop();
    assert_eq!(status.code(), Some(0), "{said}");
    arrived.assert_each_once(22);
}
