//! Bulk requests: what of several spans is created or finished by one.
//!
//! Items are as another public client of Prefactor's sends them to its service: what creates a span has its `details`, what finishes one has its fields
//! flat. The server does one after the other, each for itself, and stops at the first that fails.
//!
//! | answer | |
//! |---|---|
//! | 2xx with `outputs`, an item's of which is a `success`, with an identity where a span was created | done |
//! | its output is an `error` | it is sent by itself, and is what the answer to that says |
//! | its output is anything else | retry |
//! | it has none | it is sent again at once, with the next ones; retry where none has one |
//! | other 2xx | parked: something else answers there; retry where it breaks off |
//! | 404, 405, 501 | nothing is sent in bulk any more |
//! | 400, 409, 413, 422 | sent again in halves. What is alone is sent by itself, and where the server takes it so, nothing is sent in bulk any more |
//! | any other | as to other requests |
//!
//! An output may say beside that the agent is to stop, and so may the answer as a whole.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json, json};

use super::super::prefactor_answer::{self, Answered, Asked};
use super::super::{Outcome, Response};
use super::request::Request;
use super::told::Step;

/// How many items a request has at most: Prefactor does not say how many it takes.
pub(super) const ITEMS_MAX: usize = 100;

const KEY: &str = "idempotency_key";

/// What is not encoded in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The body that asks for all of these.
pub(super) fn body(requests: &[Request]) -> Json {
    json!({"items": requests.iter().map(item).collect::<Vec<_>>()})
}

/// The key of a request, which is within its details or beside them.
fn key(request: &Request) -> &str {
    let places = [&request.body[KEY], &request.body["details"][KEY]];
    places.into_iter().find_map(Json::as_str).unwrap_or_default()
}

fn item(request: &Request) -> Json {
    let mut item = request.body.clone();
    if let Some(details) = item.get_mut("details").and_then(Json::as_object_mut) {
        details.remove(KEY);
    }
    item[KEY] = key(request).into();
    item["method"] = "POST".into();
    if request.step == Step::Finish {
        let id = utf8_percent_encode(&request.id, SEGMENT);
        item["_type"] = "agent_spans/finish".into();
        item["path"] = format!("/api/v1/agent_spans/{id}/finish").into();
        item["agent_span_id"] = (*request.id).into();
    } else {
        item["_type"] = "agent_spans/create".into();
        item["path"] = "/api/v1/agent_spans".into();
    }
    item
}

/// What an answer says.
#[derive(Debug)]
pub(super) enum Answer {
    Outputs(Outputs),
    /// It does not know such requests.
    Unknown {
        reason: String,
    },
    /// Not all of them at once.
    Refused {
        reason: String,
    },
    Failed(Outcome),
    /// It came too late, or broke off.
    Unanswered(Outcome),
}

/// What was said of each item.
#[derive(Debug)]
pub(super) struct Outputs {
    by_key: Map<String, Json>,
    /// Why the agent is to stop, if it is.
    pub(super) termination: Option<String>,
}

/// What was said of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Output {
    /// Nothing, as it was not looked at.
    Absent,
    Done(Answered),
    Error,
    /// What makes no sense.
    Unusable,
}

pub(super) fn read(response: &Response) -> Answer {
    let reason = prefactor_answer::explain(response);
    match response.status {
        200..300 => {
            let mut body = serde_json::from_slice::<Json>(&response.body).unwrap_or_default();
            let termination = prefactor_answer::wanted(Asked::Create, &body);
            match body.get_mut("outputs").map(Json::take) {
                Some(Json::Object(by_key)) => Answer::Outputs(Outputs { by_key, termination }),
                _ if !response.whole => {
                    Answer::Unanswered(Outcome::Retry { after: None, reason: reason + ", and broke off" })
                }
                _ => Answer::Outputs(Outputs { by_key: Map::new(), termination }),
            }
        }
        404 | 405 | 501 => Answer::Unknown { reason },
        400 | 409 | 413 | 422 => Answer::Refused { reason },
        408 | 504 => Answer::Unanswered(prefactor_answer::failure(response)),
        _ => Answer::Failed(prefactor_answer::failure(response)),
    }
}

impl Outputs {
    /// What was said of a request.
    pub(super) fn of(&self, request: &Request) -> Output {
        let Some(said) = self.by_key.get(key(request)) else { return Output::Absent };
        match said["status"].as_str() {
            Some("error") => Output::Error,
            Some("success") => match (prefactor_answer::named(request.asked(), said), request.asked()) {
                (Some(answered), _) => Output::Done(answered),
                (None, Asked::Finish) => Output::Done(prefactor_answer::unnamed(Asked::Finish, said)),
                (None, _) => Output::Unusable,
            },
            _ => Output::Unusable,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use spanring_spool::{RecorderId, Resource, SpanData};

    use super::super::told::{Place, Told};
    use super::*;
    use crate::prefactor::{Agent, Contents};
    use crate::sink::tests::span;

    /// What creates and finishes spans, in either mode.
    fn requests() -> Vec<Request> {
        let instance = Agent::default().instance(&RecorderId::from_parts(1, 2), &Resource::named("shop"));
        let place =
            Place { instance: &instance, instance_id: "the instance", contents: &Contents::default() };
        let [one, two] = [span(1), span(2)];
        let started = SpanData { is_open: true, ..two.clone() };
        let told = [Told::whole(&one), Told::ended(&two, Some(&started), false)];
        let created = Answered { id: "a/b c".to_owned(), ..Answered::default() };
        let mut requests = Vec::new();
        for told in &told {
            let there = told.created(&created);
            let body = told.create(Some("its parent"), &place);
            requests.push(Request { at: requests.len(), step: Step::Create, id: Box::default(), body });
            let body = told.finish(there, &place);
            requests.push(Request { at: requests.len(), step: Step::Finish, id: there.id.into(), body });
        }
        requests
    }

    fn answer(status: u16, body: &str) -> Response {
        Response { status, whole: true, body: body.into(), ..Response::default() }
    }

    fn outputs(by_key: Json) -> Outputs {
        match read(&answer(200, &json!({"status": "success", "outputs": by_key}).to_string())) {
            Answer::Outputs(outputs) => outputs,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn items_say_what_the_requests_by_themselves_say_with_the_key_beside_and_are_told_apart() {
        let requests = requests();
        let items = body(&requests)["items"].take();
        let items = items.as_array().unwrap();
        assert_eq!(items.len(), requests.len());
        let mut keys = HashSet::new();
        for (item, request) in items.iter().zip(&requests) {
            let key = item[KEY].as_str().unwrap();
            assert!((8..=64).contains(&key.len()) && keys.insert(key), "{key}");
            let mut expected = request.body.clone();
            if request.step == Step::Create {
                expected["details"].as_object_mut().unwrap().remove(KEY);
                expected["_type"] = "agent_spans/create".into();
                expected["path"] = "/api/v1/agent_spans".into();
                assert_eq!(item["details"]["parent_span_id"], "its parent");
            } else {
                expected["_type"] = "agent_spans/finish".into();
                expected["path"] = "/api/v1/agent_spans/a%2Fb%20c/finish".into();
                expected["agent_span_id"] = "a/b c".into();
                assert!(item.get("details").is_none() && item["status"] == "complete", "{item}");
            }
            expected["method"] = "POST".into();
            expected[KEY] = key.into();
            assert_eq!(*item, expected);
        }
    }

    #[test]
    fn each_output_is_what_it_says_or_nothing_that_can_be_used() {
        let requests = requests();
        let [create, finish] = [&requests[0], &requests[1]];
        let of = |request: &Request, output: Json| outputs(json!({ key(request): output })).of(request);
        let done = |id: &str| Output::Done(Answered { id: id.to_owned(), ..Answered::default() });
        let details = json!({"status": "success", "details": {"id": "x"}});
        assert_eq!(of(create, details.clone()), done("x"));
        assert_eq!(of(finish, details), done("x"));
        assert_eq!(of(finish, json!({"status": "success"})), done(""));
        let is_active = json!({"status": "success", "details": {"id": "x", "status": "active"}});
        assert!(matches!(of(create, is_active), Output::Done(Answered { is_active: true, .. })));
        let control = json!({"terminate": true, "reason": "by\nhand"});
        let stop = json!({"status": "success", "details": {"id": "x"}, "control": control});
        let Output::Done(Answered { termination, .. }) = of(create, stop) else { panic!("it is done") };
        assert_eq!(termination.as_deref(), Some("by hand"));
        for failed in [json!({"status": "error"}), json!({"status": "error", "details": {"id": "x"}})] {
            assert_eq!(of(create, failed.clone()), Output::Error);
            assert_eq!(of(finish, failed), Output::Error);
        }
        let long = "x".repeat(10_000);
        for senseless in [
            json!(null),
            json!("success"),
            json!({}),
            json!({"details": {"id": "x"}}),
            json!({"status": "sucess", "details": {"id": "x"}}),
            json!({"status": "success", "details": {"id": ""}}),
            json!({"status": "success", "details": {"id": 7}}),
            json!({"status": "success", "details": {"id": long}}),
            json!({"status": "success"}),
        ] {
            assert_eq!(of(create, senseless.clone()), Output::Unusable, "{senseless}");
        }
        assert_eq!(outputs(json!({"another": {"status": "error"}})).of(create), Output::Absent);
        assert_eq!(outputs(json!({})).of(finish), Output::Absent);
    }

    #[test]
    fn an_answer_as_a_whole_may_say_that_the_agent_is_to_stop() {
        let body = r#"{"outputs": {}, "control": {"terminate": true, "reason": "enough"}}"#;
        let Answer::Outputs(outputs) = read(&answer(200, body)) else { panic!("there are outputs") };
        assert_eq!(outputs.termination.as_deref(), Some("enough"));
    }

    #[test]
    fn every_status_means_what_the_table_says() {
        for status in 100..=999 {
            let said = match read(&answer(status, r#"{"outputs": {}}"#)) {
                Answer::Outputs(_) => "outputs",
                Answer::Unknown { .. } => "unknown",
                Answer::Refused { .. } => "refused",
                Answer::Failed(Outcome::Retry { .. }) => "retry",
                Answer::Failed(Outcome::Parked { .. }) => "parked",
                Answer::Unanswered(Outcome::Retry { .. }) => "unanswered",
                Answer::Failed(other) | Answer::Unanswered(other) => panic!("{other:?}"),
            };
            let expected = match status {
                200..300 => "outputs",
                404 | 405 | 501 => "unknown",
                400 | 409 | 413 | 422 => "refused",
                408 | 504 => "unanswered",
                505 => "parked",
                425 | 429 | 500..=599 => "retry",
                _ => "parked",
            };
            assert_eq!(said, expected, "{status}");
        }
    }

    #[test]
    fn an_answer_without_outputs_says_nothing_of_any_item_unless_it_broke_off() {
        for body in ["", "{", "[]", "null", "{}", r#"{"outputs": null}"#, r#"{"outputs": [1]}"#] {
            let whole = answer(200, body);
            let Answer::Outputs(outputs) = read(&whole) else { panic!("{body}") };
            assert_eq!(outputs.of(&requests()[0]), Output::Absent, "{body}");
            let cut = Response { whole: false, ..whole };
            assert!(matches!(read(&cut), Answer::Unanswered(Outcome::Retry { .. })), "{body}");
        }
    }
}
