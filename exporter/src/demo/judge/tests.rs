//! A judge that always says that all is well proves nothing: it must see what is lost, wrong or made up.

use std::path::Path;

use opentelemetry_proto::tonic::trace::v1::Status;
use spanring::{Kind, SpanId, TraceId};
use spanring_spool::{EventData, SpanData, Value};
use tempfile::TempDir;

use super::*;
use crate::demo::witness::{Record, Witness};
use crate::otlp;

const AGENT: u32 = 5;
const REPLAY: Replay = Replay { agent: AGENT, thread: 0, round: 9 };

/// A span of the script as the agent means it and as it is read from the spool.
struct Meant {
    number: u32,
    data: SpanData,
    start: Content,
    end: Content,
}

fn meant(script: &Script, number: u32, id: u8) -> Meant {
    let scene = script.scene(number).unwrap();
    let trace_id = TraceId::from_bytes([7; 16]);
    let (span_id, parent_id) = (SpanId::from_bytes([id; 8]), SpanId::from_bytes([1; 8]));
    let start = scene.start(Identity {
        trace_id: &trace_id.to_bytes(),
        span_id: &span_id.to_bytes(),
        parent_id: &parent_id.to_bytes(),
    });
    let owned = |pairs: &[(&'static str, Value)]| -> Vec<(String, Value)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    };
    let events = scene.events.iter().map(|event| EventData {
        name: event.name.to_owned(),
        time_unix_ns: 15,
        attributes: owned(&event.attributes),
    });
    let attributes = scene.attributes(REPLAY).map(|said| (said.key.to_owned(), said.value.into_owned()));
    let data = SpanData {
        trace_id,
        span_id,
        parent_id: Some(parent_id),
        name: scene.name.to_owned(),
        kind: scene.kind,
        status: scene.status,
        status_message: scene.status_message.clone(),
        start_unix_ns: 10,
        end_unix_ns: 20,
        attributes: attributes.collect(),
        events: events.collect(),
        ..SpanData::default()
    };
    let end = scene.end(parts(scene, REPLAY).fold(start, Content::and));
    Meant { number, data, start, end }
}

impl Meant {
    /// As it is recovered after so many attributes were set.
    fn interrupted(&self, attributes: usize) -> SpanData {
        let mut data = self.data.clone();
        data.attributes.truncate(attributes);
        data.attributes.push(("error.type".to_owned(), Value::Str("process_exit".to_owned())));
        data.events.clear();
        SpanData { interrupted: true, status: spanring::Status::Error, ..data }
    }

    fn record(&self, what: What) -> Record {
        let content = if matches!(what, What::Started { .. }) { self.start } else { self.end };
        Record { span_id: self.data.span_id, content, replay: REPLAY.number(), what }
    }

    fn started(&self) -> Record {
        self.record(What::Started { number: self.number })
    }
}

/// A judge that has heard a witness who saw this, of an agent with one thread that was killed.
fn judge(records: &[Record]) -> Judge {
    let dir: TempDir = tempfile::tempdir().unwrap();
    witness_in(dir.path(), records);
    let mut judge = Judge::new(1);
    judge.hear(AGENT, true, dir.path()).unwrap();
    judge
}

fn witness_in(dir: &Path, records: &[Record]) {
    let mut witness = Witness::create(dir, 0).unwrap();
    records.iter().for_each(|record| witness.append(record).unwrap());
}

fn receive(judge: &mut Judge, spans: &[SpanData]) {
    let resource = [("service.instance.id".to_owned(), Value::Str(AGENT.to_string()))];
    judge.receive(&otlp::request(&resource, spans));
}

/// What a judge says: lost, wrong, phantoms.
fn verdict(judge: &Judge) -> (u64, u64, u64) {
    (judge.lost(0), judge.count().wrong, judge.phantoms())
}

/// A span with events, one of a model and one of a tool.
fn samples() -> Vec<Meant> {
    let script = Script::bundled();
    let number =
        |is: &dyn Fn(&Scene) -> bool| (0..334).find(|number| is(script.scene(*number).unwrap())).unwrap();
    let numbers = [
        number(&|scene| !scene.events.is_empty()),
        number(&|scene| scene.kind == Kind::Llm),
        number(&|scene| scene.kind == Kind::Tool),
    ];
    numbers.into_iter().zip(2..).map(|(number, id)| meant(&script, number, id)).collect()
}

#[test]
fn spans_that_arrive_as_they_were_meant_are_right_once_or_twice() {
    for sample in samples() {
        let mut judge = judge(&[sample.started(), sample.record(What::Recorded)]);
        assert_eq!(verdict(&judge), (1, 0, 0), "before it arrives");
        receive(&mut judge, std::slice::from_ref(&sample.data));
        receive(&mut judge, std::slice::from_ref(&sample.data));
        assert_eq!(verdict(&judge), (0, 0, 0), "{:?}", judge.faults());
        assert_eq!((judge.count().received, judge.count().delivered), (2, 1));
    }
}

#[test]
fn every_change_of_a_span_is_seen() {
    type Change = fn(&mut SpanData);
    let changes: [Change; 12] = [
        |span| span.name.push('x'),
        |span| span.kind = if span.kind == Kind::Llm { Kind::Tool } else { Kind::Llm },
        |span| span.trace_id = TraceId::from_bytes([8; 16]),
        |span| span.parent_id = None,
        |span| span.attributes.swap(0, 1),
        |span| drop(span.attributes.pop()),
        |span| span.attributes[0].1 = Value::U64(0),
        |span| span.attributes.push(("more".to_owned(), Value::Null)),
        |span| span.events.push(EventData { name: "e".into(), time_unix_ns: 11, attributes: vec![] }),
        |span| span.status_message.push('x'),
        |span| span.end_unix_ns = span.start_unix_ns - 1,
        |span| span.interrupted = true,
    ];
    for sample in samples() {
        for (index, change) in changes.iter().enumerate() {
            let mut judge = judge(&[sample.started(), sample.record(What::Recorded)]);
            let mut changed = sample.data.clone();
            change(&mut changed);
            receive(&mut judge, &[changed]);
            assert_eq!(verdict(&judge), (0, 1, 0), "change {index}");
        }
    }
}

#[test]
fn an_interrupted_span_says_a_beginning_of_what_was_meant_and_all_that_was_seen_to_be_set() {
    for sample in samples() {
        let seen = [sample.started(), sample.record(What::Set { attributes: 3 })];
        let len = sample.data.attributes.len();
        for attributes in 0..=len {
            let mut judge = judge(&seen);
            receive(&mut judge, &[sample.interrupted(attributes)]);
            let wrong = u64::from(attributes < 3);
            assert_eq!(verdict(&judge), (0, wrong, 0), "{attributes} attributes");
        }
        let mut other = sample.interrupted(len);
        other.attributes[len - 1].1 = Value::List(vec![]);
        let mut judge_of_other = judge(&seen);
        receive(&mut judge_of_other, &[other]);
        assert_eq!(verdict(&judge_of_other), (0, 1, 0));

        let mut unmarked = sample.interrupted(len);
        unmarked.attributes.pop();
        let mut judge_of_unmarked = judge(&seen);
        receive(&mut judge_of_unmarked, &[unmarked]);
        assert_eq!(verdict(&judge_of_unmarked), (0, 1, 0));
    }
}

#[test]
fn a_span_whose_end_was_not_witnessed_may_have_ended_all_the_same() {
    for sample in samples() {
        let seen = [sample.started(), sample.record(What::Set { attributes: 3 })];
        let mut judge = judge(&seen);
        assert_eq!(verdict(&judge), (1, 0, 0));
        assert_eq!(judge.lost(1), 0, "it may be the one that the account has as dropped");
        receive(&mut judge, std::slice::from_ref(&sample.data));
        assert_eq!((verdict(&judge), judge.count().ends_unseen), ((0, 0, 0), 1));
    }
}

#[test]
fn what_was_dropped_must_not_arrive_and_is_not_lost() {
    let sample = &samples()[0];
    let mut judge = judge(&[sample.started(), sample.record(What::Dropped)]);
    assert_eq!(verdict(&judge), (0, 0, 0));
    receive(&mut judge, std::slice::from_ref(&sample.data));
    assert_eq!(verdict(&judge), (0, 1, 0));
}

#[test]
fn one_start_of_each_killed_thread_may_be_unseen_and_no_more() {
    let [first, second, third] = &samples()[..] else { panic!("there are three") };
    let mut judge = judge(&[]);
    receive(&mut judge, &[first.interrupted(0)]);
    assert_eq!((verdict(&judge), judge.count().starts_unseen), ((0, 0, 0), 1));
    receive(&mut judge, &[second.interrupted(0)]);
    assert_eq!(verdict(&judge), (0, 0, 1));
    receive(&mut judge, &[third.interrupted(1)]);
    assert_eq!(verdict(&judge), (0, 1, 2), "what was set was set after the start was witnessed");
}

#[test]
fn a_witness_that_saw_an_end_without_a_start_is_not_believed() {
    let sample = &samples()[0];
    let dir = tempfile::tempdir().unwrap();
    witness_in(dir.path(), &[sample.record(What::Recorded)]);
    assert!(Judge::new(1).hear(AGENT, true, dir.path()).is_err());
}

#[test]
fn the_status_of_the_script_is_the_one_of_otlp() {
    let sample = &samples()[0];
    let request = otlp::request(&[], std::slice::from_ref(&sample.data));
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    let status = Status { code: 2, message: sample.data.status_message.clone() };
    assert_eq!(sample.data.status, spanring::Status::Error);
    assert_eq!(span.status.as_ref(), Some(&status));
}
