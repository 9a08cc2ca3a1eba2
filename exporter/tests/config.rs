//! `spanring export --config`, reloads and stops, and `spanring config check`.

mod agent;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver as Requests};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};
use spanring_exporter::config::Config;
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};

use self::agent::{Arrived, TestSpool, complaint, receiver, spanring, wait_until};

#[test]
fn a_recording_process() {
    agent::main();
}

/// Writes a configuration of this spool with these further lines, and returns where it is.
fn configure(spool: &TestSpool, lines: &str) -> PathBuf {
    let path = spool.file("export.toml");
    // At once, as editors and orchestrators do it: an exporter never reads half of it.
    fs::write(spool.file("new"), format!("spool = \"spool\"\n{lines}")).unwrap();
    fs::rename(spool.file("new"), &path).unwrap();
    path
}

fn export(config: &Path) -> Command {
    let mut command = spanring();
    command.arg("export").arg("--config").arg(config);
    command
}

fn check(config: &Path) -> (i32, String, String) {
    let output = spanring().args(["config", "check"]).arg(config).output().unwrap();
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    let (status, complaints) = complaint(output);
    (status, printed, complaints)
}

/// A receiver that takes everything and tells of each request.
fn telling() -> (Receiver, String, Requests<Received>) {
    let (sender, requests) = mpsc::channel();
    let (receiver, sink, _) = receiver(move |request| {
        // Nobody may listen any more.
        drop(sender.send(request.clone()));
        Some(Answer::status(200))
    });
    (receiver, sink, requests)
}

/// An exporter at work.
struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&said));
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Running { child, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(kill.unwrap().success());
    }

    fn times(&self, what: &str) -> usize {
        self.said().matches(what).count()
    }

    /// Asks for a reload, and waits until this is said once more.
    fn reload(&mut self, until: &str) {
        let before = self.times(until);
        self.signal("HUP");
        wait_until(until, || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the exporter ended with {ended:?}: {}", self.said());
            self.times(until) > before
        });
    }

    /// Waits for its end, and returns what it printed, as far as nobody else has read it.
    fn end(mut self) -> (ExitStatus, String) {
        let mut ended = None;
        wait_until("the exporter ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        let mut printed = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut printed).unwrap();
        }
        (ended.unwrap(), printed)
    }

    fn stop(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const REOPENED: &str = "the sinks are open anew";
const UNCHANGED: &str = "not reloaded, nothing changes: ";

#[test]
fn each_sink_of_a_file_is_asked_as_the_file_says_and_gets_no_secret_of_another() {
    let spool = TestSpool::new();
    // More than three batches, and so as many lines.
    spool.record(0, 3000);
    let (_first, first, of_first) = telling();
    let (_second, second, of_second) = telling();
    let (_third, third, of_third) = telling();
    fs::write(spool.file("token"), "first secret\n").unwrap();
    let config = configure(
        &spool,
        &format!(
            r#"
            [[sink]]
            to = "{first}/base"
            protocol = "http/json"
            compression = "none"
            headers = {{ authorization = {{ file = "token", prefix = "Bearer " }} }}
            [[sink]]
            to = "{second}"
            headers = {{ api-key = {{ env = "API_KEY" }} }}
            [[sink]]
            to = "otlp"
            [[sink]]
            to = "file:spans.jsonl"
            rotate = "1KiB"
            keep = 2
            compress = "zstd"
            "#
        ),
    );
    let endpoint = third.strip_prefix("otlp+").unwrap();
    let output = export(&config)
        .args(["--once", "--json", "--deadline", "5s"])
        .env("API_KEY", "second secret")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "of-environment=third%20secret")
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(complaint(output), (0, String::new()), "{report}");
    assert_eq!(report["sinks"].as_array().unwrap().len(), 4, "{report}");
    let secrets = [
        (of_first, "authorization", "Bearer first secret"),
        (of_second, "api-key", "second secret"),
        (of_third, "of-environment", "third secret"),
    ];
    for (number, (requests, name, secret)) in secrets.into_iter().enumerate() {
        let requests: Vec<_> = requests.try_iter().collect();
        assert!(!requests.is_empty());
        for request in requests {
            assert_eq!(request.header(name), Some(secret));
            let shown = format!("{:?}", request.headers);
            assert_eq!(shown.matches("secret").count(), 1, "{shown}");
            let is_json = request.body.starts_with(br#"{"resourceSpans""#);
            let is_plain = request.header("content-encoding").is_none();
            let path = if number == 0 { "/base/v1/traces" } else { "/v1/traces" };
            assert_eq!((is_json, is_plain, request.path.as_str()), (number == 0, number == 0, path));
        }
    }
    let is_rotated = |entry: &fs::DirEntry| entry.file_name().to_str().unwrap().starts_with("spans.jsonl.");
    let dir = fs::read_dir(spool.file("")).unwrap().map(Result::unwrap);
    let rotated: Vec<_> = dir.filter(is_rotated).map(|entry| entry.path()).collect();
    assert_eq!(rotated.len(), 2, "{rotated:?}");
    assert!(rotated.iter().all(|path| path.extension().unwrap() == "zst"), "{rotated:?}");
    assert_eq!(spool.recorders(), [""; 0]);
}

/// A server of any system, which names an identity as Prefactor's does, and tells of each request.
fn anybody() -> (Receiver, Requests<Received>) {
    let (sender, requests) = mpsc::channel();
    let receiver = Receiver::start(move |request| {
        drop(sender.send(request));
        let body = br#"{"status": "success", "details": {"id": "1"}}"#.to_vec();
        Answer { body, ..Answer::status(200) }
    });
    (receiver.unwrap(), requests)
}

#[test]
fn prela_is_sent_a_bearer_token_and_compressed_requests_where_the_file_or_the_environment_says_so() {
    let said = [("api_key = { file = \"key\" }\nbearer = true\ncompression = \"gzip\"", false), ("", true)];
    for (lines, is_in_environment) in said {
        let (receiver, requests) = anybody();
        let spool = TestSpool::new();
        spool.record(0, 1);
        fs::write(spool.file("key"), "secret\n").unwrap();
        let config = configure(&spool, &format!("[[sink]]\nto = \"prela\"\n{lines}"));
        let mut exported = export(&config);
        exported.args(["--once", "--deadline", "5s"]);
        exported.env("PRELA_HTTP_ENDPOINT", format!("http://{}/v1/traces", receiver.address()));
        if is_in_environment {
            exported.env("PRELA_BEARER_TOKEN_FILE", spool.file("key")).env("PRELA_COMPRESSION", "gzip");
        }
        assert_eq!(complaint(exported.output().unwrap()), (0, String::new()), "{lines}");
        let requests: Vec<_> = requests.try_iter().collect();
        assert!(!requests.is_empty(), "{lines}");
        for request in requests {
            let sent = ["authorization", "content-encoding", "x-api-key"].map(|name| request.header(name));
            assert_eq!(sent, [Some("Bearer secret"), Some("gzip"), None], "{lines}");
        }
    }
}

/// Each form that a sink of a system other than OTLP can have, with its key where it takes one.
#[test]
fn the_sinks_of_every_system_are_asked_as_the_file_says_and_by_their_own_names_as_the_environment_does() {
    const VARIABLES: [&str; 3] = ["PREFACTOR_API_URL", "PRELA_HTTP_ENDPOINT", "SPANFORGE_CLOUD_ENDPOINT"];
    let bearer = Some(("authorization", "Bearer secret"));
    let forms = [
        ("openai+http://ADDRESS", "", "", "/v1/traces/ingest", bearer),
        ("prefactor", VARIABLES[0], "http://ADDRESS/base", "/base/api/v1/agent_spans", bearer),
        ("prefactor+http://ADDRESS", "", "", "/api/v1/agent_spans", bearer),
        ("prela", VARIABLES[1], "http://ADDRESS/v1/traces", "/v1/traces", Some(("x-api-key", "secret"))),
        ("prela+http://ADDRESS/traces", "", "", "/traces", Some(("x-api-key", "secret"))),
        ("spanforge", VARIABLES[2], "http://ADDRESS/v1/events", "/v1/events", bearer),
        ("spanforge+http://ADDRESS", "", "", "/v1/events", bearer),
        ("spanforge-webhook+http://ADDRESS/hook", "", "", "/hook", None),
    ];
    for (to, variable, value, path, key) in forms {
        let (receiver, requests) = anybody();
        let at = |text: &str| text.replace("ADDRESS", &receiver.address().to_string());
        let spool = TestSpool::new();
        spool.record(0, 1);
        fs::write(spool.file("key"), "secret\n").unwrap();
        let api_key = if key.is_some() { "api_key = { file = \"key\" }" } else { "" };
        let config = configure(&spool, &format!("[[sink]]\nto = \"{}\"\n{api_key}", at(to)));
        let command = |mut command: Command| {
            // What the variables of all say is of no matter to a sink that is named by its address.
            command.envs(VARIABLES.map(|name| (name, "http://127.0.0.1:9/of/environment")));
            if !variable.is_empty() {
                command.env(variable, at(value));
            }
            complaint(command.output().unwrap())
        };
        let mut checked = spanring();
        checked.args(["config", "check"]).arg(&config);
        assert_eq!(command(checked), (0, String::new()), "{to}");
        assert_eq!(requests.try_iter().count(), 0, "{to}: a check asks nobody");
        let mut exported = export(&config);
        exported.args(["--once", "--deadline", "5s"]);
        assert_eq!(command(exported), (0, String::new()), "{to}");
        assert_eq!(spool.recorders(), [""; 0], "{to}");
        let requests: Vec<_> = requests.try_iter().collect();
        assert!(requests.iter().any(|request| request.path == path), "{to}");
        for request in requests {
            match key {
                Some((name, value)) => assert_eq!(request.header(name), Some(value), "{to}"),
                None => assert!(!format!("{request:?}").contains("secret"), "{to}"),
            }
        }
    }
    for (to, file) in [("prela-file:traces", "traces"), ("spanforge-file:events.jsonl", "events.jsonl")] {
        let spool = TestSpool::new();
        spool.record(0, 1);
        let config = configure(&spool, &format!("[[sink]]\nto = \"{to}\""));
        assert_eq!(complaint(export(&config).arg("--once").output().unwrap()), (0, String::new()), "{to}");
        assert!(spool.file(file).exists(), "{to}: it lies beside the configuration");
    }
}

#[test]
fn what_is_said_of_prefactor_in_a_file_is_sent_and_shown_by_a_check_without_the_token() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let (receiver, requests) = anybody();
    let config = configure(
        &spool,
        &format!(
            r#"
            [[sink]]
            to = "prefactor+http://{}"
            api_key = "secret"
            purpose = "smoke_test"
            sensitive_keys = ["number"]
            [[sink.span_types]]
            name = "my:type"
            title = "Mine"
            [sink.span_types.data_risk.action_profile]
            read_data = "allowed"
            [[sink.quality_schemas]]
            name = "accuracy"
            "#,
            receiver.address()
        ),
    );
    let (status, printed, told) = check(&config);
    assert_eq!((status, told.as_str()), (0, ""));
    let expected = format!(
        "to prefactor+http://{}: purpose smoke_test, type my:type, quality accuracy, sensitive values marked\n",
        receiver.address()
    );
    assert!(printed.contains(&expected) && !printed.contains("secret"), "{printed}");
    assert_eq!(complaint(export(&config).arg("--once").output().unwrap()), (0, String::new()));
    let bodies: Vec<(String, Json)> = requests
        .try_iter()
        .map(|request| (request.path, serde_json::from_slice(&request.body).unwrap()))
        .collect();
    let (_, registered) = bodies.iter().find(|(path, _)| path.ends_with("/register")).unwrap();
    assert_eq!(registered["purpose"], "smoke_test");
    let types = registered["agent_schema_version"]["span_type_schemas"].as_array().unwrap();
    let mine = types.iter().find(|declared| declared["name"] == "my:type").unwrap();
    assert_eq!(
        (&mine["title"], &mine["data_risk"]["action_profile"]["read_data"]),
        (&"Mine".into(), &"allowed".into())
    );
    let numbers = bodies.iter().filter_map(|(_, body)| {
        let (details, number) = (&body["details"], &body["details"]["payload"]["metadata"]["number"]);
        (!number.is_null()).then(|| (details["sensitive_encoding"].clone(), number.clone()))
    });
    let sealed = (Json::Bool(true), json!({"$sensitive": "number", "value": 0}));
    assert_eq!(numbers.collect::<Vec<_>>(), [sealed]);
}

#[test]
fn what_is_wrong_in_a_file_is_status_2_and_one_line_for_a_check_and_an_export_alike() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let pem = spool.file("authority.pem");
    fs::write(&pem, "secret").unwrap();
    let cases = [
        ("[[sink]]\nto = \"file:f\"\nkep = 1", ":4:1: unknown key `kep` in [[sink]]; did you mean `keep`?"),
        (
            "[[sink]]\nto = \"otlp+http://h\"\nrotate = \"1MiB\"",
            ":4:1: `rotate` is about sinks file:PATH and spanforge-file:PATH, and this one is otlp+http://h",
        ),
        (
            "[[sink]]\nto = \"otlp+http://secret@h\"",
            ":3:6: unknown sink \"otlp+http://…@h\": credentials do not belong",
        ),
        (
            "[[sink]]\nto = \"otlp+http://h\"\nheaders = { a = { file = \"none\" } }",
            ":4:13: the header `a` cannot be had from the file ",
        ),
        (
            "[[sink]]\nto = \"otlp+https://h\"\ncertificate = \"authority.pem\"",
            ":3:6: cannot set up TLS for otlp+https://h:443: ",
        ),
        (
            "[[sink]]\nto = \"otlp\"\nheaders = { a = { env = \"NOT_SET\" } }",
            ":4:13: the header `a` cannot be had from the variable NOT_SET: it is not set",
        ),
        ("sink = 1", ":2:8: `sink` does not fit: each sink is a table of its own: [[sink]]"),
        ("[[sink]]\nto = \"stdout\nx = 1", ":3:"),
    ];
    for (lines, expected) in cases {
        let config = configure(&spool, lines);
        let expected = format!("spanring: {}{expected}", config.display());
        let (status, printed, told) = check(&config);
        assert_eq!((status, printed.as_str()), (2, ""), "{lines}: {told}");
        assert!(told.starts_with(&expected), "{lines}: {told}");
        assert!(told.lines().count() == 1 && !told.contains("secret"), "{told}");
        assert_eq!(complaint(export(&config).arg("--once").output().unwrap()), (2, told));
    }
    let config = configure(&spool, "[[sink]]\nto = \"stdout\"");
    fs::rename(spool.path(), spool.file("elsewhere")).unwrap();
    let (status, _, told) = check(&config);
    assert!(status == 2 && told.starts_with(&format!("spanring: {}:1:9: ", config.display())), "{told}");
}

#[test]
fn a_check_says_what_would_be_done_shows_no_secret_and_makes_nothing() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let config = configure(
        &spool,
        r#"
        stop_deadline = "1500ms"
        [[sink]]
        to = "otlp+https://collector.example"
        timeout = "5s"
        headers = { authorization = "secret", x-scope = "secret" }
        [[sink]]
        to = "file:spans.jsonl"
        rotate = "1MiB"
        keep = 7
        compress = "zstd"
        [[sink]]
        to = "stdout"
        "#,
    );
    let before = fs::read_dir(spool.file("")).unwrap().count();
    let (status, printed, told) = check(&config);
    let dir = spool.file("").display().to_string();
    let expected = "\
from DIR/spool
to otlp+https://collector.example:443: http/protobuf, gzip, 5s a request, header authorization, header x-scope
to file:DIR/spans.jsonl: a new file before one is longer than 1048576 bytes, the newest 7 kept beside it, by zstd
to stdout
a stop waits 1.5s for an answer at most
";
    assert_eq!((status, told.as_str()), (0, ""));
    assert_eq!(printed, expected.replace("DIR", dir.trim_end_matches('/')));
    assert_eq!(fs::read_dir(spool.file("")).unwrap().count(), before);
}

#[test]
fn a_file_is_in_place_of_the_flags_that_say_the_same_and_goes_with_the_others() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let config = configure(&spool, "[[sink]]\nto = \"stdout\"");
    let path = spool.path();
    for flags in [
        &["--to", "stdout"][..],
        &["--spool", path.to_str().unwrap()],
        &["--rotate", "1MiB"],
        &["--rotate", "1MiB", "--keep", "1"],
    ] {
        let (status, told) = complaint(export(&config).args(flags).output().unwrap());
        assert!(status == 2 && told.contains("--config <FILE>"), "{flags:?}: {told}");
    }
    let output =
        export(&config).args(["--once", "--json", "--deadline", "1s", "--stop-deadline", "1s"]).output();
    let output = output.unwrap();
    // Spans are on standard output, and so the report is not.
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &report["sinks"][0]["delivered"]), (Some(0), &11.into()));
}

#[test]
fn the_example_can_be_read() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/export.example.toml");
    Config::read(example).unwrap();
}

#[test]
fn the_unit_of_systemd_calls_commands_that_there_are() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/spanring-export.service");
    let unit = fs::read_to_string(unit).unwrap();
    let commands: Vec<_> = unit.lines().filter_map(|line| line.split_once("=/usr/bin/spanring ")).collect();
    assert_eq!(commands.len(), 3);
    for (_, command) in commands {
        let output = spanring().args(command.split(' ')).arg("--help").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {output:?}");
    }
}

#[test]
fn nothing_is_lost_under_load_however_often_the_file_is_read_again() {
    const AGENTS: u64 = 6;
    const EACH: u64 = 3000;
    let spool = TestSpool::new();
    spool.record(0, EACH);
    let (runs, seen) = (Arc::new(Mutex::new(Vec::new())), Arrived::default());
    let (kept, taken) = (Arc::clone(&runs), seen.clone());
    let (_receiver, sink, _) = receiver(move |request| {
        taken.add(&request.body);
        kept.lock().unwrap().push(request.header("x-run").unwrap().to_owned());
        Some(Answer::status(200))
    });
    let configured = |run: usize| {
        // The file rotates in every other run.
        let rotate = if run.is_multiple_of(2) { "rotate = \"64KiB\"" } else { "" };
        let lines = format!(
            "[[sink]]\nto = \"{sink}\"\nheaders = {{ x-run = \"{run}\" }}\n\
             [[sink]]\nto = \"file:spans.jsonl\"\n{rotate}\n"
        );
        configure(&spool, &lines)
    };
    let mut exporter = {
        let mut command = export(&configured(0));
        command.arg("--json");
        Running::start(command)
    };
    wait_until("it listens", || !seen.numbers().is_empty());
    let mut reloads = 0;
    thread::scope(|scope| {
        let recording = scope.spawn(|| (1..AGENTS).for_each(|agent| spool.record(agent * EACH, EACH)));
        while !recording.is_finished() || reloads < 5 {
            reloads += 1;
            configured(reloads);
            exporter.reload(REOPENED);
        }
    });
    wait_until("all is delivered and removed", || spool.recorders().is_empty());
    let (status, printed) = exporter.stop();
    assert_eq!(status.code(), Some(0), "{printed}");
    seen.assert_all(AGENTS * EACH);
    let in_files = Arrived::default();
    for entry in fs::read_dir(spool.file("")).unwrap().map(Result::unwrap) {
        if entry.file_name().to_str().unwrap().starts_with("spans.jsonl") {
            in_files.add_file(&entry.path());
        }
    }
    in_files.assert_all(AGENTS * EACH);
    let runs = runs.lock().unwrap();
    assert!(runs.iter().collect::<BTreeSet<_>>().len() > 1, "all was delivered by one run");
    // What all runs came to is one account.
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
    for sink in report["sinks"].as_array().unwrap() {
        assert!(sink["delivered"].as_u64().unwrap() >= AGENTS * (EACH + 1), "{report}");
    }
    assert_eq!(report["sinks"][0]["requests"].as_u64().unwrap(), runs.len() as u64, "{report}");
    assert_eq!(report["recorders_removed"].as_u64().unwrap(), AGENTS, "{report}");
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_one_that_is_mended_counts() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (_first, first, arrived) = receiver(|_| None);
    let (_second, second, arrived_later) = receiver(|_| None);
    let config = configure(&spool, &format!("[[sink]]\nto = \"{first}\""));
    let mut exporter = Running::start(export(&config));
    wait_until("the first spans are there", || arrived.numbers().len() == 10);

    let wrong = [
        "[[sink]]\nto = \"stdout\"\nrotate = \"1MiB\"".to_owned(),
        format!("[[sink]]\nto = \"{second}\"\nheaders = {{ a = {{ file = \"none\" }} }}"),
        "".to_owned(),
        // It cannot be opened, which is only known once the sinks before were closed.
        format!("[[sink]]\nto = \"file:no/such/directory\"\n[[sink]]\nto = \"{second}\""),
    ];
    for (number, lines) in wrong.iter().enumerate() {
        configure(&spool, lines);
        exporter.reload(UNCHANGED);
        let count = 10 * (number as u64 + 1);
        spool.record(count, 10);
        wait_until("what was before goes on", || arrived.numbers().len() as u64 == count + 10);
    }
    fs::remove_file(&config).unwrap();
    exporter.reload(UNCHANGED);
    let places = [
        ":4:1: `rotate` is about",
        ":4:13: the header `a`",
        ":1:1: `sink` is missing",
        "no/such/directory: No such",
    ];
    let said = exporter.said();
    assert!(
        places.iter().all(|place| said.contains(place)) && said.contains("it cannot be read: No such"),
        "{said}"
    );
    assert!(arrived_later.numbers().is_empty() && !said.contains(REOPENED), "{said}");

    configure(&spool, &format!("[[sink]]\nto = \"{second}\""));
    exporter.reload(REOPENED);
    spool.record(50, 10);
    wait_until("what is mended counts", || arrived_later.numbers().len() == 10);
    let (status, _) = exporter.stop();
    assert_eq!(status.code(), Some(0));
    arrived.assert_each_once(50);
}

#[test]
fn sinks_that_cannot_be_opened_again_are_tried_until_they_can_or_others_are_named_or_a_stop_comes() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (dir, gone) = (spool.file("dir"), spool.file("gone"));
    fs::create_dir(&dir).unwrap();
    let at = |name: &str| format!("[[sink]]\nto = \"file:dir/{name}\"");
    let mut exporter = Running::start(export(&configure(&spool, &at("spans"))));
    wait_until("all is delivered and removed", || spool.recorders().is_empty());

    fs::rename(&dir, &gone).unwrap();
    exporter.reload(UNCHANGED);
    fs::rename(&gone, &dir).unwrap();
    wait_until("they are open", || exporter.times("the sinks are open ") == 1);

    fs::rename(&dir, &gone).unwrap();
    exporter.reload(UNCHANGED);
    configure(&spool, "[[sink]]\nto = \"file:others\"");
    exporter.reload(REOPENED);
    spool.record(10, 10);
    wait_until("all is delivered and removed", || spool.recorders().is_empty());
    let arrived = Arrived::in_file(&gone.join("spans"));
    arrived.add_file(&spool.file("others"));
    arrived.assert_each_once(20);

    configure(&spool, &at("spans"));
    fs::rename(spool.file("others"), spool.file("spans-of-others")).unwrap();
    fs::create_dir(spool.file("others")).unwrap();
    exporter.reload("others: it is not a regular file");
    assert_eq!(exporter.stop().0.code(), Some(0));
}

#[test]
fn a_spool_that_another_exporter_has_is_not_changed_to() {
    let (spool, other) = (TestSpool::new(), TestSpool::new());
    spool.record(0, 10);
    other.record(0, 10);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let (_other_receiver, other_sink, at_other) = receiver(|_| None);
    let has_other = Running::start(other.export(&[&other_sink]));
    wait_until("the other spool has its exporter", || at_other.numbers().len() == 10);
    let sinks = format!("[[sink]]\nto = \"{sink}\"");
    let config = configure(&spool, &sinks);
    let mut exporter = Running::start(export(&config));
    wait_until("the first spans are there", || arrived.numbers().len() == 10);
    fs::write(&config, format!("spool = \"{}\"\n{sinks}", other.path().display())).unwrap();
    exporter.reload(UNCHANGED);
    spool.record(10, 10);
    wait_until("what was before goes on", || arrived.numbers().len() == 20);
    assert_eq!(exporter.stop().0.code(), Some(0));
    assert_eq!(has_other.stop().0.code(), Some(0));
}

#[test]
fn a_hangup_without_a_file_opens_the_sinks_anew_with_the_secrets_that_are_there_now() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let (_receiver, sink, requests) = telling();
    let headers = spool.file("headers");
    fs::write(&headers, "x-run=first\n").unwrap();
    let mut command = spool.export(&[&sink]);
    command.env("OTEL_EXPORTER_OTLP_HEADERS_FILE", &headers);
    let mut exporter = Running::start(command);
    assert_eq!(requests.recv().unwrap().header("x-run"), Some("first"));
    fs::write(&headers, "x-run=second\n").unwrap();
    exporter.reload(REOPENED);
    wait_until("the first spans are removed", || spool.recorders().is_empty());
    let _before: Vec<_> = requests.try_iter().collect();
    spool.record(1, 1);
    assert_eq!(requests.recv().unwrap().header("x-run"), Some("second"));
    assert_eq!(exporter.stop().0.code(), Some(0));
}

#[test]
fn a_stop_does_not_wait_for_a_receiver_that_does_not_answer_and_its_batch_comes_again() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (sender, requests) = mpsc::channel();
    let (_silent, sink, _) = receiver(move |request| {
        sender.send(request.body.clone()).unwrap();
        Some(Answer { delay: Duration::from_secs(3600), ..Answer::status(200) })
    });
    let sink_of =
        |sink: &str| format!("stop_deadline = \"100ms\"\n[[sink]]\nto = \"{sink}\"\ntimeout = \"1h\"");
    let exporter = Running::start(export(&configure(&spool, &sink_of(&sink))));
    let sent = requests.recv().unwrap();
    exporter.signal("TERM");
    let said = Arc::clone(&exporter.said);
    let (status, printed) = exporter.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    wait_until("all is said", || {
        said.lock().unwrap().contains("did not answer in the time that there is to stop")
    });
    assert!(printed.contains("0 spans delivered in 1 request; stopped"), "{printed}");

    let (_receiver, sink, arrived) = receiver(move |request| {
        assert_eq!(request.body, sent);
        None
    });
    let config = configure(&spool, &sink_of(&sink));
    assert_eq!(complaint(export(&config).arg("--once").output().unwrap()), (0, String::new()));
    arrived.assert_each_once(10);
}

#[test]
fn a_reload_does_not_wait_for_a_receiver_that_does_not_answer_and_nothing_is_lost() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (sender, requests) = mpsc::channel();
    let (_silent, silent, _) = receiver(move |_| {
        sender.send(()).unwrap();
        Some(Answer { delay: Duration::from_secs(3600), ..Answer::status(200) })
    });
    let (_receiver, sink, arrived) = receiver(|_| None);
    let config = configure(&spool, &format!("[[sink]]\nto = \"{silent}\"\ntimeout = \"1h\""));
    let mut command = export(&config);
    command.args(["--stop-deadline", "0s"]);
    let mut exporter = Running::start(command);
    requests.recv().unwrap();
    configure(&spool, &format!("[[sink]]\nto = \"{sink}\""));
    exporter.reload(REOPENED);
    wait_until("all is delivered elsewhere", || spool.recorders().is_empty());
    arrived.assert_each_once(10);
    let (status, printed) = exporter.stop();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(printed.contains(&format!("{silent}: 0 spans delivered in 1 request; stopped")), "{printed}");
}

#[test]
fn a_stop_does_not_wait_for_whoever_does_not_read_standard_output() {
    let spool = TestSpool::new();
    spool.record(0, 5000);
    let mut command = spool.export(&["stdout"]);
    command.args(["--stop-deadline", "0s"]);
    let mut exporter = Running::start(command);
    let mut stdout = exporter.child.stdout.take().unwrap();
    let mut first = [0];
    // From here on nobody reads, and the pipe is soon full.
    stdout.read_exact(&mut first).unwrap();
    wait_until("a write has to wait", || is_full(&stdout));
    assert_eq!(exporter.stop().0.code(), Some(0));
    // What was left is delivered by the next one.
    let file = spool.file("rest.jsonl");
    assert_eq!(spool.export_once(&[&format!("file:{}", file.display())]).0, 0);
    Arrived::in_file(&file).assert_all(5000);
}

/// Whether a pipe holds as much as it can, or too little less for a line.
fn is_full(pipe: &ChildStdout) -> bool {
    rustix::io::ioctl_fionread(pipe).unwrap() >= 60 * 1024
}
