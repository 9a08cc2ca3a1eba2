//! Every call that docs/fields.md names, really made, with where its values are expected.

use std::time::Duration;

use serde_json::{Value as Json, json};
use spanring::{Span, SpanId};
use spanring_spool::{SpanData, Spool, SpoolDir, Value};

use crate::places::Found;

const MINUTE: Duration = Duration::from_secs(60);
/// A moment.
const START: u64 = 1_795_158_297_918_522_212;

/// A call, tried out.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// Records a span with it.
    record: Box<dyn Fn() -> SpanId + Send + Sync>,
    /// What is expected, and where.
    pub(crate) places: Vec<(String, Value)>,
}

/// Makes all calls, and reads back what they recorded.
pub(crate) fn record(calls: &[Call]) -> Vec<Found> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("spool");
    let spool = Spool::open(&path).service("shop").service_version("1.2.3").environment("staging");
    let spool = spool.attribute("host.name", Value::from("a1")).live(true).start().unwrap();
    let ids: Vec<SpanId> = calls.iter().map(|call| (call.record)()).collect();
    let report = spool.stop(MINUTE);
    assert!(report.is_complete, "{report}");

    let spool = SpoolDir::open(&path).unwrap();
    let (mut spans, mut announcements) = (Vec::new(), Vec::new());
    let recorder = spool.recorders().unwrap().pop().unwrap();
    let mut reader = spool.reader(&recorder).unwrap();
    while let Some(block) = reader.next_block().unwrap() {
        spans.extend(block.spans);
        announcements.extend(block.starts);
    }
    let with = |spans: &[SpanData], id| spans.iter().find(|span| span.span_id == id).cloned();
    let found = ids.into_iter().map(|id| {
        let span = with(&spans, id).expect("it was recorded");
        assert_eq!(span.cut, 0, "{span:?}");
        let announcement = with(&announcements, id).unwrap_or_default();
        Found { span, announcement, resource: spool.resource(&recorder).unwrap() }
    });
    found.collect()
}

/// All of them; some in several ways.
pub(crate) fn all() -> Vec<Call> {
    [said::all(), spans::all()].into_iter().flatten().collect()
}

/// Ends the span, and says which it was.
fn ended(span: Span) -> SpanId {
    span.context().span_id()
}

impl Call {
    fn new(
        name: &'static str,
        record: impl Fn() -> Span + Send + Sync + 'static,
        places: Vec<(&str, Value)>,
    ) -> Self {
        let places = places.into_iter().map(|(place, value)| (place.to_owned(), value)).collect();
        Call { name, record: Box::new(move || ended(record())), places }
    }
}

/// Spans with what is set on them.
macro_rules! calls {
    ($($name:literal: $span:expr, $($place:literal => $expected:expr),+;)*) => {
        vec![$(Call::new($name, || $span, vec![$(($place, Value::from($expected))),+])),*]
    };
}

/// Methods that the builder and the span have.
macro_rules! setters {
    ($($name:ident($($argument:expr),*): $($place:literal => $expected:expr),+;)*) => {
        vec![$(
            Call::new(
                stringify!($name),
                || spanring::span("built").$name($($argument),*).start(),
                vec![$(($place, Value::from($expected))),+],
            ),
            Call::new(
                stringify!($name),
                || {
                    let span = spanring::span("started").start();
                    span.$name($($argument),*);
                    span
                },
                vec![$(($place, Value::from($expected))),+],
            ),
        )*]
    };
}

// Behind the macros, which they use.
mod said;
mod spans;

/// What a spool makes of JSON.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::I64(number),
            (None, Some(number)) => Value::F64(number),
            (None, None) => panic!("{number}"),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => Value::List(items.iter().map(value).collect()),
        Json::Object(pairs) => pairs.iter().map(|(key, item)| (key.clone(), value(item))).collect(),
    }
}

/// Something to set.
fn object() -> Json {
    json!({"q": ["weather", null, {}], "n": 1.5})
}
