//! What is wrong in a file is told in one line, with its place and its reason.

use super::*;

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
