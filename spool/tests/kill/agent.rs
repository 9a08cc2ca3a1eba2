//! The agent that is killed: threads that start, fill and end spans as fast as they can, in every way that there is.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use spanring::{Context, Ended, Overflow, Span};
use spanring_spool::Spool;

use crate::content;
use crate::witness::{DROPPED, NOT_RECORDING, RECORDED, SET, STARTED, WITHOUT_CELL, Witness};

/// How an agent works; carried to the child process in an environment variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    pub(crate) ring_bytes: usize,
    pub(crate) blocks: bool,
    pub(crate) forks: bool,
    pub(crate) live: bool,
}

impl Plan {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Plan {
            seed,
            threads: 1 + random.below(4),
            // Most are so small that they wrap all the time; some have room for 100 KB.
            ring_bytes: [4 << 10, 8 << 10, 32 << 10, 1 << 20][random.below(4)],
            blocks: random.below(2) == 0,
            forks: random.below(5) == 0,
            live: random.below(3) == 0,
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        Plan::from_seed(text.parse().expect("the plan is a seed"))
    }
}

pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).expect("below the limit")
    }
}

/// A span on its way to the thread that ends it.
struct Sent {
    span: Span,
}

/// Works until it is killed.
pub(crate) fn run(dir: &Path, plan: Plan) -> ! {
    let overflow = if plan.blocks { Overflow::Block(Duration::from_secs(10)) } else { Overflow::Drop };
    let spool = Spool::open(dir.join("spool"))
        .service("kill test")
        .ring_bytes(plan.ring_bytes)
        .overflow(overflow)
        .live(plan.live)
        .linger(Duration::from_millis(3))
        .start()
        .expect("the spool starts");
    let channels: Vec<(Sender<Sent>, Receiver<Sent>)> = (0..plan.threads).map(|_| channel()).collect();
    let senders: Vec<_> = channels.iter().map(|(sender, _)| sender.clone()).collect();
    // Spans of threads that have ended lie here, open, until the kill.
    let left_open = Arc::new(Mutex::new(Vec::new()));
    for (number, (_, receiver)) in channels.into_iter().enumerate() {
        let (dir, senders, left_open) = (dir.to_owned(), senders.clone(), left_open.clone());
        thread::spawn(move || {
            let mut worker = Worker::new(dir, plan, number, senders, receiver);
            // Each life of a thread ends with spans open; the next goes on where it stopped.
            for life in 0.. {
                let left_open = left_open.clone();
                worker = thread::spawn(move || {
                    worker.work(if life < 3 { 40 } else { u64::MAX });
                    left_open.lock().expect("no one panics").append(&mut worker.open);
                    worker
                })
                .join()
                .expect("no worker panics");
            }
        });
    }
    if plan.forks {
        thread::sleep(Duration::from_millis(2));
        fork(dir, plan);
    }
    std::fs::write(dir.join("ready"), b"").expect("the parent can be told");
    let _spool = spool;
    loop {
        thread::park();
    }
}

struct Worker {
    plan: Plan,
    number: usize,
    random: Random,
    witness: Witness,
    senders: Vec<Sender<Sent>>,
    receiver: Receiver<Sent>,
    next_index: u64,
    open: Vec<Span>,
}

impl Worker {
    fn new(
        dir: PathBuf,
        plan: Plan,
        number: usize,
        senders: Vec<Sender<Sent>>,
        receiver: Receiver<Sent>,
    ) -> Self {
        Worker {
            plan,
            number,
            random: Random((plan.seed << 8 | number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            witness: Witness::create(&dir, number),
            senders,
            receiver,
            next_index: 0,
            open: Vec::new(),
        }
    }

    fn work(&mut self, spans: u64) {
        for _ in 0..spans {
            if !self.witness.has_room() {
                loop {
                    thread::park();
                }
            }
            self.end_what_was_sent();
            self.start();
            if self.open.len() > 6 || self.random.below(3) == 0 {
                let at = self.random.below(self.open.len());
                let span = self.open.swap_remove(at);
                if self.plan.threads > 1 && self.random.below(4) == 0 {
                    let to = self.random.below(self.plan.threads);
                    // Where that thread is gone for a moment, the span waits in its channel.
                    self.senders[to].send(Sent { span }).expect("receivers live as long as workers");
                } else {
                    self.end(span);
                }
            }
        }
    }

    fn end_what_was_sent(&mut self) {
        loop {
            match self.receiver.try_recv() {
                Ok(Sent { span }) => self.end(span),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => unreachable!("every worker holds a sender"),
            }
        }
    }

    fn start(&mut self) {
        let index = self.next_index * 64 + self.number as u64;
        self.next_index += 1;
        let parent = match self.open.last() {
            Some(span) if self.random.below(8) != 0 => span.context(),
            _ => Context::NONE,
        };
        let span = start(index, parent);
        let id = word(&span);
        let number = if span.is_recording() { 0 } else { WITHOUT_CELL };
        self.witness.note(STARTED, number, id, index, parent_word(parent));
        for (at, (key, value)) in content::attributes(index).iter().enumerate() {
            content::set(&span, key, value);
            self.witness.note(SET, u32::try_from(at).expect("few") + 1, id, index, 0);
        }
        finish_filling(&span, index);
        self.open.push(span);
    }

    fn end(&mut self, span: Span) {
        let id = word(&span);
        let what = outcome(span.end());
        self.witness.note(what, 0, id, 0, 0);
    }
}

fn start(index: u64, parent: Context) -> Span {
    let name = content::name(index);
    let builder = if index % 4 == 3 {
        spanring::span_named(&name)
    } else {
        spanring::span(content::static_name(index))
    };
    builder.kind(content::kind(index)).parent(parent).start()
}

fn finish_filling(span: &Span, index: u64) {
    if content::has_event(index) {
        span.event_with("tick", |event| event.set("index", index));
    }
    if content::has_failed(index) {
        span.error(format!("failed {index}"));
    }
}

fn outcome(ended: Ended) -> u32 {
    match ended {
        Ended::Recorded => RECORDED,
        Ended::Dropped(_) => DROPPED,
        Ended::NotRecording | Ended::AlreadyEnded => NOT_RECORDING,
    }
}

fn word(span: &Span) -> u64 {
    u64::from_le_bytes(span.context().span_id().to_bytes())
}

fn parent_word(parent: Context) -> u64 {
    u64::from_le_bytes(parent.span_id().to_bytes())
}

/// Forks a child that lives on after the agent is killed, and records spans of its own under one of the agent's.
#[expect(unsafe_code, reason = "there is no other way to fork")]
fn fork(dir: &Path, plan: Plan) {
    let inherited = spanring::span("inherited").start();
    inherited.set("by", "the agent");
    let parent = inherited.context();
    // SAFETY: the child goes on as a program of one thread; it uses no lock that another thread of the agent may hold but
    // that of the allocator, which the C library keeps usable in children.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork fails only when the machine is out of something");
    if child == 0 {
        let mut witness = Witness::create(dir, 100);
        inherited.set("by", "the child, which must not show");
        assert_eq!(inherited.end(), Ended::NotRecording);
        for index in 0.. {
            let index = index * 64 + 50;
            let span = start(index, parent);
            let id = word(&span);
            witness.note(STARTED, 0, id, index, parent_word(parent));
            for (key, value) in content::attributes(index) {
                content::set(&span, &key, &value);
            }
            finish_filling(&span, index);
            if !witness.has_room() || index > 64 * 3000 {
                break;
            }
            witness.note(outcome(span.end()), 0, id, index, 0);
        }
        loop {
            thread::park();
        }
    }
    let mut witness = Witness::create(dir, 101);
    witness.note(STARTED, u32::MAX, word(&inherited), 0, 0);
    std::fs::write(dir.join("forked"), child.to_string()).expect("the parent can be told");
    // Open until the kill.
    std::mem::forget(inherited);
    let _ = plan;
}
