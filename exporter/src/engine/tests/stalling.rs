//! A disk that does not answer: it holds up its own spool, and neither another one nor a stop.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use spanring::mapping::Mapping;
use spanring_spool::{DiskStorage, SpoolDir, Storage, StorageFile, StorageSync};
use tokio::sync::watch;

use super::{Seen, spool};
use crate::engine::{ExportReports, Exporter, Exporters, stopped};
use crate::sink::{Batch, Delivery, Outcome, Sink};

const LONG: Duration = Duration::from_secs(60);

/// A disk on which no cursor can be synced until it is let go of.
#[derive(Clone, Debug)]
struct Stalling(Arc<Gate>);

#[derive(Debug)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    /// Told once somebody waits.
    waits: watch::Sender<bool>,
}

/// Lets go of the disk in the end, also of a test that fails.
struct LetGo(Arc<Gate>);

impl Stalling {
    fn new() -> (Self, LetGo, watch::Receiver<bool>) {
        let (waits, is_waiting) = watch::channel(false);
        let gate = Arc::new(Gate { is_open: Mutex::new(false), opened: Condvar::new(), waits });
        (Stalling(Arc::clone(&gate)), LetGo(gate), is_waiting)
    }

    fn spool(&self, dir: &Path) -> SpoolDir {
        SpoolDir::open_in(Arc::new(self.clone()), dir).unwrap()
    }
}

impl Drop for LetGo {
    fn drop(&mut self) {
        *self.0.is_open.lock().unwrap() = true;
        self.0.opened.notify_all();
    }
}

impl Storage for Stalling {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DiskStorage.create_dir(path)
    }

    fn create(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
        DiskStorage.create(path, len)
    }

    fn create_shared(&self, path: &Path, len: u64) -> io::Result<Mapping> {
        DiskStorage.create_shared(path, len)
    }

    fn open(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(StallingFile { file: DiskStorage.open(path, len)?, gate: Arc::clone(&self.0) }))
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

struct StallingFile {
    file: Box<dyn StorageFile>,
    gate: Arc<Gate>,
}

impl StorageFile for StallingFile {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write(offset, bytes)
    }

    fn commit(&mut self, offset: u64, word: u32) -> io::Result<()> {
        self.file.commit(offset, word)
    }

    fn syncer(&self) -> Arc<dyn StorageSync> {
        Arc::new(StallingSync { file: self.file.syncer(), gate: Arc::clone(&self.gate) })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
}

struct StallingSync {
    file: Arc<dyn StorageSync>,
    gate: Arc<Gate>,
}

impl StorageSync for StallingSync {
    fn sync(&self) -> io::Result<()> {
        self.gate.waits.send_replace(true);
        let is_open = self.gate.is_open.lock().unwrap();
        drop(self.gate.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
        self.file.sync()
    }
}

/// Takes nothing before the disk of another spool stalls, and says what it took.
struct Patient {
    stalls: watch::Receiver<bool>,
    taken: Sender<usize>,
}

impl Sink for Patient {
    fn name(&self) -> &str {
        "patient"
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async move {
            stopped(&mut self.stalls).await;
            self.taken.send(batch.spans.len()).unwrap();
            Outcome::DELIVERED
        })
    }
}

fn is_claimed(dir: &Path) -> bool {
    SpoolDir::open(dir).unwrap().is_claimed_for_export().unwrap()
}

#[test]
fn a_disk_that_stalls_holds_up_its_own_spool_and_no_stop() {
    let ((stalled, _), (other, _)) = (spool(3), spool(5));
    let (disk, let_go, mut stalls) = Stalling::new();
    let (taken, arrived) = mpsc::channel();
    let patient = Box::new(Patient { stalls: stalls.clone(), taken });
    let seen = Seen::default();
    let sink = Box::new(seen.told(|_| Outcome::DELIVERED));
    let exporters = [
        Exporter::new(disk.spool(stalled.path())).to(sink),
        Exporter::new(SpoolDir::open(other.path()).unwrap()).to(patient),
    ];
    let exporters = exporters.map(|exporter| exporter.stop_deadline(Duration::ZERO));
    let spawned = Exporters::new(exporters).spawn().unwrap();
    assert_eq!(arrived.recv_timeout(LONG).unwrap(), 5, "those of the other spool arrive");
    assert!(*stalls.borrow_and_update() && is_claimed(stalled.path()));

    let report: ExportReports = spawned.stop(LONG).unwrap();
    let [left, ended] = &report.spools[..] else { panic!("{report}") };
    assert_eq!((left.report.sinks[0].delivered, left.report.troubles.len()), (3, 1), "{report}");
    assert!(left.report.is_failure() && !ended.report.is_failure(), "{report}");
    assert_eq!(ended.report.sinks[0].delivered, 5, "{report}");
    assert!(is_claimed(stalled.path()) && !is_claimed(other.path()));

    // Once the disk answers, it ends by itself, and the cursor has what was delivered.
    drop(let_go);
    while is_claimed(stalled.path()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let report = super::export(stalled.path(), seen.told(|_| Outcome::DELIVERED));
    assert_eq!(report.sinks[0].delivered, 0, "{report}");
    assert_eq!(seen.taken().len(), 3);
}
