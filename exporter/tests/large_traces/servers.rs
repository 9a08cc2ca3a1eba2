//! Servers of four systems, which take everything and keep what they need to tell one span from another.

use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};

use crate::arrived::{Arrived, Total};

pub(crate) struct Server {
    sink: String,
    seen: Arc<Mutex<Seen>>,
    _receiver: Receiver,
}

#[derive(Default)]
struct Seen {
    spans: Vec<Arrived>,
    totals: Vec<Total>,
}

impl Server {
    fn start(
        address: impl FnOnce(&Receiver) -> String,
        answer: impl Fn(&Received, &mut Seen) -> Answer + Send + 'static,
    ) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let asked = Arc::clone(&seen);
        let receiver =
            Receiver::start(move |received| answer(&received, &mut asked.lock().unwrap())).unwrap();
        Server { sink: address(&receiver), seen, _receiver: receiver }
    }

    pub(crate) fn openai() -> Self {
        Server::start(|receiver| format!("openai+http://{}", receiver.address()), openai)
    }

    pub(crate) fn prela() -> Self {
        Server::start(|receiver| format!("prela+http://{}/v1/traces", receiver.address()), prela)
    }

    pub(crate) fn spanforge() -> Self {
        Server::start(|receiver| format!("spanforge+http://{}", receiver.address()), spanforge)
    }

    pub(crate) fn prefactor() -> Self {
        Server::start(|receiver| format!("prefactor+http://{}", receiver.address()), prefactor)
    }

    pub(crate) fn sink(&self) -> &str {
        &self.sink
    }

    /// The spans, in the order in which they came.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        std::mem::take(&mut self.seen.lock().unwrap().spans)
    }

    pub(crate) fn totals(&self) -> Vec<Total> {
        std::mem::take(&mut self.seen.lock().unwrap().totals)
    }
}

fn text(json: &Json) -> Option<String> {
    json.as_str().map(str::to_owned)
}

fn whole(json: &Json) -> u64 {
    json.as_u64().unwrap_or_else(|| panic!("{json} is no whole number"))
}

fn index(json: &Json) -> usize {
    usize::try_from(whole(json)).unwrap()
}

fn arrived(number: usize, id: &Json, parent: &Json, trace: &Json) -> Arrived {
    let trace = text(trace).unwrap_or_default();
    Arrived { number, id: text(id).unwrap(), parent: text(parent), trace, named_parent: None }
}

fn openai(received: &Received, seen: &mut Seen) -> Answer {
    let body: Json = serde_json::from_slice(&received.body).unwrap();
    for item in body["data"].as_array().unwrap() {
        if item["object"] == "trace.span" {
            let of_custom = &item["span_data"]["data"]["number"];
            let number = match item["metadata"]["number"].as_str() {
                Some(text) => text.parse().unwrap(),
                None => index(of_custom),
            };
            seen.spans.push(arrived(number, &item["id"], &item["parent_id"], &item["trace_id"]));
        }
    }
    Answer::status(204)
}

fn prela(received: &Received, seen: &mut Seen) -> Answer {
    let document: Json = serde_json::from_slice(&received.body).unwrap();
    let spans = document["spans"].as_array().unwrap();
    let number = |span: &Json| index(&span["attributes"]["number"]);
    seen.totals.push(Total {
        number: number(&spans[0]),
        spans: spans.len() as u64,
        duration_ms: document["duration_ms"].as_f64().unwrap(),
        ..Total::default()
    });
    assert_eq!(document["status"], "SUCCESS");
    let last = spans.iter().max_by_key(|span| span["started_at"].as_str()).unwrap();
    // Several may have started in the same microsecond.
    let is_last = |span: &&Json| span["started_at"] == last["started_at"];
    assert!(spans.iter().filter(is_last).any(|span| span["ended_at"] == document["completed_at"]));
    for span in spans {
        assert_eq!(span["trace_id"], document["trace_id"]);
        let arrived = arrived(number(span), &span["span_id"], &span["parent_span_id"], &span["trace_id"]);
        seen.spans.push(arrived);
    }
    Answer::status(200)
}

fn spanforge(received: &Received, seen: &mut Seen) -> Answer {
    for line in received.body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Json = serde_json::from_slice(line).unwrap();
        let payload = &event["payload"];
        let number = index(&payload["attributes"]["number"]);
        seen.spans.push(arrived(number, &event["span_id"], &event["parent_span_id"], &event["trace_id"]));
        if event["event_type"] == "llm.trace.agent.completed" {
            seen.totals.push(Total {
                number,
                spans: whole(&payload["attributes"]["spanring.run.totals.spans"]),
                calls: whole(&payload["total_model_calls"]),
                tokens: whole(&payload["total_token_usage"]["input_tokens"]),
                cost: payload["total_cost"]["total_cost_usd"].as_f64().unwrap(),
                ..Total::default()
            });
        }
    }
    Answer::status(200)
}

fn prefactor(received: &Received, seen: &mut Seen) -> Answer {
    let body: Json = serde_json::from_slice(&received.body).unwrap();
    let id = match received.path.as_str() {
        "/api/v1/agent_spans" => {
            let details = &body["details"];
            let parent = &details["parent_span_id"];
            // As many as there are before it, so that a parent's is known when it comes; as long as Prefactor's are.
            let id = format!("span {:027}", seen.spans.len());
            let is_there = || {
                let place = parent.as_str().and_then(|parent| parent.strip_prefix("span "));
                place.is_some_and(|place| place.parse::<usize>().unwrap() < seen.spans.len())
            };
            assert!(parent.is_null() || is_there(), "{details} comes before its parent");
            let metadata = &details["payload"]["metadata"];
            let mut span = arrived(index(&metadata["number"]), &json!(id), parent, &metadata["trace_id"]);
            span.named_parent = text(&metadata["parent_id"]);
            seen.spans.push(span);
            id
        }
        _ => "instance".to_owned(),
    };
    let body = json!({"status": "success", "details": {"id": id}}).to_string();
    Answer { body: body.into_bytes(), ..Answer::status(200) }
}
