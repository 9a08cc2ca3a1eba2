//! The two requests of a span that is shown while it runs: one when it starts, and one when it has ended.
//!
//! The first says what the span's announcement does, which stands in the spool, so that it is the same whenever it is sent. What became known later
//! is said by the second: results in their places, and all else in the `metadata` of `result_payload`, what would have a place of its own in the
//! payload under `spanring.payload` there.

use serde_json::{Map, Value as Json, json};
use spanring::names;
use spanring_spool::SpanData;

use super::payload::add_metadata;
use super::span::facts;
use super::{Contents, Form, Instance, Payloads, SpanStatus};
use crate::rfc3339::to_micros;

/// When spans are created.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Once they have ended, finished.
    #[default]
    Finished,
    /// When they start, to be finished once they have ended.
    Live,
}

/// In the metadata of a result: what the payload would have said, had it been known when the span started.
pub(super) const PAYLOAD: &str = "spanring.payload";

/// What the request that created a span has said of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Said<'a> {
    /// All that there is but the result.
    Payload,
    /// What was known when it started: this announcement.
    Start(&'a SpanData),
    /// Nobody knows.
    Unknown,
}

/// The body that creates a span that runs, of an instance that has this identity there, under a parent that has that one. `span` is its announcement,
/// or the span where it has none.
pub fn start(
    span: &SpanData,
    instance_id: &str,
    parent_id: Option<&str>,
    instance: &Instance,
    contents: &Contents,
) -> Json {
    let Payloads { mut payload, .. } = Payloads::of(span, Form::of(span), contents);
    let schema = instance.type_of(span);
    add_metadata(&mut payload, facts(span, parent_id, schema));
    let mut details = json!({
        "agent_instance_id": instance_id,
        "schema_name": schema,
        "status": "active",
        "payload": payload,
        "started_at": to_micros(span.start_unix_ns),
        "idempotency_key": instance.key_of(span),
    });
    if let Some(parent) = parent_id {
        details["parent_span_id"] = parent.into();
    }
    if let Some(details) = details.as_object_mut() {
        contents.sensitive.mark(span, details);
    }
    json!({ "details": details })
}

/// The body that finishes a span of which that was said when it was created.
pub fn finish(span: &SpanData, said: Said<'_>, instance: &Instance, contents: &Contents) -> Json {
    // Which parent it has was said where it was created.
    let known = |of: &SpanData, schema: &str| {
        let Payloads { mut payload, result } = Payloads::of(of, Form::of(of), contents);
        add_metadata(&mut payload, facts(of, Some(""), schema));
        (payload, result)
    };
    let result = match said {
        Said::Payload => known(span, instance.type_of(span)).1.unwrap_or_default(),
        Said::Start(announced) => {
            let schema = instance.type_of(announced);
            let (payload, result) = known(span, schema);
            let mut result = result.unwrap_or_default();
            add_late(&mut result, late(payload, &known(announced, schema).0));
            result
        }
        Said::Unknown => {
            let (payload, result) = known(span, instance.type_of(span));
            let mut result = result.unwrap_or_default();
            add_late(&mut result, late(payload, &Map::new()));
            result
        }
    };
    let mut body = json!({
        "status": SpanStatus::of(span).word(),
        "timestamp": to_micros(span.end_unix_ns),
        "idempotency_key": finish_key(span, instance),
    });
    if !result.is_empty() {
        body["result_payload"] = Json::Object(result);
    }
    if let Some(body) = body.as_object_mut() {
        contents.sensitive.mark(span, body);
    }
    body
}

/// The body that finishes a span that was announced, and whose end was lost.
pub fn lose(announced: &SpanData, instance: &Instance) -> Json {
    json!({
        "status": SpanStatus::Failed.word(),
        "result_payload": {"error": {"error_type": "spanring.end_lost", "message": "how it ended was lost"}},
        "idempotency_key": finish_key(announced, instance),
    })
}

/// The key of the request that finishes a span of an instance.
pub(super) fn finish_key(span: &SpanData, instance: &Instance) -> String {
    format!("{}-f", instance.key_of(span))
}

/// Adds what became known late to a result, beside its own metadata where both have the same key.
fn add_late(result: &mut Map<String, Json>, late: Map<String, Json>) {
    let own = result.get("metadata").and_then(Json::as_object);
    match own.is_some_and(|own| late.keys().any(|key| own.contains_key(key))) {
        true => drop(result.insert(names::METADATA.to_owned(), Json::Object(late))),
        false => add_metadata(result, late),
    }
}

/// What a payload says that this one did not: metadata, and what is beside it.
fn late(payload: Map<String, Json>, said: &Map<String, Json>) -> Map<String, Json> {
    let (mut beside, mut late) = (Map::new(), Map::new());
    for (key, value) in payload {
        let before = said.get(&key);
        match (value, before) {
            (value, Some(before)) if value == *before => {}
            (Json::Object(metadata), before) if key == "metadata" || key == names::METADATA => {
                let before = before.and_then(Json::as_object);
                let is_new =
                    |(key, value): &(String, Json)| before.and_then(|said| said.get(key)) != Some(value);
                late.extend(metadata.into_iter().filter(is_new));
            }
            (value, _) => drop(beside.insert(key, value)),
        }
    }
    if !beside.is_empty() {
        late.insert(PAYLOAD.to_owned(), Json::Object(beside));
    }
    late
}

#[cfg(test)]
mod tests {
    use spanring::{Kind, SpanId, Status, TraceId};
    use spanring_spool::{RecorderId, Resource, Value};

    use super::*;
    use crate::prefactor::{Agent, create};

    fn instance() -> Instance {
        Agent::default()
            .instance(&RecorderId::from_parts(1_795_158_177_000_000_000, 2), &Resource::named("shop"))
    }

    /// A span as it was announced, with these attributes, and as it ended, with those too.
    fn life(first: &[(&str, Value)], later: &[(&str, Value)]) -> [SpanData; 2] {
        let attributes =
            |all: &[(&str, Value)]| all.iter().map(|(key, of)| ((*key).to_owned(), of.clone())).collect();
        let announced = SpanData {
            trace_id: TraceId::from_bytes([1; 16]),
            span_id: SpanId::from_bytes([2; 8]),
            name: "step".to_owned(),
            kind: Kind::Llm,
            start_unix_ns: 1_795_158_177_051_739_123,
            end_unix_ns: 1_795_158_177_051_739_123,
            attributes: attributes(first),
            is_open: true,
            ..SpanData::default()
        };
        let ended = SpanData {
            status: Status::Ok,
            end_unix_ns: 1_795_158_178_000_000_000,
            attributes: attributes(&[first, later].concat()),
            is_open: false,
            ..announced.clone()
        };
        [announced, ended]
    }

    fn start_of(span: &SpanData, parent: Option<&str>) -> Json {
        start(span, "i", parent, &instance(), &Contents::default())
    }

    fn finish_of(span: &SpanData, said: Said<'_>) -> Json {
        finish(span, said, &instance(), &Contents::default())
    }

    fn map(pairs: &[(&str, Value)]) -> Value {
        pairs.iter().map(|(key, value)| (*key, value.clone())).collect()
    }

    #[test]
    fn a_span_is_created_active_and_finished_with_its_result() {
        let [announced, ended] =
            life(&[(names::INPUT, map(&[("q", "tea".into())]))], &[(names::OUTPUT, map(&[("n", 2.into())]))]);
        let key = instance().key_of(&ended);
        let ids = json!({"name": "step", "trace_id": "01".repeat(16), "span_id": "02".repeat(8)});
        let details = json!({
            "agent_instance_id": "i", "schema_name": "agent:llm", "status": "active", "parent_span_id": "p",
            "payload": {"q": "tea", "metadata": ids}, "started_at": "2026-11-20T07:02:57.051739Z",
            "idempotency_key": key,
        });
        assert_eq!(start_of(&announced, Some("p")), json!({ "details": details }));
        assert!(start_of(&announced, None)["details"].get("parent_span_id").is_none());
        let body = json!({
            "status": "complete", "result_payload": {"n": 2}, "timestamp": "2026-11-20T07:02:58.000000Z",
            "idempotency_key": format!("{key}-f"),
        });
        assert_eq!(finish_of(&ended, Said::Start(&announced)), body);
        assert_eq!(finish_of(&ended, Said::Payload), body);
    }

    #[test]
    fn what_became_known_later_is_in_the_metadata_of_the_result_and_what_was_said_is_not_said_again() {
        let [announced, mut ended] = life(
            &[("same", 1.into()), ("other", 1.into()), (names::REQUEST_MODEL, "gpt".into())],
            &[("other", 2.into()), ("new", 3.into()), (names::REQUEST_TEMPERATURE, 0.5.into())],
        );
        ended.name = "renamed".to_owned();
        ended.kind = Kind::Tool;
        let expected = json!({
            "other": 2, "new": 3, "name": "renamed", "spanring.kind": "tool", "spanring.payload": {"temperature": 0.5},
        });
        assert_eq!(
            finish_of(&ended, Said::Start(&announced))["result_payload"],
            json!({ "metadata": expected })
        );
        let [announced, ended] = life(&[("same", 1.into())], &[]);
        assert!(finish_of(&ended, Said::Start(&announced)).get("result_payload").is_none());
    }

    #[test]
    fn metadata_of_the_result_itself_stays_as_it_is() {
        let own = map(&[("metadata", map(&[("new", "own".into())]))]);
        let [announced, ended] = life(&[], &[(names::OUTPUT, own.clone()), ("new", 3.into())]);
        let expected = json!({"metadata": {"new": "own"}, "spanring.metadata": {"new": 3}});
        assert_eq!(finish_of(&ended, Said::Start(&announced))["result_payload"], expected);
        let [announced, ended] = life(&[], &[(names::OUTPUT, own), ("else", 3.into())]);
        let expected = json!({"metadata": {"new": "own", "else": 3}});
        assert_eq!(finish_of(&ended, Said::Start(&announced))["result_payload"], expected);
    }

    #[test]
    fn where_nobody_knows_what_was_said_all_is_said() {
        let [_, ended] = life(&[(names::INPUT, map(&[("q", "tea".into())]))], &[("new", 3.into())]);
        let metadata = &finish_of(&ended, Said::Unknown)["result_payload"]["metadata"];
        assert_eq!(metadata["spanring.payload"], json!({"q": "tea"}));
        assert_eq!((&metadata["new"], &metadata["span_id"]), (&3.into(), &"02".repeat(8).into()));
    }

    /// Whenever an attribute becomes known, both requests together say all that the one request of a finished span says.
    #[test]
    fn nothing_is_lost_whenever_it_becomes_known() {
        let all: Vec<(&str, Value)> = vec![
            (names::INPUT, map(&[("q", "tea".into()), ("metadata", map(&[("m", 1.into())]))])),
            (names::OUTPUT, map(&[("a", 1.into())])),
            (names::REQUEST_MODEL, "gpt".into()),
            (names::INPUT_MESSAGES, vec!["hi"].into()),
            (names::OUTPUT_MESSAGES, vec!["ho"].into()),
            (names::USAGE_INPUT_TOKENS, 3.into()),
            (names::TYPE, "langchain:llm".into()),
            (names::METADATA, map(&[("said", true.into())])),
            ("number", 7.into()),
        ];
        for known in 0..1_usize << all.len() {
            let is_known = |at: &usize| known >> at & 1 == 1;
            let of = |wanted: bool| -> Vec<_> {
                (0..all.len()).filter(|at| is_known(at) == wanted).map(|at| all[at].clone()).collect()
            };
            let [announced, ended] = life(&of(true), &of(false));
            let whole = create(&ended, "i", Some("p"), &instance(), &Contents::default());
            let (first, last) = (start_of(&announced, Some("p")), finish_of(&ended, Said::Start(&announced)));
            let texts = [first.to_string(), last.to_string()].concat();
            let told = |json: &Json| assert!(texts.contains(&json.to_string()), "{known:b}: {json}: {texts}");
            for side in ["payload", "result_payload"] {
                for (key, value) in whole["details"][side].as_object().unwrap() {
                    match (key.as_str(), value) {
                        // The type that it was created with tells its kind.
                        ("metadata", Json::Object(metadata)) => {
                            metadata
                                .iter()
                                .filter(|(key, _)| *key != names::KIND)
                                .for_each(|(_, of)| told(of));
                        }
                        _ => told(value),
                    }
                }
            }
        }
    }

    #[test]
    fn a_span_whose_end_was_lost_has_failed_and_says_why() {
        let [announced, ended] = life(&[], &[]);
        let body = lose(&announced, &instance());
        assert_eq!(body["status"], "failed");
        assert_eq!(body["result_payload"]["error"]["error_type"], "spanring.end_lost");
        assert_eq!(body["idempotency_key"], finish_of(&ended, Said::Payload)["idempotency_key"]);
    }
}
