//! Programs as the documentation of `tracing` and `tracing-opentelemetry` describes them, under both layers.

use std::error::Error;
use std::fmt;

use spanring::bridge::tracing::context_of;
use spanring::{Kind, Status, names};
use spanring_spool::Value;
use tracing::instrument::WithSubscriber;
use tracing::{Instrument, Level, debug, error, field, info, info_span, instrument, trace_span, warn};

use crate::seen::compare;
use crate::text;

#[derive(Debug)]
struct Refused {
    by: Bank,
}

#[derive(Debug)]
struct Bank;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("payment refused")
    }
}

impl fmt::Display for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such bank")
    }
}

impl Error for Bank {}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.by)
    }
}

#[instrument]
fn shave_all(yaks: u32) -> u32 {
    info!(current = yaks, "shaving yaks");
    (1..=yaks).filter(|yak| shave(*yak).is_ok()).map(|_| 1).sum()
}

#[instrument(name = "shave", skip_all, fields(otel.name = format!("shave {yak}"), yak), err)]
fn shave(yak: u32) -> Result<(), Refused> {
    debug!(excitement = "yay!", happy = true, weight = 1.5, "hello! I'm going to shave a yak");
    if yak == 3 {
        warn!("could not locate yak");
        return Err(Refused { by: Bank });
    }
    Ok(())
}

#[test]
fn nested_functions_are_nested_spans() {
    let recorded = compare(|_| assert_eq!(shave_all(3), 2));
    assert_eq!(recorded.parent("shave 2"), Some("shave_all"));
    let failed = recorded.span("shave 3");
    assert_eq!((failed.status, failed.error_message()), (Status::Error, Some("payment refused")));
    assert_eq!(failed.events.len(), 3);
    assert_eq!(recorded.span("shave_all").get("yaks"), Some(&Value::U64(3)), "a number, and no text");
}

#[instrument(ret, err(Debug, level = "warn"))]
fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.parse()
}

#[test]
fn what_functions_return_is_an_event() {
    compare(|_| _ = parse("12"));
    let recorded = compare(|_| _ = parse("twelve"));
    assert_eq!(recorded.span("parse").error_message(), Some("ParseIntError { kind: InvalidDigit }"));
}

#[test]
fn fields_of_all_types_are_attributes() {
    let compared = compare(|_| {
        let span = info_span!(
            "fields",
            boolean = true,
            signed = -5_i64,
            unsigned = u64::MAX,
            large = u128::MAX,
            small = i128::MIN,
            float = 0.25,
            text = "text",
            owned = String::from("owned"),
            displayed = %Bank,
            debugged = ?Some("x"),
            optional = Some(3),
            absent = None::<u64>,
            late = field::Empty,
            never = field::Empty,
            dotted.name = 1,
            gen_ai.request.model = "mistral-small",
            r#type = "raw"
        );
        span.record("late", 1).record("late", 2).record("unknown", 3);
        let _entered = span.entered();
        info!(boolean = false, signed = i64::MIN, float = f64::MAX, debugged = ?[1, 2], "an event");
        info!(answer = 42);
        info!(name: "with a name", answer = 42);
        info!(name: "with a name", answer = 42, "and a message {}", 1);
    });
    let span = compared.span("fields");
    assert_eq!(span.get("unsigned"), Some(&Value::U64(u64::MAX)));
    assert_eq!(text(span, "large"), Some(&u128::MAX.to_string()[..]));
    assert_eq!(span.get("late"), Some(&Value::I64(2)));
    assert_eq!((span.get("never"), span.get("absent"), span.get("unknown")), (None, None, None));
    assert_eq!(span.model(), Some("mistral-small"));
}

#[test]
fn bytes_stay_bytes() {
    let compared = compare(|_| drop(info_span!("bytes", bytes = &[0_u8, 255][..])));
    assert_eq!(compared.span("bytes").get("bytes"), Some(&Value::Bytes(vec![0, 255])));
}

#[test]
fn special_fields_say_something_about_the_span() {
    let recorded = compare(|_| {
        drop(info_span!("a", otel.name = "named", otel.kind = "Server", otel.status_code = "OK"));
        drop(info_span!("b", otel.kind = ?"none", otel.status_description = "out of paper"));
        let late = info_span!(
            "c",
            otel.name = field::Empty,
            otel.kind = field::Empty,
            otel.status_code = field::Empty
        );
        late.record("otel.name", "named late")
            .record("otel.kind", "producer")
            .record("otel.status_code", "error");
    });
    assert_eq!(recorded.span("named").status, Status::Ok);
    assert_eq!(text(recorded.span("named"), names::SPAN_KIND), Some("server"));
    assert_eq!(recorded.span("b").error_message(), Some("out of paper"));
    assert_eq!(recorded.span("named late").status, Status::Error);
}

#[test]
fn the_kind_is_said_by_a_field() {
    let recorded = crate::record(|| {
        drop(info_span!("a", spanring.kind = "tool"));
        drop(info_span!("b", gen_ai.operation.name = "chat", gen_ai.usage.input_tokens = 12));
        drop(info_span!("c", gen_ai.operation.name = "chat", spanring.kind = %"agent"));
        drop(info_span!("d", spanring.kind = "no such kind"));
        let late = info_span!("e", spanring.kind = field::Empty, otel.name = field::Empty);
        late.in_scope(|| late.record("spanring.kind", "tool").record("otel.name", "f"));
    });
    let kind = |name| recorded.span(name).kind;
    assert_eq!([kind("a"), kind("b"), kind("c")], [Kind::Tool, Kind::Llm, Kind::Agent]);
    assert_eq!(recorded.span("a").get(names::KIND), None);
    assert_eq!(text(recorded.span("b"), names::OPERATION_NAME), Some("chat"));
    assert_eq!(recorded.span("b").tokens().map(|tokens| tokens.input), Some(Some(12)));
    assert_eq!(text(recorded.span("d"), names::KIND), Some("no such kind"));
    assert_eq!((kind("f"), text(recorded.span("f"), names::KIND)), (Kind::Custom, Some("tool")));
}

#[test]
fn events_of_every_level_stand_in_their_span() {
    let recorded = compare(|_| {
        let outer = info_span!("outer");
        let _entered = outer.enter();
        tracing::trace!("tracing");
        debug!(target: "elsewhere", "debugging");
        info_span!("inner").in_scope(|| {
            warn!(parent: &outer, "warning the outer one");
            info!(parent: None, "to nobody");
            error!(code = 7, "failing {}", "the inner one");
        });
        info!("informing");
    });
    let said = |name| recorded.span(name).events.iter().map(|event| &event.name[..]).collect::<Vec<_>>();
    assert_eq!(said("outer"), ["tracing", "debugging", "warning the outer one", "informing"]);
    assert_eq!(said("inner"), ["failing the inner one"]);
    assert_eq!(recorded.span("inner").error_message(), Some("failing the inner one"));
}

#[test]
fn an_error_tells_its_type_and_its_causes() {
    let recorded = compare(|_| {
        let refused = Refused { by: Bank };
        let refused = &refused as &(dyn Error + 'static);
        // Both say it of the span here, as the event lets it fail.
        info_span!("by an event").in_scope(|| error!(refused, "giving up"));
    });
    let span = recorded.span("by an event");
    assert_eq!((span.error_type(), span.error_causes()), (Some("Refused"), vec!["no such bank"]));
    assert_eq!((span.status, span.error_message()), (Status::Error, Some("payment refused")));
    let event = &span.events[0];
    assert_eq!(event.name, "giving up");
    assert!(event.attributes.contains(&("refused".to_owned(), Value::from("payment refused"))));

    let recorded = crate::record(|| {
        let refused = Refused { by: Bank };
        let refused = &refused as &(dyn Error + 'static);
        drop(info_span!("by a field", refused));
        info_span!("without a message").in_scope(|| info!(refused));
    });
    let span = recorded.span("by a field");
    assert_eq!((span.error_type(), span.error_causes()), (Some("Refused"), vec!["no such bank"]));
    assert_eq!((span.status, text(span, "refused")), (Status::Unset, Some("payment refused")));
    let span = recorded.span("without a message");
    assert_eq!((span.status, span.error_type()), (Status::Unset, None), "no event of level ERROR");
    assert_eq!(span.events[0].name, "exception");
}

#[test]
fn a_success_that_was_said_is_not_undone_by_events() {
    let recorded = compare(|_| {
        info_span!("said", otel.status_code = "ok").in_scope(|| error!("but all is well"));
    });
    assert_eq!(recorded.span("said").status, Status::Ok);
}

#[test]
fn spans_follow_from_others() {
    compare(|_| {
        let first = info_span!("first");
        let second = info_span!("second");
        let third = info_span!("third");
        third.follows_from(&first);
        third.in_scope(|| third.follows_from(&second));
        second.follows_from(first.id());
        let closed = trace_span!("closed").id();
        first.follows_from(closed);
    });
}

#[test]
fn explicit_parents_and_roots_count_whatever_is_entered() {
    let recorded = compare(|_| {
        let outer = info_span!("outer");
        let other = info_span!("other");
        let _entered = outer.enter();
        let root = info_span!(parent: None, "root");
        drop(info_span!(parent: &other, "of the other"));
        drop(info_span!(parent: root.id(), "of the root"));
        root.in_scope(|| drop(info_span!("within the root")));
        drop(info_span!("of the outer"));
    });
    assert_eq!(recorded.parent("root"), None);
    assert_eq!(recorded.parent("within the root"), Some("root"));
}

#[instrument(fields(answer, otel.name))]
async fn ask(question: &'static str) -> u32 {
    tokio::task::yield_now().await;
    info!("thinking");
    look_up().instrument(info_span!("look up", %question, otel.name = format!("look up {question}"))).await;
    tracing::Span::current().record("answer", 42);
    tracing::Span::current().record("otel.name", format!("ask {question}"));
    42
}

async fn look_up() {
    for attempt in 0..5 {
        tokio::task::yield_now().await;
        info!(attempt, "looking");
    }
}

#[test]
fn futures_take_their_spans_along_from_thread_to_thread() {
    let recorded = crate::record(|| {
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        let tasks = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|question| {
            let run = info_span!("run", otel.name = format!("run {question}"));
            runtime.spawn(ask(question).instrument(run).with_subscriber(dispatch.clone()))
        });
        for task in tasks {
            assert_eq!(runtime.block_on(task).unwrap(), 42);
        }
    });
    assert_eq!(recorded.spans.len(), 24);
    for question in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let name = |span: &str| format!("{span} {question}");
        assert_eq!(recorded.parent(&name("run")), None);
        assert_eq!(recorded.parent(&name("ask")), Some(&name("run")[..]));
        assert_eq!(recorded.parent(&name("look up")), Some(&name("ask")[..]));
        assert_eq!(recorded.span(&name("look up")).events.len(), 5);
        assert_eq!(recorded.span(&name("ask")).get("answer"), Some(&Value::I64(42)));
    }
}

#[test]
fn futures_are_seen_alike() {
    compare(|_| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(
            async {
                let one = look_up().instrument(info_span!("one"));
                let other = look_up().instrument(info_span!("other"));
                tokio::join!(one, other, async {
                    drop(info_span!("beside them"));
                });
            }
            .instrument(info_span!("both")),
        );
    });
}

#[test]
fn spans_go_to_other_threads_and_end_there() {
    let recorded = compare(|dispatch| {
        let run = info_span!("run");
        let handles = [run.clone(), run.clone(), run];
        std::thread::scope(|scope| {
            for (number, handle) in handles.into_iter().enumerate() {
                scope.spawn(move || {
                    tracing::dispatcher::with_default(dispatch, || {
                        handle.in_scope(|| drop(info_span!("work", otel.name = format!("work {number}"))));
                        drop(handle);
                    });
                });
            }
        });
    });
    assert_eq!(recorded.parent("work 2"), Some("run"));
}

#[test]
fn what_was_logged_with_the_crate_log_says_where_it_came_from() {
    let recorded = crate::record(|| {
        info_span!("span").in_scope(|| {
            tracing::event!(
                target: "log",
                Level::WARN,
                log.target = "library",
                log.module_path = "library::module",
                log.file = "module.rs",
                log.line = 3,
                "logged"
            );
        });
    });
    let event = &recorded.span("span").events[0];
    let mut attributes: Vec<_> =
        event.attributes.iter().map(|(key, value)| (&key[..], value.clone())).collect();
    attributes.sort_by_key(|(key, _)| *key);
    let expected = [
        ("code.file.path", Value::from("module.rs")),
        ("code.line.number", Value::U64(3)),
        ("code.module.name", Value::from("library::module")),
        ("level", Value::from("WARN")),
        ("target", Value::from("library")),
    ];
    assert_eq!((&event.name[..], attributes), ("logged", expected.to_vec()));
}

#[test]
fn what_is_switched_off_is_not_recorded() {
    use tracing_subscriber::prelude::*;
    let place = crate::Place::new();
    let spool = place.spool().start().unwrap();
    let layer = spanring::bridge::tracing::layer()
        .with_location(false)
        .with_level(false)
        .with_target(false)
        .with_threads(false)
        .with_error_status(false);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        info_span!("bare", a = 1).in_scope(|| error!(b = 2, "bare event"));
    });
    let recorded = place.stop(spool);
    let span = recorded.span("bare");
    assert_eq!(span.attributes, [("a".to_owned(), Value::I64(1))]);
    assert_eq!(span.events[0].attributes, [("b".to_owned(), Value::I64(2))]);
    assert_eq!(span.status, Status::Unset);
}

#[test]
fn a_layer_goes_with_filters_of_its_own() {
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::prelude::*;
    let place = crate::Place::new();
    let spool = place.spool().start().unwrap();
    let layer = spanring::bridge::tracing::layer().with_filter(LevelFilter::from_level(Level::INFO));
    let all = tracing_subscriber::layer::Identity::new();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer).with(all), || {
        let outer = info_span!("outer");
        let hidden = outer.in_scope(|| tracing::debug_span!("hidden"));
        assert_eq!(context_of(&hidden), context_of(&outer), "the nearest that was seen");
        outer.in_scope(|| {
            hidden.in_scope(|| {
                drop(info_span!("inner"));
                info!("of the outer one");
            });
            drop(info_span!(parent: &hidden, "of the hidden one"));
        });
    });
    let recorded = place.stop(spool);
    assert_eq!(recorded.spans.len(), 3);
    assert_eq!(recorded.parent("inner"), Some("outer"));
    assert_eq!(recorded.parent("of the hidden one"), None);
    assert_eq!(recorded.span("outer").events.len(), 1);
}
