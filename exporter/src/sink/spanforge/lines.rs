//! Files of SpanForge's events, one a line, as its SDK's exporter `jsonl` writes them.
//!
//! The lines of a batch are written at once and synced together. A kill amid that may leave some of them; the batch comes again behind
//! these, its events with the identities that they had.

use super::SpanForgeOptions;
use crate::sink::Batch;
use crate::sink::file::{BatchLines, LineForm};

/// Events, by the fields that one may begin with, in the order of their names.
pub(crate) const EVENT_LINES: LineForm = LineForm {
    beginnings: &[b"{\"actor_id\":", b"{\"checksum\":", b"{\"event_id\":"],
    name: "SpanForge's events",
};

#[derive(Debug)]
pub(super) struct EventLines {
    options: SpanForgeOptions,
}

impl EventLines {
    pub(super) fn new(options: &SpanForgeOptions) -> Self {
        EventLines { options: options.clone() }
    }
}

impl BatchLines for EventLines {
    fn form(&self) -> LineForm {
        EVENT_LINES
    }

    fn lines(&self, batch: &Batch<'_>) -> Vec<u8> {
        self.options.events(batch).iter().map(|event| event.to_json() + "\n").collect::<String>().into_bytes()
    }
}
