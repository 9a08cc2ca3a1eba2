use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

use super::*;
use crate::demo::receiver::{Answer, Break, Received, Receiver};
use crate::otlp::ExportTraceServiceRequest;
use crate::sink::http::{Limits, Transport};
use crate::sink::tests::Spans;
use crate::sink::{HttpSink, Sink};

const LIMITS: Limits =
    Limits { request: Duration::from_millis(500), connect: Duration::from_millis(500), body_max: 64 * 1024 };

fn deliver_to(url: &str, limits: Limits) -> Outcome {
    deliver_with(url, Transport { limits, ..Transport::default() }, &OtlpOptions::default())
}

fn deliver_with(url: &str, transport: Transport, options: &OtlpOptions) -> Outcome {
    let api = OtlpHttp::new(&Url::parse(url).unwrap(), false, options);
    let mut sink = HttpSink::with_transport("otlp".into(), api, transport).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(sink.deliver(&Spans::new(3).batch()))
}

/// What becomes of a batch when it is answered so, and what was received.
fn answered(answer: Answer) -> (Outcome, Vec<Received>) {
    let (sender, received) = mpsc::channel();
    let receiver = Receiver::start(move |request| {
        sender.send(request).unwrap();
        answer.clone()
    })
    .unwrap();
    let outcome = deliver_to(&format!("http://{}", receiver.address()), LIMITS);
    drop(receiver);
    (outcome, received.iter().collect())
}

fn protobuf(status: u16, body: &impl prost::Message) -> Answer {
    let headers = vec![("content-type", "application/x-protobuf; charset=x".to_owned())];
    Answer { headers, body: body.encode_to_vec(), ..Answer::status(status) }
}

fn rejected(outcome: Outcome) -> (u64, String) {
    match outcome {
        Outcome::Delivered { rejected, message } => (rejected, message),
        other => panic!("{other:?}"),
    }
}

fn retried(outcome: Outcome) -> (Option<Duration>, String) {
    match outcome {
        Outcome::Retry { after, reason } => (after, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_is_one_request_as_otlp_demands_it() {
    let (outcome, received) = answered(Answer::status(200));
    assert_eq!(outcome, Outcome::DELIVERED);
    let [request] = received.as_slice() else { panic!("{} requests", received.len()) };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/traces"));
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    assert_eq!(request.header("user-agent"), Some(concat!("spanring/", env!("CARGO_PKG_VERSION"))));
    let spans = Spans::new(3);
    assert_eq!(request.header("idempotency-key"), Some(key(&spans.batch()).as_str()));
    let request = ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap();
    assert_eq!(request, otlp::request(&spans.batch().resource.attributes, &spans.batch().spans));
}

#[test]
fn a_key_is_that_of_a_batch_and_of_the_spans_that_are_in_it() {
    let (spans, fewer) = (Spans::new(3), Spans::new(2));
    let (batch, of_fewer) = (spans.batch(), fewer.batch());
    assert_eq!(batch.id.to_string(), of_fewer.id.to_string(), "both begin where they do");
    assert_ne!(key(&batch), key(&of_fewer));
    assert_eq!(key(&batch), key(&Spans::new(3).batch()));
    assert!(key(&batch).starts_with(&batch.id.to_string()));
}

#[test]
fn the_path_of_the_address_comes_before_that_of_otlp() {
    let options = OtlpOptions::default();
    let at = |url, is_whole| OtlpHttp::new(&Url::parse(url).unwrap(), is_whole, &options).traces.to_string();
    assert_eq!(at("http://h:4318", false), "http://h:4318/v1/traces");
    assert_eq!(at("http://h:4318/otlp/", false), "http://h:4318/otlp/v1/traces");
    assert_eq!(at("http://h:4318/otlp/", true), "http://h:4318/otlp/");
    assert_eq!(at("http://h:4318", true), "http://h:4318/");
}

/// The only request of a delivery as these options say.
fn received_with(options: &OtlpOptions) -> Received {
    let (sender, received) = mpsc::channel();
    let receiver = Receiver::start(move |request| {
        sender.send(request).unwrap();
        Answer::status(200)
    })
    .unwrap();
    let url = format!("http://{}", receiver.address());
    assert_eq!(deliver_with(&url, Transport::of(options), options), Outcome::DELIVERED);
    drop(receiver);
    let [request] = received.iter().collect::<Vec<_>>().try_into().unwrap();
    request
}

#[test]
fn headers_form_and_compression_are_as_the_options_say() {
    let header = (HeaderName::from_static("api-key"), HeaderValue::from_static("secret"));
    let options = OtlpOptions {
        protocol: Protocol::Json,
        headers: vec![header],
        is_plain: true,
        ..OtlpOptions::default()
    };
    let request = received_with(&options);
    assert_eq!(request.header("api-key"), Some("secret"));
    assert_eq!(request.header("content-encoding"), None);
    assert_eq!(request.header("content-type"), Some("application/json"));
    let read: ExportTraceServiceRequest = serde_json::from_slice(&request.body).unwrap();
    let protobuf = received_with(&OtlpOptions::default());
    assert_eq!(read, ExportTraceServiceRequest::decode(protobuf.body.as_slice()).unwrap());
}

#[test]
fn an_answer_in_json_says_the_same_as_one_in_protobuf() {
    let json = |status, body: &str| Answer {
        headers: vec![("content-type", "application/json".into())],
        body: body.into(),
        ..Answer::status(status)
    };
    for number in ["2", r#""2""#] {
        let partial =
            format!(r#"{{"partialSuccess":{{"rejectedSpans":{number},"errorMessage":"too\nold"}}}}"#);
        assert_eq!(rejected(answered(json(200, &partial)).0), (2, "too old".into()));
    }
    for nothing in ["{}", "", "[1", r#"{"partialSuccess":3}"#, r#"{"partialSuccess":{"rejectedSpans":"-1"}}"#]
    {
        assert_eq!(answered(json(200, nothing)).0, Outcome::DELIVERED, "{nothing}");
    }
    let (outcome, _) = answered(json(400, r#"{"code":3,"message":"span 1 has no name"}"#));
    assert_eq!(
        outcome,
        Outcome::Rejected { reason: "it answered 400 Bad Request: span 1 has no name".into() }
    );
    let (outcome, _) = answered(json(400, r#"{"error":"no"}"#));
    assert_eq!(
        outcome,
        Outcome::Rejected { reason: r#"it answered 400 Bad Request: {"error":"no"}"#.into() }
    );
}

#[test]
fn a_receiver_has_as_long_as_the_options_say() {
    let options = OtlpOptions { timeout: Some(Duration::from_millis(50)), ..OtlpOptions::default() };
    let receiver =
        Receiver::start(|_| Answer { delay: Duration::from_secs(60), ..Answer::status(200) }).unwrap();
    let url = format!("http://{}", receiver.address());
    let outcome = deliver_with(&url, Transport::of(&options), &options);
    assert_eq!(retried(outcome).1, "no answer in time");
}

#[test]
fn every_2xx_is_a_success_whatever_its_body() {
    for status in [200, 202, 204] {
        assert_eq!(answered(Answer::status(status)).0, Outcome::DELIVERED, "{status}");
    }
    let html = Answer { body: b"<html>welcome</html>".to_vec(), ..Answer::status(200) };
    assert_eq!(answered(html).0, Outcome::DELIVERED);
    let garbage = Answer {
        headers: vec![("content-type", "application/x-protobuf".into())],
        body: vec![0xff; 100],
        ..Answer::status(200)
    };
    assert_eq!(answered(garbage).0, Outcome::DELIVERED);
}

#[test]
fn a_body_without_end_is_read_up_to_the_limit() {
    let huge = Answer { body: vec![b'x'; 50 << 20], ..Answer::status(200) };
    assert_eq!(answered(huge).0, Outcome::DELIVERED);
    let huge = Answer { body: vec![b'x'; 50 << 20], ..Answer::status(503) };
    let (_, reason) = retried(answered(huge).0);
    assert!(reason.starts_with("it answered 503 Service Unavailable: xxx") && reason.len() < 300, "{reason}");
}

#[test]
fn a_partial_success_is_delivered_and_says_what_was_rejected() {
    let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message: "too\nold".into() };
    let answer = protobuf(200, &ExportTraceServiceResponse { partial_success: Some(partial) });
    assert_eq!(rejected(answered(answer).0), (2, "too old".into()));
    let negative = ExportTracePartialSuccess { rejected_spans: -1, error_message: String::new() };
    let answer = protobuf(200, &ExportTraceServiceResponse { partial_success: Some(negative) });
    assert_eq!(rejected(answered(answer).0), (0, String::new()));
}

#[test]
fn what_is_rejected_counts_only_in_an_answer_that_is_whole() {
    let partial = |error_message| {
        let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message };
        protobuf(200, &ExportTraceServiceResponse { partial_success: Some(partial) })
    };
    let bytewise = Answer { pause: Duration::from_millis(2), ..partial("old".into()) };
    assert_eq!(rejected(answered(bytewise).0), (2, "old".into()));
    let cut = Answer { breaks: Some(Break::InBody), ..partial("old".into()) };
    assert_eq!(answered(cut).0, Outcome::DELIVERED);
    let around = partial("x".repeat(LIMITS.body_max)).body.len() - LIMITS.body_max;
    let most = LIMITS.body_max - around;
    assert_eq!(rejected(answered(partial("x".repeat(most))).0).0, 2);
    assert_eq!(answered(partial("x".repeat(most + 1))).0, Outcome::DELIVERED);
}

#[test]
fn a_failure_that_is_cut_or_comes_byte_by_byte_says_what_came_of_it() {
    let failure = Answer { body: b"busy".to_vec(), ..Answer::status(503) };
    let cut = Answer { breaks: Some(Break::InBody), ..failure.clone() };
    // What comes byte by byte comes too slowly here.
    let bytewise = Answer { pause: LIMITS.request / 3, ..failure };
    assert_eq!(retried(answered(cut).0), (None, "it answered 503 Service Unavailable: busy".into()));
    let (after, reason) = retried(answered(bytewise).0);
    assert!(after.is_none() && reason.starts_with("it answered 503 Service Unavailable"), "{reason}");
}

#[test]
fn an_overloaded_or_failing_receiver_is_asked_again_when_it_says() {
    for status in [408, 425, 429, 500, 502, 503, 504, 529] {
        assert_eq!(retried(answered(Answer::status(status)).0).0, None, "{status}");
    }
    let wait = |header: &str| {
        let headers = vec![("retry-after", header.to_owned())];
        retried(answered(Answer { headers, ..Answer::status(429) }).0).0
    };
    assert_eq!(wait("7"), Some(Duration::from_secs(7)));
    assert_eq!(wait("100000"), Some(Duration::from_secs(3600)));
    assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
    assert_eq!(wait("later"), None);
}

#[test]
fn a_refusal_names_the_status_and_what_the_receiver_said() {
    let status = RpcStatus { code: 3, message: "span 1 has no name".into() };
    assert_eq!(
        answered(protobuf(400, &status)).0,
        Outcome::Rejected { reason: "it answered 400 Bad Request: span 1 has no name".into() }
    );
    let text = Answer { body: b"no such key\r\n".to_vec(), ..Answer::status(401) };
    assert_eq!(
        answered(text).0,
        Outcome::Parked { reason: "it answered 401 Unauthorized: no such key".into() }
    );
    assert_eq!(
        answered(Answer::status(404)).0,
        Outcome::Parked { reason: "it answered 404 Not Found".into() }
    );
    for status in [402, 406, 410, 415, 421, 426, 431, 451, 501, 505] {
        assert!(matches!(answered(Answer::status(status)).0, Outcome::Parked { .. }), "{status}");
    }
    for status in [413, 422] {
        assert!(matches!(answered(Answer::status(status)).0, Outcome::Rejected { .. }), "{status}");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    for (status, name) in [
        (301, "Moved Permanently"),
        (302, "Found"),
        (303, "See Other"),
        (307, "Temporary Redirect"),
        (308, "Permanent Redirect"),
    ] {
        let headers = vec![("location", "/elsewhere".to_owned())];
        let (outcome, received) = answered(Answer { headers, ..Answer::status(status) });
        assert_eq!(outcome, Outcome::Parked { reason: format!("it answered {status} {name}") });
        assert_eq!(received.len(), 1);
    }
}

#[test]
fn no_connection_is_a_retry_that_says_why() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (after, reason) = retried(deliver_to(&format!("http://127.0.0.1:{port}"), LIMITS));
    assert_eq!(after, None);
    assert!(reason.contains("Connection refused"), "{reason}");
    assert!(!reason.contains("http://"), "{reason}");
}

#[test]
fn a_connection_that_breaks_or_stays_silent_is_a_retry() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let broken = std::thread::spawn(move || {
        drop(listener.accept().unwrap());
        listener
    });
    let (_, reason) = retried(deliver_to(&url, LIMITS));
    assert!(!reason.is_empty());
    // Its connections are accepted by the kernel, and nobody reads them.
    let _listener = broken.join().unwrap();
    assert_eq!(retried(deliver_to(&url, LIMITS)), (None, "no answer in time".into()));
}

#[test]
fn a_2xx_whose_body_never_ends_is_delivered_when_the_time_is_up() {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let trickle = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").unwrap();
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    assert_eq!(deliver_to(&url, LIMITS), Outcome::DELIVERED);
    trickle.join().unwrap();
}

#[test]
fn tls_to_a_server_that_speaks_none_is_a_retry_that_says_why() {
    let receiver = Receiver::start(|_| Answer::status(200)).unwrap();
    let (_, reason) = retried(deliver_to(&format!("https://{}", receiver.address()), LIMITS));
    assert!(reason.contains("corrupt message") || reason.contains("InvalidContentType"), "{reason}");
}
