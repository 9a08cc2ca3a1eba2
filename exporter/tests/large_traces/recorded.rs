//! What is recorded, once for all sinks.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spanring::{Context, Cost, Overflow, Span, SpanId, Tokens, TraceId};
use spanring_spool::{Level, Spool};

use crate::agent::TestSpool;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND_NS: u64 = 1_000_000_000;
const HOUR_NS: u64 = 3_600 * SECOND_NS;
/// How many hours the trace is open that is open for days.
const HOURS: u64 = 120;
/// The traces of spans whose parent never comes differ from this in their last digit.
const ORPHANS_TRACE: &[u8; 16] = b"orphans' trace 0";
/// How many spans have a parent that never comes.
const ORPHANS: usize = 5;

/// The spans of all traces, by their numbers.
pub(crate) struct Recorded {
    pub(crate) spool: TestSpool,
    pub(crate) spans: Vec<Part>,
    pub(crate) days: Days,
    /// The digits of a trace and a span: those that the parents are which never come, but for the last digit of the trace.
    pub(crate) elsewhere: (String, String),
}

/// What is known of a span.
pub(crate) struct Part {
    pub(crate) trace: usize,
    pub(crate) parent: Parent,
    tokens: u64,
    duration_ns: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Parent {
    None,
    /// It never comes.
    Elsewhere,
    Span(usize),
}

/// The trace that is open for days.
#[derive(Default)]
pub(crate) struct Days {
    pub(crate) root: usize,
    /// The roots of those that began and ended meanwhile.
    pub(crate) others: Vec<usize>,
}

/// What the spans of a trace come to.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) spans: u64,
    pub(crate) calls: u64,
    pub(crate) tokens: u64,
    pub(crate) duration_ns: u64,
}

impl Recorded {
    pub(crate) fn traces(&self) -> usize {
        self.spans.iter().map(|span| span.trace).max().map_or(0, |last| last + 1)
    }

    /// How many traces are the run of an agent.
    pub(crate) fn runs(&self) -> usize {
        self.spans.iter().filter(|span| span.parent == Parent::None).count()
    }

    pub(crate) fn sums(&self, trace: usize) -> Sums {
        let mut sums = Sums::default();
        for span in self.spans.iter().filter(|span| span.trace == trace) {
            sums.spans += 1;
            sums.calls += u64::from(span.tokens > 0);
            sums.tokens += span.tokens;
            sums.duration_ns += span.duration_ns;
        }
        sums
    }
}

/// All of it, recorded when it is asked for first.
pub(crate) fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let large =
            std::env::var("SPANRING_LARGE_SPANS").map_or(6_000, |text| text.parse().expect("a number"));
        let spool = TestSpool::new();
        let recorder = Spool::open(spool.path()).overflow(Overflow::Block(MINUTE)).start().unwrap();
        let elsewhere = Context::new(TraceId::from_bytes(*ORPHANS_TRACE), SpanId::from_bytes([0xe5; 8]));
        let mut recording = Recording { spans: Vec::new(), traces: 0 };
        let days = recording.days(&recorder);
        recording.large(large);
        recording.many(large / 10);
        recording.orphans(elsewhere);
        assert!(recorder.stop(MINUTE).is_complete);
        let spans = recording.spans;
        let elsewhere = (elsewhere.trace_id().to_string(), elsewhere.span_id().to_string());
        Recorded { spool, spans, days, elsewhere }
    })
}

struct Recording {
    spans: Vec<Part>,
    traces: usize,
}

/// A span that is open, and its number.
struct Open {
    span: Span,
    number: usize,
    start_unix_ns: u64,
}

impl Recording {
    /// Notes a span that was started at this time.
    fn note(&mut self, span: Span, parent: Parent, start_unix_ns: u64) -> Open {
        let trace = match parent {
            Parent::Span(parent) => self.spans[parent].trace,
            Parent::None | Parent::Elsewhere => {
                self.traces += 1;
                self.traces - 1
            }
        };
        let number = self.spans.len();
        span.set("number", number);
        self.spans.push(Part { trace, parent, tokens: 0, duration_ns: 0 });
        Open { span, number, start_unix_ns }
    }

    fn root(&mut self, name: &str, start_unix_ns: u64) -> Open {
        let span = spanring::trace(name).root().start_unix_ns(start_unix_ns).start();
        self.note(span, Parent::None, start_unix_ns)
    }

    fn group(&mut self, under: &Open, start_unix_ns: u64) -> Open {
        let span = under.span.child("group").start_unix_ns(start_unix_ns).start();
        self.note(span, Parent::Span(under.number), start_unix_ns)
    }

    /// A model's call, which takes as long as this.
    fn call(&mut self, under: &Open, start_unix_ns: u64, duration_ns: u64) {
        let span = under.span.llm("model").start_unix_ns(start_unix_ns).start();
        let open = self.note(span, Parent::Span(under.number), start_unix_ns);
        let tokens = 1 + open.number as u64 % 1_000;
        open.span.tokens(Tokens::new(tokens, 0)).cost(Cost::new(0.25, 0.5));
        self.spans[open.number].tokens = tokens;
        self.end(open, start_unix_ns + duration_ns);
    }

    fn end(&mut self, open: Open, end_unix_ns: u64) {
        self.spans[open.number].duration_ns = end_unix_ns - open.start_unix_ns;
        assert_eq!(open.span.end_at_unix_ns(end_unix_ns), spanring::Ended::Recorded);
    }

    /// A trace that is open for days, and one beside it in each hour.
    fn days(&mut self, spool: &Spool) -> Days {
        let first = now() - HOURS * HOUR_NS;
        let root = self.root("open for days", first);
        let mut days = Days { root: root.number, ..Days::default() };
        for hour in 0..HOURS {
            let at = first + hour * HOUR_NS;
            self.call(&root, at, HOUR_NS / 2);
            let other = self.root("of an hour", at);
            days.others.push(other.number);
            self.call(&other, at, SECOND_NS);
            self.end(other, at + 2 * SECOND_NS);
            if hour % 10 == 0 {
                // What comes later is in another block.
                assert_eq!(spool.flush(Level::Spooled, MINUTE).ok(), Some(()));
            }
        }
        self.end(root, now());
        days
    }

    /// One trace of so many spans, in groups that are filled in turn.
    fn large(&mut self, spans: usize) {
        let root = self.root("large", now());
        let groups: Vec<_> = (0..20).map(|_| self.group(&root, now())).collect();
        for number in 21..spans {
            self.call(&groups[number % groups.len()], now(), 1_000_000);
        }
        groups.into_iter().for_each(|group| self.end(group, now() + SECOND_NS));
        self.end(root, now() + SECOND_NS);
    }

    /// So many traces that are all open at once.
    fn many(&mut self, traces: usize) {
        let roots: Vec<_> = (0..traces).map(|_| self.root("one of many", now())).collect();
        for _ in 0..2 {
            roots.iter().for_each(|root| self.call(root, now(), 1_000));
        }
        roots.into_iter().for_each(|root| self.end(root, now() + SECOND_NS));
    }

    /// Spans whose parent is of a process that never says anything, and a call under each.
    fn orphans(&mut self, elsewhere: Context) {
        for number in 0..ORPHANS {
            let mut trace_id = *ORPHANS_TRACE;
            trace_id[15] += u8::try_from(number).unwrap();
            let parent = Context::new(TraceId::from_bytes(trace_id), elsewhere.span_id());
            let at = now();
            let span = spanring::span("orphan").parent(parent).start_unix_ns(at).start();
            let orphan = self.note(span, Parent::Elsewhere, at);
            self.call(&orphan, at, 1_000);
            self.end(orphan, at + SECOND_NS);
        }
    }
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}
