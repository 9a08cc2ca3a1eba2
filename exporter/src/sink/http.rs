//! The transport of sinks that speak HTTP: one connection pool, gzip, time limits, and a limit on answers.

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Body, Client, Method, Url};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt as _;
use spanring_spool::{SpanData, Value};

use super::ahead::{Ahead, Key};
use super::conceal::Secrets;
use super::gzip::gzip;
use super::retry_after;
use super::{Batch, Deliveries, Delivery, Needs, OtlpOptions, Outcome, Overview, Sink, TraceSpans, Wave};
use crate::Error;
use crate::engine::SPANS_MAX;
use crate::error::with_causes;

/// What the exporter says it is.
pub(super) const USER_AGENT: &str = concat!("spanring/", env!("CARGO_PKG_VERSION"));

/// An API over HTTP: spans in, a request out; a response in, an outcome out. It does no I/O.
pub trait HttpApi: Send {
    /// The request that delivers a batch. The same batch makes the same request.
    fn request(&self, batch: &Batch<'_>) -> Request;

    /// How many spans a request has at most: see [`Sink::spans_max`].
    fn spans_max(&self) -> usize {
        SPANS_MAX
    }

    /// What it has to know of a trace: see [`Sink::needs`]. Spans, or an overview.
    fn needs(&self) -> Needs {
        Needs::Spans
    }

    /// Is shown whole traces: see [`Sink::overview`].
    fn overview<'a>(&'a mut self, _: &'a mut dyn TraceSpans) -> Overview<'a> {
        Box::pin(async {})
    }

    /// What it knows of a span beside that: see [`Sink::known_of`].
    fn known_of(&self, _: &SpanData) -> Vec<(String, Value)> {
        Vec::new()
    }

    /// Is told what was known of a span: see [`Sink::recall`].
    fn recall(&mut self, _: &SpanData, _: &[(String, Value)]) {}

    /// How many requests may be on their way at once: see [`Sink::batches_max`].
    fn batches_max(&self) -> usize {
        1
    }

    /// What a response says about the batch of its request.
    fn outcome(&self, response: &Response) -> Outcome;

    /// The server that is asked.
    fn url(&self) -> &Url;
}

/// What to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers besides the encoding of the body, which the transport adds.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, not compressed.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The media type of the body, in lower case and without parameters; empty where none is named.
    pub media_type: String,
    /// How long the server asks to wait, at most an hour: `Retry-After-Ms`, else `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Whether the server asks not to be sent the same again: `X-Should-Retry: false`.
    pub forbids_retry: bool,
    /// The body, as far as it was read.
    pub body: Vec<u8>,
    /// Whether that is all of it. Else it was too long, or the connection broke.
    pub whole: bool,
}

impl Response {
    /// What the body says, on one short line, for a person who looks for the cause.
    pub fn excerpt(&self) -> String {
        excerpt(&String::from_utf8_lossy(&self.body))
    }
}

/// At most 200 characters of what a server said, without control characters.
pub(super) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let mut words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut excerpt = String::new();
    for word in words.by_ref() {
        if !excerpt.is_empty() {
            excerpt.push(' ');
        }
        excerpt.push_str(word);
        if let Some((cut, _)) = excerpt.char_indices().nth(CHARS_MAX) {
            excerpt.truncate(cut);
            excerpt.push('…');
            break;
        }
    }
    excerpt
}

/// What a sink that speaks HTTP waits for, and how much it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the first byte sent to the last byte read. Real receivers can be slow.
    pub(super) request: Duration,
    /// Until a connection stands.
    pub(super) connect: Duration,
    /// Of a response's body, in bytes, but for one that repeats its request.
    pub(super) body_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let [request, connect] = [30, 10].map(Duration::from_secs);
        Limits { request, connect, body_max: 4 * 1024 * 1024 }
    }
}

/// How a server is reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Transport {
    pub(super) limits: Limits,
    /// Whether bodies are sent as they are, and not compressed.
    pub(super) is_plain: bool,
    /// Who signed the server's certificate: a file of PEM, in place of the system's roots.
    pub(super) certificate: Option<PathBuf>,
    /// What the client proves itself by.
    pub(super) identity: Option<Identity>,
}

/// Files of PEM that a client proves itself by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Transport {
    /// As the options say.
    pub(super) fn of(options: &OtlpOptions) -> Self {
        let limits = Limits::default();
        let request = options.timeout.unwrap_or(limits.request);
        Transport {
            limits: Limits { request, connect: limits.connect.min(request), ..limits },
            is_plain: options.is_plain,
            certificate: options.certificate.clone(),
            identity: options.identity.clone(),
        }
    }
}

/// A sink that delivers through an API over HTTP.
#[derive(Debug)]
pub struct HttpSink<A> {
    name: String,
    api: A,
    caller: Caller,
    is_plain: bool,
    ahead: Ahead<Result<Sealed, Outcome>>,
}

/// A request as it is sent, compressed unless that is not wanted.
#[derive(Debug)]
struct Sealed {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Asks one server.
#[derive(Debug)]
pub(super) struct Caller {
    client: Client,
    limits: Limits,
}

impl<A: HttpApi> HttpSink<A> {
    /// A sink that is called `name` and asks the server of `api`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] where TLS cannot be set up.
    pub fn new(name: String, api: A) -> Result<Self, Error> {
        Self::with_transport(name, api, Transport::default())
    }

    /// As [`new`](Self::new), with the certificates, the time limit and the compression of `options`.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), and where a certificate cannot be read.
    pub fn with_options(name: String, api: A, options: &OtlpOptions) -> Result<Self, Error> {
        Self::with_transport(name, api, Transport::of(options))
    }

    pub(super) fn with_transport(name: String, api: A, transport: Transport) -> Result<Self, Error> {
        let caller = Caller::new(&name, api.url(), &transport)?;
        Ok(HttpSink { name, api, caller, is_plain: transport.is_plain, ahead: Ahead::new() })
    }

    async fn send(&mut self, batch: &Batch<'_>, next: Option<&Batch<'_>>) -> Outcome {
        let Self { api, caller, is_plain, ahead, .. } = self;
        let seal = |batch: &Batch<'_>| Sealed::new(api.request(batch), *is_plain);
        let sealed = ahead.take(batch).unwrap_or_else(|| seal(batch));
        let next = next.map(|next| (Key::of(next), move || seal(next)));
        match sealed {
            Ok(sealed) => ahead.make(next, caller.deliver(api, sealed)).await,
            Err(outcome) => outcome,
        }
    }

    async fn send_all(&mut self, wave: &mut Wave<'_>) {
        let Self { api, caller, is_plain, .. } = self;
        let (api, caller, is_plain) = (&*api, &*caller, *is_plain);
        let send = |batch: Batch<'_>| {
            let sealed = Sealed::new(api.request(&batch), is_plain);
            async move {
                match sealed {
                    Ok(sealed) => caller.deliver(api, sealed).await,
                    Err(outcome) => outcome,
                }
            }
        };
        wave.deliver(send).await;
    }
}

impl Sealed {
    fn new(request: Request, is_plain: bool) -> Result<Self, Outcome> {
        let Request { method, url, headers, body } = request;
        let mut headers: HeaderMap = headers.into_iter().collect();
        let body = match is_plain {
            true => body,
            false => {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                gzip(&body).map_err(|error| Outcome::Rejected { reason: with_causes(&error) })?
            }
        };
        Ok(Sealed { method, url, headers, body })
    }
}

impl Caller {
    /// Asks the server at `url`, for the sink that is called `name`.
    pub(super) fn new(name: &str, url: &Url, transport: &Transport) -> Result<Self, Error> {
        let client = client(url, transport).map_err(Error::sink(name, "set up TLS for"))?;
        Ok(Caller { client, limits: transport.limits })
    }

    /// What becomes of the batch of a request.
    async fn deliver(&self, api: &impl HttpApi, sealed: Sealed) -> Outcome {
        let Sealed { method, url, headers, body } = sealed;
        match self.ask(method, url, headers, body.into(), self.limits.request).await {
            Ok(response) => api.outcome(&response),
            Err(outcome) => outcome,
        }
    }

    /// Sends a request that may take so long, and reads what comes back; what it means where nothing does.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Body,
        limit: Duration,
    ) -> Result<Response, Outcome> {
        let deadline = Instant::now() + limit;
        let secrets = Secrets::of(&headers);
        let repeated = body.as_bytes().map_or(0, |body| 2 * body.len());
        let body_max = self.limits.body_max.max(repeated);
        let sent = self.client.request(method, url).headers(headers).timeout(limit).body(body).send();
        match sent.await {
            Ok(response) => {
                let mut response = read(response, deadline, body_max).await;
                // What is no failure is read by others than people.
                if response.status >= 300 {
                    secrets.conceal(&mut response.body);
                }
                Ok(response)
            }
            Err(error) if error.is_builder() => Err(Outcome::Parked { reason: reason(error) }),
            Err(error) => Err(Outcome::Retry { after: None, reason: reason(error) }),
        }
    }
}

async fn read(mut response: reqwest::Response, deadline: Instant, body_max: usize) -> Response {
    let header =
        |name: &str| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let media_type =
        header(CONTENT_TYPE.as_str()).and_then(|value| value.split(';').next()).unwrap_or_default();
    let mut read = Response {
        status: response.status().as_u16(),
        media_type: media_type.trim().to_ascii_lowercase(),
        retry_after: (header("retry-after-ms").and_then(retry_after::wait_ms))
            .or_else(|| retry_after::wait(header(RETRY_AFTER.as_str())?, SystemTime::now())),
        forbids_retry: header("x-should-retry")
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("false")),
        ..Response::default()
    };
    while Instant::now() < deadline {
        match response.chunk().await {
            Ok(Some(chunk)) if read.body.len() + chunk.len() <= body_max => {
                read.body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) | Err(_) => break,
            Ok(None) => {
                read.whole = true;
                break;
            }
        }
    }
    read
}

impl<A: HttpApi + Sync> Sink for HttpSink<A> {
    fn name(&self) -> &str {
        &self.name
    }

    fn spans_max(&self) -> usize {
        self.api.spans_max()
    }

    fn needs(&self) -> Needs {
        self.api.needs()
    }

    fn overview<'a>(&'a mut self, spans: &'a mut dyn TraceSpans) -> Overview<'a> {
        self.api.overview(spans)
    }

    fn known_of(&self, span: &SpanData) -> Vec<(String, Value)> {
        self.api.known_of(span)
    }

    fn recall(&mut self, span: &SpanData, known: &[(String, Value)]) {
        self.api.recall(span, known);
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(self.send(batch, None))
    }

    fn deliver_before<'a>(&'a mut self, batch: &'a Batch<'a>, next: Option<&'a Batch<'a>>) -> Delivery<'a> {
        Box::pin(self.send(batch, next))
    }

    fn batches_max(&self) -> usize {
        self.api.batches_max()
    }

    fn deliver_wave<'a>(&'a mut self, wave: &'a mut Wave<'_>) -> Deliveries<'a> {
        Box::pin(self.send_all(wave))
    }
}

/// Why nothing came back. The address is in every message about the sink already.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() && !error.is_connect() {
        return "no answer in time".to_owned();
    }
    // "error sending request" says nothing; its causes do.
    error.source().map_or_else(|| error.to_string(), with_causes)
}

/// A redirect is not followed: it would turn the POST into a GET. The certificates of the system are read only where
/// they are needed.
fn client(url: &Url, transport: &Transport) -> io::Result<Client> {
    let tls = match url.scheme() {
        "https" => tls(transport)?,
        // Nobody is asked for a certificate.
        _ => tls_of_nobody().map_err(io::Error::other)?,
    };
    let mut client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .connect_timeout(transport.limits.connect)
        .user_agent(USER_AGENT);
    if is_loopback(url) {
        client = client.no_proxy();
    }
    client.build().map_err(io::Error::other)
}

pub(super) fn tls(transport: &Transport) -> io::Result<ClientConfig> {
    let config = builder().map_err(io::Error::other)?;
    let config = match &transport.certificate {
        None => config.with_platform_verifier().map_err(io::Error::other)?,
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| in_file(path, &error))?;
            }
            config.with_root_certificates(roots)
        }
    };
    let Some(Identity { certificate, key }) = &transport.identity else {
        return Ok(config.with_no_client_auth());
    };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, &error))?;
    config.with_client_auth_cert(chain, private).map_err(|error| in_file(key, &error))
}

/// Trusts nobody.
pub(super) fn tls_of_nobody() -> Result<ClientConfig, rustls::Error> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

/// The certificates in a file of PEM; at least one.
fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(|found| found.collect::<Result<Vec<_>, _>>());
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(io::Error::other(format!("{} holds no certificate", path.display())))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(in_file(path, &error)),
    }
}

fn in_file(path: &Path, error: &dyn std::error::Error) -> io::Error {
    io::Error::other(format!("{}: {}", path.display(), with_causes(error)))
}

/// What runs on this machine is not reached through a proxy, whatever the environment says.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt(" no\r\n\tsuch \u{1b}[31m key "), "no such [31m key");
        assert_eq!(excerpt(&"é".repeat(300)).chars().count(), 201);
        assert_eq!(excerpt(""), "");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let is = |url| is_loopback(&Url::parse(url).unwrap());
        assert!(is("http://localhost:1") && is("http://127.8.9.1") && is("http://[::1]:4318/x"));
        assert!(!is("http://localhost.example") && !is("http://10.0.0.1"));
    }

    #[test]
    fn tls_is_set_up_without_a_process_wide_provider() {
        tls_of_nobody().unwrap();
        assert!(CryptoProvider::get_default().is_none());
    }
}
