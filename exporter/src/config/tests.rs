mod prefactor;

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

#[test]
fn each_mistake_is_one_line_with_its_place_and_its_reason() {
    let cases = [
        ("", " it says nothing; what belongs into it is `spool` and [[sink]]"),
        ("# nothing\n\n", " it says nothing; what belongs into it is `spool` and [[sink]]"),
        ("spool = \"/s\"", "1:1: `sink` is missing in the file"),
        ("[[sink]]\nto = \"stdout\"", "1:1: `spool` is missing in the file"),
        ("sink = []\nspool = \"/s\"", "1:8: no sink is named; a sink is "),
        ("spool = \"\"", "1:9: `spool` does not fit: it is a text in quotes, and not an empty one"),
        ("spool = 7", "1:9: `spool` does not fit: it is a text in quotes, and not an empty one"),
        ("spools = \"/s\"", "1:10: `spools` does not fit: it is a list of directories, as in "),
        ("spools = []", "1:10: `spools` does not fit: it is a list of directories, as in "),
        ("spools = [\"/s\", 7]", "1:17: `spools` does not fit: it is a text in quotes, and not an empty one"),
        (
            "spools = [\"/s\"]\nspool = \"/t\"",
            "1:1: `spools` stands beside `spool`, and only one of them can",
        ),
        ("spoool = \"/s\"", "1:1: unknown key `spoool` in the file; did you mean `spool`?"),
        (
            "spool = \"/s\"\n retries = 1",
            "2:2: unknown key `retries` in the file; it knows spool, spools, stop_deadline, grace, sink",
        ),
        (
            "\"a\\nb\" = 1",
            "1:1: unknown key `a\\nb` in the file; it knows spool, spools, stop_deadline, grace, sink",
        ),
        ("spool = \"/s\"\nspool = \"/t\"", "2:1: it is no TOML: duplicate key"),
        ("spool = \"/s", "1:"),
        ("spool = \"/s\"\nx\0", "2:2: there is a NUL, so it is no text"),
        (
            "spool = \"/s\"\n[sink]\nto = \"stdout\"",
            "2:1: `sink` does not fit: each sink is a table of its own: [[sink]]",
        ),
        ("spool = \"/s\"\nsink = [7]", "2:9: `sink` does not fit: each sink is a table of its own: [[sink]]"),
        (
            "spool = \"/s\"\nstop_deadline = 10",
            "2:17: `stop_deadline` does not fit: a time is a text with the unit ms, s, m or h, as in \"30s\"",
        ),
        (
            "spool = \"/s\"\nstop_deadline = \"10\"",
            "2:17: `stop_deadline` does not fit: a time is a number with the unit ms, s, m or h, as in 30s",
        ),
    ];
    for (text, expected) in cases {
        let told = parse(text).unwrap_err();
        assert!(told.starts_with(&format!("{FILE}:{expected}")), "{text:?}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn each_mistake_of_a_sink_is_one_line_with_its_place_and_its_reason() {
    let unquoted = "it is a text in quotes, and not an empty one";
    let cases = [
        ("rotate = \"1MiB\"", "2:1: `to` is missing in [[sink]]".to_owned()),
        ("to = 1", format!("3:6: `to` does not fit: {unquoted}")),
        ("to = \"prela\"\nbearer = true", "4:1: `bearer` means nothing without `api_key`".to_owned()),
        (
            "to = \"ftp://h\"",
            "3:6: unknown sink \"ftp://h\": no sink has such a scheme; a sink is ".to_owned(),
        ),
        (
            "to = \"otlp\"\ncompresion = \"none\"",
            "4:1: unknown key `compresion` in [[sink]]; did you mean `compression`?".to_owned(),
        ),
        (
            "to = \"otlp+https://h\"\nkeep = 1\nrotate = \"1MiB\"",
            "4:1: `keep` is about sinks file:PATH and spanforge-file:PATH, and this one is otlp+https://h"
                .to_owned(),
        ),
        (
            "to = \"file:/f\"\n\n  headers = {}",
            "5:3: `headers` is about OTLP sinks, and this one is file:/f".to_owned(),
        ),
        (
            "to = \"stdout\"\nrotate = \"1MiB\"",
            "4:1: `rotate` is about sinks file:PATH and spanforge-file:PATH, and this one is stdout"
                .to_owned(),
        ),
        (
            "to = \"stdout\"\nprotocol = \"http/json\"",
            "4:1: `protocol` is about OTLP sinks, and this one is stdout".to_owned(),
        ),
        (
            "to = \"spanforge-file:/f\"\nnames = \"gen-ai\"",
            "4:1: `names` is about OTLP sinks, file:PATH and stdout, and this one is spanforge-file:/f"
                .to_owned(),
        ),
        (
            "to = \"stdout\"\nnames = \"OpenInference\"",
            "4:9: `names` does not fit: it is \"gen-ai\" or \"openinference\"".to_owned(),
        ),
        (
            "to = \"otlp\"\ntraces = { share = 2 }",
            "4:20: `share` does not fit: a share is a number from 0 to 1".to_owned(),
        ),
        (
            "to = \"otlp\"\ntraces = { errors = true }",
            "4:10: `share` is missing in traces of a [[sink]]".to_owned(),
        ),
        (
            "to = \"otlp\"\ntraces = { share = 0, slow = \"5s\" }",
            "4:23: unknown key `slow` in traces of a [[sink]]".to_owned(),
        ),
        (
            "to = \"otlp\"\ntraces = { share = 0, dearer_than = -1.5 }",
            "4:37: `dearer_than` does not fit: a cost is a number, and not below 0".to_owned(),
        ),
        (
            "to = \"otlp\"\nspans_per_second = 0",
            "4:20: `spans_per_second` does not fit: it is a whole number above 0".to_owned(),
        ),
        (
            "to = \"otlp\"\nprotocol = \"http\"",
            "4:12: `protocol` does not fit: it is \"http/protobuf\" or \"http/json\"".to_owned(),
        ),
        (
            "to = \"otlp\"\ncompression = true",
            "4:15: `compression` does not fit: it is \"gzip\" or \"none\"".to_owned(),
        ),
        (
            "to = \"otlp\"\ntimeout = \"0s\"",
            "4:11: `timeout` does not fit: no request is done in no time".to_owned(),
        ),
        ("to = \"otlp\"\ncertificate = []", format!("4:15: `certificate` does not fit: {unquoted}")),
        (
            "to = \"otlp\"\nclient_key = \"k\"",
            "4:1: `client_key` means nothing without `client_certificate`".to_owned(),
        ),
        (
            "to = \"otlp\"\nclient_certificate = \"c\"",
            "4:1: `client_certificate` means nothing without `client_key`".to_owned(),
        ),
        ("to = \"file:/f\"\nkeep = 7", "4:1: `keep` means nothing without `rotate`".to_owned()),
        (
            "to = \"file:/f\"\ncompress = \"zstd\"",
            "4:1: `compress` means nothing without `rotate`".to_owned(),
        ),
        (
            "to = \"file:/f\"\nrotate = \"1MB\"",
            "4:10: `rotate` does not fit: a size is a number with the unit KiB, MiB or GiB, as in 100MiB"
                .to_owned(),
        ),
        (
            "to = \"file:/f\"\nrotate = \"1MiB\"\nkeep = 0",
            "5:8: `keep` does not fit: it is a whole number above 0".to_owned(),
        ),
        (
            "to = \"file:/f\"\nrotate = \"1MiB\"\nkeep = -1",
            "5:8: `keep` does not fit: it is a whole number above 0".to_owned(),
        ),
        (
            "to = \"file:/f\"\nrotate = \"1MiB\"\ncompress = \"gzip\"",
            "5:12: `compress` does not fit: it is \"zstd\" or \"none\"".to_owned(),
        ),
        (
            "to = \"otlp\"\nheaders = \"a=b\"",
            "4:11: `headers` does not fit: it is a table, as in { name = \"value\" }".to_owned(),
        ),
        (
            "to = \"otlp\"\nheaders = { a = 1 }",
            "4:17: `a` does not fit: it is a text, { env = \"NAME\" } or { file = \"PATH\" }".to_owned(),
        ),
        (
            "to = \"otlp\"\nheaders = { a = {} }",
            "4:17: `a` does not fit: it is a text, { env = \"NAME\" } or { file = \"PATH\" }".to_owned(),
        ),
        (
            "to = \"otlp\"\nheaders = { a = { env = \"A\", file = \"f\" } }",
            "4:17: `a` does not fit: it is a text, ".to_owned(),
        ),
        (
            "to = \"otlp\"\nheaders = { a = { evn = \"A\" } }",
            "4:19: unknown key `evn` in a header; did you mean `env`?".to_owned(),
        ),
        ("to = \"otlp\"\nheaders = { a = { env = 1 } }", format!("4:25: `env` does not fit: {unquoted}")),
        (
            "to = \"otlp\"\nheaders = { \"a b\" = \"\" }",
            "4:13: the header `a b` has a name that HTTP does not allow".to_owned(),
        ),
        (
            "to = \"otlp\"\nheaders = { a = \"secret\\n\" }",
            "4:13: the header `a` has a value that HTTP does not allow".to_owned(),
        ),
        (
            "to = \"otlp\"\nheaders = { a = { env = \"A\", prefix = \"secret\\n\" } }",
            "4:13: the header `a` has a value that HTTP does not allow".to_owned(),
        ),
        (
            "to = \"otlp\"\nheaders = { a = \"1\", A = \"2\" }",
            "4:13: the header `a` is there twice: upper and lower case are the same".to_owned(),
        ),
        (
            "to = \"otlp\"\nheaders = { Content-Type = \"1\" }",
            "4:13: the header `Content-Type` is the sink's own, which says by it what it sends".to_owned(),
        ),
    ];
    for (lines, expected) in cases {
        let told = parse(&with_sink(lines)).unwrap_err();
        assert!(told.starts_with(&format!("{FILE}:{expected}")), "{lines:?}: {told}");
        assert!(told.lines().count() == 1 && !told.contains("secret"), "{told}");
    }
}

#[test]
fn a_key_of_one_kind_of_sink_is_refused_in_each_sink_of_another() {
    let of_otlp = [
        "protocol = \"http/json\"",
        "timeout = \"1s\"",
        "headers = {}",
        "certificate = \"c\"",
        "client_certificate = \"c\"\nclient_key = \"k\"",
    ];
    let of_files =
        ["rotate = \"1MiB\"", "rotate = \"1MiB\"\nkeep = 1", "rotate = \"1MiB\"\ncompress = \"none\""];
    let of_accounts = ["api_key = \"k\"", "api_key = { env = \"K\" }", "api_key = { file = \"k\" }"];
    let of_openai = ["organization = \"o\"", "project = \"p\""];
    let (of_prela, compression) = ("api_key = \"k\"\nbearer = true", "compression = \"none\"");
    let of_prefactor = [
        "purpose = \"eval\"",
        "sensitive_keys = []",
        "sensitive_texts = [\"secrets\"]",
        "[[sink.span_types]]\nname = \"my:type\"",
        "[[sink.quality_schemas]]\nname = \"accuracy\"",
    ];
    for (to, takes_otlp, takes_files, takes_key, is_openai) in [
        ("otlp", true, false, false, false),
        ("otlp+http://h", true, false, false, false),
        ("file:/f", false, true, false, false),
        ("stdout", false, false, false, false),
        ("openai", false, false, true, true),
        ("openai+http://h", false, false, true, true),
        ("prefactor", false, false, true, false),
        ("prefactor+https://h", false, false, true, false),
        ("prela", false, false, true, false),
        ("prela+https://h/p", false, false, true, false),
        ("prela-file:/d", false, false, false, false),
        ("spanforge", false, false, true, false),
        ("spanforge+https://h", false, false, true, false),
        ("spanforge-webhook+https://h", false, false, false, false),
        ("spanforge-file:/f", false, true, false, false),
    ] {
        let cases = of_otlp.map(|lines| (lines, takes_otlp)).into_iter();
        let cases = cases.chain(of_files.map(|lines| (lines, takes_files)));
        let cases = cases.chain(of_accounts.map(|lines| (lines, takes_key)));
        let cases = cases.chain(of_prefactor.map(|lines| (lines, to.starts_with("prefactor"))));
        let is_prela = to.starts_with("prela") && takes_key;
        let cases = cases.chain([(of_prela, is_prela), (compression, is_prela || takes_otlp)]);
        for (lines, is_taken) in cases.chain(of_openai.map(|lines| (lines, is_openai))) {
            let read = parse(&with_sink(&format!("to = \"{to}\"\n{lines}")));
            assert_eq!(read.is_ok(), is_taken, "{to} {lines}: {read:?}");
        }
    }
}

#[test]
fn secrets_come_from_the_text_the_environment_and_files_and_are_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token"), "secret of a file\n").unwrap();
    let text = with_sink(
        r#"to = "otlp+http://h"
        headers = { authorization = { file = "token", prefix = "Bearer " }, X-Scope = "secret of the text", key = { env = "KEY" } }"#,
    );
    let get = |name: &str| (name == "KEY").then(|| OsString::from("secret of the environment"));
    let config = Config::parse(&text, &dir.path().join("export.toml")).unwrap();
    let (sinks, _) = config.resolve(get).unwrap();
    let api = OtlpHttp::new(&"http://h".parse().unwrap(), false, &sinks[0].1.otlp);
    let headers = api.request(&Spans::new(1).batch()).headers;
    for (name, value) in [
        ("x-scope", "secret of the text"),
        ("authorization", "Bearer secret of a file"),
        ("key", "secret of the environment"),
    ] {
        let (_, sent) = headers.iter().find(|(sent, _)| sent == name).unwrap();
        assert!(sent == value && sent.is_sensitive(), "{name}");
    }
    let shown = format!("{config:?} {:?} {}", sinks[0].1, sinks[0].1.otlp);
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_secret_that_cannot_be_had_is_named_by_where_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.toml");
    for (name, content) in [("empty", "\n"), ("lines", "secret\nsecret"), ("long", &"secret".repeat(20_000))]
    {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let file = |name: &str| format!("the file {}", dir.path().join(name).display());
    let lines = "it holds what HTTP does not allow in a header, such as a line break";
    for (kept, place, reason) in [
        ("env = \"KEY\"", "the variable KEY".to_owned(), "it is not set"),
        ("env = \"EMPTY\"", "the variable EMPTY".to_owned(), "it is empty"),
        ("env = \"LINES\"", "the variable LINES".to_owned(), lines),
        ("file = \"none\"", file("none"), "No such file or directory (os error 2)"),
        ("file = \"empty\"", file("empty"), "it is empty"),
        ("file = \"lines\"", file("lines"), lines),
        ("file = \"long\"", file("long"), "it is longer than 65536 bytes"),
        ("file = \".\"", file("."), "it is not a regular file"),
        ("file = \"/dev/zero\"", "the file /dev/zero".to_owned(), "it is not a regular file"),
    ] {
        let text = with_sink(&format!("to = \"otlp+http://h\"\nheaders = {{ key = {{ {kept} }} }}"));
        let get = |name: &str| match name {
            "EMPTY" => Some(OsString::new()),
            "LINES" => Some(OsString::from("secret\nsecret")),
            _ => None,
        };
        let error = Config::parse(&text, &path).unwrap().resolve(get).unwrap_err();
        let expected =
            format!("{}:4:13: the header `key` cannot be had from {place}: {reason}", path.display());
        assert_eq!(with_causes(&error), expected);
    }
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

/// What the sink `to` with these lines sends in this environment to say who asks.
fn keys_sent(to: &str, lines: &str, variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let get = |asked: &str| {
        let variable = variables.iter().find(|(name, _)| *name == asked);
        variable.map(|(_, value)| OsString::from(value))
    };
    let (address, options) = resolved(&with_sink(&format!("to = \"{to}\"\n{lines}")), get)?.remove(0);
    let spans = Spans::new(1);
    let request = match &address {
        SinkAddress::OpenAi { url } => OpenAi::new(url, &options.openai).unwrap().request(&spans.batch()),
        SinkAddress::SpanForge(SpanForgeAddress::Cloud { url, is_whole }) => {
            SpanForgeCloud::new(url, *is_whole, &options.spanforge).unwrap().request(&spans.batch())
        }
        other => panic!("{other} has no key"),
    };
    assert!(!format!("{options:?}").contains("secret"), "{options:?}");
    let is_account = |name: &HeaderName| *name == AUTHORIZATION || name.as_str().starts_with("openai-");
    let said = request.headers.iter().filter(|(name, value)| is_account(name) && value != "traces=v1");
    Ok(said.map(|(_, value)| value.to_str().unwrap().to_owned()).collect())
}

#[test]
fn a_key_is_what_the_file_says_or_for_the_own_sink_of_a_system_what_the_environment_does() {
    let openai = [("OPENAI_API_KEY", "secret-e"), ("OPENAI_ORG_ID", "org-e"), ("MINE", "secret-m")];
    let forge = [("SPANFORGE_CLOUD_API_KEY", "secret-e"), ("MINE", "secret-m")];
    let sent = |headers: &[&str]| Ok(headers.iter().map(|&header| header.to_owned()).collect::<Vec<_>>());
    assert_eq!(keys_sent("openai", "", &openai), sent(&["Bearer secret-e", "org-e"]));
    let said = "api_key = \"secret-f\"\norganization = \"org-f\"\nproject = \"p\"";
    assert_eq!(keys_sent("openai", said, &openai), sent(&["Bearer secret-f", "org-f", "p"]));
    let mine = "api_key = { env = \"MINE\" }";
    assert_eq!(keys_sent("openai+https://h", mine, &openai), sent(&["Bearer secret-m"]));
    assert_eq!(keys_sent("spanforge", "", &forge), sent(&["Bearer secret-e"]));
    assert_eq!(keys_sent("spanforge+https://h", mine, &forge), sent(&["Bearer secret-m"]));
    let without = |to: &str, variables: &[(&str, &str)]| keys_sent(to, "", variables).unwrap_err();
    let none = "3:6: cannot use OPENAI_API_KEY: it is not set for this address, nor is OPENAI_API_KEY_FILE";
    assert_eq!(without("openai", &[]), format!("{FILE}:{none}"));
    assert_eq!(without("openai+https://h", &openai), format!("{FILE}:{none}"));
    assert!(without("spanforge+https://h", &forge).ends_with("no key is set for this address"));
}

#[test]
fn a_key_that_cannot_be_had_or_sent_is_told_with_its_place_and_never_shown() {
    let variables = [("LINES", "secret\nsecret"), ("EMPTY", "")];
    for (lines, reason) in [
        ("api_key = { env = \"NONE\" }", "4:1: `api_key` cannot be had from the variable NONE"),
        ("api_key = { env = \"EMPTY\" }", "4:1: `api_key` cannot be had from the variable EMPTY"),
        ("api_key = { env = \"LINES\" }", "4:1: `api_key` cannot be had from the variable LINES"),
        ("api_key = { file = \"/no/key\" }", "4:1: `api_key` cannot be had from the file /no/key"),
        ("api_key = { evn = \"A\" }", "4:13: unknown key `evn` in `api_key`; did you mean `env`?"),
        ("api_key = { env = \"A\", prefix = \"B\" }", "4:24: unknown key `prefix` in `api_key`"),
        ("api_key = 1", "4:11: `api_key` does not fit: it is a text, "),
        (
            "api_key = \"secret\"\nproject = \"a\\nb\"",
            "5:11: `project` does not fit: HTTP allows no such text in a header",
        ),
    ] {
        let told = keys_sent("openai", lines, &variables).unwrap_err();
        assert!(told.starts_with(&format!("{FILE}:{reason}")), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
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

#[test]
fn the_protocol_of_http_is_refused_of_a_sink_that_is_asked_over_grpc() {
    let resolved = |to: &str| {
        resolved(&with_sink(&format!("to = \"{to}\"\nprotocol = \"http/json\"")), |_| None).map(drop)
    };
    for to in ["otlp+grpc://h:4317", "otlp+grpcs://h:443"] {
        let told = format!("{FILE}:4:1: `protocol` is about OTLP sinks over HTTP, and this one is {to}");
        assert_eq!(resolved(to).unwrap_err(), told);
    }
    resolved("otlp+http://h").unwrap();
}

#[test]
fn what_is_said_of_tls_is_refused_of_a_sink_without_and_read_of_one_with_it() {
    let resolved =
        |to: &str| resolved(&with_sink(&format!("to = \"{to}\"\ncertificate = \"/none.pem\"")), environment);
    let plain = |sink| {
        format!("{FILE}:4:1: `certificate` is about sinks that are asked over TLS, and this one is {sink}")
    };
    assert_eq!(resolved("otlp+http://h").unwrap_err(), plain("otlp+http://h:4318"));
    assert_eq!(resolved("otlp").unwrap_err(), plain("otlp+http://of.environment:80"));
    let told = resolved("otlp+https://h").unwrap_err();
    assert!(
        told.starts_with(&format!("{FILE}:3:6: cannot set up TLS for otlp+https://h:443: /none.pem: ")),
        "{told}"
    );
}

#[test]
fn a_file_is_read_up_to_its_limit_and_only_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.toml");
    let read = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        Config::read(&path).map_err(|error| with_causes(&error).replace(path.to_str().unwrap(), "FILE"))
    };
    let text = with_sink("to = \"stdout\"\n#");
    let filled = |len: usize| format!("{text}{}", "x".repeat(len - text.len()));
    assert!(read(filled(1 << 20).as_bytes()).is_ok());
    let too_long = "FILE: it cannot be read: it is longer than 1048576 bytes";
    assert_eq!(read(filled((1 << 20) + 1).as_bytes()).unwrap_err(), too_long);
    assert_eq!(parse(&filled((1 << 20) + 1)).unwrap_err(), too_long.replace("FILE", FILE));
    assert_eq!(read(b"spool = \"/s\"\n# \xc3\xbc\xff").unwrap_err(), "FILE:2:4: it is no UTF-8 from here on");
    assert_eq!(read(b"").unwrap_err(), "FILE: it says nothing; what belongs into it is `spool` and [[sink]]");
    fs::remove_file(&path).unwrap();
    let told = with_causes(&Config::read(&path).unwrap_err());
    assert_eq!(
        told,
        format!("{}: it cannot be read: No such file or directory (os error 2)", path.display())
    );
    let told = with_causes(&Config::read(dir.path()).unwrap_err());
    assert_eq!(told, format!("{}: it cannot be read: it is not a regular file", dir.path().display()));
}

#[test]
fn a_file_that_is_cut_anywhere_is_understood_or_refused_within_it() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/export.example.toml");
    let text = fs::read_to_string(example).unwrap();
    for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
        match Config::parse(&text[..end], Path::new(FILE)) {
            Ok(config) => assert!(!config.sinks.is_empty()),
            Err(error) => {
                assert!(error.place.is_none_or(|place| place.line <= text[..end].lines().count() + 1))
            }
        }
    }
}

proptest! {
    #[test]
    fn any_key_in_any_sink_is_known_misplaced_or_unknown_and_told_where_it_stands(
        key in "[a-z_]{1,12}", to in prop_oneof![Just("otlp"), Just("stdout"), Just("file:/f")],
    ) {
        match parse(&with_sink(&format!("to = \"{to}\"\n{key} = 0"))) {
            Ok(_) => prop_assert!(false, "no key takes a zero"),
            Err(told) => {
                let expected = if key == "to" { 1..=1 } else { 1..=3 + key.len() + 1 };
                let column: usize = told[FILE.len()..].split(':').nth(2).unwrap().parse().unwrap();
                prop_assert!(told.contains(":4:") && expected.contains(&column), "{}", told);
            }
        }
    }
}
