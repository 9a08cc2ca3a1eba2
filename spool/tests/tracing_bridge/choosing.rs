//! What is chosen and redacted, of the spans of `tracing` and of those beside them.

use std::error::Error;
use std::fmt;

use spanring::bridge::tracing::{context_of, layer, with_span};
use spanring::redaction::Redaction;
use spanring::sampling::{KindRates, Root};
use spanring::{Context, Kind, SpanId, Status, TraceId};
use spanring_spool::SpoolBuilder;
use tracing::{error, field, info, info_span};
use tracing_subscriber::prelude::*;

use crate::{Place, Recorded, text};

/// Runs a program with the layer and what was chosen, and reads what it recorded, and how many spans were sampled out.
fn record(choose: impl FnOnce(SpoolBuilder) -> SpoolBuilder, program: impl FnOnce()) -> (Recorded, u64) {
    let place = Place::new();
    let spool = choose(place.spool()).start().unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer()), program);
    let sampled_out = spool.ledger().sampled_out;
    (place.stop(spool), sampled_out)
}

#[test]
fn a_trace_that_is_sampled_out_has_no_spans_of_either_world_and_its_contexts_say_so() {
    let (recorded, sampled_out) = record(
        |spool| spool.sampler(|root: &Root<'_>| root.name() != "out"),
        || {
            let out = info_span!("out", late = field::Empty);
            out.in_scope(|| {
                let context = Context::current();
                assert!(context.is_valid() && !context.is_sampled());
                assert!(context.traceparent().unwrap().as_str().ends_with("-00"));
                let ours = spanring::tool("ours").start();
                assert!(!ours.is_recording() && !ours.context().is_sampled());
                ours.in_scope(|| info_span!("theirs below ours").in_scope(|| error!("unheard")));
                out.record("late", "unseen");
                info!("unheard");
            });
            assert!(!context_of(&out).is_sampled() && !with_span(&out, |_| ()));
            let below = info_span!(parent: &out, "theirs by name");
            drop(out);
            below.in_scope(|| drop(spanring::span("after its root").start()));
            spanring::span("kept").start().in_scope(|| {
                drop(info_span!("also kept"));
                info_span!(parent: None, "out").in_scope(|| drop(spanring::span("lost").start()));
            });
        },
    );
    let mut names = recorded.names();
    names.sort_unstable();
    assert_eq!(names, ["also kept", "kept"]);
    assert_eq!(sampled_out, 7);
}

#[test]
fn another_process_decides_about_the_spans_of_tracing_too() {
    let remote = Context::remote(TraceId::from_bytes([1; 16]), SpanId::from_bytes([2; 8]), false);
    let (recorded, sampled_out) = record(
        |spool| spool,
        || {
            let request = remote.in_scope(|| info_span!("request"));
            assert_eq!(context_of(&request).trace_id(), remote.trace_id());
            assert!(!context_of(&request).is_sampled() && !context_of(&request).is_remote());
            request.in_scope(|| drop(info_span!("handle")));
        },
    );
    assert!(recorded.spans.is_empty());
    assert_eq!(sampled_out, 2);
}

#[test]
fn what_is_under_a_span_of_a_kind_that_is_left_out_is_under_what_that_is_under() {
    let (recorded, sampled_out) = record(
        |spool| spool.kind_rates(KindRates::default().rate(Kind::Embedding, 0.0)),
        || {
            info_span!("run").in_scope(|| {
                let run = Context::current();
                let middle = info_span!("middle", spanring.kind = "embedding");
                assert_eq!(context_of(&middle), run);
                middle.in_scope(|| {
                    info!("unheard");
                    assert_eq!(Context::current(), run);
                    drop(info_span!("theirs"));
                    drop(spanring::tool("ours").start());
                });
                drop(info_span!(parent: &middle, "by name"));
                assert_eq!(Context::current(), run);
            });
        },
    );
    for name in ["theirs", "execute_tool ours", "by name"] {
        assert_eq!(recorded.parent(name), Some("run"));
    }
    assert!(recorded.span("run").events.is_empty());
    assert_eq!((recorded.spans.len(), sampled_out), (4, 1));
}

#[derive(Debug)]
struct Leaks;

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the secret is 42")
    }
}

impl Error for Leaks {}

/// What a field says is also the status message, the name of an event, or `exception.message`.
#[test]
fn what_is_redacted_by_the_key_of_a_field_is_not_recorded_under_another() {
    let program = || {
        let leaks: &(dyn Error + 'static) = &Leaks;
        let span = info_span!("span", reason = leaks, late = field::Empty, otel.status_message = "secret");
        span.record("late", leaks);
        span.in_scope(|| {
            error!(reason = leaks, "an error");
            error!(error = "the secret is 42");
            error!("the secret is {}", 42);
            info!(reason = leaks);
        });
        drop(span);
        info_span!("other").in_scope(|| error!(error = leaks));
    };
    let keys = ["reason", "late", "error", "message", "otel.status_message"];
    let (recorded, _) = record(|spool| spool.redact(Redaction::new().keys(keys)), program);
    let shown = format!("{:?}", recorded.spans);
    assert!(!shown.contains("secret"), "{shown}");
    let span = recorded.span("span");
    assert_eq!((span.status, span.error_message()), (Status::Error, None));
    assert_eq!(text(span, "reason"), Some("[redacted]"));
    assert_eq!(span.events.len(), 4);
    assert_eq!(
        (recorded.span("other").status, recorded.span("other").error_message()),
        (Status::Error, None)
    );

    let (recorded, _) = record(|spool| spool, program);
    assert_eq!(recorded.span("span").error_message(), Some("the secret is 42"));
    assert_eq!(recorded.span("span").events[2].name, "the secret is 42");
}
