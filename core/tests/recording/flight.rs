//! A recorder under test: its mappings, its consumer, and what comes out of it, decoded.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use spanring::control::CONTROL_FILE_LEN;
use spanring::dictionary::{self, DICTIONARY_FILE_LEN};
use spanring::image::Image;
use spanring::mapping::Mapping;
use spanring::record::{Body, Entry, Record, Scalar, Text, Time};
use spanring::recorder::{Consumer, Counters, Limits, Options, Recorder};
use spanring::{Hooks, Kind, Overflow, SpanId, Status, TraceId, lane_file_len, table_file_len};
use tempfile::TempDir;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A value as it arrived.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Str(String),
    Bytes(Vec<u8>),
    Packed(Vec<u8>),
    Failed,
}

/// An attribute as it arrived.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Attribute {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) cut: bool,
}

/// An event as it arrived.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) time: Time,
    pub(crate) attributes: Vec<Attribute>,
}

/// A link as it arrived.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Link {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) attributes: Vec<Attribute>,
}

/// A span as it arrived.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Seen {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent_id: SpanId,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) status: Status,
    pub(crate) message: Option<String>,
    pub(crate) message_cut: bool,
    pub(crate) start: Time,
    pub(crate) left_out: u16,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) events: Vec<Event>,
    pub(crate) links: Vec<Link>,
    pub(crate) deadline_ns: Option<u64>,
    pub(crate) is_pending: bool,
    /// When a pending span started, and whether that was only as it was dropped.
    pub(crate) started: Option<(Time, bool)>,
}

impl Seen {
    /// Decodes a body, of which nothing may be damaged.
    pub(crate) fn of(body: &Body<'_>, text: &dyn Fn(u16) -> Option<String>) -> Self {
        let text = |of: Text<'_>| match of {
            Text::Known(number) => text(number).expect("a number that is used is in the dictionary"),
            Text::Inline(bytes) => utf8(bytes),
        };
        let head = &body.head;
        let mut seen = Seen {
            trace_id: head.trace_id,
            span_id: head.span_id,
            parent_id: head.parent_id,
            name: text(head.name),
            kind: head.kind,
            status: head.status,
            message: None,
            message_cut: false,
            start: head.start,
            left_out: head.left_out,
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            deadline_ns: None,
            is_pending: head.is_pending,
            started: None,
        };
        let mut in_link = false;
        for entry in body.entries() {
            match entry.expect("nothing is malformed") {
                Entry::Attribute { key, value, cut, in_event } => {
                    let attribute = Attribute { key: text(key), value: Value::of(value), cut };
                    let attributes = match (in_event, in_link) {
                        (false, _) => &mut seen.attributes,
                        (true, false) => {
                            &mut seen.events.last_mut().expect("an event came before").attributes
                        }
                        (true, true) => &mut seen.links.last_mut().expect("a link came before").attributes,
                    };
                    attributes.push(attribute);
                }
                Entry::Event { name, time } => {
                    in_link = false;
                    seen.events.push(Event { name: text(name), time, attributes: Vec::new() });
                }
                Entry::Name { text } => seen.name = utf8(text),
                Entry::Link { trace_id, span_id } => {
                    in_link = true;
                    seen.links.push(Link { trace_id, span_id, attributes: Vec::new() });
                }
                Entry::Deadline { ns } => seen.deadline_ns = Some(ns),
                Entry::Started { time, by_drop } => seen.started = Some((time, by_drop)),
                Entry::StatusMessage { text, cut } => {
                    (seen.message, seen.message_cut) = (Some(utf8(text)), cut);
                }
            }
        }
        seen
    }

    /// The last value of the attribute with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().rev().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
    }

    /// The keys of the attributes, in order.
    pub(crate) fn keys(&self) -> Vec<&str> {
        self.attributes.iter().map(|attribute| attribute.key.as_str()).collect()
    }
}

impl Value {
    /// Text.
    pub(crate) fn text(text: &str) -> Self {
        Value::Str(text.to_owned())
    }

    /// What a value of any type that serializes arrives as.
    pub(crate) fn packed<T: Serialize + ?Sized>(value: &T) -> Self {
        Value::Packed(rmp_serde::to_vec_named(value).unwrap())
    }

    fn of(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Bool(value) => Value::Bool(value),
            Scalar::I64(value) => Value::I64(value),
            Scalar::U64(value) => Value::U64(value),
            Scalar::F64(value) => Value::F64(value),
            Scalar::Str(value) => Value::Str(utf8(value)),
            Scalar::Bytes(value) => Value::Bytes(value.to_vec()),
            Scalar::Packed(value) => Value::Packed(value.to_vec()),
            Scalar::Failed => Value::Failed,
        }
    }
}

fn utf8(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).expect("text is UTF-8").to_owned()
}

/// A span that ended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Landed {
    pub(crate) lane: u16,
    pub(crate) ordinal: u64,
    pub(crate) end: Time,
    pub(crate) span: Seen,
}

/// How to set a recorder up.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) ring_bytes: usize,
    pub(crate) overflow: Overflow,
    pub(crate) live: bool,
    pub(crate) limits: Limits,
    pub(crate) hooks: Hooks,
    /// With the shared one.
    pub(crate) lanes: usize,
    pub(crate) tables: usize,
    pub(crate) in_files: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            ring_bytes: 1 << 20,
            overflow: Overflow::Drop,
            live: false,
            limits: Limits::default(),
            hooks: Hooks::default(),
            lanes: 4,
            tables: 0,
            in_files: false,
        }
    }
}

/// A recorder that is installed for as long as this lives, alone in the process.
pub(crate) struct Flight {
    pub(crate) recorder: &'static Recorder,
    pub(crate) consumer: Consumer,
    pub(crate) landed: Vec<Landed>,
    pub(crate) announced: Vec<Seen>,
    files: Option<TempDir>,
    plan: Plan,
    alone: Option<MutexGuard<'static, ()>>,
}

/// Waits until no recorder is installed, and keeps it so.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flight {
    pub(crate) fn start(plan: Plan) -> Self {
        Self::start_with(alone(), plan)
    }

    /// With these hooks.
    pub(crate) fn hooked(hooks: Hooks) -> Self {
        Self::start(Plan { hooks, ..Plan::default() })
    }

    pub(crate) fn start_with(alone: MutexGuard<'static, ()>, plan: Plan) -> Self {
        let files = plan.in_files.then(|| tempfile::tempdir().unwrap());
        let map = |name: String, len: usize| match &files {
            Some(dir) => {
                let file = File::options()
                    .create_new(true)
                    .read(true)
                    .write(true)
                    .open(dir.path().join(name))
                    .unwrap();
                file.set_len(len as u64).unwrap();
                Mapping::of_file(&file, len).unwrap()
            }
            None => Mapping::anonymous(len).unwrap(),
        };
        let options = Options {
            ring_bytes: plan.ring_bytes,
            overflow: plan.overflow,
            live: plan.live,
            limits: plan.limits,
        };
        let control = map("control".to_owned(), CONTROL_FILE_LEN);
        let dictionary = map("dictionary".to_owned(), DICTIONARY_FILE_LEN);
        let recorder = Recorder::new(options, plan.hooks.clone(), control, dictionary).unwrap();
        for number in 0..plan.lanes {
            let lane = map(format!("lane-{number}"), lane_file_len(plan.ring_bytes));
            assert_eq!(usize::from(recorder.add_lane(lane).unwrap()), number);
        }
        for number in 0..plan.tables {
            recorder.add_table(map(format!("table-{number}"), table_file_len())).unwrap();
        }
        recorder.install().unwrap();
        let consumer = recorder.consumer().unwrap();
        Flight {
            recorder,
            consumer,
            landed: Vec::new(),
            announced: Vec::new(),
            files,
            plan,
            alone: Some(alone),
        }
    }

    /// Uninstalls the recorder and installs another, before any other test gets a turn.
    pub(crate) fn follow_with(mut self, plan: Plan) -> Flight {
        let alone = self.alone.take().expect("it is given away only here");
        drop(self);
        Flight::start_with(alone, plan)
    }

    /// Looks at what was published, and leaves its space in use.
    pub(crate) fn look(&mut self) -> usize {
        let before = self.landed.len();
        for lane in 0..u16::try_from(self.recorder.lane_count()).unwrap() {
            let (landed, announced) = (&mut self.landed, &mut self.announced);
            self.consumer.consume(lane, |record| {
                match record.expect("no record is malformed") {
                    Record::Ended { ordinal, end, body } => {
                        landed.push(Landed { lane, ordinal, end, span: Seen::of(&body, &known) });
                    }
                    Record::Started { body } => announced.push(Seen::of(&body, &known)),
                    Record::Padding => unreachable!("padding is not shown"),
                }
                ControlFlow::Continue(())
            });
        }
        self.landed.len() - before
    }

    /// Takes what was published, and gives its space back. Returns how many spans ended.
    pub(crate) fn drain(&mut self) -> usize {
        let count = self.look();
        self.consumer.release();
        count
    }

    /// Drains, and takes the spans that landed so far.
    pub(crate) fn take(&mut self) -> Vec<Seen> {
        self.drain();
        self.landed.drain(..).map(|landed| landed.span).collect()
    }

    /// Drains, and takes the only span that landed.
    #[track_caller]
    pub(crate) fn take_one(&mut self) -> Seen {
        let mut spans = self.take();
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.remove(0)
    }

    /// The counters, after checking that they balance with this many spans open.
    #[track_caller]
    pub(crate) fn counters(&self, open: u64) -> Counters {
        let counters = self.recorder.counters();
        assert_eq!(counters.started, counters.ended + open, "{counters:?}");
        assert_eq!(counters.in_flight(), open);
        counters
    }

    pub(crate) fn dir(&self) -> &Path {
        self.files.as_ref().expect("the flight was planned in files").path()
    }

    /// The files, read without any cooperation of the recorder.
    pub(crate) fn files(&self) -> Files {
        let read = |name: String| std::fs::read(self.dir().join(name)).unwrap();
        Files {
            control: read("control".to_owned()),
            dictionary: read("dictionary".to_owned()),
            lanes: (0..self.plan.lanes).map(|number| read(format!("lane-{number}"))).collect(),
            tables: (0..self.plan.tables).map(|number| read(format!("table-{number}"))).collect(),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.recorder.uninstall();
    }
}

/// The text of a number, in this process.
pub(crate) fn known(number: u16) -> Option<String> {
    dictionary::text(number).map(str::to_owned)
}

/// A recorder's files, as they were at one moment.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Files {
    pub(crate) control: Vec<u8>,
    pub(crate) dictionary: Vec<u8>,
    pub(crate) lanes: Vec<Vec<u8>>,
    pub(crate) tables: Vec<Vec<u8>>,
}

impl Files {
    pub(crate) fn image(&self) -> Image<'_> {
        let mut image = Image::default();
        for lane in &self.lanes {
            image.add_lane(lane).unwrap();
        }
        for table in &self.tables {
            image.add_table(table).unwrap();
        }
        image
    }

    /// The spans that the tables hold, by identity.
    pub(crate) fn in_flight(&self) -> BTreeMap<SpanId, Seen> {
        let texts = dictionary::parse(&self.dictionary).unwrap();
        let text = |number: u16| texts.get(usize::from(number)).cloned();
        let report = self.image().tables();
        assert_eq!(report.malformed, 0);
        let spans = report.in_flight.iter().map(|in_flight| {
            let span = Seen::of(&Body::parse(&in_flight.body).unwrap(), &text);
            (span.span_id, span)
        });
        let spans: BTreeMap<_, _> = spans.collect();
        assert_eq!(spans.len(), report.in_flight.len(), "no span is found twice");
        spans
    }

    /// The ended spans that the rings hold and that were not released, in the order of lanes and positions.
    pub(crate) fn published(&self) -> Vec<Seen> {
        let texts = dictionary::parse(&self.dictionary).unwrap();
        let text = |number: u16| texts.get(usize::from(number)).cloned();
        let image = self.image();
        let records = image.lanes().flat_map(|lane| lane.records(lane.released().0));
        records
            .filter_map(|record| match record.unwrap().0 {
                Record::Ended { body, .. } => Some(Seen::of(&body, &text)),
                _ => None,
            })
            .collect()
    }
}

/// Long enough that only a hang reaches it.
pub(crate) const LONG: Duration = Duration::from_secs(60);
