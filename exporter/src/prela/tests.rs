use std::fs;
use std::path::Path;

use proptest::prelude::*;
use spanring::{Kind, ReplaySlot, SpanId, Status, TraceId, names};
use spanring_spool::{EventData, LinkData, SpanData, Value};

use super::*;
use crate::dumps;

fn json_of(value: &Value) -> String {
    let mut out = String::new();
    dumps::value(&mut out, value);
    out
}

#[test]
fn lines_of_the_sdk_are_the_same_after_they_were_read_and_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures/prela/file_export/traces-2026-11-20-001.jsonl");
    let lines = fs::read_to_string(path).unwrap();
    assert_eq!(lines.lines().count(), 8);
    for line in lines.lines() {
        assert_eq!(Span::from_dict(line).unwrap().to_dict(), line);
    }
}

#[test]
fn a_span_out_of_a_request_is_read_too() {
    let span = Span::of(&whole(), Some("shop"));
    let mut request = String::new();
    span.write(Form::Request, &mut request);
    let read = Span::from_dict(&request).unwrap();
    assert_eq!(read.to_dict(), Span { replay_snapshot: None, ..span }.to_dict());
}

#[test]
fn a_request_has_another_order_than_a_line_and_no_snapshot() {
    let span = Span::of(&whole(), Some("shop"));
    let ids = r#""span_id": "02020202-0202-0202-0101-010101010101", "trace_id": "01010101-0101-0101-0101-010101010101", "parent_span_id": null, "name": "whole", "span_type": "agent""#;
    let rest =
        r#""status": "error", "status_message": "no tea", "attributes": {"service.name": "shop", "k": "v"}"#;
    let line = format!(
        r#"{{{ids}, "started_at": "1970-01-01T00:00:01+00:00", "ended_at": "1970-01-01T00:00:02+00:00", {rest}, "events": [{{"timestamp": "1970-01-01T00:00:01+00:00", "name": "first", "attributes": {{}}}}, {{"timestamp": "1970-01-01T00:00:01.000500+00:00", "name": "said", "attributes": {{}}}}], "duration_ms": 1000.0, "replay_snapshot": {{"tool_name": "search"}}}}"#
    );
    assert_eq!(span.to_dict(), line);
    let mut request = String::new();
    span.write(Form::Request, &mut request);
    let expected = format!(
        r#"{{{ids}, "started_at": "1970-01-01T00:00:01+00:00Z", "ended_at": "1970-01-01T00:00:02+00:00Z", "duration_ms": 1000.0, {rest}, "events": [{{"name": "first", "timestamp": "1970-01-01T00:00:01+00:00Z", "attributes": {{}}}}, {{"name": "said", "timestamp": "1970-01-01T00:00:01.000500+00:00Z", "attributes": {{}}}}]}}"#
    );
    assert_eq!(request, expected);
}

#[test]
fn the_least_that_is_read_is_what_every_span_has() {
    let least = r#"{"span_id": "s", "trace_id": "t", "name": "", "span_type": "custom", "started_at": "2026-11-20T07:00:00+00:00", "more": 1}"#;
    let span = Span::from_dict(least).unwrap();
    assert_eq!((span.status, span.ended_unix_us, span.duration_ms()), (SpanStatus::Pending, None, None));
    assert_eq!(
        span.to_dict(),
        r#"{"span_id": "s", "trace_id": "t", "parent_span_id": null, "name": "", "span_type": "custom", "started_at": "2026-11-20T07:00:00+00:00", "ended_at": null, "status": "pending", "status_message": null, "attributes": {}, "events": [], "duration_ms": null}"#
    );
    for key in ["span_id", "trace_id", "name", "span_type", "started_at"] {
        let message = Span::from_dict(&least.replace(key, "other")).unwrap_err().to_string();
        assert_eq!(message, format!("{key} is missing"));
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_without_its_value() {
    let span = whole();
    let good = Span::of(&span, None).to_dict();
    let cases = [
        (r#""span_type": "agent""#, r#""span_type": "secret""#, "span_type is not one of agent, llm"),
        (r#""status": "error""#, r#""status": "secret""#, "status is not one of pending, success and error"),
        (r#""ended_at": "1970-01-01T00:00:02+00:00""#, r#""ended_at": "secret""#, "ended_at is not a moment"),
        (r#""name": "said""#, r#""name": 17"#, "events[1].name is not text"),
        (
            r#""timestamp": "1970-01-01T00:00:01.000500+00:00""#,
            r#""timestamp": "secret""#,
            "events[1].timestamp is not",
        ),
        (r#""timestamp""#, r#""secret""#, "events[0].timestamp is missing"),
        (r#""events": [{"#, r#""events": ["secret", {"#, "events[0] is not an object"),
        (r#""events": ["#, r#""events": {}, "secret": ["#, "events is not a list"),
        (r#""attributes": {"k"#, r#""attributes": "secret", "secret": {"k"#, "attributes is not an object"),
        (r#""tool_name""#, r#""secret""#, "replay_snapshot is not without any but its eighteen slots"),
        (r#""duration_ms""#, r#"secret"#, "the document is no JSON: key must be a string at line 1 column"),
    ];
    for (from, to, reason) in cases {
        assert!(good.contains(from), "{from} is in {good}");
        let message = Span::from_dict(&good.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(message.starts_with(reason) && !message.contains("secret"), "{message}");
    }
    let (list, cut) =
        (Span::from_dict("[]").unwrap_err(), Span::from_dict(&good[..good.len() - 1]).unwrap_err());
    assert_eq!(list.to_string(), "the document is not an object");
    assert!(cut.to_string().starts_with("the document is no JSON: EOF"), "{cut}");
}

#[test]
fn a_document_that_is_nested_without_end_is_an_error_and_no_overflow() {
    assert!(matches!(Span::from_dict(&"[".repeat(1_000_000)), Err(DocumentError::Json(_))));
}

#[test]
fn each_attribute_has_the_word_that_prela_has_for_it() {
    let attributes = |kind, pairs: &[(&str, Value)]| {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        Span::of(&SpanData { kind, attributes: pairs.collect(), ..SpanData::default() }, None).attributes
    };
    for (word, name) in WORDS {
        assert_eq!(attributes(Kind::Llm, &[(name, 1.into())]), [((*word).to_owned(), 1.into())]);
    }
    let reasons = |reasons: &[&str]| Value::from(reasons.to_vec());
    let code = || Value::from_iter([("status_code", 429), ("retries", 2)]);
    type Pair = (&'static str, Value);
    let cases: [(Kind, &str, Value, Vec<Pair>); 12] = [
        (Kind::Llm, names::REQUEST_MODEL, "m".into(), vec![("llm.model", "m".into())]),
        (Kind::Embedding, names::REQUEST_MODEL, "m".into(), vec![("embedding.model", "m".into())]),
        (Kind::Retrieval, names::REQUEST_TOP_K, 3.into(), vec![("retrieval.top_k", 3.into())]),
        (Kind::Llm, names::REQUEST_TOP_K, 3.into(), vec![(names::REQUEST_TOP_K, 3.into())]),
        (
            Kind::Llm,
            names::RESPONSE_FINISH_REASONS,
            reasons(&["stop"]),
            vec![("llm.stop_reason", "stop".into())],
        ),
        (
            Kind::Llm,
            names::RESPONSE_FINISH_REASONS,
            reasons(&["stop", "length"]),
            vec![(names::RESPONSE_FINISH_REASONS, reasons(&["stop", "length"]))],
        ),
        (
            Kind::Llm,
            names::RESPONSE_TIME_TO_FIRST_CHUNK,
            0.25.into(),
            vec![("llm.time_to_first_token_ms", 250.0.into())],
        ),
        (
            Kind::Llm,
            names::RESPONSE_TIME_TO_FIRST_CHUNK,
            "soon".into(),
            vec![(names::RESPONSE_TIME_TO_FIRST_CHUNK, "soon".into())],
        ),
        (
            Kind::Llm,
            names::ERROR_DATA,
            code(),
            vec![("error.status_code", 429.into()), (names::ERROR_DATA, Value::from_iter([("retries", 2)]))],
        ),
        (Kind::Llm, names::COST_TOTAL, 0.5.into(), vec![(names::COST_TOTAL, 0.5.into())]),
        (Kind::Llm, names::TYPE, "agent:llm_call".into(), vec![(names::TYPE, "agent:llm_call".into())]),
        (Kind::Llm, names::FOREIGN_STATUS, "done".into(), vec![(names::FOREIGN_STATUS, "done".into())]),
    ];
    for (kind, key, value, expected) in cases {
        let expected: Vec<_> = expected.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        assert_eq!(attributes(kind, &[(key, value)]), expected, "{key}");
    }
}

#[test]
fn nothing_that_a_span_holds_is_left_out_of_its_line() {
    // Every key that has a meaning, with a value of its own.
    let numbered = names::ALL.iter().enumerate();
    let attributes = numbered.map(|(at, (key, _))| ((*key).to_owned(), Value::from(1000 + at))).collect();
    let line = Span::of(&SpanData { attributes, ..SpanData::default() }, None).to_dict();
    for (at, (key, _)) in names::ALL.iter().enumerate() {
        assert!(line.contains(&(1000 + at).to_string()), "{key} is in {line}");
    }
}

#[test]
fn what_the_sdk_cannot_read_again_of_a_snapshot_stays_an_attribute() {
    let snapshot = |pairs: &[(&str, Value)]| {
        let map = Value::from_iter(pairs.iter().cloned());
        let attributes = vec![(names::REPLAY.to_owned(), map)];
        let span = Span::of(&SpanData { attributes, ..SpanData::default() }, None);
        let keys = |pairs: &[(String, Value)]| pairs.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        let rest = span.get(names::REPLAY).and_then(Value::as_map).map(keys).unwrap_or_default();
        (span.replay_snapshot.map(|slots| keys(&slots)).unwrap_or_default(), rest)
    };
    let moment = Value::from("2026-11-20T07:04:56.180550+00:00");
    let all: Vec<_> = ReplaySlot::ALL.iter().map(|slot| slot.name()).collect();
    let slot_with = |key| (key, if key == "request_timestamp" { moment.clone() } else { Value::from(true) });
    let backwards: Vec<_> = all.iter().rev().map(|key| slot_with(*key)).collect();
    assert_eq!(snapshot(&backwards), (all.iter().map(|key| (*key).to_owned()).collect(), vec![]));
    let odd = [
        ("request_timestamp", "yesterday".into()),
        ("mine", 1.into()),
        ("tool_name", "search".into()),
        ("tool_output", Value::Null),
    ];
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(snapshot(&odd), (texts(&["tool_name"]), texts(&["request_timestamp", "mine"])));
}

#[test]
fn a_span_says_how_it_went() {
    let cases = [
        (SpanData { status: Status::Ok, ..SpanData::default() }, "success", vec![]),
        (SpanData::default(), "success", vec![]),
        (SpanData { is_open: true, ..SpanData::default() }, "pending", vec![]),
        (SpanData { status: Status::Error, ..SpanData::default() }, "error", vec![]),
        (
            SpanData { status: Status::Cancelled, is_pending: true, ..SpanData::default() },
            "success",
            vec![(names::STATUS, "cancelled".into()), (names::PENDING, true.into())],
        ),
        (
            SpanData { status: Status::TimedOut, status_message: "late".into(), ..SpanData::default() },
            "error",
            vec![
                (names::ERROR_TYPE, "timeout".into()),
                ("error.message", "late".into()),
                (names::STATUS, "timed_out".into()),
            ],
        ),
        (
            SpanData { status: Status::Error, interrupted: true, cut: 2, ..SpanData::default() },
            "error",
            vec![(names::INTERRUPTED, true.into()), (names::CUT, 2_u32.into())],
        ),
        (
            SpanData { kind: Kind::Chain, ..SpanData::default() },
            "success",
            vec![(names::KIND, "chain".into())],
        ),
    ];
    for (span, status, attributes) in cases {
        let attributes: Vec<_> = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let written = Span::of(&span, None);
        assert_eq!((written.status.word(), written.attributes), (status, attributes), "{span:?}");
    }
    let said = |key: &str, text: &str, span: SpanData| {
        Span::of(&SpanData { attributes: vec![(key.into(), text.into())], ..span }, None)
    };
    assert_eq!(said(names::FOREIGN_STATUS, "pending", SpanData::default()).status, SpanStatus::Pending);
    let dead = SpanData { interrupted: true, ..SpanData::default() };
    assert_eq!(said(names::FOREIGN_STATUS, "success", dead).status, SpanStatus::Error);
    let llm = said(names::TYPE, "llm", SpanData::default());
    assert_eq!((llm.span_type, llm.attributes.len()), (SpanType::Llm, 0));
}

#[test]
fn the_message_of_an_error_stands_behind_its_type_unless_the_program_set_it() {
    let of = |attributes: &[(&str, &str)]| {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).into()));
        let span = SpanData {
            status: Status::Error,
            status_message: "no tea".into(),
            attributes: attributes.collect(),
            ..SpanData::default()
        };
        let pairs = Span::of(&span, None).attributes.into_iter();
        pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of(&[("error.type", "E"), ("k", "v")]), "error.type=E error.message=no tea k=v");
    assert_eq!(of(&[("error.message", "own"), ("error.type", "E")]), "error.message=own error.type=E");
    assert_eq!(of(&[("k", "v")]), "k=v");
}

#[test]
fn the_service_is_that_of_the_span_or_else_the_one_given() {
    let of = |attributes: Vec<(String, Value)>| {
        let span = Span::of(&SpanData { attributes, ..SpanData::default() }, Some("shop"));
        (span.attributes.len(), span.get("service.name").cloned())
    };
    assert_eq!(of(vec![]), (1, Some("shop".into())));
    assert_eq!(of(vec![("service.name".into(), "own".into())]), (1, Some("own".into())));
}

#[test]
fn identities_of_ours_are_uuids_that_lead_back_to_them() {
    let span = SpanData { parent_id: Some(SpanId::from_bytes([3; 8])), ..whole() };
    let written = Span::of(&span, None);
    assert_eq!(written.trace_id, "01010101-0101-0101-0101-010101010101");
    assert_eq!(written.span_id, "02020202-0202-0202-0101-010101010101");
    assert_eq!(written.parent_span_id.as_deref(), Some("03030303-0303-0303-0101-010101010101"));
    assert_eq!(TraceId::from_foreign(&written.trace_id), span.trace_id);
    assert_eq!(SpanId::from_foreign(&written.span_id), span.span_id);
}

#[test]
fn links_are_an_attribute() {
    let link = LinkData {
        trace_id: TraceId::from_bytes([7; 16]),
        span_id: SpanId::from_bytes([8; 8]),
        attributes: vec![("why".to_owned(), "retry".into())],
    };
    let span = Span::of(&SpanData { links: vec![link], ..SpanData::default() }, None);
    assert_eq!(
        json_of(span.get(names::LINKS).unwrap()),
        r#"[{"trace_id": "07070707070707070707070707070707", "span_id": "0808080808080808", "attributes": {"why": "retry"}}]"#
    );
}

#[test]
fn a_trace_is_summed_up_as_the_sdk_does_it() {
    let span = |start, end: Option<u64>, status, service: Option<&str>| Span {
        started_unix_us: start,
        ended_unix_us: end,
        status,
        attributes: service.map(|name| ("service.name".to_owned(), name.into())).into_iter().collect(),
        ..Span::of(&whole(), None)
    };
    let head = |spans: Vec<Span>| {
        let summary = TraceSummary::of(spans).unwrap();
        let document = TraceWriter::begin(Vec::new(), &summary).unwrap().end().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&document).unwrap();
        ["service_name", "started_at", "completed_at", "duration_ms", "status"]
            .map(|key| json[key].to_string().replace("1970-01-01T00:00:00.0000", "").replace("+00:00Z", ""))
            .join(" ")
    };
    let (ok, failed) = (SpanStatus::Success, SpanStatus::Error);
    // In the order of their ends: the root, which started first, is the last. The sum is Python's.
    let children = [span(12, Some(20), ok, Some("second")), span(15, Some(30), failed, None)];
    let root = span(10, Some(40), ok, Some("first"));
    let all = || children.iter().cloned().chain([root.clone()]).collect::<Vec<_>>();
    assert_eq!(head(all()), r#""first" "10" "30" 0.053000000000000005 "ERROR""#);
    let started =
        |starts: &[u64]| starts.iter().map(|&at| span(at, Some(at + 10), ok, None)).collect::<Vec<_>>();
    assert_eq!(head(started(&[20, 10])), r#""unknown" "10" "30" 0.02 "SUCCESS""#);
    // Of those that started at once the last told ends the trace, and the first names the service.
    let at_once = vec![span(10, Some(12), ok, Some("one")), span(10, Some(11), ok, Some("other"))];
    assert_eq!(head(at_once), r#""one" "10" "11" 0.003 "SUCCESS""#);
    assert_eq!(head(vec![span(10, Some(12), ok, Some(""))]), r#""unknown" "10" "12" 0.002 "SUCCESS""#);
    let open = vec![span(10, Some(12), ok, None), span(11, None, SpanStatus::Pending, None)];
    assert_eq!(head(open), r#""unknown" "10" "10" 0.002 "SUCCESS""#);
    assert_eq!(TraceSummary::of([]), None);
    let summary = TraceSummary::of(all()).unwrap();
    assert_eq!((summary.trace_id(), summary.span_count()), ("01010101-0101-0101-0101-010101010101", 3));
}

#[test]
fn the_document_of_a_trace_is_what_its_parts_are_at_once() {
    let spans: Vec<_> = (0..5).map(|n| Span { name: n.to_string(), ..Span::of(&whole(), None) }).collect();
    for count in 1..spans.len() {
        let summary = TraceSummary::of(spans[..count].to_vec()).unwrap();
        let mut writer = TraceWriter::begin(Vec::new(), &summary).unwrap();
        spans[..count].iter().for_each(|span| writer.span(span).unwrap());
        let text = String::from_utf8(writer.end().unwrap()).unwrap();
        let parts: Vec<_> = spans[..count]
            .iter()
            .map(|span| {
                let mut part = String::new();
                span.write(Form::Request, &mut part);
                part
            })
            .collect();
        assert!(text.ends_with(&format!(", \"spans\": [{}]}}", parts.join(", "))), "{text}");
    }
}

proptest! {
    #[test]
    fn a_line_is_the_same_after_it_was_read_and_written(
        span in span(),
        service in proptest::option::of(".*"),
    ) {
        let line = Span::of(&span, service.as_deref()).to_dict();
        prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "one line of ASCII: {}", line);
        prop_assert_eq!(Span::from_dict(&line).unwrap().to_dict(), line.as_str());
        // The obvious implementation reads the same values out of it.
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&json["name"], &span.name);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        any::<Vec<u8>>().prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::vec((key(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

/// Few enough that some stand twice, and the names that have a meaning among them.
fn key() -> impl Strategy<Value = String> {
    let named = (0..names::ALL.len()).prop_map(|at| names::ALL[at].0.to_owned());
    let slot = (0..ReplaySlot::ALL.len()).prop_map(|at| ReplaySlot::ALL[at].name().to_owned());
    prop_oneof!["[ab]", named, slot, Just("status_code".to_owned()), ".*"]
}

fn pairs() -> impl Strategy<Value = Vec<(String, Value)>> {
    proptest::collection::vec((key(), value()), 0..6)
}

prop_compose! {
    fn span()(
        attributes in pairs(),
        of_event in pairs(),
        name in ".*",
        status_message in ".*",
        kind in 0..Kind::ALL.len(),
        status in 0..Status::ALL.len(),
        [start, length] in any::<[u64; 2]>(),
        [is_open, is_pending, interrupted] in any::<[bool; 3]>(),
        cut in any::<u32>(),
    ) -> SpanData {
        let event = EventData { name: name.clone(), time_unix_ns: start, attributes: of_event };
        SpanData {
            name, kind: Kind::ALL[kind], status: Status::ALL[status], status_message, attributes,
            start_unix_ns: start, end_unix_ns: start.saturating_add(length), events: vec![event],
            is_open, is_pending, interrupted, cut, ..SpanData::default()
        }
    }
}

/// A span that has something of everything.
fn whole() -> SpanData {
    let event = |ns, name: &str| EventData { name: name.into(), time_unix_ns: ns, ..EventData::default() };
    SpanData {
        trace_id: TraceId::from_bytes([1; 16]),
        span_id: SpanId::from_bytes([2; 8]),
        name: "whole".to_owned(),
        kind: Kind::Agent,
        status: Status::Error,
        status_message: "no tea".to_owned(),
        start_unix_ns: 1_000_000_999,
        end_unix_ns: 2_000_000_000,
        attributes: vec![
            ("k".to_owned(), "v".into()),
            (names::REPLAY.to_owned(), Value::from_iter([("tool_name", "search")])),
        ],
        events: vec![event(1_000_000_000, "first"), event(1_000_500_000, "said")],
        ..SpanData::default()
    }
}
