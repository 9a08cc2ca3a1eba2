//! A disk that does not answer: it holds up its own spool, and neither another one nor a stop.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use spanring::mapping::Mapping;
use spanring_spool::{DiskStorage, SpoolDir, Storage, StorageFile, StorageSync};
use tokio::sync::watch;

use super::{Seen, spool};
use crate::Error;
use crate::engine::{ExportReports, Exporter, Exporters, stopped};
use crate::monitor::Monitor;
use crate::sink::{Batch, Delivery, Outcome, Sink};

const LONG: Duration = Duration::from_secs(60);

/// A disk that does not do one thing until it is let go of.
#[derive(Clone, Debug)]
struct Stalling(Arc<Gate>);

/// What a disk does not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stalled {
    /// Sync a cursor.
    Sync,
    /// Lock the spool.
    Claim,
}

#[derive(Debug)]
struct Gate {
    stalled: Stalled,
    is_open: Mutex<bool>,
    opened: Condvar,
    /// Told once somebody waits.
    waits: watch::Sender<bool>,
}

/// Lets go of the disk in the end, also of a test that fails.
struct LetGo(Arc<Gate>);

impl Stalling {
    fn new(stalled: Stalled) -> (Self, LetGo, watch::Receiver<bool>) {
        let (waits, is_waiting) = watch::channel(false);
        let gate = Arc::new(Gate { stalled, is_open: Mutex::new(false), opened: Condvar::new(), waits });
        (Stalling(Arc::clone(&gate)), LetGo(gate), is_waiting)
    }

    fn spool(&self, dir: &Path) -> SpoolDir {
        SpoolDir::open_in(Arc::new(self.clone()), dir).unwrap()
    }
}

impl Gate {
    fn pass(&self, what: Stalled) {
        if self.stalled == what {
            self.waits.send_replace(true);
            let is_open = self.is_open.lock().unwrap();
            drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
        }
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
        if path.ends_with("exporter.lock") {
            self.0.pass(Stalled::Claim);
        }
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
        self.gate.pass(Stalled::Sync);
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
    let (disk, let_go, mut stalls) = Stalling::new(Stalled::Sync);
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

/// What a monitor answers.
fn ask(monitor: &Monitor, path: &str) -> String {
    let mut stream = TcpStream::connect(monitor.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: monitor\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_disk_that_stalls_at_the_claim_holds_up_its_own_spool_and_no_stop() {
    let ((stalled, _), (other, _)) = (spool(3), spool(5));
    let (disk, let_go, stalls) = Stalling::new(Stalled::Claim);
    let (taken, arrived) = mpsc::channel();
    let patient = Box::new(Patient { stalls: stalls.clone(), taken });
    let seen = Seen::default();
    let (spool, monitor) = (disk.spool(stalled.path()), Monitor::start(([127, 0, 0, 1], 0).into()).unwrap());
    let mut waits = Exporter::new(spool.clone()).to(Box::new(seen.told(|_| Outcome::DELIVERED)));
    monitor.watch(&spool, waits.status());
    let exporters = [waits, Exporter::new(SpoolDir::open(other.path()).unwrap()).to(patient)];
    let exporters = exporters.map(|exporter| exporter.stop_deadline(Duration::ZERO));
    let spawned = Exporters::new(exporters).spawn().unwrap();
    assert_eq!(arrived.recv_timeout(LONG).unwrap(), 5, "those of the other spool arrive");
    assert!(*stalls.borrow() && !is_claimed(stalled.path()));
    let ready = ask(&monitor, "/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains("it has not claimed the spool yet"),
        "{ready}"
    );
    assert!(ask(&monitor, "/metrics").starts_with("HTTP/1.1 200"));

    let report: ExportReports = spawned.stop(LONG).unwrap();
    let [left, ended] = &report.spools[..] else { panic!("{report}") };
    assert!(left.report.sinks.is_empty() && left.report.troubles.len() == 1, "{report}");
    assert!(left.report.is_failure() && !ended.report.is_failure(), "{report}");
    assert_eq!(ended.report.sinks[0].delivered, 5, "{report}");
    assert!(seen.taken().is_empty() && !is_claimed(other.path()));

    // Once the disk answers, it ends by itself, and the spool can be had again.
    drop(let_go);
    let report = loop {
        match Exporters::new([Exporter::new(spool.clone())
            .to(Box::new(seen.told(|_| Outcome::DELIVERED)))
            .once(LONG)])
        .spawn()
        {
            Ok(exporter) => break exporter.stop(LONG),
            Err(Error::Spool(spanring_spool::Error::Locked { .. })) => {}
            Err(error) => panic!("{error}"),
        }
    };
    drop(report.unwrap());
}

#[test]
fn a_claim_that_is_refused_late_is_in_the_report_and_ends_nobody_else() {
    let ((stalled, _), (other, _)) = (spool(3), spool(5));
    let (disk, let_go, stalls) = Stalling::new(Stalled::Claim);
    let (taken, arrived) = mpsc::channel();
    let to_one = Box::new(Seen::default().told(|_| Outcome::DELIVERED));
    let (told, troubles) = mpsc::channel();
    let exporters = [
        Exporter::new(disk.spool(stalled.path()))
            .to(to_one)
            .on_notice(move |notice| drop(told.send(notice.to_string()))),
        Exporter::new(SpoolDir::open(other.path()).unwrap()).to(Box::new(Patient { stalls, taken })),
    ];
    let spawned = Exporters::new(exporters).spawn().unwrap();
    assert_eq!(arrived.recv_timeout(LONG).unwrap(), 5);
    let claim = SpoolDir::open(stalled.path()).unwrap().claim_for_export().unwrap();
    drop(let_go);
    let told = troubles.recv_timeout(LONG).unwrap();
    assert!(told.contains("cannot export from the spool"), "{told}");

    let report = spawned.stop(LONG).unwrap();
    let [refused, ended] = &report.spools[..] else { panic!("{report}") };
    assert!(refused.report.troubles[0].contains("cannot export from the spool"), "{report}");
    assert_eq!(ended.report.sinks[0].delivered, 5, "{report}");
    drop(claim);
}

#[test]
fn where_a_claim_is_refused_none_begins_and_those_that_were_had_are_let_go_of() {
    let ((one, _), (taken, _)) = (spool(3), spool(5));
    let seen = Seen::default();
    let exporter = |dir: &Path| {
        let sink = Box::new(seen.told(|_| Outcome::DELIVERED));
        Exporter::new(SpoolDir::open(dir).unwrap()).to(sink)
    };
    let claim = SpoolDir::open(taken.path()).unwrap().claim_for_export().unwrap();
    let refused = Exporters::new([exporter(one.path()), exporter(taken.path())]).spawn();
    assert!(matches!(refused, Err(Error::Spool(spanring_spool::Error::Locked { .. }))), "{refused:?}");
    assert!(seen.taken().is_empty() && !is_claimed(one.path()));
    drop(claim);
}

#[test]
fn a_patient_exporter_waits_for_a_spool_that_another_has_while_the_others_are_delivered() {
    let ((free, _), (taken, _)) = (spool(3), spool(5));
    let (of_free, of_taken) = (mpsc::channel(), mpsc::channel());
    let exporter = |dir: &Path, taken: Sender<usize>| {
        let (_, stalls) = watch::channel(true);
        Exporter::new(SpoolDir::open(dir).unwrap()).to(Box::new(Patient { stalls, taken }))
    };
    let claim = SpoolDir::open(taken.path()).unwrap().claim_for_export().unwrap();
    let exporters = [exporter(free.path(), of_free.0), exporter(taken.path(), of_taken.0)];
    let spawned = Exporters::new(exporters).patient().spawn().unwrap();
    assert_eq!(of_free.1.recv_timeout(LONG).unwrap(), 3);
    assert!(of_taken.1.try_recv().is_err(), "it has no claim");
    drop(claim);
    assert_eq!(of_taken.1.recv_timeout(LONG).unwrap(), 5);
    let report = spawned.stop(LONG).unwrap();
    assert!(!report.is_failure(), "{report}");
}
