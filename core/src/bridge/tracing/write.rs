//! What becomes of fields and events on a span.
//!
//! What a field says may be recorded in other places than under its name. Where redaction withholds it by its name, it is not.

use std::thread;

use ::tracing::{Level, Metadata};

use super::values::{Seen, Values};
use super::{OTEL_NAME, SpanringLayer};
use crate::fields::SpanKind;
use crate::item::Event;
use crate::span::Span;
use crate::{Kind, Status, names};

const LEVEL: &str = "level";
const TARGET: &str = "target";
const FILE: &str = "code.file.path";
const LINE: &str = "code.line.number";
const MODULE: &str = "code.module.name";
const THREAD_ID: &str = "thread.id";
const THREAD_NAME: &str = "thread.name";

const MESSAGE: &str = "message";
/// What `#[instrument(err)]` calls an error.
const ERROR: &str = "error";
const EXCEPTION: &str = "exception";
const EXCEPTION_MESSAGE: &str = "exception.message";
const EXCEPTION_TYPE: &str = "exception.type";
/// How many bytes the name of an event keeps.
const EVENT_NAME_LEN_MAX: usize = 904;

impl SpanringLayer {
    /// Sets what is known of the place where a span starts.
    pub(super) fn write_origin(&self, span: &Span, metadata: &'static Metadata<'static>) {
        if self.location {
            let Location { file, line, module } = Location::of(metadata, None);
            span.set(FILE, file).set(MODULE, module).set(LINE, line);
        }
        if self.threads {
            span.set(THREAD_ID, this_thread_id()).set(THREAD_NAME, thread::current().name());
        }
        if self.level {
            span.set(LEVEL, metadata.level().as_str());
        }
        if self.target {
            span.set(TARGET, metadata.target());
        }
    }

    /// Records an event on a span.
    pub(super) fn write_event(&self, span: &Span, metadata: &'static Metadata<'static>, values: &Values) {
        let message = values.text(MESSAGE);
        let error = values.text(ERROR).filter(|_| message.is_none());
        if self.error_status && (error.is_some() || *metadata.level() == Level::ERROR) {
            fail(
                span,
                values,
                error.map(|error| (ERROR, error)).or(message.map(|message| (MESSAGE, message))),
            );
        }
        let is_exception = error.is_some() || message.is_none() && has_error(values);
        let withholds = |key: &str| span.withholds(key);
        let fill = |event: &Event<'_>| self.fill_event(event, metadata, values, error.is_some(), &withholds);
        match message.filter(|_| !withholds(MESSAGE)) {
            Some(message) => span.event_named(message, fill),
            None if is_exception => span.event_with(EXCEPTION, fill),
            None => span.event_with(metadata.name(), fill),
        };
        (0..values.cut).for_each(|_| span.count_left_out());
    }

    fn fill_event(
        &self,
        event: &Event<'_>,
        metadata: &'static Metadata<'static>,
        values: &Values,
        has_error_text: bool,
        withholds: &dyn Fn(&str) -> bool,
    ) {
        // What came from the crate `log` says in fields where it came from.
        let logged = values.text("log.target").map(|target| (target, values));
        if self.level {
            event.set(LEVEL, metadata.level().as_str());
        }
        if self.target {
            event.set(TARGET, logged.map_or(metadata.target(), |(target, _)| target));
        }
        if self.location {
            let Location { file, line, module } = Location::of(metadata, logged.map(|(_, values)| values));
            event.set(FILE, file);
            event.set(MODULE, module);
            event.set(LINE, line);
        }
        for (name, seen) in values.iter() {
            match (name, seen) {
                // It is the event's name, which may be too short for it.
                (MESSAGE, Seen::Text(text)) if text.len() <= EVENT_NAME_LEN_MAX && !withholds(MESSAGE) => {}
                (ERROR, Seen::Text(text)) if has_error_text && !withholds(ERROR) => {
                    event.set(EXCEPTION_MESSAGE, text);
                }
                (name, _) if logged.is_some() && name.starts_with("log.") => {}
                (name, Seen::Error { message, type_name, causes }) => {
                    event.set(name, message);
                    if withholds(name) {
                        continue;
                    }
                    event.set(EXCEPTION_MESSAGE, message);
                    event.set(EXCEPTION_TYPE, type_name);
                    if !causes.is_empty() {
                        event.set_value(names::ERROR_CAUSES, causes);
                    }
                }
                (name, Seen::Bool(value)) => event.set(name, value),
                (name, Seen::I64(value)) => event.set(name, value),
                (name, Seen::U64(value)) => event.set(name, value),
                (name, Seen::F64(value)) => event.set(name, value),
                (name, Seen::Text(text)) => event.set(name, text),
                (name, Seen::Bytes(bytes)) => event.set(name, bytes),
            }
        }
    }
}

/// Sets fields on a span, which has just started or is open for a while.
pub(super) fn write_fields(span: &Span, values: &Values, has_just_started: bool) {
    for (name, seen) in values.iter() {
        if let Seen::Text(text) = seen
            && write_special(span, name, text, has_just_started)
        {
            continue;
        }
        match seen {
            Seen::Error { message, .. } => {
                span.set(name, message);
                if !span.withholds(name) {
                    span.status_message(message);
                    write_error(span, seen);
                }
            }
            Seen::Bool(value) => _ = span.set(name, value),
            Seen::I64(value) => _ = span.set(name, value),
            Seen::U64(value) => _ = span.set(name, value),
            Seen::F64(value) => _ = span.set(name, value),
            Seen::Text(text) => _ = span.set(name, text),
            Seen::Bytes(bytes) => _ = span.set(name, bytes),
        }
    }
    (0..values.cut).for_each(|_| span.count_left_out());
}

/// Does what a field asks for that says something about the span itself. `false` where it is an attribute like others.
fn write_special(span: &Span, name: &str, text: &str, has_just_started: bool) -> bool {
    match name {
        // It started with it.
        OTEL_NAME if has_just_started => true,
        OTEL_NAME => {
            span.rename(text);
            true
        }
        names::KIND => has_just_started && Kind::from_name(text).is_some(),
        "otel.kind" => {
            let kind = SpanKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text));
            kind.map(|kind| span.span_kind(kind)).is_some()
        }
        "otel.status_code" => {
            let status = Status::ALL.iter().find(|status| status.name().eq_ignore_ascii_case(text));
            status.map(|status| span.set_status(*status)).is_some()
        }
        "otel.status_description" | "otel.status_message" => {
            span.set_status(Status::Error);
            if !span.withholds(name) {
                span.status_message(text);
            }
            true
        }
        _ => false,
    }
}

/// What an event says that makes its span fail, by an error or else by the text of a field. A span that somebody has said more about than
/// that it failed stays as it is.
fn fail(span: &Span, values: &Values, text: Option<(&str, &str)>) {
    if !matches!(span.status(), Status::Unset | Status::Error) {
        return;
    }
    span.set_status(Status::Error);
    let mut errors = values.iter().filter(|(_, seen)| matches!(seen, Seen::Error { .. }));
    let error = errors.find(|(name, _)| !span.withholds(name)).map(|(_, seen)| seen);
    let message = match error {
        Some(Seen::Error { message, .. }) => Some(message),
        _ => text.filter(|(name, _)| !span.withholds(name)).map(|(_, text)| text),
    };
    if let Some(message) = message {
        span.status_message(message);
    }
    if let Some(error) = error {
        write_error(span, error);
    }
}

/// Sets the type of an error and what caused it, as [`Span::error`] would.
fn write_error(span: &Span, error: Seen<'_>) {
    if let Seen::Error { type_name, causes, .. } = error {
        span.set(names::ERROR_TYPE, type_name);
        causes.iter().for_each(|cause| _ = span.error_cause(cause));
    }
}

fn has_error(values: &Values) -> bool {
    values.iter().any(|(_, seen)| matches!(seen, Seen::Error { .. }))
}

struct Location<'a> {
    file: Option<&'a str>,
    line: Option<u64>,
    module: Option<&'a str>,
}

impl<'a> Location<'a> {
    fn of(metadata: &'static Metadata<'static>, logged: Option<&'a Values>) -> Self {
        match logged {
            Some(values) => Location {
                file: values.text("log.file"),
                line: values.number("log.line"),
                module: values.text("log.module_path"),
            },
            None => Location {
                file: metadata.file(),
                line: metadata.line().map(u64::from),
                module: metadata.module_path(),
            },
        }
    }
}

/// The number of this thread, where its identity tells one.
fn this_thread_id() -> Option<u64> {
    thread_local! {
        static ID: Option<u64> = number_in(&format!("{:?}", thread::current().id()));
    }
    ID.try_with(|id| *id).ok().flatten()
}

fn number_in(text: &str) -> Option<u64> {
    text.trim_start_matches(|character: char| !character.is_ascii_digit()).trim_end_matches(')').parse().ok()
}
