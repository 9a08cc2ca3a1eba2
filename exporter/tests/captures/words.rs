//! What a system calls kinds and statuses.
//!
//! A name that spanring has a counterpart for is recorded as that alone, any other is kept verbatim: what is written again then shows
//! that either is held.

use spanring::{Kind, Span, Status, System};
use spanring_spool::SpanData;

/// The kind that `system` calls so.
pub(crate) fn kind(system: System, name: &str) -> Kind {
    Kind::from_name_in(system, name).unwrap_or_default()
}

/// Says what the kind alone does not say.
pub(crate) fn say_type(span: &Span, system: System, name: &str) {
    if span.kind().name_in(system) != name {
        span.type_name(name);
    }
}

/// What `system` calls the span's kind.
pub(crate) fn kind_name(span: &SpanData, system: System) -> &str {
    span.type_name().unwrap_or(span.kind.name_in(system))
}

/// What a system calls statuses.
pub(crate) struct Statuses(pub(crate) &'static [(&'static str, Status)]);

impl Statuses {
    pub(crate) fn say(&self, span: &Span, name: &str) {
        match self.0.iter().find(|(known, _)| *known == name) {
            Some((_, status)) => span.set_status(*status),
            None => span.foreign_status(name),
        };
    }

    pub(crate) fn name<'a>(&self, span: &'a SpanData) -> &'a str {
        let known = || self.0.iter().find(|(_, status)| *status == span.status).map(|(name, _)| *name);
        span.foreign_status().or_else(known).unwrap_or_else(|| panic!("{:?} has no name", span.status))
    }
}
