//! The addresses of OpenAI's traces: `openai`, or a server in its place.

use reqwest::Url;

use crate::sink::endpoint;

/// The scheme, and the whole address of OpenAI itself.
pub(in crate::sink) const SCHEME: &str = "openai";

/// Reads the address of a server: `openai+https://HOST[:PORT][/BASE]`, or the same with `http`. Of one server there is one URL, whatever ends its path.
pub(in crate::sink) fn parse(address: &str) -> Result<Url, String> {
    let http = address.strip_prefix("openai+").unwrap_or(address);
    endpoint::base(http, "the key belongs into OPENAI_API_KEY, and not into an address")
}

/// OpenAI itself.
pub(in crate::sink) fn openai() -> Url {
    Url::parse(super::DEFAULT).expect("it is a URL, as a test shows")
}

/// The address in canonical form.
pub(in crate::sink) fn canonical(url: &Url) -> String {
    format!("{SCHEME}+{}", url.as_str().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::SinkAddress;

    #[test]
    fn an_address_has_one_canonical_text_which_is_an_address_again() {
        let canonical = |address: &str| address.parse::<SinkAddress>().unwrap().to_string();
        for (address, expected) in [
            ("openai", "openai+https://api.openai.com"),
            ("openai+https://API.openai.com:443/", "openai+https://api.openai.com"),
            ("openai+https://host/base//", "openai+https://host/base"),
            ("openai+http://LocalHost:80", "openai+http://localhost"),
            ("openai+http://127.0.0.1:8080", "openai+http://127.0.0.1:8080"),
            ("openai+http://[::1]:1/b", "openai+http://[::1]:1/b"),
        ] {
            assert_eq!(canonical(address), expected);
            assert_eq!(canonical(expected), expected);
        }
        assert_eq!("openai".parse::<SinkAddress>().unwrap(), SinkAddress::OpenAi { url: openai() });
    }

    #[test]
    fn an_address_that_is_none_is_named_with_the_reason_and_without_what_may_be_secret() {
        let wrong = |address: &str| address.parse::<SinkAddress>().unwrap_err().to_string();
        for (address, shown, reason) in [
            ("openai+https://secret@h", "openai+https://…@h", "the key belongs into OPENAI_API_KEY"),
            ("openai+https:secret@h", "openai+https:…@h", "the key belongs into OPENAI_API_KEY"),
            ("openai+http://h?key=secret", "openai+http://h…", "a query or fragment has no meaning"),
            ("openai+http://h#secret", "openai+http://h…", "a query or fragment has no meaning"),
            ("openai+https://", "openai+https://", "empty host"),
            ("openai+ftp://h", "openai+ftp://h", "no sink has such a scheme"),
            ("openai:x", "openai:x", "no sink has such a scheme"),
        ] {
            let message = wrong(address);
            assert!(!message.contains("secret"), "{message}");
            assert!(message.contains(&format!("{shown:?}")) && message.contains(reason), "{message}");
        }
    }
}
