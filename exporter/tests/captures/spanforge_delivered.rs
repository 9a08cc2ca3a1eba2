//! SpanForge: what the command delivers of a capture's spans is what the SDK sent, in method, path, headers and body, byte for byte.
//!
//! The spans are recorded, spooled and exported. Of what arrives only these are looked past: the attribute that tells the place of a span,
//! which is the test's; the identity of an event and its moment, which are shown to be those of the span; and in headers what the
//! transport adds of itself. How many requests there are depends on when the spool was drained.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::mpsc;

use ring::hmac;
use serde_json::{Value as Json, json};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};
use spanring_exporter::spanforge::{Event, SigningKey};

use crate::json::{items, text, whole};
use crate::moments::isoformat;
use crate::recording::{PLACE, Recording};
use crate::spanforge::rebuild_event;
use crate::{file, lines};

/// A spool with the spans of these events.
struct Recorded {
    dir: tempfile::TempDir,
    spool: &'static str,
}

impl Recorded {
    fn new(events: &[Json]) -> Self {
        let mut recording =
            Recording::start_with(|spool| spool.service("orchestrator").service_version("1.2.3"));
        events.iter().for_each(|event| rebuild_event(event, &mut recording));
        let (dir, spool) = (recording.leave(), "spool");
        Recorded { dir, spool }
    }

    fn export(&self, sink: &str, variables: &[(&str, &str)]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spanring"));
        command.args(["export", "--once", "--deadline", "10s", "--to", sink, "--spool"]);
        command.arg(self.dir.path().join(self.spool)).envs(variables.iter().copied());
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
    }

    /// What arrives at a server.
    fn sent(&self, scheme: &str, path: &str, variables: &[(&str, &str)]) -> Vec<Received> {
        let (sender, requests) = mpsc::channel();
        let receiver = Receiver::start(move |request| {
            sender.send(request).unwrap();
            Answer::status(200)
        });
        let receiver = receiver.unwrap();
        self.export(&format!("{scheme}+http://{}{path}", receiver.address()), variables);
        drop(receiver);
        requests.try_iter().collect()
    }
}

/// The headers, but for those that every client has to have.
fn headers(request: &Received) -> BTreeMap<&str, &str> {
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    headers.filter(|(name, _)| !["host", "content-length"].contains(name)).collect()
}

/// An event as it would have been written without the place of its span, and with the captured identity and moment, which it need not
/// have. `colon` and `comma` are the separators of its form.
fn as_captured(written: &str, captured: &[Json], [colon, comma]: [&str; 2]) -> (usize, String) {
    let event = Event::from_json(written).unwrap();
    let place = event.payload["attributes"][PLACE].as_u64().unwrap();
    let at = usize::try_from(place).unwrap();
    let pair = format!("\"{PLACE}\"{colon}{place}");
    let only = format!("\"attributes\"{colon}{{{pair}}}{comma}");
    let [first, last] = [format!("{pair}{comma}"), format!("{comma}{pair}")];
    let parts = [only, first, last];
    let part = parts.iter().find(|part| written.contains(part.as_str())).unwrap();

    let end_unix_ns = whole(&captured[at]["payload"], "end_time_unix_nano").unwrap();
    let end = isoformat(end_unix_ns);
    assert_eq!(event.timestamp.trim_end_matches('Z'), end, "the moment is when the span ended");
    let captured_text = |key| text(&captured[at], key).unwrap();
    let plain = written
        .replace(part, "")
        .replace(&event.event_id, captured_text("event_id"))
        .replace(&event.timestamp, captured_text("timestamp"));
    (at, plain)
}

/// The events in the order of the capture.
fn in_order(written: impl Iterator<Item = String>, captured: &[Json], separators: [&str; 2]) -> Vec<String> {
    let mut events: Vec<_> = written.map(|event| as_captured(&event, captured, separators)).collect();
    events.sort_unstable();
    assert!(events.iter().map(|(at, _)| *at).eq(0..captured.len()), "each event comes once");
    events.into_iter().map(|(_, event)| event).collect()
}

fn parsed(events: &[String]) -> Vec<Json> {
    events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

const COMPACT: [&str; 2] = [":", ","];
const SPACED: [&str; 2] = [": ", ", "];

#[test]
fn to_the_cloud() {
    let capture = file("spanforge/net/004_POST_v1_events.json").json;
    let captured = items(&capture["body"]["_ndjson"]);
    let variables = [("SPANFORGE_CLOUD_API_KEY", "sf_1")];
    let requests = Recorded::new(captured).sent("spanforge", "", &variables);
    for request in &requests {
        assert_eq!(
            [&request.method, &request.path],
            [&capture["method"], &capture["path"]].map(|json| json.as_str().unwrap())
        );
        let expected = [
            ("accept", "*/*"),
            ("authorization", "Bearer sf_1"),
            ("content-type", capture["headers"]["Content-Type"].as_str().unwrap()),
            ("user-agent", concat!("spanring/", env!("CARGO_PKG_VERSION"))),
            ("x-spanforge-sdk", capture["headers"]["X-Spanforge-Sdk"].as_str().unwrap()),
        ];
        assert_eq!(headers(request), BTreeMap::from(expected));
    }
    let bodies = requests.into_iter().map(|request| String::from_utf8(request.body).unwrap());
    let written = bodies.flat_map(|body| body.split('\n').map(str::to_owned).collect::<Vec<_>>());
    let events = in_order(written, captured, SPACED);
    assert_eq!(parsed(&events), captured);
    // As many bytes as the SDK has sent.
    assert_eq!(json!(events.join("\n").len().to_string()), capture["headers"]["Content-Length"]);
}

#[test]
fn to_a_web_hook() {
    let single = file("spanforge/net/002_POST_hook.json").json;
    let several = file("spanforge/net/003_POST_hook.json").json;
    for (capture, captured) in
        [(&single, std::slice::from_ref(&single["body"])), (&several, items(&several["body"]))]
    {
        let variables = [("SPANFORGE_WEBHOOK_SECRET", "whisper")];
        let requests = Recorded::new(captured).sent("spanforge-webhook", "/hook", &variables);
        let mut written = Vec::new();
        for request in &requests {
            let key = hmac::Key::new(hmac::HMAC_SHA256, b"whisper");
            let tag: String =
                hmac::sign(&key, &request.body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            let signature = format!("hmac-sha256:{tag}");
            let expected = [
                ("accept", "*/*"),
                ("content-type", capture["headers"]["Content-Type"].as_str().unwrap()),
                ("user-agent", concat!("spanring/", env!("CARGO_PKG_VERSION"))),
                ("x-spanforge-signature", &signature),
            ];
            assert_eq!(headers(request), BTreeMap::from(expected));
            assert_eq!(
                [&request.method, &request.path],
                [&capture["method"], &capture["path"]].map(|json| json.as_str().unwrap())
            );
            let body = str::from_utf8(&request.body).unwrap();
            match serde_json::from_str(body).unwrap() {
                Json::Array(events) => {
                    assert!(events.len() > 1, "one event is sent as it is");
                    let events: Vec<_> = events.iter().map(|event| event.to_string()).collect();
                    assert_eq!(format!("[{}]", events.join(",")), body);
                    written.extend(events);
                }
                _ => written.push(body.to_owned()),
            }
        }
        let events = in_order(written.into_iter(), captured, COMPACT);
        assert_eq!(parsed(&events), captured);
        let body = if events.len() == 1 { events.concat() } else { format!("[{}]", events.join(",")) };
        assert_eq!(json!(body.len().to_string()), capture["headers"]["Content-Length"]);
    }
}

#[test]
fn to_a_file() {
    let capture = lines("spanforge/events.jsonl").json;
    let recorded = Recorded::new(items(&capture));
    let path = recorded.dir.path().join("events.jsonl");
    recorded.export(&format!("spanforge-file:{}", path.display()), &[]);
    let written = fs::read_to_string(path).unwrap();
    let events = in_order(written.lines().map(str::to_owned), items(&capture), COMPACT);
    assert_eq!(events, crate::read(&crate::path_of("spanforge/events.jsonl")).lines().collect::<Vec<_>>());
}

/// The chain is that of the events as they are written. With the captured identities it is the SDK's, byte for byte, but for the signatures: the key
/// that the SDK was given is not in the capture. That SDK and command sign alike with the same key, the SDK says itself in `tests/spanforge`.
#[test]
fn to_a_file_signed_as_one_chain() {
    let capture = lines("spanforge/events_signed.jsonl").json;
    let captured = items(&capture);
    let recorded = Recorded::new(captured);
    let path = recorded.dir.path().join("events.jsonl");
    recorded.export(&format!("spanforge-file:{}", path.display()), &[("SPANFORGE_SIGNING_KEY", "whisper")]);
    let written = fs::read_to_string(path).unwrap();
    let key = SigningKey::new("whisper").unwrap();
    let mut before = None;
    for event in written.lines().map(|line| Event::from_json(line).unwrap()) {
        assert!(key.is_signed(&event));
        assert_eq!(event.prev_id, before);
        before = Some(event.event_id);
    }
    let written = in_order(written.lines().map(str::to_owned), captured, COMPACT);
    let mut events: Vec<_> = written.iter().map(|event| Event::from_json(event).unwrap()).collect();
    key.chain(&mut events);
    for (event, captured) in events.iter_mut().zip(captured) {
        event.signature = text(captured, "signature").map(str::to_owned);
    }
    let signed: Vec<_> = events.iter().map(Event::to_json).collect();
    assert_eq!(
        signed,
        crate::read(&crate::path_of("spanforge/events_signed.jsonl")).lines().collect::<Vec<_>>()
    );
}
