//! What a sink has to know again is known, wherever an exporter is killed, and whatever fails.

use std::fs::File;
use std::io;
use std::sync::atomic::AtomicBool;

use spanring::mapping::Mapping;
use spanring_spool::{DiskStorage, Note, RecorderId, Storage, StorageFile, StorageSync};

use super::*;

const NAME: &str = "noting";

/// Chains of spans, each of which begins when the trace of its parent was over.
fn generations() -> (TempDir, Recorded) {
    recorded(|spool, recorded| {
        let now = SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = u64::try_from(now.as_nanos()).unwrap();
        let mut parents = [None; 3];
        for generation in 1..=4 {
            for parent in &mut parents {
                let span = start(recorded, *parent);
                *parent = Some(span.context());
            }
            cut(spool);
            let later = now + generation * 3_000_000_000;
            assert_eq!(start(recorded, None).end_at_unix_ns(later), spanring::Ended::Recorded);
            cut(spool);
        }
    })
}

/// What a receiver was sent.
#[derive(Clone, Default)]
struct Sent {
    /// Under which parent each span came, if under one that was known.
    parents: BTreeMap<SpanId, Option<SpanId>>,
    wrong: Vec<String>,
}

/// A sink that has to know who is there, as a receiver gives identities to spans.
struct Noting {
    sent: Arc<Mutex<Sent>>,
    recorded: BTreeMap<SpanId, Option<SpanId>>,
    points: Arc<Points>,
    known: BTreeSet<SpanId>,
    fresh: Vec<Note>,
    is_recalled: bool,
}

impl Sink for Noting {
    fn name(&self) -> &str {
        NAME
    }

    fn needs(&self) -> Needs {
        Needs::ParentsFirst
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        self.points.pass();
        {
            let mut sent = self.sent.lock().unwrap();
            assert!(self.is_recalled, "it is handed its notes before anything else");
            for span in batch.spans.iter().filter(|span| !self.known.contains(&span.span_id)) {
                let parent = span.parent_id.filter(|parent| self.known.contains(parent));
                if parent != self.recorded[&span.span_id] {
                    sent.wrong.push(format!("{} comes without its parent", span.span_id));
                }
                let before = sent.parents.insert(span.span_id, parent);
                if before.is_some_and(|before| before != parent) {
                    sent.wrong.push(format!("{} comes as another one", span.span_id));
                }
            }
        }
        self.points.pass();
        for span in batch.spans.iter() {
            self.known.insert(span.span_id);
            self.fresh.push(Note { key: span.span_id.to_bytes().to_vec(), value: b"there".to_vec() });
        }
        Box::pin(async { Outcome::DELIVERED })
    }

    fn takes_notes(&self) -> bool {
        true
    }

    fn recall_notes(&mut self, _: &RecorderId, notes: Vec<Note>) {
        self.is_recalled = true;
        self.known = notes.iter().map(|note| SpanId::from_bytes(note.key[..].try_into().unwrap())).collect();
    }

    fn take_notes(&mut self, _: &RecorderId) -> Vec<Note> {
        std::mem::take(&mut self.fresh)
    }
}

/// The moments at which an exporter may be killed: around each delivery and each operation on notes.
#[derive(Default)]
struct Points {
    passed: AtomicUsize,
    /// The one at which the spool is copied, as a kill would leave it, and what was sent until then.
    killed_at: usize,
    spool: Mutex<std::path::PathBuf>,
    left: Mutex<Option<(TempDir, Sent)>>,
    sent: Arc<Mutex<Sent>>,
    /// Which operation on notes fails.
    fails_at: usize,
    operations: AtomicUsize,
    /// Whether notes were written and not synced.
    is_dirty: AtomicBool,
    /// What the cursor held at the last point.
    cursor: Mutex<CursorState>,
}

impl Points {
    fn pass(&self) {
        let spool = self.spool.lock().unwrap().clone();
        let mut cursor = self.cursor.lock().unwrap();
        for recorder in SpoolDir::open(&spool).unwrap().recorders().unwrap() {
            let now = Cursor::peek(&spool.join(recorder.as_str()), NAME).unwrap();
            if *cursor != now {
                assert!(
                    !self.is_dirty.load(Ordering::Relaxed),
                    "the cursor passed notes that are not synced"
                );
                *cursor = now;
            }
        }
        if self.passed.fetch_add(1, Ordering::Relaxed) + 1 == self.killed_at {
            *self.left.lock().unwrap() = Some((copy(&spool), self.sent.lock().unwrap().clone()));
        }
    }

    /// One operation on notes, and the moments around it.
    fn operate<T>(&self, path: &Path, operate: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if !is_of_notes(path) {
            return operate();
        }
        self.pass();
        if self.operations.fetch_add(1, Ordering::Relaxed) + 1 == self.fails_at {
            return Err(io::Error::from_raw_os_error(5));
        }
        let done = operate();
        self.pass();
        done
    }
}

fn is_of_notes(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with("notes-")
}

#[derive(Clone)]
struct Disk(Arc<Points>);

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

struct DiskFile(Arc<Points>, std::path::PathBuf, Box<dyn StorageFile>);
struct DiskSync(Arc<Points>, std::path::PathBuf, Arc<dyn StorageSync>);

impl Storage for Disk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DiskStorage.create_dir(path)
    }

    fn create(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
        let file = self.0.operate(path, || DiskStorage.create(path, len))?;
        Ok(Box::new(DiskFile(Arc::clone(&self.0), path.to_owned(), file)))
    }

    fn create_shared(&self, path: &Path, len: u64) -> io::Result<Mapping> {
        DiskStorage.create_shared(path, len)
    }

    fn open(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
        let file = self.0.operate(path, || DiskStorage.open(path, len))?;
        Ok(Box::new(DiskFile(Arc::clone(&self.0), path.to_owned(), file)))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        DiskStorage.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskStorage.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        DiskStorage.unlink(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        DiskStorage.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        DiskStorage.list(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<File> {
        DiskStorage.lock(path)
    }
}

impl StorageFile for DiskFile {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let DiskFile(points, path, file) = self;
        points.operate(path, || {
            if is_of_notes(path) {
                points.is_dirty.store(true, Ordering::Relaxed);
            }
            file.write(offset, bytes)
        })
    }

    fn commit(&mut self, offset: u64, word: u32) -> io::Result<()> {
        self.2.commit(offset, word)
    }

    fn syncer(&self) -> Arc<dyn StorageSync> {
        Arc::new(DiskSync(Arc::clone(&self.0), self.1.clone(), self.2.syncer()))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.2.truncate(len)
    }
}

impl StorageSync for DiskSync {
    fn sync(&self) -> io::Result<()> {
        self.0.operate(&self.1, || {
            self.2.sync()?;
            if is_of_notes(&self.1) {
                self.0.is_dirty.store(false, Ordering::Relaxed);
            }
            Ok(())
        })
    }
}

/// An exporter of this spool that is killed at this point, if there is one, and for which that operation on notes fails, if there is one. What it came to,
/// and its points.
fn export_with_notes(
    dir: &Path,
    recorded: &Recorded,
    sent: &Arc<Mutex<Sent>>,
    killed_at: usize,
    fails_at: usize,
) -> (ExportReport, Arc<Points>) {
    let points = Arc::new(Points {
        killed_at,
        fails_at,
        sent: Arc::clone(sent),
        spool: Mutex::new(dir.to_owned()),
        ..Points::default()
    });
    for recorder in SpoolDir::open(dir).unwrap().recorders().unwrap() {
        *points.cursor.lock().unwrap() = Cursor::peek(&dir.join(recorder.as_str()), NAME).unwrap();
    }
    let sink = Noting {
        sent: Arc::clone(sent),
        recorded: recorded.values().flatten().map(|(span, parent)| (*span, *parent)).collect(),
        points: Arc::clone(&points),
        known: BTreeSet::new(),
        fresh: Vec::new(),
        is_recalled: false,
    };
    let spool = SpoolDir::open_in(Arc::new(Disk(Arc::clone(&points))), dir).unwrap();
    let exporter = Exporter::new(spool).to(Box::new(sink)).once(Duration::from_secs(60));
    (run(exporter, std::future::pending()), points)
}

#[track_caller]
fn assert_all_sent(report: &ExportReport, sent: &Sent, recorded: &Recorded) {
    assert!(report.is_complete() && report.recorders_removed == report.recorders, "{report}");
    assert_eq!(sent.wrong, [""; 0]);
    assert_eq!(sent.parents.len(), recorded.values().map(BTreeMap::len).sum::<usize>());
}

#[test]
fn wherever_an_exporter_is_killed_the_next_one_knows_what_is_there_and_sends_nothing_as_another_one() {
    let (dir, recorded) = generations();
    let mut points = 1;
    for killed_at in 1.. {
        if killed_at > points {
            break;
        }
        let copy = copy(dir.path());
        let sent = Arc::<Mutex<Sent>>::default();
        let (report, passed) = export_with_notes(copy.path(), &recorded, &sent, killed_at, 0);
        points = passed.passed.load(Ordering::Relaxed);
        assert_all_sent(&report, &sent.lock().unwrap(), &recorded);
        let (left, sent) = passed.left.lock().unwrap().take().unwrap();
        let sent = Arc::new(Mutex::new(sent));
        let (report, _) = export_with_notes(left.path(), &recorded, &sent, 0, 0);
        assert_all_sent(&report, &sent.lock().unwrap(), &recorded);
    }
    assert!(points > 40, "{points}");
}

#[test]
fn where_notes_cannot_be_written_the_cursor_waits_and_no_span_is_lost_or_sent_as_another_one() {
    let (dir, recorded) = generations();
    let whole = export_with_notes(copy(dir.path()).path(), &recorded, &Arc::default(), 0, 0).1;
    let operations = whole.operations.load(Ordering::Relaxed);
    assert!(operations > 8, "{operations}");
    for fails_at in 1..=operations {
        let copy = copy(dir.path());
        let sent = Arc::<Mutex<Sent>>::default();
        let (report, _) = export_with_notes(copy.path(), &recorded, &sent, 0, fails_at);
        assert!(!report.is_complete(), "it is told that operation {fails_at} failed: {report}");
        let (report, _) = export_with_notes(copy.path(), &recorded, &sent, 0, 0);
        assert_all_sent(&report, &sent.lock().unwrap(), &recorded);
    }
}

/// Counts how often it is handed notes.
struct Counting(Arc<AtomicUsize>);

impl Sink for Counting {
    fn name(&self) -> &str {
        NAME
    }

    fn needs(&self) -> Needs {
        Needs::ParentsFirst
    }

    fn deliver<'a>(&'a mut self, _: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async { Outcome::DELIVERED })
    }

    fn takes_notes(&self) -> bool {
        true
    }

    fn recall_notes(&mut self, _: &RecorderId, _: Vec<Note>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn of_a_process_of_which_nothing_is_delivered_no_notes_are_read() {
    let (dir, _) = generations();
    let recalled = Arc::<AtomicUsize>::default();
    for _ in 0..2 {
        let sink = Counting(Arc::clone(&recalled));
        let exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap()).to(Box::new(sink));
        let report = run(exporter.once(MINUTE).grace(MINUTE), std::future::pending());
        assert!(report.is_complete() && report.recorders_removed == 0, "{report}");
        assert_eq!(recalled.load(Ordering::Relaxed), 1);
    }
}
