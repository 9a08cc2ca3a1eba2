//! What made a span fail, whatever it is and however it misbehaves.

use std::borrow::Cow;
use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;

use spanring::{Ended, Failure, Span, Status, span};

use crate::flight::{Attribute, Flight, Plan, Seen, Value};

const CAUSES: &str = "spanring.error.causes";
const TYPE: &str = "error.type";

/// An error that does what its functions say.
struct Odd<'a> {
    display: Box<dyn Fn(&mut fmt::Formatter<'_>) -> fmt::Result + 'a>,
    debug: Box<dyn Fn(&mut fmt::Formatter<'_>) -> fmt::Result + 'a>,
    source: Box<dyn Fn() -> Option<&'static (dyn Error + 'static)> + 'a>,
}

impl Odd<'_> {
    fn new() -> Self {
        Odd {
            display: Box::new(|f| f.write_str("odd")),
            debug: Box::new(|f| f.write_str("Odd")),
            source: Box::new(|| None),
        }
    }
}

impl fmt::Display for Odd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.display)(f)
    }
}

impl fmt::Debug for Odd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.debug)(f)
    }
}

impl Error for Odd<'_> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        (self.source)()
    }
}

/// An error with a chain of causes, each a number.
#[derive(Debug)]
struct Link(u32, Option<Box<Link>>);

impl Link {
    fn chain(len: u32) -> Link {
        (0..len)
            .rev()
            .fold(None, |cause, number| Some(Box::new(Link(number, cause))))
            .map(|first| *first)
            .unwrap()
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

impl Error for Link {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

fn panic_quietly() -> ! {
    resume_unwind(Box::new("on purpose"))
}

/// The span that failed so.
fn failed<Via>(flight: &mut Flight, failure: impl Failure<Via>) -> Seen {
    assert_eq!(span("fails").start().fail(failure), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!(seen.status, Status::Error);
    seen
}

fn message(seen: &Seen) -> &str {
    seen.message.as_deref().unwrap()
}

fn error_type(seen: &Seen) -> Option<&str> {
    match seen.get(TYPE) {
        Some(Value::Str(name)) => Some(name),
        None => None,
        Some(other) => panic!("{other:?} is no type"),
    }
}

fn causes(seen: &Seen) -> Vec<&str> {
    let causes = seen.attributes.iter().filter(|attribute| attribute.key == CAUSES);
    let text = |attribute| match attribute {
        &Attribute { value: Value::Str(ref text), .. } => text.as_str(),
        other => panic!("{other:?} is no text"),
    };
    causes.map(text).collect()
}

#[test]
fn an_error_tells_its_type_its_message_and_what_caused_it() {
    let mut flight = Flight::start(Plan::default());
    let seen = failed(&mut flight, Link::chain(3));
    assert_eq!((message(&seen), causes(&seen)), ("link 0", vec!["link 1", "link 2"]));
    assert!(error_type(&seen).unwrap().ends_with("failure::Link"), "{seen:?}");
    let link = &Link::chain(1);
    let (seen, twice) = (failed(&mut flight, link), &link);
    assert_eq!(failed(&mut flight, twice).attributes, seen.attributes);
    assert!(
        error_type(&seen).unwrap().ends_with("failure::Link") && !error_type(&seen).unwrap().contains('&')
    );

    let error = io::Error::other(Link::chain(2));
    let seen = failed(&mut flight, error);
    assert_eq!((message(&seen), error_type(&seen)), ("link 0", Some("std::io::Error")));
    assert_eq!(causes(&seen), ["link 1"], "an `io::Error` stands for the error within it");
    let seen = failed(&mut flight, io::Error::from(io::ErrorKind::NotFound));
    assert_eq!((message(&seen), causes(&seen)), ("entity not found", vec![]));
    flight.counters(0);
}

#[test]
fn a_boxed_error_tells_the_same() {
    let mut flight = Flight::start(Plan::default());
    let boxed: Box<dyn Error> = Box::new(Link::chain(3));
    let seen = failed(&mut flight, &boxed);
    assert_eq!(failed(&mut flight, boxed).attributes, seen.attributes);
    assert_eq!((message(&seen), error_type(&seen)), ("link 0", Some("Link")));
    assert_eq!(causes(&seen), ["link 1", "link 2"]);

    let sendable: Box<dyn Error + Send + Sync> = Box::new(Link::chain(3));
    let seen = failed(&mut flight, sendable);
    assert_eq!((message(&seen), error_type(&seen)), ("link 0", Some("Link")));
    assert_eq!(causes(&seen), ["link 1", "link 2"]);

    // What derives no `Debug` of its own has no name that could be found.
    let seen = failed(&mut flight, Box::<dyn Error>::from("only text"));
    assert_eq!((message(&seen), error_type(&seen), causes(&seen)), ("only text", None, vec![]));
}

#[test]
fn an_error_behind_a_reference_or_a_pointer_is_not_named_after_the_pointer() {
    let mut flight = Flight::start(Plan::default());
    let link = Link::chain(2);
    let seen = failed(&mut flight, &link as &dyn Error);
    assert_eq!((message(&seen), causes(&seen)), ("link 0", vec!["link 1"]));
    assert_eq!(error_type(&seen), Some("Link"));
    let shared: Arc<dyn Error + Send + Sync> = Arc::new(link);
    assert_eq!(error_type(&failed(&mut flight, shared)), Some("Link"));
}

#[test]
fn an_error_that_only_lends_one_tells_what_it_lends() {
    let mut flight = Flight::start(Plan::default());
    let error = anyhow::Error::new(Link::chain(2));
    let seen = failed(&mut flight, &error);
    assert_eq!(failed(&mut flight, error).attributes, seen.attributes);
    assert_eq!((message(&seen), error_type(&seen), causes(&seen)), ("link 0", Some("Link"), vec!["link 1"]));

    let error = anyhow::Error::new(Link::chain(2)).context("while testing");
    let seen = failed(&mut flight, error);
    assert_eq!((message(&seen), causes(&seen)), ("while testing", vec!["link 0", "link 1"]));
    let seen = failed(&mut flight, anyhow::anyhow!("text of {}", 7));
    assert_eq!((message(&seen), causes(&seen)), ("text of 7", vec![]));

    let result: anyhow::Result<()> = span("fails").start().finish(Err(anyhow::anyhow!("handed on")));
    assert_eq!(result.unwrap_err().to_string(), "handed on");
    assert_eq!(message(&flight.take_one()), "handed on");
}

#[test]
fn text_is_the_message() {
    let mut flight = Flight::start(Plan::default());
    for text in ["", "größer", "two\nlines\0"] {
        let messages = [
            failed(&mut flight, text),
            failed(&mut flight, text.to_owned()),
            failed(&mut flight, Cow::Borrowed(text)),
            failed(&mut flight, Cow::<str>::Owned(text.to_owned())),
        ];
        for seen in messages {
            assert_eq!((message(&seen), seen.attributes.len()), (text, 0));
        }
    }
    let span = span("fails").start();
    span.error("first").error(String::from("second")).error(Cow::Borrowed("third"));
    drop(span);
    let seen = flight.take_one();
    assert_eq!((message(&seen), seen.status), ("third", Status::Error));
}

#[test]
fn where_nothing_is_recorded_an_error_is_not_asked() {
    let _alone = crate::flight::alone();
    let mut odd = Odd::new();
    odd.display = Box::new(|_| unreachable!("nobody looks"));
    odd.debug = Box::new(|_| unreachable!("nobody looks"));
    odd.source = Box::new(|| unreachable!("nobody looks"));
    assert_eq!(span("off").start().fail(&odd), Ended::NotRecording);
    assert!(span("off").start().finish(Err::<(), _>(&odd)).is_err());
    assert!(span("off").start().finish_display(Err::<(), _>(&odd)).is_err());
}

#[test]
fn a_chain_of_causes_without_end_is_cut_off_at_16() {
    let mut flight = Flight::start(Plan::default());
    let seen = failed(&mut flight, Link::chain(100));
    assert_eq!(causes(&seen).len(), 16);
    assert_eq!(causes(&seen)[15], "link 16");

    #[derive(Debug)]
    struct Itself;
    impl fmt::Display for Itself {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("itself")
        }
    }
    impl Error for Itself {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&Itself)
        }
    }
    assert_eq!(causes(&failed(&mut flight, Itself)), ["itself"; 16]);
    assert_eq!(causes(&failed(&mut flight, Box::<dyn Error>::from(Itself))), ["itself"; 16]);
}

#[test]
fn a_panic_of_the_display_keeps_what_came_before_it() {
    let mut flight = Flight::start(Plan::default());
    let mut odd = Odd::new();
    odd.display = Box::new(|f| {
        f.write_str("before")?;
        panic_quietly()
    });
    let seen = failed(&mut flight, &odd);
    assert_eq!((message(&seen), seen.message_cut), ("before", true));
    odd.display = Box::new(|f| {
        f.write_str("before")?;
        Err(fmt::Error)
    });
    let span = span("fails").start();
    assert!(span.finish_display(Err::<(), _>(&odd)).is_err());
    let seen = flight.take_one();
    assert_eq!((message(&seen), seen.message_cut), ("before", true));
    assert_eq!(flight.counters(0).values_cut, 2);
}

#[test]
fn a_panic_of_the_debug_leaves_the_type_out_and_keeps_the_message() {
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("panics")
        }
    }
    impl fmt::Debug for Panics {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Panics")?;
            panic_quietly()
        }
    }
    impl Error for Panics {}
    let mut flight = Flight::start(Plan::default());
    let seen = failed(&mut flight, Box::<dyn Error>::from(Panics));
    assert_eq!((message(&seen), error_type(&seen)), ("panics", None));
}

#[test]
fn a_panic_while_the_cause_is_asked_for_goes_no_further() {
    let mut flight = Flight::start(Plan::default());
    let mut odd = Odd::new();
    odd.source = Box::new(|| panic_quietly());
    let seen = failed(&mut flight, &odd);
    assert_eq!((message(&seen), causes(&seen)), ("odd", vec![]));

    #[derive(Debug)]
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("panics")
        }
    }
    impl Error for Panics {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            panic_quietly()
        }
    }
    let seen = failed(&mut flight, Box::<dyn Error>::from(Panics));
    assert_eq!((message(&seen), causes(&seen)), ("panics", vec![]));
    odd.source = Box::new(|| Some(&Panics));
    let seen = failed(&mut flight, &odd);
    assert_eq!((message(&seen), causes(&seen)), ("odd", vec!["panics"]));
}

#[test]
fn an_error_may_record_spans_of_its_own_while_it_is_recorded() {
    let mut flight = Flight::start(Plan::default());
    let inner = |name: &'static str| {
        let inner = span(name).root().start();
        inner.set("long", "y".repeat(5_000));
        assert_eq!(inner.fail("within"), Ended::Recorded);
    };
    let mut odd = Odd::new();
    odd.display = Box::new(|f| {
        f.write_str("before, ")?;
        inner("display");
        f.write_str("after")
    });
    odd.source = Box::new(|| {
        inner("source");
        None
    });
    let outer = span("outer").start();
    outer.set("filling", "x".repeat(850));
    assert_eq!(outer.fail(&odd), Ended::Recorded);
    let spans = flight.take();
    let names: Vec<_> = spans.iter().map(|seen| seen.name.as_str()).collect();
    assert_eq!(names, ["display", "source", "outer"]);
    assert_eq!((message(&spans[2]), spans[2].message_cut), ("before, after", false));
    assert_eq!(flight.counters(0).reentered, 0);
}

#[test]
fn what_an_error_sets_on_the_span_that_records_it_is_ignored_and_counted() {
    let mut flight = Flight::start(Plan { in_files: true, ..Plan::default() });
    for filled in [0, 840, 880, 5_000] {
        let before = flight.counters(0).reentered;
        let same = span("same").start();
        same.set("filling", "x".repeat(filled));
        let calls = Cell::new(0);
        let mut odd = Odd::new();
        odd.display = Box::new(|f| {
            f.write_str("before, ")?;
            same.set("number", 1);
            same.set("text", "text");
            same.set("long", "z".repeat(3_000));
            same.set_named("dynamic", 1);
            same.set_value("value", &1);
            same.set_display("display", &1);
            same.event("event");
            same.event_at("event", 5, |event| event.set("in", 1));
            same.link(same.context());
            same.deadline(std::time::Duration::ZERO);
            same.status_message("no");
            same.error("neither");
            assert_eq!(same.error_message(), None);
            calls.set(calls.get() + 12);
            f.write_str("after")
        });
        same.error(&odd);
        same.set("end", 1);
        assert_eq!(flight.files().in_flight().len(), 1, "the table stays readable");
        drop(odd);
        assert_eq!(same.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert_eq!((message(&seen), seen.keys()), ("before, after", vec!["filling", TYPE, "end"]));
        assert_eq!((seen.events.len(), seen.links.len(), seen.deadline_ns, seen.left_out), (0, 0, None, 0));
        assert_eq!(flight.counters(0).reentered - before, calls.get());
    }
}

#[test]
fn what_the_debug_of_an_error_sets_on_the_same_span_is_set() {
    struct Sets<'a>(&'a Span);
    impl fmt::Display for Sets<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("sets")
        }
    }
    impl fmt::Debug for Sets<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.set("from debug", 1);
            f.write_str("Sets")
        }
    }
    impl Error for Sets<'_> {}
    let mut flight = Flight::start(Plan::default());
    let same = span("same").start();
    let sets = Sets(&same);
    same.error(&sets as &dyn Error);
    drop(same);
    assert_eq!(message(&flight.take_one()), "sets");
}

#[test]
fn a_megabyte_of_message_is_cut_where_the_span_ends() {
    let mut flight = Flight::start(Plan { ring_bytes: 1 << 16, ..Plan::default() });
    let written = Cell::new(0_usize);
    let mut odd = Odd::new();
    odd.display = Box::new(|f| {
        for _ in 0..1 << 18 {
            written.set(written.get() + 1);
            f.write_str("€€")?;
        }
        Ok(())
    });
    odd.source = Box::new(|| Some(&fmt::Error));
    let seen = failed(&mut flight, &odd);
    assert!(seen.message_cut && message(&seen).chars().all(|character| character == '€'));
    assert!((16_000..16_384).contains(&message(&seen).len()), "{} bytes", message(&seen).len());
    assert!(written.get() < 3_000, "it stops being asked once it is cut");
    // One that does not listen is cut all the same.
    odd.display = Box::new(|f| {
        (0..1 << 18).for_each(|_| _ = f.write_str("€€"));
        Ok(())
    });
    let seen = failed(&mut flight, &odd);
    assert!(seen.message_cut && message(&seen).len() > 16_000);
    assert_eq!((seen.left_out, causes(&seen).len()), (1, 0), "the cause finds no room");
    let counters = flight.counters(0);
    assert_eq!((counters.values_cut, counters.values_left_out), (2, 2));
}

#[test]
fn a_megabyte_of_debug_costs_nothing_but_its_beginning() {
    struct Chatty<'a>(&'a Cell<u32>, bool);
    impl fmt::Display for Chatty<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("chatty")
        }
    }
    impl fmt::Debug for Chatty<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Chatty {")?;
            for _ in 0..1 << 20 {
                self.0.set(self.0.get() + 1);
                let written = f.write_str("é");
                if self.1 {
                    written?;
                }
            }
            Ok(())
        }
    }
    impl Error for Chatty<'_> {}
    let mut flight = Flight::start(Plan::default());
    let asked = Cell::new(0);
    for listens in [true, false] {
        let chatty = Chatty(&asked, listens);
        let span = span("chatty").start();
        span.error(&chatty as &dyn Error);
        drop(span);
        assert_eq!(message(&flight.take_one()), "chatty");
        assert!(asked.get() < 100 || !listens, "one that listens is told when it is enough");
    }
}
