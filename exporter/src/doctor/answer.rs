//! What an answer means, in plain words.
//!
//! | answer | verdict | what it says to do |
//! |---|---|---|
//! | taken | ok | |
//! | taken, and the span rejected or remarked upon | warn | read the receiver's words |
//! | taken, with a web page | warn | it may be no receiver of OTLP |
//! | 3xx | fail | name the address that it redirects to |
//! | 401, 403 | fail | credentials |
//! | 404, 405 | fail | the path |
//! | 407 | fail | the proxy's credentials |
//! | 413 | fail | a limit |
//! | 400, 415, 422 and the like | fail | protocol, compression |
//! | 408, 429 | warn | nothing: an exporter waits and goes on |
//! | 5xx | fail | look at the receiver; an exporter tries again |
//! | none | fail | TLS, certificates, protocol, time limits |

use reqwest::Url;

use super::{Check, Verdict};
use crate::sink::{Outcome, Response, System};

/// What was asked over HTTP, and the response if one came.
pub(super) struct Asked<'a> {
    pub(super) url: &'a Url,
    /// Whether the path was used as it is.
    pub(super) is_whole: bool,
    pub(super) has_headers: bool,
    pub(super) response: Option<Response>,
}

/// What is known of how a receiver was asked.
pub(super) enum Known<'a> {
    /// All of it.
    Asked(&'a Asked<'a>),
    /// The system alone, if any.
    System(Option<System>),
}

/// What became of the test span, and what that means.
pub(super) fn explain(about: &str, outcome: &Outcome, known: Known<'_>) -> Check {
    let response = match known {
        Known::Asked(asked) => asked.response.as_ref(),
        Known::System(_) => None,
    };
    let reason = match outcome {
        Outcome::Delivered { rejected, message } => return delivered(about, *rejected, message, response),
        Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Parked { reason } => reason,
    };
    let (verdict, hint) = match (known, response) {
        (Known::Asked(asked), Some(response)) => (verdict(response.status), of_status(response, asked)),
        (Known::Asked(asked), None) => (Verdict::Fail, of_silence(reason, asked).to_owned()),
        (Known::System(system), _) => (Verdict::Fail, of_words(reason, system)),
    };
    let text = if hint.is_empty() { reason.clone() } else { format!("{reason}; {hint}") };
    Check::new(verdict, about, text)
}

fn delivered(about: &str, rejected: u64, message: &str, response: Option<&Response>) -> Check {
    let (verdict, text) = match (rejected, message) {
        (0, "") if response.is_some_and(|response| response.media_type == "text/html") => {
            (Verdict::Warn, "it answered with a web page, so it may be no receiver of OTLP".to_owned())
        }
        (0, "") => (Verdict::Ok, "it took a test span, spanring.doctor".to_owned()),
        (0, said) => (Verdict::Warn, format!("it took a test span, and says: {said}")),
        (_, "") => (Verdict::Warn, "it took the request, and rejected the test span in it".to_owned()),
        (_, said) => {
            (Verdict::Warn, format!("it took the request, and rejected the test span in it: {said}"))
        }
    };
    Check::new(verdict, about, text)
}

fn verdict(status: u16) -> Verdict {
    // Whoever says so has understood what it was sent.
    if matches!(status, 408 | 429) { Verdict::Warn } else { Verdict::Fail }
}

fn of_status(response: &Response, asked: &Asked<'_>) -> String {
    let path = asked.url.path();
    match response.status {
        300..400 => {
            "redirects are not followed: name the address that it redirects to, with https perhaps".into()
        }
        401 if asked.has_headers => {
            "the receiver does not take the credentials in OTEL_EXPORTER_OTLP_HEADERS".into()
        }
        401 => "the receiver wants credentials: set OTEL_EXPORTER_OTLP_HEADERS".into(),
        403 => "the credentials in OTEL_EXPORTER_OTLP_HEADERS, if any, do not allow to write traces".into(),
        404 | 405 if asked.is_whole => format!("the path {path} is not there, which is used as it is"),
        404 | 405 => {
            format!(
                "the path {path} is not there; most receivers want the base URL, since /v1/traces is added"
            )
        }
        407 => "the proxy wants credentials: name them in the variable that names the proxy".into(),
        408 | 429 => match response.retry_after {
            Some(wait) => format!("an exporter waits for {} s, as it asks, and goes on", wait.as_secs()),
            None => "an exporter waits, and goes on".into(),
        },
        413 => {
            "even one small span is too large for it: the receiver, or a proxy before it, has a limit".into()
        }
        400 | 415 | 422 => {
            "it does not understand what it is sent: OTEL_EXPORTER_OTLP_PROTOCOL=http/json or \
             OTEL_EXPORTER_OTLP_COMPRESSION=none may help"
                .into()
        }
        501 | 505 => "it does not do what it is asked to: is it a receiver of OTLP over HTTP?".into(),
        500..600 => {
            "that is the receiver's own trouble, or of a proxy before it; an exporter tries again".into()
        }
        _ => String::new(),
    }
}

/// What may be wrong where the sink knows what it was answered, and says so in words.
fn of_words(reason: &str, system: Option<System>) -> String {
    let Some(credentials) = system.map(System::credentials) else { return String::new() };
    if reason.starts_with("it answered 401") {
        format!("it does not take the credentials in {credentials}")
    } else if reason.starts_with("it answered 403") {
        format!("the credentials in {credentials} do not allow to write")
    } else {
        String::new()
    }
}

/// What may be wrong where no response came, by the words of those who say so: the TLS library and the HTTP client.
fn of_silence(reason: &str, asked: &Asked<'_>) -> &'static str {
    let hints = [
        (
            "no answer in time",
            "the receiver is slow, or something on the way swallows what is sent; OTEL_EXPORTER_OTLP_TIMEOUT says how long is waited",
        ),
        (
            "UnknownIssuer",
            "nobody that this machine trusts has signed its certificate: OTEL_EXPORTER_OTLP_CERTIFICATE names a file with who did",
        ),
        ("certificate not valid for name", "its certificate is for another name than the one in the address"),
        ("certificate expired", "its certificate has expired, or the clock of this machine is wrong"),
        (
            "certificate not valid yet",
            "its certificate is not valid yet, or the clock of this machine is wrong",
        ),
        (
            "CertificateRequired",
            "it wants a certificate of the client: set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY",
        ),
        ("InvalidContentType", "it does not speak TLS there: is the address otlp+http://?"),
        (
            "invalid HTTP version",
            "it does not speak HTTP/1.1 there: does it want TLS (otlp+https://), or is it the port of gRPC?",
        ),
    ];
    let known = hints.into_iter().find(|(words, _)| reason.contains(words));
    match known {
        Some((_, hint)) => hint,
        None if asked.url.scheme() == "http" => {
            "it takes connections and does not answer: does it want TLS (otlp+https://)?"
        }
        None => "it takes connections and does not answer over TLS",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sink::{HttpApi as _, OtlpHttp, OtlpOptions};

    fn url() -> Url {
        Url::parse("http://host:4318/base/v1/traces").unwrap()
    }

    /// What is said about an answer with this status.
    fn said(status: u16, is_whole: bool, has_headers: bool) -> (Verdict, String) {
        let response = Response { status, whole: true, ..Response::default() };
        let outcome = OtlpHttp::new(&url(), true, &OtlpOptions::default()).outcome(&response);
        let asked = Asked { url: &url(), is_whole, has_headers, response: Some(response) };
        let Check { verdict, text, .. } = explain("sink", &outcome, Known::Asked(&asked));
        (verdict, text)
    }

    #[test]
    fn every_status_is_named_and_nothing_but_success_and_patience_is_no_failure() {
        for status in 200..600 {
            let (verdict, text) = said(status, false, false);
            let expected = match status {
                200..300 => Verdict::Ok,
                408 | 429 => Verdict::Warn,
                _ => Verdict::Fail,
            };
            assert_eq!(verdict, expected, "{status}: {text}");
            assert!(status < 300 || text.starts_with(&format!("it answered {status}")), "{text}");
        }
    }

    #[test]
    fn what_users_meet_is_explained() {
        for (status, is_whole, has_headers, hint) in [
            (302, false, false, "redirects are not followed"),
            (400, false, false, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"),
            (401, false, false, "the receiver wants credentials: set OTEL_EXPORTER_OTLP_HEADERS"),
            (401, false, true, "does not take the credentials in OTEL_EXPORTER_OTLP_HEADERS"),
            (403, false, true, "do not allow to write traces"),
            (404, false, false, "the path /base/v1/traces is not there; most receivers want the base URL"),
            (404, true, false, "the path /base/v1/traces is not there, which is used as it is"),
            (405, false, false, "the path /base/v1/traces is not there"),
            (407, false, false, "the proxy wants credentials"),
            (413, false, false, "too large"),
            (429, false, false, "an exporter waits, and goes on"),
            (501, false, false, "is it a receiver of OTLP over HTTP?"),
            (503, false, false, "the receiver's own trouble"),
        ] {
            let (_, text) = said(status, is_whole, has_headers);
            assert!(text.contains(hint), "{text}");
        }
        let response =
            Response { status: 429, retry_after: Some(Duration::from_secs(7)), ..Response::default() };
        let outcome = Outcome::Retry { after: response.retry_after, reason: "it answered 429".into() };
        let asked = Asked { url: &url(), is_whole: false, has_headers: false, response: Some(response) };
        let text = explain("sink", &outcome, Known::Asked(&asked)).text;
        assert_eq!(text, "it answered 429; an exporter waits for 7 s, as it asks, and goes on");
    }

    #[test]
    fn an_answer_that_takes_the_span_and_remarks_upon_it_is_a_warning() {
        let taken = |rejected, message: &str, media_type: &str| {
            let outcome = Outcome::Delivered { rejected, message: message.into() };
            let media_type = media_type.into();
            let response = Some(Response { status: 200, media_type, ..Response::default() });
            let asked = Asked { url: &url(), is_whole: false, has_headers: false, response };
            let Check { verdict, text, .. } = explain("sink", &outcome, Known::Asked(&asked));
            (verdict, text)
        };
        assert_eq!(taken(0, "", "").0, Verdict::Ok);
        for (rejected, message, media_type, expected) in [
            (0, "", "text/html", "a web page"),
            (0, "old client", "", "says: old client"),
            (1, "", "", "rejected the test span in it"),
            (1, "too old", "", "rejected the test span in it: too old"),
        ] {
            let (verdict, text) = taken(rejected, message, media_type);
            assert_eq!(verdict, Verdict::Warn, "{text}");
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn what_a_receiver_says_stays_on_one_line() {
        let outcome = Outcome::Parked { reason: "no\n\u{1b}[31mkey".into() };
        assert_eq!(explain("sink", &outcome, Known::System(None)).text, "no  [31mkey");
    }
}
