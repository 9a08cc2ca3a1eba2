//! gRPC as it lies on the wire: messages, statuses, metadata. It does no I/O; a [`Channel`] does.
//!
//! A call with one message and one answer is a POST over HTTP/2. Its body, and that of the response, is
//!
//! ```text
//!   0            1                        5
//!   ┌────────────┬────────────────────────┬──────────────────┐
//!   │ compressed │ length, big-endian     │ message          │
//!   └────────────┴────────────────────────┴──────────────────┘
//! ```
//!
//! and the status comes in the trailers, or in the headers where no message does:
//!
//! | header | |
//! |---|---|
//! | `grpc-status` | the code, in decimal |
//! | `grpc-message` | a text, percent-encoded |
//! | `grpc-status-details-bin` | a `google.rpc.Status` in base64; of its details a `RetryInfo` is of use here |
//!
//! This is written out since the library at hand (tonic 0.14) panics at details that are no base64, cannot tell an answer that it
//! finds too long from a request that the server finds so, and would bring a second set of timeouts and of TLS.

mod channel;

pub(super) use channel::{Body, Channel, Reply};

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;
use prost::Message as _;

use super::conceal::Secrets;
use super::gzip::gzip;
use super::retry_after::WAIT_MAX;

const PREFIX_LEN: usize = 5;

/// A message as it is sent.
#[expect(clippy::big_endian_bytes, reason = "gRPC has it so")]
pub(super) fn frame(message: &[u8], is_plain: bool) -> io::Result<Vec<u8>> {
    let (compressed, message) = match is_plain {
        true => (0, Cow::Borrowed(message)),
        false => (1, Cow::Owned(gzip(message)?)),
    };
    let len = u32::try_from(message.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(PREFIX_LEN + message.len());
    frame.push(compressed);
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(&message);
    Ok(frame)
}

/// The message of a response's body, if that is just one, and not compressed, as nothing else was asked for.
#[expect(clippy::big_endian_bytes, reason = "gRPC has it so")]
fn message(body: &[u8]) -> Option<&[u8]> {
    let (prefix, message) = body.split_first_chunk::<PREFIX_LEN>()?;
    let [0, len @ ..] = *prefix else { return None };
    (u32::from_be_bytes(len).try_into() == Ok(message.len())).then_some(message)
}

/// What became of a call, by the numbers from 0 on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Code {
    Ok,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

impl Code {
    pub(super) const ALL: [Code; 17] = [
        Code::Ok,
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    /// What is no code that is known is the code that says so.
    fn of(value: &HeaderValue) -> Self {
        let number = value.to_str().ok().and_then(|text| text.parse::<usize>().ok());
        number.and_then(|number| Self::ALL.get(number).copied()).unwrap_or(Code::Unknown)
    }
}

impl fmt::Display for Code {
    /// As the specifications write it: `NOT_FOUND`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, letter) in format!("{self:?}").char_indices() {
            if at > 0 && letter.is_ascii_uppercase() {
                f.write_char('_')?;
            }
            f.write_char(letter.to_ascii_uppercase())?;
        }
        Ok(())
    }
}

/// How a call ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Status {
    pub(super) code: Code,
    /// What the server has to say.
    pub(super) message: String,
    /// How long it asks to wait, at most an hour.
    pub(super) retry_after: Option<Duration>,
}

impl Status {
    /// Without what the server was told in confidence.
    fn without(mut self, secrets: &Secrets) -> Self {
        let mut message = self.message.into_bytes();
        secrets.conceal(&mut message);
        self.message = String::from_utf8_lossy(&message).into_owned();
        self
    }

    /// That in these headers, if there is one.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let code = Code::of(headers.get("grpc-status")?);
        let decoded = |value: &HeaderValue| percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned();
        let message = headers.get("grpc-message").map(decoded).unwrap_or_default();
        let retry_after = headers.get("grpc-status-details-bin").and_then(retry_after);
        Some(Status { code, message, retry_after })
    }
}

/// `google.rpc.Status`, as far as it is of use here.
#[derive(Clone, PartialEq, prost::Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// How long a server asks to wait. A wait that is negative is none.
fn retry_after(details: &HeaderValue) -> Option<Duration> {
    // With padding or without: gRPC takes both.
    let text = details.as_bytes().trim_ascii_end();
    let end = text.iter().rposition(|&byte| byte != b'=')? + 1;
    let details = Details::decode(STANDARD_NO_PAD.decode(&text[..end]).ok()?.as_slice()).ok()?;
    let is_retry_info = |detail: &&Detail| detail.type_url.ends_with("/google.rpc.RetryInfo");
    let detail = details.details.iter().find(is_retry_info)?;
    let Delay { seconds, nanos } = RetryInfo::decode(detail.value.as_slice()).ok()?.retry_delay?;
    let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Some(wait.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))).min(WAIT_MAX))
}

/// Headers as metadata. The value of a key that ends in `-bin` is any bytes to gRPC, and base64 on the wire.
pub(super) fn metadata(headers: &[(HeaderName, HeaderValue)]) -> HeaderMap {
    let on_the_wire = |(name, value): &(HeaderName, HeaderValue)| {
        let mut value = value.clone();
        if name.as_str().ends_with("-bin") {
            let is_sensitive = value.is_sensitive();
            let text = STANDARD_NO_PAD.encode(value.as_bytes());
            value = HeaderValue::from_str(&text).expect("base64 is letters, digits, + and /");
            value.set_sensitive(is_sensitive);
        }
        (name.clone(), value)
    };
    headers.iter().map(on_the_wire).collect()
}

#[cfg(test)]
mod tests;
