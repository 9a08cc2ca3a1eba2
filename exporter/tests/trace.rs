//! `spanring trace` on spools and files.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use spanring::{Ended, Kind, SpanId, Status, TraceId};
use spanring_spool::{SpanData, Spool, Trace, Value};
use tempfile::TempDir;

const SPOOL: &str = "SPANRING_TEST_SPOOL";
const STOPS: &str = "SPANRING_TEST_STOPS";
const READY: &str = "SPANRING_TEST_READY";

/// How long the tests wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// It is this test program, started once more with only this test.
#[test]
fn a_recording_process() {
    let Some(dir) = env::var_os(SPOOL) else { return };
    let spool = Spool::open(dir).service("agent").linger(Duration::from_millis(1)).start().unwrap();
    let run = spanring::span("research").kind(Kind::Agent).root().start();
    {
        let _current = run.enter();
        let chat = spanring::span("chat gpt-4o").kind(Kind::Llm).start();
        chat.set("gen_ai.request.model", "gpt-4o");
        chat.set("gen_ai.usage.input_tokens", 812);
        chat.set("gen_ai.usage.output_tokens", 94);
        chat.event("first token");
        assert!(matches!(chat.end(), Ended::Recorded));
        let tool = spanring::span("execute_tool search").kind(Kind::Tool).start();
        tool.set_status(Status::Error);
        assert!(matches!(tool.end(), Ended::Recorded));
    }
    if env::var_os(STOPS).is_some() {
        assert!(matches!(run.end(), Ended::Recorded));
        drop(spool.stop(PATIENCE));
        return;
    }
    spool.flush(spanring_spool::Level::Spooled, PATIENCE).unwrap();
    fs::write(env::var_os(READY).unwrap(), "").unwrap();
    // Killed long before; an end for the case that nobody does.
    for _ in 0..10 {
        thread::sleep(PATIENCE);
    }
}

/// A directory with a spool that a process records into.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn spool(&self) -> PathBuf {
        self.path("spool")
    }

    fn agent(&self) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "a_recording_process", "--nocapture", "--test-threads", "1"])
            .env(SPOOL, self.spool())
            .stdout(Stdio::null());
        command
    }

    /// Records a run in a process that stops in order.
    fn record(&self) {
        assert!(self.agent().env(STOPS, "").status().unwrap().success());
    }

    /// Records a run in a process that then waits to be killed, with the run's root still open.
    fn start(&self) -> Child {
        let ready = self.path("ready");
        let child = self.agent().env(READY, &ready).spawn().unwrap();
        wait_until("the agent has recorded", || ready.exists());
        child
    }

    /// Everything in the spool, with its content.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut dirs = vec![self.spool()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => dirs.push(path),
                    false => drop(files.insert(path.clone(), fs::read(path).unwrap())),
                }
            }
        }
        files
    }
}

/// What `spanring trace` did: its exit status, and what it printed and complained about.
#[derive(Debug)]
struct Done {
    status: i32,
    printed: String,
    complaints: String,
}

fn trace(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanring"));
    let output =
        command.arg("trace").args(arguments.iter().map(|argument| argument.as_ref())).output().unwrap();
    Done {
        status: output.status.code().unwrap(),
        printed: String::from_utf8(output.stdout).unwrap(),
        complaints: String::from_utf8(output.stderr).unwrap(),
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The lines, without how long things took and with an X for the identity of the trace.
fn shape(printed: &str) -> String {
    let part = |part: &str| match part.split_once(' ') {
        Some(("Trace", _)) => "Trace X".to_owned(),
        _ => part.to_owned(),
    };
    let is_duration = |part: &&str| {
        part.split_once(' ').is_some_and(|(number, unit)| {
            number.parse::<f64>().is_ok() && ["ns", "µs", "ms", "s"].contains(&unit)
        })
    };
    let line = |line: &str| {
        line.split("  ").filter(|text| !is_duration(text)).map(part).collect::<Vec<_>>().join("  ")
    };
    printed.lines().map(|text| line(text) + "\n").collect()
}

const TREE: &str = "\
Trace X  3 spans
└─ research  complete
   │  Total (with children): in=812 out=94 tok
   ├─ chat gpt-4o [gpt-4o]  complete  in=812 out=94 tok  [1 event]
   └─ execute_tool search  error
";

#[test]
fn what_a_process_recorded_is_shown_as_a_tree_and_left_as_it_is() {
    let place = Place::new();
    place.record();
    let before = place.files();
    let done = trace(&[&"--spool", &place.spool()]);
    assert_eq!((done.status, &*done.complaints), (0, ""));
    assert_eq!(shape(&done.printed), TREE);
    assert!(!done.printed.contains('\u{1b}'), "colours are for terminals");
    assert_eq!(place.files(), before);

    let id = done.printed.split_whitespace().nth(1).unwrap();
    assert_eq!(trace(&[&"--spool", &place.spool(), &id]).printed, done.printed);
    place.record();
    let two = trace(&[&"--spool", &place.spool()]);
    assert_eq!(shape(&two.printed), TREE.repeat(2));
    assert!(two.printed.starts_with(&done.printed), "in the order in which they started");
    assert_eq!(trace(&[&"--spool", &place.spool(), &id]).printed, done.printed);
}

#[test]
fn a_living_process_is_shown_with_its_open_root_and_a_dead_one_as_far_as_it_is_read() {
    let place = Place::new();
    let mut agent = place.start();
    let open = TREE.replace("research  complete", "research  open");
    wait_until("all is in segments", || {
        let done = trace(&[&"--spool", &place.spool()]);
        assert_eq!((done.status, &*done.complaints), (0, ""));
        shape(&done.printed) == open
    });

    agent.kill().unwrap();
    agent.wait().unwrap();
    let done = trace(&[&"--spool", &place.spool()]);
    let died = open.replace("research  open", "research  open (process died)");
    assert_eq!((done.status, shape(&done.printed)), (1, died));
    assert!(
        done.complaints.contains("1 recorder whose process died is not recovered yet"),
        "{}",
        done.complaints
    );

    let recovered =
        Command::new(env!("CARGO_BIN_EXE_spanring")).arg("recover").arg(place.spool()).output().unwrap();
    assert!(recovered.status.success(), "{recovered:?}");
    let done = trace(&[&"--spool", &place.spool()]);
    assert_eq!((done.status, &*done.complaints), (0, ""));
    let interrupted = TREE
        .replace("research  complete", "research  error (interrupted)")
        .replace("(interrupted)\n", "(interrupted)  process_exit\n");
    assert_eq!(shape(&done.printed), interrupted);
}

fn span(number: u8, parent: Option<u8>, attributes: &[(&str, Value)]) -> SpanData {
    SpanData {
        trace_id: TraceId::from_bytes([7; 16]),
        span_id: SpanId::from_bytes([number; 8]),
        parent_id: parent.map(|parent| SpanId::from_bytes([parent; 8])),
        name: format!("span {number}"),
        start_unix_ns: u64::from(number) * 1000,
        end_unix_ns: 9000 - u64::from(number) * 1000,
        attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        ..SpanData::default()
    }
}

fn call(number: u8, model: &str) -> SpanData {
    let tokens =
        ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"].map(|key| (key, Value::from(1_000_000)));
    span(number, Some(1), &[("gen_ai.request.model", model.into()), tokens[0].clone(), tokens[1].clone()])
}

fn saved(place: &Place, spans: Vec<SpanData>) -> PathBuf {
    let path = place.path("saved.ndjson");
    Trace::save_all(&Trace::collect(spans), &path).unwrap();
    path
}

#[test]
fn what_is_saved_is_shown_from_the_file_as_from_the_spool() {
    let place = Place::new();
    place.record();
    let file = place.path("saved.ndjson");
    let of_spool = trace(&[&"--spool", &place.spool(), &"--json", &"--save", &file]);
    assert_eq!((of_spool.status, &*of_spool.complaints), (0, ""));
    let of_file = trace(&[&"--file", &file, &"--json"]);
    assert_eq!((of_file.status, &of_file.printed), (0, &of_spool.printed));
    let again = place.path("again.ndjson");
    assert_eq!(trace(&[&"--file", &file, &"--save", &again]).status, 0);
    assert_eq!(fs::read(&again).unwrap(), fs::read(&file).unwrap());

    let json: serde_json::Value = serde_json::from_str(of_file.printed.trim_end()).unwrap();
    assert_eq!(json["name"], "research");
    assert_eq!(json["spans"].as_array().unwrap().len(), 3);
    assert_eq!(json["spans"][1]["attributes"]["gen_ai.usage.input_tokens"], 812);
    let summary = trace(&[&"--file", &file, &"--json", &"--summary"]);
    let summary: serde_json::Value = serde_json::from_str(&summary.printed).unwrap();
    assert_eq!(summary, json["summary"]);
    assert_eq!((&summary["spans"], &summary["errors"]), (&3.into(), &1.into()));
    let summary = trace(&[&"--file", &file, &"--summary"]).printed;
    assert!(summary.contains("\n  spans          3, 1 llm, 1 tool, 1 error\n"), "{summary}");
}

#[test]
fn costs_are_filled_in_from_a_table_of_prices() {
    let place = Place::new();
    let file = saved(&place, vec![span(1, None, &[]), call(2, "gpt-4o"), call(3, "gpt-\u{1b}5")]);
    let prices = place
        .write("prices.toml", "date = 2026-11-20\n[[price]]\nmodel = \"gpt-4*\"\ninput = 2.5\noutput = 10\n");
    let priced = place.path("priced.ndjson");
    let done = trace(&[&"--file", &file, &"--prices", &prices, &"--save", &priced]);
    assert_eq!(done.status, 0);
    assert_eq!(done.complaints, "spanring: 1 span with tokens has no price: \"gpt-\\u{1b}5\"\n");
    let expected = "\
Trace X  3 spans
└─ span 1  complete
   │  Total (with children): in=2000000 out=2000000 tok  $12.50
   ├─ span 2 [gpt-4o]  complete  in=1000000 out=1000000 tok  $12.50
   └─ span 3 [gpt-\\u{1b}5]  complete  in=1000000 out=1000000 tok
";
    assert_eq!(shape(&done.printed), expected);
    assert_eq!(trace(&[&"--file", &priced]).printed, done.printed);

    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/prices.example.toml");
    let done = trace(&[&"--file", &file, &"--prices", &example, &"--summary"]);
    assert_eq!(done.status, 0, "{done:?}");
}

#[test]
fn a_price_for_several_providers_is_not_guessed() {
    let place = Place::new();
    let file = saved(&place, vec![span(1, None, &[]), call(2, "gpt-4o"), call(3, "gpt-4o")]);
    let row = |provider| {
        format!("[[price]]\nmodel = \"gpt-4o\"\nprovider = \"{provider}\"\ninput = 1\noutput = 1\n")
    };
    let one = place.write("one.toml", &format!("date = 2026-11-20\n{}", row("openai")));
    let done = trace(&[&"--file", &file, &"--prices", &one, &"--summary"]);
    assert_eq!(&*done.complaints, "");
    assert!(done.printed.contains("$4.00"), "{}", done.printed);
    let two = place.write("two.toml", &format!("date = 2026-11-20\n{}{}", row("openai"), row("azure")));
    let done = trace(&[&"--file", &file, &"--prices", &two]);
    let expected = "spanring: 2 spans with tokens have no price: \
                    \"gpt-4o\" (priced for provider azure and openai; the span names none)\n";
    assert_eq!((done.status, &*done.complaints), (0, expected));
}

#[test]
fn help_tells_when_spans_show_and_when_not_all_was_read() {
    let done = trace(&[&"--help"]);
    let text = done.printed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("Only roots are announced before they end, unless the spool is `live`"), "{text}");
    assert!(text.contains("its process died and it is not recovered yet"), "{text}");
}

#[test]
fn bad_input_is_told_in_one_line() {
    let place = Place::new();
    let file = saved(&place, vec![span(1, None, &[])]);
    let cut = place.write("cut.ndjson", &(fs::read_to_string(&file).unwrap() + "{\"trace_id\": 3}\n"));
    let typo = place.write("prices.toml", "date = 2026-11-20\n\n[[price]]\nmodel = \"m\"\ninptu = 3\n");
    let otlp = place.write("otlp.json", "{\n  \"resourceSpans\": []\n}\n");
    let json = place.write("json.json", &trace(&[&"--file", &file, &"--json"]).printed);
    let other = "0af7651916cd43dd8448eb211c80319c";
    let none = place.path("none");
    for (arguments, complaint) in [
        (vec![&"--spool" as &dyn AsRef<std::ffi::OsStr>, &none], "there is no spool at "),
        (vec![&"--spool", &place.dir.path()], "is not a spool"),
        (vec![&"--file", &none], "cannot open "),
        (vec![&"--file", &cut], "cut.ndjson, line 2: `trace_id` is not 32 hexadecimal digits\n"),
        (vec![&"--file", &file, &other], "there is no trace 0af7651916cd43dd8448eb211c80319c in "),
        (vec![&"--file", &file, &"0af7"], "a trace's identity is 32 hexadecimal digits"),
        (
            vec![&"--file", &file, &"--prices", &typo],
            "prices.toml, line 5: unknown key `inptu`; the nearest is `input`\n",
        ),
        (vec![&"--file", &file, &"--prices", &none], "cannot open "),
        (vec![&"--file", &otlp], "otlp.json, line 1: it is OTLP/JSON; "),
        (vec![&"--file", &json], "json.json, line 1: it is a whole trace, as `--json` prints it; "),
        (vec![&"--file", &file, &"--spool", &none], "cannot be used with"),
        (vec![], "<--spool <DIR>|--file <FILE>>"),
    ] {
        let done = trace(&arguments);
        assert_eq!((done.status, &*done.printed), (2, ""), "{done:?}");
        assert!(done.complaints.contains(complaint), "{done:?}");
    }
    let done = trace(&[&"--file", &file, &"--save", &place.dir.path()]);
    assert_eq!((done.status, done.complaints.contains("cannot create ")), (1, true), "{done:?}");
}
