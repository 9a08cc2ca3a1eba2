//! Every sink is asked as the file says, and gets no secret of another.

use std::fs;
use std::process::Command;
use std::sync::mpsc::{self, Receiver as Requests};

use serde_json::{Value as Json, json};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};

use crate::agent::{TestSpool, complaint, spanring};
use crate::{check, configure, export, telling};

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
