//! `spanring dead-letters`, with what a receiver refused.

mod agent;

use std::fs;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use spanring_exporter::demo::receiver::{Answer, Receiver};

use self::agent::{Arrived, TestSpool, complaint, receiver, spanring};

#[test]
fn a_recording_process() {
    agent::main();
}

/// A spool with two dead letters, of a receiver that takes no span with more than one digit in its number while `refuses` is set.
struct Refused {
    spool: TestSpool,
    refuses: Arc<AtomicBool>,
    /// The keys that came with requests.
    keys: Arc<Mutex<Vec<Option<String>>>>,
    _receiver: Receiver,
    sink: String,
    arrived: Arrived,
}

impl Refused {
    fn new() -> Self {
        let spool = TestSpool::new();
        spool.record(0, 12);
        let refuses = Arc::new(AtomicBool::new(true));
        let refusing = Arc::clone(&refuses);
        let keys = Arc::<Mutex<Vec<_>>>::default();
        let seen_keys = Arc::clone(&keys);
        let (receiver, sink, arrived) = receiver(move |request| {
            seen_keys.lock().unwrap().push(request.header("api-key").map(str::to_owned));
            let seen = Arrived::default();
            seen.add(&request.body);
            let is_refused = seen.numbers().into_keys().any(|number| number > 9);
            let answer = Answer { body: b"two digits\n".to_vec(), ..Answer::status(400) };
            (is_refused && refusing.load(Ordering::SeqCst)).then_some(answer)
        });
        let (status, report, complaints) = spool.export_once(&[&sink]);
        assert_eq!(status, 1, "{report}");
        let counts = ["delivered", "dead_lettered"].map(|key| report["sinks"][0][key].as_u64().unwrap());
        assert_eq!(counts, [11, 2], "{report}");
        assert_eq!(report["sinks"][0]["end"], "complete");
        let told = format!("spanring: {sink} refuses span ");
        let of_spans = complaints.lines().filter(|line| line.starts_with(&told));
        assert_eq!(of_spans.count(), 2, "{complaints}");
        assert!(
            complaints.contains(", which is divided: it answered 400 Bad Request: two digits\n"),
            "{complaints}"
        );
        assert_eq!(spool.recorders(), [""; 0], "all is delivered or set aside");
        Refused { spool, refuses, keys, _receiver: receiver, sink, arrived }
    }

    fn command(&self, action: &str) -> Command {
        let mut command = spanring();
        command.args(["dead-letters", action, "--spool"]).arg(self.spool.path());
        command
    }

    fn listed(&self) -> Vec<serde_json::Value> {
        let (status, text) = printed(self.command("list").arg("--json").output().unwrap());
        assert_eq!(status, 0);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.listed().iter().map(|letter| letter["span_id"].as_str().unwrap().to_owned()).collect()
    }
}

fn printed(output: Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn letters_are_listed_and_shown_with_sink_reason_and_all_that_was_recorded() {
    let refused = Refused::new();
    let letters = refused.listed();
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        assert_eq!(letter["sink"], refused.sink.as_str());
        assert_eq!(letter["reason"], "it answered 400 Bad Request: two digits");
    }
    let (_, text) = printed(refused.command("list").output().unwrap());
    assert_eq!(text.lines().count(), 2);
    assert!(
        text.contains(&format!(", {}: it answered 400 Bad Request: two digits\n", refused.sink)),
        "{text}"
    );

    let ids = refused.ids();
    let (status, text) = printed(refused.command("show").arg(&ids[1]).output().unwrap());
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &shown["span"]["span_id"]), (0, &ids[1].as_str().into()));
    assert_eq!(shown["span"]["attributes"]["number"], 11);
    assert_eq!(shown["resource"]["service.name"], "agent");
}

#[test]
fn what_is_replayed_is_gone_once_it_is_taken_and_not_before() {
    let refused = Refused::new();
    let ids = refused.ids();
    let (status, text) = printed(refused.command("replay").arg("--json").output().unwrap());
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &report["refused"], &report["delivered"]), (1, &2.into(), &0.into()), "{report}");
    assert_eq!(refused.ids(), ids);

    refused.refuses.store(false, Ordering::SeqCst);
    assert_eq!(printed(refused.command("replay").arg(&ids[0]).output().unwrap()).0, 0);
    assert_eq!(refused.ids(), ids[1..]);
    let (status, text) = printed(refused.command("replay").output().unwrap());
    assert_eq!((status, text.as_str()), (0, "1 delivered, 0 refused again, 0 kept\n"));
    assert_eq!(refused.ids(), [""; 0]);
    refused.arrived.assert_each_once(12);
}

#[test]
fn letters_can_go_to_another_sink_and_stay_where_it_cannot_be_reached() {
    let refused = Refused::new();
    let unreachable = ["--to", "otlp+http://127.0.0.1:9", "--deadline", "0s"];
    let (status, text) = printed(refused.command("replay").args(unreachable).output().unwrap());
    assert_eq!(status, 1);
    assert!(text.starts_with("0 delivered, 0 refused again, 2 kept\n"), "{text}");
    assert_eq!(refused.ids().len(), 2);

    let file = refused.spool.file("aside.jsonl");
    let (status, _) = printed(
        refused.command("replay").arg("--to").arg(format!("file:{}", file.display())).output().unwrap(),
    );
    assert_eq!(status, 0);
    assert_eq!(Arrived::in_file(&file).numbers().into_keys().collect::<Vec<_>>(), [10, 11]);
    assert_eq!(refused.ids(), [""; 0]);
}

#[test]
fn the_secrets_of_the_environment_go_to_its_own_receiver_and_to_none_that_a_letter_names() {
    let refused = Refused::new();
    let with_key = |action: &str, endpoint: &str| {
        let mut command = refused.command(action);
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret");
        command
    };
    let here = refused.sink.strip_prefix("otlp+").unwrap();
    let keys = |command: &mut Command| {
        command.output().unwrap();
        std::mem::take(&mut *refused.keys.lock().unwrap())
    };
    keys(&mut refused.command("list"));
    assert_eq!(keys(&mut with_key("replay", "http://127.0.0.1:9")), [None, None]);
    let key = Some("secret".to_owned());
    assert_eq!(keys(&mut with_key("replay", here)), [key.clone(), key.clone()]);
    assert_eq!(
        keys(with_key("replay", "http://127.0.0.1:9").args(["--to", &refused.sink])),
        [key.clone(), key]
    );
}

#[test]
fn a_letter_goes_again_to_the_sink_that_a_configuration_names_with_what_that_says() {
    let refused = Refused::new();
    let config = refused.spool.file("export.toml");
    let text = format!(
        "spool = \"spool\"\n[[sink]]\nto = \"{}\"\nheaders = {{ api-key = \"secret\" }}",
        refused.sink
    );
    fs::write(&config, text).unwrap();
    let keys = |arguments: &[&str]| {
        refused.keys.lock().unwrap().clear();
        refused.command("replay").arg("--config").arg(&config).args(arguments).output().unwrap();
        std::mem::take(&mut *refused.keys.lock().unwrap())
    };
    let key = Some("secret".to_owned());
    assert_eq!(keys(&[]), [key.clone(), key.clone()]);
    assert_eq!(keys(&["--to", &refused.sink]), [key.clone(), key]);
    // The same receiver by another name is not the one that the file means.
    assert_eq!(keys(&["--to", &format!("{}/base", refused.sink)]), [None, None]);
}

#[test]
fn letters_are_chosen_by_the_sink_that_refused() {
    let refused = Refused::new();
    let listed =
        |of: &str| printed(refused.command("list").args(["--of", of]).output().unwrap()).1.lines().count();
    assert_eq!((listed(&refused.sink), listed("file:/elsewhere")), (2, 0));
    let purge = |of: &str| printed(refused.command("purge").args(["--of", of]).output().unwrap());
    assert_eq!(purge("file:/elsewhere"), (0, "0 purged\n".into()));
    assert_eq!(purge(&refused.sink), (0, "2 purged\n".into()));
}

#[test]
fn letters_are_purged_by_span_or_all_at_once_and_nothing_else_is() {
    let refused = Refused::new();
    let ids = refused.ids();
    assert_eq!(complaint(refused.command("purge").output().unwrap()).0, 2, "neither spans nor --all");
    let purged = printed(refused.command("purge").arg(&ids[0]).output().unwrap());
    assert_eq!(purged, (0, "1 purged\n".into()));
    assert_eq!(refused.ids(), ids[1..]);
    let (status, text) = complaint(refused.command("purge").arg(&ids[0]).output().unwrap());
    assert_eq!((status, text), (2, format!("spanring: there is no dead letter of span {}\n", ids[0])));
    assert_eq!(printed(refused.command("purge").arg("--all").output().unwrap()), (0, "1 purged\n".into()));
    assert_eq!(refused.ids(), [""; 0]);
}

#[test]
fn a_damaged_letter_is_named_and_stays_and_the_others_are_delivered() {
    let refused = Refused::new();
    let letter =
        fs::read_dir(refused.spool.path().join("dead-letters")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&letter).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&letter, &bytes).unwrap();
    let expected =
        format!("spanring: {} is damaged at byte 23: the checksum does not fit\n", letter.display());
    assert_eq!(complaint(refused.command("list").output().unwrap()), (1, expected));

    refused.refuses.store(false, Ordering::SeqCst);
    let (status, text) = printed(refused.command("replay").output().unwrap());
    assert_eq!(status, 1);
    assert!(text.starts_with("1 delivered, 0 refused again, 1 kept\n"), "{text}");
    assert!(letter.exists());
}

#[test]
fn bad_input_is_status_2_and_names_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let list = |path: &str| {
        spanring().args(["dead-letters", "list", "--spool"]).arg(dir.path().join(path)).output().unwrap()
    };
    let (status, text) = complaint(list("none"));
    assert!(status == 2 && text.contains("there is no spool at "), "{text}");
    let refused = Refused::new();
    for (action, arguments, expected) in [
        ("show", &["xyz"][..], "16 hexadecimal digits"),
        ("show", &[][..], "<ID>..."),
        ("replay", &["--to", "ftp://x"][..], "unknown sink"),
        ("replay", &["--deadline", "soon"][..], "a time is a number with the unit"),
    ] {
        let (status, text) = complaint(refused.command(action).args(arguments).output().unwrap());
        assert!(status == 2 && text.contains(expected), "{action} {arguments:?}: {text}");
    }
    assert_eq!(refused.ids().len(), 2);
}
