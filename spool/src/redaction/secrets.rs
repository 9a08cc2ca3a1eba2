//! Patterns of well-known secrets.
//!
//! A pattern is as narrow as what it is for allows: a prefix that its provider gives, and the letters and the length behind it. Where only
//! words around a secret tell it, a check looks at what it is. None of them goes back over what it has matched.

use super::Patterns;

/// A pattern, and what its match must be beside.
pub(super) type Known = (&'static str, fn(&str) -> bool);

/// Passwords, tokens and keys.
pub(super) const SECRETS: &[Known] = &[
    // OpenAI, Anthropic, DeepSeek, OpenRouter and those who write keys as they do.
    (r"(?-u:\b)sk-[A-Za-z0-9_-]{20,}", has_digit),
    // xAI, Groq, Perplexity, NVIDIA, Replicate, Hugging Face, Tavily, LangSmith, Databricks.
    (r"(?-u:\b)(?:xai|pplx|nvapi|tvly)-[A-Za-z0-9_-]{24,}", has_digit),
    (r"(?-u:\b)(?:gsk|r8|hf|fw|csk)_[A-Za-z0-9]{20,}", has_digit),
    (r"(?-u:\b)lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}", any),
    (r"(?-u:\b)dapi[a-f0-9]{32}(?-u:\b)", any),
    // Google: keys, and OAuth tokens and secrets.
    (r"(?-u:\b)AIza[A-Za-z0-9_-]{35}", any),
    (r"(?-u:\b)ya29\.[A-Za-z0-9_-]{20,}", any),
    (r"(?-u:\b)GOCSPX-[A-Za-z0-9_-]{20,}", any),
    // AWS: identities of keys; the keys themselves are told by what is before them.
    (r"(?-u:\b)(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?-u:\b)", any),
    (
        r#"(?i)aws.{0,20}?(?:secret|key)[a-z_. -]{0,20}["'\\]{0,4}[ \t]*[:=][ \t]*["'\\]{0,4}(?<secret>[a-z0-9/+]{40})(?-u:\b)"#,
        any,
    ),
    // GitHub, GitLab, npm, PyPI, crates.io.
    (r"(?-u:\b)gh[pousr]_[A-Za-z0-9]{36,}", any),
    (r"(?-u:\b)github_pat_[A-Za-z0-9_]{22,}", any),
    (r"(?-u:\b)gl(?:pat|ptt|dt|rt|cbt|soat)-[A-Za-z0-9_.-]{20,}", any),
    (r"(?-u:\b)npm_[A-Za-z0-9]{36}", any),
    (r"(?-u:\b)pypi-[A-Za-z0-9_-]{50,}", any),
    (r"(?-u:\b)cio[A-Za-z0-9]{32}(?-u:\b)", has_digit),
    // Slack, Stripe, SendGrid, Twilio, DigitalOcean, Shopify, Telegram.
    (r"(?-u:\b)xox[abeprs]-[A-Za-z0-9-]{10,}", has_digit),
    (r"(?-u:\b)xapp-[0-9]-[A-Za-z0-9-]{20,}", any),
    (r"hooks\.slack\.com/(?:services|workflows)/(?<secret>[A-Za-z0-9/]{20,})", any),
    (r"(?-u:\b)(?:sk|rk|whsec)_(?:live_|test_|)[A-Za-z0-9]{16,}", has_digit),
    (r"(?-u:\b)SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}", any),
    (r"(?-u:\b)SK[a-f0-9]{32}(?-u:\b)", any),
    (r"(?-u:\b)do[opr]_v1_[a-f0-9]{64}", any),
    (r"(?-u:\b)shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}", any),
    (r"(?-u:\b)[0-9]{8,10}:AA[A-Za-z0-9_-]{33}", any),
    // What authorizes a request.
    (r"(?i)(?-u:\b)bearer[ \t]+(?<secret>[a-z0-9._~+/-]{12,}=*)", has_digit),
    (
        r#"(?i)authorization["'\\]{0,4}[ \t]*[:=][ \t]*["'\\]{0,4}(?:basic|bearer|digest|token|apikey)[ \t]+(?<secret>[^\s"'\\,;]+)"#,
        any,
    ),
    // JSON web tokens: what begins as `{"` does in base64, twice.
    (r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?", any),
    // To the end of the text where the key is cut.
    (
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.)*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)",
        any,
    ),
    // A password in a URL.
    (r#"(?i)(?-u:\b)[a-z][a-z0-9+.-]{0,30}://[^\s/:@"']{0,200}:(?<secret>[^\s/@"']{1,400})@"#, any),
    // What is assigned: `password=…`, `"api_key": "…"`, and the same within a text that is quoted itself.
    (
        r#"(?i)(?:password|passwd|passphrase|secret|(?:api|access|private|signing|encryption)[_-]?key|(?:access|refresh|auth|bearer|session)[_-]?token)\\{0,3}["']?[ \t]*[:=][ \t]*(?<secret>"(?:[^"\\]|\\(?s:.))*(?:"|\z)|\\{1,3}"[^"]*(?:"|\z)|'[^']*(?:'|\z)|[^\s"'\\,;&}\])]+)"#,
        is_worth_hiding,
    ),
];

/// Addresses of e-mail.
pub(super) const EMAILS: &[Known] = &[(
    r"(?i)[a-z0-9][a-z0-9._%+'-]{0,63}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,8}\.[a-z]{2,24}(?-u:\b)",
    any,
)];

/// Numbers of payment cards.
pub(super) const CARD_NUMBERS: &[Known] =
    &[(r"(?-u:\b)(?:[25][1-7]|3[04-9]|4[0-9]|6[0-9])(?:[ -]?[0-9]){11,17}(?-u:\b)", is_card_number)];

/// Compiles patterns of this file.
pub(super) fn known(patterns: &[Known]) -> Patterns {
    Patterns::checked(patterns.iter().copied()).expect("each pattern of this file is compiled by its tests")
}

fn any(_: &str) -> bool {
    true
}

/// Words have none: `sk-` is an end of `task-` and a beginning of `sk-learn-pipelines` too.
fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Not what says that there is nothing, or that it was replaced already.
fn is_worth_hiding(text: &str) -> bool {
    let bare = text.trim_matches(['"', '\'', '\\']);
    let says_nothing = ["null", "none", "true", "false", "undefined", "[redacted", "[redacted]"];
    !bare.is_empty() && !says_nothing.iter().any(|nothing| bare.eq_ignore_ascii_case(nothing))
}

/// Whether the check digit is right, as Luhn has it.
fn is_card_number(text: &str) -> bool {
    let digits = text.bytes().rev().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { digit } else { 2 * digit / 10 + 2 * digit % 10 })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use spanring::redaction::RedactText;

    use super::*;

    /// `length` letters and digits that mean nothing.
    fn random(length: usize) -> String {
        "k3Jx9QpLm2Zr7Tn5Vb8Wc1Yd4Hg6Sf0".chars().cycle().take(length).collect()
    }

    fn hex(length: usize) -> String {
        "9f86d081884c7d659a2feaa0c55ad015".chars().cycle().take(length).collect()
    }

    /// Examples, put together here, as a scanner of this code would take them for secrets.
    fn examples() -> Vec<String> {
        let mut examples = Vec::new();
        for (prefix, length) in [
            ("sk-", 48),
            ("sk-proj-", 60),
            ("sk-ant-api03-", 90),
            ("sk-or-v1-", 64),
            ("xai-", 80),
            ("pplx-", 48),
            ("nvapi-", 64),
            ("tvly-", 32),
            ("gsk_", 52),
            ("r8_", 37),
            ("hf_", 34),
            ("AIza", 35),
            ("ya29.", 40),
            ("GOCSPX-", 28),
            ("ghp_", 36),
            ("gho_", 36),
            ("ghs_", 36),
            ("github_pat_", 82),
            ("glpat-", 20),
            ("npm_", 36),
            ("pypi-", 160),
            ("cio", 32),
            ("xoxb-", 50),
            ("xapp-1-", 60),
            ("sk_live_", 24),
            ("rk_test_", 24),
            ("whsec_", 32),
            ("https://hooks.slack.com/services/T01/B02/", 24),
            ("Bearer ", 40),
            ("Authorization: Token ", 12),
            ("authorization=Basic ", 10),
            ("{\"Authorization\": \"Bearer ", 9),
            ("password=", 5),
            ("api_key: ", 12),
            ("client_secret=", 20),
            ("X-Api-Key: ", 20),
            ("{\"password\": \"", 9),
            ("{\\\"password\\\": \\\"", 9),
            ("access_token='", 20),
            ("passwd : ", 6),
        ] {
            examples.push(prefix.to_owned() + &random(length));
        }
        for (prefix, length) in [("dapi", 32), ("SK", 32), ("dop_v1_", 64), ("shpat_", 32)] {
            examples.push(prefix.to_owned() + &hex(length));
        }
        examples.push(format!("lsv2_pt_{}_{}", hex(32), hex(10)));
        examples.push(format!("AKIA{}", "J7Q2ZP5MXN4RTB6V"));
        examples.push(format!("aws_secret_access_key = {}", random(40)));
        examples.push(format!("SG.{}.{}", random(22), random(43)));
        examples.push(format!("123456789:AA{}", random(33)));
        examples.push(format!("eyJ{}.eyJ{}.{}", random(30), random(60), random(43)));
        examples.push(format!("postgres://shop:{}@db.internal:5432/shop", random(12)));
        for kind in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "] {
            let key = (0..9).map(|_| random(64) + "\n").collect::<String>();
            examples.push(format!("-----BEGIN {kind}PRIVATE KEY-----\n{key}-----END {kind}PRIVATE KEY-----"));
            examples.push(format!("-----BEGIN {kind}PRIVATE KEY-----\n{key}"));
        }
        examples
    }

    #[test]
    fn secrets_are_found_within_any_text_and_nothing_of_them_is_left() {
        let patterns = Patterns::secrets();
        let meaningless = [random(31), hex(32)];
        let parts = || meaningless.iter().flat_map(|all| (0..all.len() - 6).map(|at| &all[at..at + 6]));
        for example in examples() {
            for text in [format!("before {example}"), format!("(é{example}, after\nmore")] {
                let shown = patterns.redact("", &text);
                assert!(shown.contains("[redacted]"), "{text}");
                assert!(parts().all(|part| !shown.contains(part)), "{text} leaves {shown}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_secret_is_left() {
        let patterns = Patterns::secrets();
        for text in [
            "task-0123456789012345678901234",
            "sk-learn-preprocessing-pipelines",
            "sk-short1",
            "a risk-averse person 2020",
            "the bearer responsibilities of 2020",
            "bearer of bad news",
            "basic internationalization",
            "AKIA",
            "AKIA0000",
            "eyJ is how it begins",
            "eyJhbGciOi.not",
            "-----BEGIN PUBLIC KEY-----\nMIIB",
            "-----BEGIN CERTIFICATE-----\nMIIB",
            "https://example.com:8080/path@2",
            "http://[::1]:4318/v1/traces",
            "mailto:someone@example.com",
            "user@host:22",
            "password: null",
            "\"secret\": \"\"",
            "\"api_key\": \"[redacted]\"",
            "the secret of success",
            "max_tokens: 100",
            "passwords are bad",
            "hf_model",
            "npm_config_cache",
            "12:30:45",
            "0123456789abcdef0123456789abcdef",
            "span 4bf92f3577b34da6a3ce929d0e0e4736",
            "session_token_count=",
            "Skeletons",
            "SK123",
            "SG.short.short",
        ] {
            assert!(
                matches!(patterns.redact("", text), Cow::Borrowed(_)),
                "{text}: {}",
                patterns.redact("", text)
            );
        }
    }

    #[test]
    fn what_is_around_a_secret_stays() {
        let patterns = Patterns::secrets();
        for (text, expected) in [
            (
                r#"{"user": "u7", "password": "p \"quoted\" w", "n": 1}"#,
                r#"{"user": "u7", "password": [redacted], "n": 1}"#,
            ),
            (r#"{\"password\": \"pw\", \"n\": 1}"#, r#"{\"password\": [redacted], \"n\": 1}"#),
            ("GET /?api_key=abc&page=2", "GET /?api_key=[redacted]&page=2"),
            ("Authorization: Bearer abcdef012345, retry", "Authorization: Bearer [redacted], retry"),
            ("postgres://shop:pw@db/shop", "postgres://shop:[redacted]@db/shop"),
            ("connect: password='it is', refused", "connect: password=[redacted], refused"),
        ] {
            assert_eq!(patterns.redact("", text), expected);
        }
    }

    #[test]
    fn addresses_of_e_mail_are_found_and_what_only_has_an_at_is_left() {
        let patterns = Patterns::emails();
        for address in
            ["a@b.de", "first.last+tag@mail.example.co.uk", "O'Brien@Example.COM", "x_1%y@sub-domain.example"]
        {
            for text in [
                address.to_owned(),
                format!("<{address}>"),
                format!("mail {address}. Then"),
                format!("é{address}é"),
            ] {
                let shown = patterns.redact("", &text);
                assert!(shown.contains("[redacted]") && !shown.contains('@'), "{text}: {shown}");
            }
        }
        for text in
            ["@handle", "a@b", "user@localhost", "a @ b.de", "x@.de", "crate@1.2.3", "@scope/package.json"]
        {
            assert!(matches!(patterns.redact("", text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn numbers_of_cards_are_found_by_their_check_digit() {
        let patterns = Patterns::card_numbers();
        for number in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5555555555554444",
            "378282246310005",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
            "2223003122003222",
            "4222222222222",
        ] {
            assert_eq!(patterns.redact("", number), "[redacted]", "{number}");
            assert_eq!(patterns.redact("", &format!("card {number}, ok")), "card [redacted], ok");
        }
        for text in [
            "4111111111111112",
            "1700000000000000000",
            "0000000000000000",
            "411111111111",
            "41111111111111111111",
            "x4111111111111111",
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "2026-11-20 14:33:44",
            "+49 170 1234567",
        ] {
            assert!(matches!(patterns.redact("", text), Cow::Borrowed(_)), "{text}");
        }
    }
}
