//! Files of SpanForge's events, one a line, as its SDK's exporter `jsonl` writes them.
//!
//! The lines of a batch are written at once and synced together. A kill amid that may leave some of them; when the batch comes again, only the others are
//! written. With a signing key all lines are one chain, in the order in which they stand, across batches, rotated files and restarts: the file itself says
//! what the next event follows.

use spanring_spool::{SpanData, Value};

use super::SpanForgeOptions;
use super::events::Events;
use crate::sink::file::{BatchLines, Identity, LineForm, LinesBehind};
use crate::sink::{Batch, Needs, Overview, TraceSpans};

/// Events, by the fields that one may begin with, in the order of their names.
pub(crate) const EVENT_LINES: LineForm = LineForm {
    beginnings: &[b"{\"actor_id\":", b"{\"checksum\":", b"{\"event_id\":"],
    name: "SpanForge's events",
    identify: Some(identify),
};

/// Who an event is, and whether it is signed. Before its identity stand at most `actor_id` and, of one that is signed, `checksum`; in a text no quotation
/// mark stands without a backslash before it.
fn identify(line: &[u8]) -> Option<Identity> {
    const KEY: &[u8] = b"\"event_id\":\"";
    let at = find(line, KEY)?;
    let id = line[at + KEY.len()..].split(|&byte| byte == b'"').next()?;
    let id = str::from_utf8(id).ok()?.to_owned();
    Some(Identity { id, is_link: find(&line[..at], b"\"checksum\":\"").is_some() })
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

#[derive(Clone, Debug)]
pub(super) struct EventLines {
    events: Events,
}

impl EventLines {
    pub(super) fn new(options: &SpanForgeOptions) -> Self {
        EventLines { events: Events::new(options) }
    }
}

impl BatchLines for EventLines {
    fn form(&self) -> LineForm {
        EVENT_LINES
    }

    fn needs(&self) -> Needs {
        Needs::Overview
    }

    fn overview<'a>(&'a mut self, spans: &'a mut dyn TraceSpans) -> Overview<'a> {
        Box::pin(self.events.overview(spans))
    }

    fn known_of(&self, span: &SpanData) -> Vec<(String, Value)> {
        self.events.known_of(span)
    }

    fn recall(&mut self, span: &SpanData, known: &[(String, Value)]) {
        self.events.recall(span, known);
    }

    fn boxed(&self) -> Box<dyn BatchLines> {
        Box::new(self.clone())
    }

    fn lines(&self, batch: &Batch<'_>) -> LinesBehind {
        let (mut events, key) = (self.events.unsigned(batch), self.events.options.signing_key.clone());
        Box::new(move |behind| {
            events.retain(|event| !behind.has(&event.event_id));
            if let Some(key) = key {
                key.chain_behind(behind.last_link(), &mut events);
            }
            events.iter().map(|event| event.to_json() + "\n").collect::<String>().into_bytes()
        })
    }
}

#[cfg(test)]
mod tests;
