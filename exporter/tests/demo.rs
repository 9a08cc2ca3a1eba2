//! The demonstration, as whoever tries it runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn demo(temporary: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanring"));
    command.arg("demo").args(arguments).env("TMPDIR", temporary).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn is_empty(dir: &TempDir) -> bool {
    fs::read_dir(dir.path()).unwrap().next().is_none()
}

#[test]
fn agents_that_are_killed_while_they_work_lose_nothing_that_they_recorded() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(temporary.path(), &["--json", "--kills", "2"]);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stderr, b"", "no progress bar in a pipe");

    let number = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{key}: {report}"));
    assert_eq!(
        [number("kills"), number("lost"), number("wrong"), number("phantoms"), number("in_flight")],
        [2, 0, 0, 0, 0],
        "{report}"
    );
    assert!(number("delivered") > 0);
    assert_eq!(number("started"), number("ended") + number("interrupted"));
    assert_eq!(number("delivered") + number("dropped"), number("started"));
    assert_eq!(number("recovered"), number("from_segments") + number("from_rings") + number("from_tables"));
    assert_eq!(number("in_file"), number("delivered"));
    assert_eq!(report["balances"], true);
    let recorders = report["recorders"].as_array().unwrap();
    assert_eq!(recorders.len(), 3);
    for recorder in recorders {
        let number = |key: &str| recorder[key].as_u64().unwrap();
        assert_eq!(number("started"), number("ended") + number("interrupted"), "{recorder}");
    }
    assert!(is_empty(&temporary), "what was made is removed");
}

/// That every interrupted span has what had been set, the demonstration sees for itself: this shows one of them.
#[test]
fn a_run_that_was_cut_short_is_shown_with_what_had_been_set() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(temporary.path(), &["--kills", "1"]);
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut lines = shown.lines().skip_while(|line| !line.ends_with("<< interrupted"));
    assert!(lines.next().is_some_and(|line| line.starts_with("invoke_agent")), "{shown}");
    assert!(lines.next().is_some_and(|line| line.contains(" = ")), "{shown}");
    assert!(shown.contains("\nlost 0, wrong 0"), "{shown}");
}

#[test]
fn a_spool_that_is_in_use_is_left_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let spool = temporary.path().join("spool");
    let text = spool.to_str().unwrap();
    let first = demo(temporary.path(), &["--json", "--kills", "0", "--threads", "1", "--spool", text]);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert_eq!(json(&first)["interrupted"], 0);
    assert!(spool.is_dir(), "a spool that was named is kept");

    fs::write(temporary.path().join("file"), "").unwrap();
    let no_spool = demo(temporary.path(), &["--spool", temporary.path().to_str().unwrap()]);
    assert_eq!(no_spool.status.code(), Some(2), "{no_spool:?}");

    let nowhere = demo(temporary.path(), &["--spool", "/proc/no/such/spool"]);
    assert_eq!(nowhere.status.code(), Some(2), "{nowhere:?}");

    let recording = spanring_spool::Spool::open(&spool).start().unwrap();
    let used = demo(temporary.path(), &["--spool", text]);
    assert_eq!(used.status.code(), Some(2), "{used:?}");
    let complaint = String::from_utf8(used.stderr).unwrap();
    assert!(complaint.contains(text) && complaint.contains("holds recorders already"), "{complaint}");
    drop(recording);
}

#[test]
fn a_demonstration_that_cannot_say_what_it_will_do_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanring"));
    let status = command.arg("demo").env("TMPDIR", temporary.path()).stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(is_empty(&temporary));
}
