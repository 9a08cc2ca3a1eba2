//! The file is read again while an exporter is at work: nothing is lost, and what is wrong changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use spanring_exporter::demo::receiver::Answer;

use crate::agent::{Arrived, TestSpool, receiver, wait_until};
use crate::{Running, configure, export, telling};

const REOPENED: &str = "the sinks are open anew";
const UNCHANGED: &str = "not reloaded, nothing changes: ";

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
