use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use spanring::{Kind, SpanId, Status, TraceId, names};
use spanring_spool::{EventData, LinkData, RecorderId, Resource, SpanData, Value};

use super::*;

fn span(attributes: &[(&str, Value)]) -> SpanData {
    SpanData {
        trace_id: TraceId::from_bytes([1; 16]),
        span_id: SpanId::from_bytes([2; 8]),
        name: "step".to_owned(),
        kind: Kind::Tool,
        status: Status::Ok,
        start_unix_ns: 1_795_158_177_051_739_123,
        end_unix_ns: 1_795_158_178_000_000_000,
        attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        ..SpanData::default()
    }
}

fn map(pairs: &[(&str, Value)]) -> Value {
    pairs.iter().map(|(key, value)| (*key, value.clone())).collect()
}

fn instance() -> Instance {
    Agent::default().instance(&RecorderId::from_parts(1_795_158_177_000_000_000, 2), &Resource::named("shop"))
}

/// The payload, and the result or null.
fn payloads(span: &SpanData, form: Form, contents: &Contents) -> [Json; 2] {
    let Payloads { payload, result } = Payloads::of(span, form, contents);
    [Json::Object(payload), result.map(Json::Object).unwrap_or_default()]
}

#[test]
fn a_finished_span_is_one_request() {
    let span = SpanData {
        parent_id: Some(SpanId::from_bytes([3; 8])),
        ..span(&[
            (names::INPUT, map(&[("q", "tea".into())])),
            (names::OUTPUT, map(&[("found", 2.into())])),
            ("number", 7.into()),
        ])
    };
    let instance = instance();
    let key = format!("{}-{}-{}", &instance.digest().to_string()[..12], "01".repeat(16), "02".repeat(8));
    let ids = json!({"name": "step", "trace_id": "01".repeat(16), "span_id": "02".repeat(8), "number": 7});
    assert_eq!(
        create(&span, "i", Some("p"), &instance, &Contents::default()),
        json!({"idempotency_key": key, "details": {
            "agent_instance_id": "i", "schema_name": "agent:tool", "status": "complete", "parent_span_id": "p",
            "payload": {"q": "tea", "metadata": ids}, "result_payload": {"found": 2},
            "started_at": "2026-11-20T07:02:57.051739Z", "finished_at": "2026-11-20T07:02:58.000000Z",
        }})
    );
    let orphan = create(&span, "i", None, &instance, &Contents::default());
    assert_eq!(orphan["details"]["parent_span_id"], Json::Null);
    assert_eq!(orphan["details"]["payload"]["metadata"]["parent_id"], "03".repeat(8));
}

#[test]
fn a_span_that_never_started_is_created_pending_and_then_cancelled() {
    let span = SpanData { is_pending: true, status: Status::Cancelled, ..span(&[]) };
    let instance = instance();
    let created = create(&span, "i", None, &instance, &Contents::default());
    assert_eq!(created["details"]["status"], "pending");
    for key in ["started_at", "finished_at", "result_payload"] {
        assert_eq!(created["details"].get(key), None);
    }
    let cancelled = cancel(&span, &instance);
    assert_eq!(cancelled["status"], "cancelled");
    assert_ne!(cancelled["idempotency_key"], created["idempotency_key"]);
}

#[test]
fn every_status_has_its_word() {
    let word = |span: SpanData| SpanStatus::of(&span).word();
    let words: Vec<_> = Status::ALL.iter().map(|&status| word(SpanData { status, ..span(&[]) })).collect();
    assert_eq!(words, ["complete", "complete", "failed", "cancelled", "failed"]);
    let foreign = |name: &str| span(&[(names::FOREIGN_STATUS, name.into())]);
    assert_eq!(
        ["failed", "cancelled", "odd"].map(|name| word(foreign(name))),
        ["failed", "cancelled", "complete"]
    );
    assert_eq!(word(SpanData { interrupted: true, ..foreign("complete") }), "failed");
}

#[test]
fn what_has_a_word_stands_under_it_and_all_else_in_the_metadata() {
    let said = [
        (names::REQUEST_MODEL, Value::from("gpt-4o")),
        (names::PROVIDER_NAME, "openai".into()),
        (names::REQUEST_TEMPERATURE, 0.5.into()),
        (names::INPUT_MESSAGES, vec!["hi"].into()),
        (names::SYSTEM_INSTRUCTIONS, "be kind".into()),
        (names::OUTPUT_MESSAGES, vec!["hello"].into()),
        (names::USAGE_INPUT_TOKENS, 3.into()),
        (names::USAGE_OUTPUT_TOKENS, 4.into()),
        (names::USAGE_CACHED_TOKENS, 1.into()),
        (names::METADATA, map(&[("run", "1".into())])),
        ("bytes", Value::Bytes(vec![0, 255])),
        ("odd", f64::NAN.into()),
    ];
    let mut failed = SpanData { status: Status::Error, status_message: "no".to_owned(), ..span(&said) };
    failed.attributes.push((names::ERROR_TYPE.to_owned(), "Timeout".into()));
    failed.attributes.push((names::ERROR_STACKTRACE.to_owned(), "at".into()));
    failed.events.push(EventData { name: "said".to_owned(), ..EventData::default() });
    failed.links.push(LinkData::default());
    let [payload, result] = payloads(&failed, Form::Free, &Contents::default());
    assert_eq!(
        payload,
        json!({
            "model_name": "gpt-4o", "provider": "openai", "temperature": 0.5,
            "inputs": {"messages": ["hi"], "system": "be kind"},
            "metadata": {
                names::USAGE_CACHED_TOKENS: 1, "run": "1", "bytes": "AP8=", "odd": "NaN",
                "events": [{"name": "said", "time": "1970-01-01T00:00:00.000000Z", "attributes": {}}],
                "links": [{"trace_id": "0".repeat(32), "span_id": "0".repeat(16), "attributes": {}}],
            },
        })
    );
    assert_eq!(
        result,
        json!({
            "outputs": {"messages": ["hello"]},
            "token_usage": {"prompt_tokens": 3, "completion_tokens": 4},
            "error": {"error_type": "Timeout", "message": "no", "stacktrace": "at"},
        })
    );
}

#[test]
fn what_is_of_another_type_than_its_place_has_is_metadata() {
    let others = [
        (names::USAGE_INPUT_TOKENS, Value::from("12")),
        (names::USAGE_OUTPUT_TOKENS, 7.5.into()),
        (names::USAGE_TOTAL_TOKENS, (-1).into()),
        (names::ERROR_TYPE, 404.into()),
        (names::ERROR_STACKTRACE, vec!["at"].into()),
        (names::TYPE, 5.into()),
        (names::FOREIGN_SPAN_ID, 77.into()),
        (names::FOREIGN_STATUS, true.into()),
    ];
    let [payload, _] = payloads(&span(&others), Form::Free, &Contents::default());
    for (key, value) in &others {
        assert_eq!(payload["metadata"][*key], super::json::value(value), "{key}: {payload}");
    }
}

#[test]
fn metadata_has_a_place_whatever_stands_in_it() {
    for own in [&["metadata"][..], &["metadata", "spanring.metadata"], &["spanring.metadata"]] {
        let input = Value::Map(own.iter().map(|key| ((*key).to_owned(), Value::Null)).collect());
        let said = [
            (names::INPUT, input),
            ("user.email", "a@b".into()),
            (names::METADATA, map(&[("tenant", "acme".into())])),
        ];
        let created = create(&span(&said), "i", None, &instance(), &Contents::default()).to_string();
        for part in ["a@b", "acme", r#""span_id""#] {
            assert!(created.contains(part), "{own:?}: {created}");
        }
        for key in own {
            assert!(created.contains(&format!(r#""{key}":null"#)), "{own:?}: {created}");
        }
    }
}

#[test]
fn whatever_keys_a_program_uses_nothing_takes_the_place_of_anything() {
    let all = |key: &str| {
        let own: &[(&str, Value)] = &[(key, "own".into())];
        let attributes = [
            (names::INPUT, map(own)),
            (names::OUTPUT, map(own)),
            (names::REQUEST_MODEL, "attribute 1".into()),
            (names::TOOL_CALL_ARGUMENTS, "attribute 2".into()),
            (names::TOOL_CALL_RESULT, "attribute 3".into()),
            (names::USAGE_INPUT_TOKENS, 4.into()),
            (names::METADATA, map(&[("k", "attribute 5".into())])),
            ("k2", "attribute 6".into()),
        ];
        let [payload, result] = payloads(&span(&attributes), Form::Free, &Contents::default());
        assert_eq!((&payload[key], &result[key]), (&"own".into(), &"own".into()), "{payload} {result}");
        let text = format!("{payload}{result}");
        for number in [1, 2, 3, 5, 6] {
            assert!(text.contains(&format!("attribute {number}")), "{key}: {text}");
        }
        assert!(text.contains(r#""prompt_tokens":4"#), "{key}: {text}");
    };
    for key in ["model_name", "inputs", "outputs", "token_usage", "error", "metadata", "spanring.metadata"] {
        all(key);
    }
}

#[test]
fn inputs_and_outputs_are_sent_only_where_they_may_be() {
    let content: Vec<_> = names::ALL
        .iter()
        .filter(|(name, _)| names::class(name).is_some_and(|class| class != names::Class::About))
        .map(|(name, _)| (*name, Value::from("secret")))
        .collect();
    let of = |contents: &Contents| {
        [Form::Free, Form::Langchain].map(|form| payloads(&span(&content), form, contents))
    };
    let none = Contents { inputs: false, outputs: false, ..Contents::default() };
    assert_eq!(of(&none), [[json!({}), Json::Null], [json!({}), Json::Null]]);
    for [_, result] in of(&Contents { outputs: false, ..Contents::default() }) {
        assert_eq!(result, Json::Null);
    }
    let short = Contents { input_len_max: Some(3), output_len_max: Some(3), ..Contents::default() };
    assert!(!format!("{:?}", of(&short)).contains("secr"));
    let whole = format!("{:?}", of(&Contents::default()));
    assert_eq!(whole.matches("secret").count(), 2 * content.len(), "{whole}");
}

#[test]
fn payloads_of_langchain_have_their_own_form() {
    let node = span(&[
        (names::TYPE, "langchain:node".into()),
        (names::STEP_NAME, "model".into()),
        (names::STEP_INDEX, 1.into()),
        (names::OUTPUT, map(&[("status", "completed".into())])),
    ]);
    assert_eq!(Form::of(&node), Form::Langchain);
    let [payload, result] = payloads(&node, Form::of(&node), &Contents::default());
    assert_eq!((payload, result), (json!({"node": "model", "step": 1}), json!({"status": "completed"})));
    let agent = span(&[
        (names::TYPE, "langchain:agent".into()),
        (names::INPUT, map(&[("messages", vec!["hi"].into())])),
        (names::OUTPUT, map(&[("messages", vec!["bye"].into())])),
    ]);
    let [payload, result] = payloads(&agent, Form::of(&agent), &Contents::default());
    assert_eq!(payload, json!({"inputs": {"messages": ["hi"]}}));
    assert_eq!(result, json!({"outputs": {"messages": ["bye"]}}));
}

#[test]
fn inputs_of_langchain_repeat_which_model_or_tool_it_was_where_they_are_sent() {
    let tool = span(&[
        (names::TYPE, "langchain:tool".into()),
        (names::TOOL_NAME, "search".into()),
        (names::TOOL_CALL_ARGUMENTS, map(&[("q", "tea".into())])),
    ]);
    let model = span(&[
        (names::TYPE, "langchain:llm".into()),
        (names::REQUEST_MODEL, "mistral-small".into()),
        (names::INPUT_MESSAGES, vec!["hi"].into()),
    ]);
    let silent = Contents { inputs: false, ..Contents::default() };
    let payload = |span: &SpanData, contents: &Contents| {
        let [payload, _] = payloads(span, Form::of(span), contents);
        payload
    };
    let inputs = json!({"tool_name": "search", "arguments": {"q": "tea"}});
    assert_eq!(payload(&tool, &Contents::default()), json!({"tool_name": "search", "inputs": inputs}));
    assert_eq!(payload(&tool, &silent), json!({"tool_name": "search"}));
    let inputs = json!({"model": "mistral-small", "messages": ["hi"]});
    assert_eq!(
        payload(&model, &Contents::default()),
        json!({"model_name": "mistral-small", "inputs": inputs})
    );
    // What was said as a whole stays as it is.
    let said = [(names::TYPE, "langchain:tool".into()), (names::TOOL_NAME, "search".into())];
    let whole = span(&[said.as_slice(), &[(names::INPUT, map(&[("q", "tea".into())]))]].concat());
    assert_eq!(payload(&whole, &Contents::default()), json!({"tool_name": "search", "inputs": {"q": "tea"}}));
}

#[test]
fn each_record_of_quality_is_a_request_and_stays_in_the_metadata() {
    let record = |name: &str, payload: Value| Value::from_iter([("name", name.into()), ("payload", payload)]);
    let accuracy = map(&[("score", 0.5.into())]);
    let records = vec![
        record("accuracy", accuracy),
        record("tone", Value::Null),
        "odd".into(),
        record("tone", "ann@b.org".into()),
    ];
    let span = span(&[(names::QUALITY, Value::List(records))]);
    let instance = instance();
    let bodies = quality(&span, &instance, &Contents::default());
    let said: Vec<_> = bodies.iter().map(|body| (body["name"].clone(), body["payload"].clone())).collect();
    let expected = [
        ("accuracy".into(), json!({"score": 0.5})),
        ("tone".into(), Json::Null),
        ("tone".into(), "ann@b.org".into()),
    ];
    assert_eq!(said, expected);
    for body in &bodies {
        assert!(body.as_object().unwrap().contains_key("payload"), "a null is said");
        assert!((8..=64).contains(&body["idempotency_key"].as_str().unwrap().len()), "{body}");
    }
    let keys = |bodies: &[Json]| {
        bodies.iter().map(|body| body["idempotency_key"].to_string()).collect::<BTreeSet<_>>()
    };
    let other = SpanData { span_id: SpanId::from_bytes([9; 8]), ..span.clone() };
    let all = [
        keys(&bodies),
        keys(&quality(&other, &instance, &Contents::default())),
        keys(&quality(&span, &instance.open(), &Contents::default())),
    ];
    assert_eq!(all.iter().flatten().collect::<BTreeSet<_>>().len(), 9, "{all:?}");
    let [payload, _] = payloads(&span, Form::Free, &Contents::default());
    assert_eq!(payload["metadata"][names::QUALITY].as_array().unwrap().len(), 4);
    // No encoding of what is sensitive is known in these requests.
    for (sensitive, count) in [
        (Sensitive::default().texts(SensitiveTexts::Emails), 2),
        (Sensitive::default().key("spanring.quality.payload"), 1),
        (Sensitive::default().key(names::QUALITY), 0),
    ] {
        let contents = Contents { sensitive, ..Contents::default() };
        assert_eq!(quality(&span, &instance, &contents).len(), count, "{contents:?}");
    }
}

#[test]
fn an_instance_is_the_same_for_a_recorder_and_its_recovery_and_another_for_anything_else() {
    let recorder = RecorderId::from_parts(u64::MAX, u64::MAX);
    let shop = Resource::named("shop");
    let agent = Agent::default();
    let instance = agent.instance(&recorder, &shop);
    assert_eq!(instance, agent.instance(&recorder.recovery(), &shop));
    let named = Agent { name: Some("n".to_owned()), ..Agent::default() };
    let typed = Agent { types: SpanTypes::default().with("my:type"), ..Agent::default() };
    let live = Agent { purpose: Some(Purpose::Live), ..Agent::default() };
    let others = [
        instance.open(),
        live.instance(&recorder, &shop),
        agent.instance(&RecorderId::from_parts(u64::MAX, 0), &shop),
        agent.instance(&recorder, &Resource::named("other")),
        named.instance(&recorder, &shop),
        typed.instance(&recorder, &shop),
    ];
    let all: Vec<_> = others.into_iter().chain([instance]).collect();
    let mut keys = BTreeSet::new();
    for instance in &all {
        let finish = instance.finish(SpanStatus::Complete);
        let (span, pending) = (span(&[]), cancel(&span(&[]), instance));
        let bodies = [instance.register(), &instance.start(), &finish, &pending];
        let of_bodies = bodies.map(|body| body["idempotency_key"].as_str().unwrap().to_owned());
        keys.extend(of_bodies.into_iter().chain([instance.key_of(&span)]));
    }
    assert_eq!(keys.len(), 5 * all.len());
    assert!(keys.iter().all(|key| (8..=64).contains(&key.len())), "{keys:?}");
}

/// Another key for the same would have an exporter of a later build begin all instances anew.
#[test]
fn what_an_instance_is_registered_with_has_the_key_that_it_always_had() {
    assert_eq!(instance().register()["idempotency_key"], "18e9aed9cfb90a00-0000000000000002-be86f505fdb1");
}

#[test]
fn an_instance_with_open_types_is_the_same_but_for_its_schemas_and_keys() {
    let recorder = RecorderId::from_parts(1, 2);
    let accuracy = QualitySchema {
        name: "accuracy".to_owned(),
        title: Some("A".to_owned()),
        schema: Some(json!({"type": "object"})),
        ..QualitySchema::default()
    };
    let (id, purpose, quality) = (Some("a".to_owned()), Some(Purpose::Eval), vec![accuracy]);
    let agent = Agent { id, purpose, quality, ..Agent::default() };
    let instance = agent.instance(&recorder, &Resource::named("shop"));
    let open = instance.open();
    let without_schemas = |instance: &Instance| {
        let mut body = instance.register().clone();
        body["agent_schema_version"] = Json::Null;
        body["idempotency_key"] = Json::Null;
        body
    };
    assert_eq!(without_schemas(&open), without_schemas(&instance));
    assert_eq!(open.register()["purpose"], "eval");
    let id = |instance: &Instance| instance.register()["agent_schema_version"]["external_identifier"].clone();
    assert_ne!(id(&open), id(&instance));
    let quality =
        |instance: &Instance| instance.register()["agent_schema_version"]["quality_schemas"].clone();
    assert_eq!(quality(&instance), json!([{"name": "accuracy", "title": "A", "schema": {"type": "object"}}]));
    let schema = json!({"type": "object", "additionalProperties": true});
    assert_eq!(quality(&open), json!([{"name": "accuracy", "schema": schema}]));
    assert_eq!(open, open.open());
    let bare = Agent::default().instance(&recorder, &Resource::default());
    assert_eq!((bare.register().get("purpose"), quality(&bare)), (None, Json::Null));
    let unrated =
        Agent { quality: Vec::new(), ..agent.clone() }.instance(&recorder, &Resource::named("shop"));
    assert_ne!(id(&unrated), id(&instance));
}

#[test]
fn an_instance_says_whose_run_it_is() {
    let agent = Agent {
        id: Some("my-agent".to_owned()),
        environment_id: Some("env".to_owned()),
        version: Some("v2".to_owned()),
        ..Agent::default()
    };
    let mut resource = Resource::named("shop");
    resource.attributes.push(("service.version".to_owned(), "v1".into()));
    resource.attributes.push(("os.type".to_owned(), "linux".into()));
    let recorder = RecorderId::from_parts(1_795_158_177_051_739_000, 2);
    let instance = agent.instance(&recorder, &resource);
    let body = instance.register();
    assert_eq!((&body["agent_id"], &body["environment_id"]), (&"my-agent".into(), &"env".into()));
    let version = &body["agent_version"];
    assert_eq!((&version["name"], &version["external_identifier"]), (&"shop".into(), &"v2".into()));
    assert_eq!(version["runtime_environment"]["os"], "linux");
    assert_eq!(body["external_identifier"], recorder.as_str());
    assert_eq!(instance.start()["timestamp"], "2026-11-20T07:02:57.051739Z");
    let of_deployment = Agent::default().instance(&recorder, &resource);
    let body = of_deployment.register();
    assert_eq!((body.get("agent_id"), body.get("environment_id")), (None, None));
    assert_eq!(body["agent_version"]["external_identifier"], "v1");
}

#[test]
fn what_is_not_to_be_sent_is_not_sent_with_an_event_or_a_link_either() {
    let attributes = vec![
        (names::INPUT_MESSAGES.to_owned(), "given".into()),
        (names::OUTPUT_MESSAGES.to_owned(), "came".into()),
        (names::INPUT.to_owned(), "given".into()),
        ("number".to_owned(), 7.into()),
    ];
    let span = SpanData {
        events: vec![EventData { attributes: attributes.clone(), ..EventData::default() }],
        links: vec![LinkData { attributes, ..LinkData::default() }],
        ..span(&[])
    };
    for (inputs, outputs) in [(true, true), (false, true), (true, false), (false, false)] {
        let contents = Contents { inputs, outputs, ..Contents::default() };
        let [payload, _] = payloads(&span, Form::Free, &contents);
        for of in ["events", "links"] {
            let sent = &payload["metadata"][of][0]["attributes"];
            assert_eq!(sent["number"], 7);
            let text = sent.to_string();
            assert_eq!((text.contains("given"), text.contains("came")), (inputs, outputs), "{of}: {text}");
        }
    }
    let short = Contents { input_len_max: Some(2), ..Contents::default() };
    let [payload, _] = payloads(&span, Form::Free, &short);
    assert_eq!(payload["metadata"]["events"][0]["attributes"][names::INPUT_MESSAGES], "gi");
}

#[test]
fn what_is_sensitive_is_marked_when_a_span_starts_and_when_it_ends_wherever_it_stands_then() {
    let card = || map(&[("card", "4711".into())]);
    let sensitive = Sensitive::default().key("inputs.card").key("email");
    let contents = Contents { sensitive, ..Contents::default() };
    let sealed = json!({"$sensitive": "string", "value": "4711"});
    let instance = instance();
    let announced = span(&[(names::INPUT, card())]);
    let started = start(&announced, "i", None, &instance, &contents);
    assert_eq!(started["details"]["payload"]["card"], sealed);
    assert_eq!(started["details"]["sensitive_encoding"], true);
    // What was not known when it started stands in the metadata of the result.
    let ended = span(&[(names::INPUT, card()), ("email", "a@b".into())]);
    let body = finish(&ended, Said::Start(&span(&[])), &instance, &contents);
    let late = &body["result_payload"]["metadata"];
    assert_eq!(late["spanring.payload"]["card"], sealed);
    assert_eq!(late["email"], json!({"$sensitive": "string", "value": "a@b"}));
    assert_eq!(body["sensitive_encoding"], true);
    // So does the metadata that an input has of its own.
    let own = map(&[("metadata", map(&[("ssn", "1".into()), ("shift", "2".into())]))]);
    for pattern in ["inputs", "inputs.metadata.ssn"] {
        let contents = Contents { sensitive: Sensitive::default().key(pattern), ..Contents::default() };
        let late =
            finish(&span(&[(names::INPUT, own.clone())]), Said::Start(&span(&[])), &instance, &contents);
        let late = &late["result_payload"]["metadata"];
        assert_eq!(late["ssn"], json!({"$sensitive": "string", "value": "1"}), "{pattern}");
        assert_eq!(late["shift"] == "2", pattern != "inputs", "{pattern}: {late}");
    }
    let body = finish(&announced, Said::Start(&announced), &instance, &contents);
    assert!(body.get("sensitive_encoding").is_none(), "nothing is marked: {body}");
}

#[test]
fn a_service_with_an_empty_name_or_version_has_none() {
    let resource = Resource {
        attributes: vec![("service.version".into(), " ".into()), ("service.name".into(), "".into())],
    };
    let instance = Agent::default().instance(&RecorderId::from_parts(1, 2), &resource);
    let version = &instance.register()["agent_version"];
    assert_eq!((&version["name"], &version["external_identifier"]), (&"agent".into(), &"unversioned".into()));
}

#[test]
fn an_instance_is_called_as_the_agent_says_or_else_the_process_or_else_its_recorder() {
    let recorder = RecorderId::from_parts(1, 2);
    let process = |pairs: &[(&str, Value)]| Resource {
        attributes: pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
    };
    let called = |agent: &Agent, resource: &Resource| {
        let instance = agent.instance(&recorder, resource);
        let later = instance.with_types(["my:type"]);
        assert_eq!(later.register()["external_identifier"], instance.register()["external_identifier"]);
        instance.register()["external_identifier"].as_str().unwrap().to_owned()
    };
    let silent = Agent::default();
    let identifier = ExternalIdentifier::parse("run {run.id}").unwrap();
    let agent = Agent { external_identifier: Some(identifier), ..Agent::default() };
    let says = ("prefactor.external_identifier", "ext-run-1".into());
    assert_eq!(called(&silent, &process(&[])), recorder.as_str());
    assert_eq!(called(&silent, &process(std::slice::from_ref(&says))), "ext-run-1");
    assert_eq!(
        called(&silent, &process(&[("prefactor.external_identifier", " ".into())])),
        recorder.as_str()
    );
    assert_eq!(called(&agent, &process(&[says.clone(), ("run.id", 7.into())])), "run 7");
    assert_eq!(called(&agent, &process(&[says])), "ext-run-1");
    assert_eq!(called(&agent, &process(&[])), recorder.as_str());
}

#[test]
fn a_later_version_of_the_schemas_has_another_name_and_key_and_its_spans_have_the_keys_that_they_had() {
    let (first, span) = (instance(), span(&[(names::TYPE, "my:type".into())]));
    let later = first.with_types(["my:type"]);
    let schemas = |instance: &Instance| instance.register()["agent_schema_version"].clone();
    let names = |instance: &Instance| {
        let schemas = schemas(instance)["span_type_schemas"].as_array().unwrap().clone();
        schemas.into_iter().map(|schema| schema["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(first.undeclared_type(&span), Some("my:type"));
    assert_eq!((later.undeclared_type(&span), later.type_of(&span)), (None, "my:type"));
    assert_eq!(names(&later), names(&first).into_iter().chain(["my:type".to_owned()]).collect());
    let id = |instance: &Instance| schemas(instance)["external_identifier"].clone();
    assert_ne!(id(&first), id(&later));
    assert_ne!(first.register()["idempotency_key"], later.register()["idempotency_key"]);
    assert_eq!((first.key_of(&span), first.start()), (later.key_of(&span), later.start()));
    // In whichever order they turned up, and where none did.
    assert_eq!(first.with_types(["a", "my:type"]), first.with_types(["my:type"]).with_types(["a"]));
    assert_eq!(first.with_types([]), first);
    // Those of another instance that the server makes of it are others, and no longer than is allowed.
    let [start, other] = [&later, &later.another("another")].map(|of| of.start()["idempotency_key"].clone());
    assert_ne!(start, other);
    let finish = later.another("another").finish(SpanStatus::Complete)["idempotency_key"].clone();
    assert!(finish.as_str().unwrap().len() <= 64, "{finish}");
}

#[test]
fn arguments_of_a_single_tool_are_its_inputs_and_are_as_sensitive_and_as_left_out_as_anywhere() {
    let said = |type_name: &str| {
        span(&[
            (names::TYPE, type_name.into()),
            (names::TOOL_NAME, "search".into()),
            (names::TOOL_CALL_ARGUMENTS, map(&[("q", "weather".into()), ("query", "own".into())])),
            (names::RETRIEVAL_QUERY, "asked".into()),
        ])
    };
    let contents = Contents::default();
    let of_tool = said("langchain:tool:web-search");
    let Payloads { payload, .. } = Payloads::of(&of_tool, Form::of(&of_tool), &contents);
    assert_eq!(payload["inputs"], json!({"q": "weather", "query": "own"}));
    assert_eq!(payload["tool_name"], "search");
    assert_eq!(payload["metadata"], json!({"gen_ai.retrieval.query.text": "asked"}));
    let of_all = said("langchain:tool");
    let Payloads { payload, .. } = Payloads::of(&of_all, Form::of(&of_all), &contents);
    assert_eq!(payload["inputs"]["arguments"], json!({"q": "weather", "query": "own"}));

    let without = Contents { inputs: false, ..Contents::default() };
    let Payloads { payload, .. } = Payloads::of(&of_tool, Form::of(&of_tool), &without);
    assert!(!json!(payload).to_string().contains("weather"), "{payload:?}");

    for key in
        ["gen_ai.tool.call.arguments", "gen_ai.tool.call.arguments.q", "inputs.arguments.q", "inputs.q"]
    {
        let contents = Contents { sensitive: Sensitive::default().key(key), ..Contents::default() };
        let body = create(&of_tool, "i", None, &instance(), &contents);
        let inputs = &body["details"]["payload"]["inputs"];
        let is_whole = key == "gen_ai.tool.call.arguments";
        let sealed = if is_whole { &inputs["value"]["q"] } else { &inputs["q"]["value"] };
        assert_eq!(
            (sealed, &body["details"]["sensitive_encoding"]),
            (&json!("weather"), &json!(true)),
            "{key}"
        );
    }
}
