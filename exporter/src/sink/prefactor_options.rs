//! How Prefactor is asked, as its SDK's variables say.
//!
//! | variable | |
//! |---|---|
//! | `PREFACTOR_API_URL` | where `prefactor` leads: `https://app.prefactorai.com` where it is not set |
//! | `PREFACTOR_API_TOKEN` | the token, sent as `Authorization: Bearer` |
//! | `PREFACTOR_API_TOKEN_FILE` | the file that the token is in, instead |
//! | `PREFACTOR_AGENT_ID` | the agent's identity. A token of a deployment says it, and the next |
//! | `PREFACTOR_ENVIRONMENT_ID` | the environment's identity |
//! | `PREFACTOR_AGENT_NAME` | what the agent is called, in place of its process's service |
//! | `PREFACTOR_AGENT_IDENTIFIER` | the agent's version, in place of its service's |
//! | `PREFACTOR_SPAN_TYPES` | further types of spans to declare, separated by commas |
//! | `PREFACTOR_MODE` | `finished`, as where it is not set: spans are created once they have ended; `live`: when they start |
//! | `PREFACTOR_BULK` | `true` creates and finishes spans in bulk |
//! | `PREFACTOR_SPAN_TYPES_FILE` | a file of TOML that declares types, each a `[[span_types]]`, as a [configuration](crate::config) does |
//! | `PREFACTOR_PURPOSE` | why the agent runs: `live`, `smoke_test` or `eval`; not said where it is not set |
//! | `PREFACTOR_EXTERNAL_IDENTIFIER` | what instances are called, in place of their recorders' names: an [`ExternalIdentifier`] |
//! | `PREFACTOR_CAPTURE_INPUTS`, `PREFACTOR_CAPTURE_OUTPUTS` | `false` sends none |
//! | `PREFACTOR_MAX_INPUT_LENGTH`, `PREFACTOR_MAX_OUTPUT_LENGTH` | how long their texts are at most, in characters; they are whole where it is not set |
//! | `PREFACTOR_SENSITIVE_KEYS` | keys and paths of what is sent as sensitive, separated by commas: see [`Sensitive`] |
//! | `PREFACTOR_SENSITIVE_TEXTS` | which texts are by how they look: some of `secrets`, `emails`, `card_numbers`, separated by commas |
//!
//! One that is empty is as if it were not there. What makes no sense is an error: it must not send spans to the wrong place, or as nobody.
//! `PREFACTOR_SAMPLE_RATE` is about recording, and is not read.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use reqwest::Url;
use reqwest::header::{HeaderValue, InvalidHeaderValue};

use super::endpoint;
use crate::config::span_types_in;
use crate::error::with_causes;
use crate::prefactor::{
    Agent, Contents, ExternalIdentifier, Mode, Purpose, Sensitive, SensitiveTexts, SpanTypes,
};
use crate::{Error, secret};

const API_URL: &str = "PREFACTOR_API_URL";
const API_TOKEN: &str = "PREFACTOR_API_TOKEN";
const AGENT_ID: &str = "PREFACTOR_AGENT_ID";
const ENVIRONMENT_ID: &str = "PREFACTOR_ENVIRONMENT_ID";
const AGENT_NAME: &str = "PREFACTOR_AGENT_NAME";
const AGENT_IDENTIFIER: &str = "PREFACTOR_AGENT_IDENTIFIER";
const SPAN_TYPES: &str = "PREFACTOR_SPAN_TYPES";
const PURPOSE: &str = "PREFACTOR_PURPOSE";
const EXTERNAL_IDENTIFIER: &str = "PREFACTOR_EXTERNAL_IDENTIFIER";
const MODE: &str = "PREFACTOR_MODE";
const BULK: &str = "PREFACTOR_BULK";
const CAPTURE_INPUTS: &str = "PREFACTOR_CAPTURE_INPUTS";
const CAPTURE_OUTPUTS: &str = "PREFACTOR_CAPTURE_OUTPUTS";
const MAX_INPUT_LENGTH: &str = "PREFACTOR_MAX_INPUT_LENGTH";
const MAX_OUTPUT_LENGTH: &str = "PREFACTOR_MAX_OUTPUT_LENGTH";
const SPAN_TYPES_FILE: &str = "PREFACTOR_SPAN_TYPES_FILE";
const SENSITIVE_KEYS: &str = "PREFACTOR_SENSITIVE_KEYS";
const SENSITIVE_TEXTS: &str = "PREFACTOR_SENSITIVE_TEXTS";

/// Where Prefactor is unless somebody says otherwise.
const DEFAULT_URL: &str = "https://app.prefactorai.com";

/// How Prefactor is asked, and what it is told. The default is without a token, which only a server of one's own takes.
#[derive(Clone, Default)]
pub struct PrefactorOptions {
    /// Whose runs they are.
    pub agent: Agent,
    /// How much of what spans carry is sent.
    pub contents: Contents,
    /// When spans are created.
    pub mode: Mode,
    /// Whether they are created and finished in bulk, which not every server of its API may know.
    pub bulk: bool,
    url: Option<Url>,
    /// What is sent as `Authorization`.
    pub(super) authorization: Option<HeaderValue>,
}

impl PrefactorOptions {
    /// What this process's environment says.
    ///
    /// # Errors
    ///
    /// [`Error::Variable`] for a variable that makes no sense, or a file that cannot be read.
    pub fn from_environment() -> Result<Self, Error> {
        Self::read(|name| std::env::var_os(name))
    }

    /// With this token, in place of any other.
    ///
    /// # Errors
    ///
    /// When HTTP does not allow it in a header.
    pub fn with_token(self, token: &str) -> Result<Self, InvalidHeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        value.set_sensitive(true);
        Ok(PrefactorOptions { authorization: Some(value), ..self })
    }

    /// Where Prefactor is, as the environment says, or else where its own service is.
    pub fn url_or_default(&self) -> Url {
        let default = || Url::parse(DEFAULT_URL).expect("it is a URL, which a test parses");
        self.url.clone().unwrap_or_else(default)
    }

    /// Whether there is something that only the receiver it is meant for may get to see.
    pub(super) fn has_secrets(&self) -> bool {
        self.authorization.is_some()
    }

    /// The same without the token.
    pub(super) fn without_token(&self) -> Self {
        PrefactorOptions { authorization: None, ..self.clone() }
    }

    /// What the variables say that `get` gives.
    pub(crate) fn read(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let variable = |name: &str| get(name).filter(|value| !value.is_empty());
        let text = |name: &str| match variable(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value.trim().to_owned())),
            Some(Err(_)) => Err(wrong(name, "it is no UTF-8")),
        };
        let is = |name: &str, default| match text(name)?.map(|value| value.to_ascii_lowercase()).as_deref() {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(wrong(name, "it is neither true nor false")),
        };
        let len_max = |name: &str| {
            let number = text(name)?.map(|value| value.parse::<usize>()).transpose();
            number.map_err(|_| wrong(name, "it is no whole number"))
        };
        let purpose = text(PURPOSE)?
            .map(|word| {
                Purpose::of(&word).ok_or_else(|| wrong(PURPOSE, "it is none of live, smoke_test, eval"))
            })
            .transpose()?;
        let external_identifier = text(EXTERNAL_IDENTIFIER)?
            .map(|text| ExternalIdentifier::parse(&text).map_err(|reason| wrong(EXTERNAL_IDENTIFIER, reason)))
            .transpose()?;
        let list = |name: &str| text(name).map(Option::unwrap_or_default);
        let types = list(SPAN_TYPES)?;
        let mut types = listed(&types).fold(SpanTypes::default(), SpanTypes::with);
        if let Some(path) = variable(SPAN_TYPES_FILE) {
            let declared = span_types_in(Path::new(&path));
            let declared = declared.map_err(|error| wrong(SPAN_TYPES_FILE, &with_causes(&error)))?;
            types = declared.into_iter().fold(types, SpanTypes::declare);
        }
        let sensitive = list(SENSITIVE_KEYS)?;
        let mut sensitive = listed(&sensitive).fold(Sensitive::default(), Sensitive::key);
        for name in listed(&list(SENSITIVE_TEXTS)?) {
            let texts = SensitiveTexts::named(name);
            sensitive = sensitive.texts(texts.ok_or_else(|| {
                wrong(SENSITIVE_TEXTS, "it lists something else than secrets, emails, card_numbers")
            })?);
        }
        let url = text(API_URL)?.map(|text| endpoint(&text)).transpose();
        let options = PrefactorOptions {
            agent: Agent {
                id: text(AGENT_ID)?,
                environment_id: text(ENVIRONMENT_ID)?,
                name: text(AGENT_NAME)?,
                version: text(AGENT_IDENTIFIER)?,
                types,
                quality: Vec::new(),
                purpose,
                external_identifier,
            },
            contents: Contents {
                inputs: is(CAPTURE_INPUTS, true)?,
                outputs: is(CAPTURE_OUTPUTS, true)?,
                input_len_max: len_max(MAX_INPUT_LENGTH)?,
                output_len_max: len_max(MAX_OUTPUT_LENGTH)?,
                sensitive,
            },
            mode: match text(MODE)?.as_deref() {
                None | Some("finished") => Mode::Finished,
                Some("live") => Mode::Live,
                Some(_) => return Err(wrong(MODE, "it is neither finished nor live")),
            },
            bulk: is(BULK, false)?,
            url: url.map_err(|reason| wrong(API_URL, &reason))?,
            authorization: None,
        };
        let Some((token, name)) = secret::key_in_variable(API_TOKEN, &get)? else { return Ok(options) };
        options
            .with_token(&token)
            .map_err(|_| wrong(&name, "the token has characters that HTTP does not allow"))
    }
}

/// What is listed, with commas between.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn wrong(name: &str, reason: &str) -> Error {
    Error::Variable { name: name.to_owned(), reason: reason.to_owned() }
}

/// Where Prefactor is. The paths of its API are added to the URL's.
pub(super) fn endpoint(text: &str) -> Result<Url, String> {
    endpoint::base(text, &format!("credentials belong into {API_TOKEN}"))
}

impl fmt::Debug for PrefactorOptions {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefactorOptions")
            .field("agent", &self.agent)
            .field("contents", &self.contents)
            .field("mode", &self.mode)
            .field("bulk", &self.bulk)
            .field("url", &self.url.as_ref().map(Url::as_str))
            .field("has_token", &self.authorization.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::prefactor::SpanType;

    const API_TOKEN_FILE: &str = "PREFACTOR_API_TOKEN_FILE";

    fn read(variables: &[(&str, &str)]) -> Result<PrefactorOptions, String> {
        let get = |asked: &str| {
            let variable = variables.iter().find(|(name, _)| *name == asked);
            variable.map(|(_, value)| OsString::from(value))
        };
        PrefactorOptions::read(get).map_err(|error| error.to_string())
    }

    #[test]
    fn without_variables_and_with_empty_ones_nothing_is_said() {
        let names = [
            API_URL,
            API_TOKEN,
            API_TOKEN_FILE,
            AGENT_ID,
            ENVIRONMENT_ID,
            AGENT_NAME,
            AGENT_IDENTIFIER,
            SPAN_TYPES,
            SPAN_TYPES_FILE,
            SENSITIVE_KEYS,
            SENSITIVE_TEXTS,
            PURPOSE,
            MODE,
            BULK,
            CAPTURE_INPUTS,
            CAPTURE_OUTPUTS,
            MAX_INPUT_LENGTH,
            MAX_OUTPUT_LENGTH,
        ];
        for options in [read(&[]).unwrap(), read(&names.map(|name| (name, ""))).unwrap()] {
            assert_eq!((&options.agent, &options.contents), (&Agent::default(), &Contents::default()));
            assert!(options.authorization.is_none() && options.mode == Mode::Finished && !options.bulk);
            assert_eq!(options.url_or_default().as_str(), "https://app.prefactorai.com/");
        }
    }

    #[test]
    fn each_variable_is_heeded() {
        let dir = tempfile::tempdir().unwrap();
        let types = dir.path().join("types.toml");
        fs::write(&types, "[[span_types]]\nname = \"my:type\"\ntitle = \"Mine\"").unwrap();
        let options = read(&[
            (API_URL, "http://localhost:8000/base/"),
            (API_TOKEN, " secret "),
            (AGENT_ID, "agent"),
            (ENVIRONMENT_ID, "env"),
            (AGENT_NAME, "My Agent"),
            (AGENT_IDENTIFIER, "v1"),
            (SPAN_TYPES, "my:type, ,your:type"),
            (SPAN_TYPES_FILE, types.to_str().unwrap()),
            (SENSITIVE_KEYS, "user.email, card"),
            (SENSITIVE_TEXTS, "emails"),
            (PURPOSE, "smoke_test"),
            (MODE, "live"),
            (BULK, "True"),
            (CAPTURE_INPUTS, "False"),
            (CAPTURE_OUTPUTS, "1"),
            (EXTERNAL_IDENTIFIER, "{run.id}"),
            (MAX_INPUT_LENGTH, "10"),
            (MAX_OUTPUT_LENGTH, "0"),
        ])
        .unwrap();
        let (name, title) = ("my:type".to_owned(), Some("Mine".to_owned()));
        let mine = SpanType { name, title, ..SpanType::default() };
        let agent = Agent {
            id: Some("agent".to_owned()),
            environment_id: Some("env".to_owned()),
            name: Some("My Agent".to_owned()),
            version: Some("v1".to_owned()),
            types: SpanTypes::default().with("your:type").declare(mine),
            quality: Vec::new(),
            purpose: Some(Purpose::SmokeTest),
            external_identifier: Some(ExternalIdentifier::parse("{run.id}").unwrap()),
        };
        let contents = Contents {
            inputs: false,
            outputs: true,
            input_len_max: Some(10),
            output_len_max: Some(0),
            sensitive: Sensitive::default().key("user.email").key("card").texts(SensitiveTexts::Emails),
        };
        assert_eq!((&options.agent, &options.contents), (&agent, &contents));
        assert_eq!(options.authorization.as_ref().unwrap().to_str().unwrap(), "Bearer secret");
        assert_eq!(options.url_or_default().as_str(), "http://localhost:8000/base");
        assert_eq!((options.mode, options.bulk), (Mode::Live, true));
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn what_makes_no_sense_is_an_error_that_names_the_variable_and_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (good, split, empty) =
            (file("good", b"secret\n"), file("split", b"se\ncret"), file("empty", b""));
        let types = file("types.toml", b"[[span_types]]\ntitel = \"T\"");
        let in_file = read(&[(API_TOKEN_FILE, &good)]).unwrap();
        assert_eq!(in_file.authorization.unwrap().to_str().unwrap(), "Bearer secret");
        for (name, value, reason) in [
            (API_URL, "secret", "relative URL without a base"),
            (API_URL, "file:///secret", "its scheme is neither http nor https"),
            (API_URL, "https://secret@h", "credentials belong into PREFACTOR_API_TOKEN"),
            (API_URL, "https://h?key=secret", "a query or fragment has no meaning here"),
            (API_TOKEN, "se\ncret", "the token has characters that HTTP does not allow"),
            (API_TOKEN_FILE, &split, "the token has characters that HTTP does not allow"),
            (API_TOKEN_FILE, &empty, "the file that it names cannot be read: it is empty"),
            (SENSITIVE_TEXTS, "secrets,secret", "it lists something else than secrets, emails, card_numbers"),
            (
                SPAN_TYPES_FILE,
                "/nowhere",
                "/nowhere: it cannot be read: No such file or directory (os error 2)",
            ),
            (
                SPAN_TYPES_FILE,
                &types,
                &format!("{types}:2:1: unknown key `titel` in a type; did you mean `title`?"),
            ),
            (PURPOSE, "secret", "it is none of live, smoke_test, eval"),
            (EXTERNAL_IDENTIFIER, "{secret", "a { has no } behind it"),
            (MODE, "Live", "it is neither finished nor live"),
            (CAPTURE_INPUTS, "secret", "it is neither true nor false"),
            (CAPTURE_OUTPUTS, "2", "it is neither true nor false"),
            (MAX_INPUT_LENGTH, "-1", "it is no whole number"),
            (MAX_OUTPUT_LENGTH, "1e3", "it is no whole number"),
        ] {
            let message = read(&[(name, value)]).unwrap_err();
            assert_eq!(message, format!("cannot use {name}: {reason}"));
        }
    }
}
