//! Recording against the obvious thing: a list of open spans and a list of ended ones.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use spanring::record::Time;
use spanring::recorder::Limits;
use spanring::{Context, Ended, Kind, Pending, Span, SpanId, Status, TraceId, span, span_named};

use crate::flight::{Attribute, Event, Flight, Link, Plan, Seen, Value};

#[derive(Clone, Debug)]
enum Op {
    Start { named: bool, pending: bool, under: Option<prop::sample::Index> },
    Do { span: prop::sample::Index, there: bool, job: Job },
    Drain,
    Look,
}

/// What is done to an open span.
#[derive(Clone, Debug)]
enum Job {
    Set(Setting),
    /// Starts it at this moment if it is pending.
    Start(u64),
    End,
    Cancel,
    Drop,
}

#[derive(Clone, Debug)]
enum Setting {
    Number(i64),
    Flag(bool),
    Text(usize),
    Packed(usize),
    NamedText(usize),
    Event(usize),
    Link(u8),
    Deadline(u64),
    Status(bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let index = any::<prop::sample::Index>;
    let setting = prop_oneof![
        any::<i64>().prop_map(Setting::Number),
        any::<bool>().prop_map(Setting::Flag),
        (0_usize..1_500).prop_map(Setting::Text),
        (0_usize..1_500).prop_map(Setting::Packed),
        (0_usize..300).prop_map(Setting::NamedText),
        (0_usize..300).prop_map(Setting::Event),
        any::<u8>().prop_map(Setting::Link),
        any::<u64>().prop_map(Setting::Deadline),
        any::<bool>().prop_map(Setting::Status),
    ];
    let job = prop_oneof![
        6 => setting.prop_map(Job::Set),
        2 => any::<u64>().prop_map(Job::Start),
        2 => Just(Job::End),
        1 => Just(Job::Cancel),
        1 => Just(Job::Drop),
    ];
    let start = (any::<bool>(), prop::bool::weighted(0.3), prop::option::of(index()));
    let op = prop_oneof![
        4 => start.prop_map(|(named, pending, under)| Op::Start { named, pending, under }),
        11 => (index(), any::<bool>(), job).prop_map(|(span, there, job)| Op::Do { span, there, job }),
        1 => Just(Op::Drain),
        1 => Just(Op::Look),
    ];
    prop::collection::vec(op, 1..250)
}

/// So few that many spans reach them.
const TIGHT: Limits = Limits { attributes: 4, events: 2, links: 1, value_bytes: 1_001 };

impl Setting {
    fn apply(&self, span: &Span) {
        _ = match *self {
            Setting::Number(value) => span.set("number", value),
            Setting::Flag(value) => span.set("flag", value),
            Setting::Text(len) => span.set("text", "é".repeat(len)),
            Setting::Packed(len) => span.set_value("packed", &vec![7_u8; len]),
            Setting::NamedText(len) => span.set_named(&format!("key {len}"), "n".repeat(len)),
            Setting::Event(len) => {
                span.event_at(&format!("event {len}"), 5, |event| event.set("bytes", vec![1_u8; len]))
            }
            Setting::Link(number) => span.link_with(linked(number), |link| link.set("number", number)),
            Setting::Deadline(ns) => span.deadline(Duration::from_nanos(ns)),
            Setting::Status(true) => span.set_status(Status::Ok),
            Setting::Status(false) => span.error("failed"),
        }
    }

    fn expect(&self, seen: &mut Seen, limits: &Limits) {
        let attribute = |key: &str, value, cut| Attribute { key: key.to_owned(), value, cut };
        let kept = |len: usize| len.min(limits.value_bytes);
        let set = match *self {
            Setting::Number(value) => attribute("number", Value::I64(value), false),
            Setting::Flag(value) => attribute("flag", Value::Bool(value), false),
            // Two bytes each.
            Setting::Text(len) => {
                let characters = kept(2 * len) / 2;
                attribute("text", Value::Str("é".repeat(characters)), characters < len)
            }
            Setting::Packed(len) => {
                let mut packed = rmp_serde::to_vec(&vec![7_u8; len]).unwrap();
                let cut = kept(packed.len()) < packed.len();
                packed.truncate(limits.value_bytes);
                attribute("packed", Value::Packed(packed), cut)
            }
            Setting::NamedText(len) => attribute(&format!("key {len}"), Value::Str("n".repeat(len)), false),
            Setting::Event(len) => {
                if has_room(seen, seen.events.len(), limits.events, "spanring.dropped.events") {
                    seen.events.push(Event {
                        name: format!("event {len}"),
                        time: Time::UnixNs(5),
                        attributes: vec![attribute("bytes", Value::Bytes(vec![1; len]), false)],
                    });
                }
                return;
            }
            Setting::Link(number) => {
                if has_room(seen, seen.links.len(), limits.links, "spanring.dropped.links") {
                    seen.links.push(Link {
                        trace_id: linked(number).trace_id(),
                        span_id: linked(number).span_id(),
                        attributes: vec![attribute("number", Value::U64(number.into()), false)],
                    });
                }
                return;
            }
            Setting::Deadline(ns) => return seen.deadline_ns = Some(ns),
            Setting::Status(true) => return seen.status = Status::Ok,
            Setting::Status(false) => {
                seen.status = Status::Error;
                return seen.message = Some("failed".to_owned());
            }
        };
        let count = seen.keys().iter().filter(|key| !key.starts_with("spanring.dropped.")).count();
        if has_room(seen, count, limits.attributes, "spanring.dropped.attributes") {
            seen.attributes.push(set);
        }
    }
}

fn linked(number: u8) -> Context {
    Context::new(TraceId::from_bytes([number; 16]), SpanId::from_bytes([number; 8]))
}

/// Whether there may be one more beside so many. If not, that is counted in the span.
fn has_room(seen: &mut Seen, count: usize, limit: u32, dropped: &str) -> bool {
    if count < usize::try_from(limit).unwrap() {
        return true;
    }
    seen.left_out += 1;
    match seen.attributes.iter_mut().find(|attribute| attribute.key == dropped) {
        Some(Attribute { value: Value::U64(count), .. }) => *count += 1,
        _ => seen.attributes.push(Attribute { key: dropped.to_owned(), value: Value::U64(1), cut: false }),
    }
    false
}

/// A span that has not ended.
enum Open {
    Pending(Pending),
    Active(Span),
}

impl Deref for Open {
    type Target = Span;

    fn deref(&self) -> &Span {
        match self {
            Open::Pending(pending) => pending,
            Open::Active(span) => span,
        }
    }
}

impl Open {
    /// Does the job, and gives the span back, or what became of it if that is told.
    fn perform(self, job: &Job) -> Result<Self, Option<Ended>> {
        match (job, self) {
            (Job::Set(setting), open) => {
                setting.apply(&open);
                Ok(open)
            }
            (Job::Start(moment), Open::Pending(pending)) => {
                Ok(Open::Active(pending.start_at_unix_ns(*moment)))
            }
            (Job::Start(_), open) => Ok(open),
            (Job::End, Open::Active(span)) => Err(Some(span.end())),
            (Job::Cancel, Open::Active(span)) => Err(Some(span.cancel())),
            (Job::Cancel, Open::Pending(pending)) => Err(Some(pending.cancel())),
            (Job::End | Job::Drop, _) => Err(None),
        }
    }
}

/// Another thread, which does what it is sent and sends the span back, or its outcome.
struct Elsewhere {
    send: Option<Sender<(Open, Job)>>,
    receive: Receiver<Result<Open, Option<Ended>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Elsewhere {
    fn start() -> Self {
        let (send, jobs) = channel::<(Open, Job)>();
        let (results, receive) = channel();
        let thread = thread::spawn(move || {
            for (open, job) in jobs {
                results.send(open.perform(&job)).unwrap();
            }
        });
        Elsewhere { send: Some(send), receive, thread: Some(thread) }
    }

    fn run(&self, open: Open, job: Job) -> Result<Open, Option<Ended>> {
        self.send.as_ref().unwrap().send((open, job)).unwrap();
        self.receive.recv().unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.send = None;
        self.thread.take().unwrap().join().unwrap();
    }
}

#[derive(Default)]
struct Model {
    open: Vec<(Open, Seen)>,
    ended: BTreeMap<SpanId, Seen>,
    started: u64,
    dropped: u64,
}

impl Model {
    fn start(&mut self, named: bool, pending: bool, under: Option<SpanId>) {
        let parent =
            under.map(|id| self.open.iter().find(|(_, seen)| seen.span_id == id).unwrap().0.context());
        let name = format!("span {}", self.started);
        let builder = if named { span_named(&name) } else { span("literal") };
        let builder = match parent {
            Some(parent) => builder.parent(parent),
            None => builder.root(),
        };
        let builder = builder.kind(Kind::Tool).start_unix_ns(self.started);
        let open = if pending { Open::Pending(builder.prepare()) } else { Open::Active(builder.start()) };
        assert!(open.is_recording());
        let seen = Seen {
            trace_id: open.context().trace_id(),
            span_id: open.context().span_id(),
            parent_id: under.unwrap_or(SpanId::INVALID),
            name: if named { name.clone() } else { "literal".to_owned() },
            kind: Kind::Tool,
            status: Status::Unset,
            message: None,
            message_cut: false,
            start: Time::UnixNs(self.started),
            left_out: 0,
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            deadline_ns: None,
            is_pending: pending,
            started: None,
        };
        self.started += 1;
        self.open.push((open, seen));
    }

    /// Does the job here or there, and what should come of it to the model.
    fn perform(&mut self, at: usize, job: Job, elsewhere: Option<&Elsewhere>, flight: &Flight) {
        let (open, mut seen) = self.open.swap_remove(at);
        match (&job, &open) {
            (Job::Set(setting), _) => setting.expect(&mut seen, &flight.recorder.options().limits),
            (Job::Start(moment), Open::Pending(_)) => seen.started = Some((Time::UnixNs(*moment), false)),
            (Job::Start(_), Open::Active(_)) => {}
            (Job::Cancel, _) => seen.status = Status::Cancelled,
            (Job::End | Job::Drop, Open::Pending(_)) => seen.started = Some(AT_ITS_DROP),
            (Job::End | Job::Drop, Open::Active(_)) => {}
        }
        let dropped = flight.recorder.counters().dropped();
        let done = match elsewhere {
            Some(elsewhere) => elsewhere.run(open, job),
            None => open.perform(&job),
        };
        let was_dropped = flight.recorder.counters().dropped() > dropped;
        match done {
            Ok(open) => return self.open.push((open, seen)),
            Err(Some(ended)) => assert_eq!(matches!(ended, Ended::Dropped(_)), was_dropped),
            Err(None) => {}
        }
        if was_dropped {
            self.dropped += 1;
        } else {
            assert!(self.ended.insert(seen.span_id, seen).is_none());
        }
    }

    /// What was consumed, and what the files hold, is what was recorded: nothing lost, invented, or told twice.
    fn check(&self, flight: &Flight) {
        let files = flight.files();
        let open: BTreeMap<_, _> = self.open.iter().map(|(_, seen)| (seen.span_id, seen.clone())).collect();
        assert_eq!(files.in_flight(), open);
        let landed = flight.landed.iter().map(|landed| landed.span.clone());
        let mut recovered: BTreeMap<_, _> = landed.map(|span| (span.span_id, at_its_drop(span))).collect();
        assert_eq!(recovered.len(), flight.landed.len());
        for seen in files.published() {
            assert!(recovered.insert(seen.span_id, at_its_drop(seen)).is_none(), "consumed and still there");
        }
        assert_eq!(recovered, self.ended);
        let counters = flight.counters(self.open.len() as u64);
        assert_eq!((counters.started, counters.dropped()), (self.started, self.dropped));
        assert_eq!(files.image().tables().started, self.started);
        assert_eq!(files.image().tables().dropped_ring_full, self.dropped);
    }
}

/// A pending span that is dropped starts when the clock says.
const AT_ITS_DROP: (Time, bool) = (Time::Ticks(0), true);

fn at_its_drop(mut seen: Seen) -> Seen {
    if let Some((Time::Ticks(_), true)) = seen.started {
        seen.started = Some(AT_ITS_DROP);
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_is_consumed_and_what_the_files_hold_is_what_was_recorded(ops in ops(), is_tight in any::<bool>()) {
        // A ring of 32 KiB fills and wraps; spans stay below their limit of 8 KiB, as sets beyond are not made.
        let mut flight = Flight::start(Plan {
            ring_bytes: 1 << 15,
            lanes: 3,
            tables: 2,
            in_files: true,
            limits: if is_tight { TIGHT } else { Limits::default() },
            ..Plan::default()
        });
        let elsewhere = Elsewhere::start();
        let mut model = Model::default();
        let mut sizes: BTreeMap<SpanId, usize> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Start { named, pending, under } => {
                    let under = under.filter(|_| !model.open.is_empty());
                    let under = under.map(|under| under.get(&model.open).1.span_id);
                    model.start(named, pending, under);
                }
                Op::Do { span, there, job } if !model.open.is_empty() => {
                    let at = span.index(model.open.len());
                    let size = sizes.entry(model.open[at].1.span_id).or_insert(0);
                    if let Job::Set(setting) = &job {
                        if *size + 3_100 > 8_000 {
                            continue;
                        }
                        *size += 100 + match setting {
                            Setting::Text(len) => 2 * len,
                            Setting::Packed(len) => *len,
                            Setting::NamedText(len) | Setting::Event(len) => len + 100,
                            _ => 0,
                        };
                    }
                    model.perform(at, job, there.then_some(&elsewhere), &flight);
                }
                Op::Drain => {
                    flight.drain();
                    model.check(&flight);
                }
                Op::Look => model.check(&flight),
                Op::Do { .. } => {}
            }
        }
        model.check(&flight);
        while !model.open.is_empty() {
            model.perform(model.open.len() - 1, Job::End, None, &flight);
        }
        model.check(&flight);
    }
}
