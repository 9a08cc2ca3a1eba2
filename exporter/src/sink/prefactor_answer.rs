//! What Prefactor's answers mean.
//!
//! | answer | to the registration or start of an instance | to the creation or finish of a span |
//! |---|---|---|
//! | 2xx, with the identity of what it is about | done | done |
//! | other 2xx | parked: something else answers there | parked |
//! | 2xx that breaks off; 408, 425, 429, 5xx but 501 and 505; no answer | retry, after the wait that `Retry-After` asks for | the same |
//! | 409 with `invalid_action` | done, where it was started or finished before | done, where it was finished before |
//! | 400, 422 to a registration with schemas | rejected: it is registered again with open ones | |
//! | 400, 409, 413, 422 | parked: all spans of the process would be refused | rejected: this span would be refused again, and others may be taken |
//! | the same to a record of quality | | told: the span has the record too |
//! | any other, 401, 403 and 404 above all | parked | parked: every span would be refused |
//!
//! What an answer says beside, such as that the agent shall be stopped, means nothing here.

use reqwest::StatusCode;
use serde_json::Value as Json;

use super::{Outcome, Response};

/// What was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Register,
    /// The same with types that are open objects, as its schemas were refused.
    RegisterOpen,
    /// For an instance to be started or finished.
    Instance,
    Create,
    /// For quality to be recorded of an instance.
    Quality,
    /// For a span to be finished.
    Finish,
}

/// The identity of what was made or changed, or what became of it otherwise.
pub(super) fn read(asked: Asked, response: &Response) -> Result<String, Outcome> {
    let reason = explain(response);
    let body = || serde_json::from_slice::<Json>(&response.body).unwrap_or_default();
    let is_change = matches!(asked, Asked::Instance | Asked::Quality | Asked::Finish);
    match response.status {
        200..300 => match body()["details"]["id"].as_str() {
            Some(id) if !id.is_empty() && id.len() <= ID_LEN_MAX => Ok(id.to_owned()),
            _ if !response.whole => Err(Outcome::Retry { after: None, reason: reason + ", and broke off" }),
            _ => Err(Outcome::Parked { reason: reason + ", and named no identity, as Prefactor does" }),
        },
        409 if is_change && body()["code"] == "invalid_action" => Ok(String::new()),
        400 | 409 | 413 | 422 if matches!(asked, Asked::Create | Asked::Quality | Asked::Finish) => {
            Err(Outcome::Rejected { reason })
        }
        400 | 422 if asked == Asked::Register => Err(Outcome::Rejected { reason }),
        501 | 505 => Err(Outcome::Parked { reason }),
        408 | 425 | 429 | 500..=599 => Err(Outcome::Retry { after: response.retry_after, reason }),
        _ => Err(Outcome::Parked { reason }),
    }
}

/// No identity is longer, in bytes. Prefactor's have 32.
const ID_LEN_MAX: usize = 256;

fn explain(response: &Response) -> String {
    let name = StatusCode::from_u16(response.status).ok().and_then(|status| status.canonical_reason());
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    // An answer that is no error repeats the span.
    let said = if response.status < 300 { String::new() } else { response.excerpt() };
    match said.as_str() {
        "" => format!("it answered {}{name}", response.status),
        said => format!("it answered {}{name}: {said}", response.status),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ALL: [Asked; 6] =
        [Asked::Register, Asked::RegisterOpen, Asked::Instance, Asked::Create, Asked::Quality, Asked::Finish];

    fn response(status: u16, body: &str) -> Response {
        let retry_after = Some(Duration::from_secs(2));
        Response { status, retry_after, whole: true, body: body.into(), ..Response::default() }
    }

    fn name(read: Result<String, Outcome>) -> &'static str {
        match read {
            Ok(_) | Err(Outcome::Delivered { .. }) => "done",
            Err(Outcome::Retry { after, .. }) => {
                assert_eq!(after, Some(Duration::from_secs(2)));
                "retry"
            }
            Err(Outcome::Rejected { .. }) => "rejected",
            Err(Outcome::Parked { .. }) => "parked",
        }
    }

    #[test]
    fn every_status_means_what_the_table_says() {
        for (asked, status) in
            ALL.into_iter().flat_map(|asked| (100..=999).map(move |status| (asked, status)))
        {
            let expected = match (status, asked) {
                (200..300, _) => "done",
                (400 | 409 | 413 | 422, Asked::Create | Asked::Quality | Asked::Finish) => "rejected",
                (400 | 422, Asked::Register) => "rejected",
                (408 | 425 | 429, _) => "retry",
                (501 | 505, _) => "parked",
                (500..=599, _) => "retry",
                _ => "parked",
            };
            let response = response(status, r#"{"status": "success", "details": {"id": "x"}}"#);
            assert_eq!(name(read(asked, &response)), expected, "{status} to {asked:?}");
        }
    }

    #[test]
    fn what_was_started_or_finished_before_is_done() {
        let response = response(409, r#"{"status": "error", "code": "invalid_action", "message": "no"}"#);
        let read = ALL.map(|asked| name(read(asked, &response)));
        assert_eq!(read, ["parked", "parked", "done", "rejected", "done", "done"]);
    }

    #[test]
    fn an_answer_without_an_identity_is_not_prefactors_unless_it_broke_off() {
        for body in ["", "{", "[]", "null", "{}", r#"{"details": 1}"#, r#"{"details": {"id": ""}}"#] {
            let whole = response(200, body);
            assert_eq!(name(read(Asked::Create, &whole)), "parked", "{body}");
            let cut = Response { whole: false, ..whole };
            assert!(matches!(read(Asked::Create, &cut), Err(Outcome::Retry { after: None, .. })), "{body}");
        }
        let long = format!(r#"{{"details": {{"id": "{}"}}}}"#, "x".repeat(ID_LEN_MAX + 1));
        assert_eq!(name(read(Asked::Create, &response(200, &long))), "parked");
    }

    #[test]
    fn the_reason_says_what_the_server_said_but_for_the_span() {
        let reason = |status, body: &str| match read(Asked::Create, &response(status, body)) {
            Err(
                Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Parked { reason },
            ) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(401, "no\ntoken"), "it answered 401 Unauthorized: no token");
        assert_eq!(reason(503, ""), "it answered 503 Service Unavailable");
        assert_eq!(reason(200, "secret"), "it answered 200 OK, and named no identity, as Prefactor does");
    }
}
