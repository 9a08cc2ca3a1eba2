use serde_json::{Map, Value as Json, json};
use spanring::{Kind, SpanId, Status, TraceId, names};
use spanring_spool::{EventData, LinkData, Resource, SpanData, Value};

use super::*;

fn id(number: u8) -> SpanId {
    SpanId::from_bytes([number; 8])
}

fn span(number: u8, kind: Kind) -> SpanData {
    SpanData {
        trace_id: TraceId::from_bytes([0xab; 16]),
        span_id: id(number),
        parent_id: (number > 1).then(|| id(1)),
        name: format!("span {number}"),
        kind,
        status: Status::Ok,
        start_unix_ns: 1_000_000_000,
        end_unix_ns: 1_002_500_000,
        ..SpanData::default()
    }
}

fn with(mut span: SpanData, attributes: &[(&str, Value)]) -> SpanData {
    span.attributes.extend(attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    span
}

fn under(parent: u8, span: SpanData) -> SpanData {
    SpanData { parent_id: Some(id(parent)), ..span }
}

fn agent(number: u8) -> SpanData {
    with(span(number, Kind::Agent), &[(names::AGENT_NAME, "planner".into())])
}

fn call(number: u8, input: u64, output: u64, cost: f64) -> SpanData {
    let usage = [
        (names::USAGE_INPUT_TOKENS, Value::U64(input)),
        (names::USAGE_OUTPUT_TOKENS, Value::U64(output)),
        (names::COST_INPUT, Value::F64(cost)),
        (names::COST_OUTPUT, Value::F64(cost * 2.0)),
    ];
    with(span(number, Kind::Llm), &usage)
}

fn written(span: &SpanData) -> Json {
    payload(span, std::slice::from_ref(span)).to_dict().into()
}

fn event(span: &SpanData) -> Event {
    Emitter::of(&Resource::named("shop")).events(std::slice::from_ref(span)).remove(0)
}

#[test]
fn a_span_of_which_nothing_was_said_is_what_the_sdk_makes_of_one() {
    let expected = json!({
        "duration_ms": 2.5, "end_time_unix_nano": 1_002_500_000, "operation": "execute_tool",
        "parent_span_id": "0202020202020202", "reasoning_steps": [], "span_id": "0303030303030303",
        "span_kind": "CLIENT", "span_name": "span 3", "start_time_unix_nano": 1_000_000_000, "status": "ok",
        "tool_calls": [], "trace_id": "abababababababababababababababab",
    });
    assert_eq!(written(&under(2, span(3, Kind::Tool))), expected);
    let event = event(&under(2, span(3, Kind::Tool))).to_dict();
    let expected = json!({
        "event_id": event["event_id"], "event_type": "llm.trace.span.completed", "payload": expected,
        "parent_span_id": "0202020202020202", "schema_version": "2.0", "source": "shop@0.0.0",
        "span_id": "0303030303030303", "timestamp": "1970-01-01T00:00:01.002500Z",
        "trace_id": "abababababababababababababababab",
    });
    assert_eq!(event, expected);
}

#[test]
fn every_status_has_a_word_that_spanforge_knows() {
    let told = Status::ALL.iter().map(|&status| {
        let event = event(&SpanData { status, ..span(2, Kind::Tool) });
        let said = event.payload.get("attributes").and_then(|said| said.get(names::STATUS)).cloned();
        (event.payload["status"].clone(), event.event_type, said)
    });
    let (completed, failed) = ("llm.trace.span.completed".to_owned(), "llm.trace.span.failed".to_owned());
    let expected = [
        (json!("ok"), completed.clone(), None),
        (json!("ok"), completed.clone(), None),
        (json!("error"), failed.clone(), None),
        (json!("error"), failed.clone(), Some(json!("cancelled"))),
        (json!("timeout"), completed, None),
    ];
    assert_eq!(Status::ALL.len(), expected.len());
    for (told, status) in told.zip(Status::ALL) {
        let at = [Status::Unset, Status::Ok, Status::Error, Status::Cancelled, Status::TimedOut];
        let at = at.iter().position(|other| other == status).unwrap();
        assert_eq!(told, expected[at], "{status:?}");
    }
    let interrupted = SpanData { status: Status::Unset, interrupted: true, ..span(2, Kind::Tool) };
    assert_eq!(event(&interrupted).event_type, failed);
}

/// For each key of spanring's: a value of every type goes into a field or stays an attribute, and nothing is lost.
#[test]
fn whatever_has_a_meaning_and_another_type_stays_an_attribute() {
    let values =
        [Value::Null, true.into(), Value::I64(-3), "".into(), Value::Bytes(vec![0xff]), vec![true].into()];
    for kind in [Kind::Tool, Kind::Agent] {
        for (key, _) in names::ALL {
            for value in &values {
                let sent = event(&with(span(2, kind), &[(key, value.clone())]));
                let stays = sent.payload.get("attributes").is_some_and(|said| said.get(key).is_some());
                let dict = sent.to_dict().to_string();
                let is_field = match (*key, value) {
                    // These take any text, as which bytes are written too, or any number.
                    (_, Value::Str(_) | Value::Bytes(_)) => !stays,
                    (names::COST_INPUT | names::COST_OUTPUT | names::COST_TOTAL, Value::I64(_)) => true,
                    (names::COST_CACHED_DISCOUNT | names::COST_REASONING, Value::I64(_)) => true,
                    (names::REQUEST_TEMPERATURE | names::REQUEST_TOP_P, Value::I64(_)) => true,
                    _ => false,
                };
                assert!(stays || is_field, "{key} = {value:?} is lost: {dict}");
            }
        }
    }
}

#[test]
fn what_has_no_field_is_an_attribute_of_spans_steps_and_runs() {
    let said = [("mine", Value::I64(7)), (names::INPUT_MESSAGES, vec!["hi"].into())];
    let step = with(span(2, Kind::Chain), &[(names::STEP_NAME, "plan".into())]);
    for mut span in [span(2, Kind::Llm), step, agent(2)] {
        span.links = vec![LinkData { trace_id: span.trace_id, span_id: id(9), ..LinkData::default() }];
        span.events = vec![EventData { name: "first".into(), time_unix_ns: 5, attributes: Vec::new() }];
        (span.is_pending, span.interrupted, span.cut) = (true, true, 3);
        let payload = written(&with(span, &said));
        let attributes = &payload["attributes"];
        assert_eq!((&attributes["mine"], &attributes[names::INPUT_MESSAGES]), (&json!(7), &json!(["hi"])));
        assert_eq!(attributes["spanring.links"][0]["span_id"], "0909090909090909");
        assert_eq!(
            [names::PENDING, names::INTERRUPTED, names::CUT].map(|key| &attributes[key]),
            [&json!(true), &json!(true), &json!(3)]
        );
        assert_eq!(payload["events"], json!([{"name": "first", "timestamp_ns": 5, "metadata": {}}]));
    }
}

#[test]
fn what_of_usage_was_not_said_follows_from_what_was() {
    let model =
        |attributes: &[(&str, Value)]| written(&with(span(2, Kind::Llm), attributes))["model"].clone();
    let name = |name: &str| (names::REQUEST_MODEL, Value::from(name));
    for (model_name, system) in
        [("Claude-x", "anthropic"), ("mixtral", "mistral_ai"), ("gpt-4o", "openai"), ("qwen3", "ollama")]
    {
        assert_eq!(model(&[name(model_name)]), json!({"name": model_name, "system": system}));
    }
    assert_eq!(model(&[name("m"), (names::PROVIDER_NAME, "groq".into())])["system"], "groq");
    let custom = model(&[name("m"), (names::CUSTOM_PROVIDER, "ours".into())]);
    assert_eq!(custom, json!({"name": "m", "system": "_custom", "custom_system_name": "ours"}));
    let answered = model(&[(names::RESPONSE_MODEL, "m".into())]);
    assert_eq!(answered, json!({"name": "m", "system": "openai"}));
    assert_eq!(model(&[(names::PROVIDER_NAME, "groq".into())]), Json::Null);

    let usage = |key| written(&with(span(2, Kind::Llm), &[(key, Value::U64(7))]))["token_usage"].clone();
    let expected = json!({"input_tokens": 7, "output_tokens": 0, "total_tokens": 7});
    assert_eq!(usage(names::USAGE_INPUT_TOKENS), expected);
    let expected = json!({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "image_tokens": 7});
    assert_eq!(usage(names::USAGE_IMAGE_TOKENS), expected);

    // Every set of parts, each a power of two so that sums are exact.
    let keys = [
        names::COST_INPUT,
        names::COST_OUTPUT,
        names::COST_REASONING,
        names::COST_CACHED_DISCOUNT,
        names::COST_TOTAL,
    ];
    for set in 1_u32..32 {
        let said: Vec<_> = (0..5)
            .filter(|place| set >> place & 1 == 1)
            .map(|place| (keys[place], Value::F64([8.0, 4.0, 2.0, 1.0, 13.0][place])))
            .collect();
        let cost: CostBreakdown =
            serde_json::from_value(written(&with(span(2, Kind::Llm), &said))["cost"].clone()).unwrap();
        let parts =
            cost.input_cost_usd + cost.output_cost_usd + cost.reasoning_cost_usd - cost.cached_discount_usd;
        // With both said, what is missing of the total may be what nobody has a name for.
        let is_open = set & 0b10011 == 0b10011;
        assert!(is_open || parts == cost.total_cost_usd, "{set:b}: {cost:?}");
    }
}

#[test]
fn the_totals_of_a_run_are_those_of_all_spans_under_it() {
    let tool_calls = Value::from(vec![Value::from_iter([
        ("tool_call_id", Value::from("tc")),
        ("function_name", "search".into()),
        ("status", "success".into()),
    ])]);
    let spans = [
        call(3, 10, 5, 0.25),
        with(span(4, Kind::Tool), &[]),
        under(6, call(5, 7, 1, 0.5)),
        // A run within the run tells what its parts come to, once more.
        with(agent(6), &[(names::USAGE_INPUT_TOKENS, Value::U64(7)), (names::COST_TOTAL, Value::F64(1.5))]),
        with(span(7, Kind::Chain), &[(names::STEP_INDEX, Value::U64(0)), (names::TOOL_CALLS, tool_calls)]),
        // Of another trace.
        SpanData { trace_id: TraceId::from_bytes([1; 16]), ..call(8, 100, 100, 100.0) },
        agent(1),
    ];
    let run = payload(&spans[6], &spans).to_dict();
    assert_eq!(
        json!([run["total_steps"], run["total_model_calls"], run["total_tool_calls"]]),
        json!([1, 2, 2])
    );
    assert_eq!(run["total_token_usage"], json!({"input_tokens": 17, "output_tokens": 6, "total_tokens": 23}));
    let expected = json!({"input_cost_usd": 0.75, "output_cost_usd": 1.5, "total_cost_usd": 2.25});
    assert_eq!(run["total_cost"], expected);
    assert_eq!(run["attributes"]["spanring.run.totals.spans"], 5);
    let inner = payload(&spans[3], &spans).to_dict();
    assert_eq!(
        (&inner["total_model_calls"], &inner["total_cost"]["total_cost_usd"]),
        (&json!(1), &json!(1.5))
    );

    let alone = written(&spans[6]);
    assert_eq!(
        (&alone["total_model_calls"], &alone["attributes"]["spanring.run.totals.spans"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn totals_that_were_said_count_before_those_that_are_added_up() {
    let said = Value::from_iter([("total_steps", Value::U64(9))]);
    let spans = [call(3, 10, 5, 0.25), with(agent(1), &[(names::RUN_TOTALS, said)])];
    let run = payload(&spans[1], &spans).to_dict();
    assert_eq!((&run["total_steps"], &run["total_model_calls"]), (&json!(9), &json!(1)));
    // Another system's.
    let other = Value::from_iter([("steps", Value::U64(9))]);
    let run = written(&with(agent(1), &[(names::RUN_TOTALS, other)]));
    assert_eq!((&run["total_steps"], &run["attributes"][names::RUN_TOTALS]["steps"]), (&json!(0), &json!(9)));
}

#[test]
fn costs_of_a_run_are_in_one_currency() {
    let of =
        |currency: &str, number| with(call(number, 1, 1, 1.0), &[(names::COST_CURRENCY, currency.into())]);
    let cost = |spans: &[SpanData]| payload(spans.last().unwrap(), spans).to_dict()["total_cost"].clone();
    let euros =
        json!({"input_cost_usd": 2.0, "output_cost_usd": 4.0, "total_cost_usd": 6.0, "currency": "EUR"});
    assert_eq!(cost(&[of("EUR", 3), of("EUR", 4), agent(1)]), euros);
    let dollars = json!({"input_cost_usd": 1.0, "output_cost_usd": 2.0, "total_cost_usd": 3.0});
    assert_eq!(cost(&[of("EUR", 3), of("USD", 4), agent(1)]), dollars);
}

#[test]
fn a_run_without_an_identity_has_its_traces_and_one_within_another_its_own() {
    assert_eq!(written(&agent(1))["agent_run_id"], "abababababababab");
    assert_eq!(written(&agent(2))["agent_run_id"], "0202020202020202");
    let step = with(span(3, Kind::Chain), &[(names::STEP_NAME, "plan".into())]);
    assert_eq!(written(&step)["agent_run_id"], "abababababababab");
    let said = with(agent(1), &[(names::RUN_ID, "run_1".into())]);
    assert_eq!(written(&said)["agent_run_id"], "run_1");
    let out = with(agent(1), &[(names::FOREIGN_STATUS, "max_steps_exceeded".into())]);
    assert_eq!(written(&out)["status"], "max_steps_exceeded");
}

#[test]
fn what_nests_deeper_than_spanforge_reads_is_text_and_every_event_can_be_read() {
    for depth in 0..30 {
        let deep = (0..depth).fold(Value::from("ü"), |value, level| match level % 2 {
            0 => Value::from(vec![value]),
            _ => Value::from_iter([("k", value)]),
        });
        let mut span = with(span(2, Kind::Llm), &[("deep", deep.clone())]);
        let attributes = vec![("deep".to_owned(), deep.clone())];
        span.events = vec![EventData { name: "e".into(), time_unix_ns: 1, attributes: attributes.clone() }];
        span.links = vec![LinkData { attributes, ..LinkData::default() }];
        let sent = event(&span);
        assert_eq!(Event::from_json(&sent.to_json()).as_ref(), Ok(&sent), "{depth} levels");
        assert_eq!(sent.read_payload().map(|payload| payload.to_dict()), Ok(sent.payload.clone()));
        if depth <= 7 {
            assert_eq!(sent.payload["attributes"]["deep"], serde_json::to_value(&deep).unwrap());
        }
        // Nothing is lost.
        assert_eq!(sent.to_json().matches('ü').count(), 3);
    }
}

#[test]
fn what_has_an_empty_name_is_unnamed() {
    let event = EventData { time_unix_ns: 1, ..EventData::default() };
    let payload = written(&SpanData { name: String::new(), events: vec![event], ..span(2, Kind::Llm) });
    assert_eq!([&payload["span_name"], &payload["events"][0]["name"]], ["unnamed", "unnamed"]);
}

#[test]
fn what_json_has_no_form_for_has_one_here() {
    let said = [
        ("bytes", Value::Bytes(vec![0xff, 0])),
        ("nan", f64::NAN.into()),
        ("up", f64::INFINITY.into()),
        ("down", f64::NEG_INFINITY.into()),
    ];
    let expected = json!({"bytes": "/wA=", "nan": "NaN", "up": "Infinity", "down": "-Infinity"});
    assert_eq!(written(&with(span(2, Kind::Llm), &said))["attributes"], expected);
}

#[test]
fn labels_are_tags_if_spanforge_can_have_all_of_them() {
    let resource =
        Resource { attributes: vec![("deployment.environment.name".to_owned(), "staging".into())] };
    let tags = |labels: Value| {
        let span = with(span(2, Kind::Llm), &[(names::LABELS, labels)]);
        let event = Emitter::of(&resource).events(&[span]).remove(0).to_dict();
        (event["tags"].clone(), event["payload"]["attributes"][names::LABELS].clone())
    };
    let labels = |count: usize| Value::from_iter((0..count).map(|at| (format!("k{at}"), Value::from("v"))));
    assert_eq!(tags(labels(1)), (json!({"env": "staging", "k0": "v"}), Json::Null));
    let own = Value::from_iter([("env", Value::from("prod"))]);
    assert_eq!(tags(own), (json!({"env": "prod"}), Json::Null));
    let full = tags(labels(50));
    assert_eq!((full.0.as_object().map(Map::len), full.1), (Some(50), Json::Null));
    let many = tags(labels(51));
    assert_eq!((many.0, many.1.as_object().map(Map::len)), (json!({"env": "staging"}), Some(51)));
    let empty = Value::from_iter([("k", Value::from(""))]);
    assert_eq!(tags(empty), (json!({"env": "staging"}), json!({"k": ""})));
}

#[test]
fn who_is_said_in_the_envelope() {
    let said = [
        (names::ORGANIZATION_ID, Value::from("acme")),
        (names::TEAM_ID, "search".into()),
        (names::ACTOR_ID, "bot".into()),
        (names::SESSION_ID, "s 1".into()),
        (names::USER_ID, "u1".into()),
    ];
    let told = event(&with(span(2, Kind::Llm), &said)).to_dict();
    let who = ["org_id", "team_id", "actor_id", "session_id"].map(|key| told[key].as_str().unwrap());
    assert_eq!(who, ["acme", "search", "bot", "s 1"]);
    assert_eq!(told["payload"]["user_id"], "u1");
    // Not with white space.
    assert_eq!(told["payload"]["attributes"], json!({names::SESSION_ID: "s 1"}));
    let emitter = Emitter::of(&Resource::default()).or_for(Some("other"));
    let said = emitter.events(&[span(2, Kind::Llm), with(span(3, Kind::Llm), &said)]);
    assert_eq!(said[0].org_id.as_deref(), Some("other"));
    assert_eq!(said[1].org_id.as_deref(), Some("acme"));
    assert_eq!(said[0].source, "unknown-service@0.0.0");
}

#[test]
fn events_beyond_a_limit_and_things_that_are_none_are_refused() {
    let good = event(&span(2, Kind::Llm));
    let changed = |change: &dyn Fn(&mut Map<String, Json>)| {
        let Json::Object(mut pairs) = good.to_dict() else { unreachable!() };
        change(&mut pairs);
        Event::from_dict(pairs)
    };
    assert_eq!(changed(&|_| {}).as_ref(), Ok(&good));
    for name in ["schema_version", "event_id", "event_type", "timestamp", "source", "payload"] {
        let error = changed(&|pairs| drop(pairs.remove(name)));
        assert_eq!(error, Err(EventError::Field { name }));
        let error = changed(&|pairs| drop(pairs.insert(name.to_owned(), json!(7))));
        assert_eq!(error, Err(EventError::Field { name }));
    }
    for name in ["trace_id", "org_id", "checksum", "prev_id", "tags"] {
        let error = changed(&|pairs| drop(pairs.insert(name.to_owned(), json!(7))));
        assert_eq!(error, Err(EventError::Field { name }));
    }
    let tags: Map<_, _> = (0..51).map(|at| (at.to_string(), json!("v"))).collect();
    let error = changed(&|pairs| drop(pairs.insert("tags".to_owned(), tags.clone().into())));
    assert_eq!(error, Err(EventError::TooManyTags { count: 51, max: TAGS_MAX }));
    let deep = (0..10).fold(json!(1), |json, _| json!({"k": json}));
    let error = changed(&|pairs| drop(pairs.insert("payload".to_owned(), deep.clone())));
    assert_eq!(error, Err(EventError::TooDeep { max: DEPTH_MAX }));
    let long = "x".repeat(BYTES_MAX + 1);
    assert_eq!(Event::from_json(&long), Err(EventError::TooLong { len: BYTES_MAX + 1, max: BYTES_MAX }));
    assert_eq!(Event::from_json("[]"), Err(EventError::NotAnObject));
    assert_eq!(Event::from_json("{"), Err(EventError::NotAnObject));
    let later = changed(&|pairs| drop(pairs.insert("later".to_owned(), json!([1])))).unwrap();
    assert_eq!(later.to_dict()["later"], json!([1]));
    assert_eq!(later.read_payload().map(|payload| payload.event_type()), Ok("llm.trace.span.completed"));
    let other = Event { event_type: "llm.cost.token.recorded".into(), ..good };
    assert_eq!(other.read_payload(), Err(EventError::Payload));
}

#[test]
fn a_chain_shows_what_was_changed_taken_out_or_signed_by_another() {
    let key = SigningKey::new("key").unwrap();
    let mut events = Emitter::default().events(&[call(2, 1, 1, 0.5), call(3, 1, 1, 0.5), call(4, 1, 1, 0.5)]);
    key.chain(&mut events);
    assert!(events.iter().all(|event| key.is_signed(event)));
    assert_eq!(events[0].prev_id, None);
    assert_eq!(events[2].prev_id.as_ref(), Some(&events[1].event_id));
    assert!(!SigningKey::new("other").unwrap().is_signed(&events[0]));
    let event = &events[1];
    let changes: [&dyn Fn(&mut Event); 6] = [
        &|event| drop(event.payload.insert("status".to_owned(), json!("error"))),
        &|event| event.event_id = "01M7VWBK9Z67DG74KV0YQJYWKY".to_owned(),
        &|event| event.prev_id = None,
        &|event| event.checksum = Some("sha256:00".to_owned()),
        &|event| event.signature = None,
        &|event| event.signature = Some("hmac-sha256:ü".to_owned()),
    ];
    for change in changes {
        let mut changed = event.clone();
        change(&mut changed);
        assert!(!key.is_signed(&changed), "{changed:?}");
    }
    assert!(SigningKey::new(" \n").is_none());
    assert_eq!(format!("{key:?}"), "SigningKey");
}

#[test]
fn a_line_for_the_cloud_has_the_fields_in_the_envelopes_order_and_escapes_what_is_not_ascii() {
    let line = event(&with(span(1, Kind::Tool), &[("ü", "\u{1d11e}".into())])).to_line();
    assert!(line.is_ascii() && line.contains(r#""attributes": {"\u00fc": "\ud834\udd1e"}"#), "{line}");
    let order = [
        "{\"schema_version\"",
        "\"event_id\"",
        "\"event_type\"",
        "\"timestamp\"",
        "\"source\"",
        "\"payload\"",
    ];
    let places: Vec<_> = order.iter().map(|key| line.find(key).unwrap()).collect();
    assert!(places.is_sorted(), "{line}");
}
