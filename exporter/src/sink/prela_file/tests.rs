use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use tempfile::TempDir;

use super::*;
use crate::sink::tests::Spans;

const DAY: &str = "2026-11-20";

/// A directory of files, the lines that a test writes, and what is in it.
struct Fixture {
    dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Fixture { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("traces")
    }

    fn open(&self) -> Files {
        Files::open(&self.path()).unwrap()
    }

    fn open_error(&self) -> String {
        Files::open(&self.path()).unwrap_err().to_string()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What all files hold, in the order of their names.
    fn text(&self) -> String {
        self.names().iter().map(|name| fs::read_to_string(self.file(name)).unwrap()).collect()
    }
}

/// Lines as the sink writes them, of spans with these numbers.
fn lines(numbers: impl IntoIterator<Item = u8>) -> Vec<String> {
    let line = |number| prela::Span::of(&crate::sink::tests::span(number), Some("shop")).to_dict() + "\n";
    numbers.into_iter().map(line).collect()
}

#[test]
fn a_batch_is_lines_of_a_file_that_only_its_owner_reads() {
    let fixture = Fixture::new();
    let options = PrelaOptions::default();
    let mut sink = PrelaFileSink::open("prela-file:x".to_owned(), &fixture.path(), &options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let spans = Spans::new(3);
    assert_eq!(runtime.block_on(sink.deliver(&spans.batch())), Outcome::DELIVERED);
    assert_eq!(fixture.text(), lines(1..=3).concat());
    let [name] = fixture.names().try_into().unwrap();
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let days = [today, today - 1].map(|second| format!("traces-{}-001.jsonl", rfc3339::date(second)));
    assert!(days.contains(&name), "{name}");
    let mode = |path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(fixture.path()), mode(fixture.file(&name))), (0o700, 0o600));
}

#[test]
fn whatever_a_killed_exporter_had_written_of_its_batches_each_line_is_there_once() {
    let all: Vec<_> = (1..=12).map(|number| format!("{{\"span_id\": \"{number}\"}}\n")).collect();
    let text = all.concat();
    let acknowledged = all[..4].concat().len();
    for cut in acknowledged..=text.len() {
        let fixture = Fixture::new();
        fixture.open().append(&all[..4], DAY).unwrap();
        fs::write(fixture.file("traces-2026-11-20-001.jsonl"), &text[..cut]).unwrap();
        // The next exporter is handed what was not acknowledged, in the same batches.
        let mut files = fixture.open();
        for batch in all[4..].chunks(4) {
            files.append(batch, DAY).unwrap();
        }
        assert_eq!(fixture.text(), text, "cut at {cut}");
    }
}

#[test]
fn what_comes_again_is_known_on_the_next_day_and_after_another_batch_too() {
    let fixture = Fixture::new();
    fixture.open().append(&lines(1..=4), DAY).unwrap();
    let mut files = fixture.open();
    files.append(&lines(9..=10), "2026-11-21").unwrap();
    files.append(&lines(3..=6), "2026-11-21").unwrap();
    assert_eq!(fixture.names(), ["traces-2026-11-20-001.jsonl", "traces-2026-11-21-001.jsonl"]);
    assert_eq!(fixture.text(), lines([1, 2, 3, 4, 9, 10, 5, 6]).concat());
}

#[test]
fn what_comes_again_is_known_also_where_a_file_was_full_meanwhile() {
    let fixture = Fixture::new();
    let mut files = fixture.open();
    files.append(&lines(1..=2), DAY).unwrap();
    files.append(&lines(3..=4), "2026-11-21").unwrap();
    drop(files);
    // Made, and not written to any more.
    File::create_new(fixture.file("traces-2026-11-21-002.jsonl")).unwrap();
    let mut files = fixture.open();
    files.append(&lines(1..=2), "2026-11-21").unwrap();
    files.append(&lines(3..=5), "2026-11-21").unwrap();
    assert_eq!(fixture.text(), lines(1..=5).concat());
    assert_eq!(fixture.names().len(), 3);
}

#[test]
fn of_a_long_file_the_last_lines_are_known_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines");
    let all: Vec<_> = (0..40_000).map(|number| format!("{number:2000}\n").into_bytes()).collect();
    fs::write(&path, all.concat()).unwrap();
    let last = LastLines::of([path.clone()]).unwrap();
    let known: Vec<_> = (0..all.len()).filter(|&at| last.contains(&all[at])).collect();
    // As many as fit, but for the one that the limit cuts.
    let count = 64 * 1024 * 1024 / all[0].len();
    assert!(known == (all.len() - count..all.len()).collect::<Vec<_>>(), "{} are known", known.len());

    let short: Vec<_> = (0..70_000).map(|number| format!("{number}\n").into_bytes()).collect();
    fs::write(&path, short.concat()).unwrap();
    let last = LastLines::of([path]).unwrap();
    let known: Vec<_> = (0..short.len()).filter(|&at| last.contains(&short[at])).collect();
    assert!(known == (70_000 - 64 * 1024..70_000).collect::<Vec<_>>(), "{} are known", known.len());
}

#[test]
fn a_line_that_was_changed_since_is_written_again() {
    let fixture = Fixture::new();
    fixture.open().append(&lines(1..=2), DAY).unwrap();
    let mut files = fixture.open();
    let path = fixture.file("traces-2026-11-20-001.jsonl");
    let changed = fs::read_to_string(&path).unwrap().replacen("step 2", "step X", 1);
    fs::write(&path, changed).unwrap();
    files.append(&lines(1..=2), DAY).unwrap();
    assert_eq!(fixture.text().matches("step 2").count(), 1);
    assert_eq!(fixture.text().matches("step 1").count(), 1);
}

#[test]
fn a_file_that_is_full_is_followed_by_the_next_and_a_day_begins_anew() {
    let fixture = Fixture::new();
    let mut files = fixture.open();
    files.append(&lines([1]), DAY).unwrap();
    // A hole is as long as bytes are.
    let fill =
        |name: &str, len| OpenOptions::new().write(true).open(fixture.file(name)).unwrap().set_len(len);
    let line_len = lines([1])[0].len() as u64;
    for (len, expected) in [(FILE_LEN_MAX - 1, "001"), (FILE_LEN_MAX, "002")] {
        fill("traces-2026-11-20-001.jsonl", len).unwrap();
        files.last.as_mut().unwrap().end = len;
        files.append(&lines([2]), DAY).unwrap();
        assert_eq!(
            files.last.as_ref().unwrap().name.to_string(),
            format!("traces-2026-11-20-{expected}.jsonl")
        );
    }
    files.append(&lines([3]), "2026-11-21").unwrap();
    // The clock went back, or somebody's was ahead.
    files.append(&lines([4]), DAY).unwrap();
    let len = |name: &str| fs::metadata(fixture.file(name)).unwrap().len();
    assert_eq!(
        fixture.names(),
        ["traces-2026-11-20-001.jsonl", "traces-2026-11-20-002.jsonl", "traces-2026-11-21-001.jsonl"]
    );
    assert_eq!(len("traces-2026-11-20-002.jsonl"), line_len);
    assert_eq!(len("traces-2026-11-21-001.jsonl"), 2 * line_len);
}

#[test]
fn the_next_exporter_goes_on_with_the_last_file() {
    let fixture = Fixture::new();
    for (day, number) in [(DAY, 1), (DAY, 2), ("2026-11-21", 3), ("2026-11-21", 4), (DAY, 5)] {
        fixture.open().append(&lines([number]), day).unwrap();
    }
    let lines_of = |name: &str| fs::read_to_string(fixture.file(name)).unwrap().lines().count();
    assert_eq!([lines_of("traces-2026-11-20-001.jsonl"), lines_of("traces-2026-11-21-001.jsonl")], [2, 3]);
    assert_eq!(fixture.text(), lines(1..=5).concat());
}

#[test]
fn a_directory_has_one_writer() {
    let fixture = Fixture::new();
    let first = fixture.open();
    assert_eq!(fixture.open_error(), "another exporter writes to it");
    drop(first);
    fixture.open();
}

#[test]
fn what_is_no_directory_or_holds_anything_but_spans_is_refused_and_not_touched() {
    let fixture = Fixture::new();
    fs::write(fixture.path(), "hello").unwrap();
    assert!(fixture.open_error().contains("it is not a directory"));
    fs::remove_file(fixture.path()).unwrap();
    fs::create_dir(fixture.path()).unwrap();
    let path = fixture.file("traces-2026-11-20-001.jsonl");
    for text in ["hello", "hello\n", "{\"span_id\": \"1\"}\nhello", "\0\0\0\0", "\n"] {
        fs::write(&path, text).unwrap();
        let message = fixture.open_error();
        assert!(
            message.contains("traces-2026-11-20-001.jsonl")
                && message.ends_with("is no line of a span of Prela"),
            "{message}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(fixture.open_error().ends_with("is not a regular file"));
    let nowhere = Files::open(&fixture.path().join("none/traces")).unwrap_err();
    assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
}

#[test]
fn files_of_others_are_left_alone() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path()).unwrap();
    for name in ["notes.txt", "traces-2999-01-01-001.ndjson", "traces-2999-01-01-1.jsonl"] {
        fs::write(fixture.file(name), "hello").unwrap();
    }
    fixture.open().append(&lines([1]), DAY).unwrap();
    assert_eq!(fixture.names().len(), 4);
    assert_eq!(fixture.text().matches("hello").count(), 3);
}

#[test]
fn what_somebody_removes_is_made_anew_rather_than_written_into_nowhere() {
    let fixture = Fixture::new();
    let mut files = fixture.open();
    files.append(&lines([1]), DAY).unwrap();
    fs::remove_file(fixture.file("traces-2026-11-20-001.jsonl")).unwrap();
    files.append(&lines([2]), DAY).unwrap();
    assert_eq!(fixture.text(), lines([2]).concat());
    fs::rename(fixture.path(), fixture.dir.path().join("moved")).unwrap();
    files.append(&lines([3]), DAY).unwrap();
    assert_eq!(fixture.text(), lines([3]).concat());
    assert_eq!(fixture.open_error(), "another exporter writes to it");
}

#[test]
fn a_line_that_went_with_its_file_is_written_again() {
    let fixture = Fixture::new();
    fixture.open().append(&lines(1..=2), DAY).unwrap();
    let mut files = fixture.open();
    fs::remove_file(fixture.file("traces-2026-11-20-001.jsonl")).unwrap();
    files.append(&lines(1..=2), DAY).unwrap();
    assert_eq!(fixture.text(), lines(1..=2).concat());
}

#[test]
fn a_file_that_was_cut_short_or_appended_to_goes_on_behind_its_last_whole_line() {
    let line_len = lines([1])[0].len();
    for len in [0, 5, line_len, line_len + 5] {
        let fixture = Fixture::new();
        let mut files = fixture.open();
        files.append(&lines(1..=2), DAY).unwrap();
        let path = fixture.file("traces-2026-11-20-001.jsonl");
        OpenOptions::new().write(true).open(&path).unwrap().set_len(len as u64).unwrap();
        files.append(&lines([3]), DAY).unwrap();
        let kept = lines(1..=2)[..len / line_len].concat();
        assert_eq!(fixture.text(), kept + &lines([3]).concat(), "cut to {len}");

        let of_somebody = lines([7]).concat() + "{\"span";
        fs::write(&path, fixture.text() + &of_somebody).unwrap();
        files.append(&lines([4]), DAY).unwrap();
        assert!(fixture.text().ends_with(&lines([3, 7, 4]).concat()), "{}", fixture.text());
    }
}

#[test]
fn a_write_that_fails_leaves_whole_lines_and_is_done_again() {
    let fixture = Fixture::new();
    let mut files = fixture.open();
    files.append(&lines([1]), DAY).unwrap();
    let path = fixture.file("traces-2026-11-20-001.jsonl");
    let writable = std::mem::replace(&mut files.last.as_mut().unwrap().file, File::open(&path).unwrap());
    files.append(&lines(2..=3), DAY).unwrap_err();
    assert_eq!(fixture.text(), lines([1]).concat());
    // The rest of it could not be cut off, whole lines and all.
    fs::write(&path, lines(1..=2).concat() + "{\"span_id").unwrap();
    files.last.as_mut().unwrap().file = writable;
    files.append(&lines(2..=3), DAY).unwrap();
    assert_eq!(fixture.text(), lines(1..=3).concat());
}

#[test]
fn a_file_that_cannot_be_made_is_tried_again() {
    let fixture = Fixture::new();
    let mut files = fixture.open();
    files.append(&lines([1]), DAY).unwrap();
    // Somebody's, of a name that comes next.
    let next = fixture.file("traces-2026-11-21-001.jsonl");
    fs::create_dir(&next).unwrap();
    files.append(&lines([2]), "2026-11-21").unwrap_err();
    fs::set_permissions(&next, Permissions::from_mode(0o700)).unwrap();
    fs::remove_dir(&next).unwrap();
    files.append(&lines([2]), "2026-11-21").unwrap();
    assert_eq!(fixture.text(), lines(1..=2).concat());
}
