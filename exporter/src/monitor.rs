//! Lets others watch an exporter over HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `GET /metrics` | 200 with the [`metrics`] |
//! | `GET /healthz` | 200, or 503 where the exporter is stuck: to start it again may help |
//! | `GET /readyz` | 200 while it delivers; 503 before and after that, and while a sink takes nothing until somebody changes something |
//! | another path | 404 |
//! | another method, but for `HEAD` | 405 |
//!
//! Of several spools they say the worst, and of which it is. One whose exporter has ended, while others go on, leaves the process alive and not ready.
//!
//! The health answers are a line that says why. A sink that is out leaves an exporter ready: to sit that out is what it is there for. One that is
//! parked does not: with wrong credentials, say, a rollout should not go on.
//!
//! It has a thread of its own, so that it answers where the exporter is stuck, and holds up no delivery. A connection is for one request, which is
//! short and comes soon, or the connection ends; no more than so many are open at a time, and others wait.

mod health;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use spanring_spool::SpoolDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use self::health::Spool;
use crate::Error;
use crate::engine::Status;
use crate::metrics::{self, Rooms, SpoolSnapshot, exposition};

/// How many connections are open at a time. Others wait until one of them ends.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to send its request.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// How long a connection stands at most.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// No request line and headers are longer together, in bytes.
const REQUEST_LEN_MAX: usize = 16 * 1024;
/// How long to wait where no connection can be accepted: for want of descriptors, most likely, and others give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const NOTHING_YET: &str = "nothing to deliver yet";

const PLAIN: &str = "text/plain; charset=utf-8";

/// A server that shows how an exporter stands, until it is dropped.
#[must_use = "it ends when it is dropped"]
pub struct Monitor {
    address: SocketAddr,
    shown: Arc<Shown>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What there is to show.
struct Shown {
    started: SystemTime,
    /// The exporters that are watched, one a spool.
    watched: Mutex<Vec<Watched>>,
}

/// An exporter that is watched.
#[derive(Clone)]
struct Watched {
    spool: PathBuf,
    status: Status,
    rooms: Rooms,
    since: Instant,
}

impl Monitor {
    /// Listens at this address; with port 0, at a port that is free. There is nothing to see until it [watches](Self::watch) an exporter.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`], where somebody else listens there among others.
    pub fn start(address: SocketAddr) -> Result<Self, Error> {
        Self::listen(address).map_err(|source| Error::Listen { address, source })
    }

    fn listen(address: SocketAddr) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let shown = Arc::new(Shown { started: SystemTime::now(), watched: Mutex::default() });
        let (stop, stopped) = oneshot::channel();
        let showing = Arc::clone(&shown);
        let thread = thread::Builder::new().name("monitor".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, showing) => {}
                    // The sender is gone.
                    _ = stopped => {}
                }
            });
            // A disk that does not answer is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Monitor { address, shown, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows this exporter of this spool from now on, in place of those before.
    pub fn watch(&self, spool: &SpoolDir, status: Status) {
        self.watch_all([(spool.clone(), status)]);
    }

    /// Shows these exporters, one a spool, from now on, in place of those before.
    pub fn watch_all(&self, exporters: impl IntoIterator<Item = (SpoolDir, Status)>) {
        let since = Instant::now();
        let watched = |(spool, status): (SpoolDir, Status)| {
            let path = spool.path().to_owned();
            Watched { spool: path, status, rooms: Rooms::of(spool), since }
        };
        let watched = exporters.into_iter().map(watched).collect();
        *self.shown.watched.lock().unwrap_or_else(PoisonError::into_inner) = watched;
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // The server sees that the sender is gone. A panic of its thread has been reported when it happened.
        drop(self.stop.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

async fn accept(listener: TcpListener, shown: Arc<Shown>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shown = Arc::clone(&shown);
                drop(tokio::spawn(async move {
                    // A connection that breaks, or takes too long, is the client's to notice.
                    drop(timeout(CONNECTION_TIME, serve(stream, &shown)).await);
                    drop(place);
                }));
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(stream: TcpStream, shown: &Shown) {
    let service = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(shown.answer(request.method(), request.uri().path()).await)
    });
    drop(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_TIME)
            .max_buf_size(REQUEST_LEN_MAX)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

impl Shown {
    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        match path {
            "/metrics" | "/healthz" | "/readyz" if !is_read => {
                let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is\n".to_owned());
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
            "/metrics" => respond(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics().await),
            "/healthz" => {
                let spools = self.snapshots();
                match spools.is_empty() {
                    true => verdict(Ok(NOTHING_YET.to_owned())),
                    false => verdict(health::alive(&spools, Instant::now())),
                }
            }
            "/readyz" => {
                let spools = self.snapshots();
                match spools.is_empty() {
                    true => verdict(Err(NOTHING_YET.to_owned())),
                    false => verdict(health::ready(&spools)),
                }
            }
            _ => {
                respond(StatusCode::NOT_FOUND, PLAIN, "there are /metrics, /healthz and /readyz\n".to_owned())
            }
        }
    }

    async fn metrics(&self) -> String {
        // All at once: each may wait for its disk.
        let looking = |Watched { spool, status, rooms, .. }| {
            let taken = tokio::spawn(async move { rooms.taken().await });
            (spool, status, taken)
        };
        let looking: Vec<_> = self.watched().into_iter().map(looking).collect();
        let mut spools = Vec::new();
        for (spool, status, taken) in looking {
            let taken = taken.await.unwrap_or_default();
            spools.push(SpoolSnapshot { spool, snapshot: status.now(), taken });
        }
        if spools.is_empty() {
            // Nothing is delivered yet, which is something to show.
            spools.push(SpoolSnapshot::default());
        }
        exposition(&spools, self.started, SystemTime::now())
    }

    fn snapshots(&self) -> Vec<Spool> {
        let spool =
            |Watched { spool, status, since, .. }| Spool { path: spool, snapshot: status.now(), since };
        self.watched().into_iter().map(spool).collect()
    }

    fn watched(&self) -> Vec<Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn verdict(verdict: Result<String, String>) -> Response<Full<Bytes>> {
    let (status, Ok(why) | Err(why)) = match verdict {
        Ok(_) => (StatusCode::OK, verdict),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, verdict),
    };
    respond(status, PLAIN, why + "\n")
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
