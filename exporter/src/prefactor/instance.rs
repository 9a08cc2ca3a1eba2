//! An instance of an agent, which is what one run of a process is.

use serde_json::{Value as Json, json};
use spanring::TraceId;
use spanring_spool::{RecorderId, Resource, SpanData, Value};

use super::external_identifier::said_by;
use super::span::SpanStatus;
use super::{ExternalIdentifier, QualitySchema, SpanTypes};
use crate::rfc3339::to_micros;

/// Whose runs they are. What is not said here is taken from the recording process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Agent {
    /// The agent's identity; `None` where the token is one of a deployment, which says it.
    pub id: Option<String>,
    /// The environment's identity, likewise.
    pub environment_id: Option<String>,
    /// What the agent is called: else as the process's service.
    pub name: Option<String>,
    /// The agent's version: else that of the process's service.
    pub version: Option<String>,
    /// The types of its spans.
    pub types: SpanTypes,
    /// What records of its quality look like, each name once.
    pub quality: Vec<QualitySchema>,
    /// Why it runs, if that is to be said.
    pub purpose: Option<Purpose>,
    /// What instances are called: else as the process says, by `prefactor.external_identifier` in its resource, or as its recorder.
    pub external_identifier: Option<ExternalIdentifier>,
}

/// Why an agent runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// It works.
    Live,
    /// To see whether it works at all.
    SmokeTest,
    /// To see how well it works.
    Eval,
}

impl Purpose {
    /// All there are.
    pub const ALL: [Purpose; 3] = [Purpose::Live, Purpose::SmokeTest, Purpose::Eval];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Purpose::Live => "live",
            Purpose::SmokeTest => "smoke_test",
            Purpose::Eval => "eval",
        }
    }

    /// The purpose with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.word() == word)
    }
}

/// One run of an agent: its requests.
#[derive(Clone, PartialEq, Debug)]
pub struct Instance {
    recorder: RecorderId,
    register: Json,
    /// Stands for the recorder and all that is registered first.
    digest: TraceId,
    /// What stands for the server's identity of it, where the server made another one of a later version of its schemas.
    another: Option<TraceId>,
    types: SpanTypes,
    quality: Vec<QualitySchema>,
}

impl Agent {
    /// The run that was recorded by this recorder, or by the one that this is the recovery of, of a process that is known as `resource`.
    pub fn instance(&self, recorder: &RecorderId, resource: &Resource) -> Instance {
        let recorder = recorder.origin().unwrap_or_else(|| recorder.clone());
        // A server may refuse what is empty, and with it all that the process recorded.
        let said =
            |key: &str| resource.get(key).and_then(Value::as_str).filter(|said| !said.trim().is_empty());
        let name = self.name.as_deref().or_else(|| said("service.name")).unwrap_or("agent");
        let version = self.version.as_deref().or_else(|| said("service.version")).unwrap_or("unversioned");
        let external_identifier =
            self.external_identifier.as_ref().and_then(|said| said.of(&recorder, resource));
        let external_identifier =
            external_identifier.or_else(|| said_by(resource)).unwrap_or_else(|| recorder.to_string());
        let mut register = json!({
            "agent_version": {
                "name": name,
                "external_identifier": version,
                "runtime_environment": {"agent_sdk": [], "prefactor_sdk": ["spanring"]},
            },
            "agent_schema_version": schema_version(&self.types, &self.quality),
            "update_current_version": true,
            "external_identifier": external_identifier,
        });
        for (key, word) in [("os.type", "os"), ("process.runtime.name", "runtime")] {
            if let Some(text) = said(key) {
                register["agent_version"]["runtime_environment"][word] = text.into();
            }
        }
        for (key, id) in [("agent_id", &self.id), ("environment_id", &self.environment_id)] {
            if let Some(id) = id {
                register[key] = id.as_str().into();
            }
        }
        if let Some(purpose) = self.purpose {
            register["purpose"] = purpose.word().into();
        }
        Instance::of(recorder, register, self.types.clone(), self.quality.clone())
    }
}

impl Instance {
    /// What is registered by this body, which has no key yet.
    fn of(recorder: RecorderId, mut register: Json, types: SpanTypes, quality: Vec<QualitySchema>) -> Self {
        let digest = digest(&register.to_string());
        register["idempotency_key"] = format!("{recorder}-{}", short(digest)).into();
        Instance { recorder, register, digest, another: None, types, quality }
    }

    /// The same with each type, and what is recorded of quality, declared as an open object, for a server that refuses its schemas. Its keys are others.
    pub fn open(&self) -> Self {
        let mut register = self.register.clone();
        if let Some(body) = register.as_object_mut() {
            body.remove("idempotency_key");
        }
        let types = self.types.clone().open();
        let quality: Vec<_> = self.quality.iter().map(QualitySchema::open).collect();
        register["agent_schema_version"] = schema_version(&types, &quality);
        Instance::of(self.recorder.clone(), register, types, quality)
    }

    /// The same with further types, which its spans turned out to have: registered again under its name, with another version of its schemas. Its spans
    /// have the keys that they have without.
    pub fn with_types<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let types = names.into_iter().fold(self.types.clone(), SpanTypes::with);
        let mut register = self.register.clone();
        if let Some(body) = register.as_object_mut() {
            body.remove("idempotency_key");
        }
        register["agent_schema_version"] = schema_version(&types, &self.quality);
        let later = Instance::of(self.recorder.clone(), register, types, self.quality.clone());
        Instance { digest: self.digest, ..later }
    }

    /// The same as the server's instance of this identity, where that makes another one of a later version of the schemas. Which version that was, and which
    /// one of them it is, may be others after a kill: its identity is not.
    pub(crate) fn another(&self, id: &str) -> Self {
        Instance { another: Some(digest(id)), ..self.clone() }
    }

    /// The type that a span says, where this instance does not declare it and a [later version](Self::with_types) can.
    pub fn undeclared_type<'a>(&self, span: &'a SpanData) -> Option<&'a str> {
        self.types.undeclared(span)
    }

    /// Whose run it is.
    pub fn recorder(&self) -> &RecorderId {
        &self.recorder
    }

    /// What stands for it: the same for the same recorder of the same agent.
    pub fn digest(&self) -> TraceId {
        self.digest
    }

    /// The body that registers it.
    pub fn register(&self) -> &Json {
        &self.register
    }

    /// The body that starts it, when its recorder was.
    pub fn start(&self) -> Json {
        json!({"timestamp": to_micros(self.recorder.created_unix_ns()), "idempotency_key": self.key("start")})
    }

    /// The body that finishes it, at the moment of the request: a recorder does not say when it was done.
    pub fn finish(&self, status: SpanStatus) -> Json {
        json!({"status": status.word(), "idempotency_key": self.key("finish")})
    }

    /// The type of a span of it.
    pub fn type_of<'a>(&self, span: &'a SpanData) -> &'a str {
        self.types.of(span)
    }

    /// The key of the request that creates a span of it.
    pub fn key_of(&self, span: &SpanData) -> String {
        format!("{}-{}-{}", short(self.digest), span.trace_id, span.span_id)
    }

    /// The key of the request that records what a span of it says of quality, at this place among what it says.
    pub(super) fn key_of_quality(&self, span: &SpanData, at: usize) -> String {
        let record = digest(&format!("quality {at} of {} in {}", span.span_id, span.trace_id));
        format!("{}-{record}", short(self.digest))
    }

    fn key(&self, operation: &str) -> String {
        let key = format!("{}-{}-{operation}", self.recorder, short(self.digest));
        match self.another {
            // As much of it as there is room for in 64 characters.
            Some(another) => format!("{key}-{}", &short(another)[..10]),
            None => key,
        }
    }
}

fn schema_version(types: &SpanTypes, quality: &[QualitySchema]) -> Json {
    let schemas = Json::Array(types.schemas());
    let mut all = schemas.to_string();
    let mut version = json!({"span_type_schemas": schemas});
    if !quality.is_empty() {
        let quality: Json = quality.iter().map(QualitySchema::json).collect();
        all += &quality.to_string();
        version["quality_schemas"] = quality;
    }
    version["external_identifier"] = format!("spanring-{}", short(digest(&all))).into();
    version
}

fn digest(text: &str) -> TraceId {
    TraceId::from_foreign(text)
}

/// 12 digits of a digest, so that keys with them have no more than the 64 characters that are allowed.
fn short(digest: TraceId) -> String {
    digest.to_string().chars().take(12).collect()
}
