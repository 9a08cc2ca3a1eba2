//! A receiver: of one of OTLP over HTTP its name, a connection, and the answer to one span.
//!
//! Each step is taken only if the one before was of use, so that the first failure is the cause.

use std::env;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Url;
use spanring::{Kind, SpanId, Status, TraceId};
use spanring_spool::{Position, RecorderId, Resource, SpanData, Value};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::answer::{self, Asked, Known};
use super::{Check, Verdict};
use crate::error::with_causes;
use crate::rfc3339;
use crate::sink::{
    Batch, BatchId, HttpApi, HttpSink, OtlpHttp, OtlpOptions, Outcome, Request, Response, Sink, SinkAddress,
    SinkOptions, is_loopback,
};

/// How long a name or a connection may take.
const STEP_MAX: Duration = Duration::from_secs(10);

pub(super) async fn check(about: &str, address: &SinkAddress, options: &SinkOptions) -> Vec<Check> {
    let failed = |text: String| vec![Check::new(Verdict::Fail, about, text)];
    let SinkAddress::OtlpHttp { url, is_whole } = address else {
        return match address.open_with(options) {
            Ok(mut sink) => {
                vec![answer::explain(about, &send(&mut *sink).await, Known::System(address.system()))]
            }
            Err(error) => failed(with_causes(&error)),
        };
    };
    let options = &options.otlp;
    let api = Watched { api: OtlpHttp::new(url, *is_whole, options), seen: Arc::default() };
    let (seen, asked_url) = (Arc::clone(&api.seen), api.url().clone());
    let mut sink = match HttpSink::with_options(about.to_owned(), api, options) {
        Ok(sink) => sink,
        Err(error) => return failed(with_causes(&error)),
    };
    let mut checks = vec![way(about, &asked_url, options)];
    match proxy(url) {
        Some(variable) => {
            let text =
                format!("{variable} is set, so it is asked through a proxy, and not connected to directly");
            checks.push(Check::new(Verdict::Ok, about, text));
        }
        None => {
            let connected = connect(about, url).await;
            let is_failure = connected.verdict == Verdict::Fail;
            checks.push(connected);
            if is_failure {
                return checks;
            }
        }
    }
    let outcome = send(&mut sink).await;
    let response = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    let asked = Asked { url: &asked_url, is_whole: *is_whole, has_headers: options.has_headers(), response };
    checks.push(answer::explain(about, &outcome, Known::Asked(&asked)));
    checks
}

/// Where spans go, and how.
fn way(about: &str, url: &Url, options: &OtlpOptions) -> Check {
    let names: Vec<_> = options.header_names().collect();
    let headers = if names.is_empty() { "no headers of its own".to_owned() } else { names.join(", ") };
    let text = format!("spans are sent to {url}, with {headers}");
    if url.scheme() == "http" && options.has_headers() && !is_loopback(url) {
        let text = format!("{text}, in the clear: everybody on the way can read the headers");
        return Check::new(Verdict::Warn, about, text);
    }
    Check::new(Verdict::Ok, about, text)
}

/// The variable that names a proxy for this server, if one does.
fn proxy(url: &Url) -> Option<String> {
    if is_loopback(url) {
        return None;
    }
    let of_scheme = format!("{}_proxy", url.scheme());
    let names = [of_scheme.to_uppercase(), of_scheme, "ALL_PROXY".to_owned(), "all_proxy".to_owned()];
    names.into_iter().find(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Resolves the name, and connects to the first of its addresses that lets us.
async fn connect(about: &str, url: &Url) -> Check {
    let check = |verdict, text: String| Check::new(verdict, about, text);
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = match timeout(STEP_MAX, lookup_host((bare, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            return check(Verdict::Fail, format!("{host} is no name that can be resolved here: {error}"));
        }
        Err(_) => {
            return check(Verdict::Fail, format!("{host} was not resolved within {} s", STEP_MAX.as_secs()));
        }
    };
    let mut reasons = Vec::new();
    for address in addresses {
        match timeout(STEP_MAX, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return check(Verdict::Ok, format!("{host} is {address}, which takes connections")),
            Ok(Err(error)) => reasons.push(format!("{address}: {error}")),
            Err(_) => reasons.push(format!("{address}: no answer within {} s", STEP_MAX.as_secs())),
        }
    }
    let hint = "is the receiver running, is it the right port, and does no firewall keep it away?";
    check(Verdict::Fail, format!("nobody takes connections at {}; {hint}", reasons.join(", ")))
}

/// Sends the test span, once.
async fn send(sink: &mut dyn Sink) -> Outcome {
    let (recorder, resource) = (RecorderId::from_parts(0, 0), Resource::named("spanring.doctor"));
    let id = BatchId { recorder: &recorder, block: Position::default(), number: 0, part: BatchId::ALONE };
    let spans = [test_span()];
    sink.deliver(&Batch { id, resource: &resource, spans: (&spans).into(), starts: &[] }).await
}

fn test_span() -> SpanData {
    let now = SystemTime::now();
    let unix_ns = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let unix_ns = u64::try_from(unix_ns).unwrap_or(u64::MAX);
    let (mut trace_id, mut span_id) = ([1; 16], [1; 8]);
    // Without random bytes from the system it has the same identity each time.
    if getrandom::fill(&mut trace_id).is_err() || getrandom::fill(&mut span_id).is_err() {
        (trace_id, span_id) = ([1; 16], [1; 8]);
    }
    let attribute = |key: &str, value: String| (key.to_owned(), Value::Str(value));
    SpanData {
        trace_id: TraceId::from_bytes(trace_id),
        span_id: SpanId::from_bytes(span_id),
        name: "spanring.doctor".to_owned(),
        kind: Kind::default(),
        status: Status::Ok,
        start_unix_ns: unix_ns,
        end_unix_ns: unix_ns,
        attributes: vec![
            attribute("spanring.version", env!("CARGO_PKG_VERSION").to_owned()),
            attribute("spanring.doctor.host_time", rfc3339::text(now)),
        ],
        ..SpanData::default()
    }
}

/// An API whose last response is kept.
struct Watched {
    api: OtlpHttp,
    seen: Arc<Mutex<Option<Response>>>,
}

impl HttpApi for Watched {
    fn request(&self, batch: &Batch<'_>) -> Request {
        self.api.request(batch)
    }

    fn outcome(&self, response: &Response) -> Outcome {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(response.clone());
        self.api.outcome(response)
    }

    fn url(&self) -> &Url {
        self.api.url()
    }
}
