//! What the server has called a span is known to the next exporter too: also one that comes when the trace of its parent was over long ago.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;
use spanring::Context;
use spanring_spool::{Level, Spool};

use crate::agent::{self, TestSpool};
use crate::server::{Refused, Server, named, start};
use crate::{ONE_AT_A_TIME, Running, export, live};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Records a span of this number, under that one, and waits until it is in the spool.
pub(crate) fn record(recorder: &Spool, number: u64, parent: Option<Context>) -> Context {
    record_of_type(recorder, number, parent, None)
}

/// The same of a span that says this type.
pub(crate) fn record_of_type(
    recorder: &Spool,
    number: u64,
    parent: Option<Context>,
    type_name: Option<&str>,
) -> Context {
    let name = format!("span {number}");
    let builder = match parent {
        Some(parent) => spanring::span_named(&name).parent(parent),
        None => spanring::span_named(&name).root(),
    };
    let span = builder.start();
    span.set("number", number);
    if let Some(type_name) = type_name {
        span.type_name(type_name);
    }
    let context = span.context();
    assert!(matches!(span.end(), spanring::Ended::Recorded));
    recorder.flush(Level::Spooled, PATIENCE).unwrap();
    context
}

/// Exports what is there while the process lives, so that the trace is over for now.
pub(crate) fn export_once(mut export: Command) -> String {
    let (status, said) = agent::complaint(export.arg("--once").output().unwrap());
    assert_eq!(status, 0, "{said}");
    said
}

/// Exports until the server has so many spans, and is killed then.
fn export_until(mut export: Command, server: &Mutex<Server>, spans: u64) {
    let exporter = Running(export.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    agent::wait_until("the span is there", || server.lock().unwrap().spans.len() as u64 == spans);
    drop(exporter);
}

fn parent_of(spans: &std::collections::BTreeMap<String, Json>, number: u64) -> Json {
    let span = &spans[&format!("span {number}")];
    assert!(span["payload"]["metadata"].get("parent_id").is_none(), "{span}");
    span["parent_span_id"].clone()
}

/// Each span is under the one before, and all are of one instance that was registered once in an exporter's life.
fn assert_chain(server: &Server, count: u64) {
    assert_eq!(server.wrong, [""; 0]);
    assert_eq!((server.spans.len() as u64, server.instances.len()), (count, 1));
    let spans = named(server);
    for number in 1..count {
        assert_eq!(parent_of(&spans, number), spans[&format!("span {}", number - 1)]["id"], "{number}");
    }
    assert_eq!(server.instances[0].status, "complete");
}

/// Records a chain of so many spans, and has each exported by an exporter of its own, which `export_one` lets run, and all that is left by a last one.
/// What the server has then.
fn exported_one_by_one(
    is_live: bool,
    count: u64,
    export_one: impl Fn(Command, &Mutex<Server>, u64),
) -> Arc<Mutex<Server>> {
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server::default());
    let exporter = || if is_live { live(&spool, &sink) } else { export(&spool, &sink) };
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = Spool::open(spool.path()).service("shop").live(is_live).start().unwrap();
    let mut parent = None;
    for number in 0..count {
        parent = Some(record(&recorder, number, parent));
        export_one(exporter(), &server, number + 1);
    }
    assert!(recorder.stop(PATIENCE).is_complete);
    drop(turn);
    export_once(exporter());
    assert_eq!(spool.recorders(), [""; 0]);
    assert_chain(&server.lock().unwrap(), count);
    server
}

#[test]
fn a_child_that_comes_after_a_restart_is_created_under_its_parent_and_nothing_is_registered_again() {
    for is_live in [false, true] {
        let server = exported_one_by_one(is_live, 4, |export, _, _| drop(export_once(export)));
        assert_eq!(server.lock().unwrap().registrations, 1);
    }
}

#[test]
fn a_child_that_comes_after_an_exporter_was_killed_is_created_under_its_parent() {
    for is_live in [false, true] {
        // The trace of each is over after two seconds, and the exporter is killed as soon as it is there.
        exported_one_by_one(is_live, 3, export_until);
    }
}

#[test]
fn a_child_whose_answer_was_lost_before_a_restart_is_sent_again_with_the_same_body() {
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server { silent: [1].into(), ..Server::default() });
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = Spool::open(spool.path()).service("shop").start().unwrap();
    let root = record(&recorder, 0, None);
    export_once(export(&spool, &sink));
    record(&recorder, 1, Some(root));
    export_until(export(&spool, &sink), &server, 2);
    server.lock().unwrap().silent.clear();
    assert!(recorder.stop(PATIENCE).is_complete);
    drop(turn);
    export_once(export(&spool, &sink));
    assert_chain(&server.lock().unwrap(), 2);
}

#[test]
fn a_process_whose_schemas_were_refused_stays_one_instance_where_the_server_takes_them_later() {
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server { refuses: Refused::Schemas, ..Server::default() });
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = Spool::open(spool.path()).service("shop").start().unwrap();
    let root = record(&recorder, 0, None);
    assert!(export_once(export(&spool, &sink)).contains("it refused the schemas"));
    server.lock().unwrap().refuses = Refused::None;
    record(&recorder, 1, Some(root));
    assert!(recorder.stop(PATIENCE).is_complete);
    drop(turn);
    export_once(export(&spool, &sink));
    assert_chain(&server.lock().unwrap(), 2);
}

/// The files of notes in a spool.
fn notes(spool: &TestSpool) -> Vec<PathBuf> {
    let dir = spool.path().join(&spool.recorders()[0]);
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("notes-")).collect()
}

#[test]
fn damage_to_what_was_noted_is_told_and_costs_parents_and_no_span() {
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server::default());
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = Spool::open(spool.path()).service("shop").start().unwrap();
    let first = record(&recorder, 0, None);
    let second = record(&recorder, 1, None);
    export_once(export(&spool, &sink));
    record(&recorder, 2, Some(first));
    record(&recorder, 3, Some(second));
    let [path] = &notes(&spool)[..] else { panic!("there is one file") };
    let mut bytes = fs::read(path).unwrap();
    let id = bytes.windows(6).position(|at| at == b"span 1").unwrap();
    bytes[id] ^= 1;
    fs::write(path, bytes).unwrap();
    assert!(recorder.stop(PATIENCE).is_complete);
    drop(turn);
    let said = export_once(export(&spool, &sink));
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(name) && said.contains("a note does not check"), "{said}");
    let server = server.lock().unwrap();
    assert_eq!((&server.wrong[..], server.spans.len(), server.instances.len()), (&[][..], 4, 1));
    let spans = named(&server);
    // One of the two has lost the parent that was damaged, and says who that was.
    let orphans: Vec<_> = [2, 3]
        .iter()
        .map(|number| &spans[&format!("span {number}")])
        .filter(|span| span["parent_span_id"].is_null())
        .collect();
    assert_eq!(orphans.len(), 1);
    assert!(orphans[0]["payload"]["metadata"]["parent_id"].is_string());
}
