use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use flate2::read::GzDecoder;
use hyper::body::Bytes;
use hyper::{Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest,
};
use reqwest::header::{HeaderName, HeaderValue};
use tokio::runtime::Runtime;
use tonic_types::{ErrorDetails, StatusExt as _};

use self::authority::Authority;
use self::server::{Pieces, Received, Server, Setup, free_port};
use super::*;
use crate::demo::receiver::{Answer, Receiver};
use crate::sink::http::{Identity, Limits};
use crate::sink::tests::Spans;
use crate::sink::wave::tests::{outcomes, wave};

#[path = "../../../tests/authority/mod.rs"]
mod authority;
#[path = "../../../tests/grpc_server/mod.rs"]
mod server;

/// Where an answer is expected there is time for it.
const LIMITS: Limits =
    Limits { request: Duration::from_secs(30), connect: Duration::from_secs(30), body_max: 64 * 1024 };

fn sink(url: &str, limits: Limits, options: &OtlpOptions) -> Result<OtlpGrpc, Error> {
    let transport = Transport { limits, ..Transport::of(options) };
    OtlpGrpc::with_transport("otlp".into(), &Url::parse(url).unwrap(), options, &transport)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn deliver_with(url: &str, limits: Limits, options: &OtlpOptions) -> Outcome {
    let mut sink = sink(url, limits, options).unwrap();
    runtime().block_on(sink.deliver(&Spans::new(3).batch()))
}

fn deliver_to(address: SocketAddr) -> Outcome {
    deliver_with(&format!("http://{address}"), LIMITS, &OtlpOptions::default())
}

type Answered = Result<ExportTraceServiceResponse, tonic::Status>;

/// What becomes of a batch when it is answered so, and what was received.
fn answered_with(setup: &Setup, options: &OtlpOptions, answer: Answered) -> (Outcome, Vec<Received>) {
    let (sender, received) = mpsc::channel();
    let server = Server::start(setup, move |request| {
        sender.send(request).unwrap();
        answer.clone()
    });
    let outcome = deliver_with(&format!("http://{}", server.address()), LIMITS, options);
    drop(server);
    (outcome, received.iter().collect())
}

fn answered(answer: Answered) -> Outcome {
    answered_with(&Setup::default(), &OtlpOptions::default(), answer).0
}

fn success() -> Answered {
    Ok(ExportTraceServiceResponse::default())
}

/// What becomes of a batch when these are the bytes of the answer.
fn raw(answer: impl Fn() -> Response<Pieces> + Send + 'static) -> Outcome {
    deliver_to(Server::raw(move |_| answer()).address())
}

fn grpc(pieces: Pieces) -> Response<Pieces> {
    Response::builder().header("content-type", "application/grpc+proto").body(pieces).unwrap()
}

fn retried(outcome: Outcome) -> (Option<Duration>, String) {
    match outcome {
        Outcome::Retry { after, reason } => (after, reason),
        other => panic!("{other:?}"),
    }
}

fn expected_request() -> ExportTraceServiceRequest {
    let spans = Spans::new(3);
    otlp::request(&spans.batch().resource.attributes, &spans.batch().spans)
}

#[test]
fn a_batch_is_one_call_as_otlp_demands_it() {
    let (outcome, received) = answered_with(&Setup::default(), &OtlpOptions::default(), success());
    assert_eq!(outcome, Outcome::DELIVERED);
    let [received] = received.as_slice() else { panic!("{} calls", received.len()) };
    assert_eq!(received.request, expected_request());
    let header = |name| received.metadata.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("content-type"), Some("application/grpc"));
    assert_eq!(header("grpc-encoding"), Some("gzip"));
    assert_eq!(header("te"), Some("trailers"));
    assert_eq!(header("idempotency-key"), Some(otlp_http::key(&Spans::new(3).batch()).as_str()));
    assert_eq!(header("user-agent"), Some(concat!("spanring/", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn metadata_is_what_the_options_say() {
    let headers =
        [("api-key", "secret"), ("token-bin", "a b"), ("content-type", "text/html"), ("user-agent", "mine")];
    let headers =
        headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let options = OtlpOptions { headers: headers.to_vec(), ..OtlpOptions::default() };
    let (outcome, received) = answered_with(&Setup::default(), &options, success());
    assert_eq!(outcome, Outcome::DELIVERED);
    let metadata = &received[0].metadata;
    assert_eq!(metadata.get("api-key").unwrap(), "secret");
    assert_eq!(metadata.get_bin("token-bin").unwrap().to_bytes().unwrap(), "a b");
    assert_eq!(metadata.get("content-type").unwrap(), "application/grpc");
    assert_eq!(metadata.get("user-agent").unwrap(), "mine");
    let sink = sink("http://h:1", LIMITS, &options).unwrap();
    assert!(!format!("{sink:?}").contains("secret"), "{sink:?}");
}

/// The head and the body of a delivery, as they lie on the wire.
fn on_the_wire(options: &OtlpOptions) -> Request<Bytes> {
    let (sender, received) = mpsc::channel();
    let server = Server::raw(move |request| {
        sender.send(request).unwrap();
        grpc(Pieces::new("\0\0\0\0\0", &[("grpc-status", "0")]))
    });
    let outcome = deliver_with(&format!("http://{}", server.address()), LIMITS, options);
    assert_eq!(outcome, Outcome::DELIVERED);
    received.recv().unwrap()
}

#[test]
fn a_request_is_compressed_unless_the_options_say_otherwise() {
    let expected = expected_request().encode_to_vec();
    let compressed = on_the_wire(&OtlpOptions::default());
    assert_eq!(compressed.uri().path(), EXPORT);
    assert_eq!(compressed.headers()["grpc-encoding"], "gzip");
    let (flag, len, message) = framed(compressed.body());
    assert_eq!((flag, len), (1, message.len()));
    let mut decompressed = Vec::new();
    std::io::Read::read_to_end(&mut GzDecoder::new(message), &mut decompressed).unwrap();
    assert_eq!(decompressed, expected);

    let plain = on_the_wire(&OtlpOptions { is_plain: true, ..OtlpOptions::default() });
    assert_eq!(plain.headers().get("grpc-encoding"), None);
    assert_eq!(framed(plain.body()), (0, expected.len(), expected.as_slice()));
}

/// Flag, length and message, told from the layout in gRPC's specification alone.
fn framed(body: &[u8]) -> (u8, usize, &[u8]) {
    let len = body[1..5].iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
    (body[0], len, &body[5..])
}

#[test]
fn a_receiver_that_knows_no_gzip_parks_unless_the_options_turn_it_off() {
    let setup = Setup { takes_gzip: false, ..Setup::default() };
    let (outcome, received) = answered_with(&setup, &OtlpOptions::default(), success());
    let Outcome::Parked { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.starts_with("it answered UNIMPLEMENTED: ") && reason.contains("gzip"), "{reason}");
    assert!(received.is_empty());
    let plain = OtlpOptions { is_plain: true, ..OtlpOptions::default() };
    assert_eq!(answered_with(&setup, &plain, success()).0, Outcome::DELIVERED);
}

#[test]
fn every_code_has_the_outcome_that_the_table_names() {
    const WAIT: Duration = Duration::from_secs(7);
    let retry = |reason| Outcome::Retry { after: Some(WAIT), reason };
    let rejected = |reason| Outcome::Rejected { reason };
    let parked = |reason| Outcome::Parked { reason };
    let expected: [(&str, &dyn Fn(String) -> Outcome); 16] = [
        ("CANCELLED", &retry),
        ("UNKNOWN", &retry),
        ("INVALID_ARGUMENT", &rejected),
        ("DEADLINE_EXCEEDED", &retry),
        ("NOT_FOUND", &parked),
        ("ALREADY_EXISTS", &parked),
        ("PERMISSION_DENIED", &parked),
        ("RESOURCE_EXHAUSTED", &retry),
        ("FAILED_PRECONDITION", &parked),
        ("ABORTED", &retry),
        ("OUT_OF_RANGE", &retry),
        ("UNIMPLEMENTED", &parked),
        ("INTERNAL", &retry),
        ("UNAVAILABLE", &retry),
        ("DATA_LOSS", &retry),
        ("UNAUTHENTICATED", &parked),
    ];
    for (number, (name, outcome)) in (1..).zip(expected) {
        let code = tonic::Code::from_i32(number);
        let details = ErrorDetails::with_retry_info(Some(WAIT));
        let status = tonic::Status::with_error_details(code, "no,\n not now", details);
        assert_eq!(answered(Err(status)), outcome(format!("it answered {name}: no, not now")));
        let mut without = outcome(format!("it answered {name}"));
        if let Outcome::Retry { after, .. } = &mut without {
            *after = None;
        }
        assert_eq!(answered(Err(tonic::Status::new(code, ""))), without);
    }
}

#[test]
fn a_request_that_is_too_large_is_rejected_by_whatever_words() {
    // As a server has it whose limit is less than a batch: of what was sent, and of what comes out of gzip.
    let options = OtlpOptions { is_plain: true, ..OtlpOptions::default() };
    for (request_len_max, options) in [(16, options), (300, OtlpOptions::default())] {
        let setup = Setup { request_len_max, ..Setup::default() };
        let (outcome, received) = answered_with(&setup, &options, success());
        assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
        assert!(received.is_empty());
    }
    for message in [
        "grpc: received message larger than max (4194305 vs. 4194304)",
        "Received message larger than max (5 vs. 4)",
        "gRPC message exceeds maximum size 4194304: 4194305",
        "Received message exceeds the maximum configured message size.",
    ] {
        let reason = format!("it answered RESOURCE_EXHAUSTED: {message}");
        let outcome = answered(Err(tonic::Status::resource_exhausted(message)));
        assert_eq!(outcome, Outcome::Rejected { reason });
    }
    let quota = answered(Err(tonic::Status::resource_exhausted("the quota of the maximum plan is exceeded")));
    assert!(matches!(quota, Outcome::Retry { .. }), "{quota:?}");
    // Elsewhere the words are about something else.
    let else_where = answered(Err(tonic::Status::internal("message length too large")));
    assert!(matches!(else_where, Outcome::Retry { .. }), "{else_where:?}");
}

/// A request of this many bytes and a few more.
fn request_of(len: usize) -> ExportTraceServiceRequest {
    let mut request = expected_request();
    request.resource_spans[0].schema_url = "x".repeat(len);
    request
}

#[test]
fn a_receiver_takes_a_long_request_and_is_heard_when_it_refuses_one_unread() {
    // Longer than what HTTP/2 lets through before the other side has read some.
    let request = request_of(8 << 20);
    for request_len_max in [16 << 20, 1000] {
        let (sender, received) = mpsc::channel();
        let setup = Setup { request_len_max, ..Setup::default() };
        let server = Server::start(&setup, move |received| {
            sender.send(received.request).unwrap();
            success()
        });
        let url = Url::parse(&format!("http://{}", server.address())).unwrap();
        let options = OtlpOptions { is_plain: true, ..OtlpOptions::default() };
        let transport = Transport { limits: LIMITS, ..Transport::of(&options) };
        let channel = Channel::open(&url, EXPORT, metadata(&[]), &transport).unwrap();
        let reply = runtime()
            .block_on(channel.call(frame(&request.encode_to_vec(), true).unwrap(), HeaderMap::new()))
            .unwrap();
        let Reply::Grpc(status, _) = reply else { panic!("{reply:?}") };
        drop(server);
        let received: Vec<_> = received.iter().collect();
        match request_len_max {
            1000 => assert_eq!((status.code, received.len()), (Code::OutOfRange, 0)),
            _ => assert!(status.code == Code::Ok && received == [request.clone()]),
        }
    }
}

#[test]
fn a_partial_success_is_delivered_and_says_what_was_rejected() {
    let partial = |rejected_spans, error_message: &str| {
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: error_message.into() };
        answered(Ok(ExportTraceServiceResponse { partial_success: Some(partial) }))
    };
    assert_eq!(partial(2, "too\nold"), Outcome::Delivered { rejected: 2, message: "too old".into() });
    assert_eq!(partial(0, "slow"), Outcome::Delivered { rejected: 0, message: "slow".into() });
    assert_eq!(partial(-1, ""), Outcome::DELIVERED);
}

#[test]
fn a_success_is_one_whatever_its_message() {
    for message in [
        "",
        "\0\0",
        "\0\0\0\0\0",
        "\0\0\0\0\x09too short",
        "\0\0\0\0\x02none",
        "\x01\0\0\0\x03abc",
        "\0\0\0\0\x03\u{7f}\u{7f}\u{7f}",
        "<html>welcome</html>",
    ] {
        let outcome = raw(move || grpc(Pieces::new(message, &[("grpc-status", "0")])));
        assert_eq!(outcome, Outcome::DELIVERED, "{message:?}");
    }
    let without_trailers = || {
        let mut response = grpc(Pieces::default());
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("0"));
        response
    };
    assert_eq!(raw(without_trailers), Outcome::DELIVERED);
}

#[test]
fn an_answer_without_an_end_is_a_retry_that_says_why() {
    let of = |pieces: fn() -> Pieces| retried(raw(move || grpc(pieces())));
    assert_eq!(of(|| Pieces::new("\0\0\0\0\0", &[])), (None, "its answer has no status".into()));
    let (after, reason) = of(|| Pieces::broken("\0\0\0\0\0"));
    assert!(after.is_none() && reason.contains("stream error"), "{reason}");
    let (after, reason) = of(|| Pieces::new(vec![0; 64 * 1024 + 1], &[("grpc-status", "0")]));
    assert_eq!((after, reason), (None, "its answer is longer than 65536 bytes".into()));
    assert_eq!(raw(|| grpc(Pieces::new(vec![0; 64 * 1024], &[("grpc-status", "0")]))), Outcome::DELIVERED);
}

#[test]
fn a_status_that_makes_no_sense_harms_nobody() {
    let of = |status: &'static [(&'static str, &'static str)]| raw(move || grpc(Pieces::new("", status)));
    let busy =
        [("grpc-status", "14"), ("grpc-message", "b%75sy"), ("grpc-status-details-bin", "!no base64!")];
    let outcome = of(Box::leak(Box::new(busy)));
    assert_eq!(outcome, Outcome::Retry { after: None, reason: "it answered UNAVAILABLE: busy".into() });
    let outcome = of(&[("grpc-status", "99"), ("grpc-message", "%ff%")]);
    assert_eq!(outcome, Outcome::Retry { after: None, reason: "it answered UNKNOWN: \u{fffd}%".into() });
}

#[test]
fn http_without_grpc_is_heard_as_from_a_receiver_over_http() {
    let of = |status: u16, header: (&'static str, &'static str)| {
        raw(move || {
            let response = Response::builder().status(status).header("content-type", "text/html");
            response.header(header.0, header.1).body(Pieces::new("<p>no\n", &[])).unwrap()
        })
    };
    let none = ("x", "y");
    let parked = |reason: &str| Outcome::Parked { reason: reason.into() };
    assert_eq!(of(404, none), parked("it answered 404 Not Found: <p>no"));
    assert_eq!(of(307, ("location", "/elsewhere")), parked("it answered 307 Temporary Redirect: <p>no"));
    assert_eq!(of(200, none), parked("it answered 200 OK: <p>no, which is no gRPC"));
    let reason = "it answered 413 Payload Too Large: <p>no".to_owned();
    assert_eq!(of(413, none), Outcome::Rejected { reason });
    let reason = "it answered 503 Service Unavailable: <p>no".to_owned();
    let after = Some(Duration::from_secs(7));
    assert_eq!(of(503, ("retry-after", "7")), Outcome::Retry { after, reason });
    let of_type_grpc = || {
        let mut response = grpc(Pieces::default());
        *response.status_mut() = hyper::StatusCode::NOT_FOUND;
        response
    };
    assert_eq!(raw(of_type_grpc), parked("it answered 404 Not Found"));
    // A status of gRPC counts, whatever that of HTTP.
    let outcome = of(503, ("grpc-status", "16"));
    assert_eq!(outcome, parked("it answered UNAUTHENTICATED"));
}

#[test]
fn a_receiver_that_speaks_http_1_only_is_a_retry() {
    let receiver = Receiver::start(|_| Answer::status(200)).unwrap();
    let (_, reason) = retried(deliver_to(receiver.address()));
    assert!(!reason.is_empty());
}

#[test]
fn no_connection_is_a_retry_that_says_why() {
    let address = free_port().local_addr().unwrap();
    let (after, reason) = retried(deliver_to(address));
    assert_eq!(after, None);
    assert!(reason.contains("Connection refused") && !reason.contains("http://"), "{reason}");
}

#[test]
fn a_connection_that_breaks_is_a_retry_and_the_next_call_has_another() {
    let listener = free_port();
    let address = listener.local_addr().unwrap();
    let broken = thread::spawn(move || {
        drop(listener.accept().unwrap());
        listener
    });
    let mut sink = sink(&format!("http://{address}"), LIMITS, &OtlpOptions::default()).unwrap();
    let (spans, runtime) = (Spans::new(3), runtime());
    let (_, reason) = retried(runtime.block_on(sink.deliver(&spans.batch())));
    assert!(!reason.is_empty());
    let _server = Server::start_at(broken.join().unwrap(), &Setup::default(), |_| success());
    assert_eq!(runtime.block_on(sink.deliver(&spans.batch())), Outcome::DELIVERED);
}

#[test]
fn a_receiver_that_is_silent_is_a_retry_and_the_next_call_has_another_connection() {
    let listener = free_port();
    let address = listener.local_addr().unwrap();
    let silent = thread::spawn(move || (listener.accept().unwrap(), listener));
    let limits = Limits { request: Duration::from_secs(1), ..LIMITS };
    let mut sink = sink(&format!("http://{address}"), limits, &OtlpOptions::default()).unwrap();
    let (spans, runtime) = (Spans::new(3), runtime());
    let outcome = runtime.block_on(sink.deliver(&spans.batch()));
    assert_eq!(retried(outcome), (None, "no answer in time".into()));
    let (_connection, listener) = silent.join().unwrap();
    let _server = Server::start_at(listener, &Setup::default(), |_| success());
    // It may have to wait for its turn on a busy machine, but not for ever.
    let deliveries = (0..30).map(|_| runtime.block_on(sink.deliver(&spans.batch())));
    assert!(deliveries.into_iter().any(|outcome| outcome == Outcome::DELIVERED));
}

#[test]
fn several_calls_of_a_wave_are_on_their_way_at_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    // It answers none before all four are there.
    let server = Server::together(4, move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        grpc(Pieces::new("", &[("grpc-status", "0")]))
    });
    let mut sink = sink(&format!("http://{}", server.address()), LIMITS, &OtlpOptions::default()).unwrap();
    assert!(sink.batches_max() >= 4);
    let spans = Spans::new(3);
    let (mut wave, _stop) = wave(&spans, &[1; 8], 4);
    runtime().block_on(sink.deliver_wave(&mut wave));
    assert_eq!(outcomes(wave), [const { Some(Outcome::DELIVERED) }; 8]);
    assert_eq!(calls.load(Ordering::Relaxed), 8);
}

#[test]
fn a_receiver_that_is_silent_through_a_wave_is_asked_over_another_connection_next() {
    let listener = free_port();
    let address = listener.local_addr().unwrap();
    let silent = thread::spawn(move || (listener.accept().unwrap(), listener));
    let limits = Limits { request: Duration::from_secs(1), ..LIMITS };
    let mut sink = sink(&format!("http://{address}"), limits, &OtlpOptions::default()).unwrap();
    let (spans, runtime) = (Spans::new(3), runtime());
    let (mut silenced, _stop) = wave(&spans, &[1; 8], 3);
    runtime.block_on(sink.deliver_wave(&mut silenced));
    let no_answer = Outcome::Retry { after: None, reason: "no answer in time".into() };
    assert_eq!(outcomes(silenced), vec![Some(no_answer); 3]);
    let (_connection, listener) = silent.join().unwrap();
    let _server = Server::start_at(listener, &Setup::default(), |_| success());
    let deliveries = (0..30).map(|_| {
        let (mut wave, _stop) = wave(&spans, &[1; 3], 3);
        runtime.block_on(sink.deliver_wave(&mut wave));
        outcomes(wave)
    });
    let delivered = vec![Some(Outcome::DELIVERED); 3];
    assert!(deliveries.into_iter().any(|outcomes| outcomes == delivered));
}

#[test]
fn a_receiver_has_as_long_as_the_options_say() {
    let listener = free_port();
    let options = OtlpOptions { timeout: Some(Duration::from_millis(50)), ..OtlpOptions::default() };
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut sink = OtlpGrpc::open("otlp".into(), &url, &options).unwrap();
    let outcome = runtime().block_on(sink.deliver(&Spans::new(3).batch()));
    assert_eq!(retried(outcome), (None, "no answer in time".into()));
}

#[test]
fn a_sink_outlives_the_runtime_that_it_was_used_in() {
    let server = Server::start(&Setup::default(), |_| success());
    let mut sink = sink(&format!("http://{}", server.address()), LIMITS, &OtlpOptions::default()).unwrap();
    for _ in 0..3 {
        assert_eq!(runtime().block_on(sink.deliver(&Spans::new(3).batch())), Outcome::DELIVERED);
    }
}

/// A server as `localhost` that takes clients of this authority only, if it asks who they are.
fn serve(authority: &Authority, asks_clients: bool) -> Server {
    let mut config = authority.server(asks_clients);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let setup = Setup { tls: Some(Arc::new(config)), ..Setup::default() };
    Server::start(&setup, |_| success())
}

fn identity(authority: &Authority) -> Identity {
    authority.certify("exporter");
    Identity { certificate: authority.path("exporter.pem"), key: authority.path("exporter.key") }
}

fn deliver_over_tls(server: &Server, authority: &Authority, identity: Option<Identity>) -> Outcome {
    let certificate = Some(authority.path("authority.pem"));
    let options = OtlpOptions { certificate, identity, ..OtlpOptions::default() };
    deliver_with(&format!("https://localhost:{}", server.address().port()), LIMITS, &options)
}

#[test]
fn a_receiver_is_verified_by_the_given_authority() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = serve(&ours, false);
    assert_eq!(deliver_over_tls(&server, &ours, None), Outcome::DELIVERED);
    let (_, reason) = retried(deliver_over_tls(&server, &theirs, None));
    assert!(reason.contains("invalid peer certificate"), "{reason}");
}

#[test]
fn an_exporter_proves_itself_to_a_receiver_that_asks() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = serve(&ours, true);
    assert_eq!(deliver_over_tls(&server, &ours, Some(identity(&ours))), Outcome::DELIVERED);
    for identity in [None, Some(identity(&theirs))] {
        let (_, reason) = retried(deliver_over_tls(&server, &ours, identity));
        assert!(!reason.is_empty());
    }
}

#[test]
fn tls_to_a_server_that_speaks_none_is_a_retry_that_says_why() {
    let ours = Authority::new();
    let server = Server::start(&Setup::default(), |_| success());
    let (_, reason) = retried(deliver_over_tls(&server, &ours, None));
    assert!(reason.contains("corrupt message") || reason.contains("InvalidContentType"), "{reason}");
}

#[test]
fn a_certificate_that_cannot_be_read_is_told_when_the_sink_is_set_up() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(b"nothing").unwrap();
    let certificate = Some(file.path().to_owned());
    let options = OtlpOptions { certificate, ..OtlpOptions::default() };
    let error = crate::with_causes(&sink("https://h:1", LIMITS, &options).unwrap_err());
    assert_eq!(error, format!("cannot set up otlp: {} holds no certificate", file.path().display()));
    assert!(sink("http://h:1", LIMITS, &options).is_ok(), "where nobody is asked for one");
}

#[test]
fn a_host_that_cannot_be_asked_is_told_when_the_sink_is_set_up() {
    let error = sink("http://a%22b:1", LIMITS, &OtlpOptions::default()).unwrap_err();
    assert_eq!(crate::with_causes(&error), "cannot set up otlp: invalid uri character");
}
