//! What a program says of an OTLP receiver, over what the environment says.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};

use super::{Identity, OtlpOptions, Protocol};
use crate::otlp::Names;

impl OtlpOptions {
    /// Writes requests so.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Has attributes under these names. Files and standard output heed it too.
    #[must_use]
    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Whether requests are compressed.
    #[must_use]
    pub fn compressed(mut self, is_compressed: bool) -> Self {
        self.is_plain = !is_compressed;
        self
    }

    /// How long a request may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends these headers with each request, and no others that were said before. Their values are secrets.
    #[must_use]
    pub fn headers(mut self, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        let secret = |(name, mut value): (HeaderName, HeaderValue)| {
            value.set_sensitive(true);
            (name, value)
        };
        self.headers = headers.into_iter().map(secret).collect();
        self
    }

    /// Trusts who is in this file of PEM, in place of the system's roots.
    #[must_use]
    pub fn certificate(mut self, certificate: PathBuf) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Proves itself by these files of PEM.
    #[must_use]
    pub fn identity(mut self, certificate: PathBuf, key: PathBuf) -> Self {
        self.identity = Some(Identity { certificate, key });
        self
    }
}
