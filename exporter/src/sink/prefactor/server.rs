//! Prefactor's server, asked over HTTP.

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value as Json;

use super::super::http::{Caller, Limits, Transport};
use super::super::prefactor_answer::{self, Answered, Asked};
use super::super::{Outcome, PrefactorOptions, Response};
use crate::Error;

/// By this header every client of Prefactor's says which it is.
const SDK: HeaderName = HeaderName::from_static("x-prefactor-sdk");
const SPANRING: HeaderValue = HeaderValue::from_static(concat!("spanring@", env!("CARGO_PKG_VERSION")));

pub(super) struct Server {
    url: Url,
    headers: HeaderMap,
    caller: Caller,
}

impl Server {
    /// The one whose API lies below this URL, for the sink that is called `name`. Nothing is sent yet.
    pub(super) fn new(name: &str, url: &Url, options: &PrefactorOptions) -> Result<Self, Error> {
        let caller = Caller::new(name, url, &Transport::default())?;
        let json = HeaderValue::from_static("application/json");
        let mut headers =
            HeaderMap::from_iter([(ACCEPT, json.clone()), (CONTENT_TYPE, json), (SDK, SPANRING)]);
        if let Some(authorization) = &options.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Ok(Server { url: url.clone(), headers, caller })
    }

    pub(super) async fn post(&self, asked: Asked, path: &[&str], body: &Json) -> Result<Answered, Outcome> {
        let response = self.ask(Method::POST, path, body.to_string()).await?;
        prefactor_answer::read(asked, &response)
    }

    pub(super) async fn ask(&self, method: Method, path: &[&str], body: String) -> Result<Response, Outcome> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        self.caller.ask(method, url, self.headers.clone(), body.into(), Limits::default().request).await
    }
}
