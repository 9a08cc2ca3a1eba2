//! The types of spans that are declared when an instance is registered.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use spanring::{Kind, System};
use spanring_spool::SpanData;

use super::{Form, langchain};

/// What Prefactor's users call kinds beside the names that those have.
const ALIASES: [&str; 2] = ["agent:root", "agent:llm_call"];

/// The types of spans that an instance declares: those of all kinds, those of prefactor_langchain, and further ones.
///
/// They are the same for all instances, whatever their spans turn out to be: what is registered must not depend on what has come so far, or a
/// registration could not be repeated.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SpanTypes {
    further: BTreeSet<String>,
}

impl SpanTypes {
    /// With this type too.
    pub fn with(mut self, name: &str) -> Self {
        self.further.insert(name.to_owned());
        self
    }

    /// The type of a span: what it says, if that is declared, or else what its kind is called.
    pub fn of<'a>(&self, span: &'a SpanData) -> &'a str {
        let said = span.type_name().filter(|name| self.has(name));
        said.unwrap_or_else(|| match Form::of(span) {
            Form::Free => span.kind.name_in(System::Prefactor),
            Form::Langchain => span.kind.name_in(System::Langchain),
        })
    }

    fn has(&self, name: &str) -> bool {
        Self::usual().any(|usual| usual == name) || self.further.contains(name)
    }

    fn usual() -> impl Iterator<Item = &'static str> {
        let kinds = Kind::ALL.iter().map(|kind| kind.name_in(System::Prefactor));
        kinds.chain(ALIASES).chain(langchain::TYPES)
    }

    /// The schemas of all types. What spanring or a program adds to payloads is never against them: they are open.
    pub(super) fn schemas(&self) -> Vec<Json> {
        let kinds = Kind::ALL.iter().map(|kind| kind.name_in(System::Prefactor)).chain(ALIASES).map(open);
        let of_langchain = langchain::TYPES.into_iter().filter_map(langchain::schema);
        let is_further = |name: &&String| !Self::usual().any(|usual| usual == name.as_str());
        let further = self
            .further
            .iter()
            .filter(is_further)
            .map(|name| langchain::schema(name).unwrap_or_else(|| open(name)));
        kinds.chain(of_langchain).chain(further).collect()
    }
}

fn open(name: &str) -> Json {
    let schema = json!({"type": "object", "additionalProperties": true});
    json!({"name": name, "params_schema": schema, "result_schema": schema})
}

#[cfg(test)]
mod tests {
    use spanring::names;

    use super::*;

    fn span(kind: Kind, said: Option<&str>) -> SpanData {
        let attributes = said.map(|name| (names::TYPE.to_owned(), name.into())).into_iter().collect();
        SpanData { kind, attributes, ..SpanData::default() }
    }

    #[test]
    fn whatever_a_span_is_its_type_is_declared_once() {
        let types = SpanTypes::default().with("my:type").with("langchain:tool:search").with("agent:llm");
        let schemas = types.schemas();
        let names: Vec<_> = schemas.iter().map(|schema| schema["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
        for &kind in Kind::ALL {
            for said in [None, Some("my:type"), Some("other"), Some("langchain:other"), Some("agent:root")] {
                let span = span(kind, said);
                assert!(names.contains(&types.of(&span)), "{kind:?} {said:?}");
            }
        }
    }

    #[test]
    fn a_type_that_is_said_counts_where_it_is_declared() {
        let types = SpanTypes::default().with("my:type");
        let of = |kind, said: &'static str| types.of(&span(kind, Some(said))).to_owned();
        assert_eq!(of(Kind::Tool, "my:type"), "my:type");
        assert_eq!(of(Kind::Tool, "your:type"), "agent:tool");
        assert_eq!(of(Kind::Custom, "agent:root"), "agent:root");
        assert_eq!(of(Kind::Tool, "langchain:tool:search"), "langchain:tool");
        assert_eq!(of(Kind::Guardrail, "langchain:guardrail"), "langchain:node");
    }
}
