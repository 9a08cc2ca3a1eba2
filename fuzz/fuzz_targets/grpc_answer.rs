//! What servers answer to a call of gRPC: any head, any body, any trailers.
#![no_main]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderMap, HeaderValue, Response};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring_exporter::sink::{OtlpGrpc, Outcome};

const WAIT_MAX: Duration = Duration::from_secs(60 * 60);
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

#[derive(Arbitrary, Debug)]
enum Input {
    Answer {
        http_status: u16,
        media_type: MediaType,
        headers: Said,
        body: Vec<u8>,
        trailers: Said,
    },
    /// A partial success in its frame, of which the message may be cut or longer than the frame says.
    Partial {
        rejected: i64,
        message: String,
        cut: u8,
        more: Vec<u8>,
    },
    /// How long a server asks to wait.
    Wait {
        seconds: i64,
        nanos: i32,
        is_padded: bool,
        others: Vec<(String, Vec<u8>)>,
    },
}

/// What is said of how a call ended.
#[derive(Arbitrary, Debug)]
struct Said {
    status: Option<Code>,
    message: Option<Vec<u8>>,
    details: Option<Details>,
}

#[derive(Arbitrary, Debug)]
enum Code {
    Number(u8),
    Any(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Details {
    Base64(Vec<u8>),
    Any(Vec<u8>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum MediaType {
    Grpc,
    Html,
    None,
}

fuzz_target!(|input: Input| {
    match input {
        Input::Answer { http_status, media_type, headers, body, trailers } => {
            let mut response = Response::new(body);
            let status = 100 + http_status % 900;
            *response.status_mut() = status.try_into().expect("it has three digits");
            *response.headers_mut() = headers.into_headers();
            let trailers = trailers.into_headers();
            let media_type = match media_type {
                MediaType::Grpc => Some("application/grpc+proto"),
                MediaType::Html => Some("text/html"),
                MediaType::None => None,
            };
            if let Some(media_type) = media_type {
                response.headers_mut().insert("content-type", HeaderValue::from_static(media_type));
            }
            // The first status that is there counts.
            let said = response.headers().get("grpc-status").or_else(|| trailers.get("grpc-status"));
            let is_ok = said.is_some_and(|code| code.to_str().is_ok_and(|code| code.parse() == Ok(0_u64)));
            let outcome = OtlpGrpc::outcome(response, trailers);
            let is_taken = matches!(check(&outcome), Outcome::Delivered { .. });
            assert_eq!(is_taken, is_ok, "{outcome:?}");
        }
        Input::Partial { rejected, message, cut, more } => {
            let mut partial = Vec::new();
            number(&mut partial, 1, rejected.cast_unsigned());
            bytes(&mut partial, 2, message.as_bytes());
            let mut answer = Vec::new();
            bytes(&mut answer, 1, &partial);
            let len = u32::try_from(answer.len()).expect("inputs are short");
            let mut body = [&[0][..], &len.to_be_bytes()[..], &answer[..]].concat();
            let is_whole = cut == 0 && more.is_empty();
            body.truncate(body.len().saturating_sub(cut.into()));
            body.extend_from_slice(&more);
            let trailers =
                HeaderMap::from_iter([("grpc-status", "0")].map(|(name, value)| {
                    (name.parse().expect("it is a name"), HeaderValue::from_static(value))
                }));
            match check(&OtlpGrpc::outcome(Response::new(body), trailers)) {
                Outcome::Delivered { rejected: heard, .. } if is_whole => {
                    assert_eq!(*heard, u64::try_from(rejected).unwrap_or(0));
                }
                Outcome::Delivered { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        Input::Wait { seconds, nanos, is_padded, others } => {
            let mut delay = Vec::new();
            number(&mut delay, 1, seconds.cast_unsigned());
            number(&mut delay, 2, i64::from(nanos).cast_unsigned());
            let mut info = Vec::new();
            bytes(&mut info, 1, &delay);
            let mut details = Vec::new();
            let others = others.iter().filter(|(type_url, _)| !type_url.ends_with(&RETRY_INFO[19..]));
            let others = others.map(|(type_url, value)| (type_url.as_str(), value.as_slice()));
            for (type_url, value) in others.chain([(RETRY_INFO, info.as_slice())]) {
                let mut detail = Vec::new();
                bytes(&mut detail, 1, type_url.as_bytes());
                bytes(&mut detail, 2, value);
                bytes(&mut details, 3, &detail);
            }
            let text = if is_padded { STANDARD.encode(details) } else { STANDARD_NO_PAD.encode(details) };
            let mut response = Response::new(Vec::new());
            response.headers_mut().insert("grpc-status", HeaderValue::from_static("14"));
            let text = text.parse().expect("base64 is letters, digits, + and /");
            response.headers_mut().insert("grpc-status-details-bin", text);
            let expected = Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
                .saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)));
            match check(&OtlpGrpc::outcome(response, HeaderMap::new())) {
                Outcome::Retry { after, .. } => assert_eq!(*after, Some(expected.min(WAIT_MAX))),
                other => panic!("{other:?}"),
            }
        }
    }
});

impl Said {
    fn into_headers(self) -> HeaderMap {
        let status = self.status.map(|code| match code {
            Code::Number(number) => number.to_string().into_bytes(),
            Code::Any(text) => text,
        });
        let details = self.details.map(|details| match details {
            Details::Base64(bytes) => STANDARD_NO_PAD.encode(bytes).into_bytes(),
            Details::Any(text) => text,
        });
        let said =
            [("grpc-status", status), ("grpc-message", self.message), ("grpc-status-details-bin", details)];
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            // What HTTP does not allow does not get this far.
            if let Some(Ok(value)) = value.map(|value| HeaderValue::from_bytes(&value)) {
                headers.insert(name, value);
            }
        }
        headers
    }
}

/// A number in protobuf.
fn number(to: &mut Vec<u8>, field: u8, value: u64) {
    to.push(field << 3);
    varint(to, value);
}

/// Text, bytes or a message in protobuf.
fn bytes(to: &mut Vec<u8>, field: u8, value: &[u8]) {
    to.push(field << 3 | 2);
    varint(to, value.len() as u64);
    to.extend_from_slice(value);
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    to.push(value.to_le_bytes()[0]);
}

/// What is told of an answer is one short line, and safe to print; and nobody waits for longer than an hour.
fn check(outcome: &Outcome) -> &Outcome {
    let (Outcome::Delivered { message: told, .. }
    | Outcome::Retry { reason: told, .. }
    | Outcome::Rejected { reason: told }
    | Outcome::Parked { reason: told }) = outcome;
    assert!(told.chars().count() <= 400 && !told.contains(char::is_control), "{told:?}");
    if let Outcome::Retry { after: Some(wait), .. } = outcome {
        assert!(*wait <= WAIT_MAX, "{wait:?}");
    }
    outcome
}
