//! OTLP over HTTP: protobuf to `/v1/traces`.
//!
//! | answer | outcome |
//! |---|---|
//! | 2xx | delivered, also if the body cannot be read; what `partial_success` rejects is counted and never sent again |
//! | 408, 429, 5xx | retry, after the wait that `Retry-After` asks for |
//! | no answer: no connection, a reset, no answer within 30 s | retry |
//! | 3xx, 401, 403, 404, 405, 407, 415, 426, 501, 505 | parked: every batch would be refused |
//! | any other status, 400 and 413 above all | rejected: this batch would be refused again, and its halves may be taken |
//!
//! OTLP has a client retry 429, 502, 503 and 504 only, and drop the batch at any other 5xx. Here nothing is dropped that
//! the receiver may take later: a receiver that fails with 500 today is asked again.

use prost::Message as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;

use super::http::excerpt;
use super::{Batch, HttpApi, Outcome, Request, Response};
use crate::otlp;

const PROTOBUF: &str = "application/x-protobuf";

/// An OTLP receiver, asked over HTTP.
#[derive(Clone, Debug)]
pub struct OtlpHttp {
    traces: Url,
}

impl OtlpHttp {
    /// The receiver whose base is `url`: `/v1/traces` is added to its path.
    pub fn new(url: &Url) -> Self {
        let mut traces = url.clone();
        traces.set_path(&format!("{}/v1/traces", url.path().trim_end_matches('/')));
        OtlpHttp { traces }
    }
}

impl HttpApi for OtlpHttp {
    fn url(&self) -> &Url {
        &self.traces
    }

    fn request(&self, batch: &Batch<'_>) -> Request {
        let protobuf = HeaderValue::from_static(PROTOBUF);
        Request {
            method: Method::POST,
            url: self.traces.clone(),
            headers: vec![(CONTENT_TYPE, protobuf.clone()), (ACCEPT, protobuf)],
            body: otlp::request(&batch.resource.attributes, batch.spans).encode_to_vec(),
        }
    }

    fn outcome(&self, response: &Response) -> Outcome {
        let status = response.status;
        match status {
            200..300 => success(response),
            300..=399 | 401 | 403 | 404 | 405 | 407 | 415 | 426 | 501 | 505 => {
                Outcome::Parked { reason: explain(response) }
            }
            408 | 429 | 500..=599 => {
                Outcome::Retry { after: response.retry_after, reason: explain(response) }
            }
            _ => Outcome::Rejected { reason: explain(response) },
        }
    }
}

fn success(response: &Response) -> Outcome {
    let answer = match ExportTraceServiceResponse::decode(response.body.as_slice()) {
        Ok(answer) if response.whole && response.media_type == PROTOBUF => answer,
        _ => return Outcome::DELIVERED,
    };
    let partial = answer.partial_success.unwrap_or_default();
    Outcome::Delivered {
        rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
        message: excerpt(&partial.error_message),
    }
}

/// The body of an OTLP error, as far as it is of use here.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

fn explain(response: &Response) -> String {
    let said = match RpcStatus::decode(response.body.as_slice()) {
        Ok(status) if response.media_type == PROTOBUF => excerpt(&status.message),
        _ if response.media_type == PROTOBUF => String::new(),
        _ => response.excerpt(),
    };
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

#[cfg(test)]
mod tests;
