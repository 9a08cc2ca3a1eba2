//! The addresses of SpanForge's sinks.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;

use crate::sink::address::file_path;
use crate::sink::endpoint::{CREDENTIALS_IN_ADDRESS, endpoint};
use crate::sink::http::is_loopback;

/// What is added to the base URL of SpanForge's cloud.
pub(super) const EVENTS: &str = "/v1/events";

/// Where SpanForge's events go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SpanForgeAddress {
    /// SpanForge's cloud.
    Cloud {
        /// Its base URL: `/v1/events` is added to its path.
        url: Url,
        /// Whether nothing is added, and the path is used as it is. In text, a `#` behind it says so.
        is_whole: bool,
    },
    /// Whoever listens at this URL.
    Webhook(Url),
    /// A file of lines, by its absolute path.
    File(PathBuf),
}

impl SpanForgeAddress {
    /// What the sink is called that SpanForge's variables name.
    pub(in crate::sink) const OF_ENVIRONMENT: &str = "spanforge";

    /// Reads an address. `None` for one that is another sink's.
    pub(in crate::sink) fn parse(address: &str) -> Option<Result<Self, String>> {
        let (scheme, rest) = address.split_once(':')?;
        Some(match scheme {
            "spanforge+http" | "spanforge+https" => cloud(address),
            "spanforge-webhook+http" | "spanforge-webhook+https" => webhook(address),
            "spanforge-file" => file_path(rest).map(SpanForgeAddress::File).map_err(str::to_owned),
            _ => return None,
        })
    }

    /// SpanForge's cloud at this endpoint, which is a whole URL. Of one server there is one address, however it is written.
    pub(super) fn cloud_at(mut url: Url, is_whole: bool) -> Self {
        let path = match (url.path().strip_suffix(EVENTS), is_whole) {
            (Some(base), true) => base.to_owned(),
            (None, true) => return SpanForgeAddress::Cloud { url, is_whole: true },
            (_, false) => url.path().trim_end_matches('/').to_owned(),
        };
        url.set_path(&path);
        SpanForgeAddress::Cloud { url, is_whole: false }
    }
}

impl fmt::Display for SpanForgeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpanForgeAddress::Cloud { url, is_whole: true } => write!(f, "spanforge+{url}#"),
            SpanForgeAddress::Cloud { url, is_whole: false } => {
                write!(f, "spanforge+{}", url.as_str().trim_end_matches('/'))
            }
            SpanForgeAddress::Webhook(url) => write!(f, "spanforge-webhook+{url}"),
            SpanForgeAddress::File(path) => write!(f, "spanforge-file:{}", path.display()),
        }
    }
}

fn cloud(address: &str) -> Result<SpanForgeAddress, String> {
    let text = address.trim_start_matches("spanforge+");
    let (text, is_whole) = text.strip_suffix('#').map_or((text, false), |text| (text, true));
    let url = endpoint(text, CREDENTIALS_IN_ADDRESS)?;
    keeps_key(&url)?;
    Ok(SpanForgeAddress::cloud_at(url, is_whole))
}

fn webhook(address: &str) -> Result<SpanForgeAddress, String> {
    let url = endpoint(address.trim_start_matches("spanforge-webhook+"), CREDENTIALS_IN_ADDRESS)?;
    Ok(SpanForgeAddress::Webhook(url))
}

/// Whether nobody reads the key on its way there.
pub(super) fn keeps_key(url: &Url) -> Result<(), String> {
    match url.scheme() == "https" || is_loopback(url) {
        true => Ok(()),
        false => Err("the key would go there in the clear; https is needed but for this machine".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(address: &str) -> String {
        SpanForgeAddress::parse(address).unwrap().unwrap().to_string()
    }

    #[test]
    fn an_address_has_one_canonical_text_which_is_an_address_again() {
        let cases = [
            ("spanforge+https://Ingest.Example", "spanforge+https://ingest.example"),
            ("spanforge+https://h:443/", "spanforge+https://h"),
            ("spanforge+https://h/base/", "spanforge+https://h/base"),
            ("spanforge+https://h/v1/events#", "spanforge+https://h"),
            ("spanforge+https://h/base/v1/events#", "spanforge+https://h/base"),
            ("spanforge+https://h/other/#", "spanforge+https://h/other/#"),
            ("spanforge+http://127.0.0.1:80", "spanforge+http://127.0.0.1"),
            ("spanforge+http://localhost:8080", "spanforge+http://localhost:8080"),
            ("spanforge-webhook+https://h", "spanforge-webhook+https://h/"),
            ("spanforge-webhook+http://h:80/Hook/", "spanforge-webhook+http://h/Hook/"),
            ("spanforge-file:///d/events.jsonl", "spanforge-file:/d/events.jsonl"),
        ];
        for (address, text) in cases {
            assert_eq!(canonical(address), text);
            assert_eq!(canonical(text), text);
        }
    }

    #[test]
    fn an_address_that_is_none_says_why() {
        let cases = [
            ("spanforge+http://h", "in the clear"),
            ("spanforge+http://10.0.0.1", "in the clear"),
            ("spanforge+https://", "empty host"),
            ("spanforge+https://k@h", "credentials do not belong"),
            ("spanforge+https://h?k=v", "a query or fragment"),
            ("spanforge-webhook+https://h/x#", "a query or fragment"),
            ("spanforge-webhook+https://h/x?token=t", "a query or fragment"),
            ("spanforge-file:", "it names no file"),
            ("spanforge-file:/d/", "it names no file"),
        ];
        for (address, reason) in cases {
            let told = SpanForgeAddress::parse(address).unwrap().unwrap_err();
            assert!(told.contains(reason), "{address}: {told}");
        }
        for other in ["spanforge", "spanforge:x", "file:x", "otlp+http://h", "spanforge+ftp://h"] {
            assert_eq!(SpanForgeAddress::parse(other), None, "{other}");
        }
    }
}
