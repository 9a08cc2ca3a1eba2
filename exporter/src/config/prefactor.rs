//! What a `[[sink]]` says of Prefactor: types of spans and of quality, why the agent runs, what its instances are called, what is sensitive, and whether spans are sent in bulk.

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::DeValue;

use super::error::{ConfigError, Fault};
use super::table::{self, Table};
use crate::prefactor::{
    DataRisk, ExternalIdentifier, Purpose, QualitySchema, SensitiveTexts, SpanType, SpanTypes,
};
use crate::sink::PrefactorOptions;

pub(super) const SPAN_TYPES: &str = "span_types";
pub(super) const QUALITY_SCHEMAS: &str = "quality_schemas";
pub(super) const PURPOSE: &str = "purpose";
pub(super) const EXTERNAL_IDENTIFIER: &str = "external_identifier";
pub(super) const BULK: &str = "bulk";
pub(super) const SENSITIVE_KEYS: &str = "sensitive_keys";
pub(super) const SENSITIVE_TEXTS: &str = "sensitive_texts";

/// What is said; `None` is not said.
#[derive(Clone, Debug, Default)]
pub(super) struct PrefactorSaid {
    span_types: Vec<SpanType>,
    quality: Option<Vec<QualitySchema>>,
    purpose: Option<Purpose>,
    external_identifier: Option<ExternalIdentifier>,
    bulk: Option<bool>,
    sensitive_keys: Option<Vec<String>>,
    sensitive_texts: Option<Vec<SensitiveTexts>>,
}

impl PrefactorSaid {
    pub(super) fn read(table: &Table<'_>) -> Result<Self, ConfigError> {
        let purpose = |word: &str| Purpose::of(word).ok_or(PURPOSES);
        Ok(PrefactorSaid {
            span_types: span_types(table)?.unwrap_or_default(),
            quality: quality_schemas(table)?,
            purpose: table.plain(PURPOSE, table::quoted(purpose, PURPOSES))?,
            external_identifier: table
                .plain(EXTERNAL_IDENTIFIER, table::quoted(ExternalIdentifier::parse, "it is a text"))?,
            bulk: table.plain(BULK, table::truth)?,
            sensitive_keys: table.plain(SENSITIVE_KEYS, table::texts)?.map(owned),
            sensitive_texts: table.plain(SENSITIVE_TEXTS, sensitive_texts)?,
        })
    }

    /// Says it over what `options` say; types beside those that they declare.
    pub(super) fn resolve(&self, options: &mut PrefactorOptions) {
        let types = std::mem::take(&mut options.agent.types);
        options.agent.types = self.span_types.iter().cloned().fold(types, SpanTypes::declare);
        if let Some(quality) = &self.quality {
            options.agent.quality.clone_from(quality);
        }
        if self.purpose.is_some() {
            options.agent.purpose = self.purpose;
        }
        if self.external_identifier.is_some() {
            options.agent.external_identifier.clone_from(&self.external_identifier);
        }
        options.bulk = self.bulk.unwrap_or(options.bulk);
        let sensitive = std::mem::take(&mut options.contents.sensitive);
        options.contents.sensitive =
            sensitive.replacing(self.sensitive_keys.as_deref(), self.sensitive_texts.as_deref());
    }
}

const PURPOSES: &str = "it is \"live\", \"smoke_test\" or \"eval\"";

fn owned(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

fn sensitive_texts(value: &DeValue<'_>) -> Result<Vec<SensitiveTexts>, &'static str> {
    const EXPECTED: &str = "it is a list of some of \"secrets\", \"emails\" and \"card_numbers\"";
    let names = table::texts(value).map_err(|_| EXPECTED)?;
    names.into_iter().map(|name| SensitiveTexts::named(name).ok_or(EXPECTED)).collect()
}

/// The types that `span_types` declares; `None` where it is not there.
pub(super) fn span_types(table: &Table<'_>) -> Result<Option<Vec<SpanType>>, ConfigError> {
    const EXPECTED: &str = "it is a list of types: each is a table with a `name`";
    declared(table, SPAN_TYPES, ("a type", EXPECTED), |table| {
        let declared = span_type(table)?;
        Ok((declared.name.clone(), declared))
    })
}

fn quality_schemas(table: &Table<'_>) -> Result<Option<Vec<QualitySchema>>, ConfigError> {
    const EXPECTED: &str = "it is a list of schemas: each is a table with a `name`";
    declared(table, QUALITY_SCHEMAS, ("a schema of quality", EXPECTED), |table| {
        let declared = quality_schema(table)?;
        Ok((declared.name.clone(), declared))
    })
}

/// What the tables under a key declare, each name once.
fn declared<T>(
    table: &Table<'_>,
    key: &str,
    (name, expected): (&'static str, &'static str),
    read: impl Fn(&Table<'_>) -> Result<(String, T), ConfigError>,
) -> Result<Option<Vec<T>>, ConfigError> {
    let listed = table.plain(key, |value| match value {
        DeValue::Array(list) => Ok(list),
        _ => Err(expected),
    })?;
    let Some(listed) = listed else { return Ok(None) };
    let (mut names, mut all) = (Vec::new(), Vec::new());
    for item in listed {
        let DeValue::Table(keys) = item.get_ref() else {
            return Err(unfit(table, item, key, expected));
        };
        let table = Table { source: table.source, name, span: item.span(), keys };
        let (name, declared) = read(&table)?;
        if names.contains(&name) {
            let fault = Fault::Unfit { key: "name".to_owned(), expected: "a name is declared once" };
            return Err(table.error("name", fault));
        }
        names.push(name);
        all.push(declared);
    }
    Ok(Some(all))
}

fn quality_schema(table: &Table<'_>) -> Result<QualitySchema, ConfigError> {
    table.check(&["name", "title", "description", "template", "schema", "data_risk"])?;
    let text = |key| Ok(table.plain(key, table::text)?.map(str::to_owned));
    Ok(QualitySchema {
        name: table.required("name", text("name")?)?,
        title: text("title")?,
        description: text("description")?,
        template: text("template")?,
        schema: schema(table, "schema")?,
        data_risk: data_risk(table)?,
    })
}

fn span_type(table: &Table<'_>) -> Result<SpanType, ConfigError> {
    table.check(&[
        "name",
        "title",
        "description",
        "template",
        "params_schema",
        "result_schema",
        "data_risk",
    ])?;
    let text = |key| Ok(table.plain(key, table::text)?.map(str::to_owned));
    Ok(SpanType {
        name: table.required("name", text("name")?)?,
        title: text("title")?,
        description: text("description")?,
        template: text("template")?,
        params_schema: schema(table, "params_schema")?,
        result_schema: schema(table, "result_schema")?,
        data_risk: data_risk(table)?,
    })
}

fn schema(table: &Table<'_>, key: &'static str) -> Result<Option<Json>, ConfigError> {
    let Some(value) = table.keys.get(key) else { return Ok(None) };
    match value.get_ref() {
        DeValue::Table(_) => json(table, key, value).map(Some),
        _ => Err(unfit(table, value, key, "it is a JSON Schema: a table, as in { type = \"object\" }")),
    }
}

/// What stands under a key, as JSON.
fn json(table: &Table<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Json, ConfigError> {
    let unfit = |expected| Err(unfit(table, value, key, expected));
    Ok(match value.get_ref() {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(truth) => (*truth).into(),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => number.into(),
            Err(_) => return unfit("it is a whole number of 64 bits"),
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(serde_json::Number::from_f64) {
            Some(number) => Json::Number(number),
            None => return unfit("JSON has no such number"),
        },
        DeValue::Datetime(_) => return unfit("JSON has no dates: it is a text in quotes"),
        DeValue::Array(items) => items.iter().map(|item| json(table, key, item)).collect::<Result<_, _>>()?,
        DeValue::Table(pairs) => {
            let pair = |(key, value): (&Spanned<_>, _)| {
                let key = AsRef::<str>::as_ref(key.get_ref());
                Ok((key.to_owned(), json(table, key, value)?))
            };
            Json::Object(pairs.iter().map(pair).collect::<Result<Map<_, _>, _>>()?)
        }
    })
}

fn data_risk(table: &Table<'_>) -> Result<Option<DataRisk>, ConfigError> {
    let Some(said) = table.value("data_risk", table::table)? else { return Ok(None) };
    let table = Table { source: table.source, name: "data_risk", span: said.span, keys: said.value };
    table.check(&["action_profile", "params_data_categories", "result_data_categories"])?;
    let part = |key, name, known: &'static [&'static str]| {
        let Some(said) = table.value(key, table::table)? else { return Ok(Default::default()) };
        let part = Table { source: table.source, name, span: said.span, keys: said.value };
        part.check(known)?;
        let word = |key: &&'static str| match part.plain(key, |value| risk_word(key, value)) {
            Ok(word) => word.map(|word| Ok(((*key).to_owned(), word))),
            Err(error) => Some(Err(error)),
        };
        known.iter().filter_map(word).collect()
    };
    Ok(Some(DataRisk {
        action_profile: part("action_profile", "action_profile", DataRisk::ACTIONS)?,
        params_data_categories: part(
            "params_data_categories",
            "params_data_categories",
            DataRisk::CATEGORIES,
        )?,
        result_data_categories: part(
            "result_data_categories",
            "result_data_categories",
            DataRisk::CATEGORIES,
        )?,
    }))
}

/// The word for an action, a category or the classification.
fn risk_word(key: &str, value: &DeValue<'_>) -> Result<String, &'static str> {
    let (words, expected) = match key {
        DataRisk::CLASSIFICATION => (
            DataRisk::CLASSIFICATIONS,
            "it is \"unknown\", \"public\", \"internal\", \"confidential\", \"restricted\" or \"secret\"",
        ),
        key if DataRisk::ACTIONS.contains(&key) => {
            (DataRisk::ACTION_WORDS, "it is \"unknown\", \"allowed\" or \"disallowed\"")
        }
        _ => (DataRisk::CATEGORY_WORDS, "it is \"unknown\", \"included\" or \"excluded\""),
    };
    match table::text(value) {
        Ok(word) if words.contains(&word) => Ok(word.to_owned()),
        _ => Err(expected),
    }
}

fn unfit(table: &Table<'_>, value: &Spanned<DeValue<'_>>, key: &str, expected: &'static str) -> ConfigError {
    table.source.error(&value.span(), Fault::Unfit { key: key.to_owned(), expected })
}
