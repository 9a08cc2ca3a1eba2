//! Prela's requests once more: recorded, spooled, and delivered by the command.
//!
//! What the captures hold arrives again, in method, path, headers and body. What differs is told here and in docs/to/prela.md: `User-Agent` says who
//! sends it, and what a library for HTTP adds of itself is that library's. How a body is compressed is its own affair too: its text is the SDK's.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::mpsc;

use serde_json::{Value as Json, json};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};

use crate::json::{items, pairs, text};
use crate::prela::rebuild;
use crate::recording::Recording;
use crate::rules::difference;
use crate::{Capture, file};

/// Headers that the library for HTTP adds, and those that are looked at by themselves: which program speaks, and how much it says.
const OF_PROGRAM: [&str; 5] = ["host", "accept-encoding", "connection", "user-agent", "content-length"];

fn plain() -> Capture {
    file("prela/http/001_POST_v1_traces.json")
}

fn compressed() -> Capture {
    file("prela/http_gzip/001_POST_v1_traces.json")
}

/// A spool with the spans of a capture, which is `spool` in this directory.
fn recorded(capture: &Capture) -> tempfile::TempDir {
    let mut recording = Recording::for_delivery();
    items(&capture.json["body"]["spans"]).iter().for_each(|span| rebuild(span, &mut recording));
    recording.leave()
}

/// What arrives at a server that `deliver` is told the URL of.
fn received(deliver: impl FnOnce(&str)) -> Vec<Received> {
    let (sender, requests) = mpsc::channel();
    let receiver = Receiver::start(move |request| {
        sender.send(request).unwrap();
        Answer::status(202)
    });
    let receiver = receiver.unwrap();
    deliver(&format!("http://{}/v1/traces", receiver.address()));
    drop(receiver);
    requests.try_iter().collect()
}

fn by_the_command(capture: &Capture, variables: &[(&str, &str)]) -> Vec<Received> {
    let dir = recorded(capture);
    received(|url| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spanring"));
        command.args(["export", "--once", "--deadline", "10s", "--to", &format!("prela+{url}"), "--spool"]);
        command.arg(dir.path().join("spool")).envs(variables.iter().copied());
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    })
}

/// What is compared of a request that the SDK sent: its secrets are those that it is sent with here.
fn told(capture: &Capture) -> Json {
    let request = &capture.json;
    let headers: BTreeMap<_, _> = pairs(&request["headers"])
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().unwrap()))
        .filter(|(name, _)| !OF_PROGRAM.contains(&name.as_str()))
        .map(|(name, value)| match name.as_str() {
            "x-api-key" => (name, value.replace("<redacted>", "key")),
            "authorization" => (name, value.replace("<redacted:Bearer>", "Bearer token")),
            _ => (name, value.to_owned()),
        })
        .collect();
    json!({"method": request["method"], "path": request["path"], "headers": headers, "body": request["body"]})
}

/// The same of a request that was received. A header that is there twice is there with both values. The receiver has decompressed the body.
fn written(received: &Received) -> Json {
    let mut headers = BTreeMap::<&str, String>::new();
    for (name, value) in &received.headers {
        if !OF_PROGRAM.contains(&name.as_str()) {
            let there = headers.entry(name).or_default();
            there.push_str(value);
        }
    }
    let body: Json = serde_json::from_slice(&received.body).unwrap();
    let told = json!({"method": received.method, "path": received.path, "headers": headers, "body": body});
    told
}

/// The one request that arrived, which says who sends it.
fn the_only(received: Vec<Received>) -> Received {
    let [only] = <[Received; 1]>::try_from(received).unwrap_or_else(|all| panic!("{} requests", all.len()));
    assert_eq!(only.header("user-agent"), Some(concat!("spanring/", env!("CARGO_PKG_VERSION"))));
    only
}

fn assert_same(expected: &Json, written: &Json) {
    if let Some(difference) = difference(expected, written) {
        panic!("{difference}");
    }
}

#[test]
fn the_command_sends_a_trace_as_the_sdk_does() {
    let capture = plain();
    let received = the_only(by_the_command(&capture, &[("PRELA_API_KEY", "key")]));
    assert_same(&told(&capture), &written(&received));
    // As many bytes as the SDK has sent: the same separators and escapes.
    assert_eq!(received.header("content-length"), text(&capture.json["headers"], "Content-Length"));
}

#[test]
fn the_command_sends_a_trace_with_a_token_and_compressed_as_the_sdk_does() {
    let capture = compressed();
    let variables = [("PRELA_BEARER_TOKEN", "token"), ("PRELA_COMPRESSION", "gzip")];
    let received = the_only(by_the_command(&capture, &variables));
    assert_same(&told(&capture), &written(&received));
    let len = |text: Option<&str>| text.unwrap().parse::<usize>().unwrap();
    let sent = len(received.header("content-length"));
    assert!(sent < received.body.len() / 2, "{sent} bytes of {}", received.body.len());
}

/// Removes each key in turn, and adds one to each object in turn.
#[test]
fn a_key_or_a_header_too_many_or_too_few_is_a_difference() {
    let expected = told(&plain());
    let mut objects = Vec::new();
    find_objects(&expected, String::new(), &mut objects);
    let mut mutants = 0;
    for (path, keys) in objects {
        let changed = |change: &dyn Fn(&mut serde_json::Map<String, Json>)| {
            let mut mutant = expected.clone();
            change(mutant.pointer_mut(&path).unwrap().as_object_mut().unwrap());
            mutant
        };
        let fewer = keys.iter().map(|key| changed(&|object| drop(object.remove(key))));
        for mutant in fewer.chain([changed(&|object| drop(object.insert("extra".to_owned(), Json::Null)))]) {
            assert!(difference(&expected, &mutant).is_some(), "{path}");
            mutants += 1;
        }
    }
    assert!(mutants > 100, "{mutants}");
    assert_eq!(difference(&expected, &told(&plain())), None);
}

fn find_objects(json: &Json, path: String, objects: &mut Vec<(String, Vec<String>)>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    pairs(json).for_each(|(key, value)| find_objects(value, format!("{path}/{}", escaped(key)), objects));
    for (at, item) in items(json).iter().enumerate() {
        find_objects(item, format!("{path}/{at}"), objects);
    }
    if let Some(object) = json.as_object() {
        objects.push((path, object.keys().cloned().collect()));
    }
}
