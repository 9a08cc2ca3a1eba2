//! Spans that are created once they have ended.

use std::time::Duration;

use serde_json::{Value as Json, json};
use spanring_exporter::demo::receiver::{Answer, Receiver};
use spanring_spool::Spool;

use crate::agent::{self, TestSpool};
use crate::server::{Refused, Server, start};
use crate::{copied, export, record_tree};

#[test]
fn a_trace_is_created_parents_first_under_the_identities_that_the_server_gave_and_only_once() {
    let spool = TestSpool::new();
    let count = record_tree(&spool, 5);
    let (_receiver, sink, server) = start(Server::default());
    // The second exporter knows nothing of the first. What is delivered is removed, so each has a copy of the spool.
    for _ in 0..2 {
        let copy = copied(&spool);
        let output = export(&copy, &sink).arg("--once").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(copy.recorders(), [""; 0]);
        let server = server.lock().unwrap();
        assert_eq!(server.wrong, [""; 0]);
        assert_eq!((server.spans.len(), server.instances.len()), (count, 1));
    }
    let server = server.lock().unwrap();
    assert_eq!(server.instances[0].status, "complete");
    assert_eq!(server.instances[0].registered["agent_version"]["name"], "shop");
    assert_eq!(server.instances[0].registered["agent_id"], "my-agent");
    let ours = |span: &Json| span["payload"]["metadata"]["span_id"].as_str().unwrap().to_owned();
    let (roots, others): (Vec<_>, Vec<_>) =
        server.spans.iter().partition(|span| span["parent_span_id"].is_null());
    assert_eq!(roots.len(), 1);
    for span in others {
        let parent = server.spans.iter().find(|parent| parent["id"] == span["parent_span_id"]).unwrap();
        assert_ne!(ours(parent), ours(span));
        let name = span["payload"]["metadata"]["name"].as_str().unwrap();
        assert_eq!(span["status"], if name == "child" { "complete" } else { "cancelled" });
    }
}

#[test]
fn where_the_schemas_are_refused_every_type_is_declared_as_an_open_object_which_is_told_once() {
    let spool = TestSpool::new();
    record_tree(&spool, 1);
    let count = 2 * record_tree(&spool, 1);
    let (_receiver, sink, server) = start(Server { refuses: Refused::Schemas, ..Server::default() });
    // The second exporter knows nothing of the first.
    for _ in 0..2 {
        let copy = copied(&spool);
        let (status, said) = agent::complaint(export(&copy, &sink).arg("--once").output().unwrap());
        assert_eq!((status, copy.recorders()), (0, Vec::new()), "{said}");
        let told = "it refused the schemas, so every type is declared as an open object: it answered 422 Unprocessable Entity";
        assert_eq!(said.matches(told).count(), 1, "{said}");
        let server = server.lock().unwrap();
        assert_eq!(server.wrong, [""; 0]);
        assert_eq!((server.spans.len(), server.instances.len()), (count, 2));
    }
    let (_receiver, sink, _server) = start(Server { refuses: Refused::All, ..Server::default() });
    let (status, said) = agent::complaint(export(&spool, &sink).arg("--once").output().unwrap());
    assert_eq!((status, spool.recorders().len()), (1, 2), "it is parked: {said}");
}

#[test]
fn what_spans_say_of_quality_is_recorded_of_the_instance_and_what_is_refused_of_it_is_told_and_no_loss() {
    let spool = TestSpool::new();
    let recorder = Spool::open(spool.path()).start().unwrap();
    let root = spanring::trace("root").start();
    root.quality("accuracy", &json!({"score": 0.5})).quality("bad", &json!({}));
    let child = spanring::span("child").parent(root.context()).start();
    child.quality("accuracy", &json!({"score": 0.7}));
    child.complete();
    root.quality("tone", &Json::Null);
    root.complete();
    assert!(recorder.stop(Duration::from_secs(60)).is_complete);
    let (_receiver, sink, server) = start(Server::default());
    for _ in 0..2 {
        let copy = copied(&spool);
        let (status, said) = agent::complaint(export(&copy, &sink).arg("--once").output().unwrap());
        assert_eq!((status, copy.recorders()), (0, Vec::new()), "{said}");
        assert_eq!(said.matches("it refused a record of quality of the span ").count(), 1, "{said}");
        let server = server.lock().unwrap();
        assert_eq!(server.wrong, [""; 0]);
        let quality = |name: &str, payload| (name.to_owned(), payload);
        let scores = [json!({"score": 0.5}), json!({"score": 0.7})];
        let expected = [
            quality("accuracy", scores[0].clone()),
            quality("tone", Json::Null),
            quality("accuracy", scores[1].clone()),
        ];
        assert_eq!(server.instances[0].quality, expected);
        let of_root = server.spans.iter().find(|span| span["payload"]["metadata"]["name"] == "root").unwrap();
        assert_eq!(of_root["payload"]["metadata"]["spanring.quality"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn what_the_server_answers_to_a_wrong_token_parks_and_is_said_without_the_token() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let receiver =
        Receiver::start(|_| Answer { body: b"no such token".to_vec(), ..Answer::status(401) }).unwrap();
    let sink = format!("prefactor+http://{}", receiver.address());
    let (status, said) = agent::complaint(export(&spool, &sink).arg("--once").output().unwrap());
    assert_eq!(status, 1);
    assert!(
        said.contains("it answered 401 Unauthorized: no such token") && !said.contains("secret"),
        "{said}"
    );
    assert_eq!(spool.recorders().len(), 1, "it is kept");
}

#[test]
fn the_doctor_sends_one_span_with_the_token() {
    let (_receiver, sink, server) = start(Server::default());
    for number in 1..=2 {
        let mut doctor = agent::spanring();
        let output =
            doctor.args(["doctor", "--to", &sink]).env("PREFACTOR_API_TOKEN", "secret").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let server = server.lock().unwrap();
        assert_eq!(server.wrong, [""; 0]);
        assert_eq!((server.spans.len(), server.instances.len()), (number, 1));
    }
}
