//! `spanring doctor`, of receivers that answer in all ways, of spools and of files.

mod agent;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};
use spanring_exporter::rfc3339;

use self::agent::{TestSpool, complaint, receiver, spanring, wait_until};

#[test]
fn a_recording_process() {
    agent::main();
}

fn doctor(sinks: &[&str]) -> Command {
    let mut command = spanring();
    command.arg("doctor");
    for sink in sinks {
        command.args(["--to", sink]);
    }
    command
}

/// The exit status, and each line: its verdict and the rest.
fn examined(command: &mut Command) -> (i32, Vec<(String, String)>) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let (verdict, rest) = line.split_once(' ').unwrap();
        (verdict.to_owned(), rest.trim_start().to_owned())
    };
    (output.status.code().unwrap(), text.lines().map(line).collect())
}

/// Fails unless the last line is this verdict and says this.
#[track_caller]
fn assert_last(command: &mut Command, status: i32, verdict: &str, expected: &str) {
    let (found, lines) = examined(command);
    let (last_verdict, text) = lines.last().unwrap();
    assert_eq!((found, last_verdict.as_str()), (status, verdict), "{lines:?}");
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_receiver_that_works_gets_one_span_with_version_and_time_and_all_is_ok() {
    let (_receiver, sink, arrived) = receiver(|_| None);
    let (status, lines) = examined(&mut doctor(&[&sink]));
    assert_eq!(status, 0, "{lines:?}");
    assert!(lines.iter().all(|(verdict, _)| verdict == "ok"), "{lines:?}");
    let expected =
        ["nothing in OTEL_EXPORTER_OTLP_*", "/v1/traces", "takes connections", "it took a test span"];
    for ((_, text), expected) in lines.iter().zip(expected) {
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(lines.len(), expected.len());
    let [span] = arrived.named("spanring.doctor").try_into().unwrap();
    let attribute = |key: &str| {
        let value = &span.attributes.iter().find(|attribute| attribute.key == key).unwrap().value;
        let Some(Value::StringValue(text)) = value.clone().unwrap().value else { panic!("{span:?}") };
        text
    };
    assert_eq!(attribute("spanring.version"), env!("CARGO_PKG_VERSION"));
    assert!(rfc3339::parse(&attribute("spanring.doctor.host_time")).is_some());
    assert!(span.start_time_unix_nano > 0);
}

#[test]
fn each_answer_is_asked_for_once_and_explained() {
    let answers = [
        (
            Answer::status(401),
            1,
            "fail",
            "401 Unauthorized; the receiver wants credentials: set OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (
            Answer::status(404),
            1,
            "fail",
            "the path /v1/traces is not there; most receivers want the base URL, since /v1/traces is added",
        ),
        (Answer::status(413), 1, "fail", "413 Payload Too Large; "),
        (
            Answer { headers: vec![("retry-after", "9".into())], ..Answer::status(429) },
            0,
            "warn",
            "waits for 9 s",
        ),
        (
            Answer { body: b"no store".to_vec(), ..Answer::status(503) },
            1,
            "fail",
            "503 Service Unavailable: no store; ",
        ),
        (Answer { headers: vec![("location", "/".into())], ..Answer::status(302) }, 1, "fail", "redirects"),
        (Answer::broken(), 1, "fail", "it takes connections and does not answer"),
    ];
    for (answer, status, verdict, expected) in answers {
        let seen = Arc::<Mutex<Vec<Received>>>::default();
        let requests = Arc::clone(&seen);
        let (_receiver, sink, _) = receiver(move |request| {
            requests.lock().unwrap().push(request.clone());
            Some(answer.clone())
        });
        assert_last(&mut doctor(&[&sink]), status, verdict, expected);
        // Where a connection breaks, the HTTP client itself may try another one.
        let requests = seen.lock().unwrap().len();
        assert!(requests == 1 || expected.contains("does not answer"), "{requests} for {expected}");
    }
}

#[test]
fn credentials_that_are_not_taken_are_named_by_their_variable_and_not_shown() {
    let (_receiver, sink, _) = receiver(|_| Some(Answer::status(401)));
    let mut command = doctor(&[&sink]);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret");
    let (status, lines) = examined(&mut command);
    assert_eq!(status, 1);
    let text = format!("{lines:?}");
    assert!(text.contains("with api-key") && text.contains("does not take the credentials"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn partial_success_and_silence_are_explained() {
    let (_receiver, sink, _) = receiver(|_| {
        let partial =
            ExportTracePartialSuccess { rejected_spans: 1, error_message: "no such project".into() };
        let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let headers = vec![("content-type", "application/x-protobuf".into())];
        Some(Answer { headers, body, ..Answer::status(200) })
    });
    assert_last(&mut doctor(&[&sink]), 0, "warn", "rejected the test span in it: no such project");

    let (_receiver, sink, _) =
        receiver(|_| Some(Answer { delay: Duration::from_secs(600), ..Answer::status(200) }));
    let mut slow = doctor(&[&sink]);
    slow.env("OTEL_EXPORTER_OTLP_TIMEOUT", "100");
    assert_last(&mut slow, 1, "fail", "no answer in time; the receiver is slow");
}

#[test]
fn a_name_and_a_port_that_nobody_has_are_told_apart() {
    let (nobody, sink, _) = receiver(|_| None);
    drop(nobody);
    assert_last(&mut doctor(&[&sink]), 1, "fail", "nobody takes connections at 127.0.0.1:");
    let mut unknown = doctor(&["otlp+http://receiver.invalid"]);
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        unknown.env_remove(variable);
    }
    assert_last(&mut unknown, 1, "fail", "receiver.invalid is no name that can be resolved here: ");
    // Whoever asks through a proxy does not look names up.
    let (status, lines) = examined(unknown.env("HTTP_PROXY", "http://127.0.0.1:9"));
    let text = "HTTP_PROXY is set, so it is asked through a proxy, and not connected to directly";
    assert!(status == 1 && lines[2].0 == "ok" && lines[2].1.ends_with(text), "{lines:?}");
    assert!(lines[3].0 == "fail" && lines[3].1.contains("Connection refused"), "{lines:?}");
}

/// A server of TLS, as `localhost`, whom nobody has signed; its port.
fn tls_server() -> u16 {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            // Those that do not come to an understanding are the clients' to notice.
            drop(std::io::copy(&mut StreamOwned::new(connection, stream.unwrap()), &mut std::io::sink()));
        }
    });
    port
}

#[test]
fn tls_that_is_missing_unwanted_or_not_trusted_is_explained() {
    let port = tls_server();
    let not_trusted = &mut doctor(&[&format!("otlp+https://localhost:{port}")]);
    assert_last(not_trusted, 1, "fail", "OTEL_EXPORTER_OTLP_CERTIFICATE names a file with who did");
    let missing = &mut doctor(&[&format!("otlp+http://localhost:{port}")]);
    assert_last(missing, 1, "fail", "does it want TLS (otlp+https://)");
    let (_receiver, sink, _) = receiver(|_| None);
    let unwanted = &mut doctor(&[&sink.replace("otlp+http://", "otlp+https://")]);
    assert_last(unwanted, 1, "fail", "it does not speak TLS there: is the address otlp+http://?");
}

/// Every file of a directory, with what it holds.
fn everything(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(everything(&path)),
            false => drop(files.insert(path.clone(), fs::read(path).unwrap())),
        }
    }
    files
}

#[test]
fn a_spool_is_described_and_nothing_in_it_changes() {
    let spool = TestSpool::new();
    spool.record(0, 20);
    spool.start(20, 5).kill();
    let (_receiver, sink, arrived) = receiver(|request| {
        let seen = agent::Arrived::default();
        seen.add(&request.body);
        seen.numbers().contains_key(&3).then(|| Answer::status(400))
    });
    let file = format!("file:{}", spool.file("spans.jsonl").display());
    let look = || {
        let mut command = doctor(&[&sink]);
        let (status, lines) = examined(command.arg("--spool").arg(spool.path()));
        (status, lines.into_iter().map(|(verdict, text)| format!("{verdict} {text}")).collect::<Vec<_>>())
    };
    #[track_caller]
    fn assert_said(lines: &[String], expected: &str) {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}: {lines:#?}");
    }
    let before = everything(&spool.path());
    let (status, lines) = look();
    assert!(everything(&spool.path()) == before, "something in the spool has changed");
    assert_eq!(status, 0, "{lines:?}");
    assert_said(&lines, "ok spool: no exporter is at it now");
    assert_said(&lines, "ok spool: recorders: 0 alive, 1 over, 1 dead, which an exporter recovers");
    assert_said(&lines, "ok spool: no dead letters");
    assert_said(&lines, &format!("ok {sink}: it is new to the spool, in which it has "));

    // The receiver refuses one span; what another sink gets later it has not had.
    let export = |sinks: &[&str]| spool.export(sinks).args(["--once", "--grace", "1h"]).output().unwrap();
    assert_eq!(export(&[&sink, &file]).status.code(), Some(1));
    let agent = spool.start(25, 7);
    wait_until("all is in segments and delivered to the file", || {
        assert_eq!(export(&[&file]).status.code(), Some(0));
        agent::Arrived::in_file(&spool.file("spans.jsonl")).numbers().len() == 32
    });
    let (_, lines) = look();
    assert_said(&lines, "ok spool: recorders: 1 alive, 3 over, 0 dead");
    assert_said(&lines, "warn spool: 1 dead letter: spanring dead-letters lists and replays them");
    assert_said(&lines, &format!("ok {sink}: 7 spans behind; the oldest ended "));
    assert_said(&lines, &format!("ok {file}: it has had all that is in the spool"));

    let mut exporter = spool.export(&[&sink]).spawn().unwrap();
    wait_until("it is at it", || arrived.numbers().len() == 31);
    let (status, lines) = look();
    exporter.kill().unwrap();
    exporter.wait().unwrap();
    agent.kill();
    assert_eq!(status, 0);
    assert_said(&lines, "ok spool: an exporter is at it");
}

#[test]
fn what_is_no_spool_fails() {
    let dir = tempfile::tempdir().unwrap();
    for (path, expected) in [("", "is not a spool"), ("none", "there is no spool at ")] {
        let path = dir.path().join(path);
        assert_last(doctor(&[]).arg("--spool").arg(path), 1, "fail", expected);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn files_and_standard_output_are_looked_at_and_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("lines.jsonl"), "{\"resourceSpans\":[]}\n").unwrap();
    fs::write(path("cut.jsonl"), "{\"resou").unwrap();
    fs::write(path("other.txt"), "somebody's").unwrap();
    fs::create_dir(path("directory")).unwrap();
    let before = everything(dir.path());
    for (name, status, expected) in [
        ("lines.jsonl", 0, "ok it can be appended to, behind 21 bytes; no test span is appended"),
        ("cut.jsonl", 0, "ok it can be appended to, behind 7 bytes"),
        ("new.jsonl", 0, "ok it is not there, and will be made; no test span is appended"),
        ("other.txt", 1, "fail it holds something else than lines of OTLP/JSON, and is left alone"),
        ("directory", 1, "fail it is not a regular file"),
        ("none/new.jsonl", 1, "fail it is not there and cannot be made: "),
    ] {
        let sink = format!("file:{}", path(name).display());
        let (found, lines) = examined(&mut doctor(&[&sink]));
        let (verdict, text) = &lines[1];
        let text = format!("{verdict} {}", text.strip_prefix(&format!("{sink}: ")).unwrap());
        assert!(found == status && text.starts_with(expected), "{name}: {text}");
    }
    for (name, status, expected) in [
        ("directory", 0, "ok files can be made in it; no test span is written"),
        ("new", 0, "ok it is not there, and will be made; no test span is written"),
        ("lines.jsonl", 1, "fail it is not a directory"),
        ("none/new", 1, "fail it is not there and cannot be made: "),
    ] {
        let sink = format!("prela-file:{}", path(name).display());
        let (found, lines) = examined(&mut doctor(&[&sink]));
        let (verdict, text) = &lines[2];
        let text = format!("{verdict} {}", text.strip_prefix(&format!("{sink}: ")).unwrap());
        assert!(found == status && text.starts_with(expected), "{name}: {text}");
    }
    assert!(everything(dir.path()) == before, "something has changed");
    assert_last(&mut doctor(&["stdout"]), 0, "ok", "it is a pipe here; no test span is printed");
}

#[test]
fn what_the_environment_says_is_checked_first_and_nobody_is_asked_where_it_makes_no_sense() {
    let (_receiver, sink, arrived) = receiver(|_| None);
    let mut command = doctor(&[&sink]);
    command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "never");
    let (status, lines) = examined(&mut command);
    let expected =
        "environment: OTEL_EXPORTER_OTLP_TIMEOUT is ignored: it is no number of milliseconds above 0";
    assert_eq!((status, &lines[0]), (0, &("warn".into(), expected.into())));
    assert_eq!(arrived.named("spanring.doctor").len(), 1);

    let mut command = doctor(&[&sink, "stdout"]);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "secret");
    let (status, lines) = examined(&mut command);
    let expected = "environment: cannot use OTEL_EXPORTER_OTLP_HEADERS: a header has no =";
    assert_eq!((status, &lines[0]), (1, &("fail".into(), expected.into())));
    assert!(lines.len() == 2 && lines[1].1.starts_with("stdout: "), "{lines:?}");
    assert_eq!(arrived.named("spanring.doctor").len(), 1);
}

#[test]
fn a_receiver_of_another_system_is_sent_the_same_span_and_its_key_is_named_where_it_does_not_take_it() {
    let bodies = Arc::<Mutex<Vec<String>>>::default();
    let (kept, mut statuses) = (Arc::clone(&bodies), [200, 401, 403].into_iter());
    let receiver = Receiver::start(move |request| {
        kept.lock().unwrap().push(String::from_utf8(request.body).unwrap());
        Answer::status(statuses.next().unwrap_or(200))
    });
    let receiver = receiver.unwrap();
    let sink = format!("openai+http://{}", receiver.address());
    let mut command = doctor(&[&sink]);
    command.env("OPENAI_API_KEY", "secret");
    assert_last(&mut command, 0, "ok", "it took a test span, spanring.doctor");
    assert_last(&mut command, 1, "fail", "it does not take the credentials in OPENAI_API_KEY");
    assert_last(&mut command, 1, "fail", "the credentials in OPENAI_API_KEY do not allow to write");
    let forge = format!("spanforge+http://{}", receiver.address());
    let mut command = doctor(&[&forge]);
    command.env("SPANFORGE_CLOUD_API_KEY", "secret");
    assert_last(&mut command, 0, "ok", "it took a test span, spanring.doctor");
    let bodies = bodies.lock().unwrap();
    assert_eq!(bodies.len(), 4);
    assert!(bodies.iter().all(|body| body.contains("spanring.doctor")), "{bodies:?}");
    assert_last(doctor(&["openai"]).env_remove("OPENAI_API_KEY"), 1, "fail", "cannot use OPENAI_API_KEY");
}

#[test]
fn variables_that_make_no_sense_hurt_no_sink_of_another_system() {
    let sinks = ["stdout", "openai+http://127.0.0.1:9"];
    let (status, lines) = examined(doctor(&sinks).env("OPENAI_API_KEY", "a\nb"));
    let told = lines.iter().map(|(verdict, text)| format!("{verdict} {text}")).collect::<Vec<_>>();
    assert_eq!((status, lines.len()), (1, 3), "{told:?}");
    assert!(told[0].starts_with("ok environment: nothing in OTEL_EXPORTER_OTLP_*"), "{told:?}");
    assert!(told[1].starts_with("fail environment: cannot use OPENAI_API_KEY: "), "{told:?}");
    assert!(told[2].starts_with("ok stdout: "), "{told:?}");
}

#[test]
fn a_file_of_events_is_no_file_of_requests_and_neither_is_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spans.jsonl");
    fs::write(&path, "{\"event_id\":\"1\"}\n").unwrap();
    let of = |scheme: &str| format!("{scheme}:{}", path.display());
    let (status, lines) = examined(&mut doctor(&[&of("spanforge-file")]));
    assert!(status == 0 && lines[2].1.contains("no test span is appended"), "{lines:?}");
    assert_last(&mut doctor(&[&of("file")]), 1, "fail", "something else than lines of OTLP/JSON");
    fs::write(&path, "{\"resourceSpans\":[]}\n").unwrap();
    let expected = "something else than lines of SpanForge's events";
    assert_last(&mut doctor(&[&of("spanforge-file")]), 1, "fail", expected);
    assert_eq!(fs::read(&path).unwrap(), b"{\"resourceSpans\":[]}\n");
}

#[test]
fn programs_read_one_object() {
    let (_receiver, sink, _) = receiver(|_| Some(Answer::status(401)));
    let output = doctor(&["stdout", &sink]).arg("--json").output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["failed"]), (Some(1), &1.into()), "{report}");
    let checks = report["checks"].as_array().unwrap();
    let last = checks.last().unwrap();
    assert_eq!((&last["verdict"], &last["about"]), (&"fail".into(), &sink.as_str().into()));
    assert!(last["text"].as_str().unwrap().starts_with("it answered 401 Unauthorized; "), "{last}");
}

#[test]
fn bad_input_is_status_2_and_names_what_is_wrong() {
    for (arguments, expected) in [
        (&["--to", "ftp://x"][..], "unknown sink"),
        (&[][..], "--to"),
        (&["--to", "otlp", "--to", "otlp+http://127.0.0.1:9"][..], "would go to more than one OTLP sink"),
    ] {
        let mut command = doctor(&[]);
        command.args(arguments).env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret");
        let (status, text) = complaint(command.output().unwrap());
        assert!(status == 2 && text.contains(expected), "{text}");
    }
}

/// The first span of the agent is open, and all that it has recorded since stands behind it.
#[test]
fn a_sink_that_waits_for_traces_is_behind_by_what_it_has_not_had_and_not_by_all_behind_the_first_open_one() {
    let spool = TestSpool::new();
    let _agent = spool.start(0, 40);
    let (receiver, _, _) = receiver(|_| Some(Answer::status(200)));
    let sink = format!("prela+http://{}/v1/traces", receiver.address());
    let mut last = String::new();
    wait_until("it has had all traces that are over", || {
        let exported = spool.export(&[&sink]).args(["--once", "--json"]).output().unwrap();
        assert_eq!(exported.status.code(), Some(0), "{exported:?}");
        let (_, lines) = examined(doctor(&[&sink]).arg("--spool").arg(spool.path()));
        let of_sink = lines.into_iter().map(|(verdict, text)| format!("{verdict} {text}"));
        last = of_sink.filter(|line| line.contains(&sink)).collect::<Vec<_>>().join("; ");
        last.contains("it has had all that is in the spool")
    });
    assert_eq!(spool.recorders().len(), 1, "the open trace keeps what is behind it: {last}");
}
