//! Outlines against a naive reading of them.

use proptest::collection::vec;
use proptest::prelude::*;
use spanring::{Kind, SpanId, Status, TraceId};

use super::compare::difference;
use super::outline::{Expected, Outline};
use super::{Found, Spans};
use crate::{EventData, SpanData, Trace, Value};

/// A span, and how many of those before it are its ancestors at most.
#[derive(Clone, Debug)]
struct Sown {
    span: SpanData,
    depth: usize,
}

fn text() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "...",
        "· event: a",
        "\"a\"",
        "a (llm)",
        "a ok",
        "a\nb",
        "\u{1b}[2J",
        " a",
        "a ",
        "a: b",
        "…",
        "error:",
        "\u{a0}",
        "日本",
        "a = b",
        "\u{202e}",
    ];
    prop_oneof![4 => prop::sample::select(&["a", "b", "c"][..]), 1 => prop::sample::select(odd.to_vec())]
        .prop_map(str::to_owned)
}

fn sown() -> impl Strategy<Value = Sown> {
    let status = prop::sample::select(Status::ALL);
    let kind = prop::sample::select(&[Kind::Custom, Kind::Llm, Kind::Tool][..]);
    let life = (any::<bool>(), any::<bool>());
    (text(), kind, status, text(), vec(text(), 0..3), prop::option::of(text()), life, 0_usize..4).prop_map(
        |(name, kind, status, status_message, events, value, (is_open, is_pending), depth)| {
            let events = events.into_iter().map(|name| EventData { name, ..EventData::default() }).collect();
            let attributes = value.map(|value| ("key".to_owned(), Value::from(value))).into_iter().collect();
            let data =
                SpanData { name, kind, status, status_message, events, attributes, ..SpanData::default() };
            Sown { span: SpanData { is_open, is_pending: is_pending && !is_open, ..data }, depth }
        },
    )
}

/// The spans with identities, parents and starts, in the order in which they started.
fn grown(sown: &[Sown]) -> Vec<SpanData> {
    let mut ancestors = Vec::new();
    let numbered = (1_u64..).zip(sown);
    let grow = numbered.map(|(number, Sown { span, depth })| {
        ancestors.truncate(*depth);
        let span_id = SpanId::from_bytes(number.to_le_bytes());
        let trace_id = TraceId::from_bytes([1; 16]);
        let parent_id = ancestors.last().copied();
        ancestors.push(span_id);
        SpanData { trace_id, span_id, parent_id, start_unix_ns: number, end_unix_ns: number, ..span.clone() }
    });
    grow.collect()
}

fn is_accepted(spans: &[SpanData], expected: &str) -> bool {
    compared(spans, expected).is_none()
}

fn compared(spans: &[SpanData], expected: &str) -> Option<String> {
    let traces = Trace::collect(spans.iter().cloned());
    difference(&Expected::read(expected).unwrap(), &Outline::of(&traces, false))
}

/// An expected outline of names alone, and whether that is what a forest is: told as plainly as can be.
#[derive(Clone, Debug)]
enum Wanted {
    Any,
    Span(String, Vec<Wanted>),
}

fn wanted() -> impl Strategy<Value = Vec<Wanted>> {
    let name = || prop::sample::select(&["a", "b"][..]).prop_map(str::to_owned);
    let leaf = prop_oneof![
        1 => Just(Wanted::Any),
        3 => name().prop_map(|name| Wanted::Span(name, Vec::new())),
    ];
    let node = leaf.prop_recursive(3, 12, 3, move |inner| {
        (name(), vec(inner, 0..3)).prop_map(|(name, children)| Wanted::Span(name, children))
    });
    vec(node, 0..4)
}

fn write(wanted: &[Wanted], depth: usize, text: &mut String) {
    for wanted in wanted {
        let (line, children) = match wanted {
            Wanted::Any => ("...", &[][..]),
            Wanted::Span(name, children) => (name.as_str(), &children[..]),
        };
        text.push_str(&format!("{}{line}\n", "  ".repeat(depth)));
        write(children, depth + 1, text);
    }
}

fn agrees(wanted: &[Wanted], found: &[Found<'_>]) -> bool {
    match wanted.split_first() {
        None => found.is_empty(),
        Some((Wanted::Any, rest)) => (0..=found.len()).any(|any| agrees(rest, &found[any..])),
        Some((Wanted::Span(name, children), rest)) => found.split_first().is_some_and(|(first, found)| {
            first.name == *name && agrees(children, &first.children()) && agrees(rest, found)
        }),
    }
}

/// A forest of the names a and b.
fn plain() -> impl Strategy<Value = Vec<SpanData>> {
    let name = prop::sample::select(&["a", "b"][..]);
    vec((name, 0_usize..4), 0..8).prop_map(|sown| {
        let sown = sown.into_iter().map(|(name, depth)| Sown {
            span: SpanData { name: name.to_owned(), ..SpanData::default() },
            depth,
        });
        grown(&sown.collect::<Vec<_>>())
    })
}

/// The lines of a difference that have one of these marks, without them.
fn marked(difference: &str, marks: &str) -> String {
    let lines = difference.lines().filter(|line| line.starts_with(|mark| marks.contains(mark)));
    lines.map(|line| format!("{}\n", &line[2..])).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_accepted(sown in vec(sown(), 0..12), blanks in 0_usize..9) {
        let spans = grown(&sown);
        let tree = Spans::new(spans.clone()).tree_with(&["key"]);
        prop_assert_eq!(compared(&spans, &tree), None);
        let indented: String = tree.lines().map(|line| format!("{}{line}\n", " ".repeat(blanks))).collect();
        let within_blank_lines = format!("\n{indented}\n");
        prop_assert!(is_accepted(&spans, &within_blank_lines));
        let sorted = Spans::new(spans).in_any_order();
        sorted.assert_tree(&sorted.tree());
    }

    #[test]
    fn what_is_written_of_other_spans_is_not_accepted(one in vec(sown(), 0..8), other in vec(sown(), 0..8)) {
        let (one, other) = (grown(&one), grown(&other));
        let write = |spans: &[SpanData]| Spans::new(spans.to_vec()).tree_with(&["key"]);
        // Events and attributes that are not asked for may be there.
        let bare = |spans: &[SpanData]| {
            let bare = |span: &SpanData| SpanData { events: Vec::new(), attributes: Vec::new(), ..span.clone() };
            spans.iter().map(bare).collect::<Vec<_>>()
        };
        let (one, other) = (bare(&one), bare(&other));
        // What is not written of a span is not asked for: a custom kind, and ok where nothing is said.
        let asks_for_all = other.iter().all(|span| span.kind != Kind::Custom && span.status != Status::Unset);
        prop_assume!(asks_for_all);
        prop_assert_eq!(is_accepted(&one, &write(&other)), write(&one) == write(&other));
    }

    #[test]
    fn any_outline_is_accepted_where_a_plain_reading_of_it_agrees(wanted in wanted(), spans in plain()) {
        let mut text = String::new();
        write(&wanted, 0, &mut text);
        let spans = Spans::new(spans);
        prop_assert_eq!(is_accepted(&spans, &text), agrees(&wanted, &spans.roots()), "{}\n{}", text, spans.tree());
    }

    #[test]
    fn a_difference_has_all_that_is_expected_and_all_that_is_recorded(one in plain(), other in plain()) {
        let (expected, recorded) = (Spans::new(one).tree(), Spans::new(other.clone()).tree());
        match compared(&other, &expected) {
            None => prop_assert_eq!(expected, recorded),
            Some(difference) => {
                prop_assert_eq!(marked(&difference, " -"), expected, "{}", difference);
                prop_assert_eq!(marked(&difference, " +"), recorded, "{}", difference);
            }
        }
    }

    #[test]
    fn siblings_in_any_order_are_written_in_one(sown in vec(sown(), 0..10), seed in any::<u64>()) {
        let mut spans = grown(&sown);
        let written = Spans::new(spans.clone()).in_any_order().tree();
        // Other starts, the same parents.
        for span in &mut spans {
            span.start_unix_ns = span.start_unix_ns.wrapping_mul(seed | 1) >> 8;
        }
        prop_assert_eq!(Spans::new(spans).in_any_order().tree(), written);
    }
}

#[test]
fn what_is_no_outline_is_refused_with_its_line() {
    let refusals = [
        ("a\n   b", "line 2 of what is expected is indented by 3 blanks: b"),
        ("a\n    b", "line 2 of what is expected is indented by 4 blanks: b"),
        ("  a\nb", "line 1 of what is expected is indented by 2 blanks: a"),
        ("· event: a", "line 1 of what is expected belongs to no span: · event: a"),
        ("a\n  · key", "line 2 of what is expected is neither an event nor `key = value`: · key"),
        ("...\n  a", "line 2 of what is expected stands under `...`: a"),
        ("...\n  · event: a", "line 2 of what is expected belongs to no span: · event: a"),
    ];
    for (outline, refusal) in refusals {
        assert_eq!(Expected::read(outline).err().as_deref(), Some(refusal), "{outline}");
    }
    let deep: String = (0..300).map(|depth| format!("{}a\n", "  ".repeat(depth))).collect();
    assert!(Expected::read(&deep).is_err_and(|error| error.starts_with("line 202 ")));
}

#[test]
fn thousands_of_spans_are_compared_and_nothing_recurses_along_them() {
    let span = SpanData { name: "a".to_owned(), ..SpanData::default() };
    let sow = |depth: fn(usize) -> usize| {
        let sown = (0..3_000).map(|at| Sown { span: span.clone(), depth: depth(at) });
        grown(&sown.collect::<Vec<_>>())
    };
    let deep = Spans::new(sow(|at| at));
    assert!(is_accepted(&deep, "a\n  ..."));
    assert!(compared(&deep, "a").is_some_and(|difference| difference.lines().count() == 3_000));
    assert_eq!((deep.roots().len(), deep.clone().in_any_order().tree()), (1, deep.tree()));
    let wide = Spans::new(sow(|_| 0));
    assert!(is_accepted(&wide, &wide.tree()));
    assert!(is_accepted(&wide, "a\n...\na"));
    assert_eq!((wide.roots().len(), wide.clone().in_any_order().tree()), (3_000, wide.tree()));
}
