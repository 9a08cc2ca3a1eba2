//! What the command sends to Prefactor, read by the models of Prefactor's own client.
//!
//! A server of ours answers as those models want it, with what the requests said; requests and answers are then parsed by them.
//!
//! The variable `SPANRING_PREFACTOR` names a Python that has `prefactor-http`. Without it there is nothing to test with, and the test says so.

#[path = "../agent/mod.rs"]
mod agent;
#[path = "../recorded_runs/mod.rs"]
mod recorded_runs;

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};
use spanring_spool::Spool;

use self::agent::{TestSpool, complaint, spanring};

/// Takes everything, and keeps what it was asked and what it answered.
#[derive(Default)]
struct Server {
    exchanges: Vec<Json>,
    /// Instances and spans as they are now, by their identities.
    things: HashMap<String, Map<String, Json>>,
}

impl Server {
    fn answer(&mut self, received: &Received) -> Answer {
        let request: Json = serde_json::from_slice(&received.body).unwrap();
        let answer = match received.path.as_str() {
            "/api/v1/bulk" => {
                let output = |item: &Json| {
                    let done = self.act(item["path"].as_str().unwrap(), item);
                    (item["idempotency_key"].as_str().unwrap().to_owned(), done)
                };
                let outputs: Map<_, _> = request["items"].as_array().unwrap().iter().map(output).collect();
                json!({"status": "success", "outputs": outputs})
            }
            path => self.act(path, &request),
        };
        let body = answer.to_string().into_bytes();
        self.exchanges.push(json!({"path": received.path, "request": request, "answer": answer}));
        Answer { body, ..Answer::status(200) }
    }

    fn act(&mut self, path: &str, request: &Json) -> Json {
        let path = path.strip_prefix("/api/v1/").unwrap();
        let thing = match path.split('/').collect::<Vec<_>>()[..] {
            ["agent_instance", "register"] => self.make(&json!({
                "type": "agent_instance", "account_id": "account", "agent_version_id": "version",
                "agent_deployment_id": "deployment", "status": "pending",
                "agent_id": request["agent_id"], "environment_id": request["environment_id"],
                "external_identifier": request["external_identifier"], "purpose": request["purpose"],
            })),
            ["agent_spans"] => {
                let mut span = request["details"].clone();
                span["type"] = "agent_span".into();
                self.make(&span)
            }
            ["agent_instance", id, "start"] => self.change(id, &[("status", "active".into())]),
            ["agent_instance", id, "record_quality"] => {
                // A null takes back what was recorded.
                let quality = match &request["payload"] {
                    Json::Null => json!({}),
                    payload => json!({ request["name"].as_str().unwrap(): payload }),
                };
                self.change(id, &[("quality_payloads", quality)])
            }
            [_, id, "finish"] => self.change(id, &[("status", request["status"].clone())]),
            _ => panic!("{path}"),
        };
        json!({"status": "success", "details": thing})
    }

    fn make(&mut self, thing: &Json) -> Map<String, Json> {
        let id = format!("{:032}", self.things.len() + 1);
        let mut thing = thing.as_object().unwrap().clone();
        thing.insert("id".to_owned(), id.as_str().into());
        for key in ["inserted_at", "updated_at"] {
            thing.insert(key.to_owned(), "2026-11-20T07:02:57.051739Z".into());
        }
        self.things.insert(id, thing.clone());
        thing
    }

    fn change(&mut self, id: &str, changes: &[(&str, Json)]) -> Map<String, Json> {
        let thing = self.things.get_mut(id).expect("it is known");
        thing.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        thing.clone()
    }
}

/// One of each thing that has a request of its own.
fn record_an_agent(spool: &TestSpool) {
    let recorder = Spool::open(spool.path()).service("shop").service_version("1.2.3").start().unwrap();
    let root = spanring::agent("planner").type_name("my:plan").start();
    root.input(&json!({"question": "tea?", "user": {"email": "ann@example.com"}}));
    root.quality("accuracy", &json!({"score": 0.5})).quality("tone", &Json::Null);
    let call = spanring::llm("gpt-4o").parent(root.context()).start();
    call.input_messages(&json!([{"role": "user", "content": "hi"}])).temperature(0.5);
    call.complete();
    spanring::tool("search").parent(root.context()).start().fail("no such host");
    spanring::span("given up").parent(root.context()).prepare().cancel();
    root.complete();
    assert!(recorder.stop(Duration::from_secs(60)).is_complete);
}

const CONFIGURATION: &str = r#"
spool = "spool"

[[sink]]
to = "prefactor"
api_key = "secret"
purpose = "eval"
sensitive_keys = ["user.email"]

[[sink.span_types]]
name = "my:plan"
title = "Plan"
description = "What is to be done"
template = "{{question}}"
params_schema = { type = "object", properties = { question = { type = "string" } } }
result_schema = { type = "object" }

[sink.span_types.data_risk]
action_profile = { read_data = "allowed" }
params_data_categories = { contact_information = "included", classification = "confidential" }

[[sink.quality_schemas]]
name = "accuracy"
title = "Accuracy"
template = "{{score}}"
schema = { type = "object", properties = { score = { type = "number" } } }
"#;

/// What is sent and answered while agents' spans are delivered.
fn exchanged(is_bulk: bool) -> Vec<Json> {
    let spool = &TestSpool::new();
    record_an_agent(spool);
    recorded_runs::record(&spool.path());
    let server = Arc::new(Mutex::new(Server::default()));
    let asked = Arc::clone(&server);
    let receiver = Receiver::start(move |received| asked.lock().unwrap().answer(&received)).unwrap();
    let config = spool.file("export.toml");
    fs::write(&config, CONFIGURATION).unwrap();
    let output = spanring()
        .args(["export", "--once", "--deadline", "5s", "--config"])
        .arg(config)
        .env("PREFACTOR_API_URL", format!("http://{}", receiver.address()))
        .env("PREFACTOR_AGENT_ID", "my-agent")
        .env("PREFACTOR_ENVIRONMENT_ID", "env")
        .env("PREFACTOR_BULK", is_bulk.to_string())
        .output()
        .unwrap();
    assert_eq!(complaint(output), (0, String::new()));
    drop(receiver);
    Arc::into_inner(server).unwrap().into_inner().unwrap().exchanges
}

#[test]
fn prefactors_own_client_understands_what_is_sent_and_what_is_answered() {
    let Some(python) = std::env::var_os("SPANRING_PREFACTOR") else {
        eprintln!("skipped: SPANRING_PREFACTOR names no Python with prefactor-http");
        return;
    };
    let exchanges = exchanged(false);
    let read = |exchanges: &[Json]| {
        let mut child = Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/prefactor_sdk/models.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: String = exchanges.iter().map(|exchange| format!("{exchange}\n")).collect();
        // It may have ended at an earlier line.
        drop(child.stdin.take().unwrap().write_all(lines.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.success() {
            Ok(serde_json::from_slice::<Json>(&output.stdout).unwrap())
        } else {
            Err(said)
        }
    };
    let counts = read(&exchanges).unwrap_or_else(|said| panic!("{said}"));
    let in_bulk = exchanged(true);
    let mut counts_in_bulk = read(&in_bulk).unwrap_or_else(|said| panic!("{said}"));
    assert!(
        counts_in_bulk.as_object_mut().unwrap().remove("bulk").is_some_and(|bulks| bulks.as_u64() > Some(0))
    );
    assert_eq!(counts_in_bulk, counts, "in bulk it is the same");
    assert_eq!(counts["agent_spans"], recorded_runs::SPANS + 4, "{counts}");
    assert_eq!(
        (&counts["agent_instance/record_quality"], &counts["agent_spans/finish"], &counts["sensitive"]),
        (&2.into(), &1.into(), &1.into()),
        "{counts}"
    );
    let instances = counts["agent_instance/register"].as_u64().unwrap();
    assert!(instances >= 2, "{counts}");
    for operation in ["start", "finish"] {
        assert_eq!(counts[format!("agent_instance/{operation}")], instances, "{counts}");
    }

    // The models see what they do not know, and what is not there.
    let of = |path: &str| exchanges.iter().chain(&in_bulk).find(|exchange| exchange["path"] == path).unwrap();
    let (register, create) = (of("/api/v1/agent_instance/register"), of("/api/v1/agent_spans"));
    let bulk = of("/api/v1/bulk");
    for (exchange, pointer, is_needed) in [
        (register, "/request", false),
        (register, "/request/agent_version", true),
        (register, "/request/agent_schema_version/span_type_schemas/0/name", true),
        (register, "/answer/details/agent_deployment_id", true),
        (create, "/request/details", false),
        (create, "/request/details/schema_name", true),
        (create, "/answer/details/agent_instance_id", true),
        (bulk, "/request/items/0/idempotency_key", true),
        (bulk, "/request/items/0/details", false),
        (bulk, "/answer/outputs", true),
    ] {
        let mut other = exchange.clone();
        if is_needed {
            let (object, key) = pointer.rsplit_once('/').unwrap();
            other.pointer_mut(object).unwrap().as_object_mut().unwrap().remove(key);
        } else {
            other.pointer_mut(pointer).unwrap()["extra"] = 1.into();
        }
        assert!(read(&[other]).is_err(), "{pointer}");
    }
}
