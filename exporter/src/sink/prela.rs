//! Prela over HTTP: a trace in one request, whole, to the endpoint that the user names.
//!
//! A trace is sent when it is over, which is for who keeps its spans until then to say. Here is what is sent, and what an answer means; there is no
//! I/O.
//!
//! | answer | Prela's exporter | here |
//! |---|---|---|
//! | 200, 202 | success | delivered |
//! | other 2xx | failure | parked: no answer of Prela's says so that it has a trace, so something else answers there |
//! | 408, 425, 429 | 4 attempts within a second, then dropped | retry, after the wait that `Retry-After` asks for |
//! | 5xx but 501 and 505; no answer | the same | the same |
//! | 400, 409, 413, 422 | the same | rejected: this trace would be refused again, and others may be taken |
//! | any other, 401, 403 and 404 above all | the same | parked: every trace would be refused |
//!
//! The request is that of the SDK but for `User-Agent`, which says who sends it, and for what the SDK's library for HTTP adds: `Accept` and
//! `Accept-Encoding`. `X-Prela-Tier` of an answer, by which the SDK unlocks features of its own, means nothing here. The identities are the same
//! whenever a trace is sent, so that a receiver can tell that it has had it.

use std::io::{self, Write};

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use spanring_spool::{Resource, SpanData};

use super::{Outcome, PrelaOptions, Request, Response};
use crate::prela::{Span, TraceSummary, TraceWriter};

/// Prela, asked over HTTP.
#[derive(Clone, Debug)]
pub struct Prela {
    url: Url,
    options: PrelaOptions,
}

impl Prela {
    /// Prela at this endpoint, whose path is used as it is.
    pub fn new(url: &Url, options: &PrelaOptions) -> Self {
        Prela { url: url.clone(), options: options.clone() }
    }

    /// Where traces are sent to.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether bodies are to be compressed by gzip, with the header that says so.
    pub fn is_compressed(&self) -> bool {
        self.options.is_compressed
    }

    /// What becomes of a span of a process that is known as `resource`.
    pub fn span(&self, span: &SpanData, resource: &Resource) -> Span {
        Span::of(span, self.options.service_of(resource))
    }

    /// Begins the body of a request: the document of a trace, whose spans follow in the order in which they ended.
    ///
    /// # Errors
    ///
    /// What `to` says.
    pub fn head<W: Write>(&self, summary: &TraceSummary, to: W) -> io::Result<TraceWriter<W>> {
        TraceWriter::begin(to, summary)
    }

    /// The request that delivers a trace with this body, which is not compressed.
    pub fn request(&self, body: Vec<u8>) -> Request {
        let mut headers: Vec<(HeaderName, HeaderValue)> = self.options.credentials.iter().cloned().collect();
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        Request { method: Method::POST, url: self.url.clone(), headers, body }
    }

    /// What a response says about the trace of its request.
    pub fn outcome(&self, response: &Response) -> Outcome {
        let reason = explain(response);
        match response.status {
            200 | 202 => Outcome::DELIVERED,
            400 | 409 | 413 | 422 => Outcome::Rejected { reason },
            501 | 505 => Outcome::Parked { reason },
            408 | 425 | 429 | 500..=599 => Outcome::Retry { after: response.retry_after, reason },
            200..300 => {
                Outcome::Parked { reason: reason + ", and Prela says by 200 or 202 that it has a trace" }
            }
            _ => Outcome::Parked { reason },
        }
    }
}

fn explain(response: &Response) -> String {
    let name = StatusCode::from_u16(response.status).ok().and_then(|status| status.canonical_reason());
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    match response.excerpt().as_str() {
        "" => format!("it answered {}{name}", response.status),
        said => format!("it answered {}{name}: {said}", response.status),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sink::tests::span;

    fn prela(options: &PrelaOptions) -> Prela {
        Prela::new(&Url::parse("https://api.example/v1/traces").unwrap(), options)
    }

    fn headers(request: &Request) -> Vec<(&str, &str)> {
        request.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_trace_is_one_request_with_the_key_or_the_token_or_neither() {
        let request = |options: PrelaOptions| prela(&options).request(b"{}".to_vec());
        let none = request(PrelaOptions::default());
        assert_eq!(
            (none.method.as_str(), none.url.path(), &none.body[..]),
            ("POST", "/v1/traces", &b"{}"[..])
        );
        assert_eq!(headers(&none), [("content-type", "application/json")]);
        let key = request(PrelaOptions::default().with_api_key("secret").unwrap());
        assert_eq!(headers(&key)[0], ("x-api-key", "secret"));
        let token = request(PrelaOptions::default().with_bearer_token("secret").unwrap());
        assert_eq!(headers(&token)[0], ("authorization", "Bearer secret"));
        let shown = format!("{key:?} {:?}", prela(&PrelaOptions::default().with_api_key("secret").unwrap()));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn the_body_is_written_span_by_span() {
        let prela = prela(&PrelaOptions::default().compressed(true));
        assert!(prela.is_compressed());
        let resource = Resource::named("shop");
        let spans: Vec<_> = (1..=3).map(|number| prela.span(&span(number), &resource)).collect();
        let summary = TraceSummary::of(spans.clone()).unwrap();
        let mut body = prela.head(&summary, Vec::new()).unwrap();
        spans.iter().for_each(|span| body.span(span).unwrap());
        let body: serde_json::Value = serde_json::from_slice(&body.end().unwrap()).unwrap();
        assert_eq!((&body["service_name"], &body["status"]), (&"shop".into(), &"SUCCESS".into()));
        assert_eq!(body["spans"].as_array().unwrap().len(), 3);
        assert_eq!(body["spans"][2]["attributes"]["service.name"], "shop");
    }

    #[test]
    fn every_status_has_the_outcome_that_the_table_says() {
        let prela = prela(&PrelaOptions::default());
        for status in 100..=999 {
            let retry_after = Some(Duration::from_secs(2));
            let response = Response { status, retry_after, body: b"why".to_vec(), ..Response::default() };
            let outcome = match prela.outcome(&response) {
                Outcome::Delivered { .. } => "delivered",
                Outcome::Retry { after, .. } => {
                    assert_eq!(after, retry_after);
                    "retry"
                }
                Outcome::Rejected { .. } => "rejected",
                Outcome::Parked { .. } => "parked",
            };
            let expected = match status {
                200 | 202 => "delivered",
                400 | 409 | 413 | 422 => "rejected",
                408 | 425 | 429 => "retry",
                501 | 505 => "parked",
                500..=599 => "retry",
                _ => "parked",
            };
            assert_eq!(outcome, expected, "{status}");
        }
    }

    #[test]
    fn the_reason_says_what_the_server_said() {
        let prela = prela(&PrelaOptions::default());
        let reason = |status, body: &str| match prela.outcome(&Response {
            status,
            body: body.into(),
            ..Response::default()
        }) {
            Outcome::Delivered { message, .. } => message,
            Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Parked { reason } => {
                reason
            }
        };
        assert_eq!(reason(401, "no\nkey"), "it answered 401 Unauthorized: no key");
        assert_eq!(reason(503, ""), "it answered 503 Service Unavailable");
        assert_eq!(
            reason(204, ""),
            "it answered 204 No Content, and Prela says by 200 or 202 that it has a trace"
        );
        assert_eq!(reason(200, "thanks"), "");
    }
}
