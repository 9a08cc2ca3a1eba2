//! Programs that use `tracing`: what spanring's layer records of them, read back from a real spool.
//!
//! `programs` runs programs under this layer and that of `tracing-opentelemetry` at once, and `seen` compares what the two saw.
//! `model` does at random what programs do, against the obvious model. `contexts` is about which span is under which, `hostile` about
//! values and programs that behave badly, `choosing` about sampling and redaction, `together` about all of it at once.

mod choosing;
mod contexts;
mod hostile;
mod model;
mod programs;
mod seen;
mod together;

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use spanring::TraceId;
use spanring_spool::{SpanData, Spool, SpoolBuilder, SpoolDir, Value};

const MINUTE: Duration = Duration::from_secs(60);

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A spool for one test.
struct Place {
    dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Place { dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), _turn: turn }
    }

    fn spool(&self) -> SpoolBuilder {
        Spool::open(self.dir.path().join("spool")).service("tracing")
    }

    /// Stops the spool, which has recorded everything, and reads it.
    fn stop(&self, spool: Spool) -> Recorded {
        let ledger = spool.stop(MINUTE).ledger;
        assert!(ledger.balances() && ledger.in_flight == 0 && ledger.dropped.total() == 0, "{ledger}");
        let dir = SpoolDir::open(self.dir.path().join("spool")).unwrap();
        let mut spans = Vec::new();
        for id in dir.recorders().unwrap() {
            let mut reader = dir.reader(&id).unwrap();
            while let Some(block) = reader.next_block().unwrap() {
                spans.extend(block.spans);
            }
            assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
        }
        Recorded { spans }
    }
}

/// What a test has recorded.
struct Recorded {
    spans: Vec<SpanData>,
}

impl Recorded {
    /// The only span of this name.
    fn span(&self, name: &str) -> &SpanData {
        let mut named = self.spans.iter().filter(|span| span.name == name);
        let span = named.next().unwrap_or_else(|| panic!("no span is called {name}: {:?}", self.names()));
        assert!(named.next().is_none(), "several spans are called {name}");
        span
    }

    fn names(&self) -> Vec<&str> {
        self.spans.iter().map(|span| &span.name[..]).collect()
    }

    /// The name of the span that the one of this name is under.
    fn parent(&self, name: &str) -> Option<&str> {
        let span = self.span(name);
        let parent = self.spans.iter().find(|parent| Some(parent.span_id) == span.parent_id)?;
        assert_eq!(parent.trace_id, span.trace_id);
        Some(&parent.name)
    }

    fn trace_id(&self, name: &str) -> TraceId {
        self.span(name).trace_id
    }
}

/// Runs a program with the layer alone, and reads what it recorded.
fn record(program: impl FnOnce()) -> Recorded {
    use tracing_subscriber::prelude::*;
    let place = Place::new();
    let spool = place.spool().start().unwrap();
    let subscriber = tracing_subscriber::registry().with(spanring::bridge::tracing::layer());
    tracing::subscriber::with_default(subscriber, program);
    place.stop(spool)
}

fn text<'a>(span: &'a SpanData, key: &str) -> Option<&'a str> {
    span.get(key).and_then(Value::as_str)
}
