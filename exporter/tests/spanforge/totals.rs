//! What the runs of agents come to, however their spans lie in the spool and whatever happens on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use spanring::{Cost, Span, Tokens};
use spanring_spool::Level;

use super::*;
use crate::agent::wait_until;

/// Spools are recorded in one at a time in this process.
pub(super) static RECORDING: Mutex<()> = Mutex::new(());

const PATIENCE: Duration = Duration::from_secs(60);

/// Records in blocks that end where `record` says.
fn recorded(spool: &TestSpool, record: impl FnOnce(&Spool)) {
    let _turn = RECORDING.lock().unwrap_or_else(PoisonError::into_inner);
    let recording = Spool::open(spool.path()).service("shop").linger(PATIENCE).start().unwrap();
    record(&recording);
    let report = recording.stop(PATIENCE);
    assert!(report.is_complete && report.ledger.dropped.total() == 0, "{report}");
}

fn cut(spool: &Spool) {
    spool.flush(Level::Spooled, PATIENCE).unwrap();
}

fn call(span: &Span, model: &str) {
    let call = span.llm(model).tokens(Tokens::new(100, 20).cached(10)).cost(Cost::new(0.25, 0.5)).start();
    call.complete();
}

/// A run of two steps, with another run in the second; `then` comes between any two spans.
fn record_run(then: impl Fn()) {
    let run = spanring::trace("planner").start();
    for index in 0..2 {
        let step = run.chain("step").step_name("step").step_index(index).start();
        call(&step, "gpt-4o");
        then();
        step.tool("search").start().complete();
        then();
        if index == 1 {
            let critic = step.agent("critic").start();
            call(&critic, "mistral-small");
            then();
            // What it came to once more, which does not count beside its parts.
            critic.tokens(Tokens::new(100, 20)).cost(Cost::of(0.75));
            critic.complete();
        }
        then();
        step.complete();
        then();
    }
    let given_up = run.tool("never started").prepare();
    given_up.cancel();
    then();
    run.complete();
}

fn totals(steps: u64, models: u64, tools: u64, spans: u64) -> Json {
    let cost = f64::from(u32::try_from(models).unwrap());
    json!({
        "total_steps": steps, "total_model_calls": models, "total_tool_calls": tools,
        "total_token_usage": {
            "input_tokens": 100 * models, "output_tokens": 20 * models, "total_tokens": 120 * models,
            "cached_tokens": 10 * models,
        },
        "total_cost": {
            "input_cost_usd": 0.25 * cost, "output_cost_usd": 0.5 * cost, "total_cost_usd": 0.75 * cost,
        },
        "spans": spans,
    })
}

/// What [`record_run`] comes to, by the name of the agent.
fn expected() -> BTreeMap<String, Json> {
    BTreeMap::from([("planner".to_owned(), totals(2, 3, 2, 9)), ("critic".to_owned(), totals(0, 1, 0, 1))])
}

/// The totals of the runs among some events, by the name of the agent. Each event is there once, or is the same each time.
fn totals_of(events: &[Event]) -> BTreeMap<String, Json> {
    let mut known = BTreeMap::new();
    for event in events {
        let before = known.entry(event.event_id.clone()).or_insert_with(|| event.clone());
        assert_eq!(before.payload, event.payload, "an event is the same however often it comes");
    }
    let runs = known.values().filter(|event| event.event_type == "llm.trace.agent.completed");
    let of_run = |event: &Event| {
        let of = |key: &&str| ((*key).to_owned(), event.payload[*key].clone());
        let keys =
            ["total_steps", "total_model_calls", "total_tool_calls", "total_token_usage", "total_cost"];
        let mut totals: serde_json::Map<_, _> = keys.iter().map(of).collect();
        let spans = event.payload["attributes"]["spanring.run.totals.spans"].clone();
        totals.insert("spans".to_owned(), spans);
        (event.payload["agent_name"].as_str().unwrap().to_owned(), totals.into())
    };
    runs.map(of_run).collect()
}

fn in_file(path: &Path) -> Vec<Event> {
    let lines = fs::read_to_string(path).unwrap_or_default();
    lines.lines().map(|line| Event::from_json(line).unwrap()).collect()
}

fn in_request(request: &Received) -> Vec<Event> {
    let event = |json: Json| match json {
        Json::Object(pairs) => Event::from_dict(pairs).unwrap(),
        json => panic!("{json} is no event"),
    };
    let lines =
        str::from_utf8(&request.body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap());
    let events = lines.flat_map(|line| match line {
        Json::Array(events) => events,
        one => vec![one],
    });
    events.map(event).collect()
}

/// What arrives in a file, at a web hook, and at the cloud.
fn delivered(spool: &TestSpool, more: &[&str]) -> [Vec<Event>; 3] {
    let (server, requests) = server(|_| true);
    let path = spool.file("events.jsonl");
    let [hook, cloud, file] = [
        format!("spanforge-webhook+http://{}/hook", server.address()),
        format!("spanforge+http://{}", server.address()),
        format!("spanforge-file:{}", path.display()),
    ];
    let sinks = [hook.as_str(), &cloud, &file];
    let (status, told) = complaint(once(spool, &sinks, &[(KEY, "right")]).args(more).output().unwrap());
    assert!(status == 0 && told.lines().all(|line| line.contains("recovered")), "{told}");
    let [mut hooked, mut clouded] = [Vec::new(), Vec::new()];
    for request in requests.try_iter() {
        let events = in_request(&request);
        assert!(events.len() <= 512, "{} events", events.len());
        if request.path == "/hook" { hooked.extend(events) } else { clouded.extend(events) }
    }
    [in_file(&path), hooked, clouded]
}

#[test]
fn a_run_comes_to_the_same_in_one_block_in_many_and_along_a_route_with_rules() {
    for more in [&[][..], &["--trace-share", "1"], &["--spans-per-second", "100000"]] {
        let mut all = Vec::new();
        for in_blocks in [false, true] {
            let spool = TestSpool::new();
            recorded(&spool, |recording| {
                record_run(|| {
                    // Of other traces, in the same blocks.
                    spanring::llm("gpt-4o").root().cost(Cost::of(100.0)).start().complete();
                    if in_blocks {
                        cut(recording);
                    }
                });
            });
            for events in delivered(&spool, more) {
                assert_eq!(totals_of(&events), expected(), "{more:?}");
                let ids: BTreeSet<_> = events.iter().map(|event| event.event_id.clone()).collect();
                assert_eq!(ids.len(), events.len());
                all.push(events.len());
            }
        }
        // The run, what is under it, and what is beside it.
        assert_eq!(all, [all[0]; 6]);
    }
}

#[test]
fn a_run_that_takes_its_time_while_an_exporter_follows_is_sent_once_with_all_of_it() {
    let spool = TestSpool::new();
    let path = spool.file("events.jsonl");
    let sink = format!("spanforge-file:{}", path.display());
    let _turn = RECORDING.lock().unwrap_or_else(PoisonError::into_inner);
    let recording = Spool::open(spool.path()).linger(Duration::from_millis(1)).start().unwrap();
    let mut exporter = spool.export(&[&sink]).stdout(Stdio::null()).spawn().unwrap();
    record_run(|| std::thread::sleep(Duration::from_millis(250)));
    cut(&recording);
    wait_until("the run has arrived", || !totals_of(&in_file(&path)).is_empty());
    let events = in_file(&path);
    exporter.kill().unwrap();
    exporter.wait().unwrap();
    assert!(recording.stop(PATIENCE).is_complete);
    assert_eq!((totals_of(&events), events.len()), (expected(), 10));
}

#[test]
fn a_run_of_more_spans_than_are_held_at_once_has_all_of_them_in_its_totals() {
    const STEPS: u64 = 10;
    const CALLS: u64 = 600;
    let spool = TestSpool::new();
    recorded(&spool, |recording| {
        let run = spanring::trace("planner").start();
        for index in 0..STEPS {
            let step = run.chain("step").step_index(index).start();
            for _ in 0..CALLS {
                call(&step, "gpt-4o");
            }
            step.complete();
            cut(recording);
        }
        run.complete();
    });
    let expected = [("planner".to_owned(), totals(STEPS, STEPS * CALLS, 0, STEPS * (CALLS + 1)))];
    for events in delivered(&spool, &[]) {
        assert_eq!(events.len() as u64, STEPS * (CALLS + 1) + 1);
        assert_eq!(totals_of(&events), BTreeMap::from(expected.clone()));
        let order: Vec<_> = events.iter().map(|event| event.timestamp.as_str()).collect();
        assert!(order.is_sorted(), "in the order in which they were recorded");
    }
}

#[test]
fn a_run_that_is_refused_and_replayed_is_the_event_that_it_was() {
    let spool = TestSpool::new();
    recorded(&spool, |recording| record_run(|| cut(recording)));
    let is_run =
        |request: &Received| in_request(request).iter().any(|event| event.payload.contains_key("agent_name"));
    let (server, requests) = server(move |request| !is_run(request));
    let hook = format!("spanforge-webhook+http://{}/hook", server.address());
    let (status, told) = complaint(once(&spool, &[&hook], &[]).output().unwrap());
    assert!(status == 1 && told.contains("it answered 400 Bad Request"), "{told}");
    let refused: Vec<_> = requests.try_iter().filter(is_run).map(|request| in_request(&request)).collect();
    let alone: Vec<_> = refused.into_iter().filter(|events| events.len() == 1).flatten().collect();
    assert_eq!(totals_of(&alone), expected());

    let path = spool.file("events.jsonl");
    let to = format!("spanforge-file:{}", path.display());
    let mut replay = spanring();
    replay.args(["dead-letters", "replay", "--to", &to, "--spool"]).arg(spool.path());
    let output = replay.output().unwrap();
    assert_eq!(output.stdout, b"2 delivered, 0 refused again, 0 kept\n", "{output:?}");
    let replayed = in_file(&path);
    let by_id = |events: &[Event]| -> BTreeMap<_, _> {
        events.iter().map(|event| (event.event_id.clone(), event.clone())).collect()
    };
    assert_eq!(by_id(&replayed), by_id(&alone));
}

#[test]
fn what_is_delivered_again_has_the_same_totals() {
    let spool = TestSpool::new();
    recorded(&spool, |recording| record_run(|| cut(recording)));
    let [first, ..] = delivered(&spool, &["--grace", "1h"]);
    let path = spool.file("again.jsonl");
    let to = format!("spanforge-file:{}", path.display());
    let mut replay = spanring();
    replay.args(["replay", "--since", "1h", "--to", &to, "--spool"]).arg(spool.path());
    let (status, told) = complaint(replay.output().unwrap());
    assert_eq!(status, 0, "{told}");
    assert_eq!(in_file(&path), first);
    assert_eq!(totals_of(&first), expected());
}

#[test]
fn a_span_that_ends_after_its_trace_was_over_does_not_count_in_a_run_that_was_sent() {
    let spool = TestSpool::new();
    let path = spool.file("events.jsonl");
    let sink = format!("spanforge-file:{}", path.display());
    let export = || assert_eq!(complaint(once(&spool, &[&sink], &[]).output().unwrap()), (0, String::new()));
    recorded(&spool, |recording| {
        let run = spanring::trace("planner").start();
        call(&run, "gpt-4o");
        let late = run.llm("gpt-4o").cost(Cost::of(9.0)).start();
        run.complete();
        cut(recording);
        export();
        assert_eq!(totals_of(&in_file(&path)), BTreeMap::from([("planner".to_owned(), totals(0, 1, 0, 1))]));
        late.complete();
    });
    export();
    let events = in_file(&path);
    assert_eq!(totals_of(&events), BTreeMap::from([("planner".to_owned(), totals(0, 1, 0, 1))]));
    assert_eq!((events.len(), &events[2].payload["cost"]["total_cost_usd"]), (3, &json!(9.0)));
}

#[test]
fn an_agent_that_was_killed_has_a_run_with_what_it_had_done() {
    let spool = TestSpool::new();
    spool.start_runs(0, 400, 100).kill();
    let [in_file, hooked, clouded] = delivered(&spool, &[]);
    assert!(in_file == hooked && hooked == clouded);
    let runs = in_file.iter().filter(|event| event.event_type == "llm.trace.agent.completed");
    let runs: Vec<_> = runs.collect();
    assert_eq!(runs.len(), 4);
    for run in &runs {
        agent::assert_totals(run, 400, 100);
    }
    let interrupted = |run: &&&Event| run.payload["attributes"]["spanring.interrupted"] == true;
    assert_eq!(runs.iter().filter(interrupted).count(), 1);
}
