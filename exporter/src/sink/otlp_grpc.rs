//! OTLP over gRPC: `TraceService/Export`, with gzip unless told otherwise.
//!
//! | answer | outcome |
//! |---|---|
//! | OK | delivered, also if the message cannot be read; what `partial_success` rejects is counted and never sent again |
//! | INVALID_ARGUMENT; RESOURCE_EXHAUSTED and OUT_OF_RANGE that say that the request is too large | rejected: this batch would be refused again, and its halves may be taken |
//! | CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, OUT_OF_RANGE, INTERNAL, UNAVAILABLE, DATA_LOSS | retry, after the wait that a `RetryInfo` asks for |
//! | no answer: no connection, a reset, no answer within 30 s, one without a status or of more than 4 MiB | retry |
//! | any other code, UNAUTHENTICATED, PERMISSION_DENIED and UNIMPLEMENTED above all | parked: every batch would be refused |
//! | HTTP without gRPC, as a proxy answers | as for [OTLP over HTTP](super::OtlpHttp); but a success is none, and parked |
//!
//! The metadata `idempotency-key` of a call is what [OTLP over HTTP](super::OtlpHttp) has as `Idempotency-Key`.
//!
//! OTLP has a client drop the batch at UNKNOWN, INTERNAL, and RESOURCE_EXHAUSTED without a `RetryInfo`. Here nothing is dropped that the
//! receiver may take later. Nor does OTLP know a request that is too large, for which servers have no code of its own:
//! sent again as it is, it would hold up all spans behind it.

use std::io;

use hyper::Response;
use hyper::header::{HeaderMap, HeaderValue};
use prost::Message as _;
use reqwest::Url;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;

use super::ahead::{Ahead, Key};
use super::conceal::Secrets;
use super::grpc::{Body, Channel, Code, Reply, Status, frame, metadata};
use super::http::{Transport, excerpt};
use super::otlp_options::IDEMPOTENCY_KEY;
use super::{Batch, Deliveries, Delivery, OtlpOptions, Outcome, Sink, Wave, otlp_http, wave};
use crate::Error;
use crate::error::with_causes;
use crate::otlp::{self, Names};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What servers say of a request that is too large, in lower case: those in Go, C++, Python and Node.js, in Java, in .NET, and in Rust.
const TOO_LARGE: [&str; 5] = [
    "larger than max",
    "exceeds maximum size",
    "exceeds the maximum configured message size",
    "message length too large",
    "exceeded while decompressing message",
];

/// An OTLP receiver, asked over gRPC.
#[derive(Debug)]
pub struct OtlpGrpc {
    name: String,
    channel: Channel,
    ahead: Ahead<io::Result<Vec<u8>>>,
    names: Names,
}

impl OtlpGrpc {
    /// A sink that is called `name` and asks the receiver at `url`, whose scheme is `http` or `https`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] where TLS cannot be set up, or the host has a name that HTTP does not allow.
    pub fn open(name: String, url: &Url, options: &OtlpOptions) -> Result<Self, Error> {
        Self::with_transport(name, url, options, &Transport::of(options))
    }

    fn with_transport(
        name: String,
        url: &Url,
        options: &OtlpOptions,
        transport: &Transport,
    ) -> Result<Self, Error> {
        match Channel::open(url, EXPORT, metadata(&options.headers), transport) {
            Ok(channel) => Ok(OtlpGrpc { name, channel, ahead: Ahead::new(), names: options.names }),
            Err(error) => Err(Error::sink(name, "set up")(error)),
        }
    }

    /// What becomes of a batch that is answered so, `trailers` being what follows the body. Nothing is sent.
    pub fn outcome(response: Response<Vec<u8>>, trailers: HeaderMap) -> Outcome {
        let (head, body) = response.into_parts();
        outcome_of(Reply::of(&head, Body::whole(body, trailers), &Secrets::of(&HeaderMap::new())))
    }

    async fn send(&mut self, batch: &Batch<'_>, next: Option<&Batch<'_>>) -> Outcome {
        let Self { channel, ahead, names, .. } = self;
        let (names, is_plain) = (*names, channel.is_plain());
        let sealed = ahead.take(batch).unwrap_or_else(|| seal(batch, names, is_plain));
        let next = next.map(|next| (Key::of(next), move || seal(next, names, is_plain)));
        ahead.make(next, deliver(channel.ready(), key(batch), sealed)).await
    }

    async fn send_all(&mut self, wave: &mut Wave<'_>) {
        let (names, is_plain) = (self.names, self.channel.is_plain());
        let channel = self.channel.ready();
        wave.deliver(|batch| deliver(channel, key(&batch), seal(&batch, names, is_plain))).await;
    }
}

fn seal(batch: &Batch<'_>, names: Names, is_plain: bool) -> io::Result<Vec<u8>> {
    frame(&otlp::spans_to_protobuf(names, &batch.resource.attributes, batch.spans), is_plain)
}

/// By what a receiver can tell that it has had the batch: the same as over HTTP.
fn key(batch: &Batch<'_>) -> HeaderMap {
    // Letters, digits, colons, a slash and a dash.
    HeaderValue::try_from(otlp_http::key(batch)).map(|key| (IDEMPOTENCY_KEY, key)).into_iter().collect()
}

async fn deliver(channel: &Channel, key: HeaderMap, sealed: io::Result<Vec<u8>>) -> Outcome {
    let sealed = match sealed {
        Ok(sealed) => sealed,
        Err(error) => return Outcome::Rejected { reason: with_causes(&error) },
    };
    outcome_of(channel.call(sealed, key).await)
}

fn outcome_of(reply: Result<Reply, String>) -> Outcome {
    match reply {
        Ok(Reply::Grpc(status, message)) => outcome(&status, message.as_deref()),
        Ok(Reply::Http(response)) if (200..300).contains(&response.status) => {
            Outcome::Parked { reason: format!("{}, which is no gRPC", otlp_http::explain(&response)) }
        }
        Ok(Reply::Http(response)) => otlp_http::failure(&response),
        Err(reason) => Outcome::Retry { after: None, reason },
    }
}

impl Sink for OtlpGrpc {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(self.send(batch, None))
    }

    fn deliver_before<'a>(&'a mut self, batch: &'a Batch<'a>, next: Option<&'a Batch<'a>>) -> Delivery<'a> {
        Box::pin(self.send(batch, next))
    }

    fn batches_max(&self) -> usize {
        wave::BATCHES_MAX
    }

    fn deliver_wave<'a>(&'a mut self, wave: &'a mut Wave<'_>) -> Deliveries<'a> {
        Box::pin(self.send_all(wave))
    }
}

fn outcome(status: &Status, message: Option<&[u8]>) -> Outcome {
    let after = status.retry_after;
    match status.code {
        Code::Ok => {
            let answer = message.and_then(|message| ExportTraceServiceResponse::decode(message).ok());
            let partial = answer.and_then(|answer| answer.partial_success).unwrap_or_default();
            otlp_http::delivered(partial.rejected_spans, &partial.error_message)
        }
        Code::InvalidArgument => Outcome::Rejected { reason: explain(status) },
        Code::ResourceExhausted | Code::OutOfRange if is_too_large(&status.message) => {
            Outcome::Rejected { reason: explain(status) }
        }
        Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Outcome::Retry { after, reason: explain(status) },
        Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Unauthenticated => Outcome::Parked { reason: explain(status) },
    }
}

fn is_too_large(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    TOO_LARGE.iter().any(|words| message.contains(words))
}

fn explain(status: &Status) -> String {
    let mut text = format!("it answered {}", status.code);
    let said = excerpt(&status.message);
    if !said.is_empty() {
        text.push_str(&format!(": {said}"));
    }
    text
}

#[cfg(test)]
mod tests;
