//! Prefactor's server, while it fails, the process that records is killed, and exporters are killed.
//!
//! The server remembers every idempotency key, with the body that came with it and what it answered, and fails the test where a key comes with another
//! body. In each round a process records spans and is killed with one more open. Exporters deliver to a server that fails in every way, and are killed at
//! random moments; a last one delivers what is left. Then there is one instance, each span was created once, under a parent that was there before it,
//! and what the server refuses are dead letters, and no others.
//!
//! In other rounds exporters in live mode show trees of spans while they are recorded: each is created once and finished once, and has all that was said of
//! it. Beside these an agent is stopped from the server, and holds spans open that are seen there.
//!
//! `SPANRING_PREFACTOR_ROUNDS` sets how many rounds there are (10 unless said otherwise), `SPANRING_PREFACTOR_SEED` with which one they begin. A failure
//! names its seed.

mod agent;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};
use spanring_spool::{Level, Spool, SpoolDir};

use self::agent::TestSpool;

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn a_recording_process() {
    agent::main();
}

/// What the server has seen.
#[derive(Default)]
struct Server {
    random: Random,
    fails: bool,
    /// The spans that it never takes, by their number; none has none.
    poisoned: BTreeSet<Option<u64>>,
    /// Which registrations it never takes.
    refuses: Refused,
    /// By idempotency key: the request, and what was answered.
    answered: HashMap<String, (String, Json, Json)>,
    /// The instances, in the order in which they were registered.
    instances: Vec<Instance>,
    /// The spans, in the order in which they were created, as they are now.
    spans: Vec<Json>,
    /// How often each span was finished, by its identity.
    finished: BTreeMap<String, usize>,
    /// What it says beside in answers about spans.
    control: Option<Json>,
    /// What should not have come.
    wrong: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Refused {
    #[default]
    None,
    /// Those with a type that is more than an open object.
    Schemas,
    All,
}

struct Instance {
    registered: Json,
    status: String,
    /// What was recorded of its quality, in order.
    quality: Vec<(String, Json)>,
}

impl Server {
    fn answer(&mut self, received: &Received) -> Answer {
        let body: Json = serde_json::from_slice(&received.body).unwrap();
        let path = received.path.strip_prefix("/base/api/v1/").unwrap_or_default();
        self.check(received.method == "POST" && !path.is_empty(), || received.path.clone());
        self.check(received.header("authorization") == Some("Bearer secret"), || "no token".to_owned());
        self.check(received.header("content-type") == Some("application/json"), || "no JSON".to_owned());
        if self.fails {
            match self.random.below(40) {
                0 => return Answer::status(500),
                1 => return Answer { headers: vec![("retry-after", "0".to_owned())], ..Answer::status(429) },
                2 => return Answer::broken(),
                3 => return Answer { delay: Duration::from_millis(5), ..Answer::status(503) },
                _ => {}
            }
        }
        let key = [&body["idempotency_key"], &body["details"]["idempotency_key"]];
        let key = key.into_iter().find_map(Json::as_str).unwrap_or_default().to_owned();
        self.check((8..=64).contains(&key.len()), || format!("the key {key:?}"));
        let answer = match self.answered.get(&key) {
            Some((path_before, before, answer)) => {
                let (is_same, answer) = (path_before == path && *before == body, answer.clone());
                self.check(is_same, || format!("{key} comes with {body}"));
                Ok(answer)
            }
            None => self.act(path, &body).inspect(|answer| {
                drop(self.answered.insert(key, (path.to_owned(), body.clone(), answer.clone())));
            }),
        };
        // It has acted, and the exporter may not learn it.
        if self.fails && self.random.below(40) == 0 {
            return Answer::broken();
        }
        match answer {
            Ok(details) => {
                let mut body = json!({"status": "success", "details": details});
                if let Some(control) = self.control.as_ref().filter(|_| path.starts_with("agent_spans")) {
                    body["control"] = control.clone();
                }
                Answer { body: body.to_string().into_bytes(), ..Answer::status(200) }
            }
            Err(status) => {
                let body = json!({"status": "error", "code": "invalid_action", "message": "no"}).to_string();
                Answer { body: body.into_bytes(), ..Answer::status(status) }
            }
        }
    }

    fn act(&mut self, path: &str, body: &Json) -> Result<Json, u16> {
        match path.split('/').collect::<Vec<_>>()[..] {
            ["agent_instance", "register"] if self.refuses(body) => Err(422),
            ["agent_instance", "register"] => {
                let registered = body.clone();
                self.instances.push(Instance {
                    registered,
                    status: "pending".to_owned(),
                    quality: Vec::new(),
                });
                Ok(json!({"id": format!("instance {}", self.instances.len())}))
            }
            ["agent_instance", id, operation] => {
                let id = id.replace("%20", " ");
                let at: usize = id.strip_prefix("instance ").and_then(|at| at.parse().ok()).unwrap();
                if operation == "record_quality" {
                    return self.record_quality(at, body);
                }
                let instance = &mut self.instances[at - 1];
                match (operation, instance.status.as_str()) {
                    ("start", "pending") => instance.status = "active".to_owned(),
                    ("finish", "active") => instance.status = body["status"].as_str().unwrap().to_owned(),
                    _ => return Err(409),
                }
                Ok(json!({ "id": id }))
            }
            ["agent_spans"] => self.create(&body["details"]),
            ["agent_spans", id, "finish"] => {
                let id = id.replace("%20", " ");
                *self.finished.entry(id.clone()).or_default() += 1;
                let span = self.spans.iter_mut().find(|span| span["id"] == id).unwrap();
                if span["status"] != "pending" && span["status"] != "active" {
                    return Err(409);
                }
                for key in ["status", "result_payload"] {
                    span[key] = body[key].clone();
                }
                Ok(span.clone())
            }
            _ => Err(404),
        }
    }

    /// Those of the name `bad` are refused.
    fn record_quality(&mut self, at: usize, body: &Json) -> Result<Json, u16> {
        let name = body["name"].as_str().unwrap().to_owned();
        self.check(body.get("payload").is_some(), || format!("{body} says no payload"));
        if name == "bad" {
            return Err(422);
        }
        let is_active = self.instances[at - 1].status == "active";
        self.check(is_active, || format!("{body} is of no active instance"));
        self.instances[at - 1].quality.push((name, body["payload"].clone()));
        Ok(json!({"id": format!("instance {at}")}))
    }

    fn refuses(&self, registration: &Json) -> bool {
        let open = json!({"type": "object", "additionalProperties": true});
        let types = registration["agent_schema_version"]["span_type_schemas"].as_array().unwrap();
        let is_open = |declared: &Json| {
            *declared == json!({"name": declared["name"], "params_schema": open, "result_schema": open})
        };
        self.refuses == Refused::All || self.refuses == Refused::Schemas && !types.iter().all(is_open)
    }

    fn create(&mut self, details: &Json) -> Result<Json, u16> {
        if self.poisoned.contains(&number(details)) {
            return Err(422);
        }
        let is_known = |at: usize| details["agent_instance_id"] == format!("instance {at}");
        let at = (1..=self.instances.len()).find(|at| is_known(*at));
        self.check(at.is_some_and(|at| self.instances[at - 1].status == "active"), || {
            format!("{details} is of no active instance")
        });
        let declared = |at: usize| {
            let schema = &self.instances[at - 1].registered["agent_schema_version"];
            let types = schema["span_type_schemas"].as_array().unwrap();
            types.iter().any(|declared| declared["name"] == details["schema_name"])
        };
        self.check(at.is_some_and(declared), || format!("{} is not declared", details["schema_name"]));
        let parent = &details["parent_span_id"];
        let is_there = parent.is_null() || self.spans.iter().any(|span| span["id"] == *parent);
        self.check(is_there, || format!("{details} comes before its parent"));
        let mut span = details.clone();
        span["id"] = format!("span {}", self.spans.len() + 1).into();
        self.spans.push(span.clone());
        Ok(span)
    }

    fn check(&mut self, is_right: bool, what: impl FnOnce() -> String) {
        if !is_right {
            self.wrong.push(what());
        }
    }
}

fn number(details: &Json) -> Option<u64> {
    details["payload"]["metadata"]["number"].as_u64()
}

fn start(server: Server) -> (Receiver, String, Arc<Mutex<Server>>) {
    let server = Arc::new(Mutex::new(server));
    let asked = Arc::clone(&server);
    let receiver = Receiver::start(move |received| {
        asked.lock().unwrap_or_else(PoisonError::into_inner).answer(&received)
    });
    let receiver = receiver.unwrap();
    let sink = format!("prefactor+http://{}/base", receiver.address());
    (receiver, sink, server)
}

fn export(spool: &TestSpool, sink: &str) -> Command {
    let mut command = spool.export(&[sink]);
    command.env("PREFACTOR_API_TOKEN", "secret").env("PREFACTOR_AGENT_ID", "my-agent");
    command
}

#[test]
fn whoever_fails_or_is_killed_each_span_is_created_once_or_is_a_dead_letter() {
    let first = setting("SPANRING_PREFACTOR_SEED", 1);
    let rounds = setting("SPANRING_PREFACTOR_ROUNDS", 10);
    let (mut kills, mut at_work) = (0, 0);
    for seed in first..first + rounds {
        let mut random = Random(seed);
        let spool = TestSpool::new();
        let count = 100 + random.below(400);
        let agent = spool.start(0, count);
        let poisoned = (0..random.below(4)).map(|_| Some(random.below(count))).collect();
        let refuses = if random.below(3) == 0 { Refused::Schemas } else { Refused::None };
        let server = Server { random: Random(seed), fails: true, poisoned, refuses, ..Server::default() };
        let (_receiver, sink, server) = start(server);
        let mut agent = Some(agent);
        for _ in 0..1 + random.below(4) {
            let before = server.lock().unwrap().spans.len();
            let mut command = export(&spool, &sink);
            let mut exporter = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_micros(random.below(300_000)));
            exporter.kill().unwrap();
            exporter.wait().unwrap();
            kills += 1;
            let after = server.lock().unwrap().spans.len();
            at_work += usize::from(after > before && (after as u64) < count);
            if random.below(2) == 0
                && let Some(agent) = agent.take()
            {
                agent.kill();
            }
        }
        agent.into_iter().for_each(agent::Agent::kill);
        server.lock().unwrap().fails = false;
        let output = export(&spool, &sink).args(["--once", "--json"]).output().unwrap();
        let server = server.lock().unwrap();
        assert_eq!(server.wrong, [""; 0], "seed {seed}");
        let status = i32::from(!server.poisoned.is_empty());
        assert_eq!(output.status.code(), Some(status), "seed {seed}: {output:?}");
        assert_eq!(spool.recorders(), [""; 0], "seed {seed}: all is delivered");
        let statuses: Vec<_> = server.instances.iter().map(|instance| instance.status.as_str()).collect();
        assert_eq!(statuses, ["failed"], "seed {seed}");
        let mut created = BTreeMap::<_, usize>::new();
        server.spans.iter().for_each(|span| *created.entry(number(span)).or_default() += 1);
        let expected = (0..count).map(Some).chain([None]).filter(|number| !server.poisoned.contains(number));
        assert_eq!(created, expected.map(|number| (number, 1)).collect(), "seed {seed}");
        let letters = SpoolDir::open(spool.path()).unwrap().dead_letters();
        let letters = letters.names().unwrap().into_iter().map(|name| letters.read(&name).unwrap().unwrap());
        let aside: Vec<_> =
            letters.map(|letter| letter.span.get("number").and_then(|number| number.as_u64())).collect();
        assert_eq!(aside.len(), server.poisoned.len(), "seed {seed}");
        assert_eq!(aside.into_iter().collect::<BTreeSet<_>>(), server.poisoned, "seed {seed}");
    }
    eprintln!("{rounds} rounds, {kills} exporters killed, {at_work} of them at work");
    assert!(rounds < 10 || at_work > 0, "no kill hit an exporter at work");
}

fn copied(spool: &TestSpool) -> TestSpool {
    let copy = TestSpool::new();
    let copied = Command::new("cp").arg("-a").arg(spool.path()).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    copy
}

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Records a tree of spans: each that has children has three, and one that was given up before it started.
fn record_tree(spool: &TestSpool, depth: usize) -> usize {
    fn grow(under: &spanring::Span, depth: usize) -> usize {
        spanring::span("given up").parent(under.context()).prepare().cancel();
        let mut count = 1;
        for number in 0..3 {
            let child =
                spanring::span("child").parent(under.context()).input(&json!({ "number": number })).start();
            count += 1 + if depth > 1 { grow(&child, depth - 1) } else { 0 };
            child.complete();
        }
        count
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = Spool::open(spool.path()).service("shop").start().unwrap();
    let root = spanring::trace("root").start();
    let count = 1 + grow(&root, depth);
    root.complete();
    assert!(recorder.stop(Duration::from_secs(60)).is_complete);
    count
}

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

/// A process that is killed when this is dropped, also where a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

const HEEDFUL: &str = "SPANRING_TEST_HEEDFUL";

/// Works until it is told to stop, writes why, and stops in order.
#[test]
fn an_agent_that_heeds_what_it_is_told() {
    let Some(dir) = env::var_os(HEEDFUL).map(PathBuf::from) else { return };
    let spool = Spool::open(dir.join("spool")).service("shop").start().unwrap();
    let began = Instant::now();
    let termination = loop {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody told it to stop");
        assert!(matches!(spanring::span("step").root().start().end(), spanring::Ended::Recorded));
        if let Some(termination) = spool.termination() {
            break termination;
        }
        thread::sleep(Duration::from_millis(5));
    };
    fs::write(dir.join("reason"), termination.reason).unwrap();
    assert!(spool.stop(Duration::from_secs(60)).is_complete);
}

#[test]
fn an_agent_learns_that_the_server_wants_it_stopped_and_all_it_recorded_is_delivered() {
    let capture = "tests/captures/prefactor_core_terminate/003_POST_api_v1_agent_spans.json";
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join(capture);
    let capture: Json = serde_json::from_slice(&fs::read(capture).unwrap()).unwrap();
    let control = Some(capture["response_body"]["control"].clone());
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server { control, ..Server::default() });
    let agent = Command::new(env::current_exe().unwrap())
        .args(["--exact", "an_agent_that_heeds_what_it_is_told", "--nocapture"])
        .env(HEEDFUL, spool.path().parent().unwrap())
        .stdout(Stdio::null())
        .spawn();
    let mut agent = Running(agent.unwrap());
    agent::wait_until("the agent has a recorder", || spool.path().exists() && !spool.recorders().is_empty());
    let log = fs::File::create(spool.file("log")).unwrap();
    let mut command = export(&spool, &sink);
    let exporter = Running(command.args(["--log-format", "json"]).stderr(log).spawn().unwrap());

    assert!(agent.0.wait().unwrap().success());
    assert_eq!(fs::read_to_string(spool.file("reason")).unwrap(), "operator stop");
    agent::wait_until("all is delivered and removed, the termination with it", || {
        let mut names: Vec<_> =
            fs::read_dir(spool.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names == ["exporter.lock", "spanring-spool"]
    });
    drop(exporter);
    let server = server.lock().unwrap();
    assert_eq!(server.wrong, [""; 0]);
    assert_eq!(server.instances.len(), 1);
    let log = fs::read_to_string(spool.file("log")).unwrap();
    let told: Vec<Json> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = told.iter().filter(|told| told["event"] == "termination").collect();
    assert_eq!(told.len(), 1, "{log}");
    assert_eq!((&told[0]["sink"], &told[0]["reason"]), (&sink.into(), &"operator stop".into()));
    assert_eq!(told[0]["recorder"], server.instances[0].registered["external_identifier"]);
}

/// The server's spans by their names.
fn named(server: &Server) -> BTreeMap<String, Json> {
    let name = |span: &Json| span["payload"]["metadata"]["name"].as_str().unwrap().to_owned();
    server.spans.iter().map(|span| (name(span), span.clone())).collect()
}

fn status(server: &Mutex<Server>, name: &str) -> Option<String> {
    let span = named(&server.lock().unwrap()).remove(name)?;
    Some(span["status"].as_str().unwrap().to_owned())
}

fn live(spool: &TestSpool, sink: &str) -> Command {
    let mut command = export(spool, sink);
    command.env("PREFACTOR_MODE", "live");
    command
}

const HOLDING: &str = "SPANRING_TEST_HOLDING";

/// Holds a span and one under it open until it may go on.
#[test]
fn an_agent_that_holds_spans_open() {
    let Some(dir) = env::var_os(HOLDING).map(PathBuf::from) else { return };
    let spool = Spool::open(dir.join("spool")).service("shop").live(true).start().unwrap();
    let may = |what: &str| agent::wait_until(what, || dir.join(what).exists());
    let root = spanring::span("outer").root().start_with(|span| _ = span.input(&json!({"question": 1})));
    let inner = root.llm("gpt-4o").start_with(|span| _ = span.input(&json!({"prompt": "Hi"})));
    may("end the inner one");
    inner.set("late", "yes").temperature(0.5).output(&json!({"text": "Ho"}));
    inner.complete();
    may("end the outer one");
    root.fail(std::io::Error::other("no more"));
    assert!(spool.stop(Duration::from_secs(60)).is_complete);
}

/// Spans are shown while they run, to a live exporter; one that works in this mode then delivers the rest.
fn assert_shown_and_ended(mode: &str) {
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server::default());
    let agent = Command::new(env::current_exe().unwrap())
        .args(["--exact", "an_agent_that_holds_spans_open", "--nocapture"])
        .env(HOLDING, spool.path().parent().unwrap())
        .stdout(Stdio::null())
        .spawn();
    let mut agent = Running(agent.unwrap());
    agent::wait_until("the agent has a recorder", || spool.path().exists() && !spool.recorders().is_empty());
    let mut exporter = Running(live(&spool, &sink).spawn().unwrap());
    let is = |name: &str, expected: &str| status(&server, name).as_deref() == Some(expected);
    agent::wait_until("both run", || is("outer", "active") && is("chat gpt-4o", "active"));
    {
        let spans = named(&server.lock().unwrap());
        assert_eq!(spans["outer"]["payload"]["question"], 1);
        let inner = &spans["chat gpt-4o"];
        assert_eq!(
            (&inner["payload"]["prompt"], &inner["payload"]["model_name"]),
            (&"Hi".into(), &"gpt-4o".into())
        );
        assert_eq!(inner["parent_span_id"], spans["outer"]["id"]);
        assert!(inner.get("result_payload").is_none() && inner.get("finished_at").is_none(), "{inner}");
    }
    if mode == "finished" {
        drop(exporter);
        exporter = Running(export(&spool, &sink).spawn().unwrap());
    }
    fs::write(spool.file("end the inner one"), "").unwrap();
    if mode == "live" {
        agent::wait_until("the inner one has ended", || is("chat gpt-4o", "complete"));
        assert!(is("outer", "active"));
    }
    fs::write(spool.file("end the outer one"), "").unwrap();
    assert!(agent.0.wait().unwrap().success());
    agent::wait_until("all is delivered and removed", || spool.recorders().is_empty());
    drop(exporter);
    let server = server.lock().unwrap();
    // A key comes with another body where the mode is another one.
    assert!(mode == "finished" || server.wrong.is_empty(), "{:?}", server.wrong);
    assert_eq!((server.spans.len(), server.instances.len()), (2, 1));
    assert_eq!(server.finished.values().copied().collect::<Vec<_>>(), [1, 1], "each is finished once");
    assert_eq!(server.instances[0].status, "complete");
    let spans = named(&server);
    let inner = &spans["chat gpt-4o"];
    assert_eq!(inner["status"], "complete");
    assert_eq!(inner["result_payload"]["text"], "Ho");
    let late = &inner["result_payload"]["metadata"];
    assert_eq!((&late["late"], &late["spanring.payload"]["temperature"]), (&"yes".into(), &0.5.into()));
    if mode == "live" {
        assert_eq!(late.as_object().unwrap().len(), 2, "what was said before is not said again: {late}");
    }
    assert_eq!(spans["outer"]["status"], "failed");
    assert_eq!(spans["outer"]["result_payload"]["error"]["message"], "no more");
}

#[test]
fn spans_are_seen_while_they_run_and_how_each_ended_before_its_trace_is_over() {
    assert_shown_and_ended("live");
}

#[test]
fn what_was_shown_is_finished_also_by_an_exporter_that_shows_nothing() {
    assert_shown_and_ended("finished");
}

#[test]
fn a_span_that_was_announced_and_whose_end_was_lost_does_not_run_for_ever() {
    let spool = TestSpool::new();
    let patience = Duration::from_secs(60);
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = Spool::open(spool.path()).service("shop").start().unwrap();
    let root = spanring::span("lost").root().start();
    recorder.flush(Level::Spooled, patience).unwrap();
    let segment = spool.path().join(recorder.id().as_str()).join(format!("{:018}.segment", 1));
    let before = fs::read(&segment).unwrap();
    root.complete();
    drop(spanring::span("kept").root().start());
    recorder.flush(Level::Spooled, patience).unwrap();
    let mut damaged = fs::read(&segment).unwrap();
    let changed = (0..before.len()).filter(|&at| before[at] != damaged[at]).max().unwrap();
    drop(spanring::span("kept too").root().start());
    assert!(recorder.stop(patience).is_complete);
    drop(turn);
    damaged = fs::read(&segment).unwrap();
    damaged[changed] ^= 1;
    fs::write(&segment, damaged).unwrap();

    let (_receiver, sink, server) = start(Server::default());
    let output = live(&spool, &sink).args(["--once", "--json"]).output().unwrap();
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["sinks"][0]["delivered"], 1, "it counts as what it is: {report}");
    let server = server.lock().unwrap();
    assert_eq!(server.wrong, [""; 0]);
    let spans = named(&server);
    assert_eq!(spans.keys().collect::<Vec<_>>(), ["kept too", "lost"]);
    assert_eq!(spans["lost"]["status"], "failed");
    assert_eq!(spans["lost"]["result_payload"]["error"]["error_type"], "spanring.end_lost");
    assert!(server.finished.values().eq(&[1, 1]), "{:?}", server.finished);
}

const TREES: &str = "SPANRING_TEST_TREES";
const TREES_SEED: &str = "SPANRING_TEST_TREES_SEED";
/// How many spans a tree has.
const TREE: u64 = 7;

/// Records trees of spans, some of them over several blocks, and waits to be killed with some open.
#[test]
fn an_agent_that_records_trees() {
    let Some(dir) = env::var_os(TREES).map(PathBuf::from) else { return };
    let spool = Spool::open(dir.join("spool")).service("shop").live(true).linger(Duration::from_millis(1));
    let _spool = spool.start().unwrap();
    let mut random = Random(env::var(TREES_SEED).unwrap().parse().unwrap());
    let mut recorded = 0;
    let mut number = |span: &spanring::Span| {
        span.set("number", recorded);
        recorded += 1;
        fs::write(dir.join("recorded"), "").unwrap();
    };
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut spans = Vec::<spanring::Span>::new();
        for _ in 0..TREE {
            let under = spans.get(usize::try_from(random.below(TREE)).unwrap());
            let builder = match under.or(spans.first()) {
                Some(parent) => parent.child("step"),
                None => spanring::span("step").root(),
            };
            spans.push(builder.start_with(&mut number));
            thread::sleep(Duration::from_millis(random.below(6)));
        }
        while !spans.is_empty() {
            let span = spans.swap_remove(usize::try_from(random.below(spans.len() as u64)).unwrap());
            span.set("late", random.below(100));
            match random.below(8) {
                0 => open.push(span),
                1 => drop(span.fail(std::io::Error::other("no"))),
                _ => drop(span.complete()),
            }
            thread::sleep(Duration::from_millis(random.below(6)));
        }
    }
    fs::write(dir.join("open"), open.len().to_string()).unwrap();
    fs::rename(dir.join("open"), dir.join("ready")).unwrap();
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

#[test]
fn whoever_is_killed_while_spans_are_shown_each_is_created_once_and_finished_once() {
    let first = setting("SPANRING_PREFACTOR_SEED", 1);
    let rounds = setting("SPANRING_PREFACTOR_ROUNDS", 10);
    let count = 10 * TREE;
    let (mut kills, mut shown) = (0, 0);
    for seed in first..first + rounds {
        let mut random = Random(seed);
        let spool = TestSpool::new();
        let agent = Command::new(env::current_exe().unwrap())
            .args(["--exact", "an_agent_that_records_trees", "--nocapture"])
            .env(TREES, spool.path().parent().unwrap())
            .env(TREES_SEED, seed.to_string())
            .stdout(Stdio::null())
            .spawn();
        let agent = Running(agent.unwrap());
        agent::wait_until("the agent records", || spool.file("recorded").exists());
        let poisoned = (0..random.below(3)).map(|_| Some(random.below(count))).collect();
        let (_receiver, sink, server) =
            start(Server { random: Random(seed), fails: true, poisoned, ..Server::default() });
        for _ in 0..1 + random.below(4) {
            let mut command = live(&spool, &sink);
            let exporter = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let exporter = Running(exporter);
            thread::sleep(Duration::from_micros(random.below(600_000)));
            drop(exporter);
            kills += 1;
        }
        shown += server.lock().unwrap().spans.iter().filter(|span| span["status"] == "active").count();
        agent::wait_until("the agent has recorded", || spool.file("ready").exists());
        let open: usize = fs::read_to_string(spool.file("ready")).unwrap().parse().unwrap();
        drop(agent);
        server.lock().unwrap().fails = false;
        let output = live(&spool, &sink).args(["--once", "--json"]).output().unwrap();
        let server = server.lock().unwrap();
        assert_eq!(server.wrong, [""; 0], "seed {seed}");
        let status = i32::from(!server.poisoned.is_empty());
        assert_eq!(output.status.code(), Some(status), "seed {seed}: {output:?}");
        assert_eq!(spool.recorders(), [""; 0], "seed {seed}: all is delivered");
        let statuses: Vec<_> = server.instances.iter().map(|instance| instance.status.as_str()).collect();
        assert_eq!(statuses, ["failed"], "seed {seed}");
        let mut created = BTreeMap::<_, usize>::new();
        server.spans.iter().for_each(|span| *created.entry(number(span)).or_default() += 1);
        let expected = (0..count).map(Some).filter(|number| !server.poisoned.contains(number));
        assert_eq!(created, expected.map(|number| (number, 1)).collect(), "seed {seed}");
        for span in &server.spans {
            assert_eq!(server.finished.get(span["id"].as_str().unwrap()), Some(&1), "seed {seed}: {span}");
            assert!(
                ["complete", "failed"].contains(&span["status"].as_str().unwrap()),
                "seed {seed}: {span}"
            );
        }
        if server.poisoned.is_empty() {
            let roots = server.spans.iter().filter(|span| span["parent_span_id"].is_null()).count();
            assert_eq!(roots as u64, count / TREE, "seed {seed}: every other span is under its parent");
        }
        let interrupted = |span: &&Json| {
            let said = [&span["payload"], &span["result_payload"]];
            said.into_iter().any(|said| said["metadata"]["spanring.interrupted"] == true)
        };
        let aside = SpoolDir::open(spool.path()).unwrap().dead_letters();
        let aside = aside.names().unwrap().into_iter().map(|name| aside.read(&name).unwrap().unwrap().span);
        let aside: Vec<_> = aside.collect();
        let numbers = aside.iter().map(|span| span.get("number").and_then(|number| number.as_u64()));
        assert_eq!(numbers.collect::<BTreeSet<_>>(), server.poisoned, "seed {seed}");
        let interrupted = server.spans.iter().filter(interrupted).count();
        assert_eq!(interrupted + aside.iter().filter(|span| span.interrupted).count(), open, "seed {seed}");
        let late = |span: &&Json| {
            let said = [&span["payload"], &span["result_payload"]];
            said.into_iter().any(|said| said["metadata"]["late"].is_u64())
        };
        assert_eq!(server.spans.iter().filter(late).count(), server.spans.len(), "seed {seed}");
    }
    eprintln!("{rounds} rounds, {kills} exporters killed, {shown} spans ran at the server when the last was");
    assert!(rounds < 10 || shown > 0, "no span was ever shown");
}

/// splitmix64.
#[derive(Default)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
