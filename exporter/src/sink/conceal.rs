//! What a server is told in confidence, and some repeat when they refuse it: "invalid API key: …".

use reqwest::header::{HeaderMap, HeaderValue};

/// A shorter value is no secret, and might stand anywhere.
const LEN_MIN: usize = 4;

/// The values of sensitive headers, and what stands behind `Bearer` in them.
pub(super) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Those of a request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let sensitive = headers.values().filter(|value| value.is_sensitive()).map(HeaderValue::as_bytes);
        let behind =
            |value: &[u8]| value.iter().position(|&byte| byte == b' ').map(|at| value[at + 1..].to_vec());
        let values = sensitive.flat_map(|value| [Some(value.to_vec()), behind(value)]).flatten();
        let mut secrets: Vec<_> = values.filter(|value| value.len() >= LEN_MIN).collect();
        // As some write them in JSON.
        let escaped = |secret: &Vec<u8>| {
            secret
                .iter()
                .flat_map(|&byte| {
                    if byte == b'/' { &b"\\/"[..] } else { std::slice::from_ref(&byte) }.to_vec()
                })
                .collect::<Vec<_>>()
        };
        secrets
            .extend(secrets.iter().filter(|secret| secret.contains(&b'/')).map(escaped).collect::<Vec<_>>());
        Secrets(secrets)
    }

    /// Overwrites them with asterisks in what a server said: as many, since what it said may have a form with lengths.
    pub(super) fn conceal(&self, said: &mut [u8]) {
        for secret in &self.0 {
            let mut rest = &mut *said;
            while let Some(at) = rest.windows(secret.len()).position(|part| part == secret) {
                let (found, behind) = rest[at..].split_at_mut(secret.len());
                found.fill(b'*');
                rest = behind;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{ACCEPT, AUTHORIZATION};

    use super::*;

    fn concealed(authorization: &'static str, said: &str) -> String {
        let mut authorization = HeaderValue::from_static(authorization);
        authorization.set_sensitive(true);
        let accept = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization), (ACCEPT, accept)]);
        let mut said = said.as_bytes().to_vec();
        Secrets::of(&headers).conceal(&mut said);
        String::from_utf8(said).unwrap()
    }

    #[test]
    fn a_secret_is_taken_out_wherever_it_stands_and_nothing_else() {
        let said = "no key abcd-1: Bearer abcd-1abcd-1, application/json, abcd";
        assert_eq!(
            concealed("Bearer abcd-1", said),
            "no key ******: *******************, application/json, abcd"
        );
        assert_eq!(concealed("abcd-1", "abcd-1"), "******");
        for text in ["", "abcd-", "Bearer"] {
            assert_eq!(concealed("Bearer abcd-1", text), text);
        }
        assert_eq!(concealed("Basic ab/c=", r#"{"no": "Basic ab\/c="}"#), r#"{"no": "************"}"#);
        assert_eq!(concealed("Bearer a", "a pear"), "a pear");
    }
}
