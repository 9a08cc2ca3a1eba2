//! Recording against the obvious thing: a list of open spans and a list of ended ones.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use proptest::prelude::*;
use spanring::record::Time;
use spanring::{Ended, Kind, Span, SpanId, Status, span, span_named};

use crate::flight::{Attribute, Event, Flight, Plan, Seen, Value};

#[derive(Clone, Debug)]
enum Op {
    Start { named: bool, under: Option<prop::sample::Index> },
    Set { span: prop::sample::Index, there: bool, value: Setting },
    End { span: prop::sample::Index, there: bool },
    Drain,
    Look,
}

#[derive(Clone, Debug)]
enum Setting {
    Number(i64),
    Flag(bool),
    Text(usize),
    Packed(usize),
    NamedText(usize),
    Event(usize),
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
        any::<bool>().prop_map(Setting::Status),
    ];
    let op = prop_oneof![
        4 => (any::<bool>(), prop::option::of(index())).prop_map(|(named, under)| Op::Start { named, under }),
        6 => (index(), any::<bool>(), setting).prop_map(|(span, there, value)| Op::Set { span, there, value }),
        4 => (index(), any::<bool>()).prop_map(|(span, there)| Op::End { span, there }),
        1 => Just(Op::Drain),
        1 => Just(Op::Look),
    ];
    prop::collection::vec(op, 1..250)
}

impl Setting {
    fn apply(&self, span: &Span) {
        match *self {
            Setting::Number(value) => span.set("number", value),
            Setting::Flag(value) => span.set("flag", value),
            Setting::Text(len) => span.set("text", "é".repeat(len)),
            Setting::Packed(len) => span.set_value("packed", &vec![7_u8; len]),
            Setting::NamedText(len) => span.set_named(&format!("key {len}"), "n".repeat(len)),
            Setting::Event(len) => {
                span.event_at(&format!("event {len}"), 5, |event| event.set("bytes", vec![1_u8; len]));
            }
            Setting::Status(true) => span.set_status(Status::Ok),
            Setting::Status(false) => span.fail("failed"),
        }
    }

    fn expect(&self, seen: &mut Seen) {
        let attribute = |key: &str, value| Attribute { key: key.to_owned(), value, cut: false };
        match *self {
            Setting::Number(value) => seen.attributes.push(attribute("number", Value::I64(value))),
            Setting::Flag(value) => seen.attributes.push(attribute("flag", Value::Bool(value))),
            Setting::Text(len) => seen.attributes.push(attribute("text", Value::Str("é".repeat(len)))),
            Setting::Packed(len) => {
                let packed = rmp_serde::to_vec(&vec![7_u8; len]).unwrap();
                seen.attributes.push(attribute("packed", Value::Packed(packed)));
            }
            Setting::NamedText(len) => {
                seen.attributes.push(attribute(&format!("key {len}"), Value::Str("n".repeat(len))));
            }
            Setting::Event(len) => seen.events.push(Event {
                name: format!("event {len}"),
                time: Time::UnixNs(5),
                attributes: vec![attribute("bytes", Value::Bytes(vec![1; len]))],
            }),
            Setting::Status(true) => seen.status = Status::Ok,
            Setting::Status(false) => {
                seen.status = Status::Error;
                seen.message = Some("failed".to_owned());
            }
        }
    }
}

/// Another thread, which does what it is sent and sends the span back, or its outcome.
struct Elsewhere {
    send: Option<Sender<(Span, Option<Setting>)>>,
    receive: Receiver<Result<Span, Ended>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Elsewhere {
    fn start() -> Self {
        let (send, jobs) = channel::<(Span, Option<Setting>)>();
        let (results, receive) = channel();
        let thread = thread::spawn(move || {
            for (span, setting) in jobs {
                let result = match setting {
                    Some(setting) => {
                        setting.apply(&span);
                        Ok(span)
                    }
                    None => Err(span.end()),
                };
                results.send(result).unwrap();
            }
        });
        Elsewhere { send: Some(send), receive, thread: Some(thread) }
    }

    fn run(&self, span: Span, setting: Option<Setting>) -> Result<Span, Ended> {
        self.send.as_ref().unwrap().send((span, setting)).unwrap();
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
    open: Vec<(Span, Seen)>,
    ended: BTreeMap<SpanId, Seen>,
    started: u64,
    dropped: u64,
}

impl Model {
    fn start(&mut self, named: bool, under: Option<SpanId>) {
        let parent =
            under.map(|id| self.open.iter().find(|(_, seen)| seen.span_id == id).unwrap().0.context());
        let name = format!("span {}", self.started);
        let builder = if named { span_named(&name) } else { span("literal") };
        let builder = match parent {
            Some(parent) => builder.parent(parent),
            None => builder.root(),
        };
        let span = builder.kind(Kind::Tool).start_unix_ns(self.started).start();
        assert!(span.is_recording());
        let seen = Seen {
            trace_id: span.context().trace_id(),
            span_id: span.context().span_id(),
            parent_id: under.unwrap_or(SpanId::INVALID),
            name: if named { name.clone() } else { "literal".to_owned() },
            kind: Kind::Tool,
            status: Status::Unset,
            message: None,
            start: Time::UnixNs(self.started),
            left_out: 0,
            attributes: Vec::new(),
            events: Vec::new(),
        };
        self.started += 1;
        self.open.push((span, seen));
    }

    fn end(&mut self, ended: Ended, seen: Seen) {
        match ended {
            Ended::Recorded => assert!(self.ended.insert(seen.span_id, seen).is_none()),
            Ended::Dropped(_) => self.dropped += 1,
            Ended::NotRecording => panic!("it was recording"),
        }
    }

    /// What was consumed, and what the files hold, is what was recorded: nothing lost, invented, or told twice.
    fn check(&self, flight: &Flight) {
        let files = flight.files();
        let open: BTreeMap<_, _> = self.open.iter().map(|(_, seen)| (seen.span_id, seen.clone())).collect();
        assert_eq!(files.in_flight(), open);
        let mut recovered: BTreeMap<_, _> =
            flight.landed.iter().map(|landed| (landed.span.span_id, landed.span.clone())).collect();
        assert_eq!(recovered.len(), flight.landed.len());
        for seen in files.published() {
            assert!(recovered.insert(seen.span_id, seen).is_none(), "consumed and still there");
        }
        assert_eq!(recovered, self.ended);
        let counters = flight.counters(self.open.len() as u64);
        assert_eq!((counters.started, counters.dropped()), (self.started, self.dropped));
        assert_eq!(files.image().tables().started, self.started);
        assert_eq!(files.image().tables().dropped_ring_full, self.dropped);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_is_consumed_and_what_the_files_hold_is_what_was_recorded(ops in ops()) {
        // A ring of 32 KiB fills and wraps; spans stay below their limit of 8 KiB, as sets beyond are not made.
        let mut flight = Flight::start(Plan {
            ring_bytes: 1 << 15,
            lanes: 3,
            tables: 2,
            in_files: true,
            ..Plan::default()
        });
        let elsewhere = Elsewhere::start();
        let mut model = Model::default();
        let mut sizes: BTreeMap<SpanId, usize> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Start { named, under } => {
                    let under = under.filter(|_| !model.open.is_empty());
                    let under = under.map(|under| under.get(&model.open).1.span_id);
                    model.start(named, under);
                }
                Op::Set { span, there, value } if !model.open.is_empty() => {
                    let at = span.index(model.open.len());
                    let size = sizes.entry(model.open[at].1.span_id).or_insert(0);
                    if *size + 3_100 > 8_000 {
                        continue;
                    }
                    *size += 100 + match value {
                        Setting::Text(len) => 2 * len,
                        Setting::Packed(len) => len,
                        Setting::NamedText(len) | Setting::Event(len) => len + 100,
                        _ => 0,
                    };
                    value.expect(&mut model.open[at].1);
                    if there {
                        let (span, seen) = model.open.swap_remove(at);
                        model.open.push((elsewhere.run(span, Some(value)).unwrap(), seen));
                    } else {
                        value.apply(&model.open[at].0);
                    }
                }
                Op::End { span, there } if !model.open.is_empty() => {
                    let (span, seen) = model.open.swap_remove(span.index(model.open.len()));
                    let ended = if there { elsewhere.run(span, None).unwrap_err() } else { span.end() };
                    model.end(ended, seen);
                }
                Op::Drain => {
                    flight.drain();
                    model.check(&flight);
                }
                Op::Look => model.check(&flight),
                Op::Set { .. } | Op::End { .. } => {}
            }
        }
        model.check(&flight);
        while let Some((span, seen)) = model.open.pop() {
            model.end(span.end(), seen);
        }
        model.check(&flight);
    }
}
