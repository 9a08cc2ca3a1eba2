//! `spanring exec`: commands as spans, and one trace through processes that know nothing of each other.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use spanring::propagation::Propagated;
use spanring::{Context, Kind, Status, names};
use spanring_spool::{SpanData, Spool, SpoolDir, Trace, Value};
use tempfile::TempDir;

const SPOOL: &str = "SPANRING_TEST_SPOOL";
const ROLE: &str = "SPANRING_TEST_ROLE";

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// How long the tests wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with a spool in it.
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

    fn spool(&self) -> PathBuf {
        self.path("spool")
    }

    /// `spanring exec --spool … OPTIONS -- COMMAND`, called by nobody, and in a process group that no terminal's keys reach.
    fn exec(&self, options: &[&str], command: &[&str]) -> Command {
        let mut exec = Command::new(env!("CARGO_BIN_EXE_spanring"));
        exec.arg("exec").arg("--spool").arg(self.spool()).args(options).arg("--").args(command);
        Propagated::default().set_in(&mut exec);
        exec.env_remove("OTEL_SDK_DISABLED").process_group(0);
        exec
    }

    fn traces(&self) -> Vec<Trace> {
        let found = Trace::in_spool(&SpoolDir::open(self.spool()).unwrap(), None).unwrap();
        assert!(found.errors.is_empty() && !found.skipped.is_damage(), "{found:?}");
        found.traces
    }

    /// The only span there is.
    fn span(&self) -> SpanData {
        let mut spans: Vec<SpanData> = self.traces().into_iter().flat_map(Trace::into_spans).collect();
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.remove(0)
    }
}

fn text(span: &SpanData, key: &str) -> Option<String> {
    span.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn exit_code(span: &SpanData) -> Option<i64> {
    match span.get("process.exit.code") {
        Some(Value::I64(code)) => Some(*code),
        Some(Value::U64(code)) => i64::try_from(*code).ok(),
        _ => None,
    }
}

fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// This test program, started once more with only the test below, in a role.
fn in_role(role: &str, place: &Place) -> Vec<String> {
    let program = env::current_exe().unwrap().into_os_string().into_string().unwrap();
    let spool = place.spool().into_os_string().into_string().unwrap();
    let mut line = vec!["env".to_owned(), format!("{ROLE}={role}"), format!("{SPOOL}={spool}"), program];
    line.extend(["--exact", "a_started_program", "--test-threads", "1"].map(str::to_owned));
    line
}

/// Does nothing unless it is started in a role.
#[test]
fn a_started_program() {
    let Some(dir) = env::var_os(SPOOL) else { return };
    match env::var(ROLE).unwrap().as_str() {
        "agent" => agent(dir),
        "tool" => tool(dir),
        role => panic!("there is no role {role}"),
    }
}

/// Runs a tool by `spanring exec` within a span.
fn agent(dir: OsString) {
    let spool = Spool::open(&dir).service("agent").start().unwrap();
    let run = spanring::trace("agent").start();
    let place = Place { dir: TempDir::new().unwrap() };
    let mut line = in_role("tool", &place);
    line[2] = format!("{SPOOL}={}", dir.to_str().unwrap());
    let mut exec = Command::new(env!("CARGO_BIN_EXE_spanring"));
    exec.arg("exec").arg("--spool").arg(&dir).args(["--name", "search", "--"]).args(line);
    Propagated::from_environment().with_context(run.context()).set_in(&mut exec);
    assert!(exec.status().unwrap().success());
    run.complete();
    assert!(spool.stop(PATIENCE).is_complete);
}

/// Records under whoever called, and so does its fork.
#[expect(unsafe_code, reason = "there is no other way to fork, to wait for the child and to end it")]
fn tool(dir: OsString) {
    let spool = Spool::open(dir).service("tool").start().unwrap();
    let run = spanring::trace("tool").parent(Context::from_environment()).start();
    // SAFETY: the child records one span and ends; it uses no lock that another thread may hold but that of the allocator, which
    // the C library keeps usable in children.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_recorded =
            spanring::retrieval("fork").parent(run.context()).start().complete() == spanring::Ended::Recorded;
        // SAFETY: it ends the process, and runs nothing that is the parent's to run.
        unsafe { libc::_exit(i32::from(!is_recorded)) };
    }
    let mut status = -1;
    // SAFETY: `status` is ours.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0));
    run.complete();
    assert!(spool.stop(PATIENCE).is_complete);
}

#[test]
fn one_trace_leads_from_a_process_through_a_command_to_a_program_and_its_fork() {
    let place = Place::new();
    let line = in_role("agent", &place);
    let mut agent = Command::new(&line[0]);
    agent.args(&line[1..]).env_remove("OTEL_SDK_DISABLED");
    Propagated::default().set_in(&mut agent);
    let output = agent.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // The fork ended without a word to anybody.
    let recovered =
        Command::new(env!("CARGO_BIN_EXE_spanring")).arg("recover").arg(place.spool()).output().unwrap();
    assert!(recovered.status.success(), "{recovered:?}");

    let traces = place.traces();
    assert_eq!(traces.len(), 1, "{traces:?}");
    let tree = traces[0].tree();
    let mut node = tree.roots().next().unwrap();
    let mut names = vec![node.span.name.as_str()];
    while let Some(child) = tree.children(node).next() {
        assert_eq!(tree.children(node).count(), 1);
        assert_eq!(child.span.parent_id, Some(node.span.span_id));
        assert_eq!(child.span.status, Status::Ok, "{child:?}");
        names.push(child.span.name.as_str());
        node = child;
    }
    assert_eq!(names, ["agent", "execute_tool search", "tool", "retrieval fork"]);
    assert_eq!(traces[0].spans().len(), 4);
}

#[test]
fn the_status_is_the_commands_and_recorded() {
    for code in [0, 1, 2, 3, 125, 126, 127, 128, 255] {
        let place = Place::new();
        let line = ["sh", "-c", &format!("exit {code}"), "a b"];
        let output = place.exec(&[], &line).output().unwrap();
        assert_eq!((output.status.code(), printed(&output)), (Some(code), Default::default()));
        let span = place.span();
        assert_eq!((span.name.as_str(), span.kind, span.parent_id), ("execute_tool sh", Kind::Tool, None));
        assert_eq!(exit_code(&span), Some(i64::from(code)));
        let expected = match code {
            0 => (Status::Ok, None, String::new()),
            code => (Status::Error, Some(code.to_string()), format!("exit status {code}")),
        };
        assert_eq!((span.status, text(&span, names::ERROR_TYPE), span.status_message.clone()), expected);
        let arguments = Value::List(line.into_iter().map(Value::from).collect());
        assert_eq!(span.get(names::TOOL_CALL_ARGUMENTS), Some(&arguments));
        assert_eq!(text(&span, "process.executable.name").as_deref(), Some("sh"));
        assert!(span.get("process.pid").is_some());
    }
}

#[test]
fn a_command_that_a_signal_ends_is_told_as_shells_do() {
    for (signal, number) in [("KILL", 9), ("TERM", 15), ("ABRT", 6), ("HUP", 1)] {
        let place = Place::new();
        let output = place.exec(&[], &["sh", "-c", &format!("kill -{signal} $$")]).output().unwrap();
        assert_eq!(output.status.code(), Some(128 + number));
        let span = place.span();
        let name = format!("SIG{signal}");
        assert_eq!((span.status, exit_code(&span)), (Status::Error, Some(i64::from(128 + number))));
        assert_eq!(text(&span, names::ERROR_TYPE), Some(name.clone()));
        assert_eq!(span.status_message, format!("killed by {name}"));
    }
}

#[test]
fn what_cannot_be_run_is_told_as_shells_do() {
    let place = Place::new();
    let script = place.path("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
    for (program, status, why) in [
        ("no-such-command-anywhere", 127, "cannot run no-such-command-anywhere: "),
        ("/no/such/command", 127, "cannot run /no/such/command: "),
        (script.to_str().unwrap(), 126, "cannot run "),
        (place.dir.path().to_str().unwrap(), 126, "cannot run "),
    ] {
        let place = Place::new();
        let output = place.exec(&[], &[program, "argument"]).output().unwrap();
        let (out, complaint) = printed(&output);
        assert_eq!((output.status.code(), &*out), (Some(status), ""), "{complaint}");
        assert!(complaint.contains(why) && complaint.lines().count() == 1, "{complaint}");
        let span = place.span();
        assert_eq!((span.status, exit_code(&span)), (Status::Error, None));
        assert_eq!(text(&span, names::ERROR_TYPE).as_deref(), Some("std::io::Error"));
    }
}

#[test]
fn input_output_and_errors_are_the_commands_own() {
    let place = Place::new();
    let mut exec = place.exec(&[], &["sh", "-c", "cat; echo problem >&2"]);
    let mut exec = exec.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sent: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[n as usize % 3]).collect();
    let (mut input, content) = (exec.stdin.take().unwrap(), sent.clone());
    let writer = thread::spawn(move || input.write_all(&content).unwrap());
    let output = exec.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == sent, "{} bytes came of {}", output.stdout.len(), sent.len());
    assert_eq!(output.stderr, b"problem\n");
}

#[test]
fn signals_are_sent_on_and_survived() {
    for (signal, name) in [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::TERM, "TERM"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        let place = Place::new();
        // It ends by itself where the tests were started with the signal ignored, which no shell can change.
        let script = format!(
            "trap 'echo got {name}; exit 7' {name}; echo ready; for _ in $(seq 6000); do sleep 0.01; done"
        );
        let mut exec = place.exec(&[], &["sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(exec.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        kill_process(Pid::from_child(&exec), signal).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), format!("got {name}"));
        assert_eq!(exec.wait().unwrap().code(), Some(7), "{name}");
        assert_eq!(exit_code(&place.span()), Some(7));
    }
}

#[test]
fn a_signal_that_the_command_does_not_survive_ends_both_and_is_recorded() {
    let place = Place::new();
    let mut exec =
        place.exec(&[], &["sh", "-c", "echo ready; exec sleep 600"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(exec.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    kill_process(Pid::from_child(&exec), Signal::TERM).unwrap();
    assert_eq!(exec.wait().unwrap().code(), Some(143));
    assert_eq!(text(&place.span(), names::ERROR_TYPE).as_deref(), Some("SIGTERM"));
}

#[test]
fn a_signal_that_was_ignored_from_the_start_stays_ignored() {
    let place = Place::new();
    let exec = place.exec(&[], &["sh", "-c", "kill -HUP $$; kill -HUP $PPID; echo survived"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(exec.get_program()).args(exec.get_args());
    Propagated::default().set_in(&mut shell);
    let output = shell.env_remove("OTEL_SDK_DISABLED").output().unwrap();
    assert_eq!(printed(&output), ("survived\n".to_owned(), String::new()));
    assert!(output.status.success());
    assert_eq!(place.span().status, Status::Ok);
}

#[test]
fn a_command_that_runs_is_shown_as_an_open_span() {
    let place = Place::new();
    let mut exec = place.exec(&[], &["cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_until("the span is announced", || {
        let is_there = place.spool().is_dir() && SpoolDir::open(place.spool()).is_ok();
        is_there && place.traces().iter().any(|trace| trace.name() == "execute_tool cat")
    });
    assert!(place.span().is_open);
    drop(exec.stdin.take());
    let mut rest = String::new();
    exec.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert!(exec.wait().unwrap().success());
    assert!(!place.span().is_open);
}

/// What the command finds in its environment.
const FOUND: &[&str] = &["sh", "-c", "echo \"$TRACEPARENT|${TRACESTATE-none}|${BAGGAGE-none}\""];

#[test]
fn the_command_finds_its_own_span_and_what_else_the_caller_has_said() {
    let place = Place::new();
    let mut exec = place.exec(&[], FOUND);
    exec.env("TRACEPARENT", CALLER).env("TRACESTATE", "congo=t61, rojo=1").env("BAGGAGE", "k = v");
    let (found, _) = printed(&exec.output().unwrap());
    let span = place.span();
    assert_eq!(found, format!("00-{}-{}-01|congo=t61,rojo=1|k=v\n", span.trace_id, span.span_id));
    assert_eq!(span.trace_id.to_string(), CALLER[3..35]);
    assert_eq!(span.parent_id.unwrap().to_string(), CALLER[36..52]);
}

#[test]
fn a_trace_that_is_not_sampled_goes_on_through_the_command_and_records_nothing() {
    let unsampled = CALLER.replace("-01", "-00");
    for (caller, sampler) in [(Some(&unsampled), None), (None, Some("always_off"))] {
        let place = Place::new();
        let mut exec = place.exec(&["--require-spool"], FOUND);
        caller.map(|caller| exec.env("TRACEPARENT", caller));
        sampler.map(|sampler| exec.env("OTEL_TRACES_SAMPLER", sampler));
        let (found, complaint) = printed(&exec.output().unwrap());
        assert!(found.ends_with("-00|none|none\n") && complaint.is_empty(), "{found} {complaint}");
        assert!(caller.is_none_or(|caller| found[..36] == caller[..36] && found[36..52] != caller[36..52]));
        assert!(place.traces().is_empty());
    }
}

#[test]
fn where_content_is_not_recorded_neither_is_the_command_line() {
    let place = Place::new();
    let mut exec = place.exec(&[], &["sh", "-c", "exit 3", "--password=hunter2"]);
    exec.env("SPANRING_CAPTURE_CONTENT", "false");
    assert_eq!(exec.output().unwrap().status.code(), Some(3));
    let span = place.span();
    assert_eq!((exit_code(&span), span.error_message()), (Some(3), Some("exit status 3")));
    assert!(!format!("{span:?}").contains("hunter2"), "{span:?}");
}

#[test]
fn a_caller_that_makes_no_sense_is_none() {
    for caller in ["", "nonsense", &CALLER.to_uppercase(), &format!("{CALLER}-more")] {
        let place = Place::new();
        let mut exec = place.exec(&[], FOUND);
        exec.env("TRACEPARENT", caller).env("TRACESTATE", "congo=t61").env("BAGGAGE", "k=v,nonsense");
        let output = exec.output().unwrap();
        let (found, complaint) = printed(&output);
        assert_eq!((output.status.code(), &*complaint), (Some(0), ""));
        let span = place.span();
        assert_eq!(found, format!("00-{}-{}-01|none|k=v\n", span.trace_id, span.span_id));
        assert_eq!(span.parent_id, None);
    }
}

#[test]
fn a_spool_that_cannot_be_opened_does_not_keep_the_command_from_running_unless_it_must() {
    let place = Place::new();
    fs::write(place.spool(), "no directory").unwrap();
    let caller =
        |exec: &mut Command| exec.env("TRACEPARENT", CALLER).env("TRACESTATE", "congo=t61").output().unwrap();
    let output = caller(&mut place.exec(&[], FOUND));
    let (found, complaint) = printed(&output);
    assert_eq!((output.status.code(), found), (Some(0), format!("{CALLER}|congo=t61|none\n")));
    assert!(complaint.starts_with("spanring: the command is run and not recorded: "), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    let output = place.exec(&[], &["sh", "-c", "exit 9"]).output().unwrap();
    assert_eq!(output.status.code(), Some(9));

    let output = caller(&mut place.exec(&["--require-spool"], FOUND));
    let (found, complaint) = printed(&output);
    assert_eq!((output.status.code(), &*found), (Some(125), ""));
    assert!(complaint.starts_with("spanring: the command is not run: "), "{complaint}");
}

#[test]
fn where_recording_is_disabled_the_command_runs_as_if_it_stood_alone() {
    let place = Place::new();
    let mut exec = place.exec(&["--require-spool"], FOUND);
    exec.env("OTEL_SDK_DISABLED", "true").env("TRACEPARENT", CALLER).env("TRACESTATE", "congo=t61");
    let output = exec.output().unwrap();
    assert_eq!(printed(&output), (format!("{CALLER}|congo=t61|none\n"), String::new()));
    assert!(!place.spool().exists());
}

#[test]
fn tool_and_service_are_called_as_it_is_said() {
    let place = Place::new();
    let output =
        place.exec(&["--name", "build", "--service", "ci"], &["/bin/sh", "-c", "exit"]).output().unwrap();
    assert!(output.status.success());
    let span = place.span();
    assert_eq!(
        (&*span.name, text(&span, names::TOOL_NAME).as_deref()),
        ("execute_tool build", Some("build"))
    );
    assert_eq!(text(&span, "process.executable.name").as_deref(), Some("sh"));
    let spool = SpoolDir::open(place.spool()).unwrap();
    let recorder = spool.recorders().unwrap().remove(0);
    let resource = spool.resource(&recorder).unwrap();
    let service = resource.attributes.iter().find(|(key, _)| key == "service.name").unwrap();
    assert_eq!(service.1, Value::from("ci"));
}

#[test]
fn a_wrong_option_runs_nothing() {
    let place = Place::new();
    let spool = place.spool();
    let spool = spool.to_str().unwrap();
    for line in [
        vec!["exec", "--spool", spool],
        vec!["exec", "--spool", spool, "--"],
        vec!["exec", "--", "touch", "ran"],
        vec!["exec", "--spool", spool, "--nonsense", "--", "touch", "ran"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_spanring"))
            .args(&line)
            .current_dir(place.dir.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{line:?}: {output:?}");
    }
    assert!(!place.path("ran").exists() && !place.spool().exists());
    // Options behind the command are the command's.
    let output = Command::new(env!("CARGO_BIN_EXE_spanring"))
        .args(["exec", "--spool", spool, "sh", "-c", "echo \"$1\"", "sh", "--name"])
        .env_remove("OTEL_SDK_DISABLED")
        .output()
        .unwrap();
    assert_eq!(printed(&output), ("--name\n".to_owned(), String::new()));
}

#[test]
fn help_tells_what_the_status_means() {
    let output = Command::new(env!("CARGO_BIN_EXE_spanring")).args(["exec", "--help"]).output().unwrap();
    let (text, _) = printed(&output);
    for part in ["TRACEPARENT", "--require-spool", "125 ", "126 ", "127 "] {
        assert!(text.contains(part), "{text}");
    }
}
