use serde_json::json;

use super::*;
use crate::prefactor::{
    DataRisk, ExternalIdentifier, Purpose, QualitySchema, Sensitive, SensitiveTexts, SpanTypes,
};
use crate::sink::PrefactorOptions;

fn options(lines: &str, variables: &[(&str, &str)]) -> PrefactorOptions {
    let get = |asked: &str| {
        let variable = variables.iter().find(|(name, _)| *name == asked);
        variable.map(|(_, value)| OsString::from(value))
    };
    resolved(&with_sink(lines), get).unwrap().remove(0).1.prefactor
}

const ALL: &str = r#"
to = "prefactor"
purpose = "eval"
external_identifier = "{run.id}"
bulk = true
sensitive_keys = ["user.email"]
sensitive_texts = ["secrets", "emails"]

[[sink.span_types]]
name = "my:search"
title = "Search"
description = "Looks for it"
template = "{{query}}"
params_schema = { type = "object", required = ["query"], properties = { query = { type = "string", maxLength = 0xff }, share = { maximum = 0.5, nullable = true } } }
result_schema.type = "object"

[sink.span_types.data_risk]
action_profile = { read_data = "allowed" }
params_data_categories = { personal_identifiers = "included", classification = "secret" }

[[sink.span_types]]
name = "agent:llm"

[[sink.quality_schemas]]
name = "accuracy"
title = "Accuracy"
schema = { type = "object" }
"#;

fn declared() -> [SpanType; 2] {
    let words = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, word)| ((*key).to_owned(), (*word).to_owned())).collect()
    };
    let search = SpanType {
        name: "my:search".to_owned(),
        title: Some("Search".to_owned()),
        description: Some("Looks for it".to_owned()),
        template: Some("{{query}}".to_owned()),
        params_schema: Some(json!({
            "type": "object", "required": ["query"],
            "properties": {"query": {"type": "string", "maxLength": 255}, "share": {"maximum": 0.5, "nullable": true}},
        })),
        result_schema: Some(json!({"type": "object"})),
        data_risk: Some(DataRisk {
            action_profile: words(&[("read_data", "allowed")]),
            params_data_categories: words(&[
                ("personal_identifiers", "included"),
                ("classification", "secret"),
            ]),
            ..DataRisk::default()
        }),
    };
    [search, SpanType { name: "agent:llm".to_owned(), ..SpanType::default() }]
}

#[test]
fn what_a_file_says_of_prefactor_is_heeded_over_what_the_environment_says() {
    let variables = [
        ("PREFACTOR_PURPOSE", "live"),
        ("PREFACTOR_EXTERNAL_IDENTIFIER", "a {recorder}"),
        ("PREFACTOR_SPAN_TYPES", "my:search,your:type"),
        ("PREFACTOR_SENSITIVE_KEYS", "card"),
        ("PREFACTOR_API_TOKEN", "secret"),
    ];
    let said = options(ALL, &variables);
    let types = SpanTypes::default().with("your:type");
    assert_eq!(said.agent.types, declared().into_iter().fold(types, SpanTypes::declare));
    assert_eq!((said.agent.purpose, said.bulk), (Some(Purpose::Eval), true));
    let called = |text| Some(ExternalIdentifier::parse(text).unwrap());
    assert_eq!(said.agent.external_identifier, called("{run.id}"));
    let accuracy = QualitySchema {
        name: "accuracy".to_owned(),
        title: Some("Accuracy".to_owned()),
        schema: Some(json!({"type": "object"})),
        ..QualitySchema::default()
    };
    assert_eq!(said.agent.quality, [accuracy]);
    let sensitive =
        Sensitive::default().key("user.email").texts(SensitiveTexts::Secrets).texts(SensitiveTexts::Emails);
    assert_eq!(said.contents.sensitive, sensitive);

    let unsaid = options("to = \"prefactor\"", &variables);
    assert_eq!(unsaid.agent.types, SpanTypes::default().with("my:search").with("your:type"));
    assert_eq!((unsaid.agent.purpose, unsaid.bulk), (Some(Purpose::Live), false));
    assert_eq!(unsaid.agent.external_identifier, called("a {recorder}"));
    let by_variable = [("PREFACTOR_BULK", "true")];
    assert!(options("to = \"prefactor\"", &by_variable).bulk);
    assert!(!options("to = \"prefactor\"\nbulk = false", &by_variable).bulk);
    assert_eq!(unsaid.contents.sensitive, Sensitive::default().key("card"));
    assert_eq!(
        options("to = \"prefactor\"\nsensitive_keys = []", &variables).contents.sensitive,
        Sensitive::default()
    );
}

#[test]
fn a_file_of_types_says_the_same_as_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("types.toml");
    let (_, types) = ALL.split_once("[[sink.").unwrap();
    let (types, _) = types.split_once("[[sink.quality").unwrap();
    fs::write(&path, format!("[[{types}").replace("[[sink.", "[[").replace("[sink.", "[")).unwrap();
    let said = options("to = \"prefactor\"", &[("PREFACTOR_SPAN_TYPES_FILE", path.to_str().unwrap())]);
    assert_eq!(said.agent.types, declared().into_iter().fold(SpanTypes::default(), SpanTypes::declare));
    for (text, reason) in [
        ("span_type = []", ":1:1: unknown key `span_type` in the file; did you mean `span_types`?"),
        ("spool = \"s\"", ":1:1: unknown key `spool` in the file; it knows span_types"),
        ("[[span_types]]", ":1:1: `name` is missing in a type"),
        ("=", ":1:1: it is no TOML: "),
    ] {
        fs::write(&path, text).unwrap();
        let told = with_causes(&span_types_in(&path).unwrap_err());
        assert!(told.starts_with(&format!("{}{reason}", path.display())), "{told}");
    }
    fs::write(&path, "").unwrap();
    assert_eq!(span_types_in(&path).unwrap(), []);
}

#[test]
fn what_makes_no_sense_is_told_with_its_place_and_the_nearest_key() {
    let type_with = |line: &str| format!("[[sink.span_types]]\nname = \"t\"\n{line}");
    let risk = |line: &str| type_with(&format!("data_risk = {line}"));
    for (lines, expected) in [
        (
            "purpose = \"test\"".to_owned(),
            "4:11: `purpose` does not fit: it is \"live\", \"smoke_test\" or \"eval\"",
        ),
        ("bulk = \"yes\"".to_owned(), "4:8: `bulk` does not fit: it is true or false"),
        ("bulg = true".to_owned(), "4:1: unknown key `bulg` in [[sink]]; did you mean `bulk`?"),
        (
            "external_identifier = \"{run.id\"".to_owned(),
            "4:23: `external_identifier` does not fit: a { has no } behind it",
        ),
        ("external_identifier = 7".to_owned(), "4:23: `external_identifier` does not fit: it is a text"),
        ("porpose = \"live\"".to_owned(), "4:1: unknown key `porpose` in [[sink]]; did you mean `purpose`?"),
        (
            "sensitive_keys = [1]".to_owned(),
            "4:18: `sensitive_keys` does not fit: it is a list of texts in quotes",
        ),
        (
            "sensitive_texts = [\"phones\"]".to_owned(),
            "4:19: `sensitive_texts` does not fit: it is a list of some of",
        ),
        ("span_types = 1".to_owned(), "4:14: `span_types` does not fit: it is a list of types"),
        ("span_types = [\"t\"]".to_owned(), "4:15: `span_types` does not fit: it is a list of types"),
        ("[[sink.span_types]]".to_owned(), "4:1: `name` is missing in a type"),
        (type_with("titel = \"T\""), "6:1: unknown key `titel` in a type; did you mean `title`?"),
        (type_with("title = \"\""), "6:9: `title` does not fit: it is a text in quotes"),
        (type_with("[[sink.span_types]]\nname = \"t\""), "7:1: `name` does not fit: a name is declared once"),
        (
            type_with("params_schema = \"object\""),
            "6:17: `params_schema` does not fit: it is a JSON Schema: a table",
        ),
        (type_with("params_schema.const = 2026-01-01"), "6:23: `const` does not fit: JSON has no dates"),
        (type_with("result_schema.x = [nan]"), "6:20: `x` does not fit: JSON has no such number"),
        (
            type_with("result_schema.x = 9223372036854775808"),
            "6:19: `x` does not fit: it is a whole number of 64 bits",
        ),
        (risk("{ action = {} }"), "6:15: unknown key `action` in data_risk; it knows action_profile, "),
        (
            risk("{ action_profile = { reed_data = \"allowed\" } }"),
            "6:34: unknown key `reed_data` in action_profile; did you mean `read_data`?",
        ),
        (
            risk("{ action_profile = { read_data = \"included\" } }"),
            "6:46: `read_data` does not fit: it is \"unknown\", \"allowed\" or \"disallowed\"",
        ),
        (
            risk("{ result_data_categories = { minors_data = \"secret\" } }"),
            "6:56: `minors_data` does not fit: it is \"unknown\", \"included\" or \"excluded\"",
        ),
        (
            risk("{ params_data_categories = { classification = \"included\" } }"),
            "6:59: `classification` does not fit: it is \"unknown\", \"public\"",
        ),
    ] {
        let told = parse(&with_sink(&format!("to = \"prefactor\"\n{lines}"))).unwrap_err();
        assert!(told.starts_with(&format!("{FILE}:{expected}")), "{lines}: {told}");
    }
}
