//! The transport of gRPC: HTTP/2 with or without TLS, through a proxy where the environment names one, with limits.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, TE, USER_AGENT};
use hyper::http::response::Parts;
use hyper::{Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{self, ResponseFuture};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioExecutor;
use reqwest::Url;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::Status;
use crate::error::with_causes;
use crate::sink::conceal::Secrets;
use crate::sink::http::{self, Limits, Transport, is_loopback, tls, tls_of_nobody};
use crate::sink::{Response, retry_after};

const CONTENT_TYPE_GRPC: &str = "application/grpc";

/// One method of one server, and the way there.
pub(in crate::sink) struct Channel {
    method: Uri,
    headers: HeaderMap,
    limits: Limits,
    is_plain: bool,
    tls: ClientConfig,
    proxy: Option<Intercept>,
    client: Client,
    /// Whether a call had no answer in time.
    is_silent: AtomicBool,
}

/// What came back.
#[derive(Debug)]
pub(in crate::sink) enum Reply {
    /// A status, and the message with it if there is a whole one.
    Grpc(Status, Option<Vec<u8>>),
    /// No gRPC: what speaks plain HTTP, a proxy in between perhaps, has answered.
    Http(Response),
}

enum Client {
    Direct(Over<HttpConnector>),
    /// The proxy may speak TLS itself.
    Tunnelled(Over<Tunnel<HttpsConnector<HttpConnector>>>),
}

/// A client whose connections to servers lie in those that `C` makes.
type Over<C> = Box<legacy::Client<HttpsConnector<C>, Full<Bytes>>>;

impl Channel {
    /// To `path` at the server of `url`, with `metadata` in each call. Nothing is sent yet.
    pub(in crate::sink) fn open(
        url: &Url,
        path: &str,
        metadata: HeaderMap,
        transport: &Transport,
    ) -> io::Result<Self> {
        let tls = match url.scheme() {
            "https" => tls(transport)?,
            // Nobody is asked for a certificate.
            _ => tls_of_nobody().map_err(io::Error::other)?,
        };
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default());
        // With its port also if that is implied: a tunnel has to be told.
        let method = format!("{}://{host}:{}{path}", url.scheme(), port.unwrap_or_default());
        let method: Uri = method.parse().map_err(io::Error::other)?;
        let proxy = if is_loopback(url) { None } else { Matcher::from_env().intercept(&method) };
        let mut headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(http::USER_AGENT))]);
        headers.extend(metadata);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_GRPC));
        if !transport.is_plain {
            headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
        }
        let (limits, is_plain) = (transport.limits, transport.is_plain);
        let client = client(&limits, &tls, proxy.as_ref());
        Ok(Channel {
            method,
            headers,
            limits,
            is_plain,
            tls,
            proxy,
            client,
            is_silent: AtomicBool::new(false),
        })
    }

    /// Whether messages are sent as they are, and not compressed.
    pub(in crate::sink) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// With another connection, if there was no answer in time: that one may be dead and nobody have noticed, and the next call is not to wait on it
    /// too.
    pub(in crate::sink) fn ready(&mut self) -> &Self {
        if std::mem::take(self.is_silent.get_mut()) {
            self.client = client(&self.limits, &self.tls, self.proxy.as_ref());
        }
        self
    }

    /// Sends a message in its frame, with `metadata` beside what every call has, and reads what comes back; or why nothing did that counts.
    pub(in crate::sink) async fn call(&self, frame: Vec<u8>, metadata: HeaderMap) -> Result<Reply, String> {
        if let Ok(reply) = timeout(self.limits.request, self.exchange(frame, metadata)).await {
            return reply;
        }
        // Read by who owns the channel alone, once no call is under way.
        self.is_silent.store(true, Ordering::Relaxed);
        Err("no answer in time".to_owned())
    }

    async fn exchange(&self, frame: Vec<u8>, metadata: HeaderMap) -> Result<Reply, String> {
        let mut request = Request::post(&self.method)
            .body(Full::new(Bytes::from(frame)))
            .map_err(|error| with_causes(&error))?;
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().extend(metadata);
        let (head, body) = self.client.request(request).await.map_err(reason)?.into_parts();
        let body = match Status::of(&head.headers) {
            // It is over with its head.
            Some(_) => Body::default(),
            None => Body::read(body, self.limits.body_max).await,
        };
        Reply::of(&head, body, &Secrets::of(&self.headers))
    }
}

impl Reply {
    /// What an answer is, without what the server was told in confidence; or why it does not count.
    pub(in crate::sink) fn of(head: &Parts, mut body: Body, secrets: &Secrets) -> Result<Self, String> {
        if let Some(status) = Status::of(&head.headers) {
            return Ok(Reply::Grpc(status.without(secrets), None));
        }
        if let Some(status) = Status::of(&body.trailers) {
            return Ok(Reply::Grpc(status.without(secrets), super::message(&body.bytes).map(<[u8]>::to_vec)));
        }
        let header = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let media_type = header(CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default();
        let media_type = media_type.trim().to_ascii_lowercase();
        if head.status.as_u16() == 200 && media_type.starts_with(CONTENT_TYPE_GRPC) {
            return Err(body.broken.unwrap_or_else(|| "its answer has no status".to_owned()));
        }
        secrets.conceal(&mut body.bytes);
        Ok(Reply::Http(Response {
            status: head.status.as_u16(),
            media_type,
            retry_after: header(RETRY_AFTER).and_then(|value| retry_after::wait(value, SystemTime::now())),
            forbids_retry: false,
            whole: body.broken.is_none(),
            body: body.bytes,
        }))
    }
}

impl Client {
    fn request(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        match self {
            Client::Direct(client) => client.request(request),
            Client::Tunnelled(client) => client.request(request),
        }
    }
}

/// A client without a connection. It makes one when it is asked, and again when that one has ended.
fn client(limits: &Limits, tls: &ClientConfig, proxy: Option<&Intercept>) -> Client {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(limits.connect));
    let mut to_server = tls.clone();
    to_server.alpn_protocols = vec![b"h2".to_vec()];
    let to_server = Arc::new(to_server);
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.http2_only(true);
    let Some(proxy) = proxy else {
        return Client::Direct(Box::new(builder.build(HttpsConnector::from((tcp, to_server)))));
    };
    let to_proxy = HttpsConnector::from((tcp, Arc::new(tls.clone())));
    let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
    if let Some(credentials) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(credentials.clone());
    }
    Client::Tunnelled(Box::new(builder.build(HttpsConnector::from((tunnel, to_server)))))
}

/// The body of a response, as far as it was read.
#[derive(Default)]
pub(in crate::sink) struct Body {
    bytes: Vec<u8>,
    /// They end it: where there are any, all of it was read.
    trailers: HeaderMap,
    /// Why that is not all of it.
    broken: Option<String>,
}

impl Body {
    /// One that was read to its end.
    pub(in crate::sink) fn whole(bytes: Vec<u8>, trailers: HeaderMap) -> Self {
        Body { bytes, trailers, broken: None }
    }

    async fn read(mut incoming: Incoming, len_max: usize) -> Self {
        let mut body = Body::default();
        while let Some(frame) = incoming.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    body.broken = Some(with_causes(&error));
                    break;
                }
            };
            match frame.into_data() {
                Ok(data) if body.bytes.len() + data.len() <= len_max => body.bytes.extend_from_slice(&data),
                Ok(_) => {
                    body.broken = Some(format!("its answer is longer than {len_max} bytes"));
                    break;
                }
                Err(frame) => body.trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        body
    }
}

/// Why nothing came back.
fn reason(error: legacy::Error) -> String {
    // "client error" says nothing; its causes do.
    std::error::Error::source(&error).map_or_else(|| error.to_string(), with_causes)
}

impl fmt::Debug for Channel {
    /// Without the values of headers, and the proxy, whose address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("method", &self.method)
            .field("limits", &self.limits)
            .field("is_plain", &self.is_plain)
            .finish_non_exhaustive()
    }
}
