//! Which traces are recorded, and which of their spans.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use proptest::prelude::*;
use spanring::propagation::Propagated;
use spanring::sampling::{AlwaysOff, KindRates, ParentBased, Root, Sampler, TraceIdRatio};
use spanring::{Context, Ended, Hooks, Kind, Span, SpanId, TraceId, span};

use crate::flight::{Flight, Plan, Value};

fn sampled_by(sampler: impl Sampler + 'static) -> Hooks {
    Hooks { sampler: Some(Arc::new(sampler)), ..Hooks::default() }
}

fn names(flight: &mut Flight) -> Vec<String> {
    let mut names: Vec<_> = flight.take().into_iter().map(|span| span.name).collect();
    names.sort();
    names
}

fn remote(is_sampled: bool) -> Context {
    Context::remote(TraceId::from_bytes([7; 16]), SpanId::from_bytes([9; 8]), is_sampled)
}

#[test]
fn of_a_trace_that_is_not_sampled_nothing_is_recorded_on_any_thread_and_all_is_counted() {
    let mut flight = Flight::hooked(sampled_by(AlwaysOff));
    let run = span("run").start();
    assert!(!run.is_recording());
    assert!(run.context().is_valid() && !run.context().is_sampled());
    let child = run.tool("search").start();
    assert_eq!(child.context().trace_id(), run.context().trace_id());
    assert!(!child.context().is_sampled());
    let context = child.context();
    thread::spawn(move || {
        drop(span("under it").parent(context).start());
        context.in_scope(|| drop(span("within it").prepare()));
    })
    .join()
    .unwrap();
    assert_eq!(child.end(), Ended::NotRecording);
    drop(run);
    assert_eq!(names(&mut flight), [""; 0]);
    let counters = flight.counters(0);
    assert_eq!((counters.started, counters.sampled_out), (0, 4));
}

#[test]
fn it_is_decided_once_a_trace_and_about_what_starts() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let sampler = move |root: &Root<'_>| {
        seen.lock().unwrap().push((root.name().into_owned(), root.kind, root.trace_id, root.parent));
        root.name() != "invoke_agent b"
    };
    let mut flight = Flight::hooked(sampled_by(sampler));
    for name in ["a", "b"] {
        let run = spanring::agent(name).start();
        let step = run.child("step").start();
        drop(step.child("deeper").start());
    }
    let entered = span("entered").start();
    entered.in_scope(|| drop(span("within").start()));
    let trace_id = TraceId::from_bytes([1; 16]);
    drop(span("given").trace_id(trace_id).start());
    drop(span("remote").parent(remote(false)).start());
    drop(entered);

    let spans = flight.take();
    let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let asked = asked.lock().unwrap();
    let expected = [
        ("invoke_agent a", Kind::Agent, of("invoke_agent a").trace_id, Context::NONE),
        ("invoke_agent b", Kind::Agent, asked[1].2, Context::NONE),
        ("entered", Kind::Custom, of("within").trace_id, Context::NONE),
        ("given", Kind::Custom, trace_id, Context::NONE),
        ("remote", Kind::Custom, remote(false).trace_id(), remote(false)),
    ];
    let asked: Vec<_> =
        asked.iter().map(|(name, kind, id, parent)| (name.as_str(), *kind, *id, *parent)).collect();
    assert_eq!(asked, expected);
    assert_eq!(of("given").trace_id, trace_id);
    // A sampler may record what another process does not.
    assert_eq!(of("remote").parent_id, remote(false).span_id());
    assert_eq!(spans.len(), 7);
    assert_eq!(flight.counters(0).sampled_out, 3);
}

#[test]
fn without_a_sampler_another_process_decides_about_its_traces() {
    let mut flight = Flight::start(Plan::default());
    let out = span("not sampled there").parent(remote(false)).start();
    assert_eq!(out.context().trace_id(), remote(false).trace_id());
    assert_ne!(out.context().span_id(), remote(false).span_id());
    assert!(!out.context().is_remote() && !out.context().is_sampled());
    drop(out.child("child").start());
    let sampled = span("sampled there").parent(remote(true)).start();
    assert!(!sampled.context().is_remote());
    drop(sampled);
    // One without valid identities is no parent, whatever it says.
    drop(span("root").parent(Context::remote(TraceId::INVALID, SpanId::INVALID, false)).start());
    assert_eq!(names(&mut flight), ["root", "sampled there"]);
    assert_eq!(flight.counters(0).sampled_out, 2);
}

#[test]
fn a_kind_that_is_left_out_is_as_if_it_were_not_there_and_takes_its_trace_if_it_is_the_first() {
    let kinds = Some(KindRates::default().rate(Kind::Embedding, 0.0));
    let mut flight = Flight::hooked(Hooks { kinds, ..Hooks::default() });
    let run = spanring::agent("run").start();
    let embedding = run.embedding("ada").start();
    assert_eq!(embedding.context(), run.context());
    drop(embedding.child("below").start());
    drop(embedding);
    drop(run);
    let first = spanring::embedding("ada").start();
    drop(first.child("also out").start());
    drop(first);

    let spans = flight.take();
    assert_eq!(spans.len(), 2);
    assert_eq!((spans[0].name.as_str(), spans[0].parent_id), ("below", spans[1].span_id));
    assert_eq!(flight.counters(0).sampled_out, 3);
}

#[test]
fn a_sampler_that_panics_has_sampled_the_trace_and_one_that_starts_spans_is_not_asked_about_them() {
    let mut flight = Flight::hooked(sampled_by(|root: &Root<'_>| {
        drop(span("of the sampler").start());
        assert!(root.name() != "panics");
        false
    }));
    drop(span("panics").start());
    drop(span("out").start());
    assert_eq!(names(&mut flight), ["of the sampler", "of the sampler", "panics"]);
    let counters = flight.counters(0);
    assert_eq!((counters.hooks_failed, counters.sampled_out), (1, 1));
}

#[test]
fn a_share_of_the_traces_is_whole_traces() {
    let mut flight = Flight::hooked(sampled_by(ParentBased(TraceIdRatio::new(0.5))));
    let mut sampled = 0;
    for _ in 0..200 {
        let run = span("run").start();
        drop(run.child("child").start());
        sampled += u64::from(run.context().is_sampled());
    }
    let mut spans = BTreeMap::<_, usize>::new();
    for span in flight.take() {
        *spans.entry(span.trace_id.to_bytes()).or_default() += 1;
    }
    assert!(spans.values().all(|count| *count == 2));
    assert_eq!(spans.len() as u64, sampled);
    assert!((50..150).contains(&sampled), "{sampled}");
    assert_eq!(flight.counters(0).sampled_out, 2 * (200 - sampled));
}

#[test]
fn threads_count_what_they_sample_out_without_losing_any() {
    let asked = Arc::new(AtomicU64::new(0));
    let seen = asked.clone();
    let flight = Flight::hooked(sampled_by(move |_: &Root<'_>| {
        seen.fetch_add(1, Ordering::Relaxed);
        false
    }));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(|| {
                for _ in 0..1_000 {
                    let run = span("run").start();
                    drop(run.child("child").start());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(asked.load(Ordering::Relaxed), 4_000);
    assert_eq!(flight.counters(0).sampled_out, 8_000);
}

/// A span to start: under the how-manieth before it, as what, and whether its trace is sampled if it is the first.
#[derive(Clone, Debug)]
struct Start {
    parent: Option<prop::sample::Index>,
    kind: Kind,
    is_sampled: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_recorded_and_under_what_is_as_the_obvious_way_has_it(starts in prop::collection::vec(
        (any::<Option<prop::sample::Index>>(), prop::sample::select(&[Kind::Agent, Kind::Tool, Kind::Turn][..]), any::<bool>())
            .prop_map(|(parent, kind, is_sampled)| Start { parent, kind, is_sampled }),
        1..24,
    )) {
        let next = Arc::new(Mutex::new(false));
        let decision = next.clone();
        let mut hooks = sampled_by(move |_: &Root<'_>| *decision.lock().unwrap());
        hooks.kinds = Some(KindRates::default().rate(Kind::Turn, 0.0));
        let mut flight = Flight::hooked(hooks);

        // Of each span: whether its trace is recorded, and the recorded span that what is under it is under.
        let mut model: Vec<(bool, Option<SpanId>)> = Vec::new();
        let mut expected: Vec<(SpanId, SpanId)> = Vec::new();
        let mut spans: Vec<Span> = Vec::new();
        for (number, start) in starts.iter().enumerate() {
            *next.lock().unwrap() = start.is_sampled;
            let above = start.parent.filter(|_| number > 0).map(|parent| parent.index(number));
            let parent = above.map_or(Context::NONE, |above| spans[above].context());
            let span = span("s").kind(start.kind).parent(parent).start();
            let is_of_kind = start.kind != Kind::Turn;
            let (is_sampled, under) = above.map_or((start.is_sampled && is_of_kind, None), |above| model[above]);
            let is_recorded = is_sampled && is_of_kind;
            prop_assert_eq!(span.is_recording(), is_recorded);
            if is_recorded {
                expected.push((span.context().span_id(), under.unwrap_or(SpanId::INVALID)));
            }
            model.push((is_sampled, if is_recorded { Some(span.context().span_id()) } else { under }));
            spans.push(span);
        }
        let recorded = expected.len() as u64;
        drop(spans);
        let mut seen: Vec<_> = flight.take().iter().map(|span| (span.span_id, span.parent_id)).collect();
        seen.sort_by_key(|(span, _)| span.to_bytes());
        expected.sort_by_key(|(span, _)| span.to_bytes());
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(flight.counters(0).sampled_out, starts.len() as u64 - recorded);
    }
}

#[test]
fn a_span_under_one_of_another_process_says_so_and_keeps_its_trace_state() {
    let mut flight = Flight::start(Plan::default());
    let headers = [
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "shop=1,other=2"),
    ];
    let from = Propagated::extract(&headers[..]);
    let request = span("request").propagated(&from).start();
    drop(request.child("below").start());
    drop(request);
    drop(span("pending").parent(from.context).prepare());
    drop(span("root").propagated(&Propagated::default()).start());
    let spans = flight.take();
    let keys: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.keys())).collect();
    let (state, flags) = ("spanring.trace_state", "spanring.trace_flags");
    let expected =
        [("below", vec![]), ("request", vec![flags, state]), ("pending", vec![flags]), ("root", vec![])];
    assert_eq!(keys, expected);
    assert_eq!(spans[1].get(state), Some(&Value::text("shop=1,other=2")));
    assert_eq!(spans[1].get(flags), Some(&Value::U64(0x301)));
}

#[test]
fn what_another_process_says_of_no_span_makes_a_root_like_any_other() {
    let mut flight = Flight::start(Plan::default());
    drop(span("root").parent(Context::remote(TraceId::INVALID, SpanId::INVALID, false)).start());
    drop(span("root").parent(Context::remote(TraceId::from_bytes([7; 16]), SpanId::INVALID, true)).start());
    for root in flight.take() {
        assert_eq!((root.parent_id, root.attributes), (SpanId::INVALID, vec![]));
    }
}
