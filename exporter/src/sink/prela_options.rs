//! How Prela is asked, as its SDK's variables say.
//!
//! | variable | |
//! |---|---|
//! | `PRELA_HTTP_ENDPOINT` | where traces are sent: a URL, whose path is used as it is but for a `/` at its end |
//! | `PRELA_API_KEY` | sent as `X-API-Key`. Without it nothing is: a gateway may want none |
//! | `PRELA_API_KEY_FILE` | the file that the key is in, instead |
//! | `PRELA_BEARER_TOKEN`, or the file that `PRELA_BEARER_TOKEN_FILE` names | sent as `Authorization: Bearer`, in place of a key: with both it is an error, as with the SDK |
//! | `PRELA_COMPRESSION` | `gzip`, or `none` as without it |
//! | `PRELA_SERVICE_NAME` | the name of a service that its own program left without one |
//!
//! One that is empty is as if it were not there. What makes no sense is an error: it must not send traces to the wrong place, or as nobody.
//! The SDK has no variables for a token and compression, which its exporter is given; these are ours. Its other variables are about recording, or
//! about which exporter there is, and are not read.

use std::ffi::OsString;
use std::fmt;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue, InvalidHeaderValue};
use spanring_spool::{Resource, Value};

use super::endpoint;
use crate::{Error, secret};

pub(super) const ENDPOINT: &str = "PRELA_HTTP_ENDPOINT";
const API_KEY: &str = "PRELA_API_KEY";
const BEARER_TOKEN: &str = "PRELA_BEARER_TOKEN";
const COMPRESSION: &str = "PRELA_COMPRESSION";
const SERVICE_NAME: &str = "PRELA_SERVICE_NAME";

/// What a resource says of a service that nobody named begins so.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// How Prela is asked, and what it is told. The default is without a key and without compression, as the SDK's.
#[derive(Clone, Default)]
pub struct PrelaOptions {
    pub(super) endpoint: Option<Url>,
    /// What the exporter proves itself by.
    pub(super) credentials: Option<(HeaderName, HeaderValue)>,
    pub(super) is_compressed: bool,
    service_name: Option<String>,
}

impl PrelaOptions {
    /// What this process's environment says.
    ///
    /// # Errors
    ///
    /// [`Error::Variable`] for a variable that makes no sense, or a file that cannot be read.
    pub fn from_environment() -> Result<Self, Error> {
        Self::read(|name| std::env::var_os(name))
    }

    /// With this key, sent as `X-API-Key`, in place of any other.
    ///
    /// # Errors
    ///
    /// When HTTP does not allow it in a header.
    pub fn with_api_key(self, key: &str) -> Result<Self, InvalidHeaderValue> {
        self.with_credentials(HeaderName::from_static("x-api-key"), key)
    }

    /// With this token, sent as `Authorization: Bearer`, in place of any key.
    ///
    /// # Errors
    ///
    /// When HTTP does not allow it in a header.
    pub fn with_bearer_token(self, token: &str) -> Result<Self, InvalidHeaderValue> {
        self.with_credentials(AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// With bodies compressed by gzip, or not.
    pub fn compressed(self, is_compressed: bool) -> Self {
        PrelaOptions { is_compressed, ..self }
    }

    /// What the environment calls the endpoint.
    pub fn endpoint(&self) -> Option<&Url> {
        self.endpoint.as_ref()
    }

    /// Whether there is something that only the receiver it is meant for may get to see.
    pub fn has_secrets(&self) -> bool {
        self.credentials.is_some()
    }

    /// What the service of a recorder is called: what its program said, or else what is said here.
    pub fn service_of<'a>(&'a self, resource: &'a Resource) -> Option<&'a str> {
        let said = resource.get("service.name").and_then(Value::as_str);
        said.filter(|name| !name.starts_with(UNKNOWN_SERVICE)).or(self.service_name.as_deref()).or(said)
    }

    fn with_credentials(self, name: HeaderName, value: &str) -> Result<Self, InvalidHeaderValue> {
        let mut value = HeaderValue::from_str(value)?;
        value.set_sensitive(true);
        Ok(PrelaOptions { credentials: Some((name, value)), ..self })
    }

    /// What the variables say that `get` gives.
    pub(crate) fn read(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let wrong = |name: &str, reason: String| Error::Variable { name: name.to_owned(), reason };
        let variable = |name: &str| get(name).filter(|value| !value.is_empty());
        let text = |name: &str| match variable(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value.trim().to_owned())),
            Some(Err(_)) => Err(wrong(name, "it is no UTF-8".to_owned())),
        };
        let endpoint = text(ENDPOINT)?.map(|text| endpoint(&text)).transpose();
        let mut options = PrelaOptions {
            endpoint: endpoint.map_err(|reason| wrong(ENDPOINT, reason))?,
            service_name: text(SERVICE_NAME)?,
            ..PrelaOptions::default()
        };
        options.is_compressed = match text(COMPRESSION)?.as_deref() {
            Some("gzip") => true,
            Some("none") | None => false,
            Some(_) => return Err(wrong(COMPRESSION, "it is neither gzip nor none".to_owned())),
        };
        let given = [secret::key_in_variable(API_KEY, &get)?, secret::key_in_variable(BEARER_TOKEN, &get)?];
        let (options, name) = match given {
            [None, None] => return Ok(options),
            [Some((key, name)), None] => (options.with_api_key(&key), name),
            [None, Some((token, name))] => (options.with_bearer_token(&token), name),
            [Some((_, other)), Some((_, name))] => {
                let reason = format!("{other} is there too, and one of them is to be left out");
                return Err(wrong(&name, reason));
            }
        };
        options.map_err(|_| wrong(&name, "the key has characters that HTTP does not allow".to_owned()))
    }
}

/// Where traces are sent to.
pub(super) fn endpoint(text: &str) -> Result<Url, String> {
    endpoint::base(text, &format!("credentials belong into {API_KEY}"))
}

impl fmt::Debug for PrelaOptions {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrelaOptions")
            .field("endpoint", &self.endpoint.as_ref().map(Url::as_str))
            .field("credentials", &self.credentials.as_ref().map(|(name, _)| name))
            .field("is_compressed", &self.is_compressed)
            .field("service_name", &self.service_name)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const API_KEY_FILE: &str = "PRELA_API_KEY_FILE";

    fn read(variables: &[(&str, &str)]) -> Result<PrelaOptions, String> {
        let get = |asked: &str| {
            let variable = variables.iter().find(|(name, _)| *name == asked);
            variable.map(|(_, value)| OsString::from(value))
        };
        PrelaOptions::read(get).map_err(|error| error.to_string())
    }

    fn credentials(options: &PrelaOptions) -> Option<(&str, &str)> {
        let (name, value) = options.credentials.as_ref()?;
        Some((name.as_str(), value.to_str().unwrap()))
    }

    #[test]
    fn without_variables_and_with_empty_ones_nothing_is_said() {
        for options in
            [read(&[]).unwrap(), read(&[(API_KEY, ""), (ENDPOINT, ""), (API_KEY_FILE, "")]).unwrap()]
        {
            assert_eq!((options.endpoint(), credentials(&options)), (None, None));
            assert!(!options.has_secrets() && !options.is_compressed);
        }
    }

    #[test]
    fn an_endpoint_is_a_url_whose_path_is_used_as_it_is() {
        for (text, url) in [
            ("https://api.example/v1/traces", "https://api.example/v1/traces"),
            ("https://api.example/v1/traces//", "https://api.example/v1/traces"),
            ("http://localhost:8000", "http://localhost:8000/"),
        ] {
            assert_eq!(read(&[(ENDPOINT, text)]).unwrap().endpoint().unwrap().as_str(), url);
        }
    }

    #[test]
    fn a_key_is_in_the_variable_or_in_the_file_that_another_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, " secret \n").unwrap();
        let in_file = read(&[(API_KEY_FILE, path.to_str().unwrap())]).unwrap();
        assert_eq!(credentials(&in_file), Some(("x-api-key", "secret")));
        let said = read(&[(API_KEY, "secret")]).unwrap();
        assert_eq!(credentials(&said), Some(("x-api-key", "secret")));
        let token = said.with_bearer_token("token").unwrap();
        assert_eq!(credentials(&token), Some(("authorization", "Bearer token")));
        let token = read(&[(BEARER_TOKEN, " token"), (API_KEY, "")]).unwrap();
        assert_eq!(credentials(&token), Some(("authorization", "Bearer token")));
        let both = read(&[(BEARER_TOKEN, "secret"), (API_KEY_FILE, path.to_str().unwrap())]).unwrap_err();
        let expected = "cannot use PRELA_BEARER_TOKEN: PRELA_API_KEY_FILE is there too, and one of them is to be left out";
        assert_eq!(both, expected);
    }

    #[test]
    fn bodies_are_compressed_where_that_is_said() {
        let is_compressed = |said| read(&[(COMPRESSION, said)]).map(|options| options.is_compressed);
        assert_eq!(["gzip", "none", ""].map(is_compressed), [Ok(true), Ok(false), Ok(false)]);
    }

    #[test]
    fn what_makes_no_sense_is_an_error_that_names_the_variable_and_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (empty, split) = (file("empty", b"\n"), file("split", b"se\ncret"));
        for (name, value, reason) in [
            (ENDPOINT, "secret", "relative URL without a base"),
            (ENDPOINT, "file:///secret", "its scheme is neither http nor https"),
            (ENDPOINT, "https://secret@h", "credentials belong into PRELA_API_KEY"),
            (ENDPOINT, "https://h?key=secret", "a query or fragment has no meaning here"),
            (BEARER_TOKEN, "se\ncret", "the key has characters that HTTP does not allow"),
            (COMPRESSION, "secret", "it is neither gzip nor none"),
            (API_KEY, "se\ncret", "the key has characters that HTTP does not allow"),
            (API_KEY_FILE, &empty, "the file that it names cannot be read: it is empty"),
            (API_KEY_FILE, &split, "the key has characters that HTTP does not allow"),
        ] {
            let message = read(&[(name, value)]).unwrap_err();
            assert_eq!(message, format!("cannot use {name}: {reason}"));
        }
        let shown = format!("{:?}", read(&[(API_KEY, "secret")]).unwrap());
        assert!(shown.contains("x-api-key") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_service_is_called_as_its_program_says_or_else_as_is_said_here() {
        let named = read(&[(SERVICE_NAME, "here")]).unwrap();
        let service = |options: &PrelaOptions, resource| options.service_of(&resource).map(str::to_owned);
        let unknown = || Resource::named("unknown_service:agent");
        assert_eq!(service(&named, Resource::named("shop")).as_deref(), Some("shop"));
        assert_eq!(service(&named, unknown()).as_deref(), Some("here"));
        assert_eq!(service(&named, Resource::default()).as_deref(), Some("here"));
        let unnamed = PrelaOptions::default();
        assert_eq!(service(&unnamed, unknown()).as_deref(), Some("unknown_service:agent"));
        assert_eq!(service(&unnamed, Resource::default()), None);
    }
}
