//! Recording makes no system calls: a process is traced while one of its threads records, with the spool's threads at work
//! beside it, and every call of that thread is seen.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(unsafe_code, reason = "a process is traced by system calls that have no safe form")]

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use spanring::{Ended, Kind, Span, Tokens};
use spanring_spool::{Level, Spool};

const MINUTE: Duration = Duration::from_secs(60);
const CHILD: &str = "SPANRING_SYSTEM_CALLS_CHILD";
/// The process exits so where it may not be traced.
const NOT_TRACED: i32 = 77;
/// Half of a ring is not filled by a burst: the drain is woken from there on.
const RING_BYTES: usize = 32 << 20;
/// Of four spans each.
const ROUNDS: usize = 3_000;
/// How many spans of this length in bytes fill the ring twice.
const FILLING_LEN: usize = 32 << 10;
const FILLING: usize = 2 * RING_BYTES / FILLING_LEN;
/// A call that nothing else makes, which stands before and after each burst.
const MARK: i64 = libc::SYS_getppid;

#[test]
fn a_burst_of_spans_makes_no_system_call() {
    if let Ok(dir) = std::env::var(CHILD) {
        recording_process(Path::new(&dir));
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["a_burst_of_spans_makes_no_system_call", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let Some(calls) = calls_of(child) else {
        eprintln!("skipped: no process may be traced here");
        return;
    };
    let mut bursts = calls.split(|&call| call == MARK);
    // What comes before the first burst and behind the last is not of interest.
    let (Some(_), Some(_)) = (bursts.next(), bursts.next_back()) else { panic!("no marks: {calls:?}") };
    let mut bursts: VecDeque<_> = bursts.collect();
    assert_eq!(bursts.pop_front(), Some(&[libc::SYS_getpid][..]), "what is traced shows");
    assert_eq!(bursts.pop_front(), Some(&[][..]), "recording makes no system calls");
    assert_eq!(bursts.pop_front(), Some(&[libc::SYS_getpid][..]), "among spans too");
    let overflowing = bursts.pop_front().expect("a burst that fills the ring");
    eprintln!("{} calls to wake the drain, for a ring that was filled twice", overflowing.len());
    assert!(overflowing.iter().all(|&call| call == libc::SYS_futex), "{overflowing:?}");
    assert_eq!(bursts.pop_front(), None);
}

/// What is traced, one thread of it: bursts between marks, and no test.
fn recording_process(dir: &Path) -> ! {
    let spool = Spool::open(dir.join("spool")).ring_bytes(RING_BYTES).rings(1, 1).start().unwrap();
    let text = "x".repeat(200);
    let run = spanring::span("run").root().start();
    // Takes the lane, and enters names and keys.
    round(&run, &text);
    spool.flush(Level::Spooled, MINUTE).unwrap();

    // SAFETY: asks to be traced by the parent, which waits for it, and stops.
    if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } != 0 {
        exit(NOT_TRACED);
    }
    // SAFETY: stops this thread until the parent lets it go on.
    unsafe { libc::raise(libc::SIGSTOP) };
    mark();
    some_call();
    mark();
    burst(&run, &text);
    mark();
    round(&run, &text);
    some_call();
    round(&run, &text);
    mark();
    let filling = "y".repeat(FILLING_LEN);
    for _ in 0..FILLING {
        // It may be dropped where the drain does not keep up.
        run.child("filling").start().set("filling", &filling);
    }
    mark();
    drop(run);
    let ledger = spool.stop(MINUTE).ledger;
    let recorded = 1 + 4 * (ROUNDS as u64 + 3) + FILLING as u64;
    let is_whole = ledger.started == recorded && ledger.spooled + ledger.dropped.total() == recorded;
    exit(if is_whole && ledger.dropped.total() <= FILLING as u64 { 0 } else { 1 });
}

fn burst(run: &Span, text: &str) {
    for _ in 0..ROUNDS {
        round(run, text);
    }
}

/// Four spans, with what agents record.
fn round(run: &Span, text: &str) {
    let step = run.child("step").start();
    let entered = step.enter();
    let tool = spanring::span("execute_tool").kind(Kind::Tool).start();
    tool.set("attempt", 1).set("score", 0.5).set("call_id", "0123456789abcdef").set("cached", true);
    tool.set_value("arguments", &("query", [1, 2, 3]));
    assert_eq!(tool.end(), Ended::Recorded);
    let call = run.llm("gpt-4o").provider("openai").temperature(0.2).max_tokens(100).start();
    call.event("first token").tokens(Tokens::new(812, 94));
    call.event_with("chunk", |event| event.set("size", 17)).link(step.context());
    call.response_content(text);
    assert_eq!(call.complete(), Ended::Recorded);
    let failed = spanring::span("failed").start();
    // Beyond a cell, so that there is a chain.
    (0..8).for_each(|_| _ = failed.set("output", text));
    assert_eq!(failed.fail(io::Error::from(io::ErrorKind::NotFound)), Ended::Recorded);
    drop(entered);
    assert_eq!(step.end(), Ended::Recorded);
}

fn mark() {
    // SAFETY: it asks for a number.
    unsafe { libc::getppid() };
}

fn some_call() {
    // SAFETY: as above.
    unsafe { libc::getpid() };
}

fn exit(status: i32) -> ! {
    // SAFETY: ends the process, of which nobody needs anything any more.
    unsafe { libc::_exit(status) }
}

/// The system calls that a thread of the process makes from its stop until the last mark; none where it may not be traced.
fn calls_of(mut child: Child) -> Option<Vec<i64>> {
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
    let (mut calls, mut is_within) = (Vec::new(), false);
    let mut marks = 0;
    while marks < 5 {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, 0) }, 0);
        // SAFETY: as above, and waits for it.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }, pid);
        assert!(libc::WIFSTOPPED(status), "the process died: {status:x}");
        if libc::WSTOPSIG(status) != libc::SIGTRAP | 0x80 {
            continue;
        }
        is_within = !is_within;
        if is_within {
            let call = number_of_call(pid);
            marks += usize::from(call == MARK);
            calls.push(call);
        }
    }
    // SAFETY: as above; from here on it runs by itself.
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0) }, 0);
    assert!(child.wait().unwrap().success(), "spans were lost");
    Some(calls)
}

fn number_of_call(pid: libc::pid_t) -> i64 {
    let offset = std::mem::offset_of!(libc::user_regs_struct, orig_rax);
    // SAFETY: reads a word of the registers of a thread that is stopped and traced by this thread.
    unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, pid, offset, 0) }
}
