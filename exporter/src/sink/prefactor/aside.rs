//! What is known of a span that was refused, and is kept with it: to be the same when it is replayed, by a sink that knows nothing else of its process.

use spanring::{SpanId, TraceId};
use spanring_spool::{RecorderId, SpanData, Value};

use super::super::prefactor_answer::ID_LEN_MAX;
use super::book::{Book, Key};
use super::told::There;
use super::{PrefactorSink, TYPES_MAX};

/// The server's identity of its parent.
const PARENT: &str = "prefactor.parent_span_id";
/// The types that had turned up in its instance, and are declared.
const TYPES: &str = "prefactor.span_types";
/// The digest of its instance as it was declared, where the server had refused that, so that it is one with open schemas.
const REFUSED: &str = "prefactor.refused_instance";

/// To which instance a sink has sent spans.
pub(super) struct At {
    pub(super) recorder: RecorderId,
    pub(super) digest: TraceId,
    /// The digest of the one that the server has refused, in place of which it is.
    pub(super) refused: Option<TraceId>,
}

/// What was known of a span that comes out of the dead letters.
pub(super) struct Aside {
    identity: (TraceId, SpanId),
    parent: Option<((TraceId, SpanId), String)>,
    types: Vec<String>,
    refused: Option<String>,
}

impl PrefactorSink {
    /// What is known of a span of this instance, which it was sent last.
    pub(super) fn aside(&self, at: &At, span: &SpanData) -> Vec<(String, Value)> {
        let At { recorder, digest, refused } = at;
        let Some(book) = self.books.get(recorder) else { return Vec::new() };
        let parent = span.parent_id.and_then(|parent| book.span(&Key::Span(*digest, span.trace_id, parent)));
        let types = book.declared(*digest);
        let parent = parent.map(|parent| (PARENT.to_owned(), Value::from(parent.id)));
        let types = (!types.is_empty())
            .then(|| (TYPES.to_owned(), Value::List(types.into_iter().map(Value::from).collect())));
        let refused = refused.map(|refused| (REFUSED.to_owned(), Value::from(refused.to_string())));
        parent.into_iter().chain(types).chain(refused).collect()
    }
}

impl Aside {
    /// What a dead letter says was known of its span.
    pub(super) fn of(span: &SpanData, known: &[(String, Value)]) -> Self {
        let said = |key: &str| known.iter().find(|(known, _)| known == key).map(|(_, value)| value);
        let id = said(PARENT).and_then(Value::as_str).filter(|id| (1..=ID_LEN_MAX).contains(&id.len()));
        let types = match said(TYPES) {
            Some(Value::List(types)) => types.iter().filter_map(Value::as_str).take(TYPES_MAX).collect(),
            _ => Vec::new(),
        };
        Aside {
            identity: (span.trace_id, span.span_id),
            parent: span.parent_id.zip(id).map(|(parent, id)| ((span.trace_id, parent), id.to_owned())),
            types: types.into_iter().map(str::to_owned).collect(),
            refused: said(REFUSED).and_then(Value::as_str).map(str::to_owned),
        }
    }

    pub(super) fn is_of(&self, span: &SpanData) -> bool {
        self.identity == (span.trace_id, span.span_id)
    }

    /// Whether the server had refused the schemas of the instance that has this digest.
    pub(super) fn is_refused(&self, digest: TraceId) -> bool {
        self.refused.as_ref().is_some_and(|refused| *refused == digest.to_string())
    }

    /// The types that are declared beside those that every instance has.
    pub(super) fn types(&self) -> &[String] {
        &self.types
    }

    /// Has a book know the span's parent, if it does not.
    pub(super) fn tell(&self, digest: TraceId, book: &mut Book) {
        if let Some(((trace_id, parent), id)) = &self.parent {
            let key = Key::Span(digest, *trace_id, *parent);
            if book.span(&key).is_none() {
                let there = There { id, is_finished: true, is_recorded: true, is_announced: false };
                book.set_span(key, there);
            }
        }
    }
}
