use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::Value;
use crate::lock::RecorderLock;

/// A spool of its own, with the directory that it lies in.
pub(crate) fn new_spool() -> (tempfile::TempDir, SpoolDir) {
    let dir = tempfile::tempdir().unwrap();
    let spool = SpoolDir::create(Arc::new(DiskStorage), &dir.path().join("spool")).unwrap();
    (dir, spool)
}

/// A recorder as its process sets it up, alive until the lock is dropped.
pub(crate) fn new_recorder(spool: &SpoolDir, id: &RecorderId) -> RecorderLock {
    let new = spool.path().join(format!("{}{id}", layout::NEW_PREFIX));
    let storage = spool.storage();
    let lock = RecorderLock::set_up(&**storage, &new, id).unwrap();
    Resource::named("test").store(&**storage, &new).unwrap();
    storage.sync_dir(&new).unwrap();
    storage.rename(&new, &spool.recorder_path(id)).unwrap();
    storage.sync_dir(spool.path()).unwrap();
    lock
}

/// Lets go of a recorder's lock as the death of its process does. Programs that other tests start at this moment hold it
/// as well, until they are loaded; this waits for them.
pub(crate) fn die(lock: RecorderLock) {
    let same_file = File::open(format!("/proc/self/fd/{}", lock.as_raw_fd())).unwrap();
    drop(lock);
    same_file.lock_shared().unwrap();
}

#[test]
fn a_spool_that_was_made_is_opened_and_made_again_by_anybody_to_no_effect() {
    let (dir, spool) = new_spool();
    let again = SpoolDir::create(Arc::new(DiskStorage), spool.path()).unwrap();
    let opened = SpoolDir::open(dir.path().join("spool")).unwrap();
    assert_eq!((opened.path(), again.path()), (spool.path(), spool.path()));
    assert_eq!(fs::read_to_string(spool.path().join(layout::MARKER)).unwrap(), layout::MARKER_TEXT);
    assert_eq!(spool.storage.list(spool.path()).unwrap(), [layout::MARKER]);
    assert_eq!(spool.recorders().unwrap(), []);
    assert_eq!(fs::metadata(spool.path()).unwrap().mode() & 0o7777, 0o700);

    let deep = dir.path().join("a/b/c");
    assert!(SpoolDir::create(Arc::new(DiskStorage), &deep).is_ok());
    assert!(SpoolDir::open(&deep).is_ok());
}

#[test]
fn many_processes_may_make_the_same_spool_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = dir.path().join(round.to_string()).join("spool");
        std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| SpoolDir::create(Arc::new(DiskStorage), &path).map(drop)))
                .collect();
            for maker in makers {
                maker.join().unwrap().unwrap();
            }
        });
        assert_eq!(DiskStorage.list(&path).unwrap(), [layout::MARKER]);
    }
}

#[test]
fn what_is_no_spool_has_an_error_that_names_it_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), b"").unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at("later")).unwrap();
    fs::write(at("later").join(layout::MARKER), "spanring spool 1\n").unwrap();
    fs::create_dir(at("trap")).unwrap();
    symlink("/etc/passwd", at("trap").join(layout::MARKER)).unwrap();
    fs::create_dir(at("pipe")).unwrap();
    mknodat(CWD, at("pipe").join(layout::MARKER), FileType::Fifo, Mode::RWXU, 0).unwrap();

    let cases = [
        ("none", "there is no spool at {}: no such directory"),
        ("none/deeper", "there is no spool at {}: no such directory"),
        ("file", "{} is not a spool: it is no directory"),
        ("file/deeper", "{} is not a spool: it is no directory"),
        ("empty", "{} is not a spool: it has no file spanring-spool"),
        ("later", "{} is not a spool: its file spanring-spool is not of a version known here"),
        ("trap", "{} is not a spool: its file spanring-spool is not of a version known here"),
        ("pipe", "{} is not a spool: its file spanring-spool is not of a version known here"),
    ];
    for (name, text) in cases {
        let path = at(name);
        let error = SpoolDir::open(&path).unwrap_err();
        assert_eq!(error.to_string(), text.replace("{}", path.to_str().unwrap()));
    }
    fs::write(at("empty").join("precious"), b"").unwrap();
    for name in ["empty", "later", "file"] {
        let error = SpoolDir::create(Arc::new(DiskStorage), &at(name)).unwrap_err();
        assert!(matches!(error, Error::NotASpool { .. }), "{error}");
    }
}

#[test]
fn a_spool_without_permission_is_an_error_that_says_so() {
    const CHILD: &str = "SPANRING_TEST_NO_PERMISSION";
    let refused = |path: &Path| {
        let error = SpoolDir::open(path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(error.contains("Permission denied"), "{error}");
    };
    if let Some(path) = std::env::var_os(CHILD) {
        return refused(Path::new(&path));
    }
    let (dir, spool) = new_spool();
    if rustix::process::geteuid().is_root() {
        // Nothing is forbidden to root, so an ordinary user tries, with a copy of this program that it can reach.
        let exe = dir.path().join("tests");
        fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let child = Command::new(exe)
            .args(["spool_dir::tests::a_spool_without_permission_is_an_error_that_says_so", "--exact"])
            .env(CHILD, spool.path())
            .current_dir("/")
            .uid(65_534)
            .gid(65_534)
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    } else {
        fs::set_permissions(spool.path(), fs::Permissions::from_mode(0o000)).unwrap();
        refused(spool.path());
        fs::set_permissions(spool.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn recorders_are_listed_in_the_order_of_creation_with_what_they_were() {
    let (_dir, spool) = new_spool();
    let ids = [3, 1, 2].map(|at| RecorderId::from_parts(at, 9));
    let locks = ids.each_ref().map(|id| new_recorder(&spool, id));
    die(new_recorder(&spool, &ids[1].recovery()));
    let expected = [ids[1].clone(), ids[1].recovery(), ids[2].clone(), ids[0].clone()];
    assert_eq!(spool.recorders().unwrap(), expected);
    assert_eq!(spool.resource(&ids[0]).unwrap().get("service.name"), Some(&Value::Str("test".into())));
    assert_eq!(spool.life(&ids[0]).unwrap(), Life::Alive);
    locks.into_iter().for_each(die);
    assert_eq!(spool.life(&ids[0]).unwrap(), Life::Dead);

    let missing = RecorderId::from_parts(7, 7);
    assert!(matches!(spool.life(&missing), Err(Error::NoSuchRecorder { .. })));
    assert!(matches!(spool.resource(&missing), Err(Error::NoSuchRecorder { .. })));
}

#[test]
fn what_only_looks_like_a_recorder_is_not_listed_and_is_refused_with_a_reason() {
    let (dir, spool) = new_spool();
    let name = |at: u64| RecorderId::from_parts(at, 0);
    let path = |at: u64| spool.recorder_path(&name(at));
    fs::write(path(1), b"a file").unwrap();
    symlink(dir.path(), path(2)).unwrap();
    mknodat(CWD, path(3), FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::create_dir(path(4)).unwrap();
    fs::set_permissions(path(4), fs::Permissions::from_mode(0o770)).unwrap();
    let mut expected = vec![
        (1, "it is no directory"),
        (2, "it is no directory"),
        (3, "it is no directory"),
        (4, "other users may write to it (mode 0770)"),
    ];
    if rustix::process::geteuid().is_root() {
        fs::create_dir(path(5)).unwrap();
        chown(path(5), Some(65_534), None).unwrap();
        expected.push((5, "it belongs to user 65534, and this process runs as user 0"));
    }
    for name in ["..hidden", "lost+found", ".new-x", ".gone-", "0000000000000001-000000000000000G"] {
        fs::create_dir(spool.path().join(name)).unwrap();
    }
    assert_eq!(spool.recorders().unwrap(), []);
    for (at, reason) in expected {
        let text = format!("{} is left alone: {reason}", path(at).display());
        let refused = [
            spool.life(&name(at)).unwrap_err(),
            spool.resource(&name(at)).unwrap_err(),
            spool.remove_delivered(&name(at), &[]).unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.to_string(), text);
        }
    }
}

#[test]
fn a_spool_of_another_user_is_refused_even_to_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (_dir, spool) = new_spool();
    chown(spool.path(), Some(65_534), None).unwrap();
    for refused in [SpoolDir::open(spool.path()), SpoolDir::create(Arc::new(DiskStorage), spool.path())] {
        let refusal = Refusal::ForeignOwner { owner: 65_534, user: 0 };
        assert!(matches!(refused, Err(Error::Refused { refusal: found, .. }) if found == refusal));
    }
}

#[test]
fn one_exporter_at_a_time_has_a_spool() {
    let (_dir, spool) = new_spool();
    let claim = spool.claim_for_export().unwrap();
    let other = SpoolDir::open(spool.path()).unwrap();
    let error = other.claim_for_export().unwrap_err();
    let path = spool.path().join(layout::EXPORTER_LOCK);
    let text = format!("cannot export from the spool: {} is locked by another process", path.display());
    assert_eq!(error.to_string(), text);
    drop(claim);
    drop(other.claim_for_export().unwrap());
}

#[test]
fn whoever_looks_for_a_claim_writes_nothing_and_keeps_nobody_from_it() {
    let (_dir, spool) = new_spool();
    let names = || spool.storage().list(spool.path()).unwrap();
    let before = names();
    assert!(!spool.is_claimed_for_export().unwrap());
    assert_eq!(names(), before);
    let claim = spool.claim_for_export().unwrap();
    assert!(spool.is_claimed_for_export().unwrap());
    drop(claim);
    assert!(!spool.is_claimed_for_export().unwrap());

    // A look that lasts, and ends while somebody claims.
    let look = File::open(spool.path().join(layout::EXPORTER_LOCK)).unwrap();
    look.lock_shared().unwrap();
    assert!(!spool.is_claimed_for_export().unwrap());
    let ending = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(5));
        drop(look);
    });
    drop(spool.claim_for_export().unwrap());
    ending.join().unwrap();
    assert_eq!(spool.recorders().unwrap(), []);
}
