//! `spanring export` to SpanForge, as somebody runs it, and what SpanForge's own SDK reads of it.

#[path = "../agent/mod.rs"]
mod agent;
mod chain;
#[path = "../recorded_runs/mod.rs"]
mod recorded_runs;
mod totals;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{PoisonError, mpsc};
use std::time::Duration;

use serde_json::{Value as Json, json};
use spanring::{Cost, DecisionPoint, ReasoningStep, Tokens, ToolCall};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};
use spanring_exporter::spanforge::Event;
use spanring_spool::Spool;

use self::agent::{TestSpool, complaint, spanring};

#[test]
fn a_recording_process() {
    agent::main();
}

/// A server that answers as the key and `takes` say, and all that it was sent.
fn server(takes: impl Fn(&Received) -> bool + Send + 'static) -> (Receiver, mpsc::Receiver<Received>) {
    let (sender, requests) = mpsc::channel();
    let receiver = Receiver::start(move |request: Received| {
        let is_right = request.header("authorization").is_none_or(|said| said == "Bearer right");
        let status = match (is_right, takes(&request)) {
            (false, _) => 401,
            (true, false) => 400,
            (true, true) => 200,
        };
        sender.send(request).unwrap();
        Answer { body: b"said so".to_vec(), ..Answer::status(status) }
    });
    (receiver.unwrap(), requests)
}

fn once(spool: &TestSpool, sinks: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = spool.export(sinks);
    command.args(["--once", "--deadline", "1s"]).envs(variables.iter().copied());
    command
}

const KEY: &str = "SPANFORGE_CLOUD_API_KEY";

#[test]
fn bad_configuration_is_status_2_before_anything_is_sent() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (server, requests) = server(|_| true);
    let cloud = format!("spanforge+http://{}", server.address());
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (
            &[&cloud],
            &[],
            "cannot use SPANFORGE_CLOUD_API_KEY: SpanForge's cloud cannot be asked without, and no key is set for this address",
        ),
        (
            &[&cloud],
            &[(KEY, "")],
            "cannot use SPANFORGE_CLOUD_API_KEY: SpanForge's cloud cannot be asked without, and no key is set for this address",
        ),
        (
            &[&cloud],
            &[("SPANFORGE_CLOUD_API_KEY_FILE", "/nowhere/at/all")],
            "cannot use SPANFORGE_CLOUD_API_KEY_FILE: the file that it names cannot be read: No such file or directory (os error 2)",
        ),
        (
            &["spanforge", &cloud],
            &[(KEY, "right")],
            "the key of SPANFORGE_CLOUD_API_KEY would go to more than one SpanForge sink",
        ),
        (
            &["spanforge"],
            &[(KEY, "right"), ("SPANFORGE_CLOUD_ENDPOINT", "http://h")],
            "cannot use SPANFORGE_CLOUD_ENDPOINT: the key would go there in the clear; https is needed but for this machine",
        ),
    ];
    for (sinks, variables, told) in cases {
        let output = once(&spool, sinks, variables).output().unwrap();
        assert_eq!(complaint(output), (2, format!("spanring: {told}\n")));
    }
    assert_eq!(requests.try_iter().count(), 0);
    assert_eq!(spool.recorders().len(), 1, "all is kept");
}

#[test]
fn variables_for_spanforge_do_not_concern_other_sinks() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let file = format!("file:{}", spool.file("spans.jsonl").display());
    let output = once(&spool, &[&file], &[("SPANFORGE_CLOUD_API_KEY_FILE", "/nowhere")]).output().unwrap();
    assert_eq!(complaint(output), (0, String::new()));
}

#[test]
fn a_wrong_key_keeps_everything_until_it_is_right() {
    let spool = TestSpool::new();
    spool.record(0, 700);
    let (server, requests) = server(|_| true);
    let endpoint = format!("http://{}/v1/events", server.address());
    let export = |key: &str| {
        complaint(
            once(&spool, &["spanforge"], &[(KEY, key), ("SPANFORGE_CLOUD_ENDPOINT", &endpoint)])
                .output()
                .unwrap(),
        )
    };
    let (status, told) = export("wrong");
    assert!(status == 1 && told.contains("it answered 401 Unauthorized: said so"), "{told}");
    assert!(!told.contains("wrong"), "{told}");
    assert_eq!(requests.try_iter().count(), 1, "nobody asks again at once");
    assert_eq!(export("right"), (0, String::new()));
    let events: usize =
        requests.try_iter().map(|request| str::from_utf8(&request.body).unwrap().lines().count()).sum();
    assert_eq!(events, 701);
    assert_eq!(spool.recorders(), [""; 0]);
}

#[test]
fn a_dead_letter_is_replayed_with_the_key_only_to_where_the_key_is_meant_for() {
    let spool = TestSpool::new();
    spool.record(0, 5);
    let (server, requests) = server(|request| !is_about(request, 3));
    let cloud = format!("spanforge+http://{}", server.address());
    let output = once(&spool, &[&cloud], &[(KEY, "right")]).output().unwrap();
    let (status, told) = complaint(output);
    assert!(status == 1 && told.contains("it answered 400 Bad Request: said so"), "{told}");
    let sent: Vec<_> = requests.try_iter().collect();
    let refused = sent.iter().rfind(|request| is_about(request, 3)).unwrap();

    let replay = |variables: &[(&str, &str)], to: &[&str]| {
        let mut command = spanring();
        command
            .args(["dead-letters", "replay", "--deadline", "0s"])
            .args(to)
            .arg("--spool")
            .arg(spool.path());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + str::from_utf8(&output.stderr).unwrap(),
        )
    };
    let (status, told) = replay(&[(KEY, "right")], &[]);
    assert!(status == Some(1) && told.contains("no key is set for this address"), "{told}");
    assert_eq!(requests.try_iter().count(), 0);

    let endpoint = format!("http://{}/v1/events", server.address());
    let (status, told) = replay(&[(KEY, "right"), ("SPANFORGE_CLOUD_ENDPOINT", &endpoint)], &[]);
    assert!(status == Some(1) && told.contains("1 refused again"), "{told}");
    let again = requests.try_iter().next().unwrap();
    assert_eq!(again.body, refused.body, "it is the event that it was");
    let file = format!("spanforge-file:{}", spool.file("events.jsonl").display());
    assert_eq!(replay(&[], &["--to", &file]), (Some(0), "1 delivered, 0 refused again, 0 kept\n".to_owned()));
    let line = fs::read_to_string(spool.file("events.jsonl")).unwrap();
    let of_refused = Event::from_json(str::from_utf8(&refused.body).unwrap()).unwrap();
    assert_eq!(line, of_refused.to_json() + "\n");
}

fn is_about(request: &Received, number: u64) -> bool {
    let body = str::from_utf8(&request.body).unwrap();
    body.lines().any(|line| {
        let event: Json = serde_json::from_str(line).unwrap();
        event["payload"]["attributes"]["number"] == number
    })
}

#[test]
fn files_of_events_rotate_and_hold_only_events() {
    let spool = TestSpool::new();
    spool.record(0, 3000);
    let dir = spool.file("events");
    fs::create_dir(&dir).unwrap();
    let sink = format!("spanforge-file:{}", dir.join("events.jsonl").display());
    let output = once(&spool, &[&sink], &[]).args(["--rotate", "300KiB"]).output().unwrap();
    assert_eq!(complaint(output), (0, String::new()));
    let mut numbers = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        files += 1;
        for line in fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
            numbers.extend(Event::from_json(line).unwrap().payload["attributes"]["number"].as_u64());
        }
    }
    numbers.sort_unstable();
    assert!(files > 2 && numbers.into_iter().eq(0..3000), "{files} files");

    for (sink, told) in [
        (format!("file:{}", dir.join("events.jsonl").display()), "its first line is no line of OTLP/JSON"),
        (
            format!("spanforge-file:{}", spool.file("notes").display()),
            "its first line is no line of SpanForge's events",
        ),
    ] {
        fs::write(spool.file("notes"), "{\"resourceSpans\":[]}\n").unwrap();
        let (status, said) = complaint(once(&spool, &[&sink], &[]).output().unwrap());
        assert!(status == 2 && said.contains(told), "{said}");
    }
}

/// Everything that has a place in SpanForge, and values that are easily written wrong.
fn record_an_agent(spool: &TestSpool) {
    let patience = Duration::from_secs(60);
    let recording =
        Spool::open(spool.path()).service("7 Größen").service_version("1.2.3+x").environment("staging");
    let recording = recording.start().unwrap();
    let run = spanring::trace("planner").organization("acme").session("s 1").user("u").start();
    let step = run.chain("choose").step_name("choose").step_index(0).set("kept", true).start();
    step.tool_call(&ToolCall {
        id: "call_1",
        function_name: "search",
        status: "success",
        duration_ms: Some(12.0),
        arguments_raw: Some("{}"),
        ..ToolCall::default()
    });
    step.reasoning_step(&ReasoningStep { step_index: 0, reasoning_tokens: 64, ..ReasoningStep::default() });
    step.decision_point(&DecisionPoint {
        id: "d1",
        decision_type: "tool_selection",
        options_considered: &["search"],
        chosen_option: "search",
        rationale: None,
    });
    let call = step.llm("gpt-4o").temperature(0.1 + 0.2).session("s1").user("u1").start();
    call.tokens(Tokens::new(512, 200).cached(128));
    call.cost(Cost::new(0.000_012_8, 2.5e-7).cached_discount(1e-7));
    call.event_with("first", |event| event.set("ms", 1e-5));
    call.set("tiny", 5e-324).set("huge", 1e22).set("unsigned", u64::MAX).set("text", "é\u{1d11e}\u{7f}\n\"");
    let deep = (0..20).fold(json!("deep"), |json, _| json!([json]));
    call.set_value("nested", &deep).input_messages(&json!([{"role": "user", "content": "hi"}]));
    call.complete();
    let total = step.llm("claude-x").cost(Cost::of(0.5)).finish_reason("stop").start();
    total.complete();
    let tool = step.tool("search").start();
    tool.fail("no such host");
    let given_up = step.tool("search").start();
    given_up.cancel();
    step.complete();
    let critic = run.agent("critic").start();
    critic.llm("mistral-small").tokens(Tokens::new(1, 2)).start().complete();
    critic.complete();
    run.termination_reason("done");
    run.complete();
    let slow = spanring::llm("gpt-4o").root().deadline(Duration::from_secs(1)).start_unix_ns(1).start();
    slow.end_at_unix_ns(2_000_000_001);
    let report = recording.stop(patience);
    assert!(report.is_complete, "{report}");
}

/// The variable `SPANRING_SPANFORGE` names a Python in which SpanForge's SDK is installed. Without it there is nothing to test with, and
/// the test says so.
#[test]
fn spanforges_own_sdk_reads_every_event_as_it_was_written() {
    let Some(python) = std::env::var_os("SPANRING_SPANFORGE") else {
        eprintln!("skipped: SPANRING_SPANFORGE names no Python with SpanForge's SDK");
        return;
    };
    let spool = TestSpool::new();
    let _turn = totals::RECORDING.lock().unwrap_or_else(PoisonError::into_inner);
    record_an_agent(&spool);
    recorded_runs::record(&spool.path());
    let (server, requests) = server(|_| true);
    let file = spool.file("events.jsonl");
    let [cloud, hook, file_sink] = [
        format!("spanforge+http://{}", server.address()),
        format!("spanforge-webhook+http://{}", server.address()),
        format!("spanforge-file:{}", file.display()),
    ];
    let variables = [(KEY, "right"), ("SPANFORGE_SIGNING_KEY", "kéy")];
    let output = once(&spool, &[&cloud, &hook, &file_sink], &variables).output().unwrap();
    assert_eq!(complaint(output), (0, String::new()));

    let read = |lines: &str| {
        let mut child = Command::new(&python)
            .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spanforge/read_back.py"), "kéy"])
            .env("PYTHONUTF8", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "SpanForge's SDK refuses what was written");
        serde_json::from_slice::<Json>(&output.stdout).unwrap()
    };
    let mut bodies = [String::new(), String::new()];
    for request in requests.try_iter() {
        let body = String::from_utf8(request.body).unwrap();
        let is_cloud = request.path == "/v1/events";
        for event in body.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()) {
            let events = event.as_array().cloned().unwrap_or(vec![event]);
            for event in events {
                let Json::Object(pairs) = event else { panic!("an event is an object") };
                bodies[usize::from(is_cloud)].push_str(&(Event::from_dict(pairs).unwrap().to_json() + "\n"));
            }
        }
    }
    let lines = fs::read_to_string(file).unwrap();
    let counts = read(&lines);
    let count: u64 = counts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(count, recorded_runs::SPANS as u64 + 9);
    assert!(
        counts["llm.trace.agent.step"] == 1 && counts["llm.trace.agent.completed"].as_u64() >= Some(2),
        "{counts}"
    );
    // The lines of a file are one chain, and requests are several.
    let unchained = |text: &str| {
        let unchained = |line| Event { prev_id: None, signature: None, ..Event::from_json(line).unwrap() };
        let mut lines: Vec<_> = text.lines().map(|line| unchained(line).to_json()).collect();
        lines.sort_unstable();
        lines
    };
    for body in &bodies {
        assert_eq!(read(body), counts);
        assert!(unchained(body) == unchained(&lines), "all three are sent the same events");
    }
}
