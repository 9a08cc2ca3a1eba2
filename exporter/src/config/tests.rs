mod mistakes;
mod of_environment;
mod prefactor;
mod secrets;

use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};

use proptest::prelude::*;
use reqwest::header::{AUTHORIZATION, HeaderName};

use super::*;
use crate::sink::tests::Spans;
use crate::sink::{
    Compression, FileOptions, HttpApi as _, OpenAi, OtlpHttp, OtlpOptions, SpanForgeAddress, SpanForgeCloud,
};
use crate::{Keep, RouteOptions, with_causes};

const FILE: &str = "/etc/spanring/export.toml";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new(FILE)).map_err(|error| with_causes(&error))
}

/// A configuration whose first sink says this.
fn with_sink(lines: &str) -> String {
    format!("spool = \"/s\"\n[[sink]]\n{lines}")
}

fn nobody(_: &str) -> Option<OsString> {
    None
}

fn resolved(text: &str, get: impl Fn(&str) -> Option<OsString>) -> Result<Sinks, String> {
    Ok(parse(text)?.resolve(get).map_err(|error| with_causes(&error))?.0)
}

#[test]
fn what_flags_say_a_file_can_say_and_what_it_does_not_say_is_as_without_it() {
    let said = parse(
        r#"
        spool = "/var/spool/shop"
        stop_deadline = "250ms"
        [[sink]]
        to = "file:/var/log/spans.jsonl"
        rotate = "100MiB"
        keep = 7
        compress = "zstd"
        [[sink]]
        to = "stdout"
        "#,
    )
    .unwrap();
    assert_eq!(
        (said.spools[0].path.as_path(), said.stop_deadline.as_millis()),
        (Path::new("/var/spool/shop"), 250)
    );
    let (sinks, _) = said.resolve(nobody).unwrap();
    let addresses: Vec<_> = sinks.iter().map(|(address, _)| address.to_string()).collect();
    assert_eq!(addresses, ["file:/var/log/spans.jsonl", "stdout"]);
    let options = FileOptions {
        rotate_bytes: Some(100 << 20),
        keep: NonZeroUsize::new(7),
        compression: Compression::Zstd,
    };
    assert_eq!(sinks[0].1.file, options);

    let bare = parse(&with_sink("to = \"file:/f\"\n[[sink]]\nto = \"otlp+https://h\"")).unwrap();
    assert_eq!(bare.stop_deadline, STOP_DEADLINE);
    let (sinks, _) = bare.resolve(nobody).unwrap();
    assert_eq!(sinks[0].1.file, FileOptions::default());
    assert_eq!(format!("{:?}", sinks[1].1.otlp), format!("{:?}", OtlpOptions::default()));
}

#[test]
fn relative_paths_begin_in_the_directory_of_the_file() {
    let (sinks, spool) = {
        let text = "spool = \"spool\"\n[[sink]]\nto = \"file:./a/spans.jsonl\"\n[[sink]]\nto = \"file:../b\"";
        let config = parse(text).unwrap();
        (config.resolve(nobody).unwrap().0, config.spools[0].path.clone())
    };
    assert_eq!(spool, Path::new("/etc/spanring/spool"));
    let addresses: Vec<_> = sinks.iter().map(|(address, _)| address.to_string()).collect();
    assert_eq!(addresses, ["file:/etc/spanring/a/spans.jsonl", "file:/etc/spanring/../b"]);

    let config = parse("spools = [\"a\",\n\"/b\"]\n[[sink]]\nto = \"stdout\"").unwrap();
    let spools: Vec<_> = config.spools.iter().map(|spool| spool.path.to_str().unwrap()).collect();
    assert_eq!(spools, ["/etc/spanring/a", "/b"]);

    let of_prela = |to: &str| {
        let config = parse(&with_sink(&format!("to = \"{to}\""))).unwrap();
        config.resolve(nobody).unwrap().0[0].0.to_string()
    };
    assert_eq!(of_prela("prela-file:traces/"), "prela-file:/etc/spanring/traces");
    assert_eq!(of_prela("prela-file:/traces/"), "prela-file:/traces");

    // Of a file that is itself named relatively it is the working directory's.
    let config = Config::parse(&with_sink("to = \"file:f\""), Path::new("export.toml")).unwrap();
    let here = std::env::current_dir().unwrap();
    let (sinks, _) = config.resolve(nobody).unwrap();
    assert_eq!(sinks[0].0.to_string(), format!("file:{}/f", here.display()));
}

/// OpenTelemetry's variables that are there in the tests of the environment.
fn environment(name: &str) -> Option<OsString> {
    let value = match name.strip_prefix("OTEL_EXPORTER_OTLP_")? {
        "ENDPOINT" => "http://of.environment",
        "HEADERS" => "key=of-environment,other=of-environment",
        "PROTOCOL" => "http/json",
        "TIMEOUT" => "7000",
        "COMPRESSION" => "zip",
        _ => return None,
    };
    Some(value.into())
}

#[test]
fn files_of_other_systems_begin_in_the_directory_of_the_file_and_what_is_wrong_elsewhere_hurts_none() {
    let text = with_sink(
        "to = \"spanforge-file:e.jsonl\"\nrotate = \"1MiB\"\n[[sink]]\nto = \"prela-file:t\"\n[[sink]]\nto = \"file:f\"",
    );
    let wrong = |name: &str| {
        let is_wrong = ["OPENAI_ORG_ID", "OTEL_EXPORTER_OTLP_HEADERS"].contains(&name);
        is_wrong.then(|| OsString::from("\n"))
    };
    let sinks = resolved(&text, wrong).unwrap();
    let named: Vec<_> = sinks.iter().map(|(address, _)| address.to_string()).collect();
    assert_eq!(
        named,
        ["spanforge-file:/etc/spanring/e.jsonl", "prela-file:/etc/spanring/t", "file:/etc/spanring/f"]
    );
    assert_eq!(sinks[0].1.file.rotate_bytes, Some(1 << 20));
}

#[test]
fn how_a_sink_is_served_is_said_of_any_kind_of_sink() {
    for to in ["stdout", "file:/f", "otlp+http://h", "prela+https://h/v1/traces"] {
        let lines = format!(
            "to = \"{to}\"\nspans_per_second = 7\n\
             traces = {{ share = 0.25, interrupted = false, slower_than = \"5s\", dearer_than = 2 }}"
        );
        let options = resolved(&with_sink(&lines), |_| None).unwrap().remove(0).1;
        let keep = Keep::errors_and_share(0.25)
            .interrupted(false)
            .slower_than(Duration::from_secs(5))
            .dearer_than(2.0);
        let expected = RouteOptions { spans_per_second: NonZeroU32::new(7), keep: Some(keep) };
        assert_eq!(options.route, expected);
    }
    let unsaid = resolved(&with_sink("to = \"stdout\""), |_| None).unwrap().remove(0).1;
    assert_eq!(unsaid.route, RouteOptions::default());
}
