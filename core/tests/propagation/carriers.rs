//! Headers wherever they are kept, children's environments, and what is handed on of what came.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::process::Command;

use spanring::propagation::{Headers, Propagated};
use spanring::{Context, SpanId, TraceId};

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn own() -> Context {
    Context::new(Context::from_traceparent(CALLER).unwrap().trace_id(), SpanId::from_bytes([7; 8]))
}

fn foreign() -> Context {
    Context::new(TraceId::from_bytes([9; 16]), SpanId::from_bytes([7; 8]))
}

#[track_caller]
fn gives(headers: &(impl Headers + ?Sized), context: Option<&str>, trace_state: &str, baggage: &str) {
    let propagated = Propagated::extract(headers);
    assert_eq!(Context::extract(headers), propagated.context);
    let traceparent = propagated.context.traceparent().map(|text| text.to_string());
    assert_eq!(traceparent.as_deref(), context);
    assert_eq!((&*propagated.trace_state.to_string(), propagated.baggage.as_str()), (trace_state, baggage));
}

#[test]
fn headers_are_found_wherever_they_are_kept_and_whatever_their_case() {
    let pairs = [("Traceparent", CALLER), ("TRACESTATE", "a=1"), ("baGGage", "k=v"), ("other", "x")];
    let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    gives(&pairs, Some(CALLER), "a=1", "k=v");
    gives(&pairs[..], Some(CALLER), "a=1", "k=v");
    gives(&owned.to_vec(), Some(CALLER), "a=1", "k=v");
    gives(&HashMap::from(owned.clone()), Some(CALLER), "a=1", "k=v");
    gives(&HashMap::from(pairs), Some(CALLER), "a=1", "k=v");
    gives(&BTreeMap::from(owned), Some(CALLER), "a=1", "k=v");
    let by_name = |name: &str| {
        pairs.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    };
    gives(&by_name, Some(CALLER), "a=1", "k=v");
    gives(&|_: &str| None::<String>, None, "", "");
    for wrong in ["trace-parent", "trace.parent", "traceparent "] {
        gives(&[(wrong, CALLER), ("tracestate", "a=1")], None, "", "");
    }
    for wrong in ["trace-state", "trace.state"] {
        gives(&[("traceparent", CALLER), (wrong, "a=1")], Some(CALLER), "", "");
    }
}

#[test]
fn each_header_that_makes_no_sense_is_as_if_it_were_not_there() {
    gives(&[("tracestate", "a=1"), ("baggage", "k=v")], None, "", "k=v");
    gives(&[("traceparent", "nonsense"), ("tracestate", "a=1"), ("baggage", "k=v")], None, "", "k=v");
    gives(&[("traceparent", ""), ("tracestate", "a=1")], None, "", "");
    gives(&[("traceparent", CALLER), ("tracestate", "a=1,a=2"), ("baggage", "k=v")], Some(CALLER), "", "k=v");
    gives(&[("traceparent", CALLER), ("tracestate", "a=1"), ("tracestate", "A=2")], Some(CALLER), "", "");
    gives(&[("traceparent", CALLER), ("tracestate", "A=2"), ("tracestate", "a=1")], Some(CALLER), "", "");
    gives(&[("traceparent", CALLER), ("baggage", "k")], Some(CALLER), "", "");
}

#[test]
fn several_headers_are_one_and_several_callers_are_none() {
    let headers = [
        ("tracestate", "a=1"),
        ("baggage", "k=v"),
        ("traceparent", CALLER),
        ("tracestate", ""),
        ("Tracestate", "b=2"),
        ("baggage", "l=w"),
    ];
    gives(&headers, Some(CALLER), "a=1,b=2", "k=v,l=w");
    for second in [CALLER, "nonsense", "", &CALLER.replace("31-01", "32-01")] {
        gives(&[("traceparent", CALLER), ("traceparent", second), ("tracestate", "a=1")], None, "", "");
        gives(&[("traceparent", second), ("traceparent", CALLER)], None, "", "");
    }
    let combined = format!("{CALLER},{CALLER}");
    gives(&[("traceparent", &*combined)], None, "", "");
}

#[test]
fn what_is_injected_takes_the_place_of_what_was_there() {
    let stale =
        [("Traceparent", "x"), ("TRACEPARENT", "y"), ("TraceState", "z"), ("Baggage", "b"), ("Other", "o")];
    let stale = stale.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let came = Propagated::extract(&[("traceparent", CALLER), ("tracestate", "a=1"), ("baggage", "k=v")]);
    let expected = [("Other", "o"), ("traceparent", CALLER), ("tracestate", "a=1"), ("baggage", "k=v")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));

    let mut list = stale.to_vec();
    came.inject(&mut list);
    assert_eq!(list, expected);
    let mut map = BTreeMap::from(stale.clone());
    came.inject(&mut map);
    assert_eq!(map, BTreeMap::from(expected.clone()));
    let mut map = HashMap::from(stale.clone());
    came.inject(&mut map);
    assert_eq!(map, HashMap::from(expected.clone()));
    let mut told = Vec::new();
    came.inject(&mut |name: &'static str, value: &str| told.push((name.to_owned(), value.to_owned())));
    assert_eq!(told, expected[1..]);

    let mut list = stale.to_vec();
    Propagated::default().inject(&mut list);
    assert_eq!(list, expected[..1], "nothing is left of another request");
    let mut list: Vec<(&str, String)> = Vec::new();
    came.inject(&mut list);
    assert_eq!(Propagated::extract(&list), came);
}

#[test]
fn a_context_replaces_the_caller_and_leaves_the_rest() {
    let mut headers =
        vec![("tracestate".to_owned(), "a=1".to_owned()), ("TraceParent".to_owned(), "x".to_owned())];
    own().inject(&mut headers);
    gives(&headers, Some("00-0af7651916cd43dd8448eb211c80319c-0707070707070707-01"), "a=1", "");
    let before = headers.clone();
    Context::NONE.inject(&mut headers);
    assert_eq!(headers, before);
}

#[test]
fn a_trace_state_stays_with_its_trace_and_baggage_with_the_request() {
    let came = Propagated::extract(&[("traceparent", CALLER), ("tracestate", "a=1"), ("baggage", "k=v")]);
    let continued = came.clone().with_context(own());
    assert_eq!((continued.context, &continued.trace_state), (own(), &came.trace_state));
    let restarted = came.clone().with_context(foreign());
    assert_eq!((restarted.context, restarted.trace_state.is_empty()), (foreign(), true));
    assert_eq!((continued.baggage.as_str(), restarted.baggage.as_str()), ("k=v", "k=v"));
    assert_eq!(came.clone().with_context(Context::NONE), came);

    let mut without_caller = Propagated::from(Context::NONE);
    without_caller.trace_state.set("a", "1").unwrap();
    let mut headers: Vec<(String, String)> = Vec::new();
    without_caller.inject(&mut headers);
    assert_eq!(headers, [], "a trace state says nothing of no trace");
}

#[test]
fn a_span_that_nobody_records_hands_on_its_caller() {
    let came = Propagated::extract(&[("traceparent", CALLER), ("tracestate", "a=1")]);
    let run = spanring::trace("agent").parent(came.context).start();
    assert!(!run.is_recording());
    assert_eq!(came.clone().with_context(run.context()), came);
}

fn variables(command: &Command) -> Vec<(&OsStr, Option<&OsStr>)> {
    command.get_envs().collect()
}

#[test]
fn a_child_is_told_what_there_is_and_inherits_nothing_stale() {
    let mut command = Command::new("true");
    let came = Propagated::extract(&[("traceparent", CALLER), ("tracestate", "a=1"), ("baggage", "k=v")]);
    came.set_in(&mut command);
    let of = OsStr::new;
    let all = [("BAGGAGE", "k=v"), ("TRACEPARENT", CALLER), ("TRACESTATE", "a=1")];
    assert_eq!(variables(&command), all.map(|(name, value)| (of(name), Some(of(value)))));
    Propagated::default().set_in(&mut command);
    assert_eq!(variables(&command), all.map(|(name, _)| (of(name), None)));
}

/// It is this test program, started once more with only this test, that looks at its environment.
#[test]
fn a_started_process() {
    let Some(expected) = std::env::var_os("SPANRING_TEST_EXPECTED") else { return };
    let found = Propagated::from_environment();
    assert_eq!(Context::from_environment(), found.context);
    let traceparent = found.context.traceparent().map(|text| text.to_string()).unwrap_or_default();
    let all = format!("{traceparent} {} {}", found.trace_state, found.baggage);
    assert_eq!(all, expected.to_str().unwrap());
}

#[test]
fn a_process_finds_its_caller_in_its_environment_or_none() {
    use std::os::unix::ffi::OsStrExt;
    let starts = |variables: &[(&str, &[u8])], expected: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "carriers::a_started_process"]);
        Propagated::default().set_in(&mut command);
        for (name, value) in variables {
            command.env(name, OsStr::from_bytes(value));
        }
        let output = command.env("SPANRING_TEST_EXPECTED", expected).output().unwrap();
        assert!(output.status.success(), "{variables:?}: {}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    };
    let caller = CALLER.as_bytes();
    starts(&[], "  ");
    let all: &[(&str, &[u8])] = &[("TRACEPARENT", caller), ("TRACESTATE", b"a=1"), ("BAGGAGE", b"k=v")];
    starts(all, &format!("{CALLER} a=1 k=v"));
    starts(&[("TRACEPARENT", b""), ("TRACESTATE", b"a=1")], "  ");
    starts(&[("TRACEPARENT", b"nonsense"), ("BAGGAGE", b"k=v")], "  k=v");
    starts(&[("TRACEPARENT", b"00-\xff"), ("TRACESTATE", b"a=1"), ("BAGGAGE", b"\xff=1")], "  ");
    starts(&[("TRACEPARENT", caller), ("TRACESTATE", b"a=\xff"), ("BAGGAGE", b"")], &format!("{CALLER}  "));
    starts(&[("traceparent", caller)], "  ");
}

#[cfg(feature = "http")]
#[test]
fn header_maps_of_the_crate_http_are_headers() {
    use http::{HeaderMap, HeaderValue};
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", HeaderValue::from_static("x"));
    headers.append("traceparent", HeaderValue::from_static("y"));
    headers.insert("baggage", HeaderValue::from_static("stale=1"));
    own().inject(&mut headers);
    let caller = "00-0af7651916cd43dd8448eb211c80319c-0707070707070707-01";
    gives(&headers, Some(caller), "", "stale=1");
    Propagated::extract(&[("traceparent", CALLER), ("tracestate", "a=1")]).inject(&mut headers);
    gives(&headers, Some(CALLER), "a=1", "");
    assert_eq!(headers.len(), 2);

    headers.append("tracestate", HeaderValue::from_static("b=2"));
    headers.append("baggage", HeaderValue::from_static("k=v"));
    headers.append("baggage", HeaderValue::from_bytes(b"l=\xff").unwrap());
    gives(&headers, Some(CALLER), "a=1,b=2", "k=v");
    headers.append("traceparent", HeaderValue::from_bytes(b"\xff").unwrap());
    gives(&headers, None, "", "k=v");
}
