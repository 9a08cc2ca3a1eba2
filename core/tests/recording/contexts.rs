//! Where spans belong: explicit parents, the current span of a thread, contexts that move.

use std::thread;

use spanring::{Context, Span, span};

use crate::flight::{Flight, Plan, Seen};

/// The spans as lines, each under its parent, in the order in which they started.
fn tree(spans: &[Seen]) -> String {
    fn below(spans: &[Seen], parent: spanring::SpanId, depth: usize, lines: &mut String) {
        for span in spans.iter().filter(|span| span.parent_id == parent) {
            lines.push_str(&format!("{}{}\n", "  ".repeat(depth), span.name));
            below(spans, span.span_id, depth + 1, lines);
        }
    }
    let mut spans = spans.to_vec();
    spans.sort_by(|a, b| a.name.cmp(&b.name));
    let mut lines = String::new();
    below(&spans, spanring::SpanId::INVALID, 0, &mut lines);
    lines
}

#[test]
fn a_span_starts_under_the_current_one_or_where_it_is_told_to() {
    let mut flight = Flight::start(Plan::default());
    let run = span("1 run").start();
    {
        let _entered = run.enter();
        let step = span("2 step").start();
        let _entered = step.enter();
        drop(span("3 call").start());
        drop(span("4 explicit").parent(run.context()).start());
        drop(span("5 root").root().start());
        drop(span("6 none").parent(Context::NONE).start());
    }
    drop(span("7 outside").start());
    drop(run);
    let spans = flight.take();
    assert_eq!(tree(&spans), "1 run\n  2 step\n    3 call\n  4 explicit\n5 root\n6 none\n7 outside\n");
    let trace = |name: &str| spans.iter().find(|span| span.name == name).unwrap().trace_id;
    assert_eq!(trace("1 run"), trace("3 call"));
    assert_ne!(trace("1 run"), trace("5 root"));
}

#[test]
fn each_thread_has_its_own_current_span_and_a_context_moves_between_them() {
    let mut flight = Flight::start(Plan::default());
    let run = span("1 run").start();
    let _entered = run.enter();
    let context = Context::current();
    thread::spawn(move || {
        assert_eq!(Context::current(), Context::NONE);
        drop(span("4 alone").start());
        let _entered = context.enter();
        drop(span("2 under the run").start());
        drop(span("3 too").parent(context).start());
    })
    .join()
    .unwrap();
    drop(run);
    assert_eq!(tree(&flight.take()), "1 run\n  2 under the run\n  3 too\n4 alone\n");
}

#[test]
fn guards_dropped_in_the_wrong_order_restore_what_is_left_and_are_counted() {
    let flight = Flight::start(Plan::default());
    let spans = ["a", "b", "c", "d"].map(|name| span(name).start());
    let current = |span: &Span| Context::current() == span.context();

    let [a, b, c] = [0, 1, 2].map(|index| spans[index].enter());
    drop(b);
    assert!(current(&spans[2]));
    drop(a);
    assert!(current(&spans[2]));
    let d = spans[3].enter();
    drop(c);
    assert!(current(&spans[3]));
    drop(d);
    assert_eq!(Context::current(), Context::NONE);
    assert_eq!(flight.counters(4).guards_out_of_order, 3);

    let [a, b] = [0, 1].map(|index| spans[index].enter());
    drop(a);
    drop(b);
    assert_eq!(Context::current(), Context::NONE);
}

#[test]
fn beyond_64_entered_spans_the_current_one_stays_and_all_comes_undone_in_any_order() {
    let _flight = Flight::start(Plan::default());
    let contexts: Vec<_> = (0..70).map(|_| span("deep").root().start()).collect();
    let mut guards: Vec<_> = contexts.iter().map(Span::enter).collect();
    assert_eq!(Context::current(), contexts[63].context());
    drop(guards.remove(66));
    drop(guards.pop());
    drop(guards.remove(63));
    assert_eq!(Context::current(), contexts[62].context());
    drop(guards);
    assert_eq!(Context::current(), Context::NONE);
    let _entered = contexts[69].enter();
    assert_eq!(Context::current(), contexts[69].context());
}

#[test]
fn a_guard_that_replaces_another_again_and_again_is_always_current() {
    let _flight = Flight::start(Plan::default());
    let turns: Vec<_> = (0..200).map(|_| span("turn").root().start()).collect();
    let mut entered = turns[0].enter();
    for turn in &turns {
        entered = turn.enter();
        assert_eq!(Context::current(), turn.context());
    }
    drop(entered);
    assert_eq!(Context::current(), Context::NONE);
}

#[test]
fn a_scope_for_which_there_was_no_room_still_leaves_what_was_entered_within() {
    let _flight = Flight::start(Plan::default());
    let spans: Vec<_> = (0..64).map(|_| span("deep").root().start()).collect();
    let mut guards: Vec<_> = spans.iter().map(Span::enter).collect();
    spans[0].in_scope(|| {
        drop(guards.pop());
        std::mem::forget(spans[1].enter());
        assert_eq!(Context::current(), spans[1].context());
    });
    assert_eq!(Context::current(), spans[62].context());
}

#[test]
fn a_span_can_be_sent_to_another_thread_and_not_be_shared() {
    fn send<T: Send>() {}
    send::<Span>();
    // `Span: !Sync`: were it `Sync`, both implementations would apply and this would not compile.
    trait AmbiguousIfSync<A> {
        fn check() {}
    }
    impl<T: ?Sized> AmbiguousIfSync<()> for T {}
    impl<T: ?Sized + Sync> AmbiguousIfSync<u8> for T {}
    <Span as AmbiguousIfSync<_>>::check();
}
