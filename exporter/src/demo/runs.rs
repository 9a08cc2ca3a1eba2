//! Real agent runs, read from OTLP/JSON lines: one request a line, one trace each.

use std::fmt;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status as OtlpStatus};
use spanring::{Kind, SpanId, Status, TraceId};
use spanring_spool::{EventData, SpanData, Value};

use crate::otlp::ExportTraceServiceRequest;

/// The runs that `data/README.md` describes.
const LINES: &str = include_str!("../../data/agent-runs.otlp.jsonl");

/// One run of an agent: a trace, as it was recorded.
#[derive(Clone, PartialEq, Debug)]
pub struct AgentRun {
    /// What recorded it: the attributes of its resource, `service.name` among them.
    pub resource: Vec<(String, Value)>,
    /// Its spans, in the order in which they stand in the file. Parents may stand behind their children.
    pub spans: Vec<SpanData>,
}

/// A line that holds no agent run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreadable {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} holds no agent run: {}", self.line, self.reason)
    }
}

impl std::error::Error for Unreadable {}

impl AgentRun {
    /// The 19 runs, of 334 spans, that come with the program.
    pub fn bundled() -> Vec<AgentRun> {
        AgentRun::read_lines(LINES).expect("a test reads the bundled runs")
    }

    /// Reads one run from each line. A request with several resources becomes as many runs.
    pub fn read_lines(lines: &str) -> Result<Vec<AgentRun>, Unreadable> {
        let mut runs = Vec::new();
        for (number, line) in (1..).zip(lines.lines()) {
            let unreadable = |reason: String| Unreadable { line: number, reason };
            let request: ExportTraceServiceRequest =
                serde_json::from_str(line).map_err(|error| unreadable(error.to_string()))?;
            for resource_spans in request.resource_spans {
                let spans = resource_spans.scope_spans.into_iter().flat_map(|scope_spans| scope_spans.spans);
                runs.push(AgentRun {
                    resource: pairs(resource_spans.resource.unwrap_or_default().attributes),
                    spans: spans.map(span_data).collect::<Result<_, _>>().map_err(unreadable)?,
                });
            }
        }
        Ok(runs)
    }
}

fn span_data(span: Span) -> Result<SpanData, String> {
    let Ok(span_id) = <[u8; 8]>::try_from(span.span_id) else {
        return Err(format!("the span {:?} has no span id of 8 bytes", span.name));
    };
    let Ok(trace_id) = <[u8; 16]>::try_from(span.trace_id) else {
        return Err(format!("the span {:?} has no trace id of 16 bytes", span.name));
    };
    let parent_id = match span.parent_span_id.as_slice() {
        [] => None,
        id => match <[u8; 8]>::try_from(id) {
            Ok(id) => Some(SpanId::from_bytes(id)),
            Err(_) => return Err(format!("the parent of the span {:?} is not 8 bytes long", span.name)),
        },
    };
    let attributes = pairs(span.attributes);
    let status = span.status.unwrap_or_default();
    Ok(SpanData {
        trace_id: TraceId::from_bytes(trace_id),
        span_id: SpanId::from_bytes(span_id),
        parent_id,
        name: span.name,
        kind: kind(span.kind, &attributes),
        status: status_of(&status),
        status_message: status.message,
        start_unix_ns: span.start_time_unix_nano,
        end_unix_ns: span.end_time_unix_nano,
        attributes,
        events: span.events.into_iter().map(event_data).collect(),
        ..SpanData::default()
    })
}

/// What a span stands for: a CLIENT is a call of a model, and the rest is told by the operation's name. A call of
/// a model that was recorded as INTERNAL stays custom, so that it is delivered as it was recorded.
fn kind(otlp: i32, attributes: &[(String, Value)]) -> Kind {
    if otlp == i32::from(SpanKind::Client) {
        return Kind::Llm;
    }
    let operation = attributes.iter().find(|(key, _)| key == "gen_ai.operation.name");
    match operation.map(|(_, value)| value) {
        Some(Value::Str(name)) if name == "invoke_agent" => Kind::Agent,
        Some(Value::Str(name)) if name == "execute_tool" => Kind::Tool,
        _ => Kind::Custom,
    }
}

fn status_of(status: &OtlpStatus) -> Status {
    match status.code() {
        StatusCode::Unset => Status::Unset,
        StatusCode::Ok => Status::Ok,
        StatusCode::Error => Status::Error,
    }
}

fn event_data(event: Event) -> EventData {
    EventData { name: event.name, time_unix_ns: event.time_unix_nano, attributes: pairs(event.attributes) }
}

fn pairs(attributes: Vec<KeyValue>) -> Vec<(String, Value)> {
    attributes.into_iter().map(|attribute| (attribute.key, value(attribute.value))).collect()
}

fn value(value: Option<AnyValue>) -> Value {
    match value.and_then(|value| value.value) {
        None => Value::Null,
        Some(any_value::Value::StringValue(text)) => Value::Str(text),
        Some(any_value::Value::BoolValue(flag)) => Value::Bool(flag),
        Some(any_value::Value::IntValue(number)) => Value::I64(number),
        Some(any_value::Value::DoubleValue(number)) => Value::F64(number),
        Some(any_value::Value::BytesValue(bytes)) => Value::Bytes(bytes),
        Some(any_value::Value::ArrayValue(array)) => {
            Value::List(array.values.into_iter().map(|element| self::value(Some(element))).collect())
        }
        Some(any_value::Value::KvlistValue(list)) => Value::Map(pairs(list.values)),
        // An index into a table that only profiles have.
        Some(any_value::Value::StringValueStrindex(_)) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_runs_are_whole_traces_with_one_root_each() {
        let runs = AgentRun::bundled();
        assert_eq!(runs.len(), 19);
        assert_eq!(runs.iter().map(|run| run.spans.len()).sum::<usize>(), 334);
        for run in &runs {
            assert!(run.resource.iter().any(|(key, _)| key == "service.name"));
            assert_eq!(run.spans.iter().filter(|span| span.parent_id.is_none()).count(), 1);
            for span in &run.spans {
                assert_eq!(span.trace_id, run.spans[0].trace_id);
                assert!(span.start_unix_ns <= span.end_unix_ns);
                let parent_is_there = |id| run.spans.iter().any(|other| other.span_id == id);
                assert!(span.parent_id.is_none_or(parent_is_there));
            }
        }
    }

    #[test]
    fn a_line_that_is_no_run_is_named() {
        let error = AgentRun::read_lines("{\"resourceSpans\":[]}\nhello\n").unwrap_err();
        assert_eq!(error.line, 2);
        let span = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00","name":"a"}]}]}]}"#;
        let error = AgentRun::read_lines(span).unwrap_err();
        assert_eq!(error.to_string(), "line 1 holds no agent run: the span \"a\" has no span id of 8 bytes");
    }
}
