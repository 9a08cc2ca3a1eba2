//! Types of spans that nobody has declared: they turn up, and the process is registered again with another version of its schemas.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

use serde_json::{Value as Json, json};
use spanring_spool::Spool;

use crate::agent::{self, TestSpool};
use crate::restarts::{PATIENCE, export_once, record, record_of_type};
use crate::server::{Again, Refused, Server, named, start};
use crate::{ONE_AT_A_TIME, copied, export, live};

fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn declared(registered: &Json) -> BTreeSet<&str> {
    let types = registered["agent_schema_version"]["span_type_schemas"].as_array().unwrap();
    types.iter().map(|declared| declared["name"].as_str().unwrap()).collect()
}

fn schema_names(server: &Server) -> Vec<String> {
    named(server).values().map(|span| span["schema_name"].as_str().unwrap().to_owned()).collect()
}

/// All that the server was asked to register, in no order.
fn registrations(server: &Server) -> Vec<&Json> {
    let of = server.answered.values().filter(|(path, ..)| path == "agent_instance/register");
    of.map(|(_, body, _)| body).collect()
}

/// A process whose spans say types, each of which an exporter of its own has come to; what the exporters said.
fn export_types(spool: &TestSpool, sink: &str, is_live: bool) -> String {
    let exporter = || if is_live { live(spool, sink) } else { export(spool, sink) };
    let turn = turn();
    let recorder = Spool::open(spool.path()).service("shop").live(is_live).start().unwrap();
    let mut said = String::new();
    let root = record(&recorder, 0, None);
    said += &export_once(exporter());
    for (number, name) in [(1, "shop:search"), (2, "shop:pay"), (3, "shop:search"), (4, "agent:llm")] {
        record_of_type(&recorder, number, Some(root), Some(name));
        said += &export_once(exporter());
    }
    assert!(recorder.stop(PATIENCE).is_complete);
    drop(turn);
    said + &export_once(exporter())
}

#[test]
fn a_type_that_turns_up_is_declared_by_another_version_of_the_schemas_of_the_same_instance() {
    for is_live in [false, true] {
        let spool = TestSpool::new();
        let (_receiver, sink, server) = start(Server::default());
        export_types(&spool, &sink, is_live);
        assert_eq!(spool.recorders(), [""; 0]);
        let server = server.lock().unwrap();
        assert_eq!(server.wrong, [""; 0]);
        // Once at first, and once for each type that turned up: what is declared is known after a restart.
        assert_eq!((server.registrations, server.instances.len(), server.spans.len()), (3, 1, 5));
        assert_eq!(
            schema_names(&server),
            ["agent:custom", "shop:search", "shop:pay", "shop:search", "agent:llm"]
        );
        let last = &server.instances[0].registered;
        assert!(declared(last).is_superset(&["shop:search", "shop:pay", "agent:llm"].into()));
        let registered = registrations(&server);
        let of =
            |key: &str| registered.iter().map(|body| body[key].to_string()).collect::<BTreeSet<_>>().len();
        assert_eq!((of("external_identifier"), of("agent_schema_version"), of("agent_version")), (1, 3, 1));
        let open = json!({"type": "object", "additionalProperties": true});
        let types = last["agent_schema_version"]["span_type_schemas"].as_array().unwrap();
        let pay = types.iter().find(|declared| declared["name"] == "shop:pay").unwrap();
        assert_eq!(*pay, json!({"name": "shop:pay", "params_schema": open, "result_schema": open}));
        for span in named(&server).values() {
            assert!(span["payload"]["metadata"].get("spanring.type").is_none(), "{span}");
        }
    }
}

#[test]
fn types_that_come_together_are_declared_together_and_a_repetition_registers_nothing_else() {
    let spool = TestSpool::new();
    {
        let _turn = turn();
        let recorder = Spool::open(spool.path()).service("shop").start().unwrap();
        let root = record_of_type(&recorder, 0, None, Some("b:b"));
        for (number, name) in [(1, "a:a"), (2, "c:c"), (3, " no type"), (4, "a:a")] {
            record_of_type(&recorder, number, Some(root), Some(name));
        }
        assert!(recorder.stop(PATIENCE).is_complete);
    }
    let (_receiver, sink, server) = start(Server::default());
    let mut before = None;
    for _ in 0..2 {
        // The second exporter knows nothing of the first.
        let copy = copied(&spool);
        export_once(export(&copy, &sink));
        let server = server.lock().unwrap();
        assert_eq!(server.wrong, [""; 0]);
        assert_eq!((server.instances.len(), server.spans.len()), (1, 5));
        let distinct: BTreeSet<_> = registrations(&server).iter().map(|body| body.to_string()).collect();
        assert_eq!(*before.get_or_insert_with(|| distinct.clone()), distinct);
        assert_eq!(schema_names(&server), ["b:b", "a:a", "c:c", "agent:custom", "a:a"]);
    }
}

#[test]
fn where_the_server_makes_another_instance_of_a_version_spans_go_there_from_then_on_and_both_are_finished() {
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server { again: Again::Instance, ..Server::default() });
    export_types(&spool, &sink, false);
    let server = server.lock().unwrap();
    assert_eq!(server.wrong, [""; 0]);
    assert_eq!(
        schema_names(&server),
        ["agent:custom", "shop:search", "shop:pay", "shop:search", "agent:llm"]
    );
    let of: Vec<_> = named(&server).into_values().map(|span| span["agent_instance_id"].clone()).collect();
    assert_eq!(of, ["instance 1", "instance 2", "instance 3", "instance 3", "instance 3"]);
    let statuses: Vec<_> = server.instances.iter().map(|instance| instance.status.as_str()).collect();
    assert_eq!(statuses, ["complete"; 3]);
    for (number, span) in named(&server).values().enumerate() {
        assert_eq!(span["parent_span_id"].is_null(), number == 0);
    }
}

#[test]
fn where_the_server_refuses_a_version_the_types_go_under_their_kinds_and_that_is_told_and_known() {
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server { again: Again::Nothing, ..Server::default() });
    let said = export_types(&spool, &sink, false);
    let told = "it refused to have more types declared, so spans of shop:search go under their kinds: it answered 409 Conflict";
    assert_eq!(said.matches(told).count(), 1, "{said}");
    let server = server.lock().unwrap();
    assert_eq!(server.wrong, [""; 0]);
    // Neither is asked for again.
    assert_eq!((server.registrations, server.instances.len()), (3, 1));
    assert_eq!(
        schema_names(&server),
        ["agent:custom", "agent:custom", "agent:custom", "agent:custom", "agent:llm"]
    );
    let spans = named(&server);
    assert_eq!(spans["span 2"]["payload"]["metadata"]["spanring.type"], "shop:pay");
}

#[test]
fn where_schemas_are_refused_types_that_turn_up_are_declared_as_open_objects_too() {
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server { refuses: Refused::Schemas, ..Server::default() });
    export_types(&spool, &sink, false);
    let server = server.lock().unwrap();
    assert_eq!(server.wrong, [""; 0]);
    assert_eq!(server.instances.len(), 1);
    assert_eq!(
        schema_names(&server),
        ["agent:custom", "shop:search", "shop:pay", "shop:search", "agent:llm"]
    );
}

#[test]
fn a_span_that_was_refused_keeps_its_parent_and_the_types_of_its_instance_where_it_is_replayed() {
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server { poisoned: [Some(2)].into(), ..Server::default() });
    let turn = turn();
    let recorder = Spool::open(spool.path()).service("shop").start().unwrap();
    let root = record(&recorder, 0, None);
    export_once(export(&spool, &sink));
    for (number, name) in [(1, "shop:search"), (2, "shop:pay")] {
        record_of_type(&recorder, number, Some(root), Some(name));
    }
    assert_eq!(
        export(&spool, &sink).arg("--once").output().unwrap().status.code(),
        Some(1),
        "it is a dead letter"
    );
    server.lock().unwrap().poisoned.clear();
    let mut replay = agent::spanring();
    replay.args(["dead-letters", "replay", "--spool"]).arg(spool.path()).args(["--to", &sink]);
    replay.env("PREFACTOR_API_TOKEN", "secret").env("PREFACTOR_AGENT_ID", "my-agent");
    let output = replay.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(recorder.stop(PATIENCE).is_complete);
    drop(turn);
    export_once(export(&spool, &sink));
    let server = server.lock().unwrap();
    assert_eq!(server.wrong, [""; 0]);
    assert_eq!((server.instances.len(), server.spans.len()), (1, 3));
    let spans = named(&server);
    assert_eq!(spans["span 2"]["parent_span_id"], spans["span 0"]["id"]);
    assert_eq!(spans["span 2"]["schema_name"], "shop:pay");
    assert!(declared(&server.instances[0].registered).is_superset(&["shop:search", "shop:pay"].into()));
}

#[test]
fn a_span_that_was_refused_is_replayed_to_the_instance_with_open_schemas_also_where_the_server_takes_others_by_then()
 {
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server {
        poisoned: [Some(1)].into(),
        refuses: Refused::Schemas,
        again: Again::Instance,
        ..Server::default()
    });
    {
        let _turn = turn();
        let recorder = Spool::open(spool.path()).service("shop").start().unwrap();
        let root = record(&recorder, 0, None);
        record(&recorder, 1, Some(root));
        assert!(recorder.stop(PATIENCE).is_complete);
    }
    let output = export(&spool, &sink).arg("--once").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "it is a dead letter");
    assert_eq!(spool.recorders(), [""; 0], "nothing is left but that");
    {
        let mut server = server.lock().unwrap();
        server.poisoned.clear();
        server.refuses = Refused::None;
        // Else it would refuse all that comes for it.
        server.instances[0].status = "active".to_owned();
    }
    let mut replay = agent::spanring();
    replay.args(["dead-letters", "replay", "--spool"]).arg(spool.path()).args(["--to", &sink]);
    replay.env("PREFACTOR_API_TOKEN", "secret").env("PREFACTOR_AGENT_ID", "my-agent");
    let output = replay.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let server = server.lock().unwrap();
    assert_eq!(server.wrong, [""; 0]);
    assert_eq!((server.instances.len(), server.spans.len()), (1, 2));
    let spans = named(&server);
    assert_eq!(spans["span 1"]["parent_span_id"], spans["span 0"]["id"]);
}
