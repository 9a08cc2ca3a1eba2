//! What a server reads in a request.

use serde_json::Value as Json;
use spanring_exporter::demo::receiver::Received;

pub(crate) const KEY: &str = "OPENAI_API_KEY";

/// The items of a request, each span behind the record of its trace.
pub(crate) struct Items {
    pub(crate) traces: Vec<Json>,
    pub(crate) spans: Vec<Json>,
}

impl Items {
    pub(crate) fn of(request: &Received) -> Self {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/traces/ingest"));
        assert_eq!(request.header("openai-beta"), Some("traces=v1"));
        let body: Json = serde_json::from_slice(&request.body).unwrap();
        let mut items = Items { traces: Vec::new(), spans: Vec::new() };
        for item in body["data"].as_array().unwrap() {
            let is_known = |id: &Json| items.traces.iter().any(|trace| trace["id"] == *id);
            if item["object"] == "trace" {
                assert!(!is_known(&item["id"]), "a trace is told twice");
                items.traces.push(item.clone());
            } else {
                assert!(is_known(&item["trace_id"]), "a span comes before its trace");
                items.spans.push(item.clone());
            }
        }
        assert!(!items.spans.is_empty(), "a request without spans");
        items
    }

    /// What the spans call themselves, and none for the one without a number.
    pub(crate) fn numbers(&self) -> Vec<Option<u64>> {
        self.spans.iter().map(|span| span["span_data"]["data"]["number"].as_u64()).collect()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.spans.iter().map(|span| span["id"].as_str().unwrap().to_owned()).collect()
    }
}
