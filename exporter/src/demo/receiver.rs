//! A server on loopback that takes what is delivered over HTTP, and answers as it is told.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// No request is longer than this, in bytes, neither before nor after it is decompressed.
const REQUEST_LEN_MAX: usize = 64 * 1024 * 1024;

/// What was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// The method: `POST`.
    pub method: String,
    /// The path: `/v1/traces`.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed if it was gzip.
    pub body: Vec<u8>,
}

impl Received {
    /// The value of the first header with this name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What to answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long to wait before.
    pub delay: Duration,
    /// How long to wait before each byte of the body. It comes in one piece where that is no time at all.
    pub pause: Duration,
    /// When the connection breaks, if it does.
    pub breaks: Option<Break>,
}

/// When a connection breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Break {
    /// Before anything is answered.
    AtOnce,
    /// Behind the body, which comes byte by byte, and of which one more was announced.
    InBody,
}

impl Answer {
    /// None, at once.
    pub fn broken() -> Self {
        Answer { breaks: Some(Break::AtOnce), ..Answer::status(500) }
    }

    /// This status and nothing else, at once.
    pub fn status(status: u16) -> Self {
        let [delay, pause] = [Duration::ZERO; 2];
        Answer { status, headers: Vec::new(), body: Vec::new(), delay, pause, breaks: None }
    }
}

type Answers = Mutex<dyn FnMut(Received) -> Answer + Send>;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts a server on a free port of 127.0.0.1 that answers each request as `answer` says.
    ///
    /// # Errors
    ///
    /// When there is no port or no thread.
    pub fn start(answer: impl FnMut(Received) -> Answer + Send + 'static) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), answer)
    }

    /// Starts such a server at this address, where another may have been before.
    ///
    /// # Errors
    ///
    /// When somebody listens there, or there is no thread.
    pub fn start_at(
        address: SocketAddr,
        answer: impl FnMut(Received) -> Answer + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let answers: Arc<Answers> = Arc::new(Mutex::new(answer));
        let thread = thread::Builder::new().name("receiver".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, answers) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Receiver { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The server sees that the sender is gone. A panic of its thread has been reported when it happened.
        drop(self.stop.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

async fn accept(listener: TcpListener, answers: Arc<Answers>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, Arc::clone(&answers)))),
            // Out of descriptors, most likely: connections that end give some back.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(stream: TcpStream, answers: Arc<Answers>) {
    let service = service_fn(|request| respond(request, &answers));
    // A connection that breaks is the client's to notice.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn respond(request: Request<Incoming>, answers: &Answers) -> io::Result<Response<Pieces>> {
    let answer = match receive(request).await {
        Ok(received) => {
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers(received)
        }
        Err(error) => Answer { body: error.to_string().into_bytes(), ..Answer::status(400) },
    };
    // A timer of no time may take a millisecond.
    if !answer.delay.is_zero() {
        sleep(answer.delay).await;
    }
    if answer.breaks == Some(Break::AtOnce) {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let is_cut = answer.breaks == Some(Break::InBody);
    Ok(response.body(Pieces::new(answer.body, answer.pause, is_cut)).unwrap_or_else(|_| {
        let mut response = Response::new(Pieces::new(Vec::new(), Duration::ZERO, false));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    }))
}

/// The body of an answer, on its way.
struct Pieces {
    rest: Bytes,
    pause: Duration,
    /// Until when the next byte waits, or the break: what was before it is sent meanwhile.
    waits: Pin<Box<Sleep>>,
    is_cut: bool,
}

impl Pieces {
    fn new(body: Vec<u8>, pause: Duration, is_cut: bool) -> Self {
        // A timer of no time may be ready at once.
        let pause = if is_cut { pause.max(Duration::from_millis(1)) } else { pause };
        Pieces { rest: body.into(), pause, waits: Box::pin(sleep(pause)), is_cut }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.rest.is_empty() && !self.is_cut {
            return Poll::Ready(None);
        }
        let mut piece_len = self.rest.len();
        if !self.pause.is_zero() {
            ready!(self.waits.as_mut().poll(cx));
            self.waits = Box::pin(sleep(self.pause));
            piece_len = piece_len.min(1);
        }
        Poll::Ready(Some(match piece_len {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Ok(Frame::data(self.rest.split_to(piece_len))),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && !self.is_cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64 + u64::from(self.is_cut))
    }
}

async fn receive(request: Request<Incoming>) -> io::Result<Received> {
    let (parts, body) = request.into_parts();
    let mut headers = Vec::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        headers.push((name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    }
    let body = Limited::new(body, REQUEST_LEN_MAX).collect().await.map_err(io::Error::other)?.to_bytes();
    let mut received = Received {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        headers,
        body: body.to_vec(),
    };
    if received.header("content-encoding") == Some("gzip") {
        let mut decompressed = Vec::new();
        let limit = REQUEST_LEN_MAX as u64 + 1;
        GzDecoder::new(body.as_ref()).take(limit).read_to_end(&mut decompressed)?;
        if decompressed.len() > REQUEST_LEN_MAX {
            return Err(io::Error::other("the request is too long"));
        }
        received.body = decompressed;
    }
    Ok(received)
}
