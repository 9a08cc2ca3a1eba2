//! A file of signed events is one chain, whatever was killed while it was written, and SpanForge's own SDK says so.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::agent::{TestSpool, complaint};
use crate::once;

const SIGNED: [(&str, &str); 1] = [("SPANFORGE_SIGNING_KEY", "k\u{e9}y")];

/// What the SDK says of the chain in a file.
fn verified(python: &Path, file: &Path) -> Json {
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spanforge/chain.py")).arg(file).arg(SIGNED[0].1);
    let output = command.env("PYTHONUTF8", "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let verified: Json = serde_json::from_slice(&output.stdout).unwrap();
    // And as somebody asks who has the file before him.
    let mut command = Command::new(python);
    command.args(["-c", "from spanforge._cli import main; main()", "audit-chain"]).arg(file);
    let audit = command.envs(SIGNED).env("PYTHONUTF8", "1").output().unwrap();
    assert_eq!(verified["valid"], audit.status.success(), "{audit:?}");
    verified
}

/// The variable `SPANRING_SPANFORGE` names a Python in which SpanForge's SDK is installed. Without it there is nothing to test with, and
/// the test says so.
#[test]
fn spanforges_own_sdk_verifies_a_file_as_one_chain_whose_exporters_were_killed() {
    let Some(python) = std::env::var_os("SPANRING_SPANFORGE") else {
        eprintln!("skipped: SPANRING_SPANFORGE names no Python with SpanForge's SDK");
        return;
    };
    let (spool, python) = (TestSpool::new(), Path::new(&python));
    let file = spool.file("events.jsonl");
    let sink = format!("spanforge-file:{}", file.display());
    let mut recorded = 0;
    for round in 0..6 {
        spool.record(recorded, 2_000);
        recorded += 2_000;
        let mut command = once(&spool, &[&sink], &SIGNED);
        let mut exporter = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(15 * (round + 1)));
        exporter.kill().unwrap();
        exporter.wait().unwrap();
    }
    let output = once(&spool, &[&sink], &SIGNED).output().unwrap();
    assert_eq!(complaint(output), (0, String::new()));
    // A process that is recorded has one more span than are numbered.
    let events = recorded + 6;
    assert_eq!(verified(python, &file), json!({"events": events, "valid": true, "tampered": 0, "gaps": 0}));

    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let middle = lines.len() / 2;
    let written = |lines: Vec<&str>| {
        let changed = spool.file("changed.jsonl");
        fs::write(&changed, lines.join("\n") + "\n").unwrap();
        verified(python, &changed)
    };
    let another = lines[middle].replace("\"span_name\":\"step\"", "\"span_name\":\"stop\"");
    assert_ne!(another, lines[middle]);
    let changed = written(
        lines.iter().enumerate().map(|(at, line)| if at == middle { &another[..] } else { line }).collect(),
    );
    assert_eq!(changed, json!({"events": events, "valid": false, "tampered": 1, "gaps": 0}));
    let without =
        written(lines.iter().enumerate().filter(|(at, _)| *at != middle).map(|(_, line)| *line).collect());
    assert_eq!(without, json!({"events": events - 1, "valid": false, "tampered": 0, "gaps": 1}));
}
