//! The URLs of servers, as variables and addresses name them.

use reqwest::Url;

/// Why an address is refused that has credentials, where nobody else says where they belong.
pub(super) const CREDENTIALS_IN_ADDRESS: &str =
    "credentials do not belong into an address, where every user of the machine can read them";

/// The URL of a server over HTTP, with nothing in it that has no meaning there. `credentials` says why there can be none.
pub(super) fn endpoint(text: &str, credentials: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("its scheme is neither http nor https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(credentials.to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a query or fragment has no meaning here".to_owned());
    }
    Ok(url)
}

/// The same of one to whose path others are added: of one server there is one URL, whatever ends its path.
pub(super) fn base(text: &str, credentials: &str) -> Result<Url, String> {
    let mut url = endpoint(text, credentials)?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_server_there_is_one_url() {
        for text in ["https://H.example:443/a/", "https://h.example/a", "https://h.example/a//"] {
            assert_eq!(base(text, "").unwrap().as_str(), "https://h.example/a", "{text}");
        }
        assert_eq!(endpoint("http://h/a/", "").unwrap().as_str(), "http://h/a/");
    }

    #[test]
    fn what_has_no_meaning_is_refused_with_its_reason() {
        for (text, said) in [
            ("h:80", "scheme"),
            ("ftp://h", "scheme"),
            ("http://", "empty host"),
            ("http://u@h", "nobody's"),
            ("http://:p@h", "nobody's"),
            ("http://h/?q", "query"),
            ("http://h/#", "fragment"),
            ("no url", "relative URL"),
        ] {
            let refused = base(text, "nobody's").unwrap_err();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}
