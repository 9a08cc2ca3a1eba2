//! Values and programs that behave badly: nothing waits for itself, and no panic goes further than it would without the layer.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use spanring::bridge::tracing::{context_of, layer, with_span};
use spanring::{Context, Status};
use tracing::{Span, error, field, info, info_span};
use tracing_subscriber::prelude::*;

use crate::{Place, record, text};

/// Does something when it is formatted.
struct Formatting<F: Fn()>(F);

impl<F: Fn()> fmt::Debug for Formatting<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)();
        f.write_str("formatted")
    }
}

/// Only a default that is set for the whole process lets what is logged while a value is formatted through.
#[test]
fn a_value_may_log_and_open_spans_while_it_is_formatted() {
    let place = Place::new();
    let spool = place.spool().start().unwrap();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer())).unwrap();
    let logged = AtomicU32::new(0);
    let logs = || {
        Formatting(|| {
            logged.fetch_add(1, Ordering::Relaxed);
            info!("formatting");
            error!("formatting");
            info_span!("formatting").in_scope(|| drop(spanring::tool("format").start()));
        })
    };
    let span = info_span!("span", at_start = ?logs(), late = field::Empty);
    span.in_scope(|| {
        span.record("late", field::debug(logs()));
        span.record("late", field::debug(Formatting(|| _ = span.record("at_start", "by another value"))));
        info!(value = ?logs(), "an event");
        info!("an event of {:?}", logs());
        span.follows_from(&span);
    });
    drop(span);
    let recorded = place.stop(spool);
    let span = recorded.span("span");
    assert_eq!(logged.into_inner(), 4);
    // Of what is logged while the span is made nothing can be its own.
    let mut expected = ["formatting"; 6].to_vec();
    expected.insert(4, "an event");
    expected.push("an event of formatted");
    let events: Vec<_> = span.events.iter().map(|event| &event.name[..]).collect();
    assert_eq!(events, expected);
    assert_eq!((text(span, "late"), text(span, "at_start")), (Some("formatted"), Some("by another value")));
    let own = recorded.spans.iter().filter(|span| span.name == "execute_tool format");
    assert_eq!(own.count(), 4);
}

#[test]
fn a_value_whose_formatting_panics_or_never_ends_is_cut() {
    struct Endless;
    impl fmt::Debug for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("and so on ")?;
            }
        }
    }
    struct Panics;
    impl fmt::Debug for Panics {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("so far")?;
            panic!("while it is formatted");
        }
    }
    struct Fails;
    impl fmt::Display for Fails {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("so far")?;
            Err(fmt::Error)
        }
    }
    let recorded = record(|| {
        let span = info_span!("span", panics = ?Panics, fails = %Fails, otel.name = ?Formatting(|| ()));
        span.in_scope(|| info!(panics = ?Panics, after = 1, "event"));
        drop(info_span!("endless", value = ?Endless, after = 1));
        drop(info_span!("after"));
    });
    let span = recorded.span("formatted");
    assert_eq!((text(span, "panics"), text(span, "fails")), (Some("so far"), Some("so far")));
    assert_eq!(span.cut, 3);
    assert_eq!(span.events[0].name, "event");
    let endless = recorded.span("endless");
    assert!(endless.cut > 0 && text(endless, "value").unwrap().len() > 100_000, "{}", endless.cut);
    assert_eq!(recorded.span("after").cut, 0);
}

#[test]
fn what_changes_a_span_may_log_on_it() {
    let recorded = record(|| {
        let span = info_span!("span", a = field::Empty);
        let _entered = span.enter();
        let changed = with_span(&span, |own| {
            info!("left out");
            span.record("a", 1);
            span.clone().in_scope(|| drop(info_span!("within")));
            assert_eq!(context_of(&span), own.context());
            assert!(!with_span(&span, |_| ()));
            own.user("u7").tokens(spanring::Tokens::new(3, 4));
        });
        assert!(changed);
        let panicked = catch_unwind(AssertUnwindSafe(|| with_span(&span, |_| panic!("on purpose"))));
        assert!(panicked.is_err());
        info!("an event");
    });
    let span = recorded.span("span");
    assert_eq!((span.user(), span.tokens().map(|tokens| tokens.output)), (Some("u7"), Some(Some(4))));
    assert_eq!((span.events.len(), span.get("a")), (1, None));
    assert_eq!(recorded.parent("within"), Some("span"));
}

#[test]
fn threads_that_record_on_one_span_lose_nothing() {
    let recorded = record(|| {
        let span = info_span!("span", number = field::Empty);
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (span, dispatch) = (span.clone(), &dispatch);
                scope.spawn(move || {
                    tracing::dispatcher::with_default(dispatch, || {
                        for number in 0..100_u64 {
                            span.in_scope(|| info!(thread, number, "event"));
                            span.record("number", number);
                        }
                    });
                });
            }
        });
    });
    let span = recorded.span("span");
    assert_eq!((span.events.len(), span.cut), (400, 0));
    for thread in 0..4 {
        let of_thread = |event: &&spanring_spool::EventData| {
            event.attributes.contains(&("thread".to_owned(), spanring_spool::Value::U64(thread)))
        };
        assert_eq!(span.events.iter().filter(of_thread).count(), 100);
    }
}

#[test]
fn a_second_layer_records_no_span_twice() {
    let place = Place::new();
    let spool = place.spool().start().unwrap();
    let subscriber = tracing_subscriber::registry().with(layer()).with(layer());
    tracing::subscriber::with_default(subscriber, || {
        info_span!("outer").in_scope(|| {
            let inner = info_span!("inner").entered();
            assert_eq!(Context::current(), context_of(&inner));
            drop(inner);
            drop(info_span!("after"));
        });
        assert_eq!(Context::current(), Context::NONE);
    });
    let recorded = place.stop(spool);
    assert_eq!(recorded.spans.len(), 3);
    assert_eq!((recorded.parent("inner"), recorded.parent("after")), (Some("outer"), Some("outer")));
}

#[test]
fn a_span_that_a_panic_closes_has_failed() {
    let recorded = record(|| {
        let unwound = catch_unwind(|| {
            let _entered = info_span!("unwound").entered();
            info_span!("said", otel.status_code = "ok").in_scope(|| panic!("on purpose"));
        });
        assert!(unwound.is_err());
        assert_eq!(Context::current(), Context::NONE);
    });
    let unwound = recorded.span("unwound");
    assert_eq!((unwound.status, unwound.error_type()), (Status::Error, Some("panic")));
    assert_eq!(recorded.span("said").status, Status::Ok);
}

#[test]
fn a_long_message_is_whole_in_the_event() {
    let long = "é".repeat(600);
    let recorded = record(|| info_span!("span").in_scope(|| info!("{long}")));
    let event = &recorded.span("span").events[0];
    assert!(long.starts_with(&event.name) && event.name.len() < long.len());
    let message = event.attributes.iter().find(|(key, _)| key == "message").unwrap();
    assert_eq!(message.1.as_str(), Some(&long[..]));
}

#[test]
fn leaving_what_was_never_entered_does_nothing() {
    record(|| {
        let (span, other) = (info_span!("span"), info_span!("other"));
        let call = |span: &Span, call: fn(&tracing::Dispatch, &tracing::Id)| {
            span.with_subscriber(|(id, dispatch)| call(dispatch, id)).unwrap();
        };
        call(&span, tracing::Dispatch::exit);
        call(&span, tracing::Dispatch::enter);
        call(&other, tracing::Dispatch::exit);
        assert_eq!(Context::current(), context_of(&span));
        call(&span, tracing::Dispatch::exit);
        call(&span, tracing::Dispatch::exit);
        assert_eq!(Context::current(), Context::NONE);
    });
}
