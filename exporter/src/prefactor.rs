//! Spans as Prefactor takes them: an instance of an agent, and for each span one request that creates it finished, or one that creates it while it runs
//! and one that finishes it.
//!
//! ```
//! use spanring_exporter::prefactor::{Agent, Contents, SpanTypes, create};
//! use spanring_spool::{RecorderId, Resource, SpanData};
//!
//! let agent = Agent { id: Some("my-agent".to_owned()), ..Agent::default() };
//! let recorder = RecorderId::from_parts(1, 2);
//! let instance = agent.instance(&recorder, &Resource::named("shop"));
//! assert_eq!(instance.register()["agent_version"]["name"], "shop");
//!
//! let span = SpanData { name: "answer".to_owned(), ..SpanData::default() };
//! let body = create(&span, "the instance's identity there", None, &instance, &Contents::default());
//! assert_eq!(body["details"]["schema_name"], "agent:custom");
//! assert_eq!(body["details"]["status"], "complete");
//! ```
//!
//! A recorder, which is one run of a process, is an instance; its spans are those of the instance, whichever traces they are of. What becomes of a span:
//!
//! | spanring | Prefactor |
//! |---|---|
//! | attribute `spanring.type`, if it is a [declared](SpanTypes) type, at first or [later](Instance::with_types) | `schema_name` |
//! | else the kind | `schema_name`: `agent:llm`, or `langchain:llm` for what says another type that begins so; the type that was said is in `metadata` |
//! | attribute `spanring.foreign.status`, if it is one of the three statuses | `status` |
//! | else ok, unset; error, timed out, interrupted; cancelled | `status` `complete`; `failed`; `cancelled` |
//! | never started | `status` `pending`, and a second request that finishes it `cancelled` |
//! | times | `started_at`, `finished_at`: microseconds in UTC |
//! | `input` and `output` | `payload` and `result_payload` as they are; what is no map is `inputs` and `outputs` of them. Of a type `langchain:…` always the latter, but for the output of a node |
//! | model, provider, temperature, tool and agent; of a type `langchain:…` step name and index | in `payload`: `model_name`, `provider`, `temperature`, `tool_name`, `agent_name`; `node`, `step` |
//! | messages, system instructions, arguments, query | `inputs` of `payload`: `messages`, `system`, `arguments`, `query`. Of a single tool's type, `langchain:tool:…`, the arguments are `inputs`, as they are |
//! | messages, documents, the tool's result, the answer's text | `outputs` of `result_payload`: `messages`, `documents`, `output`, `content` |
//! | tokens of input and output, and in all | `token_usage` of `result_payload`: `prompt_tokens`, `completion_tokens`, `total_tokens` |
//! | the class, message and stack trace of an error | `error` of `result_payload`: `error_type`, `message`, `stacktrace` |
//! | each record of `quality` | a request that records it of the instance; it is in `metadata` too |
//! | every other attribute, and what has its place taken by a key of `input` or `output` | `metadata` of `payload`, under its own key |
//! | name, identities, events, links, timed out, interrupted, cut | `metadata` of `payload` |
//!
//! Bytes are base64, and what is no number or infinite is the text `NaN`, `Infinity` or `-Infinity`.
//!
//! Every request carries an idempotency key, which is a function of the recorder, of what is registered, and of the span: the same request has
//! the same key whenever and by whomever it is sent.

mod contents;
mod data_risk;
mod external_identifier;
mod instance;
mod json;
mod langchain;
mod live;
mod payload;
mod quality;
mod quality_schema;
mod sensitive;
mod span;
mod span_types;

pub use contents::Contents;
pub use data_risk::DataRisk;
pub use external_identifier::ExternalIdentifier;
pub use instance::{Agent, Instance, Purpose};
pub use live::{Mode, Said, finish, lose, start};
pub use payload::{Form, Payloads};
pub use quality::quality;
pub use quality_schema::QualitySchema;
pub use sensitive::{Sensitive, SensitiveTexts};
pub use span::{SpanStatus, cancel, create};
pub use span_types::{SpanType, SpanTypes};

#[cfg(test)]
mod tests;
