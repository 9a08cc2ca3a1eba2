//! The types of spans that are declared when an instance is registered.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use spanring::{Kind, System};
use spanring_spool::SpanData;

use super::{DataRisk, Form, langchain};

/// What Prefactor's users call kinds beside the names that those have.
const ALIASES: [&str; 2] = ["agent:root", "agent:llm_call"];

/// No type that turns up is declared whose name is longer, in bytes.
const TYPE_LEN_MAX: usize = 200;

/// A type of spans, as somebody declares it. What is `None` is left to Prefactor; schemas are open then.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SpanType {
    /// What it is called, in spans too.
    pub name: String,
    /// What people call it.
    pub title: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// How a span of it is shown: `{{field}}` stands for a field of its payload.
    pub template: Option<String>,
    /// The JSON Schema of payloads: an object. spanring adds `metadata` to payloads, which a closed schema has to allow.
    pub params_schema: Option<Json>,
    /// The same of results.
    pub result_schema: Option<Json>,
    /// What its spans do, and what is in them.
    pub data_risk: Option<DataRisk>,
}

/// The types of spans that an instance declares: those of all kinds, those of prefactor_langchain, and further ones.
///
/// They are the same for all instances, whatever their spans turn out to be: what is registered first must not depend on what has come so far, or that
/// could not be repeated. A type that [turns up](Self::undeclared) is declared by [another version](super::Instance::with_types) of the schemas.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SpanTypes {
    /// By name; without a declaration of its own where only the name was said.
    further: BTreeMap<String, Option<SpanType>>,
    is_open: bool,
}

impl SpanTypes {
    /// With this type too.
    pub fn with(mut self, name: &str) -> Self {
        self.further.entry(name.to_owned()).or_default();
        self
    }

    /// With this type, declared so: in place of any other declaration of it, be it one that all instances have.
    pub fn declare(mut self, declared: SpanType) -> Self {
        self.further.insert(declared.name.clone(), Some(declared));
        self
    }

    /// The names of those that somebody said.
    pub fn further(&self) -> impl Iterator<Item = &str> {
        self.further.keys().map(String::as_str)
    }

    /// The same types, each declared as an object of which nothing more is said.
    pub(super) fn open(self) -> Self {
        SpanTypes { is_open: true, ..self }
    }

    /// The type of a span: what it says, if that is declared, or else what its kind is called.
    pub fn of<'a>(&self, span: &'a SpanData) -> &'a str {
        let said = span.type_name().filter(|name| self.has(name));
        said.unwrap_or_else(|| match Form::of(span) {
            Form::Free => span.kind.name_in(System::Prefactor),
            Form::Langchain => span.kind.name_in(System::Langchain),
        })
    }

    /// The type that a span says, where that is not declared and can be: 1 to 200 bytes, without control characters.
    pub fn undeclared<'a>(&self, span: &'a SpanData) -> Option<&'a str> {
        let can_be = |name: &&str| {
            (1..=TYPE_LEN_MAX).contains(&name.len())
                && name.trim() == *name
                && !name.chars().any(char::is_control)
        };
        span.type_name().filter(|name| !self.has(name)).filter(can_be)
    }

    fn has(&self, name: &str) -> bool {
        Self::usual().any(|usual| usual == name) || self.further.contains_key(name)
    }

    fn usual() -> impl Iterator<Item = &'static str> {
        let kinds = Kind::ALL.iter().map(|kind| kind.name_in(System::Prefactor));
        kinds.chain(ALIASES).chain(langchain::TYPES)
    }

    /// The schemas of all types. What spanring or a program adds to payloads is against none of them but those that somebody declared.
    pub(super) fn schemas(&self) -> Vec<Json> {
        let is_further = |name: &&str| !Self::usual().any(|usual| usual == *name);
        let further = self.further().filter(is_further);
        Self::usual().map(|name| self.schema(name)).chain(further.map(|name| self.schema(name))).collect()
    }

    fn schema(&self, name: &str) -> Json {
        if self.is_open {
            return open(name);
        }
        match self.further.get(name) {
            Some(Some(declared)) => declared.schema(),
            _ => langchain::schema(name).unwrap_or_else(|| open(name)),
        }
    }
}

impl SpanType {
    fn schema(&self) -> Json {
        let mut schema = open(&self.name);
        for (key, said) in [("params_schema", &self.params_schema), ("result_schema", &self.result_schema)] {
            if let Some(said) = said {
                schema[key] = said.clone();
            }
        }
        let texts =
            [("title", &self.title), ("description", &self.description), ("template", &self.template)];
        for (key, said) in texts {
            if let Some(said) = said {
                schema[key] = said.as_str().into();
            }
        }
        if let Some(data_risk) = &self.data_risk {
            schema["data_risk"] = data_risk.json();
        }
        schema
    }
}

fn open(name: &str) -> Json {
    let schema = json!({"type": "object", "additionalProperties": true});
    json!({"name": name, "params_schema": schema, "result_schema": schema})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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

    #[test]
    fn a_type_that_turns_up_can_be_declared_where_it_is_no_nonsense() {
        let types = SpanTypes::default().with("my:type");
        let of = |said: &str| {
            let attributes = vec![(names::TYPE.to_owned(), said.into())];
            types.undeclared(&SpanData { attributes, ..SpanData::default() }).is_some()
        };
        for (said, can_be) in [
            ("your:type", true),
            ("langchain:tool:search", true),
            ("my:type", false),
            ("agent:llm", false),
            ("", false),
            (" ", false),
            ("a ", false),
            ("a\nb", false),
            (&"x".repeat(200), true),
            (&"x".repeat(201), false),
        ] {
            assert_eq!(of(said), can_be, "{said:?}");
        }
        assert_eq!(types.undeclared(&SpanData::default()), None);
        assert_eq!(types.clone().with("your:type").of(&span(Kind::Tool, Some("your:type"))), "your:type");
    }

    #[test]
    fn what_somebody_declares_is_sent_as_declared_and_open_types_say_nothing_but_their_names() {
        let declared = |name: &str| SpanType {
            name: name.to_owned(),
            title: Some("T".to_owned()),
            description: Some("D".to_owned()),
            template: Some("{{q}}".to_owned()),
            params_schema: Some(json!({"type": "object", "required": ["q"]})),
            data_risk: Some(DataRisk::default()),
            ..SpanType::default()
        };
        let types =
            SpanTypes::default().declare(declared("my:type")).with("my:type").declare(declared("agent:llm"));
        let open_schema = json!({"type": "object", "additionalProperties": true});
        let schemas = types.schemas();
        for name in ["my:type", "agent:llm"] {
            let schema: Vec<_> = schemas.iter().filter(|schema| schema["name"] == name).collect();
            assert_eq!(
                schema,
                [&json!({
                    "name": name, "title": "T", "description": "D", "template": "{{q}}",
                    "params_schema": {"type": "object", "required": ["q"]}, "result_schema": open_schema,
                    "data_risk": {"action_profile": {}, "params_data_categories": {}, "result_data_categories": {}},
                })]
            );
        }
        let opened = types.open().schemas();
        let names =
            |schemas: &[Json]| schemas.iter().map(|schema| schema["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&opened), names(&schemas));
        for schema in opened {
            let name = schema["name"].clone();
            assert_eq!(
                schema,
                json!({"name": name, "params_schema": open_schema, "result_schema": open_schema})
            );
        }
    }
}
