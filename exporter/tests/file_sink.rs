//! What the command writes to files and to standard output, as other programs read it.

mod agent;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

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

#[test]
fn a_rotated_file_is_read_by_zstd_and_all_files_hold_every_span_once() {
    let spool = TestSpool::new();
    let (dir, sink) = directory(&spool);
    let mut numbers = 0;
    while numbers < 6000 {
        spool.record(numbers, 2000);
        numbers += 2000;
        let output =
            spool.export(&[&sink]).args(ROTATED).args(["--once", "--compress", "zstd"]).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
    }
    let names = names(&dir);
    let (rotated, live) = names.split_at(names.len() - 1);
    assert!(rotated.len() > 2 && rotated.iter().all(|name| name.ends_with(".zst")), "{names:?}");
    assert_eq!(live, ["spans.jsonl~"]);
    let lines = spool.file("lines");
    fs::write(&lines, concatenated(&dir)).unwrap();
    Arrived::in_file(&lines).assert_each_once(6000);
}

#[test]
fn only_the_newest_are_kept_where_a_number_is_said() {
    let spool = TestSpool::new();
    let (dir, sink) = directory(&spool);
    spool.record(0, 6000);
    let output = spool.export(&[&sink]).args(ROTATED).args(["--once", "--keep", "2"]).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
    assert_eq!(names(&dir).len(), 3);
    let lines = spool.file("lines");
    fs::write(&lines, concatenated(&dir)).unwrap();
    let kept: Vec<i64> = Arrived::in_file(&lines).numbers().into_keys().collect();
    assert!((1..6000).contains(&kept.len()) && kept == (6000 - kept.len() as i64..6000).collect::<Vec<_>>());
}

#[test]
fn an_exporter_that_is_killed_at_any_moment_of_rotating_loses_no_span() {
    let spool = TestSpool::new();
    let (dir, sink) = directory(&spool);
    spool.record(0, 20_000);
    let mut kills = 0;
    for round in 0.. {
        let mut command = spool.export(&[&sink]);
        command.args(ROTATED).args(["--once", "--compress", "zstd"]).stdout(Stdio::null());
        let mut exporter = command.spawn().unwrap();
        // Later and later, so that one gets to the end.
        thread::sleep(Duration::from_millis(round * 10));
        let ended = exporter.try_wait().unwrap();
        exporter.kill().unwrap();
        let status = exporter.wait().unwrap();
        if let Some(ended) = ended {
            assert!(ended.success(), "{status}");
            break;
        }
        kills += 1;
    }
    assert!(kills > 0, "it ended before it could be killed");
    // One more line has what was left done.
    spool.record(20_000, 1);
    let output =
        spool.export(&[&sink]).args(ROTATED).args(["--once", "--compress", "zstd"]).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
    let names = names(&dir);
    assert!(names[..names.len() - 1].iter().all(|name| name.ends_with(".zst")), "{names:?}");
    let lines = spool.file("lines");
    fs::write(&lines, concatenated(&dir)).unwrap();
    Arrived::in_file(&lines).assert_all(20_001);
}

#[test]
fn what_is_said_of_rotation_must_make_sense() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let (dir, sink) = directory(&spool);
    for (sink, arguments, reason) in [
        (sink.as_str(), &["--rotate", "100"][..], "a size is a number with the unit KiB, MiB or GiB"),
        (&sink, &["--rotate", "1MiB", "--keep", "0"], "--keep"),
        (&sink, &["--rotate", "1MiB", "--compress", "gzip"], "possible values: zstd"),
        (&sink, &["--keep", "1"], "--rotate <SIZE>"),
        (&sink, &["--compress", "zstd"], "--rotate <SIZE>"),
        ("stdout", &["--rotate", "1MiB"], "--rotate is about sinks that are files, and none is named"),
    ] {
        let output = spool.export(&[sink]).arg("--once").args(arguments).output().unwrap();
        let (status, said) = agent::complaint(output);
        assert!(status == 2 && said.contains(reason), "{arguments:?}: {status}: {said}");
    }
    assert_eq!(names(&dir), [""; 0]);
}

/// Some 50 batches of the recording process come to several files of this size.
const ROTATED: [&str; 2] = ["--rotate", "300KiB"];

/// A directory for a file, and the address of the file.
fn directory(spool: &TestSpool) -> (PathBuf, String) {
    let dir = spool.file("files");
    fs::create_dir(&dir).unwrap();
    let sink = format!("file:{}", dir.join("spans.jsonl").display());
    (dir, sink)
}

/// The names of the files, the oldest first. The live one's, which is the last, has a `~` behind it, with which it sorts so.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for live in names.iter_mut().filter(|name| *name == "spans.jsonl") {
        live.push('~');
    }
    names.sort();
    names
}

/// All lines, the oldest first.
fn concatenated(dir: &Path) -> Vec<u8> {
    let files = names(dir).into_iter().map(|name| {
        let bytes = fs::read(dir.join(name.trim_end_matches('~'))).unwrap();
        if name.ends_with(".zst") { zstd::decode_all(bytes.as_slice()).unwrap() } else { bytes }
    });
    files.collect::<Vec<_>>().concat()
}
