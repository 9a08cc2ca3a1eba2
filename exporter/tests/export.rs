//! The command against real spools, recorded by real processes.

mod agent;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use spanring_exporter::Exporter;
use spanring_exporter::demo::receiver::Answer;
use spanring_exporter::sink::{Batch, Delivery, Outcome, Sink};
use spanring_spool::{SpanData, SpoolDir};

use self::agent::{Arrived, TestSpool, complaint, receiver, spanring, wait_until};

#[test]
fn a_recording_process() {
    agent::main();
}

#[test]
fn all_that_a_process_recorded_is_delivered_once_and_removed() {
    let spool = TestSpool::new();
    spool.record(0, 2000);
    let file = spool.file("spans.jsonl");
    let sink = format!("file:{}", file.display());
    let (status, report, complaints) = spool.export_once(&[&sink]);
    assert_eq!((status, complaints.as_str()), (0, ""), "{report}");
    assert_eq!(report["sinks"][0]["delivered"], 2001);
    assert_eq!(report["sinks"][0]["end"], "complete");
    assert_eq!(report["recorders_removed"], 1);
    Arrived::in_file(&file).assert_each_once(2000);
    assert_eq!(spool.recorders(), [""; 0]);

    let (status, report, _) = spool.export_once(&[&sink]);
    assert_eq!((status, &report["sinks"][0]["delivered"]), (0, &0.into()));
}

#[test]
fn what_a_killed_process_recorded_is_recovered_and_delivered_with_the_span_that_was_open() {
    let spool = TestSpool::new();
    spool.start(0, 3000).kill();
    let (_receiver, sink, arrived) = receiver(|_| None);
    let (status, report, complaints) = spool.export_once(&[&sink]);
    assert_eq!(status, 0, "{report} {complaints}");
    assert_eq!(report["recovered"][0]["from_tables"], 1, "{report}");
    arrived.assert_each_once(3000);
    let open = arrived.named("open");
    let [open] = open.as_slice() else { panic!("{open:?}") };
    assert_eq!(open.status.as_ref().unwrap().code, 2);
    let attribute =
        |key| open.attributes.iter().find(|a| a.key == key).unwrap().value.clone().unwrap().value.unwrap();
    assert_eq!(attribute("set_before_the_kill"), Value::StringValue("yes".into()));
    assert_eq!(attribute("error.type"), Value::StringValue("process_exit".into()));
    assert_eq!(attribute("spanring.interrupted"), Value::BoolValue(true));
    assert_eq!(spool.recorders(), [""; 0]);
}

#[test]
fn what_is_there_of_a_living_process_is_delivered_and_it_stays() {
    let spool = TestSpool::new();
    let agent = spool.start(0, 1000);
    let (_receiver, sink, arrived) = receiver(|_| None);
    wait_until("all is in segments and delivered", || {
        let (status, report, complaints) = spool.export_once(&[&sink]);
        assert_eq!((status, complaints.as_str()), (0, ""), "{report}");
        arrived.numbers().len() == 1000
    });
    arrived.assert_each_once(1000);
    assert_eq!(spool.recorders().len(), 1);
    agent.kill();
    let (_, report, _) = spool.export_once(&[&sink]);
    assert_eq!(report["sinks"][0]["delivered"], 1);
    arrived.assert_each_once(1000);
    assert_eq!(arrived.named("open").len(), 1);
    assert_eq!(spool.recorders(), [""; 0]);
}

#[test]
fn a_living_process_is_followed_until_a_signal_ends_the_exporter_in_order() {
    let spool = TestSpool::new();
    let agent = spool.start(0, 100);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let exporter = spool.export(&[&sink]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_until("the first process's spans are there", || arrived.numbers().len() == 100);
    let second = spool.start(100, 100);
    wait_until("the second process's spans are there", || arrived.numbers().len() == 200);
    second.kill();
    agent.kill();
    wait_until("both are recovered, delivered and removed", || {
        arrived.named("open").len() == 2 && spool.recorders().is_empty()
    });
    arrived.assert_each_once(200);
    terminate(exporter.id());
    let output = exporter.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn an_exporter_that_is_killed_before_it_knows_the_answer_delivers_again_and_loses_nothing() {
    let spool = TestSpool::new();
    // Each of them in a few requests, however large the blocks are: a cursor moves behind a block.
    (0..10).for_each(|process| spool.record(process * 2000, 2000));
    let (counted, patient) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let answering = Arc::clone(&patient);
    let silences = Arc::new(AtomicUsize::new(0));
    let silenced = Arc::clone(&silences);
    let arrived = Arrived::default();
    let taken = arrived.clone();
    // Takes what it is sent, and stays silent about every tenth request.
    let (_receiver, sink, _) = receiver(move |request| {
        taken.add(&request.body);
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        let silent = number.is_multiple_of(10) && !answering.load(Ordering::SeqCst);
        silenced.fetch_add(usize::from(silent), Ordering::SeqCst);
        let delay = if silent { Duration::from_secs(600) } else { Duration::ZERO };
        Some(Answer { delay, ..Answer::status(200) })
    });
    for _ in 0..3 {
        let before = silences.load(Ordering::SeqCst);
        let mut exporter = spool.export(&[&sink]).arg("--once").stdout(Stdio::null()).spawn().unwrap();
        wait_until("a request stays without an answer", || silences.load(Ordering::SeqCst) > before);
        exporter.kill().unwrap();
        exporter.wait().unwrap();
    }
    patient.store(true, Ordering::SeqCst);
    let (status, report, _) = spool.export_once(&[&sink]);
    assert_eq!(status, 0, "{report}");
    arrived.assert_all(20_000);
    assert!(arrived.numbers().values().any(|&times| times > 1), "nothing was sent again");
    assert!(report["sinks"][0]["delivered"].as_u64().unwrap() < 20_000, "the cursor was of no use");
}

#[test]
fn a_receiver_that_fails_for_a_while_is_delivered_everything_once() {
    let spool = TestSpool::new();
    spool.record(0, 1500);
    let mut script = [503, 429, 0, 502, 0, 504].into_iter();
    let (_receiver, sink, arrived) = receiver(move |_| {
        let status = script.next().filter(|&status| status != 0)?;
        Some(Answer { headers: vec![("retry-after", "0".into())], ..Answer::status(status) })
    });
    let output = spool.export(&[&sink]).args(["--once", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["sinks"][0]["retries"], 4, "{report}");
    arrived.assert_each_once(1500);
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaints
            .contains(&format!("spanring: {sink}: it answered 503 Service Unavailable; trying again in "))
    );
}

#[test]
fn an_unreachable_receiver_ends_with_status_1_at_the_deadline_and_everything_is_kept() {
    let spool = TestSpool::new();
    spool.record(0, 100);
    let (nobody, sink, arrived) = receiver(|_| None);
    drop(nobody);
    let (status, report, complaints) = spool.export_once(&[&sink]);
    assert_eq!((status, &report["sinks"][0]["end"]), (1, &"gave_up".into()), "{report}");
    assert!(complaints.contains("Connection refused"), "{complaints}");
    assert!(complaints.contains("gave up, the rest is kept"), "{complaints}");
    assert!(arrived.numbers().is_empty());

    let (_receiver, sink, arrived) = receiver(|_| None);
    assert_eq!(spool.export_once(&[&sink]).0, 0);
    arrived.assert_each_once(100);
}

#[test]
fn a_receiver_that_asks_to_wait_beyond_the_deadline_is_given_up_at_once() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let (_receiver, sink, _) =
        receiver(|_| Some(Answer { headers: vec![("retry-after", "3600".into())], ..Answer::status(429) }));
    let (status, report, complaints) = spool.export_once(&[&sink]);
    assert_eq!((status, &report["sinks"][0]["requests"]), (1, &1.into()), "{report}");
    assert!(complaints.contains("it asks to wait 3600 s, beyond the deadline"), "{complaints}");
}

#[test]
fn what_a_receiver_rejects_is_counted_and_not_sent_again() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (_receiver, sink, _) = receiver(|_| {
        let partial = ExportTracePartialSuccess { rejected_spans: 4, error_message: "too old".into() };
        let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let headers = vec![("content-type", "application/x-protobuf".into())];
        Some(Answer { headers, body, ..Answer::status(200) })
    });
    let (status, report, complaints) = spool.export_once(&[&sink]);
    assert_eq!(status, 0, "{report}");
    let counted = ["delivered", "rejected", "requests"].map(|key| report["sinks"][0][key].as_u64().unwrap());
    assert_eq!(counted[0] + counted[1], 11, "{report}");
    assert_eq!(counted[1], 4 * counted[2], "{report}");
    assert!(
        complaints.contains("rejected 4 of its spans, which are not sent again: too old"),
        "{complaints}"
    );
    assert_eq!(spool.recorders(), [""; 0]);
}

#[test]
fn a_batch_is_the_same_batch_after_a_restart() {
    let spool = TestSpool::new();
    spool.record(0, 3000);
    let taken = Arc::new(Mutex::new(Taken::new()));
    for refuses_after in 1.. {
        let taken = Arc::clone(&taken);
        let sink = Memory { taken, takes: refuses_after };
        let exporter = Exporter::new(SpoolDir::open(spool.path()).unwrap()).to(Box::new(sink));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let report = runtime.block_on(exporter.once(Duration::ZERO).run(std::future::pending())).unwrap();
        if report.is_complete() {
            break;
        }
    }
    let taken = taken.lock().unwrap();
    let mut first = BTreeMap::new();
    for (id, spans) in taken.iter() {
        assert!(first.entry(id).or_insert(spans) == &spans, "{id} has changed");
    }
    assert!(first.len() < taken.len(), "no batch came twice");
    assert_eq!(first.values().map(|spans| spans.len()).sum::<usize>(), 3001);
}

type Taken = Vec<(String, Vec<SpanData>)>;

/// Takes so many batches, and none after that.
struct Memory {
    taken: Arc<Mutex<Taken>>,
    takes: usize,
}

impl Sink for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async move {
            let Some(takes) = self.takes.checked_sub(1) else {
                return Outcome::Parked { reason: "enough".into() };
            };
            self.takes = takes;
            self.taken.lock().unwrap().push((batch.id.to_string(), batch.spans.to_vec()));
            Outcome::DELIVERED
        })
    }
}

#[test]
fn a_sink_that_refuses_holds_up_no_other_and_loses_nothing() {
    let spool = TestSpool::new();
    spool.record(0, 100);
    let file = spool.file("spans.jsonl");
    let file_sink = format!("file:{}", file.display());
    let accepts = Arc::new(AtomicUsize::new(0));
    let accepting = Arc::clone(&accepts);
    let (_receiver, sink, arrived) = receiver(move |_| {
        let refuses = accepting.load(Ordering::SeqCst) == 0;
        refuses.then(|| Answer { body: b"no such key".to_vec(), ..Answer::status(401) })
    });
    let (status, report, complaints) = spool.export_once(&[&sink, &file_sink]);
    assert_eq!(status, 1);
    assert_eq!(report["sinks"][0]["end"], "refused");
    assert_eq!(report["sinks"][1]["end"], "complete");
    let expected =
        format!("spanring: {sink}: stopped, the rest is kept: it answered 401 Unauthorized: no such key");
    assert!(complaints.contains(&expected), "{complaints}");
    Arrived::in_file(&file).assert_each_once(100);
    assert_eq!(spool.recorders().len(), 1);

    accepts.store(1, Ordering::SeqCst);
    assert_eq!(spool.export_once(&[&sink, &file_sink]).0, 0);
    arrived.assert_each_once(100);
    Arrived::in_file(&file).assert_each_once(100);
    assert_eq!(spool.recorders(), [""; 0]);
}

#[test]
fn a_damaged_segment_is_reported_and_the_rest_is_delivered() {
    let spool = TestSpool::new();
    spool.record(0, 100);
    spool.record(100, 100);
    let segments = |recorder: &str| {
        let files = fs::read_dir(spool.path().join(recorder)).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
            .collect::<Vec<_>>()
    };
    for segment in segments(&spool.recorders()[1]) {
        fs::write(segment, vec![0x5a; 100_000]).unwrap();
    }
    let (_receiver, sink, arrived) = receiver(|_| None);
    let (status, report, complaints) = spool.export_once(&[&sink]);
    assert_eq!(status, 1, "{report}");
    arrived.assert_each_once(100);
    assert!(complaints.contains("skipped 1 file"), "{complaints}");
    assert_eq!(report["skipped"].as_object().unwrap().len(), 1, "{report}");
}

#[test]
fn a_spool_has_one_exporter() {
    let spool = TestSpool::new();
    let agent = spool.start(0, 10);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let mut first = spool.export(&[&sink]).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the first exporter is at work", || arrived.numbers().len() == 10);
    let (status, complaint) = complaint(spool.export(&[&sink]).arg("--once").output().unwrap());
    assert_eq!(status, 1);
    assert!(complaint.contains(spool.path().to_str().unwrap()), "{complaint}");
    first.kill().unwrap();
    first.wait().unwrap();
    agent.kill();
}

#[test]
fn recovering_by_hand_reports_what_there_is_and_once() {
    let spool = TestSpool::new();
    spool.start(0, 10).kill();
    let alive = spool.start(10, 10);
    let recover = || {
        let output = spanring().arg("recover").arg(spool.path()).arg("--json").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let report = recover();
    assert_eq!(report["recovered"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["recovered"][0]["from_tables"], 1, "{report}");
    assert_eq!((&report["alive"], &report["over"]), (&1.into(), &0.into()), "{report}");
    let again = recover();
    assert_eq!((again["recovered"].as_array().unwrap().len(), &again["over"]), (0, &2.into()), "{again}");
    let output = spanring().arg("recover").arg(spool.path()).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().ends_with(
        "0 recovered, 1 alive, 2 complete, 0 left alone since \
        their process may live\n"
    ));
    alive.kill();
}

#[test]
fn a_recorder_that_is_left_alone_since_its_process_may_live_is_status_1() {
    let spool = TestSpool::new();
    spool.start(0, 10).kill();
    // Its lock is then another file than the one that the process had locked.
    let copy = spool.file("copy");
    assert!(Command::new("cp").arg("-a").arg(spool.path()).arg(&copy).status().unwrap().success());
    fs::remove_dir_all(spool.path()).unwrap();
    fs::rename(&copy, spool.path()).unwrap();

    let output = spanring().arg("recover").arg(spool.path()).arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["unproven"].as_array().unwrap().len(), 1, "{report}");

    let (_receiver, sink, _) = receiver(|_| None);
    let (status, report, complaints) = spool.export_once(&[&sink]);
    assert_eq!((status, &report["sinks"][0]["end"]), (1, &"complete".into()), "{report}");
    assert_eq!(report["unproven"].as_object().unwrap().len(), 1, "{report}");
    assert!(complaints.contains("its process may live"), "{complaints}");
    assert_eq!(spool.recorders().len(), 1);
}

#[test]
fn a_sink_that_comes_later_is_told_what_had_been_removed_and_calls_it_no_damage() {
    let spool = TestSpool::new();
    let agent = spool.start(0, 30_000);
    let sinks = ["first", "second"].map(|name| format!("file:{}", spool.file(name).display()));
    let mut removed = 0;
    wait_until("all is in segments and delivered", || {
        let (status, report, _) = spool.export_once(&[&sinks[0]]);
        assert_eq!(status, 0, "{report}");
        removed += report["segments_removed"].as_u64().unwrap();
        Arrived::in_file(&spool.file("first")).numbers().len() == 30_000
    });
    assert!(removed > 0);
    let (status, report, complaints) = spool.export_once(&[&sinks[1]]);
    assert_eq!((status, report["skipped"].as_object().unwrap().len()), (0, 0), "{report}");
    assert!(complaints.contains(&format!("is new and does not get {removed} segment")), "{complaints}");
    agent.kill();
}

#[test]
fn a_file_that_is_named_twice_is_status_2_and_one_that_is_in_use_is_status_1() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let export = |sinks: &[&str]| complaint(spool.export(sinks).arg("--once").output().unwrap());
    let (status, said) = export(&["file:twice", "file:./twice"]);
    assert!(status == 2 && said.contains("named twice"), "{said}");
    assert!(!std::path::Path::new("twice").exists());
    let path = spool.file("locked");
    let locked = fs::File::create(&path).unwrap();
    locked.lock().unwrap();
    let (status, said) = export(&[&format!("file:{}", path.display())]);
    assert!(status == 1 && said.contains("another exporter writes to it"), "{said}");
}

#[test]
fn bad_input_is_status_2_and_one_line_that_names_it_and_the_reason() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let empty = tempfile::tempdir().unwrap();
    let path = spool.path();
    let (path, empty) = (path.to_str().unwrap(), empty.path().to_str().unwrap());
    let file = format!("file:{}", spool.file("spans.jsonl").display());
    let cases: [(&[&str], &[&str]); 10] = [
        (&["export", "--spool", "/no/such/spool", "--to", &file, "--once"], &["/no/such/spool"]),
        (&["export", "--spool", empty, "--to", &file, "--once"], &[empty]),
        (
            &["export", "--spool", path, "--to", "ftp://host"],
            &["\"ftp://host\"", "otlp+http[s]://HOST[:PORT]"],
        ),
        (&["export", "--spool", path, "--to", "otlp+http://:1"], &["\"otlp+http://:1\""]),
        (
            &["export", "--spool", path, "--to", "otlp+grpcs://h/x"],
            &["\"otlp+grpcs://h/x\"", "a path has no meaning"],
        ),
        (&["export", "--spool", path, "--to", &file, "--to", &file, "--once"], &[&file]),
        (
            &["export", "--spool", path, "--to", "file:/no/such/dir/f"],
            &["file:/no/such/dir/f", "No such file"],
        ),
        (&["export", "--spool", path, "--to", "file:/dev/null"], &["file:/dev/null", "not a regular file"]),
        (&["recover", "/no/such/spool"], &["/no/such/spool"]),
        (&["recover", empty], &[empty]),
    ];
    for (arguments, parts) in cases {
        let (status, complaint) = complaint(spanring().args(arguments).output().unwrap());
        assert_eq!(status, 2, "{arguments:?}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{arguments:?}: {complaint}");
        assert!(complaint.starts_with("spanring: "), "{arguments:?}: {complaint}");
        assert!(parts.iter().all(|part| complaint.contains(part)), "{arguments:?}: {complaint}");
    }
    for arguments in
        [&["export"][..], &["export", "--spool", path], &["export", "--deadline", "1s"], &["fly"], &[]]
    {
        assert_eq!(spanring().args(arguments).output().unwrap().status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn nobody_reading_the_output_is_no_failure() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let file = format!("file:{}", spool.file("spans.jsonl").display());
    let mut child =
        spool.export(&[&file]).arg("--once").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(complaint(child.wait_with_output().unwrap()), (0, String::new()));
}

fn terminate(process: u32) {
    let status = Command::new("sh").args(["-c", &format!("kill -TERM {process}")]).status().unwrap();
    assert!(status.success());
}

#[test]
fn traces_that_the_rules_leave_out_are_counted_and_removed_and_those_with_an_error_arrive() {
    let spool = TestSpool::new();
    spool.record(0, 300);
    spool.start(300, 100).kill();
    let file = spool.file("spans.jsonl");
    let sink = format!("file:{}", file.display());
    let arguments = ["--once", "--json", "--trace-share", "0", "--spans-per-second", "1000000"];
    let output = spool.export(&[&sink]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // The one that was open when its process was killed.
    let [delivered, sampled_out] =
        ["delivered", "sampled_out"].map(|count| report["sinks"][0][count].as_u64());
    assert_eq!((delivered, sampled_out), (Some(1), Some(401)), "{report}");
    assert_eq!(Arrived::in_file(&file).named("open").len(), 1);
    assert_eq!(spool.recorders(), [""; 0]);
}
