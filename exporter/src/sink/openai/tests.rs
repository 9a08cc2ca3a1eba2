use std::sync::mpsc;

use super::*;
use crate::demo::receiver::{Answer, Received, Receiver};
use crate::sink::openai_options::tests::read;
use crate::sink::tests::Spans;
use crate::sink::{HttpSink, Sink};

fn options() -> OpenAiOptions {
    let variables =
        [("OPENAI_API_KEY", "sk-1"), ("OPENAI_ORG_ID", "org-test"), ("OPENAI_PROJECT_ID", "proj-test")];
    read(&variables).unwrap()
}

fn api(url: &str) -> OpenAi {
    OpenAi::new(&Url::parse(url).unwrap(), &options()).unwrap()
}

/// What becomes of a batch when it is answered so, and what was received.
fn answered(answer: Answer) -> (Outcome, Received) {
    let (sender, received) = mpsc::channel();
    let receiver = Receiver::start(move |request| {
        sender.send(request).unwrap();
        answer.clone()
    })
    .unwrap();
    let api = api(&format!("http://{}/base/", receiver.address()));
    let mut sink = HttpSink::with_transport("openai".into(), api, OpenAi::transport()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(sink.deliver(&Spans::new(3).batch()));
    drop(receiver);
    let [request] = received.iter().collect::<Vec<_>>().try_into().unwrap();
    (outcome, request)
}

#[test]
fn a_batch_is_one_request_as_the_sdk_makes_it() {
    let (outcome, request) = answered(Answer::status(204));
    assert_eq!(outcome, Outcome::DELIVERED);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/base/v1/traces/ingest"));
    let headers = [
        ("authorization", Some("Bearer sk-1")),
        ("content-type", Some("application/json")),
        ("openai-beta", Some("traces=v1")),
        ("openai-organization", Some("org-test")),
        ("openai-project", Some("proj-test")),
        ("content-encoding", None),
    ];
    for (name, value) in headers {
        assert_eq!(request.header(name), value, "{name}");
    }
    let spans = Spans::new(3);
    let batch = spans.batch();
    let expected = crate::openai_agents::request(items(&batch.resource.attributes, &batch.spans));
    assert_eq!(request.body, to_json(&expected).into_bytes());
}

#[test]
fn only_what_goes_to_openai_is_sanitized() {
    let is = |url| api(url).is_openai;
    assert!(is(DEFAULT) && is("https://api.openai.com/") && is("https://API.openai.com:443"));
    for other in [
        "http://api.openai.com",
        "https://api.openai.com:444",
        "https://api.openai.com/base",
        "https://eu.api.openai.com",
        "http://localhost",
    ] {
        assert!(!is(other), "{other}");
    }
}

#[test]
fn no_request_has_more_than_128_items_whatever_the_traces() {
    let spans_max = api(DEFAULT).spans_max();
    let mut spans = Spans::new(1);
    let span = |number: usize| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id[15] = 1;
        spanring_spool::SpanData { trace_id: spanring::TraceId::from_bytes(id), ..spans.spans[0].clone() }
    };
    let each_of_another_trace: Vec<_> = (0..spans_max).map(span).collect();
    spans.spans = each_of_another_trace;
    let body: Json = serde_json::from_slice(&api(DEFAULT).request(&spans.batch()).body).unwrap();
    assert_eq!(body["data"].as_array().unwrap().len(), ITEMS_MAX);
}

#[test]
fn each_answer_comes_to_what_the_table_says() {
    let with = |status, headers: &[(&'static str, &str)]| {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        answered(Answer { headers, ..Answer::status(status) }).0
    };
    let after = |outcome| match outcome {
        Outcome::Retry { after, .. } => after,
        other => panic!("{other:?}"),
    };
    for status in [200, 202, 204] {
        assert_eq!(with(status, &[]), Outcome::DELIVERED, "{status}");
    }
    for status in [400, 413, 422] {
        assert!(matches!(with(status, &[]), Outcome::Rejected { .. }), "{status}");
    }
    for status in [408, 409, 425, 429, 500, 501, 502, 503, 504, 505, 529] {
        assert_eq!(after(with(status, &[])), None, "{status}");
        let forbidden = with(status, &[("x-should-retry", " False ")]);
        assert!(matches!(forbidden, Outcome::Parked { .. }), "{status}");
        assert_eq!(after(with(status, &[("x-should-retry", "true")])), None, "{status}");
    }
    for status in [301, 302, 307, 308, 401, 402, 403, 404, 405, 410, 415, 431] {
        assert!(matches!(with(status, &[]), Outcome::Parked { .. }), "{status}");
    }
    let ms = |ms| Some(Duration::from_millis(ms));
    assert_eq!(after(with(429, &[("retry-after", "2")])), ms(2000));
    assert_eq!(after(with(503, &[("retry-after", "2"), ("retry-after-ms", "150")])), ms(150));
    assert_eq!(after(with(429, &[("retry-after", "2"), ("retry-after-ms", "soon")])), ms(2000));
}

#[test]
fn a_refusal_says_what_the_server_says_in_words() {
    let body = br#"{"error":{"message":"Unknown parameter: 'data[0].x'.","type":"invalid_request_error"}}"#;
    let (outcome, _) = answered(Answer { body: body.to_vec(), ..Answer::status(400) });
    let reason = "it answered 400 Bad Request: Unknown parameter: 'data[0].x'.".to_owned();
    assert_eq!(outcome, Outcome::Rejected { reason });
    let (outcome, _) = answered(Answer { body: b"<html>".to_vec(), ..Answer::status(401) });
    assert_eq!(outcome, Outcome::Parked { reason: "it answered 401 Unauthorized: <html>".into() });
}
