//! The document of a trace: what is said of the whole, and then its spans, one at a time.

use std::io::{self, Write};

use super::span::{Form, Span, SpanStatus, moment};
use crate::dumps::{self, Object};

/// What is said of a trace as a whole, found span by span. Spans are told in the order in which they ended, as the document lists them.
///
/// | field | is |
/// |---|---|
/// | `trace_id` | that of the first span |
/// | `service_name` | the attribute `service.name` of the span that started first and has one; `unknown` where that is empty, or there is none |
/// | `started_at` | the first start |
/// | `completed_at` | the end of the span that started last, whichever ended last; the first start, if that span is open |
/// | `duration_ms` | the sum of all spans' |
/// | `status` | `ERROR` where the status of a span is an error, `SUCCESS` else |
///
/// All that is as the SDK has it. Of spans that started at once the first told counts as the first, and the last as the last.
#[derive(Clone, PartialEq, Debug)]
pub struct TraceSummary {
    trace_id: String,
    service: Option<Started<String>>,
    started_unix_us: u64,
    last: Started<Option<u64>>,
    duration_ms: f64,
    has_failed: bool,
    span_count: u64,
}

/// Something of a span that started at this moment.
#[derive(Clone, PartialEq, Debug)]
struct Started<T> {
    unix_us: u64,
    of: T,
}

impl TraceSummary {
    /// Of a trace with this one span.
    pub fn new(span: &Span) -> Self {
        let mut summary = TraceSummary {
            trace_id: span.trace_id.clone(),
            service: None,
            started_unix_us: span.started_unix_us,
            last: Started { unix_us: span.started_unix_us, of: None },
            duration_ms: 0.0,
            has_failed: false,
            span_count: 0,
        };
        summary.add(span);
        summary
    }

    /// Of a trace with these spans; `None` where there are none.
    pub fn of(spans: impl IntoIterator<Item = Span>) -> Option<Self> {
        let mut spans = spans.into_iter();
        let mut summary = Self::new(&spans.next()?);
        spans.for_each(|span| summary.add(&span));
        Some(summary)
    }

    /// Adds another span of the trace.
    pub fn add(&mut self, span: &Span) {
        let unix_us = span.started_unix_us;
        self.started_unix_us = self.started_unix_us.min(unix_us);
        if unix_us >= self.last.unix_us {
            self.last = Started { unix_us, of: span.ended_unix_us };
        }
        let is_first = self.service.as_ref().is_none_or(|earlier| unix_us < earlier.unix_us);
        if is_first && let Some(service) = span.get("service.name").and_then(|value| value.as_str()) {
            self.service = Some(Started { unix_us, of: service.to_owned() });
        }
        self.duration_ms += span.duration_ms().unwrap_or(0.0);
        self.has_failed |= span.status == SpanStatus::Error;
        self.span_count += 1;
    }

    /// The identity of the trace.
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// How many spans were told.
    pub fn span_count(&self) -> u64 {
        self.span_count
    }

    /// The document up to its first span.
    fn head(&self) -> String {
        let mut out = String::new();
        let mut object = Object::begin(&mut out);
        dumps::text(object.key("trace_id"), &self.trace_id);
        let service = self.service.as_ref().map(|service| service.of.as_str());
        dumps::text(object.key("service_name"), service.filter(|name| !name.is_empty()).unwrap_or("unknown"));
        moment(object.key("started_at"), Some(self.started_unix_us), Form::Request);
        let completed = self.last.of.unwrap_or(self.started_unix_us);
        moment(object.key("completed_at"), Some(completed), Form::Request);
        dumps::float(object.key("duration_ms"), self.duration_ms);
        dumps::text(object.key("status"), if self.has_failed { "ERROR" } else { "SUCCESS" });
        object.key("spans").push('[');
        out
    }
}

/// Writes the document of a trace, span by span. It is whole after [`end`](TraceWriter::end).
#[derive(Debug)]
pub struct TraceWriter<W> {
    to: W,
    /// What is written next, kept for its space.
    text: String,
    is_first: bool,
}

impl<W: Write> TraceWriter<W> {
    /// Writes what is said of the whole.
    ///
    /// # Errors
    ///
    /// What `to` says, here and below.
    pub fn begin(mut to: W, summary: &TraceSummary) -> io::Result<Self> {
        to.write_all(summary.head().as_bytes())?;
        Ok(TraceWriter { to, text: String::new(), is_first: true })
    }

    /// Writes the next span.
    ///
    /// # Errors
    ///
    /// As for [`begin`](Self::begin).
    pub fn span(&mut self, span: &Span) -> io::Result<()> {
        self.text.clear();
        if !std::mem::take(&mut self.is_first) {
            self.text.push_str(", ");
        }
        span.write(Form::Request, &mut self.text);
        self.to.write_all(self.text.as_bytes())
    }

    /// Ends the document, and gives back what it was written to.
    ///
    /// # Errors
    ///
    /// As for [`begin`](Self::begin).
    pub fn end(mut self) -> io::Result<W> {
        self.to.write_all(b"]}")?;
        Ok(self.to)
    }
}
