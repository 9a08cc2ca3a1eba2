//! The OpenAI Agents SDK's requests once more: recorded, spooled, and delivered by the command.
//!
//! What the captures hold arrives again, in method, path, headers and body. What differs is told here and in docs/to/openai_agents.md: `User-Agent` says
//! who sends it; a trace is told again in each request that has spans of it; and the SDK sends a trace with a key of its own apart, and we have no such keys.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};

use crate::json::{items, pairs, text};
use crate::openai_agents::rebuild;
use crate::openai_host::OpenAiHost;
use crate::recording::Recording;
use crate::rules::difference;
use crate::{Capture, folder};

/// Headers that the library for HTTP adds, and those that are looked at by themselves: which program speaks, and how much it says.
const OF_PROGRAM: [&str; 5] = ["host", "accept-encoding", "connection", "user-agent", "content-length"];

fn raw() -> Capture {
    folder("openai_agents/raw")
}

/// Records a capture as a program would, and delivers it.
fn deliver(capture: &Capture, sink: &str, variables: &[(&str, String)]) {
    let mut recording = Recording::for_delivery();
    rebuild(&capture.json, &mut recording);
    let dir = recording.leave();
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanring"));
    command.args(["export", "--once", "--to", sink, "--spool"]).arg(dir.path().join("spool"));
    command
        .env("OPENAI_API_KEY", "sk-test")
        .env("OPENAI_ORG_ID", "org-test")
        .env("OPENAI_PROJECT_ID", "proj-test")
        .envs(variables.iter().map(|(name, value)| (name, value)));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn delivered_to_a_server(capture: &Capture) -> Vec<Received> {
    let received = Arc::<Mutex<Vec<_>>>::default();
    let kept = Arc::clone(&received);
    let receiver = Receiver::start(move |request| {
        kept.lock().unwrap().push(request);
        Answer::status(200)
    });
    let receiver = receiver.unwrap();
    deliver(capture, &format!("openai+http://{}", receiver.address()), &[]);
    drop(receiver);
    Arc::into_inner(received).unwrap().into_inner().unwrap()
}

fn delivered_to_openai(capture: &Capture) -> Vec<Received> {
    let host = OpenAiHost::start();
    deliver(capture, "openai", &host.variables());
    host.received.try_iter().collect()
}

/// The items of all requests of a capture.
fn items_of(capture: &Capture) -> Json {
    items(&capture.json).iter().flat_map(|request| items(&request["body"]["data"])).cloned().collect()
}

fn assert_same_but_for_the_program(received: &Received, capture: &Capture) {
    let request = &items(&capture.json)[0];
    assert_eq!(Some(received.method.as_str()), text(request, "method"));
    assert_eq!(Some(received.path.as_str()), text(request, "path"));
    let is_told = |name: &String| !OF_PROGRAM.contains(&name.as_str());
    let expected: BTreeMap<_, _> = pairs(&request["headers"])
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().unwrap().to_owned()))
        .filter(|(name, _)| is_told(name))
        .map(|(name, value)| match name.as_str() {
            "authorization" => (name, value.replace("<redacted:Bearer>", "Bearer sk-test")),
            _ => (name, value),
        })
        .collect();
    let headers: BTreeMap<_, _> =
        received.headers.iter().filter(|(name, _)| is_told(name)).cloned().collect();
    assert_eq!(headers, expected);
    let only = |name| {
        let [value] = <[_; 1]>::try_from(
            received
                .headers
                .iter()
                .filter(|(known, _)| known == name)
                .map(|(_, value)| value)
                .collect::<Vec<_>>(),
        )
        .unwrap_or_else(|all| panic!("{name}: {all:?}"));
        value.clone()
    };
    assert_eq!(only("user-agent"), concat!("spanring/", env!("CARGO_PKG_VERSION")));
    assert_eq!(only("content-length"), received.body.len().to_string(), "it is not compressed");
    for (name, _) in &received.headers {
        assert_eq!(&only(name), received.header(name).unwrap(), "{name} is there once");
    }
}

/// The items of all requests, each of which is as the SDK's. A trace that is told again, as another request has spans of it, is left out.
fn items_delivered(received: Vec<Received>, capture: &Capture) -> Json {
    assert!(!received.is_empty());
    let mut told = Vec::new();
    let mut delivered = Vec::new();
    for request in &received {
        assert_same_but_for_the_program(request, capture);
        let body: Json = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(pairs(&body).map(|(key, _)| key).collect::<Vec<_>>(), ["data"]);
        assert_eq!(request.body.len(), body.to_string().len(), "there are spaces between its parts");
        for item in items(&body["data"]) {
            let is_told = item["object"] == "trace" && told.contains(&item["id"]);
            if !is_told {
                told.push(item["id"].clone());
                delivered.push(item.clone());
            }
        }
    }
    delivered.into()
}

#[test]
fn a_server_in_openais_place_gets_what_the_sdk_sends_it() {
    let capture = raw();
    let written = items_delivered(delivered_to_a_server(&capture), &capture);
    if let Some(difference) = difference(&items_of(&capture), &written) {
        panic!("{difference}");
    }
    // As many bytes as the SDK has sent: the same separators and escapes. Each of its requests has a frame around its items.
    let len = |request: &Json| text(&request["headers"], "Content-Length").unwrap().parse::<usize>().unwrap();
    let frames = (items(&capture.json).len() - 1) * (r#"{"data":[]}"#.len() - ",".len());
    let sent: usize = items(&capture.json).iter().map(len).sum();
    assert_eq!(json!({ "data": written }).to_string().len() + frames, sent);
}

/// The SDK was run once more to capture it, so that identities and times are others.
#[test]
fn openai_itself_gets_what_the_sdk_sends_it() {
    let expected = folder("openai_agents/sanitize");
    let written = items_delivered(delivered_to_openai(&raw()), &expected);
    let expected = numbered(&items_of(&expected));
    if let Some(difference) = difference(&expected, &numbered(&written)) {
        panic!("{difference}");
    }
    assert_ne!(expected, numbered(&items_of(&raw())), "to sanitize makes no difference");
    // The times are those that were recorded.
    assert_eq!(moments(&written), moments(&items_of(&raw())));
}

/// When each item started and ended.
fn moments(of: &Json) -> Vec<[Json; 2]> {
    items(of).iter().map(|item| ["started_at", "ended_at"].map(|key| item[key].clone())).collect()
}

/// With the first, second, … of each identity in its place, and without times.
fn numbered(items: &Json) -> Json {
    fn go(json: &Json, seen: &mut Vec<String>) -> Json {
        match json {
            Json::Object(pairs) => pairs
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "started_at" | "ended_at"))
                .map(|(key, value)| (key.clone(), go(value, seen)))
                .collect(),
            Json::Array(items) => items.iter().map(|item| go(item, seen)).collect(),
            Json::String(id) if id.starts_with("trace_") || id.starts_with("span_") => {
                let place = seen.iter().position(|known| known == id).unwrap_or_else(|| {
                    seen.push(id.clone());
                    seen.len() - 1
                });
                Json::from(place)
            }
            other => other.clone(),
        }
    }
    go(items, &mut Vec::new())
}
