//! What Prefactor's answers mean.
//!
//! | answer | to the registration, start or finish of an instance | to the creation or finish of a span |
//! |---|---|---|
//! | 2xx, with the identity of what it is about | done | done |
//! | other 2xx | parked: something else answers there | parked |
//! | 2xx that breaks off; 408, 425, 429, 5xx but 501 and 505; no answer | retry, after the wait that `Retry-After` asks for | the same |
//! | 409 with `invalid_action` | done, where it was started before | done, where it was finished before |
//! | 409 | done, where it was finished before, or terminated | |
//! | 400, 422 to a registration with schemas | rejected: it is registered again with open ones | |
//! | 400, 409, 413, 422 to one with another version of them | rejected: the types that it was to declare are not | |
//! | 400, 404, 413, 422 to a finish | told: nothing more comes of the process | |
//! | 400, 409, 413, 422 | parked: all spans of the process would be refused | rejected: this span would be refused again, and others may be taken |
//! | the same, or 404, to a record of quality | | told: the span has the record too |
//! | 404 to a finish | | rejected: the server has forgotten this span, and others may be taken |
//! | any other, 401, 403 and 404 above all | parked | parked: every span would be refused |
//!
//! An answer to the creation or finish of a span may say beside that the agent is to stop: `control.terminate`, with a `reason`.

use reqwest::StatusCode;
use serde_json::Value as Json;

use super::http::excerpt;
use super::{Outcome, Response};

/// What was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Register,
    /// The same with types that are open objects, as its schemas were refused.
    RegisterOpen,
    /// The same with types that turned up later.
    RegisterLater,
    /// For an instance to be started.
    Start,
    /// For an instance to be finished.
    Over,
    Create,
    /// For quality to be recorded of an instance.
    Quality,
    /// For a span to be finished.
    Finish,
}

/// What an answer that is none of failure says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Answered {
    /// The identity of what was made or changed; empty where it had been changed before.
    pub(super) id: String,
    /// Whether it is a span that runs.
    pub(super) is_active: bool,
    /// Why the agent is to stop, if it is.
    pub(super) termination: Option<String>,
}

/// The identity of what was made or changed, or what became of it otherwise.
pub(super) fn read(asked: Asked, response: &Response) -> Result<Answered, Outcome> {
    let reason = explain(response);
    let body = || serde_json::from_slice::<Json>(&response.body).unwrap_or_default();
    let is_change = matches!(asked, Asked::Start | Asked::Finish);
    match response.status {
        200..300 => match named(asked, &body()) {
            Some(answered) => Ok(answered),
            None if !response.whole => {
                Err(Outcome::Retry { after: None, reason: reason + ", and broke off" })
            }
            None => Err(Outcome::Parked { reason: reason + ", and named no identity, as Prefactor does" }),
        },
        409 if asked == Asked::Over || is_change && body()["code"] == "invalid_action" => {
            Ok(unnamed(asked, &body()))
        }
        400 | 404 | 413 | 422 if asked == Asked::Over => Err(Outcome::Rejected { reason }),
        // It has forgotten the span or knows no such records, and others may be taken.
        404 if matches!(asked, Asked::Quality | Asked::Finish) => Err(Outcome::Rejected { reason }),
        400 | 422 if asked == Asked::Register => Err(Outcome::Rejected { reason }),
        400 | 409 | 413 | 422 if asked == Asked::RegisterLater => Err(Outcome::Rejected { reason }),
        400 | 409 | 413 | 422 if matches!(asked, Asked::Create | Asked::Quality | Asked::Finish) => {
            Err(Outcome::Rejected { reason })
        }
        _ => Err(failure(response)),
    }
}

/// What a failure means, whatever was asked.
pub(super) fn failure(response: &Response) -> Outcome {
    let reason = explain(response);
    match response.status {
        501 | 505 => Outcome::Parked { reason },
        408 | 425 | 429 | 500..=599 => Outcome::Retry { after: response.retry_after, reason },
        _ => Outcome::Parked { reason },
    }
}

/// What is said of what was asked, if it names an identity.
pub(super) fn named(asked: Asked, body: &Json) -> Option<Answered> {
    let id = body["details"]["id"].as_str().filter(|id| !id.is_empty() && id.len() <= ID_LEN_MAX)?;
    Some(Answered { id: id.to_owned(), ..unnamed(asked, body) })
}

/// The same without one.
pub(super) fn unnamed(asked: Asked, body: &Json) -> Answered {
    let is_active = body["details"]["status"] == "active";
    Answered { id: String::new(), is_active, termination: wanted(asked, body) }
}

/// Why the agent is to stop, if the answer to a request about a span says so.
pub(super) fn wanted(asked: Asked, body: &Json) -> Option<String> {
    let control = &body["control"];
    let is_wanted = matches!(asked, Asked::Create | Asked::Finish) && control["terminate"] == true;
    is_wanted.then(|| excerpt(control["reason"].as_str().unwrap_or_default()))
}

/// Why an instance was terminated, if the answer to the question for it says that it was.
pub(super) fn terminated(response: &Response) -> Option<String> {
    let body: Json = serde_json::from_slice(&response.body).ok()?;
    let details = &body["details"];
    let is_terminated = response.status == 200 && details["status"] == "terminated";
    is_terminated.then(|| excerpt(details["termination_reason"].as_str().unwrap_or_default()))
}

/// No identity is longer, in bytes. Prefactor's have 32.
pub(super) const ID_LEN_MAX: usize = 256;

/// What was answered, for a person, without what a span says.
pub(super) fn explain(response: &Response) -> String {
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

    const ALL: [Asked; 8] = [
        Asked::Register,
        Asked::RegisterOpen,
        Asked::RegisterLater,
        Asked::Start,
        Asked::Over,
        Asked::Create,
        Asked::Quality,
        Asked::Finish,
    ];

    fn response(status: u16, body: &str) -> Response {
        let retry_after = Some(Duration::from_secs(2));
        Response { status, retry_after, whole: true, body: body.into(), ..Response::default() }
    }

    fn name(read: Result<Answered, Outcome>) -> &'static str {
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
                (409, Asked::Over) => "done",
                (400 | 404 | 413 | 422, Asked::Over) => "rejected",
                (400 | 409 | 413 | 422, Asked::Create | Asked::Quality | Asked::Finish) => "rejected",
                (400 | 422, Asked::Register) => "rejected",
                (400 | 409 | 413 | 422, Asked::RegisterLater) => "rejected",
                (404, Asked::Quality | Asked::Finish) => "rejected",
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
        assert_eq!(read, ["parked", "parked", "rejected", "done", "done", "rejected", "rejected", "done"]);
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
    fn an_answer_about_a_span_may_say_that_the_agent_is_to_stop_and_a_short_reason_on_one_line() {
        let said = |asked, status, control: &str| {
            let body =
                format!(r#"{{"code": "invalid_action", "details": {{"id": "x"}}, "control": {control}}}"#);
            read(asked, &response(status, &body)).map(|answered| answered.termination)
        };
        let stop = r#"{"terminate": true, "reason": "operator\nstop"}"#;
        for (asked, status) in [(Asked::Create, 200), (Asked::Finish, 200), (Asked::Finish, 409)] {
            assert_eq!(said(asked, status, stop), Ok(Some("operator stop".to_owned())), "{asked:?}");
        }
        for asked in [Asked::Register, Asked::Start, Asked::Over, Asked::Quality] {
            assert_eq!(said(asked, 200, stop), Ok(None));
        }
        let long = format!(r#"{{"terminate": true, "reason": "{}"}}"#, "x".repeat(10_000));
        assert_eq!(said(Asked::Create, 200, &long).unwrap().unwrap().chars().count(), 201);
        for without_reason in [r#"{"terminate": true}"#, r#"{"terminate": true, "reason": 1}"#] {
            assert_eq!(said(Asked::Create, 200, without_reason), Ok(Some(String::new())));
        }
        for other in ["null", "true", "{}", "[]", r#"{"terminate": "true"}"#, r#"{"terminate": false}"#] {
            assert_eq!(said(Asked::Create, 200, other), Ok(None), "{other}");
        }
    }

    #[test]
    fn an_instance_is_terminated_where_its_status_says_so() {
        let said =
            |status, details: &str| terminated(&response(status, &format!(r#"{{"details": {details}}}"#)));
        let stopped = r#"{"status": "terminated", "termination_reason": "why"}"#;
        assert_eq!(said(200, stopped), Some("why".to_owned()));
        assert_eq!(said(500, stopped), None);
        assert_eq!(said(200, r#"{"status": "terminated", "termination_reason": null}"#), Some(String::new()));
        assert_eq!(said(200, r#"{"status": "active"}"#), None);
        assert_eq!(terminated(&response(200, "terminated")), None);
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
