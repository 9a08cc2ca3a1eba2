//! OpenAI's traces, as the OpenAI Agents SDK fills them: JSON to `/v1/traces/ingest`.
//!
//! | answer | outcome | the SDK |
//! |---|---|---|
//! | 2xx | delivered | the same |
//! | 408, 409, 425, 429, 5xx | retry, after the wait that `Retry-After-Ms` or `Retry-After` asks for | three attempts but for 425, of which it makes one; after 5xx it does not heed the wait; then it drops the batch |
//! | the same with `X-Should-Retry: false` | parked | drops the batch |
//! | no answer: no connection, a reset, no answer within 60 s | retry | three attempts, then it drops the batch |
//! | 400, 413, 422 | rejected: the batch would be refused again, and its halves may be taken | drops the batch |
//! | any other status, 401 and 403 above all | parked: every batch would be refused | drops the batch; redirects are tried three times |
//!
//! A request has at most 128 items, as the SDK's: 64 spans, since each may need the record of another trace beside it. What it says does not depend
//! on what was sent before, so that it is the same after a restart. Identities are all that the server can know a span by that comes twice.
//!
//! The body is not compressed, as the SDK's is not. Only what goes to OpenAI's own address is [sanitized](crate::openai_agents::sanitized), as by the SDK. Its user agent
//! is spanring's.

pub(super) mod address;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value as Json;

use super::http::{Limits, Transport, excerpt};
use super::{Batch, HttpApi, OpenAiOptions, Outcome, Request, Response};
use crate::Error;
use crate::openai_agents::{items, request, sanitized, to_json};

/// Where the SDK sends to.
const DEFAULT: &str = "https://api.openai.com";
const PATH: &str = "/v1/traces/ingest";
/// No request has more items.
const ITEMS_MAX: usize = 128;

/// OpenAI's traces, or a server that takes the same.
#[derive(Clone, Debug)]
pub struct OpenAi {
    ingest: Url,
    is_openai: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl OpenAi {
    /// The server whose base is `url`: `/v1/traces/ingest` is added to its path.
    ///
    /// # Errors
    ///
    /// [`Error::Variable`] where the options have no key.
    pub fn new(url: &Url, options: &OpenAiOptions) -> Result<Self, Error> {
        let mut ingest = url.clone();
        ingest.set_path(&format!("{}{PATH}", url.path().trim_end_matches('/')));
        let is_openai = ingest.as_str().strip_suffix(PATH) == Some(DEFAULT);
        let mut headers = vec![
            (AUTHORIZATION, options.authorization()?),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (HeaderName::from_static("openai-beta"), HeaderValue::from_static("traces=v1")),
        ];
        let mut also = |name, value: &Option<HeaderValue>| {
            headers.extend(value.clone().map(|value| (HeaderName::from_static(name), value)));
        };
        also("openai-organization", &options.organization);
        also("openai-project", &options.project);
        Ok(OpenAi { ingest, is_openai, headers })
    }

    /// As the SDK reaches it.
    pub(super) fn transport() -> Transport {
        let limits =
            Limits { request: Duration::from_secs(60), connect: Duration::from_secs(5), ..Limits::default() };
        Transport { limits, is_plain: true, ..Transport::default() }
    }
}

impl HttpApi for OpenAi {
    fn url(&self) -> &Url {
        &self.ingest
    }

    fn spans_max(&self) -> usize {
        ITEMS_MAX / 2
    }

    fn request(&self, batch: &Batch<'_>) -> Request {
        let mut items = items(&batch.resource.attributes, batch.spans.as_slice());
        if self.is_openai {
            items = items.into_iter().map(sanitized).collect();
        }
        let body = to_json(&request(items)).into_bytes();
        Request { method: Method::POST, url: self.ingest.clone(), headers: self.headers.clone(), body }
    }

    fn outcome(&self, response: &Response) -> Outcome {
        match response.status {
            200..300 => Outcome::DELIVERED,
            400 | 413 | 422 => Outcome::Rejected { reason: explain(response) },
            408 | 409 | 425 | 429 | 500..=599 if !response.forbids_retry => {
                Outcome::Retry { after: response.retry_after, reason: explain(response) }
            }
            _ => Outcome::Parked { reason: explain(response) },
        }
    }
}

/// The status, and what the server says of it: `{"error":{"message":"…"}}`.
fn explain(response: &Response) -> String {
    let json = serde_json::from_slice::<Json>(&response.body).unwrap_or_default();
    let said = json["error"]["message"].as_str().map_or_else(|| response.excerpt(), excerpt);
    let name = StatusCode::from_u16(response.status).ok().and_then(|status| status.canonical_reason());
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
