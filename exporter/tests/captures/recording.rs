//! Spans that go through a spool, at the identities and times of a capture.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spanring::{Context, Ended, Overflow, Pending, Span, SpanBuilder, SpanId, TraceId};
use spanring_spool::{Level, SpanData, Spool, SpoolBuilder, SpoolDir, Value};

const MINUTE: Duration = Duration::from_secs(60);

/// Where a span stands among those that were recorded. The test's own: it is taken away when spans are read back.
pub(crate) const PLACE: &str = "test.place";

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The identities and times of a span.
#[derive(Clone, Copy)]
pub(crate) struct Life {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) start_unix_ns: u64,
    /// `None` for a span of which the capture tells no end.
    pub(crate) end_unix_ns: Option<u64>,
}

impl Life {
    pub(crate) fn of<'a, F>(&self, builder: SpanBuilder<'a, F>) -> SpanBuilder<'a, F> {
        let parent = self.parent_id.map_or(Context::NONE, |parent| Context::new(self.trace_id, parent));
        builder.trace_id(self.trace_id).span_id(self.span_id).parent(parent).start_unix_ns(self.start_unix_ns)
    }
}

pub(crate) struct Recording {
    /// Before the directory and the turn, so that it is dropped before them.
    spool: Spool,
    dir: tempfile::TempDir,
    places: u64,
    /// Whether spans know their places. Without, each is recorded as a program records it.
    is_marked: bool,
    /// The spans that nobody ends, with their places.
    open: Vec<(u64, Span)>,
    _turn: MutexGuard<'static, ()>,
}

/// Records a span: `record!(recording, life, builder, |span| …)`.
macro_rules! record {
    ($recording:expr, $life:expr, $builder:expr, $fill:expr $(,)?) => {{
        let (life, fill): (crate::recording::Life, &dyn Fn(&spanring::Span)) = ($life, &$fill);
        let place = $recording.next_place();
        let span = life.of($builder).start_with(|span| {
            $recording.mark(span, place);
            fill(span);
        });
        $recording.end(place, span, life.end_unix_ns);
    }};
}
pub(crate) use record;

impl Recording {
    pub(crate) fn start() -> Self {
        Self::with(true, |spool| spool)
    }

    /// Spans that an exporter is to deliver.
    pub(crate) fn for_delivery() -> Self {
        Self::with(false, |spool| spool)
    }

    /// The same of a process of which something is said.
    pub(crate) fn for_delivery_with(say: impl FnOnce(SpoolBuilder) -> SpoolBuilder) -> Self {
        Self::with(false, say)
    }

    /// Of a process of which something is said.
    pub(crate) fn start_with(say: impl FnOnce(SpoolBuilder) -> SpoolBuilder) -> Self {
        Self::with(true, say)
    }

    fn with(is_marked: bool, say: impl FnOnce(SpoolBuilder) -> SpoolBuilder) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let spool = say(Spool::open(dir.path().join("spool")))
            .ring_bytes(8 << 20)
            .tables(8, 64)
            .overflow(Overflow::Block(MINUTE))
            // What is known about a span that never ends is what its announcement says.
            .live(true)
            .start()
            .unwrap();
        Recording { spool, dir, places: 0, is_marked, open: Vec::new(), _turn: turn }
    }

    pub(crate) fn mark(&self, span: &Span, place: u64) {
        if self.is_marked {
            span.set(PLACE, place);
        }
    }

    /// How many spans were recorded so far.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.places).unwrap()
    }

    /// Has what follows stand in other blocks.
    pub(crate) fn cut(&self) {
        self.spool.flush(Level::Spooled, MINUTE).unwrap();
    }

    pub(crate) fn next_place(&mut self) -> u64 {
        self.places += 1;
        self.places - 1
    }

    pub(crate) fn end(&mut self, place: u64, span: Span, end_unix_ns: Option<u64>) {
        match end_unix_ns {
            Some(end) => assert_eq!(span.end_at_unix_ns(end), Ended::Recorded),
            None => self.open.push((place, span)),
        }
    }

    /// Gives up a span that never started.
    pub(crate) fn cancel(&mut self, pending: Pending, end_unix_ns: u64) {
        let place = self.next_place();
        if self.is_marked {
            pending.set(PLACE, place);
        }
        assert_eq!(pending.cancel_at_unix_ns(end_unix_ns), Ended::Recorded);
    }

    /// Leaves all in a spool, which is `spool` in this directory.
    pub(crate) fn leave(self) -> tempfile::TempDir {
        let Recording { spool, dir, open, _turn, .. } = self;
        drop(open);
        let report = spool.stop(MINUTE);
        assert_eq!(report.ledger.dropped.total(), 0, "{report}");
        dir
    }

    /// Reads all back, in the order in which they were recorded.
    pub(crate) fn read(self) -> Vec<SpanData> {
        self.spool.flush(Level::Spooled, MINUTE).unwrap();
        let dir = SpoolDir::open(self.dir.path().join("spool")).unwrap();
        let mut reader = dir.reader(self.spool.id()).unwrap();
        let mut spans = vec![None; self.len()];
        while let Some(block) = reader.next_block().unwrap() {
            let open = block.starts.into_iter().filter_map(|mut span| {
                let place = take_place(&mut span)?;
                self.open.iter().any(|(open, _)| *open == place).then_some((place, span))
            });
            let ended = block.spans.into_iter().map(|mut span| (take_place(&mut span).unwrap(), span));
            for (place, span) in ended.chain(open) {
                assert_eq!(span.cut, 0, "{} is whole", span.name);
                let earlier = spans[usize::try_from(place).unwrap()].replace(span);
                assert_eq!(earlier, None, "each place is there once");
            }
        }
        assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
        drop(self.open);
        let report = self.spool.stop(MINUTE);
        assert_eq!(report.ledger.dropped.total(), 0, "{report}");
        spans.into_iter().map(|span| span.expect("every span is read back")).collect()
    }
}

fn take_place(span: &mut SpanData) -> Option<u64> {
    let at = span.attributes.iter().position(|(key, _)| key == PLACE)?;
    match span.attributes.remove(at) {
        (_, Value::U64(place)) => Some(place),
        _ => None,
    }
}
