//! The libraries that recorded the spans, by which OTLP groups them.

use spanring::names;
use spanring_spool::Value;

use super::attributes::{Attributes, Given};
use super::protobuf::{Expected, message, text};

// Fields of `ScopeSpans`.
const SCOPE: u32 = 1;
/// Each is a span.
pub(super) const SPANS: u32 = 2;
const SCHEMA_URL: u32 = 3;

// Fields of `InstrumentationScope`.
const NAME: u32 = 1;
const VERSION: u32 = 2;
const ATTRIBUTES: u32 = 3;

/// Who recorded a span.
pub(super) struct Scope<'a> {
    name: &'a str,
    version: &'a str,
    schema_url: &'a str,
    /// As fields of `InstrumentationScope`.
    attributes: Vec<u8>,
}

/// The spans of one scope.
struct Group {
    name: String,
    version: String,
    schema_url: String,
    /// As fields of `InstrumentationScope`.
    attributes: Vec<u8>,
    /// As fields of `ScopeSpans`.
    spans: Vec<u8>,
}

/// Spans by their scope, in the order in which each scope comes first.
#[derive(Default)]
pub(super) struct Scopes {
    groups: Vec<Group>,
}

impl<'a> Scope<'a> {
    /// Takes the scope out of a span's attributes.
    pub(super) fn take(attributes: &mut Attributes<'a>) -> Self {
        let Some(name) = attributes.take_text(names::SCOPE_NAME) else {
            let (name, version) = ("spanring", env!("CARGO_PKG_VERSION"));
            return Scope { name, version, schema_url: "", attributes: Vec::new() };
        };
        let version = attributes.take_text(names::SCOPE_VERSION).unwrap_or_default();
        let schema_url = attributes.take_text(names::SCOPE_SCHEMA_URL).unwrap_or_default();
        let pairs = attributes.take(names::SCOPE_ATTRIBUTES, |value| match value {
            Given::Nested(Value::Map(pairs)) => Some(pairs),
            _ => None,
        });
        let mut attributes = Vec::new();
        if let Some(pairs) = pairs {
            Attributes::of(pairs).write(&mut attributes, ATTRIBUTES);
        }
        Scope { name, version, schema_url, attributes }
    }
}

impl Group {
    fn is_of(&self, scope: &Scope<'_>) -> bool {
        self.name == scope.name
            && self.version == scope.version
            && self.schema_url == scope.schema_url
            && self.attributes == scope.attributes
    }
}

impl Scopes {
    /// Where the spans of this scope are written.
    pub(super) fn of(&mut self, scope: Scope<'_>) -> &mut Vec<u8> {
        let known = self.groups.iter().position(|group| group.is_of(&scope));
        let at = known.unwrap_or_else(|| {
            let Scope { name, version, schema_url, attributes } = scope;
            let (name, version, schema_url) = (name.to_owned(), version.to_owned(), schema_url.to_owned());
            self.groups.push(Group { name, version, schema_url, attributes, spans: Vec::new() });
            self.groups.len() - 1
        });
        &mut self.groups[at].spans
    }

    /// How many bytes the spans take.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.spans.len()).sum()
    }

    /// Writes each as a field with this number, which is a `ScopeSpans`.
    pub(super) fn write(&self, out: &mut Vec<u8>, field: u32) {
        for Group { name, version, schema_url, attributes, spans } in &self.groups {
            message(out, field, Expected::Long, |out| {
                message(out, SCOPE, Expected::Short, |out| {
                    text(out, NAME, name);
                    text(out, VERSION, version);
                    out.extend_from_slice(attributes);
                });
                out.extend_from_slice(spans);
                text(out, SCHEMA_URL, schema_url);
            });
        }
    }
}
