//! SpanForge's cloud and web hooks.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use spanring_spool::{SpanData, Value};

use super::address::EVENTS;
use super::events::Events;
use super::options::{API_KEY, SpanForgeOptions};
use crate::Error;
use crate::sink::{Batch, HttpApi, Needs, Outcome, Overview, Request, Response, TraceSpans};
use crate::spanforge::Event;

const SDK: HeaderName = HeaderName::from_static("x-spanforge-sdk");
const SIGNATURE: HeaderName = HeaderName::from_static("x-spanforge-signature");

/// SpanForge's cloud.
#[derive(Clone, Debug)]
pub struct SpanForgeCloud {
    url: Url,
    authorization: HeaderValue,
    events: Events,
}

impl SpanForgeCloud {
    /// The cloud whose base is `url`: `/v1/events` is added to its path, unless it is whole.
    ///
    /// # Errors
    ///
    /// [`Error::Variable`] where the options have no key.
    pub fn new(url: &Url, is_whole: bool, options: &SpanForgeOptions) -> Result<Self, Error> {
        let Some(authorization) = options.authorization.clone() else {
            let reason = "SpanForge's cloud cannot be asked without, and no key is set for this address";
            return Err(Error::Variable { name: API_KEY.to_owned(), reason: reason.to_owned() });
        };
        let mut whole = url.clone();
        if !is_whole {
            whole.set_path(&format!("{}{EVENTS}", url.path().trim_end_matches('/')));
        }
        Ok(SpanForgeCloud { url: whole, authorization, events: Events::new(options) })
    }
}

impl HttpApi for SpanForgeCloud {
    fn url(&self) -> &Url {
        &self.url
    }

    fn request(&self, batch: &Batch<'_>) -> Request {
        let lines: Vec<_> = self.events.of(batch).iter().map(Event::to_line).collect();
        let headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson; charset=utf-8")),
            (AUTHORIZATION, self.authorization.clone()),
            (SDK, HeaderValue::from_static("python")),
        ];
        let body = lines.join("\n").into_bytes();
        Request { method: Method::POST, url: self.url.clone(), headers, body }
    }

    fn needs(&self) -> Needs {
        Needs::Overview
    }

    fn overview<'a>(&'a mut self, spans: &'a mut dyn TraceSpans) -> Overview<'a> {
        Box::pin(self.events.overview(spans))
    }

    fn known_of(&self, span: &SpanData) -> Vec<(String, Value)> {
        self.events.known_of(span)
    }

    fn recall(&mut self, span: &SpanData, known: &[(String, Value)]) {
        self.events.recall(span, known);
    }

    fn outcome(&self, response: &Response) -> Outcome {
        outcome(response)
    }
}

/// Whoever listens at a URL.
#[derive(Clone, Debug)]
pub struct SpanForgeWebhook {
    url: Url,
    events: Events,
}

impl SpanForgeWebhook {
    /// The web hook at `url`.
    pub fn new(url: &Url, options: &SpanForgeOptions) -> Self {
        SpanForgeWebhook { url: url.clone(), events: Events::new(options) }
    }
}

impl HttpApi for SpanForgeWebhook {
    fn url(&self) -> &Url {
        &self.url
    }

    fn request(&self, batch: &Batch<'_>) -> Request {
        let events: Vec<_> = self.events.of(batch).iter().map(Event::to_json).collect();
        let body = match events.as_slice() {
            [event] => event.clone(),
            events => format!("[{}]", events.join(",")),
        };
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        if let Some(secret) = &self.events.options.webhook_secret {
            let signature = HeaderValue::try_from(secret.sign(body.as_bytes()));
            headers.push((SIGNATURE, signature.expect("hexadecimal digits are allowed in a header")));
        }
        Request { method: Method::POST, url: self.url.clone(), headers, body: body.into_bytes() }
    }

    fn needs(&self) -> Needs {
        Needs::Overview
    }

    fn overview<'a>(&'a mut self, spans: &'a mut dyn TraceSpans) -> Overview<'a> {
        Box::pin(self.events.overview(spans))
    }

    fn known_of(&self, span: &SpanData) -> Vec<(String, Value)> {
        self.events.known_of(span)
    }

    fn recall(&mut self, span: &SpanData, known: &[(String, Value)]) {
        self.events.recall(span, known);
    }

    fn outcome(&self, response: &Response) -> Outcome {
        outcome(response)
    }
}

fn outcome(response: &Response) -> Outcome {
    match response.status {
        200..300 => Outcome::DELIVERED,
        400 | 413 | 422 => Outcome::Rejected { reason: explain(response) },
        501 | 505 => Outcome::Parked { reason: explain(response) },
        408 | 425 | 429 | 500..=599 => {
            Outcome::Retry { after: response.retry_after, reason: explain(response) }
        }
        _ => Outcome::Parked { reason: explain(response) },
    }
}

fn explain(response: &Response) -> String {
    let name = StatusCode::from_u16(response.status).ok().and_then(|status| status.canonical_reason());
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    let said = match response.excerpt() {
        said if said.is_empty() => said,
        said => format!(": {said}"),
    };
    format!("it answered {}{name}{said}", response.status)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_status_has_the_outcome_of_the_table() {
        for status in 100..1000 {
            let wait = Some(Duration::from_secs(3));
            let response =
                Response { status, retry_after: wait, body: b"no\n".to_vec(), ..Response::default() };
            let got = outcome(&response);
            let is_right = match status {
                200..=299 => got == Outcome::DELIVERED,
                400 | 413 | 422 => matches!(got, Outcome::Rejected { .. }),
                408 | 425 | 429 => matches!(got, Outcome::Retry { after, .. } if after == wait),
                501 | 505 => matches!(got, Outcome::Parked { .. }),
                500..=599 => matches!(got, Outcome::Retry { after, .. } if after == wait),
                _ => matches!(got, Outcome::Parked { .. }),
            };
            assert!(is_right, "{status}: {got:?}");
        }
        let response = Response { status: 401, body: b"wrong\nkey".to_vec(), ..Response::default() };
        assert_eq!(explain(&response), "it answered 401 Unauthorized: wrong key");
        assert_eq!(explain(&Response { status: 404, ..Response::default() }), "it answered 404 Not Found");
    }
}
