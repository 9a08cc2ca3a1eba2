use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use spanring::SpanId;
use spanring_spool::{Position, RecorderId, Resource, SpanData};

use super::watch::ASK_INTERVAL;
use super::*;
use crate::demo::receiver::{Answer, Receiver};
use crate::sink::BatchId;
use crate::sink::tests::span;

/// A sink, and a server that says this of its instance when it is asked, and is broken where it says nothing; how often it was asked.
fn asked(says: Option<Json>) -> (PrefactorSink, Receiver, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&asked);
    let receiver = Receiver::start(move |received| {
        if received.method == "POST" {
            let body = br#"{"details": {"id": "its id"}}"#.to_vec();
            return Answer { body, ..Answer::status(200) };
        }
        kept.lock().unwrap().push(received.path);
        match &says {
            Some(details) => {
                let body = json!({"status": "success", "details": details}).to_string().into_bytes();
                Answer { body, ..Answer::status(200) }
            }
            None => Answer::broken(),
        }
    });
    let receiver = receiver.unwrap();
    let url = Url::parse(&format!("http://{}", receiver.address())).unwrap();
    let sink = PrefactorSink::open("prefactor".to_owned(), &url, &PrefactorOptions::default()).unwrap();
    (sink, receiver, asked)
}

async fn look_after(sink: &mut PrefactorSink, recorder: &RecorderId) -> Vec<TerminationRequest> {
    let process = LiveProcess { recorder, resource: &Resource::default() };
    assert_eq!(sink.look_after(&process).await, Outcome::DELIVERED);
    sink.take_terminations()
}

async fn half_a_minute_passes() {
    tokio::time::pause();
    tokio::time::advance(ASK_INTERVAL).await;
    tokio::time::resume();
}

fn on_a_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn an_instance_whose_process_lives_is_asked_for_every_half_minute_until_it_was_terminated() {
    let says = json!({"status": "terminated", "termination_reason": "by hand"});
    let (mut sink, _receiver, asked) = asked(Some(says));
    on_a_runtime(async {
        let (recorder, other) = (RecorderId::from_parts(1, 2), RecorderId::from_parts(3, 4));
        half_a_minute_passes().await;
        assert_eq!(look_after(&mut sink, &recorder).await, [], "it has no instance");
        let id = BatchId { recorder: &recorder, block: Position::default(), number: 0, part: BatchId::WHOLE };
        let spans = [span(1)];
        let batch = Batch { id, resource: &Resource::default(), spans: (&spans).into(), starts: &[] };
        assert_eq!(sink.deliver(&batch).await, Outcome::DELIVERED);
        assert_eq!(look_after(&mut sink, &recorder).await, [], "it was there just now");
        half_a_minute_passes().await;
        assert_eq!(look_after(&mut sink, &other).await, [], "it has no instance");
        let wanted = TerminationRequest { recorder: recorder.clone(), reason: "by hand".to_owned() };
        assert_eq!(look_after(&mut sink, &recorder).await, [wanted]);
        half_a_minute_passes().await;
        assert_eq!(look_after(&mut sink, &recorder).await, [], "that is known");
    });
    assert_eq!(*asked.lock().unwrap(), ["/api/v1/agent_instance/its%20id"]);
}

#[test]
fn a_process_that_sends_nothing_to_this_exporter_is_asked_for_where_an_earlier_one_has_noted_its_instance() {
    let says = json!({"status": "terminated", "termination_reason": "by hand"});
    let (mut sink, _receiver, asked) = asked(Some(says));
    on_a_runtime(async {
        let recorder = RecorderId::from_parts(1, 2);
        let note = |sort: &[u8], id: &str| Note { key: [sort, &[7; 16]].concat(), value: id.into() };
        let later = Note { key: [&b"v"[..], &[7; 16], &[0, 0]].concat(), value: b"its other id".into() };
        sink.recall_notes(&recorder, vec![note(b"i", "its id"), later]);
        half_a_minute_passes().await;
        let wanted = TerminationRequest { recorder: recorder.clone(), reason: "by hand".to_owned() };
        assert_eq!(look_after(&mut sink, &recorder).await, [wanted]);
    });
    let mut asked = asked.lock().unwrap();
    asked.sort();
    assert_eq!(*asked, ["/api/v1/agent_instance/its%20id", "/api/v1/agent_instance/its%20other%20id"]);
}

/// Says a type.
fn of_type(span: SpanData, name: &str) -> SpanData {
    SpanData { attributes: vec![(spanring::names::TYPE.to_owned(), name.into())], ..span }
}

/// A sink, and what a server was asked that makes another instance of each version of schemas, unless it refuses a request, by its path and body.
fn making(
    refuses: impl Fn(&str, &Json) -> bool + Send + 'static,
) -> (PrefactorSink, Receiver, Arc<Requests>) {
    let asked = Arc::<Requests>::default();
    let kept = Arc::clone(&asked);
    let mut made = HashMap::new();
    let receiver = Receiver::start(move |received| {
        let body: Json = serde_json::from_slice(&received.body).unwrap();
        let is_refused = refuses(&received.path, &body);
        kept.lock().unwrap().push((received.path, body.clone()));
        if is_refused {
            return Answer::status(422);
        }
        let next = made.len();
        let number = *made.entry(body["agent_schema_version"].to_string()).or_insert(next);
        let body = json!({"details": {"id": format!("id-{number}")}}).to_string().into_bytes();
        Answer { body, ..Answer::status(200) }
    });
    let receiver = receiver.unwrap();
    let url = Url::parse(&format!("http://{}", receiver.address())).unwrap();
    let sink = PrefactorSink::open("prefactor".to_owned(), &url, &PrefactorOptions::default()).unwrap();
    (sink, receiver, asked)
}

async fn is_over(sink: &mut PrefactorSink) -> Outcome {
    let (recorder, resource) = (RecorderId::from_parts(1, 2), Resource::default());
    sink.process_over(&Process { recorder: &recorder, resource: &resource, has_died: false }).await
}

#[test]
fn a_process_is_to_stop_where_any_of_its_instances_was_terminated_and_all_are_asked_for_in_turn() {
    // Types turn up one by one, and the server makes another instance of each version of the schemas.
    const TYPES: u64 = 20;
    let (made, terminated) = (Arc::<Mutex<u64>>::default(), Arc::<Mutex<Option<u64>>>::default());
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let (makes, says, kept) = (Arc::clone(&made), Arc::clone(&terminated), Arc::clone(&asked));
    let receiver = Receiver::start(move |received| {
        let mut made = makes.lock().unwrap();
        let mut details = json!({"id": "a span"});
        if received.path.ends_with("/register") {
            *made += 1;
            details = json!({"id": format!("id-{made}")});
        } else if received.method == "GET" {
            let is_it = says.lock().unwrap().is_some_and(|of| received.path.ends_with(&format!("/id-{of}")));
            details = json!({"status": if is_it { "terminated" } else { "active" }});
            kept.lock().unwrap().push(received.path);
        }
        Answer { body: json!({ "details": details }).to_string().into_bytes(), ..Answer::status(200) }
    });
    let receiver = receiver.unwrap();
    let url = Url::parse(&format!("http://{}", receiver.address())).unwrap();
    let mut sink = PrefactorSink::open("prefactor".to_owned(), &url, &PrefactorOptions::default()).unwrap();
    on_a_runtime(async {
        let recorder = RecorderId::from_parts(1, 2);
        for number in 1..=TYPES {
            let spans = [of_type(span(1), &format!("my:{number}"))];
            assert_eq!(deliver(&mut sink, &spans).await, Outcome::DELIVERED);
        }
        let instances = *made.lock().unwrap();
        assert_eq!(instances, 1 + TYPES);
        // In this run, and where an exporter knows them by notes only.
        let notes = sink.take_notes(&recorder);
        let mut again =
            PrefactorSink::open("prefactor".to_owned(), &url, &PrefactorOptions::default()).unwrap();
        again.recall_notes(&recorder, notes);
        for mut sink in [sink, again] {
            *terminated.lock().unwrap() = None;
            asked.lock().unwrap().clear();
            half_a_minute_passes().await;
            for looks in 1..=3 {
                assert_eq!(look_after(&mut sink, &recorder).await, []);
                assert_eq!(asked.lock().unwrap().len() as u64, instances.min(looks * 8));
            }
            assert_eq!(look_after(&mut sink, &recorder).await, [], "it is too early");
            let distinct = asked.lock().unwrap().iter().cloned().collect::<BTreeSet<_>>();
            assert_eq!(distinct.len() as u64, instances, "each was asked for once: {distinct:?}");
            *terminated.lock().unwrap() = Some(1);
            half_a_minute_passes().await;
            let wanted = TerminationRequest { recorder: recorder.clone(), reason: String::new() };
            assert_eq!(look_after(&mut sink, &recorder).await, [wanted]);
        }
    });
}

#[test]
fn where_the_first_of_several_instances_is_not_to_be_finished_the_others_are() {
    let (mut sink, _receiver, asked) = making(|path, _| path.ends_with("id-0/finish"));
    on_a_runtime(async {
        assert_eq!(deliver(&mut sink, &[span(1)]).await, Outcome::DELIVERED);
        assert_eq!(deliver(&mut sink, &[of_type(span(2), "my:type")]).await, Outcome::DELIVERED);
        assert!(matches!(is_over(&mut sink).await, Outcome::Rejected { .. }));
    });
    let paths = paths(&asked);
    let finished: Vec<_> = paths
        .iter()
        .filter(|path| path.starts_with("agent_instance/") && path.ends_with("/finish"))
        .collect();
    assert_eq!(finished.len(), 2, "{paths:?}");
}

#[test]
fn each_instance_that_the_server_makes_has_a_key_of_its_own_by_which_it_is_started_whatever_was_forgotten() {
    let (mut sink, _receiver, asked) = making(|_, _| false);
    on_a_runtime(async {
        let mut deliver_of = async |types: &[&str], is_new: bool| {
            if is_new {
                sink.forget(&RecorderId::from_parts(1, 2));
            }
            let spans: Vec<_> = (1..).zip(types).map(|(number, name)| of_type(span(number), name)).collect();
            assert_eq!(deliver(&mut sink, &spans).await, Outcome::DELIVERED);
        };
        deliver_of(&["a:a"], true).await;
        // As after a kill with nothing noted, where more has come since.
        deliver_of(&["a:a", "b:b"], true).await;
    });
    let asked = asked.lock().unwrap();
    let mut keys = HashMap::new();
    for (path, body) in asked.iter().filter(|(path, _)| path.ends_with("/start")) {
        let key = body["idempotency_key"].as_str().unwrap();
        assert_eq!(keys.entry(key).or_insert(path), &path, "{key} starts two instances");
    }
    assert_eq!(keys.len(), 3);
}

#[test]
fn a_type_that_the_server_refuses_is_the_only_one_that_goes_under_its_kind() {
    let (mut sink, _receiver, asked) =
        making(|path, body| path.ends_with("/register") && body.to_string().contains("bad:bad"));
    on_a_runtime(async {
        let spans =
            [(1, "a:a"), (2, "bad:bad"), (3, "c:c")].map(|(number, name)| of_type(span(number), name));
        let Outcome::Delivered { message, .. } = deliver(&mut sink, &spans).await else { panic!() };
        assert!(message.contains("spans of bad:bad go under their kinds"), "{message}");
    });
    let asked = asked.lock().unwrap();
    let named: Vec<_> =
        asked.iter().filter_map(|(_, body)| body["details"]["schema_name"].as_str()).collect();
    let named: BTreeSet<_> = named.into_iter().collect();
    assert!(named.contains("a:a") && named.contains("c:c") && !named.contains("bad:bad"), "{named:?}");
    assert_eq!(asked.iter().filter(|(path, _)| path.ends_with("/register")).count(), 5);
}

#[test]
fn what_is_delivered_again_is_registered_as_it_was_in_the_end_whatever_of_it_comes() {
    let (mut sink, _receiver, asked) =
        making(|path, body| path.ends_with("/register") && body.to_string().contains("Tool Call"));
    let recorder = RecorderId::from_parts(1, 2);
    let registered = || {
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        let of = asked.into_iter().filter(|(path, _)| path.ends_with("/register"));
        of.map(|(_, body)| body["idempotency_key"].to_string()).collect::<BTreeSet<_>>()
    };
    on_a_runtime(async {
        for (number, name) in [(1, "a:a"), (2, "b:b")] {
            let delivered = deliver(&mut sink, &[of_type(span(number), name)]).await;
            assert!(matches!(delivered, Outcome::Delivered { rejected: 0, .. }), "{delivered:?}");
        }
        let (notes, before) = (sink.take_notes(&recorder), registered());
        sink.forget(&recorder);
        sink.recall_past(&recorder, notes);
        assert_eq!(deliver(&mut sink, &[of_type(span(2), "b:b")]).await, Outcome::DELIVERED);
        let again = registered();
        assert!(again.is_subset(&before) && again.len() == 2, "{again:?} {before:?}");
    });
}

#[test]
fn a_question_that_fails_costs_nothing_and_is_asked_again_in_its_time() {
    let (mut sink, _receiver, asked) = asked(None);
    on_a_runtime(async {
        let recorder = RecorderId::from_parts(1, 2);
        let id = BatchId { recorder: &recorder, block: Position::default(), number: 0, part: BatchId::WHOLE };
        let spans = [span(1)];
        let batch = Batch { id, resource: &Resource::default(), spans: (&spans).into(), starts: &[] };
        assert_eq!(sink.deliver(&batch).await, Outcome::DELIVERED);
        for times in 1..4 {
            half_a_minute_passes().await;
            assert_eq!(look_after(&mut sink, &recorder).await, []);
            assert_eq!(look_after(&mut sink, &recorder).await, []);
            assert_eq!(asked.lock().unwrap().len(), times);
        }
    });
}

/// What a server was asked: paths and bodies.
type Requests = Mutex<Vec<(String, Json)>>;

/// A sink in live mode, and what it has asked a server for that takes all.
fn live() -> (PrefactorSink, Receiver, Arc<Requests>) {
    let asked = Arc::<Requests>::default();
    let kept = Arc::clone(&asked);
    let receiver = Receiver::start(move |received| {
        kept.lock().unwrap().push((received.path, serde_json::from_slice(&received.body).unwrap()));
        let body = br#"{"details": {"id": "its id", "status": "active"}}"#.to_vec();
        Answer { body, ..Answer::status(200) }
    });
    let receiver = receiver.unwrap();
    let url = Url::parse(&format!("http://{}", receiver.address())).unwrap();
    let variable = |name: &str| (name == "PREFACTOR_MODE").then(|| "live".into());
    let options = PrefactorOptions::read(variable).unwrap();
    let sink = PrefactorSink::open("prefactor".to_owned(), &url, &options).unwrap();
    (sink, receiver, asked)
}

fn paths(asked: &Requests) -> Vec<String> {
    asked.lock().unwrap().iter().map(|(path, _)| path.trim_start_matches("/api/v1/").to_owned()).collect()
}

const INSTANCE: [&str; 2] = ["agent_instance/register", "agent_instance/its%20id/start"];
const FINISH: &str = "agent_spans/its%20id/finish";

#[test]
fn what_was_shown_is_not_told_again_and_what_has_no_parent_there_is_not_shown() {
    let (mut sink, _receiver, asked) = live();
    let (recorder, resource) = (RecorderId::from_parts(1, 2), Resource::default());
    let root = SpanData { is_open: true, ..span(1) };
    let child = SpanData { parent_id: Some(root.span_id), is_open: true, ..span(2) };
    on_a_runtime(async {
        let show = |start, end, is_under_another_process| LiveSpan {
            recorder: &recorder,
            resource: &resource,
            start,
            end,
            is_under_another_process,
        };
        let refused = sink.show(&show(Some(&child), None, false)).await;
        assert!(matches!(refused, Outcome::Rejected { .. }), "{refused:?}");
        assert_eq!(paths(&asked), [""; 0]);
        for start in [&root, &child, &root] {
            assert_eq!(sink.show(&show(Some(start), None, false)).await, Outcome::DELIVERED);
        }
        let ended = SpanData { parent_id: child.parent_id, ..span(2) };
        assert_eq!(sink.show(&show(Some(&child), Some(&ended), false)).await, Outcome::DELIVERED);
        let block = Position::default();
        let id = BatchId { recorder: &recorder, block, number: 0, part: BatchId::WHOLE };
        let (spans, starts) = ([span(1), ended.clone()], [root.clone(), child.clone()]);
        let batch = Batch { id, resource: &resource, spans: (&spans).into(), starts: &starts };
        for _ in 0..2 {
            assert_eq!(sink.deliver(&batch).await, Outcome::DELIVERED);
        }
        let elsewhere = SpanData { parent_id: Some(SpanId::from_bytes([9; 8])), ..span(3) };
        assert_eq!(sink.show(&show(None, Some(&elsewhere), true)).await, Outcome::DELIVERED);
    });
    let spans = ["agent_spans", "agent_spans", FINISH, FINISH, "agent_spans", FINISH];
    assert_eq!(paths(&asked), [&INSTANCE[..], &spans].concat());
    let asked = asked.lock().unwrap();
    assert_eq!(asked[3].1["details"]["parent_span_id"], "its id");
    assert!(asked[6].1["details"].get("parent_span_id").is_none());
    assert_eq!(asked[6].1["details"]["payload"]["metadata"]["parent_id"], "09".repeat(8));
}

#[test]
fn a_span_that_comes_by_itself_out_of_the_dead_letters_says_all_of_it_when_it_is_finished() {
    let (mut sink, _receiver, asked) = live();
    let recorder = RecorderId::from_parts(1, 2);
    let id = BatchId { recorder: &recorder, block: Position::default(), number: 0, part: BatchId::ALONE };
    let spans = [span(1)];
    let batch = Batch { id, resource: &Resource::default(), spans: (&spans).into(), starts: &[] };
    on_a_runtime(async { assert_eq!(sink.deliver(&batch).await, Outcome::DELIVERED) });
    assert_eq!(paths(&asked), [&INSTANCE[..], &["agent_spans", FINISH]].concat());
    let asked = asked.lock().unwrap();
    assert_eq!(asked[3].1["result_payload"]["metadata"], asked[2].1["details"]["payload"]["metadata"]);
}

#[test]
fn where_the_announcement_of_a_span_that_was_shown_cannot_be_read_any_more_its_end_says_all() {
    let (mut sink, _receiver, asked) = live();
    let (recorder, resource) = (RecorderId::from_parts(1, 2), Resource::default());
    let started = SpanData { is_open: true, ..span(1) };
    let late = vec![("late".to_owned(), 7.into())];
    let ended = SpanData { attributes: late, ..span(1) };
    on_a_runtime(async {
        let shown = LiveSpan {
            recorder: &recorder,
            resource: &resource,
            start: Some(&started),
            end: None,
            is_under_another_process: false,
        };
        assert_eq!(sink.show(&shown).await, Outcome::DELIVERED);
        let id = BatchId { recorder: &recorder, block: Position::default(), number: 0, part: BatchId::WHOLE };
        let batch =
            Batch { id, resource: &resource, spans: std::slice::from_ref(&ended).into(), starts: &[] };
        assert_eq!(sink.deliver(&batch).await, Outcome::DELIVERED);
    });
    assert_eq!(paths(&asked), [&INSTANCE[..], &["agent_spans", FINISH]].concat());
    assert_eq!(asked.lock().unwrap()[3].1["result_payload"]["metadata"]["late"], 7);
}

#[test]
fn a_span_that_the_server_has_forgotten_is_created_anew_once() {
    let asked = Arc::<Requests>::default();
    let kept = Arc::clone(&asked);
    // The first span once, and the second ever again.
    let mut forgets = vec![true, false, true, true, true];
    let receiver = Receiver::start(move |received| {
        let is_finish = received.path.ends_with("agent_spans/its%20id/finish");
        kept.lock().unwrap().push((received.path, serde_json::from_slice(&received.body).unwrap()));
        if is_finish && (!forgets.is_empty() && forgets.remove(0)) {
            return Answer::status(404);
        }
        Answer { body: br#"{"details": {"id": "its id"}}"#.to_vec(), ..Answer::status(200) }
    });
    let receiver = receiver.unwrap();
    let url = Url::parse(&format!("http://{}", receiver.address())).unwrap();
    let variable = |name: &str| (name == "PREFACTOR_MODE").then(|| "live".into());
    let options = PrefactorOptions::read(variable).unwrap();
    let mut sink = PrefactorSink::open("prefactor".to_owned(), &url, &options).unwrap();
    on_a_runtime(async {
        let recorder = RecorderId::from_parts(1, 2);
        let id = BatchId { recorder: &recorder, block: Position::default(), number: 0, part: BatchId::WHOLE };
        let mut deliver = async |spans: &[SpanData]| {
            sink.deliver(&Batch { id, resource: &Resource::default(), spans: spans.into(), starts: &[] })
                .await
        };
        assert_eq!(deliver(&[span(1)]).await, Outcome::DELIVERED);
        assert!(matches!(deliver(&[span(2)]).await, Outcome::Rejected { .. }));
    });
    let again = ["agent_spans", FINISH, "agent_spans", FINISH];
    assert_eq!(paths(&asked), [&INSTANCE[..], &again, &again].concat());
}

#[test]
fn what_was_answered_beside_a_failure_is_known_and_only_the_rest_is_sent_again() {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&asked);
    let mut fails = HashMap::from([(2, 503), (3, 422)]);
    let receiver = Receiver::start(move |received| {
        let body: Json = serde_json::from_slice(&received.body).unwrap();
        if let Some(span) = body["details"]["payload"]["metadata"]["span_id"].as_str() {
            kept.lock().unwrap().push(span[..2].to_owned());
            if let Some(status) = fails.remove(&span[..2].parse().unwrap()) {
                return Answer::status(status);
            }
        }
        Answer { body: br#"{"details": {"id": "its id"}}"#.to_vec(), ..Answer::status(200) }
    });
    let receiver = receiver.unwrap();
    let url = Url::parse(&format!("http://{}", receiver.address())).unwrap();
    let mut sink = PrefactorSink::open("prefactor".to_owned(), &url, &PrefactorOptions::default()).unwrap();
    on_a_runtime(async {
        let recorder = RecorderId::from_parts(1, 2);
        let id = BatchId { recorder: &recorder, block: Position::default(), number: 0, part: BatchId::WHOLE };
        let mut spans = [1, 2, 3, 4, 5].map(span);
        spans[4].parent_id = Some(spans[1].span_id);
        let batch = Batch { id, resource: &Resource::default(), spans: (&spans).into(), starts: &[] };
        assert!(matches!(sink.deliver(&batch).await, Outcome::Retry { .. }));
        let sorted = || {
            let mut asked = std::mem::take(&mut *asked.lock().unwrap());
            asked.sort();
            asked
        };
        assert_eq!(sorted(), ["01", "02", "03", "04"]);
        assert_eq!(sink.deliver(&batch).await, Outcome::DELIVERED);
        assert_eq!(sorted(), ["02", "03", "05"]);
    });
}

/// A sink that sends in bulk to a server that answers to that, one after the other, what is here made of the keys; how many items it was sent at a time.
fn in_bulk(
    mut answers: impl FnMut(Vec<String>) -> Json + Send + 'static,
) -> (PrefactorSink, Receiver, Arc<Mutex<Vec<usize>>>) {
    let asked = Arc::<Mutex<Vec<usize>>>::default();
    let kept = Arc::clone(&asked);
    let receiver = Receiver::start(move |received| {
        let body: Json = serde_json::from_slice(&received.body).unwrap();
        let body = match body["items"].as_array() {
            None => json!({"details": {"id": "its id"}}),
            Some(items) => {
                kept.lock().unwrap().push(items.len());
                answers(
                    items.iter().map(|item| item["idempotency_key"].as_str().unwrap().to_owned()).collect(),
                )
            }
        };
        Answer { body: body.to_string().into_bytes(), ..Answer::status(200) }
    });
    let receiver = receiver.unwrap();
    let url = Url::parse(&format!("http://{}", receiver.address())).unwrap();
    let mut options = PrefactorOptions::default();
    options.bulk = true;
    let sink = PrefactorSink::open("prefactor".to_owned(), &url, &options).unwrap();
    (sink, receiver, asked)
}

async fn deliver(sink: &mut PrefactorSink, spans: &[SpanData]) -> Outcome {
    let recorder = RecorderId::from_parts(1, 2);
    let id = BatchId { recorder: &recorder, block: Position::default(), number: 0, part: BatchId::WHOLE };
    sink.deliver(&Batch { id, resource: &Resource::default(), spans: spans.into(), starts: &[] }).await
}

fn success() -> Json {
    json!({"status": "success", "details": {"id": "its id"}})
}

#[test]
fn what_the_server_says_nothing_of_is_sent_again_at_once_and_by_itself_where_it_says_nothing_at_all() {
    let mut times = 0;
    let (mut sink, _receiver, asked) = in_bulk(move |keys| {
        times += 1;
        // It takes two at a time, but the third time none.
        let taken = if times == 3 { 0 } else { 2 };
        json!({"outputs": keys.into_iter().take(taken).map(|key| (key, success())).collect::<serde_json::Map<_, _>>()})
    });
    on_a_runtime(async {
        let spans = [1, 2, 3, 4, 5, 6, 7].map(span);
        assert_eq!(deliver(&mut sink, &spans).await, Outcome::DELIVERED);
        assert_eq!(*asked.lock().unwrap(), [7, 5, 3, 2]);
    });
}

#[test]
fn an_item_of_which_is_said_what_makes_no_sense_is_sent_by_itself_and_no_other_is() {
    let mut times = 0;
    let (mut sink, _receiver, asked) = in_bulk(move |keys| {
        times += 1;
        let said = |key: String| match times == 1 && key.ends_with("0202") {
            true => (key, json!({"status": "success", "details": {"id": ["x"]}})),
            false => (key, success()),
        };
        json!({"outputs": keys.into_iter().map(said).collect::<serde_json::Map<_, _>>()})
    });
    on_a_runtime(async {
        let spans = [1, 2, 3].map(span);
        assert_eq!(deliver(&mut sink, &spans).await, Outcome::DELIVERED);
        assert_eq!(*asked.lock().unwrap(), [3]);
    });
}

#[test]
fn that_an_agent_is_to_stop_is_heeded_in_outputs_and_beside_them_also_where_they_are_of_no_use() {
    let control = json!({"terminate": true, "reason": "by hand"});
    for is_beside in [false, true] {
        let control = control.clone();
        let (mut sink, _receiver, _asked) = in_bulk(move |keys| match is_beside {
            true => json!({"outputs": {}, "control": control}),
            false => {
                let mut output = success();
                output["control"] = control.clone();
                json!({"outputs": {keys[0].clone(): output}})
            }
        });
        on_a_runtime(async {
            assert_eq!(deliver(&mut sink, &[1, 2].map(span)).await, Outcome::DELIVERED);
            let reasons: Vec<_> =
                sink.take_terminations().into_iter().map(|request| request.reason).collect();
            assert_eq!(reasons, ["by hand"]);
        });
    }
}
