//! OpenTelemetry's variables, as a process meets them when it starts. A process cannot change its environment safely, so the
//! tests start this program once more, with only the test that plays the process.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use spanring::callsite::Directives;
use spanring::sampling::AlwaysOn;
use spanring::{Ended, TraceId, span};
use spanring_spool::{Health, Ledger, Level, Resource, Spool, SpoolDir, Value};

const MINUTE: Duration = Duration::from_secs(60);
const VARIABLES: [&str; 10] = [
    "SPANRING_DISABLED",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "SPANRING_FILTER",
    "SPANRING_LIVE",
    "SPANRING_CAPTURE_CONTENT",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
];
/// Where the process is to record.
const SPOOL: &str = "SPANRING_TEST_SPOOL";
/// Whether the process has a sampler and a filter of its own.
const CHOOSES: &str = "SPANRING_TEST_CHOOSES";
/// What the process is to say about itself.
const SERVICE: &str = "SPANRING_TEST_SERVICE";

#[test]
fn a_process_that_records() {
    let Some(path) = env::var_os(SPOOL) else { return };
    let mut builder = Spool::open(&path);
    if let Ok(service) = env::var(SERVICE) {
        builder = builder.service(&service).service_version("2").environment("staging");
    }
    let spool = builder.start().unwrap();
    assert!(!spool.is_disabled());
    let warnings: Vec<_> = spool.health().warnings.into_iter().map(|warning| warning.action).collect();
    fs::write(PathBuf::from(path).with_extension("warnings"), warnings.join("\n")).unwrap();
    assert_eq!(spool.health().trouble, None);
    std::thread::spawn(|| assert_eq!(spanring::span("work").start().end(), Ended::Recorded)).join().unwrap();
    assert!(spool.stop(MINUTE).is_complete);
}

#[test]
fn a_process_that_records_what_it_is_told_to() {
    let Some(path) = env::var_os(SPOOL) else { return };
    let mut builder = Spool::open(&path);
    if env::var_os(CHOOSES).is_some() {
        builder = builder.sampler(AlwaysOn).filter("name:b=off".parse::<Directives>().unwrap());
    }
    let spool = builder.start().unwrap();
    let recording = || {
        drop(spanring::llm("gpt-4o").input("a prompt").temperature(0.5).start());
        [span!("a"), span!("b")].map(|span| span.is_recording())
    };
    let recorded = std::thread::spawn(recording).join().unwrap();
    let report = spool.stop(MINUTE);
    assert!(report.is_complete);
    let seen = format!("{recorded:?} {} {}", report.ledger.sampled_out, report.ledger.redacted);
    fs::write(PathBuf::from(path).with_extension("seen"), seen).unwrap();
}

#[test]
fn a_process_that_is_disabled() {
    let Some(path) = env::var_os(SPOOL) else { return };
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    // A ring of no possible length: a disabled spool looks at nothing.
    let spool = Spool::open(path).ring_bytes(1).delivered_by("file:/spans").start().unwrap();
    assert!(spool.is_disabled());
    assert_eq!(threads(), before);
    assert_eq!(spanring::span("work").start().end(), Ended::NotRecording);
    for level in [Level::Recorded, Level::Spooled, Level::Durable, Level::Delivered] {
        spool.flush(level, Duration::ZERO).unwrap();
    }
    let health = Health { is_crash_safe: true, is_durable: true, trouble: None, warnings: vec![] };
    assert_eq!((spool.ledger(), spool.health()), (Ledger::default(), health));
    assert_eq!(spool.trace(TraceId::from_bytes([1; 16])).unwrap(), []);
    // There may be as many as one likes, since none of them is one.
    drop(Spool::open("elsewhere").start().unwrap());
    let report = spool.stop(MINUTE);
    assert!(report.is_complete && report.ledger == Ledger::default(), "{report}");
}

/// What a process with these variables left.
struct Left {
    dir: tempfile::TempDir,
    succeeded: bool,
}

impl Left {
    fn by(process: &str, variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        command
            .args(["--exact", process, "--nocapture", "--test-threads", "1"])
            .env(SPOOL, dir.path().join("spool"))
            .envs(variables.iter().copied())
            .current_dir(dir.path())
            .stdout(Stdio::null());
        let succeeded = command.status().unwrap().success();
        Left { dir, succeeded }
    }

    /// The resource of what was recorded, and the warnings.
    fn recorded(&self) -> (Resource, String) {
        assert!(self.succeeded);
        let spool = SpoolDir::open(self.dir.path().join("spool")).unwrap();
        let recorders = spool.recorders().unwrap();
        let [recorder] = &recorders[..] else { panic!("{recorders:?}") };
        let resource = spool.resource(recorder).unwrap();
        assert_eq!(resource.get("service.instance.id"), Some(&Value::from(recorder.as_str())));
        let warnings = fs::read_to_string(self.dir.path().join("spool.warnings")).unwrap();
        (resource, warnings)
    }
}

fn text<'a>(resource: &'a Resource, key: &str) -> &'a str {
    resource.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("{key} in {resource:?}"))
}

#[test]
fn a_disabled_spool_makes_nothing_and_waits_for_nothing() {
    for (variable, value) in
        [("OTEL_SDK_DISABLED", "true"), ("OTEL_SDK_DISABLED", "TRUE"), ("SPANRING_DISABLED", "true")]
    {
        let left = Left::by("a_process_that_is_disabled", &[(variable, value)]);
        assert!(left.succeeded);
        assert_eq!(fs::read_dir(left.dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_process_that_says_nothing_is_known_by_its_program() {
    let (resource, warnings) =
        Left::by("a_process_that_records", &[("OTEL_SDK_DISABLED", "false")]).recorded();
    let program = env::current_exe().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(text(&resource, "service.name"), format!("unknown_service:{program}"));
    assert_eq!(text(&resource, "telemetry.sdk.name"), "spanring");
    assert_eq!(text(&resource, "telemetry.sdk.language"), "rust");
    assert_eq!(text(&resource, "telemetry.sdk.version"), env!("CARGO_PKG_VERSION"));
    let pid = resource.get("process.pid").and_then(Value::as_u64).unwrap();
    assert!(pid > 0 && pid != u64::from(std::process::id()));
    assert_eq!((resource.attributes.len(), warnings.as_str()), (6, ""));
}

#[test]
fn the_program_wins_over_the_service_variable_and_that_over_the_list_and_that_over_what_is_known() {
    let list = "service.name=listed,service.version=1,host.name=a%20b,process.pid=none";
    let mut variables = vec![("OTEL_RESOURCE_ATTRIBUTES", list)];
    let (resource, _) = Left::by("a_process_that_records", &variables).recorded();
    assert_eq!(text(&resource, "service.name"), "listed");
    assert_eq!(text(&resource, "host.name"), "a b");
    assert_eq!(text(&resource, "process.pid"), "none");

    variables.push(("OTEL_SERVICE_NAME", "named"));
    let (resource, _) = Left::by("a_process_that_records", &variables).recorded();
    assert_eq!((text(&resource, "service.name"), text(&resource, "service.version")), ("named", "1"));

    variables.push((SERVICE, "said"));
    let (resource, warnings) = Left::by("a_process_that_records", &variables).recorded();
    assert_eq!((text(&resource, "service.name"), text(&resource, "service.version")), ("said", "2"));
    assert_eq!(text(&resource, "deployment.environment.name"), "staging");
    assert_eq!(text(&resource, "host.name"), "a b");
    assert_eq!((resource.attributes.len(), warnings.as_str()), (9, ""));
}

#[test]
fn variables_that_make_no_sense_are_ignored_and_told_and_the_process_records() {
    let variables = [("OTEL_SDK_DISABLED", "1"), ("OTEL_RESOURCE_ATTRIBUTES", "service.name=listed,rest")];
    let (resource, warnings) = Left::by("a_process_that_records", &variables).recorded();
    assert!(text(&resource, "service.name").starts_with("unknown_service:"));
    assert_eq!(warnings, "use OTEL_SDK_DISABLED\nuse OTEL_RESOURCE_ATTRIBUTES");
}

#[test]
fn a_sampler_of_the_program_wins_over_the_variable_and_filters_come_together() {
    let seen = |variables: &[(&str, &str)]| {
        let left = Left::by("a_process_that_records_what_it_is_told_to", variables);
        assert!(left.succeeded);
        fs::read_to_string(left.dir.path().join("spool.seen")).unwrap()
    };
    let off = ("OTEL_TRACES_SAMPLER", "always_off");
    let filter = ("SPANRING_FILTER", "off,name:b=on");
    assert_eq!(seen(&[]), "[true, true] 0 0");
    assert_eq!(seen(&[off]), "[false, false] 3 0");
    assert_eq!(
        seen(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")]),
        "[false, false] 3 0"
    );
    assert_eq!(seen(&[filter]), "[false, true] 0 0");
    assert_eq!(seen(&[(CHOOSES, "")]), "[true, false] 0 0");
    assert_eq!(seen(&[off, (CHOOSES, "")]), "[true, false] 0 0");
    assert_eq!(seen(&[off, filter, (CHOOSES, "")]), "[false, false] 0 0");
    for content in [
        ("SPANRING_CAPTURE_CONTENT", "false"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "NO_CONTENT"),
    ] {
        assert_eq!(seen(&[content]), "[true, true] 0 1");
    }
}
