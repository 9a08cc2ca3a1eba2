//! What the file says of the sink `otlp`, and what the environment does.

use super::*;

#[test]
fn the_environment_is_about_the_sink_otlp_only() {
    let text = with_sink("to = \"otlp+http://of.file\"\n[[sink]]\nto = \"otlp\"\n[[sink]]\nto = \"stdout\"");
    let (sinks, warnings) = parse(&text).unwrap().resolve(environment).unwrap();
    let shown: Vec<_> =
        sinks.iter().map(|(address, options)| format!("{address}: {}", options.otlp)).collect();
    let expected = [
        "otlp+http://of.file:4318: http/protobuf, gzip, 30s a request",
        "otlp+http://of.environment:80: http/json, gzip, 7s a request, header key, header other",
        "stdout: http/protobuf, gzip, 30s a request",
    ];
    assert_eq!(shown, expected);
    assert_eq!(warnings, ["OTEL_EXPORTER_OTLP_COMPRESSION is ignored: it is none of gzip and none"]);
    // What is wrong in it matters to nobody then.
    let wrong = |name: &str| (name == "OTEL_EXPORTER_OTLP_HEADERS").then(|| OsString::from("secret"));
    assert!(resolved(&with_sink("to = \"otlp+http://h\""), wrong).is_ok());
    let told = resolved(&with_sink("to = \"otlp\""), wrong).unwrap_err();
    assert_eq!(told, format!("{FILE}:3:6: cannot use OTEL_EXPORTER_OTLP_HEADERS: a header has no ="));
}

#[test]
fn what_the_file_says_of_the_sink_otlp_wins_option_by_option_and_of_headers_all_or_none() {
    let shown = |lines: &str| {
        let sinks = resolved(&with_sink(&format!("to = \"otlp\"\n{lines}")), environment).unwrap();
        sinks[0].1.otlp.to_string()
    };
    assert_eq!(shown(""), "http/json, gzip, 7s a request, header key, header other");
    assert_eq!(
        shown("protocol = \"http/protobuf\""),
        "http/protobuf, gzip, 7s a request, header key, header other"
    );
    assert_eq!(
        shown("compression = \"none\"\ntimeout = \"1s\""),
        "http/json, not compressed, 1s a request, header key, header other"
    );
    assert_eq!(shown("headers = { own = \"1\" }"), "http/json, gzip, 7s a request, header own");
    assert_eq!(shown("headers = {}"), "http/json, gzip, 7s a request");
}

#[test]
fn names_are_those_of_the_file_or_else_of_the_environment_for_the_sink_otlp_alone() {
    let names = |lines: &str| {
        let get = |name: &str| (name == "SPANRING_OTLP_NAMES").then(|| OsString::from("openinference"));
        resolved(&with_sink(lines), get).unwrap()[0].1.otlp.given_names().name()
    };
    assert_eq!(names("to = \"otlp\""), "openinference");
    assert_eq!(names("to = \"otlp\"\nnames = \"gen-ai\""), "gen-ai");
    for to in ["otlp+http://h", "otlp+grpcs://h", "file:/f", "stdout"] {
        assert_eq!(names(&format!("to = \"{to}\"")), "gen-ai", "{to}");
        assert_eq!(names(&format!("to = \"{to}\"\nnames = \"openinference\"")), "openinference", "{to}");
    }
}

#[test]
fn a_sink_that_is_named_twice_is_an_error_at_the_second_also_by_the_environment() {
    let twice = |first: &str, second: &str| {
        let text = with_sink(&format!("to = \"{first}\"\n[[sink]]\nto = \"{second}\""));
        resolved(&text, environment).unwrap_err()
    };
    let named = |sink: &str| format!("{FILE}:5:6: the sink {sink} is named twice");
    assert_eq!(twice("stdout", "stdout"), named("stdout"));
    assert_eq!(twice("file:a", "file:./a"), named("file:/etc/spanring/a"));
    assert_eq!(twice("otlp", "otlp"), named("otlp+http://of.environment:80"));
    assert_eq!(twice("otlp+http://of.environment:80/", "otlp"), named("otlp+http://of.environment:80"));
}
