//! A receiver on loopback, in this process, which keeps what it gets until it is counted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message as _;
use spanring_exporter::demo::receiver::{Answer, Receiver};
use spanring_exporter::otlp::ExportTraceServiceRequest;

pub(crate) struct Inbox {
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    receiver: Receiver,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let bodies = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let received = Arc::clone(&bodies);
        let receiver = Receiver::start(move |request| {
            received.lock().unwrap_or_else(PoisonError::into_inner).push(request.body);
            Answer::status(200)
        });
        Inbox { bodies, receiver: receiver.expect("the receiver starts") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.receiver.address()
    }

    /// How many spans it got since the last time.
    pub(crate) fn take(&self) -> u64 {
        let bodies = std::mem::take(&mut *self.bodies.lock().unwrap_or_else(PoisonError::into_inner));
        bodies.iter().map(|body| spans_in(body)).sum()
    }
}

pub(crate) fn spans_in(body: &[u8]) -> u64 {
    let request = ExportTraceServiceRequest::decode(body).expect("it is a request");
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len() as u64).sum()
}
