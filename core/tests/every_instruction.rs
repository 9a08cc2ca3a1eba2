//! A recording process is stopped after every single instruction, and its files are read as a recovery would read them if
//! it had been killed there: each span is in flight, or in a ring, or dropped, at every moment exactly one of these.
//!
//! Random kills seldom hit the few nanoseconds between publishing a record and freeing its cell; this hits all of them. Once with options that
//! leave the short way of recording open, and once with some that close it.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(unsafe_code, reason = "a process is traced by system calls that have no safe form")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use spanring::control::CONTROL_FILE_LEN;
use spanring::dictionary::DICTIONARY_FILE_LEN;
use spanring::image::{Image, LaneImage};
use spanring::mapping::Mapping;
use spanring::record::{Body, Entry, Record, Time};
use spanring::recorder::{Limits, Options, Recorder};
use spanring::{Ended, lane_file_len};

const RING_BYTES: usize = 4 << 10;
const LANE_LEN: usize = 4096 + 256 * 1024 + RING_BYTES;
const FILES: [&str; 2] = ["lane-0", "lane-1"];
/// Where the ring begins, behind the header and the cells.
const RING_AT: usize = LANE_LEN - RING_BYTES;
/// The scenario uses a few cells at most, and a lane's first cells first: behind this the files do not change before the ring.
const USED: usize = 16 << 10;
/// Where a lane counts the spans that ended into its ring: see the head of `lane.rs`.
const ENDED_AT: usize = 136;

fn map(dir: &Path, name: &str, len: usize) -> Mapping {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(name)).unwrap();
    file.set_len(len as u64).unwrap();
    Mapping::of_file(&file, len).unwrap()
}

/// What the traced process does between its two stops.
fn scenario(recorder: &'static Recorder) {
    // As nearly all are.
    let run = spanring::span("run").root().start();
    for _ in 0..2 {
        let call = run.child("call").start();
        call.set("number", 7);
        call.set("score", 0.5);
        call.set("text", "sixteen bytes ..");
        call.set("flag", true);
        call.event("first token");
        assert_eq!(call.end(), Ended::Recorded);
    }
    assert_eq!(run.end(), Ended::Recorded);
    // Small, and ended where it was started.
    let span = spanring::span("small").start();
    span.set("number", 7);
    span.set_named("a key made at run time", "text");
    span.event_with("event", |event| event.set("attempt", 2));
    span.link_with(span.context(), |link| link.set("why", true));
    span.error("message");
    assert_eq!(span.end(), Ended::Recorded);
    // Pending, then started and announced; and one that never is. Its limit on attributes is reached, so that they are counted.
    let pending = spanring::span("pending").prepare();
    pending.set_display("display", &format_args!("{} of {}", 1, 2));
    let started = pending.start();
    for _ in 0..6 {
        started.set("flag", true);
    }
    assert_eq!(started.complete(), Ended::Recorded);
    drop(spanring::span("never started").prepare());
    // Two cells, so that there is a chain to be copied and freed.
    let parent = spanring::span_named("a name made at run time").root().start();
    parent.set("filling", "x".repeat(900));
    parent.set_value("value", &(1, "two", [3.0]));
    let child = parent.child("child").start();
    assert_eq!(parent.end(), Ended::Recorded);
    assert_eq!(child.end(), Ended::Recorded);
    // Until the ring is full, so that some are dropped.
    let mut dropped = 0;
    while dropped < 3 {
        let span = spanring::span("many").start();
        span.set("filling", "y".repeat(300));
        if let Ended::Dropped(_) = span.end() {
            dropped += 1;
        }
    }
    // Ended into the ring that threads share which hold no lane, while its cell belongs to another.
    let remote = spanring::span("remote").start();
    remote.set("number", 8);
    recorder.uninstall();
    assert_eq!(remote.end(), Ended::Recorded);
}

/// Sets up, waits to be traced, does what the scenario says, and exits without unwinding into the test runner.
fn traced(dir: &Path, options: Options) -> ! {
    let control = map(dir, "control", CONTROL_FILE_LEN);
    let recorder = Recorder::new(
        options,
        spanring::Hooks::default(),
        control,
        map(dir, "callsites", DICTIONARY_FILE_LEN),
    )
    .unwrap();
    assert_eq!(LANE_LEN, lane_file_len(RING_BYTES));
    for name in FILES {
        recorder.add_lane(map(dir, name, LANE_LEN)).unwrap();
    }
    recorder.install().unwrap();
    // SAFETY: asks to be traced by the parent, which waits for it, and stops.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    // SAFETY: stops this process until the parent lets it go on.
    unsafe { libc::raise(libc::SIGSTOP) };
    let worked = std::panic::catch_unwind(AssertUnwindSafe(|| scenario(recorder))).is_ok();
    // SAFETY: ends the process.
    unsafe { libc::_exit(if worked { 0 } else { 1 }) }
}

#[test]
fn a_kill_after_any_instruction_finds_every_span_in_exactly_one_place() {
    finds_every_span(Options { ring_bytes: RING_BYTES, ..Options::default() });
}

#[test]
fn a_kill_after_any_instruction_of_the_long_way_does_too() {
    let limits = Limits { attributes: 4, ..Limits::default() };
    finds_every_span(Options { ring_bytes: RING_BYTES, live: true, limits, ..Options::default() });
}

fn finds_every_span(options: Options) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // SAFETY: the child runs on one thread, on what `traced` needs, and never returns here.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        traced(dir.path(), options);
    }
    let mut status = 0;
    // SAFETY: waits for the child of this thread.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    if !libc::WIFSTOPPED(status) {
        assert!(libc::WIFEXITED(status), "the traced process died: {status:x}");
        panic!("the process could not be traced");
    }
    let files = FILES.map(|name| Snapshot::of(dir.path().join(name)));
    let mut judge = Judge { files, seen: BTreeMap::new(), gone: BTreeSet::new(), dropped: 0, looks: 0 };
    let mut steps = 0_u64;
    judge.look();
    loop {
        // SAFETY: the child is stopped and traced by this thread.
        let stepped = unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, child, 0, 0) };
        assert_eq!(stepped, 0, "a traced process can be stepped");
        // SAFETY: as above.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        if !libc::WIFSTOPPED(status) {
            break;
        }
        steps += 1;
        if judge.has_changed() {
            judge.look();
        }
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the scenario failed: {status:x}");
    eprintln!(
        "{steps} instructions, {} different contents of the files, {} dropped",
        judge.looks, judge.dropped
    );
    assert_eq!(judge.dropped, 3);
    assert!(judge.files.iter().all(Snapshot::is_complete));
    assert!(judge.seen.values().all(|state| *state == State::Ended), "{:?}", judge.seen);
    assert!(judge.seen.len() > 7 && judge.looks > 300);
}

/// The content of a file, and how it was when it was looked at last.
struct Snapshot {
    file: File,
    bytes: Vec<u8>,
    next: Vec<u8>,
}

impl Snapshot {
    fn of(path: PathBuf) -> Self {
        let file = File::open(path).unwrap();
        let mut bytes = vec![0; LANE_LEN];
        file.read_exact_at(&mut bytes, 0).unwrap();
        Snapshot { file, next: bytes.clone(), bytes }
    }

    fn has_changed(&mut self) -> bool {
        let parts = [0..USED, RING_AT..LANE_LEN];
        for part in &parts {
            self.file.read_exact_at(&mut self.next[part.clone()], part.start as u64).unwrap();
        }
        let has_changed = parts.iter().any(|part| self.next[part.clone()] != self.bytes[part.clone()]);
        for part in parts.into_iter().filter(|_| has_changed) {
            self.bytes[part.clone()].copy_from_slice(&self.next[part]);
        }
        has_changed
    }

    /// Whether what is looked at is all that there is.
    fn is_complete(&self) -> bool {
        let mut all = vec![0; LANE_LEN];
        self.file.read_exact_at(&mut all, 0).unwrap();
        all == self.bytes
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In flight, with so many entries.
    InFlight(usize),
    Ended,
}

struct Judge {
    files: [Snapshot; 2],
    /// The spans that were seen and not dropped.
    seen: BTreeMap<[u8; 8], State>,
    gone: BTreeSet<[u8; 8]>,
    dropped: u64,
    looks: u64,
}

impl Judge {
    fn has_changed(&mut self) -> bool {
        self.files.iter_mut().fold(false, |changed, file| file.has_changed() | changed)
    }

    fn look(&mut self) {
        self.looks += 1;
        let [shared, lane] = self.files.each_ref().map(|file| &file.bytes);
        let mut image = Image::default();
        image.add_lane(shared).unwrap();
        image.add_lane(lane).unwrap();
        let tables = image.tables();
        assert_eq!(tables.malformed, 0);

        let counted =
            |lane: &[u8]| lane[ENDED_AT..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let counted = counted(shared) + counted(lane);
        let mut now = BTreeMap::new();
        let mut ended = 0;
        for record in image.lanes().flat_map(|lane: &LaneImage<'_>| lane.records(0)) {
            if let (Record::Ended { body, .. }, _) = record.expect("published records are whole") {
                ended += 1;
                entries(&body);
                let twice = now.insert(body.head.span_id.to_bytes(), State::Ended);
                assert_eq!(twice, None, "a span is in the rings twice");
            }
        }
        for in_flight in &tables.in_flight {
            let body = Body::parse(&in_flight.body).expect("what is in flight is whole");
            let state = State::InFlight(entries(&body));
            let twice = now.insert(body.head.span_id.to_bytes(), state);
            assert_eq!(twice, None, "a span is in flight and in a ring");
        }
        assert!(counted <= ended && ended <= counted + 1, "{ended} ended, {counted} are counted");
        let in_flight = tables.in_flight.len() as u64;
        assert_eq!(
            tables.started,
            ended + in_flight + tables.dropped_ring_full,
            "every span is in one place"
        );

        for (id, before) in &self.seen {
            match (before, now.get(id)) {
                (State::Ended, after) => assert_eq!(after, Some(&State::Ended), "an ended span stays"),
                (State::InFlight(before), Some(State::InFlight(after))) => {
                    assert!(after >= before, "what was set stays set: {before} entries, then {after}");
                }
                (State::InFlight(_), Some(State::Ended)) => {}
                (State::InFlight(_), None) => {
                    assert!(self.gone.insert(*id));
                    self.dropped += 1;
                }
            }
        }
        assert_eq!(self.dropped, tables.dropped_ring_full, "only dropped spans disappear");
        assert!(now.keys().all(|id| !self.gone.contains(id)), "a dropped span stays away");
        self.seen = now;
    }
}

fn entries(body: &Body<'_>) -> usize {
    body.entries().fold(0, |count, entry| {
        let entry = entry.expect("published entries are whole");
        if let Entry::Started { time, .. } = entry {
            let is_said = !matches!(time, Time::Ticks(0) | Time::UnixNs(0));
            assert!(is_said, "what says that a span has started says when");
        }
        count + 1
    })
}
