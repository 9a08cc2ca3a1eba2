//! Spans that are created and finished in bulk.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value as Json;
use spanring_spool::SpoolDir;

use crate::agent::{self, TestSpool};
use crate::server::{Bulk, Server, number, start};
use crate::waves::{WIDTH, assert_recorded_in_order, record_wide_tree};
use crate::{copied, export, live};

fn in_bulk(mut command: Command) -> Command {
    command.env("PREFACTOR_BULK", "true");
    command
}

#[test]
fn a_wave_is_one_request_parents_first_and_nothing_is_created_twice() {
    let spool = TestSpool::new();
    let count = record_wide_tree(&spool);
    let (_receiver, sink, server) = start(Server::default());
    // The second exporter knows nothing of the first.
    for times in 1..=2 {
        let copy = copied(&spool);
        let output = in_bulk(export(&copy, &sink)).arg("--once").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let server = server.lock().unwrap();
        assert_eq!(server.wrong, [""; 0]);
        // The root has nobody to go with.
        assert_eq!((server.spans.len(), server.arrivals.len()), (count, times));
        assert_eq!(server.bulks, [WIDTH, WIDTH].repeat(times));
        assert_eq!(server.spans.iter().filter(|span| span["parent_span_id"].is_null()).count(), 1);
        assert_recorded_in_order(&server);
    }
}

#[test]
fn in_live_mode_what_was_created_in_bulk_is_finished_in_bulk() {
    let spool = TestSpool::new();
    let count = record_wide_tree(&spool);
    let (_receiver, sink, server) = start(Server::default());
    let output = in_bulk(live(&spool, &sink)).arg("--once").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let server = server.lock().unwrap();
    assert_eq!(server.wrong, [""; 0]);
    assert_eq!((server.spans.len(), server.arrivals.len()), (count, 2));
    assert_eq!(server.bulks, [WIDTH, WIDTH, WIDTH, WIDTH]);
    assert!(server.spans.iter().all(|span| span["status"] == "complete"), "{:?}", server.spans);
    assert!(server.finished.len() == count && server.finished.values().all(|times| *times == 1));
}

/// What is there of spans that were numbered, each once but for those that are refused.
fn assert_each_once(server: &Server, count: u64) {
    let mut created = BTreeMap::<_, usize>::new();
    server.spans.iter().for_each(|span| *created.entry(number(span)).or_default() += 1);
    let expected = (0..count).map(Some).chain([None]).filter(|number| !server.poisoned.contains(number));
    assert_eq!(created, expected.map(|number| (number, 1)).collect());
    assert_eq!(server.wrong, [""; 0]);
}

#[test]
fn a_span_that_is_refused_in_the_middle_is_the_only_dead_letter_and_the_only_one_sent_by_itself() {
    let spool = TestSpool::new();
    spool.record_traces(99, 99);
    let poisoned = [Some(50)].into();
    let (_receiver, sink, server) = start(Server { poisoned, ..Server::default() });
    let output = in_bulk(export(&spool, &sink)).args(["--once", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["sinks"][0]["delivered"], &report["sinks"][0]["dead_lettered"]),
        (&99.into(), &1.into())
    );
    assert_eq!(spool.recorders(), [""; 0]);
    let server = server.lock().unwrap();
    assert_each_once(&server, 99);
    let letters = SpoolDir::open(spool.path()).unwrap().dead_letters();
    let names = letters.names().unwrap();
    assert_eq!(names.len(), 1);
    let letter = letters.read(&names[0]).unwrap().unwrap();
    assert_eq!(letter.span.get("number").and_then(|number| number.as_u64()), Some(50));
    assert!(letter.reason.contains("422"), "{}", letter.reason);
    // With all, with its half, and so on, down to itself; and those beside it that had nobody to go with.
    assert_eq!(server.arrivals.len(), 10);
    assert!(server.bulks.contains(&98), "{:?}", server.bulks);
}

#[test]
fn a_server_that_takes_fewer_at_once_is_sent_fewer() {
    let spool = TestSpool::new();
    spool.record_traces(99, 99);
    let (_receiver, sink, server) = start(Server { bulk: Bulk::AtMost(13), ..Server::default() });
    let (status, said) = agent::complaint(in_bulk(export(&spool, &sink)).arg("--once").output().unwrap());
    assert_eq!((status, spool.recorders()), (0, Vec::new()), "{said}");
    let server = server.lock().unwrap();
    assert_each_once(&server, 99);
    // What is left of a wave may be one.
    let alone = server.arrivals.len();
    assert!(alone <= 5 && server.bulks.iter().all(|items| *items <= 13), "{alone}, {:?}", server.bulks);
}

#[test]
fn a_server_that_acts_and_says_nothing_of_use_is_asked_of_each_span_by_itself_and_nothing_is_done_twice() {
    for bulk in [
        Bulk::SaysNothing { has_outputs: true },
        Bulk::SaysNothing { has_outputs: false },
        Bulk::NamesNothing,
    ] {
        let spool = TestSpool::new();
        spool.record_traces(150, 75);
        let (_receiver, sink, server) = start(Server { bulk, ..Server::default() });
        let (status, said) = agent::complaint(in_bulk(export(&spool, &sink)).arg("--once").output().unwrap());
        assert_eq!((status, spool.recorders()), (0, Vec::new()), "{bulk:?}: {said}");
        let told = "so each span is sent by itself: it takes by itself what it refuses in bulk";
        assert_eq!(said.matches(told).count(), 1, "{bulk:?}: {said}");
        let server = server.lock().unwrap();
        assert_each_once(&server, 150);
        assert!(server.bulks.len() <= 12, "{bulk:?}: {:?}", server.bulks);
    }
}

#[test]
fn a_server_that_does_not_know_bulk_requests_is_told_of_each_span_by_itself_and_that_is_said_once() {
    for status in [404, 405, 501, 400, 413, 422] {
        let spool = TestSpool::new();
        spool.record_traces(150, 75);
        let (_receiver, sink, server) = start(Server { bulk: Bulk::Status(status), ..Server::default() });
        let (code, said) = agent::complaint(in_bulk(export(&spool, &sink)).arg("--once").output().unwrap());
        assert_eq!((code, spool.recorders()), (0, Vec::new()), "{status}: {said}");
        let told = "it takes no bulk requests, so each span is sent by itself: it answered ";
        assert_eq!(said.matches(told).count(), 1, "{status}: {said}");
        let server = server.lock().unwrap();
        assert_each_once(&server, 150);
        assert_eq!(server.arrivals.len(), 151, "{status}");
    }
}

#[test]
fn a_token_that_is_wrong_parks_a_bulk_request_too() {
    let spool = TestSpool::new();
    spool.record_traces(10, 10);
    let (_receiver, sink, server) = start(Server { bulk: Bulk::Status(401), ..Server::default() });
    let (status, said) = agent::complaint(in_bulk(export(&spool, &sink)).arg("--once").output().unwrap());
    assert_eq!((status, spool.recorders().len()), (1, 1), "it is kept: {said}");
    assert!(said.contains("it answered 401 Unauthorized"), "{said}");
    assert!(server.lock().unwrap().spans.len() <= 2, "what was sent by itself");
}
