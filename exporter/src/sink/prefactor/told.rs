//! What there is to be told of one span, and by which requests.
//!
//! A span is created, then finished where it was not created so, and then what it says of quality is recorded. Which request is next follows from what
//! of it is there, and each is the same whenever it is sent.

use serde_json::Value as Json;
use spanring::{SpanId, TraceId};
use spanring_spool::SpanData;

use super::super::prefactor_answer::Answered;
use crate::prefactor::{Contents, Instance, Said, cancel, create, finish, lose, quality, start};

/// What there is to be told of a span.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    /// What it is created with: what was announced of it, or the span.
    first: &'a SpanData,
    /// What was announced of it.
    start: Option<&'a SpanData>,
    end: End<'a>,
    form: Form,
}

/// How a span ended.
#[derive(Clone, Copy)]
enum End<'a> {
    /// It has not.
    Open,
    Ended(&'a SpanData),
    /// Nobody knows.
    Lost,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Created finished, if it can be.
    Whole,
    /// Created as it started, and finished by another request.
    Started {
        /// Whether it comes by itself, so that nobody knows what was said of it before.
        is_alone: bool,
    },
}

/// A span that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct There<'a> {
    /// The server's identity of it.
    pub(super) id: &'a str,
    /// Whether it is there as it ended.
    pub(super) is_finished: bool,
    /// Whether what it says of quality is there too.
    pub(super) is_recorded: bool,
    /// Whether it was created with what was announced of it.
    pub(super) is_announced: bool,
}

/// Which request about a span is next, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Step {
    Create,
    Finish,
    /// Its records of quality.
    Record,
    /// None.
    Done,
}

/// Where a request about a span belongs.
pub(super) struct Place<'a> {
    pub(super) instance: &'a Instance,
    /// The server's identity of it.
    pub(super) instance_id: &'a str,
    pub(super) contents: &'a Contents,
}

impl<'a> Told<'a> {
    /// A span that has ended, or was given up before it started, in one request if that can be.
    pub(super) fn whole(span: &'a SpanData) -> Self {
        Told { first: span, start: None, end: End::Ended(span), form: Form::Whole }
    }

    /// A span that has ended, and what was announced of it. One that comes by itself is `alone`.
    pub(super) fn ended(span: &'a SpanData, start: Option<&'a SpanData>, is_alone: bool) -> Self {
        let form = Form::Started { is_alone };
        Told { first: start.unwrap_or(span), start, end: End::Ended(span), form }
    }

    /// A span that runs.
    pub(super) fn open(start: &'a SpanData) -> Self {
        let form = Form::Started { is_alone: false };
        Told { first: start, start: Some(start), end: End::Open, form }
    }

    /// A span that was announced, and of which nobody knows how it ended.
    pub(super) fn lost(start: &'a SpanData) -> Self {
        Told { end: End::Lost, ..Told::open(start) }
    }

    /// What it is created with.
    pub(super) fn first(&self) -> &'a SpanData {
        self.first
    }

    pub(super) fn identity(&self) -> (TraceId, SpanId) {
        (self.first.trace_id, self.first.span_id)
    }

    pub(super) fn parent(&self) -> Option<(TraceId, SpanId)> {
        Some((self.first.trace_id, self.first.parent_id?))
    }

    /// Of which names it has records of quality.
    pub(super) fn recorded_names(&self) -> impl Iterator<Item = &'a str> {
        let records = self.records_of().map(SpanData::quality).unwrap_or_default();
        records.iter().filter_map(|record| record.get("name").and_then(spanring_spool::Value::as_str))
    }

    /// Which request is next, where so much of it is there.
    pub(super) fn step(&self, there: Option<There<'_>>) -> Step {
        match there {
            None => Step::Create,
            Some(there) if !there.is_finished && !matches!(self.end, End::Open) => Step::Finish,
            Some(there) if !there.is_recorded && self.recorded_names().next().is_some() => Step::Record,
            Some(_) => Step::Done,
        }
    }

    /// The body that creates it, under a parent that has this identity there.
    pub(super) fn create(&self, parent_id: Option<&str>, place: &Place<'_>) -> Json {
        let Place { instance, instance_id, contents } = *place;
        match self.form {
            Form::Whole => create(self.first, instance_id, parent_id, instance, contents),
            Form::Started { .. } => start(self.first, instance_id, parent_id, instance, contents),
        }
    }

    /// What is there once it was created, as the server said.
    pub(super) fn created<'c>(&self, created: &'c Answered) -> There<'c> {
        // It may have been created by an exporter that shows spans while they run.
        let is_finished = self.form == Form::Whole && !self.first.is_pending && !created.is_active;
        There { id: &created.id, is_finished, is_recorded: false, is_announced: self.start.is_some() }
    }

    /// The body that finishes it, which is there.
    pub(super) fn finish(&self, there: There<'_>, place: &Place<'_>) -> Json {
        let Place { instance, contents, .. } = *place;
        let End::Ended(span) = self.end else { return lose(self.first, instance) };
        let said = match (self.form, self.start) {
            (Form::Whole, _) if span.is_pending => return cancel(span, instance),
            (Form::Whole | Form::Started { is_alone: true }, _) => Said::Unknown,
            (_, Some(start)) => Said::Start(start),
            // It cannot be read any more.
            (_, None) if there.is_announced => Said::Unknown,
            (_, None) => Said::Payload,
        };
        finish(span, said, instance, contents)
    }

    /// The bodies that record what it says of quality.
    pub(super) fn records(&self, place: &Place<'_>) -> Vec<Json> {
        let span = self.records_of();
        span.map(|span| quality(span, place.instance, place.contents)).unwrap_or_default()
    }

    fn records_of(&self) -> Option<&'a SpanData> {
        match self.end {
            End::Ended(span) => Some(span),
            End::Open | End::Lost => None,
        }
    }
}
