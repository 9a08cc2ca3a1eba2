//! Recovery by a process that is short of descriptors, in the middle of it: what it cannot open is not lost, and is found when it is tried again.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;
use std::{env, iter};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use spanring_spool::{Spool, SpoolDir};

/// What this program is to do in place of the test: `agent`, or `recover` with so many descriptors left.
const ROLE: &str = "SPANRING_TEST_ROLE";
const DIR: &str = "SPANRING_TEST_DIR";
/// More descriptors than a recovery has open at once.
const ENOUGH: usize = 32;
const ENDED: usize = 50;
const OPEN: usize = 3;

#[test]
fn however_few_descriptors_there_are_a_recovery_is_whole_or_is_none() {
    let (role, dir) = (env::var(ROLE), env::var_os(DIR));
    match (role.as_deref(), dir) {
        (Ok("agent"), Some(dir)) => agent(Path::new(&dir)),
        (Ok(left), Some(dir)) => recover_with(left.parse().unwrap(), Path::new(&dir)),
        _ => {
            let enough = (0..ENOUGH).find(|&left| recovers_with(left));
            assert!(enough.is_some_and(|enough| enough > 1), "{enough:?} are enough");
        }
    }
}

/// Whether so many descriptors are enough. Where they are not, nothing may have come of it.
fn recovers_with(left: usize) -> bool {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("spool");
    assert!(!run("agent", &path).success(), "it is to die");
    let is_enough = run(&left.to_string(), &path).success();

    let spool = SpoolDir::open(&path).unwrap();
    let dead = spool.recorders().unwrap().into_iter().find(|id| id.origin().is_none()).unwrap();
    let report = spool.recover(&dead).unwrap();
    assert_eq!(report.already_done, is_enough, "with {left}: {report}");
    let mut reader = spool.reader(&dead.recovery()).unwrap();
    let block = reader.next_block().unwrap().unwrap();
    let interrupted = block.spans.iter().filter(|span| span.interrupted).count();
    assert_eq!((block.spans.len(), interrupted), (ENDED + OPEN, OPEN), "with {left}");
    assert_eq!(block.spans.iter().map(|span| &*span.name).collect::<BTreeSet<_>>(), BTreeSet::from(["work"]));
    assert_eq!(spool.resource(&dead.recovery()).unwrap().attributes[0].0, "service.name");
    is_enough
}

fn run(role: &str, path: &Path) -> ExitStatus {
    let name = "however_few_descriptors_there_are_a_recovery_is_whole_or_is_none";
    let mut child = Command::new(env::current_exe().unwrap());
    child.args([name, "--exact", "--nocapture"]).env(ROLE, role).env(DIR, path);
    child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    child.status().unwrap()
}

/// Leaves spans in its ring and in its table, and dies.
fn agent(path: &Path) {
    let linger = Duration::from_secs(3600);
    let _spool = Spool::open(path).service("agent").rings(1, 1).linger(linger).start().unwrap();
    for _ in 0..ENDED {
        drop(spanring::span!("work"));
    }
    let _open: Vec<_> = (0..OPEN).map(|_| spanring::span!("work")).collect();
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    std::process::abort();
}

/// Recovers what is there, while no more than so many files can be opened at once. Panics where it cannot.
fn recover_with(left: usize, path: &Path) {
    let spool = SpoolDir::open(path).unwrap();
    let dead = spool.recorders().unwrap().remove(0);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) }).unwrap();
    let mut others: Vec<File> = iter::from_fn(|| File::open("/dev/null").ok()).collect();
    others.truncate(others.len() - left);
    assert!(!spool.recover(&dead).unwrap().skipped.is_damage());
}
