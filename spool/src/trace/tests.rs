//! Traces made up for tests, and the tests of whole traces.

use std::io;

use spanring::{Kind, SpanId, Status, Tokens, TraceId, names};

use super::{Colour, Place, Trace};
use crate::{EventData, SpanData, Value};

pub(super) const TRACE: TraceId = TraceId::from_bytes(*b"0123456789abcdef");

/// A span that is made up.
#[derive(Clone)]
pub(super) struct Made(SpanData);

pub(super) fn id(number: u64) -> SpanId {
    SpanId::from_bytes(number.to_le_bytes())
}

impl Made {
    /// It takes from its number to the number after it, times 1,000.
    pub(super) fn new(number: u64) -> Self {
        Made(SpanData {
            trace_id: TRACE,
            span_id: id(number),
            name: format!("span {number}"),
            start_unix_ns: number.saturating_mul(1000),
            end_unix_ns: number.saturating_add(1).saturating_mul(1000),
            ..SpanData::default()
        })
    }

    pub(super) fn span(self) -> SpanData {
        self.0
    }

    pub(super) fn under(mut self, parent: u64) -> Self {
        self.0.parent_id = Some(id(parent));
        self
    }

    pub(super) fn named(mut self, name: &str) -> Self {
        self.0.name = name.to_owned();
        self
    }

    pub(super) fn kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(super) fn status(mut self, status: Status, message: &str) -> Self {
        self.0.status = status;
        self.0.status_message = message.to_owned();
        self
    }

    pub(super) fn time(mut self, start: u64, end: u64) -> Self {
        (self.0.start_unix_ns, self.0.end_unix_ns) = (start, end);
        self
    }

    pub(super) fn open(mut self) -> Self {
        self.0.is_open = true;
        self
    }

    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.attributes.push((key.to_owned(), value.into()));
        self
    }

    pub(super) fn tokens(self, input: u64, output: u64) -> Self {
        self.all_tokens(Tokens::new(input, output))
    }

    pub(super) fn all_tokens(mut self, tokens: Tokens) -> Self {
        for (key, number) in [
            (names::USAGE_INPUT_TOKENS, tokens.input),
            (names::USAGE_OUTPUT_TOKENS, tokens.output),
            (names::USAGE_TOTAL_TOKENS, tokens.total),
            (names::USAGE_CACHED_TOKENS, tokens.cached),
            (names::USAGE_CACHE_CREATION_TOKENS, tokens.cache_creation),
            (names::USAGE_REASONING_TOKENS, tokens.reasoning),
        ] {
            if let Some(number) = number {
                self = self.with(key, number);
            }
        }
        self
    }

    pub(super) fn cost(self, total: f64) -> Self {
        self.with(names::COST_TOTAL, total)
    }

    pub(super) fn currency(self, currency: &str) -> Self {
        self.with(names::COST_CURRENCY, currency)
    }

    pub(super) fn never_started(mut self) -> Self {
        self.0.is_pending = true;
        self
    }

    pub(super) fn interrupted(mut self) -> Self {
        self.0.interrupted = true;
        self.0.status = Status::Error;
        self
    }

    pub(super) fn event(mut self, name: &str) -> Self {
        self.0.events.push(EventData { name: name.to_owned(), ..EventData::default() });
        self
    }
}

pub(super) fn trace(spans: Vec<SpanData>) -> Trace {
    let mut traces = Trace::collect(spans);
    assert_eq!(traces.len(), 1);
    traces.remove(0)
}

/// Random traces, and random values.
pub(crate) mod arbitrary {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::LinkData;

    /// Few identities, so that some stand twice and others are missing, and parents that may be anywhere.
    pub(crate) fn spans() -> impl Strategy<Value = Vec<SpanData>> {
        let span = (
            (0..30_u64, option::weighted(0.8, 0..35_u64), 0..1000_u64, 0..500_u64),
            (
                proptest::sample::select(Kind::ALL),
                option::of((0..100_u64, 0..100_u64)),
                option::of(0..64_u32),
            ),
            (any::<bool>(), any::<bool>()),
        );
        let span =
            span.prop_map(|((number, parent, start, len), (kind, tokens, cost), (is_euro, is_open))| {
                let mut made = Made::new(number).kind(kind).time(start, start + len);
                made = parent.into_iter().fold(made, Made::under);
                made = tokens.into_iter().fold(made, |made, (input, output)| made.tokens(input, output));
                // Of sixteenths sums are exact, in any order.
                made = cost.into_iter().fold(made, |made, cost| made.cost(f64::from(cost) / 16.0));
                made = if is_euro { made.currency("EUR") } else { made };
                (if is_open && len < 50 { made.time(start, start).open() } else { made }).span()
            });
        vec(span, 1..40)
    }

    pub(crate) fn value() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            proptest::num::f64::ANY,
            any::<u64>().prop_map(f64::from_bits),
            proptest::sample::select(&[0.0, -0.0, 5.0, 1e300, f64::MIN_POSITIVE, f64::NAN][..]),
        ];
        let integer = prop_oneof![
            any::<i64>(),
            (-3..3_i64).prop_map(|n| (1 << 53) + n),
            (-3..3_i64).prop_map(|n| n - (1 << 53)),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            integer.prop_map(Value::I64),
            any::<u64>()
                .prop_filter("signed where it fits", |n| i64::try_from(*n).is_err())
                .prop_map(Value::U64),
            number.prop_map(Value::F64),
            text().prop_map(Value::Str),
            vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(6, 60, 5, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(Value::List),
                vec((key(), inner), 0..5).prop_map(Value::Map),
            ]
        })
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            vec(any::<char>(), 0..10).prop_map(|chars| chars.into_iter().collect::<String>()),
            Just("a\u{0}\u{1b}[2J\n\u{2028}\u{10ffff}\\\"/".to_owned()),
        ]
    }

    fn key() -> impl Strategy<Value = String> {
        const SPECIAL: &[&str] =
            &["", "a", "b", "$int", "$f64", "$bytes", "$map", "$ref", "$serde_json::private::Number"];
        prop_oneof![proptest::sample::select(SPECIAL).prop_map(str::to_owned), text()]
    }

    fn attributes() -> impl Strategy<Value = Vec<(String, Value)>> {
        vec((key(), value()), 0..5)
    }

    /// Any span that there can be.
    pub(crate) fn span() -> impl Strategy<Value = SpanData> {
        let event = (text(), any::<u64>(), attributes());
        let event =
            event.prop_map(|(name, time_unix_ns, attributes)| EventData { name, time_unix_ns, attributes });
        let link = (any::<[u8; 16]>(), any::<[u8; 8]>(), attributes());
        let link = link.prop_map(|(trace_id, span_id, attributes)| LinkData {
            trace_id: TraceId::from_bytes(trace_id),
            span_id: SpanId::from_bytes(span_id),
            attributes,
        });
        (
            (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<Option<[u8; 8]>>()),
            (text(), proptest::sample::select(Kind::ALL), proptest::sample::select(Status::ALL), text()),
            (any::<u64>(), any::<u64>()),
            (attributes(), vec(event, 0..3), vec(link, 0..3)),
            (any::<[bool; 3]>(), any::<u32>()),
        )
            .prop_map(|(ids, said, times, parts, marks)| SpanData {
                trace_id: TraceId::from_bytes(ids.0),
                span_id: SpanId::from_bytes(ids.1),
                parent_id: ids.2.map(SpanId::from_bytes),
                name: said.0,
                kind: said.1,
                status: said.2,
                status_message: said.3,
                start_unix_ns: times.0,
                end_unix_ns: times.1,
                attributes: parts.0,
                events: parts.1,
                links: parts.2,
                is_pending: marks.0[0],
                is_open: marks.0[1],
                interrupted: marks.0[2],
                cut: marks.1,
            })
    }
}

/// The figures again, in the most obvious way.
mod oracle {
    use super::*;
    use crate::{Figures, Node, Tree};

    /// Tokens of the input, and costs in dollars and euros: `None` where there are none.
    type Sums = [Option<f64>; 3];

    fn own(node: &Node<'_>) -> Sums {
        let tokens = node.span.tokens().and_then(|tokens| tokens.input).map(|input| input as f64);
        let cost = node.span.cost().and_then(|cost| cost.sum());
        match node.span.cost().and_then(|cost| cost.currency) {
            Some("EUR") => [tokens, None, cost],
            _ => [tokens, cost, None],
        }
    }

    pub(super) fn total(tree: &Tree<'_>, node: &Node<'_>) -> Sums {
        let parts: Vec<Sums> = tree.children(node).map(|child| total(tree, child)).collect();
        let is_sum_of_parts = matches!(node.span.kind, Kind::Agent | Kind::Task | Kind::Turn);
        let is_told =
            |figures: &[usize]| parts.iter().any(|part| figures.iter().any(|&at| part[at].is_some()));
        let mut counted = own(node);
        if is_sum_of_parts && is_told(&[0]) {
            counted[0] = None;
        }
        if is_sum_of_parts && is_told(&[1, 2]) {
            (counted[1], counted[2]) = (None, None);
        }
        std::array::from_fn(|at| {
            parts.iter().map(|part| part[at]).chain([counted[at]]).flatten().reduce(|sum, more| sum + more)
        })
    }

    pub(super) fn of(figures: &Figures<'_>) -> Sums {
        let tokens = figures.tokens.and_then(|tokens| tokens.input).map(|input| input as f64);
        [tokens, figures.cost_in("USD"), figures.cost_in("EUR")]
    }
}

proptest::proptest! {
    #[test]
    fn totals_are_those_of_the_obvious_way(spans in arbitrary::spans()) {
        let trace = trace(spans);
        let tree = trace.tree();
        for node in tree.nodes() {
            proptest::prop_assert_eq!(oracle::of(&node.total), oracle::total(&tree, node));
        }
        let roots = tree.roots().map(|root| oracle::of(&root.total));
        let sum = roots.reduce(|sum, more| std::array::from_fn(|at| match (sum[at], more[at]) {
            (Some(sum), Some(more)) => Some(sum + more),
            (sum, more) => sum.or(more),
        }));
        proptest::prop_assert_eq!(Some(oracle::of(&tree.total())), sum);
    }

    #[test]
    fn a_tree_has_every_span_once_and_in_its_place(spans in arbitrary::spans()) {
        let trace = trace(spans);
        let tree = trace.tree();
        let mut shown: Vec<*const SpanData> = tree.nodes().iter().map(|node| std::ptr::from_ref(node.span)).collect();
        shown.sort_unstable();
        let all: Vec<*const SpanData> = trace.spans().iter().map(std::ptr::from_ref).collect();
        proptest::prop_assert_eq!(shown, all);
        for node in tree.nodes() {
            let parent = tree.parent(node);
            proptest::prop_assert_eq!(node.depth, parent.map_or(0, |parent| parent.depth + 1));
            let is_there = node.span.parent_id.is_some_and(|id| tree.find(id).is_some());
            match node.place {
                Place::Child => proptest::prop_assert_eq!(parent.map(|node| node.span.span_id), node.span.parent_id),
                Place::Root => proptest::prop_assert_eq!((parent.is_none(), node.span.parent_id), (true, None)),
                Place::Orphan => proptest::prop_assert!(parent.is_none() && !is_there),
                Place::Cycle => proptest::prop_assert!(parent.is_none() && is_there),
            }
            let starts: Vec<u64> = tree.children(node).map(|child| child.span.start_unix_ns).collect();
            proptest::prop_assert!(starts.is_sorted());
        }
    }
}

#[test]
fn a_trace_may_be_as_deep_or_as_wide_as_it_has_spans() {
    // One frame of the stack for each would overflow it.
    const COUNT: u64 = 200_000;
    for is_deep in [true, false] {
        let spans = (0..COUNT).map(|number| {
            let made = Made::new(number).time(number, 2 * COUNT - number).tokens(1, 0);
            match number {
                0 => made.span(),
                _ => made.under(if is_deep { number - 1 } else { 0 }).span(),
            }
        });
        let trace = trace(spans.collect());
        let summary = trace.summary();
        assert_eq!((summary.spans, summary.tokens.input), (COUNT, Some(COUNT)));
        assert_eq!(summary.critical_path.len() as u64, if is_deep { COUNT } else { 2 });
        let mut lines = CountLines(0);
        trace.print_tree(&mut lines, Colour::Never).unwrap();
        assert_eq!(lines.0 as u64, 1 + COUNT + if is_deep { COUNT - 1 } else { 1 });
    }
}

struct CountLines(usize);

impl io::Write for CountLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += usize::from(bytes.ends_with(b"\n"));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn spans_are_grouped_by_trace_in_the_order_in_which_the_traces_started() {
    let other = TraceId::from_bytes([7; 16]);
    let mut spans = vec![
        Made::new(5).span(),
        Made::new(3).named("first").span(),
        Made::new(4).under(3).span(),
        Made::new(6).span(),
    ];
    spans[1].trace_id = other;
    spans[2].trace_id = other;
    let traces = Trace::collect(spans.clone());
    let shown: Vec<_> =
        traces.iter().map(|trace| (trace.trace_id(), trace.name(), trace.spans().len())).collect();
    assert_eq!(shown, [(other, "first", 2), (TRACE, "span 5", 2)]);

    let read = |id| Trace::read(spans.iter().cloned().map(Ok::<_, ()>), id).unwrap();
    assert_eq!((read(TRACE).as_ref(), read(other).as_ref()), (Some(&traces[1]), Some(&traces[0])));
    assert_eq!(read(TraceId::from_bytes([8; 16])), None);
    let failing = spans.iter().cloned().map(Ok).chain([Err("damaged")]);
    assert_eq!(Trace::read(failing, TRACE), Err("damaged"));
    assert_eq!(Trace::collect([]), []);
}

#[test]
fn an_announcement_goes_when_its_span_is_there() {
    let spans = vec![
        Made::new(1).named("announced").open().span(),
        Made::new(2).named("announced and open").open().span(),
        Made::new(2).named("announced again").open().span(),
        Made::new(1).named("ended").span(),
        Made::new(1).named("ended again").span(),
    ];
    let trace = trace(spans);
    let names: Vec<&str> = trace.spans().iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["ended", "ended again", "announced and open"]);
}

#[test]
fn an_open_span_has_timed_out_once_its_deadline_has_passed() {
    let due = |number: u64| Made::new(number).time(1000, 1000).with(names::DEADLINE, 500_u64);
    let mut trace = trace(vec![due(1).open().span(), due(2).span(), Made::new(3).open().span()]);
    let statuses = |trace: &Trace| trace.spans().iter().map(|span| span.status).collect::<Vec<_>>();
    trace.time_out_at(1500);
    assert_eq!(statuses(&trace), [Status::Unset; 3]);
    trace.time_out_at(1501);
    assert_eq!(statuses(&trace), [Status::TimedOut, Status::Unset, Status::Unset]);
}

#[test]
fn a_trace_without_its_root_is_named_for_the_first_span_whose_parent_is_missing() {
    let spans = vec![Made::new(1).under(9).named("orphan").span(), Made::new(2).under(1).span()];
    assert_eq!(trace(spans).name(), "orphan");
    let spans = vec![Made::new(1).under(9).span(), Made::new(2).named("root").span()];
    assert_eq!(trace(spans).name(), "root");
}
