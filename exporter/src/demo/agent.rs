//! The agent that is killed: a process that plays the script into spanring, as fast as it can.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use serde_json::json;
use spanring::{Context, Ended, Overflow, Span, Status, span, span_named};
use spanring_spool::{Spool, Value};

use super::content::{Content, Identity};
use super::error::DemoError;
use super::script::{Replay, Said, Scene, Script};
use super::witness::{Record, What, Witness};
use crate::engine::ledger_json;

/// How long a thread waits for room in its ring before it drops a span: the replay is faster than any disk.
pub const BLOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the spool may take to empty itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// How many spans may wait to be ended by another thread.
const HANDED_OVER_MAX: usize = 32;

/// What an agent is to do.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The directory of the spool.
    pub spool: PathBuf,
    /// The directory, which is there, to witness in.
    pub witness: PathBuf,
    /// Which agent it is.
    pub number: u32,
    /// How many threads play at the same time.
    pub threads: u32,
    /// How often each thread plays all runs; for ever where nothing is said.
    pub rounds: Option<u32>,
}

impl Agent {
    /// Plays, and says on standard output as JSON what its recorder is called, and at the end what its account is. Ends
    /// early when standard input does: then whoever started it is gone.
    ///
    /// # Errors
    ///
    /// When there is no spool or no room for the witness. The spans that are open then are lost.
    pub fn run(self) -> Result<(), DemoError> {
        let spool = Spool::open(&self.spool)
            .service("spanring-demo")
            .attribute("service.instance.id", Value::Str(self.number.to_string()))
            .overflow(Overflow::Block(BLOCK_TIMEOUT))
            .start()?;
        say(&json!({ "recorder": spool.id().as_str() }))?;
        let stop = stop_with_standard_input().map_err(DemoError::io("start a thread in", &self.spool))?;
        self.play(&stop)?;
        let report = spool.stop(STOP_TIMEOUT);
        say(&json!({ "ledger": ledger_json(&report.ledger), "is_complete": report.is_complete }))
    }

    /// Plays with all threads, each of which hands some of its spans to the next.
    fn play(&self, stop: &AtomicBool) -> Result<(), DemoError> {
        let script = Script::bundled();
        let count = usize::try_from(self.threads).unwrap_or(1).max(1);
        let (mut to, mut from): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::sync_channel(HANDED_OVER_MAX)).unzip();
        to.rotate_left(1);
        let mut players = Vec::new();
        for (number, next) in (0..self.threads.max(1)).zip(to.drain(..)) {
            let thread = usize::try_from(number).unwrap_or(0);
            let witness = Witness::create(&self.witness, thread);
            let witness = witness.map_err(DemoError::io("witness in", &self.witness))?;
            let handed = from.remove(0);
            let script = &script;
            players.push(Player { agent: self, script, thread: number, witness, next, handed });
        }
        thread::scope(|scope| {
            let threads: Vec<_> =
                players.into_iter().map(|player| scope.spawn(|| player.run(stop))).collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(played) => played,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }
}

fn say(line: &serde_json::Value) -> Result<(), DemoError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(DemoError::io("write", "standard output"))
}

fn stop_with_standard_input() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    thread::Builder::new().name("stop".into()).spawn(move || {
        // An error is an end too.
        drop(io::stdin().lock().read_to_end(&mut Vec::new()));
        stopping.store(true, Ordering::Relaxed);
    })?;
    Ok(stop)
}

/// One thread of the agent.
struct Player<'a> {
    agent: &'a Agent,
    script: &'a Script,
    thread: u32,
    witness: Witness,
    next: SyncSender<HandedOver>,
    handed: Receiver<HandedOver>,
}

/// A span that another thread is to end, and what it says then.
struct HandedOver {
    span: Span,
    content: Content,
    replay: Replay,
}

impl Player<'_> {
    fn run(mut self, stop: &AtomicBool) -> Result<(), DemoError> {
        let runs = self.script.roots().len();
        // Each thread begins with another run.
        let first = runs / 4 * usize::try_from(self.thread).unwrap_or(0);
        let roots: Vec<u32> =
            self.script.roots().iter().copied().cycle().skip(first % runs).take(runs).collect();
        let mut round = 0;
        for pass in 0.. {
            if self.agent.rounds.is_some_and(|rounds| pass >= rounds) {
                break;
            }
            for root in &roots {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let replay = Replay { agent: self.agent.number, thread: self.thread, round };
                self.play(*root, Context::NONE, replay)?;
                round += 1;
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        let Player { next, handed, .. } = &mut self;
        // The next thread sees by this that nothing more will come.
        *next = mpsc::sync_channel(0).0;
        let rest: Vec<HandedOver> = handed.iter().collect();
        rest.into_iter().try_for_each(|handed| self.end(handed))
    }

    /// Plays a span and all under it.
    fn play(&mut self, number: u32, parent: Context, replay: Replay) -> Result<(), DemoError> {
        let script = self.script;
        let Some(scene) = script.scene(number) else { return Ok(()) };
        let span = start(scene, parent, replay);
        let context = span.context();
        let parent_id = parent.span_id().to_bytes();
        let mut content = scene.start(Identity {
            trace_id: &context.trace_id().to_bytes(),
            span_id: &context.span_id().to_bytes(),
            parent_id: if parent.is_valid() { &parent_id } else { &[] },
        });
        self.saw(&span, content, replay, What::Started { number })?;

        // What is known before, such as the question, and what is known after, such as the answer.
        let mut attributes = scene.attributes(replay);
        let known_before = attributes.len().div_ceil(2);
        for said in attributes.by_ref().take(known_before) {
            set(&span, &said);
            content = content.and(said.part);
        }
        let set_so_far = u32::try_from(known_before).unwrap_or(0);
        self.saw(&span, content, replay, What::Set { attributes: set_so_far })?;
        if !scene.children.is_empty() {
            let _entered = span.enter();
            for child in &scene.children {
                self.play(*child, context, replay)?;
            }
        }
        for said in attributes {
            set(&span, &said);
            content = content.and(said.part);
        }
        for event in &scene.events {
            span.event_with(event.name, |recorded| {
                for (key, value) in &event.attributes {
                    recorded.set_value(key, value);
                }
            });
            content = content.and(event.part);
        }
        match scene.status {
            Status::Error => span.error(&scene.status_message),
            status => span.set_status(status),
        };
        let ready = HandedOver { span, content: scene.end(content), replay };
        self.end_somewhere(ready, number)
    }

    /// Ends the span here, or has the next thread do it.
    fn end_somewhere(&mut self, ready: HandedOver, number: u32) -> Result<(), DemoError> {
        let here = if (ready.replay.round + number).is_multiple_of(7) {
            match self.next.try_send(ready) {
                Ok(()) => None,
                Err(TrySendError::Full(ready) | TrySendError::Disconnected(ready)) => Some(ready),
            }
        } else {
            Some(ready)
        };
        if let Some(ready) = here {
            self.end(ready)?;
        }
        while let Ok(handed) = self.handed.try_recv() {
            self.end(handed)?;
        }
        Ok(())
    }

    fn end(&mut self, ready: HandedOver) -> Result<(), DemoError> {
        let span_id = ready.span.context().span_id();
        let what = match ready.span.end() {
            Ended::Recorded => What::Recorded,
            Ended::Dropped(_) => What::Dropped,
            Ended::NotRecording | Ended::AlreadyEnded => return Err(DemoError::NotRecording),
        };
        let HandedOver { content, replay, .. } = ready;
        self.append(&Record { span_id, content, replay: replay.number(), what })
    }

    fn saw(&mut self, span: &Span, content: Content, replay: Replay, what: What) -> Result<(), DemoError> {
        let span_id = span.context().span_id();
        self.append(&Record { span_id, content, replay: replay.number(), what })
    }

    fn append(&mut self, record: &Record) -> Result<(), DemoError> {
        self.witness.append(record).map_err(DemoError::io("witness in", &self.agent.witness))
    }
}

/// Starts a span: under the current one or under one that is named, with a name that is a literal or one made at run
/// time. All of that is the same to whom it is delivered to.
fn start(scene: &Scene, parent: Context, replay: Replay) -> Span {
    let builder = if replay.round.is_multiple_of(2) { span(scene.name) } else { span_named(scene.name) };
    let builder = builder.kind(scene.kind);
    if !parent.is_valid() {
        builder.root().start()
    } else if scene.number.is_multiple_of(2) {
        builder.parent(parent).start()
    } else {
        builder.start()
    }
}

fn set(span: &Span, said: &Said<'_>) {
    let key = said.key;
    match &*said.value {
        Value::Bool(value) => span.set(key, *value),
        Value::I64(value) => span.set(key, *value),
        Value::U64(value) => span.set(key, *value),
        Value::F64(value) => span.set(key, *value),
        Value::Str(value) => span.set(key, value),
        Value::Bytes(value) => span.set(key, value),
        value @ (Value::Null | Value::List(_) | Value::Map(_)) => span.set_value(key, value),
    };
}
