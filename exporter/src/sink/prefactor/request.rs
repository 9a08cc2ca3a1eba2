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
    /// Of those that were done, or of the first, where the whole failed.
    pub(super) replies: Vec<Reply>,
    /// Of which requests more is learned where they are sent by themselves, by the places of their spans.
    pub(super) alone: Vec<usize>,
    pub(super) size: Size,
    /// Why no others are to be sent in bulk, if that is so.
    pub(super) not_in_bulk: Option<String>,
    /// Why the agent is to stop, if it is.
    pub(super) termination: Option<String>,
}

/// What is learned of how many requests may be sent at once.
#[derive(Default)]
pub(super) enum Size {
    /// Nothing.
    #[default]
    Unknown,
    /// All of so many were done.
    Taken(usize),
    /// So many were refused as a whole.
    Refused(usize, String),
    /// So many were not answered, or not to the end.
    Unanswered(usize),
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

/// Sends requests in bulk, of which there is one at least.
pub(super) async fn send_in_bulk(requests: &[Request], server: &Server) -> Replies {
    let failed = |outcome, size| Replies {
        replies: vec![requests[0].reply(Err(outcome))],
        size,
        ..Replies::default()
    };
    let unanswered = Size::Unanswered(requests.len());
    let response = match server.ask(Method::POST, &["bulk"], bulk::body(requests).to_string()).await {
        Ok(response) => response,
        Err(outcome @ Outcome::Retry { .. }) => return failed(outcome, unanswered),
        Err(outcome) => return failed(outcome, Size::Unknown),
    };
    match bulk::read(&response) {
        Answer::Outputs(outputs) => replies(requests, outputs),
        Answer::Failed(outcome) => failed(outcome, Size::Unknown),
        Answer::Unanswered(outcome) => failed(outcome, unanswered),
        Answer::Unknown { reason } => Replies { not_in_bulk: Some(reason), ..Replies::default() },
        Answer::Refused { reason } => {
            Replies { size: Size::Refused(requests.len(), reason), ..Replies::default() }
        }
    }
}

fn replies(requests: &[Request], outputs: Outputs) -> Replies {
    let (mut replies, mut alone) = (Vec::new(), Vec::new());
    for request in requests {
        match outputs.of(request) {
            // It comes again.
            Output::Absent => {}
            Output::Done(answered) => replies.push(request.reply(Ok(answered))),
            Output::Error | Output::Unusable => alone.push(request.at),
        }
    }
    if replies.is_empty() && alone.is_empty() {
        // Nothing was said of any of them.
        alone.push(requests[0].at);
    }
    let size = match replies.len() == requests.len() {
        true => Size::Taken(requests.len()),
        false => Size::Unknown,
    };
    Replies { replies, alone, size, not_in_bulk: None, termination: outputs.termination }
}
