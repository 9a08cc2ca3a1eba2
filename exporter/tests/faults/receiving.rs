//! The receiver: what it answers, what it has taken, and what it said of that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use spanring_exporter::demo::receiver::{Answer, Break, Received};
use spanring_exporter::otlp::ExportTraceServiceRequest;

use super::Random;

/// The name of the span that every process records beside those with numbers.
const OPEN: &str = "open";
/// The sink reads no more of an answer, in bytes.
const ANSWER_LEN_MAX: usize = 4 * 1024 * 1024;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// How the receiver is for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    /// It takes what it ever takes, though it says so oddly now and then.
    Well,
    /// It fails now and then.
    Troubled,
    /// After so many answers it takes nothing from anybody, and says so by this status.
    Closed { after: usize, status: u16 },
}

/// A receiver's answers.
pub(crate) struct Receiving {
    random: Random,
    pub(crate) mood: Mood,
    /// The media type of the requests it expects.
    pub(crate) media_type: &'static str,
    /// The numbers of the spans that it never takes.
    pub(crate) poisoned: BTreeSet<i64>,
    /// How many spans it takes at once.
    pub(crate) spans_max: usize,
    /// How many bytes.
    pub(crate) bytes_max: usize,
    /// Whether it ever says that it does not want what it takes.
    pub(crate) rejects: bool,
    /// How long it may let an exporter wait that has had enough after a while.
    pub(crate) delay_max_ms: u64,
    /// How often it was asked since it is in this mood.
    pub(crate) answers: usize,
    /// What it has taken: numbers, and none for the span without one.
    pub(crate) taken: BTreeSet<Option<i64>>,
    /// What came, taken or not: a span is the same each time, with its identities, times and status.
    seen: BTreeMap<Option<i64>, Span>,
    /// The requests that differ, by the identities of their spans.
    requests: BTreeMap<Vec<Vec<u8>>, Request>,
    /// Whose spans each key was said of.
    keys: BTreeMap<String, Vec<Vec<u8>>>,
}

struct Request {
    key: String,
    body: Vec<u8>,
    /// How many of its spans it was told last that the receiver does not want, where that could be read.
    rejected: u64,
    /// Whether it was refused, so that it may be divided.
    is_refused: bool,
}

impl Receiving {
    pub(crate) fn new(seed: u64) -> Self {
        Receiving {
            random: Random(seed),
            mood: Mood::Troubled,
            media_type: PROTOBUF,
            poisoned: BTreeSet::new(),
            spans_max: usize::MAX,
            bytes_max: usize::MAX,
            rejects: false,
            delay_max_ms: 0,
            answers: 0,
            taken: BTreeSet::new(),
            seen: BTreeMap::new(),
            requests: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }

    pub(crate) fn is_in(&mut self, mood: Mood) {
        self.mood = mood;
        self.answers = 0;
    }

    pub(crate) fn answer(&mut self, received: &Received) -> Answer {
        self.answers += 1;
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/v1/traces"));
        assert_eq!(received.header("content-type"), Some(self.media_type));
        let spans = spans(received);
        let ids: Vec<_> = spans.iter().map(|span| span.span_id.clone()).collect();
        assert!(!ids.is_empty(), "a request without spans");
        let numbers: Vec<_> = spans.iter().map(number).collect();
        for (number, span) in numbers.iter().zip(spans.iter()) {
            let first = self.seen.entry(*number).or_insert_with(|| span.clone());
            assert_eq!(first, span, "a span comes as another one");
        }
        let key = received.header("idempotency-key").expect("each request has a key");
        let request = self.requests.entry(ids.clone()).or_insert_with(|| Request {
            key: key.to_owned(),
            body: received.body.clone(),
            rejected: 0,
            is_refused: false,
        });
        assert!(request.body == received.body, "the same spans make another request now");
        assert_eq!(request.key, key, "the same request has another key now");
        let of_key = self.keys.entry(key.to_owned()).or_insert_with(|| ids.clone());
        assert!(*of_key == ids, "key {key} is another request's");

        if let Mood::Closed { after, status } = self.mood
            && self.answers > after
        {
            // Whoever followed a redirect would ask for another path.
            let elsewhere = format!("http://{}/elsewhere", received.header("host").unwrap());
            return Answer { headers: vec![("location", elsewhere)], ..Answer::status(status) };
        }
        if spans.len() > self.spans_max || (spans.len() > 1 && received.body.len() > self.bytes_max) {
            request.is_refused = true;
            return Answer::status(413);
        }
        if let Some(failure) = self.failure() {
            return failure;
        }
        if numbers.iter().flatten().any(|number| self.poisoned.contains(number)) {
            self.requests.get_mut(&ids).unwrap().is_refused = true;
            return Answer::status(400);
        }
        self.taken.extend(numbers);
        let (answer, rejected) = self.success(spans.len());
        self.requests.get_mut(&ids).unwrap().rejected = rejected;
        answer
    }

    /// An answer for which the same request may be taken later, if it is to fail.
    fn failure(&mut self) -> Option<Answer> {
        let milliseconds = Duration::from_millis;
        let text = |status, body: &[u8]| Answer { body: body.to_vec(), ..Answer::status(status) };
        let trouble = if self.mood == Mood::Troubled { self.random.pick(40) } else { usize::MAX };
        Some(match trouble {
            0 => Answer::status(500),
            1 => self.too_many_requests(),
            2 => Answer::broken(),
            3 => Answer { delay: self.delay(30), ..Answer::status(503) },
            4 => Answer { pause: milliseconds(3), ..text(503, b"a moment, please") },
            5 => Answer { breaks: Some(Break::InBody), ..text(500, b"a moment, ple") },
            6 => text(503, &vec![b'x'; ANSWER_LEN_MAX + 1]),
            7 => with_type(JSON, text(504, b"<html>a moment, please")),
            8 => with_type(PROTOBUF, text(502, &[0xff; 64])),
            _ => return None,
        })
    }

    fn too_many_requests(&mut self) -> Answer {
        let waits = [
            "0",
            "soon",
            "-1",
            "0.5",
            "",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 99 Nov 2094 08:49:37 GMT",
            // Longer than any of these exporters lives.
            "3600",
            "99999999999999999999999999",
            "Sat, 06 Nov 2094 08:49:37 GMT",
        ];
        let wait = waits[self.random.pick(waits.len())].to_owned();
        Answer { headers: vec![("retry-after", wait)], ..Answer::status(429) }
    }

    /// An answer to spans that it has, and how many of them the exporter learns that it does not want.
    fn success(&mut self, spans: usize) -> (Answer, u64) {
        let trouble = match (self.random.pick(60), self.mood) {
            (0..3, Mood::Well) | (_, Mood::Closed { .. }) => usize::MAX,
            (trouble, _) => trouble,
        };
        let (whole, rejected) = match self.rejects && self.random.pick(3) == 0 {
            true => self.partial_success(spans),
            false => (Answer::status(200), 0),
        };
        match trouble {
            // It has them, and the exporter does not learn it...
            0 | 1 => (Answer::broken(), 0),
            2 => (Answer::status(502), 0),
            3 => (Answer { delay: self.delay(30), ..whole }, rejected),
            // ...or learns it byte by byte, ...
            4 => (Answer { pause: Duration::from_micros(500), ..whole }, rejected),
            // ...or that only, since the rest does not come, or is too much, ...
            5 => (Answer { breaks: Some(Break::InBody), ..whole }, 0),
            6 => (padded(ANSWER_LEN_MAX + 1), 0),
            // ...or is something else.
            7 => (Answer { body: b"<html>".to_vec(), ..Answer::status(200) }, 0),
            8 => (with_type(JSON, Answer { body: b"<html>".to_vec(), ..Answer::status(202) }), 0),
            9 => (with_type(PROTOBUF, Answer { body: vec![0xff; 64], ..Answer::status(200) }), 0),
            10 => (with_type("text/plain", whole), 0),
            11 if self.rejects => (padded(ANSWER_LEN_MAX), 1),
            _ => (whole, rejected),
        }
    }

    /// That it does not want some of what it has, in one of the forms in which that is said, and how many these are.
    fn partial_success(&mut self, spans: usize) -> (Answer, u64) {
        let some = 1 + self.random.below(spans as u64);
        let (said, rejected) = match self.random.pick(8) {
            0 => (i64::MAX, spans as u64),
            1 => (-1, 0),
            _ => (some.cast_signed(), some),
        };
        let json = |number: String| {
            let said = format!(r#"{{"partialSuccess":{{"rejectedSpans":{number},"errorMessage":"old"}}}}"#);
            with_type(JSON, Answer { body: said.into_bytes(), ..Answer::status(200) })
        };
        let answer = match self.random.pick(3) {
            0 => json(said.to_string()),
            1 => json(format!("\"{said}\"")),
            _ => partial_success(said, "old".into()),
        };
        (answer, rejected)
    }

    /// At most so many milliseconds, or as many as it may.
    fn delay(&mut self, max_ms: u64) -> Duration {
        Duration::from_millis(self.random.below(max_ms.max(self.delay_max_ms)))
    }

    /// How many spans the exporters have learned that the receiver does not want. Of a batch that was sent again, the last answer counts:
    /// whatever was said before has died with an exporter, or has not been understood.
    pub(crate) fn rejected(&self) -> u64 {
        self.requests.values().map(|request| request.rejected).sum()
    }

    /// The requests with a span in common are the same, or one is a part of the other, which was refused: batches end where they ended
    /// before, and are divided where they were divided.
    pub(crate) fn assert_same_boundaries(&self, seed: u64) {
        for one in self.requests.keys() {
            for (other, answered) in &self.requests {
                let is_part = |part: &[Vec<u8>], whole: &[Vec<u8>]| {
                    part.len() <= whole.len() && whole.windows(part.len()).any(|at| at == part)
                };
                let is_apart = one.iter().all(|id| !other.contains(id));
                let is_divided = one != other && is_part(one, other);
                assert!(
                    is_apart || one == other || is_divided || is_part(other, one),
                    "seed {seed}: batches overlap"
                );
                assert!(
                    !is_divided || answered.is_refused,
                    "seed {seed}: a batch was divided without reason"
                );
            }
        }
    }
}

fn with_type(media_type: &str, answer: Answer) -> Answer {
    Answer { headers: vec![("content-type", media_type.to_owned())], ..answer }
}

fn partial_success(rejected_spans: i64, error_message: String) -> Answer {
    let partial = ExportTracePartialSuccess { rejected_spans, error_message };
    let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    with_type(PROTOBUF, Answer { body, ..Answer::status(200) })
}

/// That one span is not wanted, in so many bytes.
fn padded(len: usize) -> Answer {
    let around = partial_success(1, "x".repeat(len)).body.len() - len;
    let answer = partial_success(1, "x".repeat(len - around));
    assert_eq!(answer.body.len(), len);
    answer
}

fn spans(received: &Received) -> Vec<Span> {
    let request = match received.header("content-type") {
        Some(JSON) => serde_json::from_slice(&received.body).unwrap(),
        _ => ExportTraceServiceRequest::decode(received.body.as_slice()).unwrap(),
    };
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

/// The number that was set on a span. What else was set on it is checked too.
fn number(span: &Span) -> Option<i64> {
    let value = |value: &Option<AnyValue>| value.clone().and_then(|value| value.value);
    let values: Vec<_> = span.attributes.iter().map(|pair| (pair.key.as_str(), value(&pair.value))).collect();
    match (span.name.as_str(), values.as_slice()) {
        (OPEN, [("set_before_the_kill", Some(Value::StringValue(text)))]) if text == "yes" => None,
        ("step", [("number", Some(Value::IntValue(number)))]) => Some(*number),
        _ => panic!("a span that nobody recorded: {span:?}"),
    }
}
