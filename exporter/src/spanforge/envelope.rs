//! One span, as an event: the payload in its envelope.

use std::collections::BTreeMap;

use spanring::names;
use spanring_spool::{Resource, SpanData, Value};

use super::event::{Event, SCHEMA_VERSION, TAGS_MAX};
use super::said::Said;
use super::span::{Sort, payload};
use super::totals::RunTotals;
use super::{source, ulid};
use crate::rfc3339;

/// Who emits events: what is the same for all spans of a recorder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Emitter {
    source: String,
    environment: Option<String>,
    organization: Option<String>,
}

impl Emitter {
    /// The process that has this resource: its `service.name`, `service.version` and `deployment.environment.name`.
    pub fn of(resource: &Resource) -> Self {
        let text = |key| resource.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        Emitter {
            source: source::of(
                text("service.name").unwrap_or("unknown-service"),
                text("service.version").unwrap_or_default(),
            ),
            environment: text("deployment.environment.name").map(str::to_owned),
            organization: None,
        }
    }

    /// The environment of what says none.
    pub fn or_in(mut self, environment: Option<&str>) -> Self {
        self.environment = self.environment.or_else(|| environment.map(str::to_owned));
        self
    }

    /// On behalf of whom spans are that say no organization.
    pub fn or_for(mut self, organization: Option<&str>) -> Self {
        self.organization = organization.map(str::to_owned);
        self
    }

    /// The events of spans, one each. The totals of runs are those of these spans, so they should be whole traces; else see
    /// [`events_with`](Self::events_with).
    pub fn events(&self, spans: &[SpanData]) -> Vec<Event> {
        self.events_with(spans, &RunTotals::of(spans))
    }

    /// The events of spans, one each. The totals of runs are these; a run that is not among them comes to nothing.
    pub fn events_with(&self, spans: &[SpanData], totals: &RunTotals) -> Vec<Event> {
        spans.iter().map(|span| self.event(span, totals)).collect()
    }

    fn event(&self, span: &SpanData, totals: &RunTotals) -> Event {
        let is_some = |text: &str| !text.is_empty();
        let mut said = Said::of(span);
        let org_id = said.take_text(names::ORGANIZATION_ID, is_some).or_else(|| self.organization.clone());
        let [team_id, actor_id] = [names::TEAM_ID, names::ACTOR_ID].map(|key| said.take_text(key, is_some));
        // The payload of a span says it too.
        let session_id = match Sort::of(span) {
            Sort::Span => span.session().filter(|session| is_some(session)).map(str::to_owned),
            Sort::Step | Sort::Run => said.take_text(names::SESSION_ID, is_some),
        };
        let tags = self.tags(&mut said);
        let payload = payload(span, said, totals);
        let event_type = payload.event_type();
        Event {
            schema_version: SCHEMA_VERSION.to_owned(),
            event_id: ulid::of(span, event_type),
            event_type: event_type.to_owned(),
            timestamp: rfc3339::to_micros(span.end_unix_ns),
            source: self.source.clone(),
            payload: payload.to_dict(),
            trace_id: Some(span.trace_id.to_string()),
            span_id: Some(span.span_id.to_string()),
            parent_span_id: span.parent_id.map(|id| id.to_string()),
            org_id,
            team_id,
            actor_id,
            session_id,
            tags,
            ..Event::default()
        }
    }

    /// What was said as labels, if SpanForge can have all of it as tags, and the environment where there is room.
    fn tags(&self, said: &mut Said) -> Option<BTreeMap<String, String>> {
        let fits = |tags: &BTreeMap<String, String>| {
            tags.len() <= TAGS_MAX && tags.iter().all(|(name, value)| !name.is_empty() && !value.is_empty())
        };
        let mut tags = said.take_if(names::LABELS, fits).unwrap_or_default();
        if let Some(environment) = &self.environment
            && tags.len() < TAGS_MAX
        {
            tags.entry("env".to_owned()).or_insert_with(|| environment.clone());
        }
        (!tags.is_empty()).then_some(tags)
    }
}
