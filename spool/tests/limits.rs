//! What a span may hold: what goes beyond is cut or left out, and counted where the span is read and in the ledger.

use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use spanring::{Ended, names};
use spanring_spool::{Ledger, Limits, SpanData, Spool, SpoolDir, Value};

const MINUTE: Duration = Duration::from_secs(60);

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What comes back of a span that is recorded with these limits and filled by `fill`, and the account.
fn recorded(limits: Limits, fill: impl FnOnce(&spanring::Span) + Send) -> (SpanData, Ledger) {
    let _turn: MutexGuard<'_, ()> = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let spool = Spool::open(dir.path().join("spool")).limits(limits).start().unwrap();
    let id = spool.id().clone();
    thread::scope(|scope| {
        let recording = scope.spawn(|| {
            let span = spanring::span("limited").start();
            fill(&span);
            assert_eq!(span.end(), Ended::Recorded);
        });
        recording.join().unwrap();
    });
    let report = spool.stop(MINUTE);
    assert!(report.is_complete && report.ledger.balances(), "{report}");
    let mut reader = SpoolDir::open(dir.path().join("spool")).unwrap().reader(&id).unwrap();
    let mut spans = reader.next_block().unwrap().expect("the span is spooled").spans;
    assert_eq!(spans.len(), 1);
    (spans.remove(0), report.ledger)
}

fn number(span: &SpanData, key: &str) -> Option<u64> {
    span.get(key).and_then(Value::as_u64)
}

#[test]
fn attributes_beyond_the_limit_are_left_out_and_their_number_stays() {
    let limits = Limits { attributes: 3, ..Limits::default() };
    let (span, ledger) = recorded(limits, |span| {
        span.set("a", 1).set_named("b", "two").set_value("c", &[3]);
        span.set("a", 4).input(&"five").set_named("d", 6);
    });
    let keys: Vec<_> = span.attributes.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "c", names::DROPPED_ATTRIBUTES]);
    assert_eq!((span.get("a"), number(&span, names::DROPPED_ATTRIBUTES)), (Some(&Value::I64(1)), Some(3)));
    assert_eq!((span.cut, ledger.values_left_out, ledger.values_cut), (3, 3, 0));
}

#[test]
fn events_and_links_beyond_the_limit_are_left_out_with_what_was_said_of_them() {
    let limits = Limits { attributes: 2, events: 2, links: 1, ..Limits::default() };
    let to = spanring::span("none").root().start().context();
    let (span, ledger) = recorded(limits, |span| {
        for name in ["first", "second", "third", "fourth", "fifth"] {
            span.event_at(name, 7, |event| {
                event.set("in", 1);
                event.set_named("of", name);
                event.set("beyond", 3);
            });
            span.link_with(to, |link| link.set("why", 1));
        }
        span.set("after", true);
    });
    let names: Vec<_> = span.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    for event in &span.events {
        let keys: Vec<_> = event.attributes.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["in", "of"]);
    }
    assert_eq!(span.links.len(), 1);
    assert_eq!(span.links[0].attributes, [("why".to_owned(), Value::I64(1))]);
    assert_eq!(number(&span, names::DROPPED_EVENTS), Some(3));
    assert_eq!(number(&span, names::DROPPED_LINKS), Some(4));
    assert_eq!(
        (span.get("after"), number(&span, names::DROPPED_ATTRIBUTES)),
        (Some(&Value::Bool(true)), None)
    );
    // Three events and four links, and an attribute of each event that was kept.
    assert_eq!((u64::from(span.cut), ledger.values_left_out), (9, 9), "{ledger}");
}

#[test]
fn a_value_beyond_the_limit_is_cut_between_two_characters_marked_and_counted() {
    let limits = Limits { value_bytes: 10, ..Limits::default() };
    let (span, ledger) = recorded(limits, |span| {
        span.set("fits", "0123456789");
        span.set("text", "012345678ü");
        span.set_value("packed", "größer als erlaubt");
        span.set_value("list", &["eins", "zwei", "drei"]);
        span.set("number", u64::MAX);
        span.set_named("a key is no value, and may be longer", 1);
        span.status_message("größer als erlaubt");
    });
    let text = |key| span.get(key).and_then(Value::as_str).unwrap();
    assert_eq!((text("fits"), text("text")), ("0123456789", "012345678"));
    let packed = text("packed");
    assert!("größer als erlaubt".starts_with(packed) && (6..=10).contains(&packed.len()), "{packed}");
    let list = span.get("list").and_then(Value::as_list).unwrap();
    assert_eq!(list[0], Value::from("eins"));
    assert_eq!(span.get("number"), Some(&Value::U64(u64::MAX)));
    assert_eq!(number(&span, "a key is no value, and may be longer"), Some(1));
    assert_eq!(span.status_message, "größer a");
    assert_eq!((span.cut, ledger.values_cut, ledger.values_left_out), (4, 4, 0), "{ledger}");
}

#[test]
fn a_limit_of_nothing_leaves_only_the_numbers() {
    let limits = Limits { attributes: 0, events: 0, links: 0, value_bytes: 0 };
    let (span, _) = recorded(limits, |span| {
        span.set("text", "x").event("e").status_message("m");
    });
    assert_eq!((span.name.as_str(), span.status_message.as_str()), ("limited", ""));
    assert_eq!((span.attributes.len(), span.events.len()), (2, 0));
    assert_eq!(number(&span, names::DROPPED_ATTRIBUTES), Some(1));
    assert_eq!(number(&span, names::DROPPED_EVENTS), Some(1));
}

#[test]
fn by_default_a_span_has_up_to_1024_of_each_and_whatever_it_has_room_for() {
    let text = "x".repeat(100_000);
    let (span, ledger) = recorded(Limits::default(), |span| {
        span.set("long", &text);
        for number in 0..1_500 {
            span.set("number", number).event("e");
        }
    });
    assert_eq!(span.get("long"), Some(&Value::from(text.as_str())));
    assert_eq!((span.attributes.len(), span.events.len()), (1_024 + 2, 1_024));
    assert_eq!(number(&span, names::DROPPED_ATTRIBUTES), Some(1_501 - 1_024));
    assert_eq!(number(&span, names::DROPPED_EVENTS), Some(1_500 - 1_024));
    assert_eq!((u64::from(span.cut), ledger.values_cut), (ledger.values_left_out, 0));
}
