//! The libraries that recorded the spans, by which OTLP groups them.

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use spanring::names;

use super::value;

/// The spans by their scope, in the order in which each scope comes first.
pub(super) fn by_scope(spans: impl Iterator<Item = Span>) -> Vec<ScopeSpans> {
    let mut groups: Vec<ScopeSpans> = Vec::new();
    for mut span in spans {
        let scope = take(&mut span.attributes);
        match groups.iter_mut().find(|group| group.scope.as_ref() == Some(&scope)) {
            Some(group) => group.spans.push(span),
            None => groups.push(ScopeSpans { scope: Some(scope), spans: vec![span], ..Default::default() }),
        }
    }
    groups
}

/// Takes the scope out of a span's attributes.
fn take(attributes: &mut Vec<KeyValue>) -> InstrumentationScope {
    let (name, version) = match value::take_text(attributes, names::SCOPE_NAME) {
        Some(name) => (name, value::take_text(attributes, names::SCOPE_VERSION).unwrap_or_default()),
        None => ("spanring".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    };
    InstrumentationScope { name, version, ..Default::default() }
}
