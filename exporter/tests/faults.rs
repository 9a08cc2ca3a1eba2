//! The exporter against a receiver that fails in every way, while the exporter is killed.
//!
//! In each round a process records spans, of which the receiver refuses a few by 400 and never takes them. It answers at random: as it
//! should, with errors that ask for patience, that a request is too large, or not at all, having taken the spans or not. Meanwhile the
//! exporter is killed with SIGKILL at random moments. In the end a last exporter delivers what is left. A second sink takes nothing, so
//! that the spool keeps the first one's account.
//!
//! `SPANRING_EXPORT_ROUNDS` sets how many rounds there are (12 unless said otherwise), `SPANRING_EXPORT_SEED` with which one they begin. A
//! failure names its seed.

mod agent;

use std::collections::BTreeSet;
use std::env;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use spanring_exporter::demo::receiver::{Answer, Receiver};
use spanring_exporter::otlp::ExportTraceServiceRequest;
use spanring_spool::{Cursor, SpoolDir};

use self::agent::TestSpool;

/// The name of the span that every process records beside those with numbers.
const OPEN: &str = "open";

#[test]
fn a_recording_process() {
    agent::main();
}

#[test]
fn whatever_fails_and_whoever_is_killed_each_span_arrives_or_is_a_dead_letter() {
    let setting = |name, default| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let first: u64 = setting("SPANRING_EXPORT_SEED", 1);
    let rounds: u64 = setting("SPANRING_EXPORT_ROUNDS", 12);
    let mut kills = (0, 0);
    for seed in first..first + rounds {
        let (all, at_work) = round(seed);
        kills = (kills.0 + all, kills.1 + at_work);
    }
    eprintln!("{rounds} rounds, {} exporters killed, {} of them while they delivered", kills.0, kills.1);
    assert!(rounds < 12 || kills.1 > 0, "no kill hit an exporter at work");
}

/// Returns how many exporters were killed, and how many of them between their first request and the last.
fn round(seed: u64) -> (usize, usize) {
    let mut random = Random(seed);
    let spool = TestSpool::new();
    let count = 20 + random.below(1500);
    spool.record(0, count);
    let spans = usize::try_from(count).unwrap();
    let poisoned: BTreeSet<i64> = (0..random.below(6)).map(|_| random.below(count).cast_signed()).collect();
    let failing = Failing {
        random: Random(seed ^ 0xfa17),
        poisoned: poisoned.clone(),
        spans_max: [usize::MAX, 512, 100, 7][random.pick(4)],
        fails: true,
        answers: 0,
        taken: BTreeSet::new(),
        requests: Vec::new(),
    };
    let failing = Arc::new(Mutex::new(failing));
    let answering = Arc::clone(&failing);
    let receiver = Receiver::start(move |request| answering.lock().unwrap().answer(&request.body)).unwrap();
    let closed = Receiver::start(|_| Answer::status(401)).unwrap();
    let sinks = [&receiver, &closed].map(|receiver| format!("otlp+http://{}", receiver.address()));
    let sinks = sinks.each_ref().map(String::as_str);

    let (kills, mut at_work) = (random.pick(4), 0);
    for _ in 0..kills {
        let before = failing.lock().unwrap().answers;
        let mut exporter = spool.export(&sinks).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(random.below(400_000)));
        exporter.kill().unwrap();
        exporter.wait().unwrap();
        let failing = failing.lock().unwrap();
        at_work += usize::from(failing.answers > before && failing.taken.len() + poisoned.len() <= spans);
    }
    failing.lock().unwrap().fails = false;
    let (_, report, complaints) = spool.export_once(&sinks);
    assert_eq!(report["sinks"][0]["end"], "complete", "seed {seed}: {report} {complaints}");

    let failing = failing.lock().unwrap();
    let dir = SpoolDir::open(spool.path()).unwrap();
    let letters = dir.dead_letters();
    let aside = letters.names().unwrap().into_iter().map(|name| letters.read(&name).unwrap().unwrap());
    let aside: Vec<_> = aside.map(|letter| letter.span.attributes[0].1.as_i64().unwrap()).collect();
    assert_eq!(aside, poisoned.iter().copied().collect::<Vec<_>>(), "seed {seed}: the dead letters");
    let good = (0..count.cast_signed()).filter(|number| !poisoned.contains(number)).map(Some);
    let good: BTreeSet<_> = good.chain([None]).collect();
    assert!(failing.taken == good, "seed {seed}: {} of {} arrived", failing.taken.len(), good.len());
    failing.assert_same_boundaries(seed);

    let [recorder] = dir.recorders().unwrap().try_into().unwrap();
    let state = Cursor::peek(&dir.recorder_path(&recorder), sinks[0]).unwrap();
    let account = (state.delivered, state.dead_lettered, state.dropped);
    let dead = poisoned.len() as u64;
    assert_eq!(account, (count + 1 - dead, dead, 0), "seed {seed}: the ledger");
    (kills, at_work)
}

/// A receiver's answers.
struct Failing {
    random: Random,
    /// The numbers of the spans that it never takes.
    poisoned: BTreeSet<i64>,
    /// How many spans it takes at once.
    spans_max: usize,
    /// Whether it fails otherwise.
    fails: bool,
    /// How often it was asked.
    answers: usize,
    /// What it has taken: numbers, and none for the span without one.
    taken: BTreeSet<Option<i64>>,
    /// The identities of the spans of each request that differs from all before.
    requests: Vec<Vec<Vec<u8>>>,
}

impl Failing {
    fn answer(&mut self, body: &[u8]) -> Answer {
        self.answers += 1;
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let spans = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        let spans: Vec<Span> = spans.flat_map(|scope| scope.spans).collect();
        let ids: Vec<_> = spans.iter().map(|span| span.span_id.clone()).collect();
        assert!(!ids.is_empty(), "a request without spans");
        if !self.requests.contains(&ids) {
            self.requests.push(ids);
        }
        let numbers: Vec<_> = spans.iter().map(number).collect();
        if spans.len() > self.spans_max {
            return Answer::status(413);
        }
        let trouble = if self.fails { self.random.pick(16) } else { usize::MAX };
        match trouble {
            0 => return Answer::status(500),
            1 => return retry_after("0"),
            2 => return retry_after("soon"),
            3 => return retry_after("Sun, 06 Nov 1994 08:49:37 GMT"),
            4 => return Answer::broken(),
            5 => return Answer { delay: Duration::from_millis(30), ..Answer::status(503) },
            _ => {}
        }
        if numbers.iter().flatten().any(|number| self.poisoned.contains(number)) {
            return Answer::status(400);
        }
        self.taken.extend(numbers);
        match trouble {
            // It has them, and the exporter does not learn it, or not whether it understood.
            6 => Answer::broken(),
            7 => Answer::status(502),
            8 => Answer { body: b"<html>".to_vec(), ..Answer::status(200) },
            _ => Answer::status(200),
        }
    }

    /// The requests with a span in common are the same, or one is a part of the other: batches end where they ended before, and are divided
    /// where they were divided.
    fn assert_same_boundaries(&self, seed: u64) {
        for one in &self.requests {
            for other in &self.requests {
                let is_part =
                    |part: &[Vec<u8>], whole: &[Vec<u8>]| whole.windows(part.len()).any(|at| at == part);
                let is_apart = one.iter().all(|id| !other.contains(id));
                assert!(
                    is_apart || is_part(one, other) || is_part(other, one),
                    "seed {seed}: batches overlap"
                );
            }
        }
    }
}

fn retry_after(value: &str) -> Answer {
    Answer { headers: vec![("retry-after", value.to_owned())], ..Answer::status(429) }
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

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}
