//! Where secrets come from, what is sent of them, and that none is shown.

use super::*;

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
