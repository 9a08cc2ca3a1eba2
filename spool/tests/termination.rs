//! A process that a receiver wants stopped learns it, and so does a forked child, each for itself.
#![expect(unsafe_code, reason = "fork")]

use std::thread;
use std::time::{Duration, Instant};

use spanring_spool::{RecorderId, Spool, SpoolDir};

/// How long the tests wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_process_learns_that_it_is_to_stop_and_its_forked_child_what_it_is_told_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    let spool = Spool::open(&path).start().unwrap();
    let seen = SpoolDir::open(&path).unwrap();
    let parent = spool.id().clone();
    assert_eq!(spool.termination(), None);
    // What was planted stops nobody, and shows.
    let file = seen.recorder_path(&parent).join("termination");
    std::fs::write(&file, "stop").unwrap();
    wait_until("the file was looked at", || spool.health().trouble.is_some());
    let trouble = spool.health().trouble.unwrap();
    assert!(trouble.reason.contains("ends within its header"), "{trouble:?}");
    assert_eq!(spool.termination(), None);
    std::fs::remove_file(&file).unwrap();

    assert!(seen.request_termination(&parent, "for the parent").unwrap());
    wait_until("the parent knows", || spool.termination().is_some());
    assert_eq!(spool.termination().unwrap().reason, "for the parent");
    wait_until("the trouble is over", || spool.health().trouble.is_none());

    // SAFETY: the child calls what a child of a process with threads may, as spanring promises of its own calls, and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the process without the destructors of its parent.
        unsafe { libc::_exit(i32::from(!child_learns_it(&spool, &seen, &parent))) };
    }
    let mut status = 0;
    // SAFETY: waits for the child above, into a number of this function.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child knows what it should");
    drop(spool.stop(PATIENCE));
}

fn child_learns_it(spool: &Spool, seen: &SpoolDir, parent: &RecorderId) -> bool {
    if spool.termination().is_some() {
        return false;
    }
    drop(spanring::span("in the child").root().start());
    let recorders = seen.recorders().unwrap_or_default();
    let Some(own) = recorders.iter().find(|recorder| *recorder != parent) else { return false };
    if spool.termination().is_some() || !seen.request_termination(own, "for the child").is_ok_and(|new| new) {
        return false;
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match spool.termination() {
            Some(termination) => return termination.reason == "for the child",
            None => thread::sleep(Duration::from_millis(2)),
        }
    }
    false
}
