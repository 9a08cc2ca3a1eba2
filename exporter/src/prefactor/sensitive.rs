//! Values that Prefactor is to store apart, and to show to nobody who may not see them.
//!
//! Such a value is sent as `{"$sensitive": "string", "value": "…"}`, in a request that says `sensitive_encoding`. In such a request a key of the
//! program's own that is called `$sensitive`, whatever stands there, gets a further `$` before it, as does one that begins with more of them: it
//! could be taken for a mark. A request without a marked value says nothing of an encoding, and is as it would be.
//!
//! Paths are what a value's keys are, joined by dots; lists have none. They are matched as [redaction](spanring::redaction) matches keys, so
//! that `email` is what is called so, wherever it stands. What has a place of its own at Prefactor is found by where it stands there,
//! as `inputs.messages`, and by the attribute's key.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::mem;
use std::sync::LazyLock;

use serde_json::{Map, Value as Json, json};
use spanring::names;
use spanring::redaction::{KeyPattern, RedactText};
use spanring_spool::{Patterns, SpanData, Value};

use super::langchain::arguments_as_inputs;
use super::live::PAYLOAD;
use super::payload::{attribute_at, displaced_names};

/// Which values are sensitive. None are unless somebody says so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sensitive {
    keys: Vec<KeyPattern>,
    texts: BTreeSet<SensitiveTexts>,
}

/// Texts that are told by how they look.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SensitiveTexts {
    /// Those with something like [a secret](Patterns::secrets).
    Secrets,
    /// Those with an [address of e-mail](Patterns::emails).
    Emails,
    /// Those with the [number of a payment card](Patterns::card_numbers).
    CardNumbers,
}

impl SensitiveTexts {
    /// All there are.
    pub const ALL: [SensitiveTexts; 3] =
        [SensitiveTexts::Secrets, SensitiveTexts::Emails, SensitiveTexts::CardNumbers];

    /// Their name.
    pub const fn name(self) -> &'static str {
        match self {
            SensitiveTexts::Secrets => "secrets",
            SensitiveTexts::Emails => "emails",
            SensitiveTexts::CardNumbers => "card_numbers",
        }
    }

    /// Those of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|texts| texts.name() == name)
    }

    fn has(self, text: &str) -> bool {
        static SECRETS: LazyLock<Patterns> = LazyLock::new(Patterns::secrets);
        static EMAILS: LazyLock<Patterns> = LazyLock::new(Patterns::emails);
        static CARD_NUMBERS: LazyLock<Patterns> = LazyLock::new(Patterns::card_numbers);
        let patterns = match self {
            SensitiveTexts::Secrets => &SECRETS,
            SensitiveTexts::Emails => &EMAILS,
            SensitiveTexts::CardNumbers => &CARD_NUMBERS,
        };
        matches!(patterns.redact("", text), Cow::Owned(_))
    }
}

impl Sensitive {
    /// What lies under this key too, or under what the path ends with: see [`Redaction::key`](spanring::redaction::Redaction::key).
    pub fn key(mut self, pattern: &str) -> Self {
        self.keys.push(KeyPattern::new(pattern));
        self
    }

    /// Whole texts in which these are found too.
    pub fn texts(mut self, texts: SensitiveTexts) -> Self {
        self.texts.insert(texts);
        self
    }

    /// With these keys, and these texts, in place of its own where there are any.
    pub(crate) fn replacing(mut self, keys: Option<&[String]>, texts: Option<&[SensitiveTexts]>) -> Self {
        if let Some(keys) = keys {
            self.keys = keys.iter().map(|key| KeyPattern::new(key)).collect();
        }
        if let Some(texts) = texts {
            self.texts = texts.iter().copied().collect();
        }
        self
    }

    /// Marks what is sensitive in the `payload` and `result_payload` of these details of a span, which then say so. What finishes a span has
    /// them in the body itself.
    pub(super) fn mark(&self, span: &SpanData, details: &mut Map<String, Json>) {
        if self.keys.is_empty() && self.texts.is_empty() {
            return;
        }
        let mut has_marks = false;
        let sides = [Side::Payload, Side::Result].map(|side| {
            let mut payload = details.get(side.key()).cloned();
            payload.iter_mut().for_each(escape);
            let pairs = payload.as_mut().and_then(Json::as_object_mut);
            let arguments_are_inputs = arguments_as_inputs(span).is_some();
            let at = At { arguments_are_inputs, ..At::root(side) };
            // Schemas are about objects, so what is in it is marked, and not itself.
            let is_whole = self.is_key(&at);
            let given = given_metadata(span, side);
            for (key, value) in pairs.into_iter().flatten() {
                if let (true, Some(given), Json::Object(late)) = (is_metadata(key), given, &mut *value) {
                    for (name, value) in late.iter_mut().filter(|(name, _)| given.get(name).is_some()) {
                        let at = At::root(Side::Payload).within(METADATA).within(name);
                        has_marks |= if self.is_key(&At::root(Side::Payload)) || self.is_key(&at) {
                            seal(value)
                        } else {
                            false
                        };
                    }
                }
                let is_sensitive = is_whole && (key != METADATA || side.has_metadata(span));
                has_marks |= if is_sensitive { seal(value) } else { self.mark_value(value, &at.within(key)) };
            }
            (side.key(), payload)
        });
        if has_marks {
            for (key, payload) in sides {
                details.extend(payload.map(|payload| (key.to_owned(), payload)));
            }
            details.insert("sensitive_encoding".to_owned(), true.into());
        }
    }

    /// Whether there is something sensitive in the value of an attribute that stands in the metadata.
    pub(super) fn is_in(&self, key: &str, value: &Json) -> bool {
        self.mark_value(&mut value.clone(), &At::root(Side::Payload).within(METADATA).within(key))
    }

    /// Marks what is sensitive of a value; whether anything is.
    fn mark_value(&self, value: &mut Json, at: &At) -> bool {
        // It was marked under another name: what is the program's own has a further `$`.
        if value.get(MARK).is_some() {
            return false;
        }
        if self.is_key(at) {
            return seal(value);
        }
        match value {
            Json::String(text) if self.texts.iter().any(|texts| texts.has(text)) => seal(value),
            Json::Array(items) => {
                items.iter_mut().fold(false, |marked, item| self.mark_value(item, at) | marked)
            }
            Json::Object(pairs) => pairs
                .iter_mut()
                .fold(false, |marked, (key, value)| self.mark_value(value, &at.within(key)) | marked),
            _ => false,
        }
    }

    fn is_key(&self, at: &At) -> bool {
        self.keys.iter().any(|key| at.names.iter().any(|name| key.matches(name)))
    }
}

/// The input's own metadata, where what is late of it stands on this side.
fn given_metadata(span: &SpanData, side: Side) -> Option<&Value> {
    if side == Side::Result { span.input()?.get(METADATA) } else { None }
}

fn is_metadata(key: &str) -> bool {
    key == METADATA || key == names::METADATA
}

/// A payload of a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Payload,
    Result,
}

impl Side {
    fn key(self) -> &'static str {
        match self {
            Side::Payload => "payload",
            Side::Result => "result_payload",
        }
    }

    /// What the payload is called, and the key of the attribute that it is of.
    fn names(self) -> [&'static str; 2] {
        match self {
            Side::Payload => ["inputs", names::INPUT],
            Side::Result => ["outputs", names::OUTPUT],
        }
    }

    /// Whether what lies under `metadata` there is of the input or output too.
    fn has_metadata(self, span: &SpanData) -> bool {
        match self {
            Side::Payload => span.input().is_some_and(|input| input.get(METADATA).is_some()),
            Side::Result => true,
        }
    }
}

/// Where a value stands.
struct At {
    side: Side,
    /// The keys to there in the payload.
    path: Vec<String>,
    /// What it may be called in a pattern.
    names: Vec<String>,
    /// Whether the inputs are the arguments of a call.
    arguments_are_inputs: bool,
}

impl At {
    fn root(side: Side) -> Self {
        At {
            side,
            path: Vec::new(),
            names: side.names().map(str::to_owned).into(),
            arguments_are_inputs: false,
        }
    }

    fn within(&self, key: &str) -> Self {
        let path: Vec<_> = self.path.iter().cloned().chain([key.to_owned()]).collect();
        // What a payload says late stands in the metadata of the result.
        if self.side == Side::Result && path.len() == 2 && key == PAYLOAD {
            return At { arguments_are_inputs: self.arguments_are_inputs, ..At::root(Side::Payload) };
        }
        let mut names: Vec<_> = self.names.iter().map(|name| format!("{name}.{key}")).collect();
        if self.path.first().is_some_and(|first| is_metadata(first)) {
            names.extend(displaced_names(key));
        }
        let [word, _] = self.side.names();
        match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [only] if only == word => {
                names.extend(self.side.names().map(str::to_owned));
                if self.side == Side::Payload && self.arguments_are_inputs {
                    names.extend([names::TOOL_CALL_ARGUMENTS, "inputs.arguments"].map(str::to_owned));
                }
            }
            ref path => names.extend(attribute_at(path).map(str::to_owned)),
        }
        At { side: self.side, path, names, arguments_are_inputs: self.arguments_are_inputs }
    }
}

const METADATA: &str = "metadata";
const MARK: &str = "$sensitive";

/// Marks a value, unless there is none; whether there is.
fn seal(value: &mut Json) -> bool {
    let kind = match value {
        Json::Null => return false,
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    *value = json!({MARK: kind, "value": value.take()});
    true
}

/// Puts a `$` before what could be taken for a mark.
fn escape(value: &mut Json) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(escape),
        Json::Object(pairs) => {
            pairs.values_mut().for_each(escape);
            if pairs.keys().any(|key| is_like_mark(key)) {
                let escaped = mem::take(pairs).into_iter().map(|(key, value)| {
                    let key = if is_like_mark(&key) { format!("${key}") } else { key };
                    (key, value)
                });
                *pairs = escaped.collect();
            }
        }
        _ => {}
    }
}

fn is_like_mark(key: &str) -> bool {
    key.starts_with('$') && MARK == format!("${}", key.trim_start_matches('$'))
}

#[cfg(test)]
mod tests;
