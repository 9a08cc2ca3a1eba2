//! Blocks that stand twice: a segment could not be synced, so that what was in it was written again to the next one.
//!
//! Whichever sync fails, each span is delivered once, as it ends and by trace, and the recorder goes.

mod agent;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use spanring::Overflow;
use spanring::mapping::Mapping;
use spanring_spool::{DiskStorage, Level, Spool, SpoolDir, Storage, StorageFile, StorageSync};

use self::agent::{Arrived, TestSpool};

const PATIENCE: Duration = Duration::from_secs(60);

/// The disk, of which one sync of a segment fails.
struct FailsOnce {
    /// How many syncs until then.
    left: Arc<AtomicU64>,
}

struct SegmentFile(Box<dyn StorageFile>, Arc<AtomicU64>);

struct SegmentSync(Arc<dyn StorageSync>, Arc<AtomicU64>);

impl fmt::Debug for FailsOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailsOnce")
    }
}

impl FailsOnce {
    fn file(&self, path: &Path, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        match path.extension().is_some_and(|extension| extension == "segment") {
            true => Box::new(SegmentFile(file, Arc::clone(&self.left))),
            false => file,
        }
    }
}

impl Storage for FailsOnce {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DiskStorage.create_dir(path)
    }

    fn create(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(path, DiskStorage.create(path, len)?))
    }

    fn create_shared(&self, path: &Path, len: u64) -> io::Result<Mapping> {
        DiskStorage.create_shared(path, len)
    }

    fn open(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(path, DiskStorage.open(path, len)?))
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

impl StorageFile for SegmentFile {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write(offset, bytes)
    }

    fn commit(&mut self, offset: u64, word: u32) -> io::Result<()> {
        self.0.commit(offset, word)
    }

    fn syncer(&self) -> Arc<dyn StorageSync> {
        Arc::new(SegmentSync(self.0.syncer(), Arc::clone(&self.1)))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
}

impl StorageSync for SegmentSync {
    fn sync(&self) -> io::Result<()> {
        match self.1.fetch_sub(1, Ordering::Relaxed) {
            1 => Err(io::Error::other("the disk failed")),
            _ => self.0.sync(),
        }
    }
}

/// Records so many traces, each in a block of its own, under one that is open to the end, so that what is by trace waits. Whether the
/// spool could be stopped: where the last sync fails it is left as that of a process that lives.
fn record(spool: &TestSpool, traces: u64, failing: u64) -> bool {
    let left = Arc::new(AtomicU64::new(u64::MAX));
    let recording = Spool::open(spool.path())
        .storage(Arc::new(FailsOnce { left: Arc::clone(&left) }))
        .linger(PATIENCE)
        .sync(PATIENCE, u64::MAX)
        .overflow(Overflow::Block(PATIENCE))
        .start()
        .unwrap();
    // Without its first segment a spool does not begin.
    left.store(failing, Ordering::Relaxed);
    let open = spanring::span("open").root().start();
    for number in 0..traces {
        drop(spanring::span("step").root().set("number", number).start());
        // Two blocks to a sync. One that fails is not waited for.
        let level = if number % 2 == 0 { Level::Spooled } else { Level::Durable };
        drop(recording.flush(level, Duration::from_secs(5)));
    }
    drop(open);
    // Where this one fails, nothing new comes behind what is written again.
    drop(recording.flush(Level::Durable, Duration::from_secs(5)));
    let stopped = recording.stop(PATIENCE);
    assert!(stopped.ledger.balances());
    stopped.is_complete
}

#[test]
fn whichever_sync_fails_each_span_is_delivered_once_and_the_recorder_goes() {
    const TRACES: u64 = 8;
    let mut written_again = 0;
    for failing in 1..=TRACES {
        for (way, arguments) in [("as they end", &[][..]), ("by trace", &["--trace-share", "1"][..])] {
            let spool = TestSpool::new();
            let is_stopped = record(&spool, TRACES, failing);
            let dir = SpoolDir::open(spool.path()).unwrap();
            let [recorder] = &dir.recorders().unwrap()[..] else { panic!("one process is one recorder") };
            let is_written_again = dir.reader(recorder).unwrap().last_segment().unwrap() > 1;
            written_again += u64::from(is_stopped && is_written_again);
            let file = spool.file("spans.jsonl");
            let sink = format!("file:{}", file.display());
            let output = spool.export(&[&sink]).arg("--once").args(arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "sync {failing}, {way}: {output:?}");
            let arrived = Arrived::in_file(&file);
            arrived.assert_each_once(TRACES);
            assert_eq!(arrived.named("open").len(), 1, "sync {failing}, {way}");
            assert_eq!(spool.recorders().is_empty(), is_stopped, "sync {failing}, {way}");
        }
    }
    assert!(written_again > TRACES / 2, "no sync failed that mattered");
}
