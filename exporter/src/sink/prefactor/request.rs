//! A request about a span, sent by itself or with others in bulk.

use reqwest::Method;
use serde_json::Value as Json;

use super::super::Outcome;
use super::super::prefactor_answer::{Answered, Asked};
use super::bulk::{self, Answer, Output, Outputs};
use super::server::Server;
use super::told::Step;

/// What creates a span, or finishes it.
pub(super) struct Request {
    /// Which span of the batch it is.
    pub(super) at: usize,
    pub(super) step: Step,
    /// The server's identity of the span, where it is there.
    pub(super) id: Box<str>,
    pub(super) body: Json,
}

/// What came of a request.
pub(super) struct Reply {
    pub(super) at: usize,
    pub(super) step: Step,
    pub(super) answered: Result<Answered, Outcome>,
}

/// What came of a bulk request.
#[derive(Default)]
pub(super) struct Replies {
    /// Of those that were looked at, and perhaps not of all.
    pub(super) replies: Vec<Reply>,
    /// Whether fewer are to be sent at once.
    pub(super) are_too_many: bool,
    /// Why no others are to be sent in bulk, if that is so.
    pub(super) not_in_bulk: Option<String>,
    /// Why the agent is to stop, if it is.
    pub(super) termination: Option<String>,
}

impl Request {
    pub(super) fn asked(&self) -> Asked {
        if self.step == Step::Finish { Asked::Finish } else { Asked::Create }
    }

    fn reply(&self, answered: Result<Answered, Outcome>) -> Reply {
        Reply { at: self.at, step: self.step, answered }
    }

    pub(super) async fn send(&self, server: &Server) -> Reply {
        let asked = self.asked();
        let answered = match asked {
            Asked::Finish => server.post(asked, &["agent_spans", &self.id, "finish"], &self.body).await,
            _ => server.post(asked, &["agent_spans"], &self.body).await,
        };
        self.reply(answered)
    }
}

/// Sends requests in bulk, of which there is one at least, and by itself what the server says of by itself only.
pub(super) async fn send_in_bulk(requests: &[Request], server: &Server) -> Replies {
    let failed = |outcome| Replies { replies: vec![requests[0].reply(Err(outcome))], ..Replies::default() };
    let response = match server.ask(Method::POST, &["bulk"], bulk::body(requests).to_string()).await {
        Ok(response) => response,
        Err(outcome) => return failed(outcome),
    };
    match (bulk::read(&response), requests) {
        (Answer::Outputs(outputs), _) => {
            let mut replies = replies(requests, &outputs, server).await;
            if replies.is_empty() {
                let reason = "it said nothing of any item".to_owned();
                replies.push(requests[0].reply(Err(Outcome::Retry { after: None, reason })));
            }
            Replies { replies, termination: outputs.termination, ..Replies::default() }
        }
        (Answer::Failed(outcome), _) => failed(outcome),
        (Answer::Unknown { reason }, _) => Replies { not_in_bulk: Some(reason), ..Replies::default() },
        (Answer::Refused { reason }, [request]) => {
            let reply = request.send(server).await;
            let not_in_bulk = reply.answered.is_ok().then_some(reason);
            Replies { replies: vec![reply], not_in_bulk, ..Replies::default() }
        }
        (Answer::Refused { .. }, _) => Replies { are_too_many: true, ..Replies::default() },
    }
}

async fn replies(requests: &[Request], outputs: &Outputs, server: &Server) -> Vec<Reply> {
    let mut replies = Vec::new();
    let mut has_failed = false;
    for request in requests {
        let reply = match outputs.of(request) {
            Output::Absent => continue,
            Output::Done(answered) => request.reply(Ok(answered)),
            // It comes again.
            Output::Error if has_failed => continue,
            Output::Error => request.send(server).await,
            Output::Unusable => {
                let reason = "it said of an item what makes no sense".to_owned();
                request.reply(Err(Outcome::Retry { after: None, reason }))
            }
        };
        has_failed |= reply.answered.is_err();
        replies.push(reply);
    }
    replies
}
