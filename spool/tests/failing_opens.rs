//! A recovery by a process that is short of descriptors for a moment, whichever that is: each file that it opens fails to open once. What it could not
//! read is not lost, and is found when it is tried again.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(unsafe_code, reason = "a process is traced by system calls that have no safe form")]

use std::env;
use std::mem::offset_of;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use libc::{c_long, pid_t, user_regs_struct};
use spanring_spool::{Spool, SpoolDir};

/// What this program is to do in place of the test: `agent` or `recover`.
const ROLE: &str = "SPANRING_TEST_ROLE";
const DIR: &str = "SPANRING_TEST_DIR";
/// The process exits so where it may not be traced.
const NOT_TRACED: i32 = 77;
const ENDED: usize = 50;
const OPEN: usize = 3;

#[test]
fn whichever_file_cannot_be_opened_for_a_moment_a_recovery_is_whole_or_is_none() {
    match (env::var(ROLE).as_deref(), env::var_os(DIR)) {
        (Ok("agent"), Some(dir)) => agent(Path::new(&dir)),
        (Ok(_), Some(dir)) => recovering_process(Path::new(&dir)),
        _ => {}
    }
    let mut failed = 0;
    for nth in 1..200 {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("spool");
        assert!(!start("agent", &path).wait().unwrap().success(), "it is to die");
        let Some(end) = fail_one_open(start("recover", &path), nth) else {
            eprintln!("skipped: no process may be traced here");
            return;
        };
        check(&path, nth, &end);
        if !end.has_failed {
            // All were had.
            assert!(end.is_recovered && failed > 3, "{failed} of {nth} opens ended it");
            return;
        }
        failed += usize::from(!end.is_recovered);
    }
    panic!("a recovery opens no 200 files");
}

/// How the process ended.
#[derive(Debug)]
struct End {
    /// Whether it opened so many files that one could fail.
    has_failed: bool,
    is_recovered: bool,
}

/// Recovers once more, and has everything.
fn check(path: &Path, nth: usize, end: &End) {
    let spool = SpoolDir::open(path).unwrap();
    let dead = spool.recorders().unwrap().into_iter().find(|id| id.origin().is_none()).unwrap();
    let report = spool.recover(&dead).unwrap();
    assert!(!report.skipped.is_damage(), "open {nth}, {end:?}: {report}");
    let mut reader = spool.reader(&dead.recovery()).unwrap();
    let block = reader.next_block().unwrap().expect("there is a block");
    let interrupted = block.spans.iter().filter(|span| span.interrupted).count();
    assert_eq!((block.spans.len(), interrupted), (ENDED + OPEN, OPEN), "open {nth}, {end:?}");
    assert!(block.spans.iter().all(|span| span.name == "work"), "open {nth}, {end:?}");
    // The year is this one: without the clock's page they would stand at the beginning of the recorder.
    let created_unix_ns = dead.created_unix_ns();
    assert!(block.spans.iter().all(|span| span.start_unix_ns > created_unix_ns), "open {nth}, {end:?}");
    let resource = spool.resource(&dead.recovery()).unwrap();
    assert!(resource.attributes.iter().any(|(key, _)| key == "service.name"), "open {nth}, {end:?}");
}

fn start(role: &str, path: &Path) -> Child {
    let name = "whichever_file_cannot_be_opened_for_a_moment_a_recovery_is_whole_or_is_none";
    let mut child = Command::new(env::current_exe().unwrap());
    child.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(DIR, path);
    child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Leaves spans in its ring and in its table, and dies.
fn agent(path: &Path) -> ! {
    let linger = Duration::from_secs(3600);
    let _spool = Spool::open(path).service("agent").rings(1, 1).linger(linger).start().unwrap();
    for _ in 0..ENDED {
        drop(spanring::span!("work"));
    }
    let _open: Vec<_> = (0..OPEN).map(|_| spanring::span!("work")).collect();
    // SAFETY: ends the process at once, and nothing is dropped.
    unsafe { libc::raise(libc::SIGKILL) };
    unreachable!("it is dead");
}

/// What is traced: a recovery, and no test.
fn recovering_process(path: &Path) -> ! {
    let spool = SpoolDir::open(path).unwrap();
    let dead = spool.recorders().unwrap().remove(0);
    // SAFETY: asks to be traced by the parent, which waits for it, and stops.
    if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } != 0 {
        exit(NOT_TRACED);
    }
    // SAFETY: stops this thread until the parent lets it go on.
    unsafe { libc::raise(libc::SIGSTOP) };
    exit(i32::from(spool.recover(&dead).is_err()))
}

fn exit(status: i32) -> ! {
    // SAFETY: ends the process, of which nobody needs anything any more.
    unsafe { libc::_exit(status) }
}

/// Lets the process go on, and its `nth` attempt to open a file fail, for want of descriptors. None where it may not be traced.
fn fail_one_open(mut child: Child, nth: usize) -> Option<End> {
    let mut status = 0;
    // The thread that asks to be traced is a child of its own, whose number shows here: nobody else has children in this process.
    // SAFETY: waits for a child of this thread.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
    assert!(pid > 0);
    if !libc::WIFSTOPPED(status) {
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == NOT_TRACED, "it failed: {status:x}");
        return None;
    }
    // SAFETY: the thread is stopped and traced by this one, as below.
    let set = unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, libc::PTRACE_O_TRACESYSGOOD) };
    assert_eq!(set, 0);
    let (mut opens, mut is_within) = (0, false);
    loop {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, 0) }, 0);
        // SAFETY: as above, and waits for it.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }, pid);
        if !libc::WIFSTOPPED(status) {
            break;
        }
        if libc::WSTOPSIG(status) != libc::SIGTRAP | 0x80 {
            continue;
        }
        is_within = !is_within;
        let call = peek(pid, offset_of!(user_regs_struct, orig_rax));
        if is_within && [libc::SYS_open, libc::SYS_openat, libc::SYS_openat2].contains(&call) {
            opens += 1;
            if opens == nth {
                // There is no such call, so nothing is opened; and what it returns is overwritten below.
                poke(pid, offset_of!(user_regs_struct, orig_rax), -1);
            }
        } else if !is_within && opens == nth && call == -1 {
            poke(pid, offset_of!(user_regs_struct, rax), -i64::from(libc::EMFILE));
        }
    }
    // Its thread has ended, and with it the process.
    let process = child.wait().map_or(status, |status| status.into_raw());
    assert!(libc::WIFEXITED(process), "it died: {process:x}");
    Some(End { has_failed: opens >= nth, is_recovered: libc::WEXITSTATUS(process) == 0 })
}

fn peek(pid: pid_t, offset: usize) -> c_long {
    // SAFETY: reads a word of the registers of a thread that is stopped and traced by this thread.
    unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, pid, offset, 0) }
}

fn poke(pid: pid_t, offset: usize, word: c_long) {
    // SAFETY: writes such a word.
    let poked = unsafe { libc::ptrace(libc::PTRACE_POKEUSER, pid, offset, word) };
    assert_eq!(poked, 0);
}
