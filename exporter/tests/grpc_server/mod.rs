//! Servers of gRPC on loopback: OTLP's service as others made it (tonic), and one that answers with any bytes.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::server::conn::http2;
use hyper::service::{HttpService, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Barrier, oneshot};
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;

/// What was sent.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) metadata: MetadataMap,
    pub(crate) request: ExportTraceServiceRequest,
}

/// How a server of OTLP is set up.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) takes_gzip: bool,
    pub(crate) request_len_max: usize,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { takes_gzip: true, request_len_max: 4 * 1024 * 1024, tls: None }
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// One of OTLP that answers each request as `answer` says.
    pub(crate) fn start(
        setup: &Setup,
        answer: impl FnMut(Received) -> Result<ExportTraceServiceResponse, Status> + Send + 'static,
    ) -> Self {
        Self::start_at(free_port(), setup, answer)
    }

    pub(crate) fn start_at(
        listener: TcpListener,
        setup: &Setup,
        answer: impl FnMut(Received) -> Result<ExportTraceServiceResponse, Status> + Send + 'static,
    ) -> Self {
        let mut service = TraceServiceServer::new(Answering(Mutex::new(answer)))
            .max_decoding_message_size(setup.request_len_max);
        if setup.takes_gzip {
            service = service.accept_compressed(CompressionEncoding::Gzip);
        }
        Self::serve(listener, setup.tls.clone(), TowerToHyperService::new(service))
    }

    /// One that answers with any bytes.
    pub(crate) fn raw(answer: impl FnMut(Request<Bytes>) -> Response<Pieces> + Send + 'static) -> Self {
        Self::together(1, answer)
    }

    /// One that answers with any bytes, to so many calls at the same time.
    pub(crate) fn together(
        count: usize,
        answer: impl FnMut(Request<Bytes>) -> Response<Pieces> + Send + 'static,
    ) -> Self {
        let answer = Arc::new(Mutex::new(answer));
        let are_there = Arc::new(Barrier::new(count));
        let service = service_fn(move |request: Request<Incoming>| {
            let (answer, are_there) = (Arc::clone(&answer), Arc::clone(&are_there));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                are_there.wait().await;
                let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
                Ok::<_, hyper::Error>(answer(Request::from_parts(head, body)))
            }
        });
        Self::serve(free_port(), None, service)
    }

    fn serve<S>(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, service: S) -> Self
    where
        S: HttpService<Incoming, ResBody: Body<Data = Bytes, Error: Into<Error>> + Send + 'static>
            + Clone
            + Send
            + 'static,
        S::Error: Into<Error>,
        S::Future: Send + 'static,
        <S::ResBody as Body>::Data: Send,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let accept = async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (tls, service) = (tls.clone(), service.clone());
                    drop(tokio::spawn(async move {
                        match tls {
                            None => connection(stream, service).await,
                            // Clients that do not come to an understanding are to notice that themselves.
                            Some(tls) => {
                                // As gRPC demands, a client says that it speaks HTTP/2.
                                if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await
                                    && stream.get_ref().1.alpn_protocol() == Some(b"h2")
                                {
                                    connection(stream, service).await;
                                }
                            }
                        }
                    }));
                }
            };
            runtime.block_on(async {
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        });
        Server { address, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A connection that breaks is the client's to notice.
async fn connection<S>(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, service: S)
where
    S: HttpService<Incoming, ResBody: Body<Data: Send, Error: Into<Error>> + Send + 'static>,
    S::Error: Into<Error>,
    S::Future: Send + 'static,
{
    drop(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
}

pub(crate) fn free_port() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

struct Answering<F>(Mutex<F>);

#[tonic::async_trait]
impl<F> TraceService for Answering<F>
where
    F: FnMut(Received) -> Result<ExportTraceServiceResponse, Status> + Send + 'static,
{
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let mut answer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answer(Received { metadata, request }).map(tonic::Response::new)
    }
}

/// The body of a response in pieces, of which one may be its failure.
#[derive(Default)]
pub(crate) struct Pieces(VecDeque<io::Result<Frame<Bytes>>>);

impl Pieces {
    /// What lies behind one another, with these trailers.
    pub(crate) fn new(data: impl Into<Bytes>, trailers: &[(&'static str, &str)]) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in trailers {
            headers.insert(*name, value.parse().unwrap());
        }
        Pieces(VecDeque::from([Ok(Frame::data(data.into())), Ok(Frame::trailers(headers))]))
    }

    /// What ends in a reset.
    pub(crate) fn broken(data: impl Into<Bytes>) -> Self {
        let reset = io::ErrorKind::ConnectionReset.into();
        Pieces(VecDeque::from([Ok(Frame::data(data.into())), Err(reset)]))
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}
