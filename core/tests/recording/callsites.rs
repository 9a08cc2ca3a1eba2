//! Callsites that a filter enables or disables.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use spanring::callsite::{Directives, Filter};
use spanring::{Callsite, Context, Hooks, Kind, Span, event, span};

use crate::flight::{Flight, Value, alone};

fn filtered_by(filter: impl Filter + 'static) -> Hooks {
    Hooks { filter: Some(Arc::new(filter)), ..Hooks::default() }
}

#[test]
fn a_callsite_is_asked_about_once_for_each_recorder_and_says_where_it_is() {
    let work = || span!("work", unit = 1).is_recording();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let counted = |answer: bool| {
        let asked = asked.clone();
        filtered_by(move |callsite: &Callsite| {
            asked.lock().unwrap().push((callsite.name(), callsite.target(), callsite.kind()));
            assert!(callsite.file().ends_with("callsites.rs") && callsite.line() > 0);
            answer
        })
    };
    for answer in [true, false, true] {
        let flight = Flight::hooked(counted(answer));
        assert_eq!([work(), work(), work()], [answer; 3]);
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        assert_eq!(asked, [("work", module_path!(), Kind::Custom)]);
        assert_eq!(flight.counters(0).started, if answer { 3 } else { 0 });
    }
    let _alone = alone();
    assert!(!work());
}

#[test]
fn a_disabled_callsite_evaluates_nothing_and_what_is_under_it_is_under_the_current_span() {
    let directives: Directives = "name:noise=off".parse().unwrap();
    let mut flight = Flight::hooked(filtered_by(directives));
    let evaluated = Cell::new(0);
    let evaluate = || evaluated.replace(evaluated.get() + 1);
    let run = span!("run");
    run.in_scope(|| {
        let noise = span!("noise", value = evaluate());
        assert_eq!(noise.context(), Context::current());
        event!(noise, "happened", value = evaluate());
        drop(noise.child("below").start());
    });
    event!(run, "retry", attempt = 2, tool.name = "search",);
    drop(run);
    assert_eq!(evaluated.get(), 0);
    let spans = flight.take();
    let [below, run] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((below.name.as_str(), below.parent_id), ("below", run.span_id));
    let [retry] = &run.events[..] else { panic!("{run:?}") };
    assert_eq!(retry.name, "retry");
    let attributes: Vec<_> = retry.attributes.iter().map(|of| (of.key.as_str(), of.value.clone())).collect();
    assert_eq!(attributes, [("attempt", Value::I64(2)), ("tool.name", Value::text("search"))]);
}

#[test]
fn a_filter_that_panics_or_records_itself_disables_nothing() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let within = || span!("within");
    let mut flight = Flight::hooked(filtered_by(move |callsite: &Callsite| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        assert!(callsite.name() != "panics");
        drop(within());
        callsite.name() == "kept"
    }));
    let panics = || span!("panics");
    drop([panics(), panics()]);
    assert_eq!(ASKED.load(Ordering::Relaxed), 2, "nothing was decided, so it is asked again");
    drop(span!("kept"));
    assert!(!span!("left out").is_recording());
    let names: Vec<_> = flight.take().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["panics", "panics", "within", "kept", "within"]);
    assert_eq!(flight.counters(0).hooks_failed, 2);
}

#[test]
fn a_disabled_span_does_nothing() {
    let flight = Flight::hooked(Hooks::default());
    let span = Span::disabled();
    assert!(!span.is_recording());
    span.set("key", 1).event("event");
    drop(span);
    assert_eq!(flight.counters(0).started, 0);
}
