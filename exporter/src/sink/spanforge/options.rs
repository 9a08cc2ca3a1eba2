//! How SpanForge is asked, as the variables of its SDK say. One that is empty is as if it were not there.
//!
//! | variable | |
//! |---|---|
//! | `SPANFORGE_CLOUD_API_KEY` | the key for SpanForge's cloud, which cannot be asked without |
//! | `SPANFORGE_CLOUD_ENDPOINT` | where the sink `spanforge` is, with its path; SpanForge's own unless said otherwise |
//! | `SPANFORGE_CLOUD_TIMEOUT` | how long a request may take, in seconds; 30 unless said otherwise, where the SDK has 10 |
//! | `SPANFORGE_WEBHOOK_SECRET` | what bodies to web hooks are signed with; the SDK is handed it by the program |
//! | `SPANFORGE_SIGNING_KEY` | what events are signed with |
//! | `SPANFORGE_ORG_ID` | the organization of spans that say none |
//! | `SPANFORGE_ENV` | the tag `env` of spans whose process says no environment |
//!
//! Key, secret and signing key can be in a file each, which a variable of the same name with `_FILE` behind it names. A line break at its
//! end does not count. A time limit that makes no sense is ignored, with a warning; everything else that makes none is an error.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderValue, InvalidHeaderValue};

use super::SpanForgeAddress;
use super::address::keeps_key;
use crate::sink::endpoint::{CREDENTIALS_IN_ADDRESS, endpoint};
use crate::sink::http::{Limits, Transport};
use crate::spanforge::SigningKey;
use crate::{Error, secret};

pub(super) const API_KEY: &str = "SPANFORGE_CLOUD_API_KEY";
const ENDPOINT: &str = "SPANFORGE_CLOUD_ENDPOINT";
const TIMEOUT: &str = "SPANFORGE_CLOUD_TIMEOUT";
const WEBHOOK_SECRET: &str = "SPANFORGE_WEBHOOK_SECRET";
const SIGNING_KEY: &str = "SPANFORGE_SIGNING_KEY";

const DEFAULT_ENDPOINT: &str = "https://ingest.getspanforge.com/v1/events";

/// No request may take longer.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How SpanForge is asked.
#[derive(Clone, Default)]
pub struct SpanForgeOptions {
    /// The header that proves who asks.
    pub(super) authorization: Option<HeaderValue>,
    endpoint: Option<Url>,
    timeout: Option<Duration>,
    pub(super) webhook_secret: Option<SigningKey>,
    pub(super) signing_key: Option<SigningKey>,
    pub(super) organization: Option<String>,
    pub(super) environment: Option<String>,
    warnings: Vec<String>,
}

impl SpanForgeOptions {
    /// What this process's environment says.
    ///
    /// # Errors
    ///
    /// [`Error::Variable`] for a variable that makes no sense and cannot be ignored.
    pub fn from_environment() -> Result<Self, Error> {
        Self::read(|name| std::env::var_os(name))
    }

    /// What was ignored, since it makes no sense; a line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether there is something that only the cloud it is meant for may get to see.
    pub fn has_key(&self) -> bool {
        self.authorization.is_some()
    }

    /// With this key for the cloud, in place of any other.
    ///
    /// # Errors
    ///
    /// When HTTP does not allow it in a header.
    pub fn with_api_key(self, key: &str) -> Result<Self, InvalidHeaderValue> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}"))?;
        authorization.set_sensitive(true);
        Ok(SpanForgeOptions { authorization: Some(authorization), ..self })
    }

    /// Itself without the key for the cloud.
    pub(in crate::sink) fn without_key(&self) -> Self {
        SpanForgeOptions { authorization: None, ..self.clone() }
    }

    /// Where the sink `spanforge` is.
    pub(in crate::sink) fn cloud(&self) -> SpanForgeAddress {
        let default = || Url::parse(DEFAULT_ENDPOINT).expect("it is a URL, as a test shows");
        SpanForgeAddress::cloud_at(self.endpoint.clone().unwrap_or_else(default), true)
    }

    pub(super) fn transport(&self) -> Transport {
        let limits = Limits::default();
        let request = self.timeout.unwrap_or(limits.request);
        Transport {
            limits: Limits { request, connect: limits.connect.min(request), ..limits },
            is_plain: true,
            ..Transport::default()
        }
    }

    pub(in crate::sink) fn read(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let value = |name: &str| get(name).filter(|value| !value.is_empty());
        let text = |name: &str| match value(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(wrong(name, "it is no UTF-8")),
        };
        let key = |name: &str| {
            let held = secret::in_variable(name, &get)?;
            let key =
                held.map(|(text, name)| SigningKey::new(&text).ok_or_else(|| wrong(&name, "it is blank")));
            key.transpose()
        };

        let mut options = SpanForgeOptions {
            webhook_secret: key(WEBHOOK_SECRET)?,
            signing_key: key(SIGNING_KEY)?,
            organization: text("SPANFORGE_ORG_ID")?,
            environment: text("SPANFORGE_ENV")?,
            ..SpanForgeOptions::default()
        };
        if let Some((key, name)) = secret::key_in_variable(API_KEY, &get)? {
            options =
                options.with_api_key(&key).map_err(|_| wrong(&name, "HTTP does not allow it in a header"))?;
        }
        if let Some(endpoint) = text(ENDPOINT)? {
            options.endpoint = Some(read_endpoint(&endpoint).map_err(|reason| wrong(ENDPOINT, &reason))?);
        }
        if let Some(seconds) = text(TIMEOUT)? {
            let timeout =
                seconds.trim().parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            match timeout.filter(|timeout| !timeout.is_zero()) {
                Some(timeout) => options.timeout = Some(timeout.min(TIMEOUT_MAX)),
                None => {
                    options
                        .warnings
                        .push(format!("{TIMEOUT} is ignored: it is no number of seconds above 0"));
                }
            }
        }
        Ok(options)
    }
}

fn wrong(name: &str, reason: &str) -> Error {
    Error::Variable { name: name.to_owned(), reason: reason.to_owned() }
}

fn read_endpoint(text: &str) -> Result<Url, String> {
    let url = endpoint(text.trim(), CREDENTIALS_IN_ADDRESS)?;
    keeps_key(&url)?;
    Ok(url)
}

impl fmt::Debug for SpanForgeOptions {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanForgeOptions")
            .field("has_key", &self.has_key())
            .field("endpoint", &self.endpoint)
            .field("timeout", &self.timeout)
            .field("webhook_key", &self.webhook_secret)
            .field("signing_key", &self.signing_key)
            .field("organization", &self.organization)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<SpanForgeOptions, String> {
        let get = |asked: &str| {
            let variable = variables.iter().find(|(name, _)| *name == asked);
            variable.map(|(_, value)| OsString::from(value))
        };
        SpanForgeOptions::read(get).map_err(|error| error.to_string())
    }

    #[test]
    fn without_variables_there_is_no_key_and_the_cloud_is_spanforges_own() {
        let options = read(&[(API_KEY, ""), (SIGNING_KEY, ""), (TIMEOUT, "")]).unwrap();
        assert!(!options.has_key() && options.webhook_secret.is_none() && options.signing_key.is_none());
        assert_eq!(options.cloud().to_string(), "spanforge+https://ingest.getspanforge.com");
        assert_eq!(options.transport().limits.request, Duration::from_secs(30));
    }

    #[test]
    fn a_secret_is_in_a_variable_or_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let file = path.to_str().unwrap();
        let of_file = |content: &str| {
            std::fs::write(&path, content).unwrap();
            read(&[("SPANFORGE_CLOUD_API_KEY_FILE", file)]).map(|options| options.authorization.unwrap())
        };
        let said = read(&[(API_KEY, "sf_1")]).unwrap().authorization.unwrap();
        assert_eq!(said.to_str().unwrap(), "Bearer sf_1");
        assert!(said.is_sensitive());
        assert_eq!(of_file("sf_1\n").as_ref(), Ok(&said));
        assert_eq!(of_file("sf_1").as_ref(), Ok(&said));
        assert_eq!(
            of_file("\n"),
            Err(
                "cannot use SPANFORGE_CLOUD_API_KEY_FILE: the file that it names cannot be read: it is empty"
                    .to_owned()
            )
        );
        let none = read(&[("SPANFORGE_SIGNING_KEY_FILE", "/nowhere/at/all")]).unwrap_err();
        let missing =
            "cannot use SPANFORGE_SIGNING_KEY_FILE: the file that it names cannot be read: No such file";
        assert!(none.starts_with(missing), "{none}");
    }

    #[test]
    fn what_cannot_be_ignored_is_an_error_that_names_the_variable_and_no_secret() {
        for (name, value, reason) in [
            (API_KEY, "secret\u{7f}", "HTTP does not allow it in a header"),
            (WEBHOOK_SECRET, " ", "it is blank"),
            (SIGNING_KEY, "\t", "it is blank"),
            (ENDPOINT, "secret", "relative URL without a base"),
            (ENDPOINT, "ftp://secret", "its scheme is neither http nor https"),
            (
                ENDPOINT,
                "https://secret@h",
                "credentials do not belong into an address, where every user of the machine can read them",
            ),
            (ENDPOINT, "https://h?secret", "a query or fragment has no meaning here"),
            (
                ENDPOINT,
                "http://secret",
                "the key would go there in the clear; https is needed but for this machine",
            ),
        ] {
            assert_eq!(read(&[(name, value)]).unwrap_err(), format!("cannot use {name}: {reason}"));
        }
        let shown =
            read(&[(API_KEY, "secret"), (SIGNING_KEY, "secret"), (WEBHOOK_SECRET, "secret")]).unwrap();
        assert!(!format!("{shown:?}").contains("secret\""), "{shown:?}");
    }

    #[test]
    fn a_time_limit_that_makes_no_sense_is_ignored_with_a_warning() {
        for value in ["soon", "0", "-1", "nan", "inf", "1e400"] {
            let options = read(&[(TIMEOUT, value)]).unwrap();
            assert_eq!(options.transport().limits.request, Duration::from_secs(30), "{value}");
            let told = "SPANFORGE_CLOUD_TIMEOUT is ignored: it is no number of seconds above 0";
            assert_eq!(options.warnings(), [told]);
        }
        let request = |value| read(&[(TIMEOUT, value)]).unwrap().transport().limits.request;
        assert_eq!(request("2.5"), Duration::from_millis(2500));
        assert_eq!(request("1e9"), TIMEOUT_MAX);
    }
}
