//! OTLP over HTTP: protobuf, or JSON, to `/v1/traces`.
//!
//! | answer | outcome |
//! |---|---|
//! | 2xx | delivered, also if the body cannot be read; what `partial_success` rejects is counted and never sent again |
//! | 408, 425, 429, 5xx but 501 and 505 | retry, after the wait that `Retry-After` asks for |
//! | no answer: no connection, a reset, no answer within 30 s | retry |
//! | 400, 413, 422 | rejected: this batch would be refused again, and its halves may be taken |
//! | any other status, 401 and 404 above all | parked: every batch would be refused |
//!
//! `Idempotency-Key` is the identity of the batch, and who its spans are: the same each time these spans are sent together, after a restart too, and
//! another one wherever others are. OTLP has no such key, and its receivers pass over headers that they do not know; one that knows it, or a proxy before
//! one, can leave out what it has had. What is delivered again on purpose has the key that it had, so who wants that to come again must have it forget.
//!
//! OTLP has a client retry 429, 502, 503 and 504 only, and drop the batch at any other 5xx. Here nothing is dropped that
//! the receiver may take later: a receiver that fails with 500 today is asked again.

use prost::Message as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use ring::digest::{Context, SHA256};
use serde_json::Value;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;

use super::http::excerpt;
use super::otlp_options::IDEMPOTENCY_KEY;
use super::wave;
use super::{Batch, HttpApi, OtlpOptions, Outcome, Protocol, Request, Response};
use crate::otlp::{self, Names};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// An OTLP receiver, asked over HTTP.
#[derive(Clone, Debug)]
pub struct OtlpHttp {
    traces: Url,
    protocol: Protocol,
    headers: Vec<(HeaderName, HeaderValue)>,
    names: Names,
}

impl OtlpHttp {
    /// The receiver whose base is `url`: `/v1/traces` is added to its path, unless it is whole.
    pub fn new(url: &Url, is_whole: bool, options: &OtlpOptions) -> Self {
        let mut traces = url.clone();
        if !is_whole {
            traces.set_path(&format!("{}/v1/traces", url.path().trim_end_matches('/')));
        }
        OtlpHttp {
            traces,
            protocol: options.protocol,
            headers: options.headers.clone(),
            names: options.names,
        }
    }
}

/// What tells a request from all others. Where a batch begins does not: by trace, and out of the dead letters, which other spans are in it depends on
/// what was over by then.
pub(super) fn key(batch: &Batch<'_>) -> String {
    let mut spans = Context::new(&SHA256);
    for (trace_id, span_id) in batch.spans.identities() {
        spans.update(&trace_id.to_bytes());
        spans.update(&span_id.to_bytes());
    }
    let digest = spans.finish();
    let spans = digest.as_ref().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    format!("{}-{spans:016x}", batch.id)
}

impl HttpApi for OtlpHttp {
    fn url(&self) -> &Url {
        &self.traces
    }

    fn request(&self, batch: &Batch<'_>) -> Request {
        let (names, resource) = (self.names, &batch.resource.attributes);
        let protobuf = otlp::spans_to_protobuf(names, resource, batch.spans);
        let (media_type, body) = match self.protocol {
            // Who asks for gRPC has protobuf from a sink that speaks HTTP.
            Protocol::Protobuf | Protocol::Grpc => (PROTOBUF, protobuf),
            Protocol::Json => (JSON, otlp::to_json(&otlp::decoded(&protobuf)).into_bytes()),
        };
        let media_type = HeaderValue::from_static(media_type);
        let mut headers = self.headers.clone();
        headers.extend([(CONTENT_TYPE, media_type.clone()), (ACCEPT, media_type)]);
        // Letters, digits, colons, a slash and a dash.
        headers.extend(HeaderValue::try_from(key(batch)).map(|key| (IDEMPOTENCY_KEY, key)));
        Request { method: Method::POST, url: self.traces.clone(), headers, body }
    }

    fn batches_max(&self) -> usize {
        wave::BATCHES_MAX
    }

    fn outcome(&self, response: &Response) -> Outcome {
        match response.status {
            200..300 => success(response),
            _ => failure(response),
        }
    }
}

/// What a response says that is no success.
pub(super) fn failure(response: &Response) -> Outcome {
    let reason = explain(response);
    match response.status {
        400 | 413 | 422 => Outcome::Rejected { reason },
        501 | 505 => Outcome::Parked { reason },
        408 | 425 | 429 | 500..=599 => Outcome::Retry { after: response.retry_after, reason },
        _ => Outcome::Parked { reason },
    }
}

fn success(response: &Response) -> Outcome {
    let partial = match response.media_type.as_str() {
        _ if !response.whole => None,
        PROTOBUF => ExportTraceServiceResponse::decode(response.body.as_slice()).ok().and_then(|answer| {
            let partial = answer.partial_success?;
            Some((partial.rejected_spans, partial.error_message))
        }),
        JSON => json(response).and_then(|answer| {
            let partial = answer.get("partialSuccess")?;
            Some((integer(&partial["rejectedSpans"]), text(&partial["errorMessage"])))
        }),
        _ => None,
    };
    let (rejected, message) = partial.unwrap_or_default();
    delivered(rejected, &message)
}

/// Delivered, with what a receiver says of it.
pub(super) fn delivered(rejected: i64, message: &str) -> Outcome {
    Outcome::Delivered { rejected: u64::try_from(rejected).unwrap_or(0), message: excerpt(message) }
}

/// The body of an OTLP error, as far as it is of use here.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

pub(super) fn explain(response: &Response) -> String {
    let said = match response.media_type.as_str() {
        PROTOBUF => RpcStatus::decode(response.body.as_slice())
            .map_or_else(|_| String::new(), |status| status.message),
        JSON => match json(response).map(|status| text(&status["message"])) {
            Some(message) if !message.is_empty() => message,
            _ => response.excerpt(),
        },
        _ => response.excerpt(),
    };
    let said = excerpt(&said);
    let name =
        reqwest::StatusCode::from_u16(response.status).ok().and_then(|status| status.canonical_reason());
    let mut text = format!("it answered {}", response.status);
    if let Some(name) = name {
        text.push_str(&format!(" {name}"));
    }
    if !said.is_empty() {
        text.push_str(&format!(": {said}"));
    }
    text
}

fn json(response: &Response) -> Option<Value> {
    serde_json::from_slice(&response.body).ok()
}

/// An integer of 64 bits, which OTLP/JSON writes as text, and not every receiver does.
fn integer(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
