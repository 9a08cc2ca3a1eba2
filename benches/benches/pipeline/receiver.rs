//! The receiver: counts spans by their numbers, or fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use prost::Message;
use spanring_exporter::demo::receiver::{Answer, Receiver};

/// What has arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    /// How many different spans.
    pub(crate) unique: u64,
    /// How many came once more.
    pub(crate) again: u64,
    /// How many requests were answered that this is not the time.
    pub(crate) refused: u64,
    /// Whether a request was taken after one was refused.
    pub(crate) accepted_after_outage: bool,
    /// When the newest of them ended.
    pub(crate) newest: SystemTime,
}

struct State {
    count: Count,
    fails: bool,
    /// A bit for each number.
    arrived: Vec<u64>,
}

/// A receiver that counts.
pub(crate) struct Counting {
    state: Arc<Mutex<State>>,
    receiver: Receiver,
}

impl Counting {
    /// Counts spans with numbers below `total`.
    pub(crate) fn start(total: u64) -> Self {
        let count = Count {
            unique: 0,
            again: 0,
            refused: 0,
            accepted_after_outage: false,
            newest: SystemTime::now(),
        };
        let words = usize::try_from(total.div_ceil(64)).expect("a bitmap fits into memory");
        let state = Arc::new(Mutex::new(State { count, fails: false, arrived: vec![0; words] }));
        let shared = Arc::clone(&state);
        let receiver = Receiver::start(move |request| lock(&shared).answer(&request.body));
        Counting { state, receiver: receiver.expect("the receiver starts") }
    }

    pub(crate) fn sink(&self) -> String {
        format!("otlp+http://{}", self.receiver.address())
    }

    pub(crate) fn fail(&self, fails: bool) {
        lock(&self.state).fails = fails;
    }

    pub(crate) fn count(&self) -> Count {
        lock(&self.state).count
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn answer(&mut self, body: &[u8]) -> Answer {
        if self.fails {
            self.count.refused += 1;
            return Answer::status(503);
        }
        self.count.accepted_after_outage = self.count.refused > 0;
        let request = Request::decode(body).expect("it is a request");
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        for span in scopes.flat_map(|scope| &scope.spans) {
            self.add(span);
        }
        Answer::status(200)
    }

    fn add(&mut self, span: &Span) {
        let identity: [u8; 8] = span.span_id.as_slice().try_into().expect("a span has an identity");
        let number = u64::from_le_bytes(identity) - 1;
        // The threads' runs have no place there.
        let Some(word) = usize::try_from(number / 64).ok().and_then(|word| self.arrived.get_mut(word)) else {
            return;
        };
        let bit = 1 << (number % 64);
        if *word & bit == 0 {
            *word |= bit;
            self.count.unique += 1;
        } else {
            self.count.again += 1;
        }
        let ended = SystemTime::UNIX_EPOCH + Duration::from_nanos(span.end_time_unix_nano);
        self.count.newest = self.count.newest.max(ended);
    }
}

/// As much of OTLP as is counted, with the protocol's numbers: the rest is passed over, as it would cost more than to deliver it.
#[derive(Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Message)]
struct ResourceSpans {
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Message)]
struct Span {
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
}
