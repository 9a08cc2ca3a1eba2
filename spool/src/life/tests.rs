use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::spool_dir::SpoolDir;
use crate::spool_dir::tests::{die, new_recorder, new_spool};
use crate::storage::DiskStorage;

const CHILD_SPOOL: &str = "SPANRING_TEST_LIFE_SPOOL";
const CHILD_RECORDER: &str = "SPANRING_TEST_LIFE_RECORDER";
const CHILD_RECOVERS: &str = "SPANRING_TEST_LIFE_RECOVERS";

/// Another process with a part in a test, until it is killed.
struct Process(Child);

impl Process {
    /// A process that sets up a recorder and lives.
    fn records(spool: &SpoolDir, id: &RecorderId) -> Self {
        Self::spawn(spool, id, false)
    }

    /// A process that proves a recorder's death, and keeps the proof.
    fn recovers(spool: &SpoolDir, id: &RecorderId) -> Self {
        Self::spawn(spool, id, true)
    }

    fn spawn(spool: &SpoolDir, id: &RecorderId, recovers: bool) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["life::tests::child", "--exact", "--nocapture", "--include-ignored"]);
        command.env(CHILD_SPOOL, spool.path()).env(CHILD_RECORDER, id.as_str());
        if recovers {
            command.env(CHILD_RECOVERS, "yes");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let ready =
            BufReader::new(child.stdout.take().unwrap()).lines().any(|line| line.unwrap().ends_with("ready"));
        assert!(ready, "the child failed");
        Process(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
#[ignore = "a process of other tests"]
fn child() {
    let Some(spool) = env::var_os(CHILD_SPOOL) else { return };
    let spool = SpoolDir::open(spool).unwrap();
    let id = RecorderId::parse(&env::var(CHILD_RECORDER).unwrap()).unwrap();
    let held: Box<dyn std::any::Any> = if env::var_os(CHILD_RECOVERS).is_some() {
        Box::new(DeathProof::obtain(&DiskStorage, &spool.recorder_path(&id), &id).unwrap())
    } else {
        Box::new(new_recorder(&spool, &id))
    };
    std::io::Write::write_all(&mut std::io::stdout().lock(), b"\nready\n").unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(held);
}

/// A recorder whose process died, with its lock file's record changed.
fn dead_with(change: impl FnOnce(&mut LockRecord)) -> (tempfile::TempDir, SpoolDir, RecorderId) {
    let (dir, spool) = new_spool();
    let id = RecorderId::generate().unwrap();
    die(new_recorder(&spool, &id));
    let path = spool.recorder_path(&id).join(layout::LOCK);
    let mut record = LockRecord::read(&File::open(&path).unwrap()).unwrap().unwrap();
    change(&mut record);
    fs::write(&path, record.encode()).unwrap();
    (dir, spool, id)
}

fn doubt_of(spool: &SpoolDir, id: &RecorderId) -> Doubt {
    let Life::Unproven { doubt } = spool.life(id).unwrap() else {
        panic!("{:?}", spool.life(id));
    };
    let proof = DeathProof::obtain(&DiskStorage, &spool.recorder_path(id), id);
    assert!(matches!(proof, Err(Error::Unproven { doubt: found, .. }) if found == doubt));
    doubt
}

#[test]
fn a_recorder_lives_until_its_process_is_killed() {
    let (_dir, spool) = new_spool();
    let id = RecorderId::generate().unwrap();
    let path = spool.recorder_path(&id);
    let process = Process::records(&spool, &id);
    for _ in 0..3 {
        assert_eq!(spool.life(&id).unwrap(), Life::Alive);
        let proof = DeathProof::obtain(&DiskStorage, &path, &id);
        assert!(matches!(proof, Err(Error::StillAlive { recorder }) if recorder == id));
    }
    process.kill();
    assert_eq!(spool.life(&id).unwrap(), Life::Dead);
    assert_eq!(*DeathProof::obtain(&DiskStorage, &path, &id).unwrap().life(), Life::Dead);
}

#[test]
fn one_process_recovers_and_its_death_lets_another_do_it() {
    let (_dir, spool) = new_spool();
    let id = RecorderId::generate().unwrap();
    let path = spool.recorder_path(&id);
    Process::records(&spool, &id).kill();
    let recoverer = Process::recovers(&spool, &id);
    assert_eq!(spool.life(&id).unwrap(), Life::Alive);
    assert!(matches!(DeathProof::obtain(&DiskStorage, &path, &id), Err(Error::StillAlive { .. })));
    recoverer.kill();
    assert!(DeathProof::obtain(&DiskStorage, &path, &id).is_ok());
}

#[test]
fn programs_that_the_process_started_do_not_keep_it_alive() {
    let (_dir, spool) = new_spool();
    let id = RecorderId::generate().unwrap();
    let lock = new_recorder(&spool, &id);
    let mut program = Command::new("sleep").arg("60").spawn().unwrap();
    die(lock);
    assert!(program.try_wait().unwrap().is_none());
    assert_eq!(spool.life(&id).unwrap(), Life::Dead);
    program.kill().unwrap();
    program.wait().unwrap();
}

#[test]
fn those_who_look_do_not_prevent_a_proof() {
    let (_dir, spool) = new_spool();
    let id = RecorderId::generate().unwrap();
    die(new_recorder(&spool, &id));
    let path = spool.recorder_path(&id);
    let looks = File::open(path.join(layout::LOCK)).unwrap();
    looks.lock_shared().unwrap();
    thread::scope(|scope| {
        let proof = scope.spawn(|| DeathProof::obtain(&DiskStorage, &path, &id));
        thread::sleep(TRY_INTERVAL * 5);
        drop(looks);
        assert_eq!(*proof.join().unwrap().unwrap().life(), Life::Dead);
    });
}

#[test]
fn a_recorder_of_another_boot_is_dead_and_its_memory_not_trusted() {
    let (_dir, spool, id) = dead_with(|record| {
        record.boot = BootId([1; 16]);
        // Each boot numbers its devices anew.
        record.file.device += 1;
    });
    assert_eq!(spool.life(&id).unwrap(), Life::DeadInAnotherBoot);
    let proof = DeathProof::obtain(&DiskStorage, &spool.recorder_path(&id), &id).unwrap();
    assert_eq!(*proof.life(), Life::DeadInAnotherBoot);
}

#[test]
fn a_copy_of_a_spool_and_a_view_into_a_container_prove_nothing() {
    let (_dir, spool, id) = dead_with(|record| record.file.device += 1);
    let doubt = doubt_of(&spool, &id);
    assert!(matches!(doubt, Doubt::OtherFile { recorded, found } if recorded.device == found.device + 1));
    assert!(doubt.to_string().contains("container"), "{doubt}");

    for boot in [None, Some(BootId([1; 16]))] {
        let (_dir, spool, id) = dead_with(|record| {
            record.file.inode += 1;
            record.boot = boot.unwrap_or(record.boot);
        });
        assert!(matches!(doubt_of(&spool, &id), Doubt::OtherFile { .. }));
    }
}

#[test]
fn a_lock_file_that_is_missing_damaged_or_of_another_recorder_proves_nothing() {
    let (_dir, spool, id) = dead_with(|_| {});
    let path = spool.recorder_path(&id).join(layout::LOCK);
    assert_eq!(spool.life(&id).unwrap(), Life::Dead);
    fs::write(&path, b"").unwrap();
    assert_eq!(doubt_of(&spool, &id), Doubt::UnreadableLock);
    fs::remove_file(&path).unwrap();
    assert_eq!(doubt_of(&spool, &id), Doubt::NoLock);

    let other = RecorderId::from_parts(1, 1);
    let (_dir, spool, id) = dead_with(|record| record.recorder = other.clone());
    assert_eq!(doubt_of(&spool, &id), Doubt::OtherRecorder { recorded: other });
}

#[test]
fn a_lock_file_that_is_a_link_or_a_pipe_is_an_error() {
    let (dir, spool, id) = dead_with(|_| {});
    let path = spool.recorder_path(&id).join(layout::LOCK);
    let moved = dir.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &path).unwrap();
    assert!(matches!(spool.life(&id), Err(Error::Io { .. })));
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    assert!(matches!(spool.life(&id), Err(Error::Io { .. })));
}

#[test]
fn a_recorder_that_is_over_says_so_whether_its_process_lives_or_not() {
    for (marker, life) in [(layout::CLOSED, Life::Closed), (layout::RECOVERED, Life::Recovered)] {
        let (_dir, spool) = new_spool();
        let id = RecorderId::generate().unwrap();
        let lock = new_recorder(&spool, &id);
        fs::write(spool.recorder_path(&id).join(marker), b"").unwrap();
        assert_eq!(spool.life(&id).unwrap(), life);
        die(lock);
        assert_eq!(spool.life(&id).unwrap(), life);
        let proof = DeathProof::obtain(&DiskStorage, &spool.recorder_path(&id), &id).unwrap();
        assert_eq!(*proof.life(), life);
        drop(proof);
        fs::remove_file(spool.recorder_path(&id).join(layout::LOCK)).unwrap();
        assert_eq!(spool.life(&id).unwrap(), life);
    }
}

#[test]
fn a_lock_file_that_was_replaced_is_not_mistaken_for_the_one_that_is_held() {
    let (_dir, spool, id) = dead_with(|_| {});
    let dir = spool.recorder_path(&id);
    let path = dir.join(layout::LOCK);
    let held = File::open(&path).unwrap();
    fs::copy(&path, dir.join("copy")).unwrap();
    fs::rename(dir.join("copy"), &path).unwrap();
    assert_eq!(judge(&held, &dir, &id).unwrap(), Life::Unproven { doubt: Doubt::Replaced });
    fs::rename(&dir, dir.with_file_name(format!("{}{id}", layout::GONE_PREFIX))).unwrap();
    assert!(matches!(judge(&held, &dir, &id), Err(Error::NoSuchRecorder { .. })));
}
