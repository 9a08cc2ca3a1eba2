//! Our items against the SDK itself.
//!
//! The variable `SPANRING_OPENAI_AGENTS` names a Python that has it. Without it there is nothing to test with, and the test says so. The SDK's own types are made of what
//! our items say, and export the same; what its exporter makes of an item before it sends it to OpenAI is what we make of it.

use std::env;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value as Json, json};
use spanring::{Kind, SpanId, Status, TraceId, names};
use spanring_exporter::demo::runs::AgentRun;
use spanring_exporter::openai_agents::{items, sanitized, to_json};
use spanring_spool::{SpanData, Value};

#[test]
fn the_sdk_exports_and_sanitizes_the_same() {
    let Some(python) = env::var_os("SPANRING_OPENAI_AGENTS") else {
        eprintln!("skipped: SPANRING_OPENAI_AGENTS names no Python with the OpenAI Agents SDK");
        return;
    };
    let mut ours = Vec::new();
    for run in AgentRun::bundled() {
        ours.extend(items(&run.resource, &run.spans));
    }
    for kind in Kind::ALL {
        for repeats in [0, 1, 5_000, 7_000, 12_000] {
            ours.extend(items(&[], &[span(*kind, repeats)]));
        }
    }
    let mut sdk = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openai_agents/sdk.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = sdk.stdin.take().unwrap();
    let lines: String = ours.iter().map(|item| to_json(item) + "\n").collect();
    let writing = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = sdk.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success());

    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), ours.len());
    let mut changed = 0;
    for (line, item) in lines.lines().zip(ours) {
        let [exported, made]: [Json; 2] = serde_json::from_str(line).unwrap();
        let mut of_ours = json_of(&item);
        let sent = json_of(&sanitized(item));
        changed += usize::from(sent != of_ours);
        assert_eq!(made, sent);
        // Most of its types have no place to say metadata that goes there.
        if of_ours["object"] == "trace.span" {
            of_ours.as_object_mut().unwrap().remove("metadata");
        }
        assert_eq!(exported, of_ours);
    }
    assert!(changed > 20, "hardly anything is sanitized: {changed}");
}

fn json_of(value: &Value) -> Json {
    serde_json::from_str(&to_json(value)).unwrap()
}

/// A span of which much is said, again and again.
fn span(kind: Kind, repeats: usize) -> SpanData {
    let words = "größe \"x\"\n".repeat(repeats);
    let message = |role: &str| Value::from_iter([("role", role), ("content", &words), ("thinking", "no")]);
    let said = [
        (names::INPUT_MESSAGES, vec![message("user"), message("assistant")].into()),
        (
            names::OUTPUT_MESSAGES,
            vec![message("assistant"), Value::from_iter([("type", "reasoning")])].into(),
        ),
        (names::TOOL_CALL_ARGUMENTS, words.as_str().into()),
        (names::TOOL_CALL_RESULT, vec![words.as_str(); 3].into()),
        (names::INPUT, words.as_str().into()),
        (names::OUTPUT, Value::from_iter([("data", words.as_str()), ("format", "wav")])),
        (names::REQUEST_MODEL, "m".into()),
        (names::REQUEST_TEMPERATURE, 0.5.into()),
        (names::USAGE_INPUT_TOKENS, 12.into()),
        (names::USAGE_OUTPUT_TOKENS, 7.into()),
        (names::USAGE_TOTAL_TOKENS, 19.into()),
        (names::USAGE_CACHED_TOKENS, 3.into()),
        (names::STEP_INDEX, 2.into()),
        (names::RESPONSE_ID, "resp_1".into()),
        (names::FIRST_CONTENT, 1_700_000_000_000_000_000_u64.into()),
        (names::ERROR_DATA, Value::from_iter([("tool", "t")])),
    ];
    SpanData {
        trace_id: TraceId::from_bytes([1; 16]),
        span_id: SpanId::from_bytes([2; 8]),
        parent_id: Some(SpanId::from_bytes([3; 8])),
        name: "step".into(),
        kind,
        status: Status::Error,
        status_message: "no".into(),
        start_unix_ns: 1_700_000_000_000_000_000,
        end_unix_ns: 1_700_000_001_000_001_000,
        attributes: said.map(|(key, value)| (key.to_owned(), value)).into(),
        ..SpanData::default()
    }
}

#[test]
fn the_spans_that_the_sdk_is_asked_about_are_too_long_for_openai_and_not() {
    let len = |repeats| to_json(&items(&[], &[span(Kind::Tool, repeats)])[1]).len();
    assert!(len(1) < 2_000 && len(7_000) > 2 * 100_000);
    assert_eq!(
        json_of(&items(&[], &[span(Kind::Tool, 1)])[1])["error"],
        json!({"message": "no", "data": {"tool": "t"}})
    );
}
