//! A dead letter as the command shows it, and by which identities it is asked for.

use std::fmt;

use serde_json::{Value as Json, json};
use spanring::{SpanId, TraceId};
use spanring_spool::{DeadLetter, DeadTrace, Letter};

/// What a letter is asked for by. A trace's is that of each letter of a span of it, too; the spans of a letter of a whole trace are not asked for
/// one by one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Identity {
    Span(SpanId),
    Trace(TraceId),
}

/// By which a letter is asked for.
pub(super) fn identities(letter: &Letter) -> Vec<Identity> {
    match letter {
        Letter::Span(letter) => {
            vec![Identity::Span(letter.span.span_id), Identity::Trace(letter.span.trace_id)]
        }
        Letter::Trace(trace, _) => vec![Identity::Trace(trace.trace_id)],
    }
}

/// What is said of a letter, without what it holds.
pub(super) fn about(letter: &Letter) -> Json {
    let about = |sink: &str, reason: &str, set_aside_unix_ns: u64, recorder: &str| {
        json!({
            "sink": sink,
            "reason": reason,
            "set_aside_unix_ns": set_aside_unix_ns.to_string(),
            "recorder": recorder,
        })
    };
    match letter {
        Letter::Span(letter) => {
            let DeadLetter { sink, reason, set_aside_unix_ns, recorder, span, .. } = letter;
            let mut about = about(sink, reason, *set_aside_unix_ns, recorder.as_str());
            about["span_id"] = span.span_id.to_string().into();
            about["trace_id"] = span.trace_id.to_string().into();
            about
        }
        Letter::Trace(trace, _) => {
            let DeadTrace { sink, reason, set_aside_unix_ns, recorder, trace_id, spans, .. } = trace;
            let mut about = about(sink, reason, *set_aside_unix_ns, recorder.as_str());
            about["trace_id"] = trace_id.to_string().into();
            about["spans"] = (*spans).into();
            about
        }
    }
}

/// The same on one line of text.
pub(super) fn line(letter: &Letter) -> String {
    let (what, reason) = match letter {
        Letter::Span(letter) => {
            (format!("{} of trace {}", letter.span.span_id, letter.span.trace_id), &letter.reason)
        }
        Letter::Trace(trace, _) => {
            (format!("trace {} of {} spans", trace.trace_id, trace.spans), &trace.reason)
        }
    };
    let on_one_line = |text: &str| text.replace(char::is_control, " ");
    format!("{what}, {}: {}", on_one_line(letter.sink()), on_one_line(reason))
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Span(span) => write!(f, "span {span}"),
            Identity::Trace(trace) => write!(f, "trace {trace}"),
        }
    }
}

pub(super) fn identity(text: &str) -> Result<Identity, String> {
    let span = SpanId::parse(text).map(Identity::Span);
    let trace = || TraceId::parse(text).map(Identity::Trace);
    span.or_else(trace)
        .ok_or_else(|| "the identity of a span is 16 hexadecimal digits, that of a trace is 32".to_owned())
}
