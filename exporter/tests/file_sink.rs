//! What the command writes to files and to standard output, as other programs read it.

mod agent;

use std::fs;
use std::process::Stdio;

use self::agent::{Arrived, TestSpool};

#[test]
fn a_recording_process() {
    agent::main();
}

#[test]
fn standard_output_holds_the_spans_and_nothing_else() {
    let spool = TestSpool::new();
    spool.record(0, 2000);
    let output = spool.export(&["stdout"]).args(["--once", "--json"]).output().unwrap();
    let report = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    let lines = spool.file("lines");
    fs::write(&lines, &output.stdout).unwrap();
    Arrived::in_file(&lines).assert_each_once(2000);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["sinks"][0]["sink"], &report["sinks"][0]["end"]),
        (&"stdout".into(), &"complete".into())
    );
    assert_eq!(spool.recorders(), [""; 0]);
}

#[test]
fn what_nobody_reads_from_standard_output_is_kept() {
    let spool = TestSpool::new();
    spool.record(0, 100);
    let mut command = spool.export(&["stdout"]);
    let mut child = command.arg("--once").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let (status, said) = agent::complaint(child.wait_with_output().unwrap());
    assert!(status == 1 && said.contains("nobody reads standard output any more"), "{status}: {said}");

    let output = spool.export(&["stdout"]).arg("--once").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = spool.file("lines");
    fs::write(&lines, &output.stdout).unwrap();
    Arrived::in_file(&lines).assert_each_once(100);
}
