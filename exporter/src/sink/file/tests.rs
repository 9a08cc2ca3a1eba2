use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::sink::tests::Spans;

fn deliver(sink: &mut FileSink, spans: &Spans) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(sink.deliver(&spans.batch()))
}

fn open(path: &Path) -> Result<FileSink, String> {
    FileSink::open(format!("file:{}", path.display()), path).map_err(|error| with_causes(&error))
}

#[test]
fn a_batch_is_one_line_of_a_file_that_only_its_owner_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spans.jsonl");
    let mut sink = open(&path).unwrap();
    for _ in 0..2 {
        assert_eq!(deliver(&mut sink, &Spans::new(3)), Outcome::DELIVERED);
    }
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(json["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().len(), 3);
    }
    assert_eq!(text.lines().count(), 2);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_last_line_cut_anywhere_is_gone_after_the_next_opening_and_no_other_line_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spans.jsonl");
    let mut sink = open(&path).unwrap();
    deliver(&mut sink, &Spans::new(2));
    let first = fs::metadata(&path).unwrap().len();
    deliver(&mut sink, &Spans::new(1));
    drop(sink);
    let whole = fs::read(&path).unwrap();
    for cut in first..whole.len() as u64 {
        let cut = usize::try_from(cut).unwrap();
        for zeros in [0, 100] {
            let mut torn = whole[..cut].to_vec();
            torn.resize(cut + zeros, 0);
            fs::write(&path, &torn).unwrap();
            drop(open(&path).unwrap());
            assert_eq!(fs::read(&path).unwrap().len() as u64, first, "cut at {cut}, {zeros} zeros");
        }
    }
    let mut sink = open(&path).unwrap();
    deliver(&mut sink, &Spans::new(1));
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn a_line_longer_than_what_is_read_at_once_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spans.jsonl");
    let line = format!("{{\"resourceSpans\":\"{}\"}}\n", "x".repeat(3 * CHUNK_LEN));
    fs::write(&path, format!("{line}{}", line.trim_end())).unwrap();
    drop(open(&path).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), line);
}

#[test]
fn a_file_that_holds_anything_else_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    for text in [
        "hello",
        "hello\n",
        "{\"resourceSpans\":[]}\nhello",
        "\n",
        "hello\n{\"resourceSpans\":[",
        "\0\0\0\0",
        "\0\0\0\0{\"resourceSpans\":[]}\n",
        "{\"res\0\0\0\0\0\0\0\0\0\0\0\n",
    ] {
        fs::write(&path, text).unwrap();
        let message = open(&path).unwrap_err();
        assert!(
            message.contains(path.to_str().unwrap()) && message.contains("no line of OTLP/JSON"),
            "{message}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn what_is_no_file_that_can_be_written_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let message = open(dir.path()).unwrap_err();
    assert!(message.ends_with("it is not a regular file"), "{message}");
    let message = open(Path::new("/dev/null")).unwrap_err();
    assert!(message.ends_with("it is not a regular file"), "{message}");
    let message = open(&dir.path().join("none/spans.jsonl")).unwrap_err();
    assert!(message.contains("No such file or directory"), "{message}");
    let link = dir.path().join("link");
    symlink("loop", dir.path().join("loop")).unwrap();
    symlink("loop", &link).unwrap();
    assert!(open(&link).is_err());
}

#[test]
fn a_file_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spans.jsonl");
    let first = open(&path).unwrap();
    let message = open(&path).unwrap_err();
    assert!(message.ends_with("another exporter writes to it"), "{message}");
    drop(first);
    open(&path).unwrap();
}

#[test]
fn a_file_that_was_removed_is_made_anew_rather_than_written_into_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spans.jsonl");
    let mut sink = open(&path).unwrap();
    deliver(&mut sink, &Spans::new(1));
    let line = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(deliver(&mut sink, &Spans::new(1)), Outcome::DELIVERED);
    assert_eq!(fs::read(&path).unwrap(), line);
}

#[test]
fn a_file_that_was_cut_short_goes_on_behind_its_last_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spans.jsonl");
    let mut sink = open(&path).unwrap();
    deliver(&mut sink, &Spans::new(1));
    let line = fs::read(&path).unwrap();
    for len in [0, 5, line.len(), line.len() + 5] {
        deliver(&mut sink, &Spans::new(1));
        OpenOptions::new().write(true).open(&path).unwrap().set_len(len as u64).unwrap();
        assert_eq!(deliver(&mut sink, &Spans::new(1)), Outcome::DELIVERED);
        assert_eq!(fs::read(&path).unwrap(), line.repeat(len / line.len() + 1), "cut to {len}");
    }
}

#[test]
fn a_write_that_fails_is_a_retry_and_leaves_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spans.jsonl");
    let mut sink = open(&path).unwrap();
    deliver(&mut sink, &Spans::new(1));
    let line = fs::read(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    sink.lines.lock().unwrap().file = File::open(&path).unwrap();
    let outcome = deliver(&mut sink, &Spans::new(1));
    assert!(matches!(outcome, Outcome::Retry { after: None, .. }), "{outcome:?}");
    assert_eq!(fs::read(&path).unwrap(), line);
}
