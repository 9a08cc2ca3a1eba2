//! `spanring replay` to servers that take whole traces, or parents first: they forget everything, and are sent the same requests again.

mod agent;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value as Json, json};
use spanring::Overflow;
use spanring_exporter::demo::receiver::{Answer, Receiver};
use spanring_exporter::rfc3339;
use spanring_spool::Spool;

use self::agent::{TestSpool, complaint, peak_kib, spanring};

#[test]
fn a_recording_process() {
    agent::main();
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum System {
    Prela,
    Prefactor,
    /// Prefactor, which is shown spans while they run.
    PrefactorLive,
}

const SYSTEMS: [System; 3] = [System::Prela, System::Prefactor, System::PrefactorLive];

impl System {
    fn tell(self, command: &mut Command) -> &mut Command {
        match self {
            System::Prela => command.env("PRELA_API_KEY", "secret"),
            System::Prefactor | System::PrefactorLive => {
                let mode = if self == System::PrefactorLive { "live" } else { "finished" };
                command
                    .env("PREFACTOR_API_TOKEN", "secret")
                    .env("PREFACTOR_AGENT_ID", "my-agent")
                    .env("PREFACTOR_MODE", mode)
            }
        }
    }
}

/// A server that takes everything but what it is told not to, and can forget.
struct Server {
    _receiver: Receiver,
    system: System,
    sink: String,
    taken: Arc<Mutex<Vec<Request>>>,
    /// All that exporters have sent.
    exported: Mutex<Vec<Request>>,
}

/// A request: its path, and its body.
type Request = (String, Json);

impl Server {
    fn start(system: System, mut refuses: impl FnMut(&Request) -> Option<u16> + Send + 'static) -> Self {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let taking = Arc::clone(&taken);
        let receiver = Receiver::start(move |received| {
            let request = (received.path, serde_json::from_slice::<Json>(&received.body).unwrap());
            if let Some(status) = refuses(&request) {
                return Answer { headers: vec![("retry-after", "0".to_owned())], ..Answer::status(status) };
            }
            let (path, body) = &request;
            // An identity is the same whenever it is given, so that requests can be compared.
            let key = [&body["idempotency_key"], &body["details"]["idempotency_key"]];
            let key = key.into_iter().find_map(Json::as_str).unwrap_or("a trace");
            let status =
                if path.ends_with("/agent_spans") { body["details"]["status"].clone() } else { Json::Null };
            let answer =
                json!({"status": "success", "details": {"id": format!("of-{key}"), "status": status}});
            taking.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            Answer { body: answer.to_string().into_bytes(), ..Answer::status(200) }
        });
        let receiver = receiver.unwrap();
        let sink = match system {
            System::Prela => format!("prela+http://{}/v1/traces", receiver.address()),
            _ => format!("prefactor+http://{}", receiver.address()),
        };
        Server { _receiver: receiver, system, sink, taken, exported: Mutex::default() }
    }

    fn takes_all(system: System) -> Self {
        Server::start(system, |_| None)
    }

    /// All that it was sent since it forgot last, in order.
    fn forget(&self) -> Vec<Request> {
        std::mem::take(&mut self.taken.lock().unwrap())
    }

    fn export_with_grace(&self, spool: &TestSpool) -> Vec<Request> {
        let mut export = spool.export(&[&self.sink]);
        let output = self.system.tell(&mut export).args(["--once", "--grace", "1h"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let taken = self.forget();
        // What an earlier exporter was answered is known to this one.
        let mut exported = self.exported.lock().unwrap();
        exported.extend(taken.iter().cloned());
        assert!(self.system == System::Prela || is_parents_first(&exported));
        taken
    }

    fn replay(&self, spool: &TestSpool, since: &str) -> Command {
        let mut command = spanring();
        self.system.tell(&mut command).arg("replay").arg("--spool").arg(spool.path());
        command.args(["--to", &self.sink, "--since", since]);
        command
    }
}

/// Whether no span is created before its parent, or without its instance.
fn is_parents_first(requests: &[Request]) -> bool {
    let mut known = BTreeSet::new();
    requests.iter().all(|(_, body)| {
        let details = &body["details"];
        let key = body["idempotency_key"].as_str().or_else(|| details["idempotency_key"].as_str()).unwrap();
        known.insert(format!("of-{key}"));
        let needed = [&details["agent_instance_id"], &details["parent_span_id"]];
        needed.into_iter().filter_map(Json::as_str).all(|id| known.contains(id))
    })
}

fn report(command: &mut Command) -> (i32, Json) {
    let output = command.arg("--json").output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap(), report)
}

/// Every file of the spool, with what it holds.
fn everything(spool: &TestSpool) -> BTreeMap<PathBuf, Vec<u8>> {
    fn add(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => add(&path, files),
                false => drop(files.insert(path.clone(), fs::read(path).unwrap())),
            }
        }
    }
    let mut files = BTreeMap::new();
    add(&spool.path(), &mut files);
    files
}

/// Requests that are on their way at the same time come in any order.
#[track_caller]
fn assert_same(again: &[Request], first: &[Request]) {
    assert_eq!(again.len(), first.len());
    let sorted = |requests: &[Request]| {
        let mut texts: Vec<_> = requests.iter().map(text).collect();
        texts.sort_unstable();
        texts
    };
    for (again, first) in sorted(again).iter().zip(&sorted(first)) {
        assert_eq!(again, first);
    }
}

fn text((path, body): &Request) -> String {
    format!("{path} {body}")
}

fn number((_, body): &Request) -> Option<u64> {
    let of_document = &body["spans"][0]["attributes"]["number"];
    of_document.as_u64().or_else(|| body["details"]["payload"]["metadata"]["number"].as_u64())
}

#[test]
fn a_server_that_forgot_everything_is_sent_the_same_requests_also_of_an_agent_that_was_killed() {
    for system in SYSTEMS {
        let spool = TestSpool::new();
        spool.record(0, 300);
        spool.start(300, 200).kill();
        let server = Server::takes_all(system);
        let first = server.export_with_grace(&spool);
        let ends =
            first.iter().filter(|(path, _)| path.contains("agent_instance") && path.ends_with("/finish"));
        let statuses: Vec<_> = ends.map(|(_, body)| body["status"].as_str().unwrap()).collect();
        assert_eq!(
            statuses,
            if system == System::Prela { [""; 0].to_vec() } else { vec!["complete", "failed"] }
        );
        let before = everything(&spool);

        let (status, plan) = report(server.replay(&spool, "1h").arg("--dry-run"));
        assert_eq!((status, &plan["traces"], &plan["spans"]), (0, &502.into(), &502.into()), "{plan}");
        let output = server.replay(&spool, "1h").arg("--dry-run").output().unwrap();
        let (text, blocks) = (String::from_utf8(output.stdout).unwrap(), &plan["blocks"]);
        let said =
            format!("{}: 502 spans of 502 traces in {blocks} blocks would be delivered again\n", server.sink);
        assert_eq!(text, said);
        assert_eq!(server.forget(), [], "a dry run sends nothing");

        let (status, sent) = report(&mut server.replay(&spool, "1h"));
        assert_eq!(
            (status, &sent["end"], &sent["delivered"]),
            (0, &"complete".into(), &502.into()),
            "{sent}"
        );
        assert_eq!((&sent["traces"], &sent["blocks"]), (&plan["traces"], blocks));
        assert_same(&server.forget(), &first);
        assert!(everything(&spool) == before, "something in the spool has changed");

        // The exporter goes on as if nothing had been.
        let mut export = spool.export(&[&server.sink]);
        assert!(system.tell(&mut export).arg("--once").output().unwrap().status.success());
        assert_eq!((server.forget(), spool.recorders()), (Vec::new(), Vec::new()));
    }
}

#[test]
fn what_ended_before_then_does_not_go_and_nothing_is_said_of_its_process() {
    for system in SYSTEMS {
        let spool = TestSpool::new();
        spool.record(0, 100);
        let server = Server::takes_all(system);
        server.export_with_grace(&spool);
        thread::sleep(Duration::from_millis(5));
        let between = rfc3339::text(SystemTime::now());
        spool.record(100, 50);
        let second = server.export_with_grace(&spool);
        let (status, sent) = report(&mut server.replay(&spool, &between));
        assert_eq!((status, &sent["traces"], &sent["delivered"]), (0, &51.into(), &51.into()), "{sent}");
        assert_same(&server.forget(), &second);
        let (status, sent) = report(&mut server.replay(&spool, "0s"));
        assert_eq!((status, &sent["traces"], server.forget()), (0, &0.into(), Vec::new()), "{sent}");
    }
}

#[test]
fn of_a_process_that_lives_what_is_over_goes_and_the_rest_is_left_to_the_exporter() {
    for system in SYSTEMS {
        let spool = TestSpool::new();
        let agent = spool.start(0, 100);
        let server = Server::takes_all(system);
        let first = server.export_with_grace(&spool);
        assert_eq!(first.iter().filter_map(number).collect::<BTreeSet<_>>(), (0..100).collect());
        let (status, sent) = report(&mut server.replay(&spool, "1h"));
        assert_eq!((status, &sent["traces"], &sent["spans"]), (0, &100.into(), &100.into()), "{sent}");
        assert_same(&server.forget(), &first);

        // It is recovered by the next exporter, and has been nobody's business until then.
        agent.kill();
        let (status, sent) = report(&mut server.replay(&spool, "1h"));
        assert_eq!((status, &sent["traces"]), (0, &100.into()), "{sent}");
        server.forget();
        // The sink has had nothing of what was recovered.
        assert!(spanring().arg("recover").arg(spool.path()).output().unwrap().status.success());
        let (status, sent) = report(&mut server.replay(&spool, "1h"));
        assert_eq!((status, &sent["traces"]), (0, &100.into()), "{sent}");
        server.forget();
        let rest = server.export_with_grace(&spool);
        assert_eq!(rest.iter().filter_map(number).collect::<Vec<_>>(), [0; 0]);
        let (status, sent) = report(&mut server.replay(&spool, "1h"));
        assert_eq!((status, &sent["traces"]), (0, &101.into()), "{sent}");
        let mut all = server.forget();
        let mut expected: Vec<_> = first.into_iter().chain(rest).collect();
        all.sort_by_key(text);
        expected.sort_by_key(text);
        assert_same(&all, &expected);

        // A power cut may take how far it had got in the recorder, and not in what was recovered of it.
        for recorder in spool.recorders().iter().filter(|recorder| !recorder.ends_with("-r")) {
            let files = fs::read_dir(spool.path().join(recorder)).unwrap().map(|file| file.unwrap());
            files
                .filter(|file| file.file_name().to_string_lossy().starts_with("cursor-"))
                .for_each(|file| fs::remove_file(file.path()).unwrap());
        }
        let (status, sent) = report(&mut server.replay(&spool, "1h"));
        assert_eq!((status, &sent["traces"]), (0, &101.into()), "{sent}");
    }
}

#[test]
fn a_server_that_fails_for_a_while_is_asked_again_and_one_that_goes_on_failing_is_given_up() {
    for system in SYSTEMS {
        let spool = TestSpool::new();
        spool.record(0, 50);
        let first = Server::takes_all(system);
        let expected = first.export_with_grace(&spool);
        let mut asked = 0;
        let server = Server::start(system, move |_| {
            asked += 1;
            (asked % 10 == 3).then_some(500)
        });
        let (status, sent) = report(&mut server.replay(&spool, "1h"));
        assert_eq!((status, &sent["end"], &sent["delivered"]), (0, &"complete".into(), &51.into()), "{sent}");
        assert!(sent["retries"].as_u64().unwrap() > 2, "{sent}");
        // A batch is sent again from its beginning.
        let again: BTreeSet<_> = server.forget().iter().map(text).collect();
        assert_eq!(again, expected.iter().map(text).collect());

        for (answer, end, said) in [(500, "gave_up", "500 Internal"), (401, "refused", "401 Unauthorized")] {
            let server = Server::start(system, move |_| Some(answer));
            let (status, sent) = report(server.replay(&spool, "1h").args(["--deadline", "100ms"]));
            assert_eq!((status, &sent["end"]), (1, &end.into()), "{sent}");
            assert_eq!((&sent["delivered"], &sent["traces"]), (&0.into(), &51.into()), "the rest is counted");
            assert!(sent["reason"].as_str().unwrap().contains(said), "{sent}");
        }
    }
}

#[test]
fn what_is_refused_is_counted_and_is_no_dead_letter_and_the_others_go_on() {
    for system in SYSTEMS {
        let spool = TestSpool::new();
        spool.record(0, 100);
        let first = Server::takes_all(system);
        let mut expected = first.export_with_grace(&spool);
        let before = everything(&spool);
        let server = Server::start(system, |request| (number(request) == Some(42)).then_some(422));
        let output = server.replay(&spool, "1h").arg("--json").output().unwrap();
        let sent: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &sent["end"]), (Some(1), &"complete".into()), "{sent}");
        assert_eq!((&sent["delivered"], &sent["refused"]), (&100.into(), &1.into()), "{sent}");
        let (_, said) = complaint(output);
        assert_eq!(said.matches("422 Unprocessable").count(), 1, "{said}");
        let refused = expected.iter().position(|request| number(request) == Some(42)).unwrap();
        let key = expected.remove(refused).1["details"]["idempotency_key"].clone();
        if let (System::PrefactorLive, Some(key)) = (system, key.as_str()) {
            expected.retain(|(path, _)| *path != format!("/api/v1/agent_spans/of-{key}/finish"));
        }
        let again: BTreeSet<_> = server.forget().iter().map(text).collect();
        assert_eq!(again, expected.iter().map(text).collect());
        assert!(everything(&spool) == before, "something in the spool has changed");
    }
}

/// One large trace, and many small ones of two spans, which are spread over the same blocks.
fn record_interleaved(spool: &TestSpool, large: usize, many: usize) {
    let recorder = Spool::open(spool.path())
        .overflow(Overflow::Block(Duration::from_secs(60)))
        .tables(8, 64)
        .start()
        .unwrap();
    let root = spanring::span("large").root().start();
    let roots: Vec<_> = (0..many).map(|_| spanring::span("one of many").root().start()).collect();
    for number in 0..large {
        drop(spanring::span("step").parent(root.context()).set("text", "x".repeat(20)).start());
        let Some(small) = roots.get(number) else { continue };
        drop(spanring::span("step").parent(small.context()).set("text", "x".repeat(20)).start());
    }
    drop(roots);
    drop(root);
    assert!(recorder.stop(Duration::from_secs(60)).is_complete);
}

#[test]
fn thousands_of_traces_between_each_other_are_the_same_again_and_need_little_memory() {
    // The large one is read block by block. Of Prefactor each span is a request.
    for (system, large, many) in [(System::Prela, 9_000, 4_000), (System::Prefactor, 4_200, 2_000)] {
        let spool = TestSpool::new();
        record_interleaved(&spool, large, many);
        let server = Server::takes_all(system);
        let first = server.export_with_grace(&spool);
        let mut replay = server.replay(&spool, "1h").stdout(Stdio::null()).spawn().unwrap();
        let mut peak = 0;
        let status = loop {
            peak = peak.max(peak_kib(replay.id()).unwrap_or(0));
            match replay.try_wait().unwrap() {
                Some(status) => break status,
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        assert!(status.success());
        let again = server.forget();
        if system == System::Prela {
            let mut sizes = BTreeMap::<_, usize>::new();
            for (_, document) in &again {
                *sizes.entry(document["spans"].as_array().unwrap().len()).or_default() += 1;
            }
            assert_eq!(sizes, BTreeMap::from([(large + 1, 1), (2, many)]));
        }
        assert_same(&again, &first);
        eprintln!("{system:?}: replay had {peak} KiB at most");
        assert!(peak <= 64 * 1024, "{peak} KiB");
    }
}

#[test]
fn a_sink_that_a_configuration_sets_up_is_asked_as_that_says_so_that_its_instance_is_the_same() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let server = Server::takes_all(System::Prefactor);
    let config = spool.file("export.toml");
    let said = format!(
        "spool = \"{}\"\ngrace = \"1h\"\n[[sink]]\nto = \"{}\"\npurpose = \"eval\"\n[[sink.span_types]]\nname = \"my:type\"\n",
        spool.path().display(),
        server.sink
    );
    fs::write(&config, said).unwrap();
    let mut export = spanring();
    System::Prefactor.tell(&mut export).arg("export").arg("--config").arg(&config).arg("--once");
    let output = export.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let first = server.forget();
    let (status, sent) = report(server.replay(&spool, "1h").arg("--config").arg(&config));
    assert_eq!((status, &sent["delivered"]), (0, &11.into()), "{sent}");
    assert_same(&server.forget(), &first);
    assert_eq!(report(&mut server.replay(&spool, "1h")).0, 0);
    assert_ne!(server.forget()[0], first[0], "without the file it is another instance");

    fs::write(&config, format!("spool = \"{}\"\n[[sink]]\nto = \"stdout\"\n", spool.path().display()))
        .unwrap();
    let output = server.replay(&spool, "1h").arg("--config").arg(&config).output().unwrap();
    let (status, said) = complaint(output);
    assert!(status == 2 && said.contains(&format!("export.toml has no sink {}", server.sink)), "{said}");
}
