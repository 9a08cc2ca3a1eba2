//! Prela's files, while exporters are killed.
//!
//! In each round a process records spans. Exporters deliver them to a directory, one after the other, and each is killed with SIGKILL at a random
//! moment, or, which a kill hardly ever brings about, within a line; a last one delivers what is left. Then each span is in the files, on a line of its own, once: what was written and not counted is known by
//! its line.
//!
//! `SPANRING_PRELA_ROUNDS` sets how many rounds there are (20 unless said otherwise), `SPANRING_PRELA_SEED` with which one they begin. A failure
//! names its seed.

mod agent;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use spanring_exporter::prela::Span;

use self::agent::TestSpool;

#[test]
fn a_recording_process() {
    agent::main();
}

#[test]
fn whenever_exporters_are_killed_each_span_is_written_once() {
    let setting = |name, default| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let first: u64 = setting("SPANRING_PRELA_SEED", 1);
    let rounds: u64 = setting("SPANRING_PRELA_ROUNDS", 20);
    let (mut kills, mut at_work) = (0, 0);
    for seed in first..first + rounds {
        let mut random = Random(seed);
        let spool = TestSpool::new();
        let count = 2000 + random.below(8000);
        spool.record(0, count);
        let traces = spool.file("traces");
        let sink = format!("prela-file:{}", traces.display());
        for _ in 0..1 + random.below(5) {
            let before = text(&traces).len();
            let mut exporter =
                spool.export(&[&sink]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_micros(random.below(200_000)));
            exporter.kill().unwrap();
            exporter.wait().unwrap();
            let after = text(&traces);
            kills += 1;
            at_work += usize::from(after.len() > before && after.lines().count() as u64 <= count);
            if random.below(2) == 0 {
                tear(&traces);
            }
        }
        let (status, report, said) = spool.export_once(&[&sink]);
        assert_eq!((status, said.as_str()), (0, ""), "seed {seed}: {report}");
        assert_eq!(spool.recorders(), [""; 0], "seed {seed}: all is delivered");
        let numbers = numbers(&text(&traces));
        let numbered = (0..count).map(|number| (Some(number), 1));
        let expected: BTreeMap<_, _> = numbered.chain([(None, 1)]).collect();
        assert!(numbers == expected, "seed {seed}: {}", difference(&numbers, &expected));
    }
    eprintln!("{rounds} rounds, {kills} exporters killed, {at_work} of them at work");
    assert!(rounds < 20 || at_work > 0, "no kill hit an exporter at work");
}

#[test]
fn what_cannot_be_written_to_is_said_at_once() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let taken = spool.file("taken");
    fs::write(&taken, "hello").unwrap();
    for (sink, reason) in [
        (format!("prela-file:{}", taken.display()), "it is not a directory"),
        (format!("prela-file:{}/none/traces", spool.file("x").display()), "No such file or directory"),
        ("prela-file:".to_owned(), "it names no directory"),
    ] {
        let output = spool.export(&[&sink]).arg("--once").output().unwrap();
        let (status, said) = agent::complaint(output);
        assert!(status == 2 && said.contains(reason), "{sink}: {status}: {said}");
    }
}

#[test]
fn what_prelas_variables_say_is_heeded_where_a_sink_is_told_and_only_there() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let export = |sink: &str| {
        let mut command = spool.export(&[sink]);
        command.arg("--once").env("PRELA_API_KEY", "secret").env("PRELA_API_KEY_FILE", "secret");
        agent::complaint(command.output().unwrap())
    };
    let (status, said) = export(&format!("prela-file:{}", spool.file("traces").display()));
    assert!(
        status == 2 && said.contains("cannot use PRELA_API_KEY_FILE") && !said.contains("secret"),
        "{said}"
    );
    let (status, said) = export(&format!("file:{}", spool.file("spans.jsonl").display()));
    assert_eq!((status, said.as_str()), (0, ""));
}

/// The files, in the order of their names.
fn files(traces: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(traces) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// What all files hold.
fn text(traces: &Path) -> String {
    files(traces).iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Leaves the beginning of a line at the end of the last file, if there is one.
fn tear(traces: &Path) {
    if let Some(last) = files(traces).last() {
        let mut file = OpenOptions::new().append(true).open(last).unwrap();
        file.write_all(b"{\"span_id\": \"01").unwrap();
    }
}

/// How often each span is there, by its number. One has none.
fn numbers(text: &str) -> BTreeMap<Option<u64>, usize> {
    let mut numbers = BTreeMap::new();
    for line in text.lines() {
        let span = Span::from_dict(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(span.get("service.name").and_then(|name| name.as_str()), Some("agent"));
        *numbers.entry(span.get("number").and_then(|number| number.as_u64())).or_default() += 1;
    }
    numbers
}

fn difference(numbers: &BTreeMap<Option<u64>, usize>, expected: &BTreeMap<Option<u64>, usize>) -> String {
    let missing = expected.keys().filter(|number| !numbers.contains_key(number)).count();
    let repeated = numbers.values().filter(|&&times| times > 1).count();
    format!("{missing} of {} are missing, {repeated} are there several times", expected.len())
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
