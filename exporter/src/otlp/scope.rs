//! The libraries that recorded the spans, by which OTLP groups them.

use spanring::names;

use super::attributes::Attributes;
use super::protobuf::{Expected, message, text};

// Fields of `ScopeSpans`.
const SCOPE: u32 = 1;
/// Each is a span.
pub(super) const SPANS: u32 = 2;

// Fields of `InstrumentationScope`.
const NAME: u32 = 1;
const VERSION: u32 = 2;

/// Who recorded a span.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope<'a> {
    name: &'a str,
    version: &'a str,
}

/// The spans of one scope.
struct Group {
    name: String,
    version: String,
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
        match attributes.take_text(names::SCOPE_NAME) {
            Some(name) => {
                Scope { name, version: attributes.take_text(names::SCOPE_VERSION).unwrap_or_default() }
            }
            None => Scope { name: "spanring", version: env!("CARGO_PKG_VERSION") },
        }
    }
}

impl Scopes {
    /// Where the spans of this scope are written.
    pub(super) fn of(&mut self, scope: Scope<'_>) -> &mut Vec<u8> {
        let Scope { name, version } = scope;
        let known = self.groups.iter().position(|group| group.name == name && group.version == version);
        let at = known.unwrap_or_else(|| {
            let (name, version) = (name.to_owned(), version.to_owned());
            self.groups.push(Group { name, version, spans: Vec::new() });
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
        for Group { name, version, spans } in &self.groups {
            message(out, field, Expected::Long, |out| {
                message(out, SCOPE, Expected::Short, |out| {
                    text(out, NAME, name);
                    text(out, VERSION, version);
                });
                out.extend_from_slice(spans);
            });
        }
    }
}
