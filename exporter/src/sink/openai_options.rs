//! As whom OpenAI's traces are filled, as the variables of OpenAI's SDKs say.
//!
//! | | |
//! |---|---|
//! | `OPENAI_API_KEY` | the key; a secret |
//! | `OPENAI_API_KEY_FILE` | a file with the key, in place of that |
//! | `OPENAI_ORG_ID` | whose account, if the key is for several |
//! | `OPENAI_PROJECT_ID` | which project of the account |
//!
//! One that is empty is as if it were not there. The SDK leaves out what it has no key for; here nothing starts without one. A key of a single trace
//! (`tracing={"api_key": …}`) is not recorded, so there is none.

use std::ffi::OsString;
use std::fmt;

use reqwest::header::{HeaderValue, InvalidHeaderValue};

use crate::{Error, secret};

const KEY: &str = "OPENAI_API_KEY";

/// As whom OpenAI's traces are filled.
#[derive(Clone, Default)]
pub struct OpenAiOptions {
    authorization: Option<HeaderValue>,
    pub(super) organization: Option<HeaderValue>,
    pub(super) project: Option<HeaderValue>,
}

impl OpenAiOptions {
    /// What this process's environment says.
    ///
    /// # Errors
    ///
    /// [`Error::Variable`] for a variable that makes no sense, and for a file that cannot be read.
    pub fn from_environment() -> Result<Self, Error> {
        Self::read(|name| std::env::var_os(name))
    }

    /// Whether there is a key, which only the server it is meant for may get to see.
    pub fn has_secrets(&self) -> bool {
        self.authorization.is_some()
    }

    /// With this key, in place of any other.
    ///
    /// # Errors
    ///
    /// When HTTP does not allow it in a header.
    pub fn with_api_key(self, key: &str) -> Result<Self, InvalidHeaderValue> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}"))?;
        authorization.set_sensitive(true);
        Ok(OpenAiOptions { authorization: Some(authorization), ..self })
    }

    /// For this account, in place of any other.
    ///
    /// # Errors
    ///
    /// When HTTP does not allow it in a header.
    pub fn with_organization(self, organization: &str) -> Result<Self, InvalidHeaderValue> {
        Ok(OpenAiOptions { organization: Some(HeaderValue::from_str(organization)?), ..self })
    }

    /// For this project, in place of any other.
    ///
    /// # Errors
    ///
    /// When HTTP does not allow it in a header.
    pub fn with_project(self, project: &str) -> Result<Self, InvalidHeaderValue> {
        Ok(OpenAiOptions { project: Some(HeaderValue::from_str(project)?), ..self })
    }

    /// Itself without the key.
    pub(super) fn without_key(&self) -> Self {
        OpenAiOptions { authorization: None, ..self.clone() }
    }

    /// The header with the key.
    pub(super) fn authorization(&self) -> Result<HeaderValue, Error> {
        self.authorization
            .clone()
            .ok_or_else(|| wrong(KEY, "it is not set for this address, nor is OPENAI_API_KEY_FILE"))
    }

    pub(super) fn read(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let variable = |name: &str| get(name).filter(|value| !value.is_empty());
        let text = |name: &'static str| match variable(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty())),
            Some(Err(_)) => Err(wrong(name, "it is no UTF-8")),
        };
        let header = |name: &str, value: &str| {
            let header = HeaderValue::from_str(value);
            header.map_err(|_| wrong(name, "it has a character that a header of HTTP does not allow"))
        };
        let authorization = secret::key_in_variable(KEY, &get)?
            .map(|(key, name)| header(&name, &format!("Bearer {key}")))
            .transpose()?;
        let of = |name| text(name)?.map(|value| header(name, &value)).transpose();
        Ok(OpenAiOptions {
            authorization: authorization.map(|mut value| {
                value.set_sensitive(true);
                value
            }),
            organization: of("OPENAI_ORG_ID")?,
            project: of("OPENAI_PROJECT_ID")?,
        })
    }
}

fn wrong(name: &str, reason: &str) -> Error {
    Error::Variable { name: name.to_owned(), reason: reason.to_owned() }
}

impl fmt::Debug for OpenAiOptions {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiOptions")
            .field("has_key", &self.has_secrets())
            .field("organization", &self.organization)
            .field("project", &self.project)
            .finish()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;

    const KEY_FILE: &str = "OPENAI_API_KEY_FILE";

    pub(crate) fn read(variables: &[(&str, &str)]) -> Result<OpenAiOptions, String> {
        let get = |asked: &str| {
            let variable = variables.iter().find(|(name, _)| *name == asked);
            variable.map(|(_, value)| OsString::from(value))
        };
        OpenAiOptions::read(get).map_err(|error| error.to_string())
    }

    fn key(variables: &[(&str, &str)]) -> Result<String, String> {
        let header = read(variables)?.authorization().map_err(|error| error.to_string())?;
        assert!(header.is_sensitive());
        Ok(header.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_key_is_in_a_variable_or_in_a_file() {
        assert_eq!(key(&[(KEY, " sk-1 ")]).unwrap(), "Bearer sk-1");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "sk-2\n").unwrap();
        assert_eq!(key(&[(KEY_FILE, file.path().to_str().unwrap())]).unwrap(), "Bearer sk-2");
    }

    #[test]
    fn what_makes_no_sense_is_named_by_its_variable_and_never_shown() {
        assert_eq!(
            key(&[]),
            Err(format!("cannot use {KEY}: it is not set for this address, nor is {KEY_FILE}"))
        );
        assert_eq!(key(&[(KEY, " ")]), key(&[]));
        let reason = "it has a character that a header of HTTP does not allow";
        for name in [KEY, "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"] {
            let message = read(&[(name, "se\ncret")]).unwrap_err();
            assert_eq!(message, format!("cannot use {name}: {reason}"));
        }
        let shown = format!("{:?}", read(&[(KEY, "secret"), ("OPENAI_ORG_ID", "org")]).unwrap());
        assert!(!shown.contains("secret") && shown.contains("org"), "{shown}");
    }
}
