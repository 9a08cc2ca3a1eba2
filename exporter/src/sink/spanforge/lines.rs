//! Files of SpanForge's events, one a line, as its SDK's exporter `jsonl` writes them.
//!
//! The lines of a batch are written at once and synced together. A kill amid that may leave some of them; the batch comes again behind
//! these, its events with the identities that they had.

use spanring_spool::{SpanData, Value};

use super::SpanForgeOptions;
use super::events::Events;
use crate::sink::file::{BatchLines, LineForm};
use crate::sink::{Batch, Needs, Overview, TraceSpans};

/// Events, by the fields that one may begin with, in the order of their names.
pub(crate) const EVENT_LINES: LineForm = LineForm {
    beginnings: &[b"{\"actor_id\":", b"{\"checksum\":", b"{\"event_id\":"],
    name: "SpanForge's events",
};

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

    fn lines(&self, batch: &Batch<'_>) -> Vec<u8> {
        self.events.of(batch).iter().map(|event| event.to_json() + "\n").collect::<String>().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sink::file::{FileOptions, FileSink};
    use crate::sink::tests::Spans;
    use crate::sink::{Outcome, Sink as _};

    #[test]
    fn of_a_batch_that_was_cut_whole_events_stay_and_it_comes_again_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let deliver = || {
            let lines = EventLines::new(&SpanForgeOptions::default());
            let mut sink =
                FileSink::of_lines("file".to_owned(), &path, &FileOptions::default(), lines).unwrap();
            let kept = fs::read(&path).unwrap();
            assert_eq!(runtime.block_on(sink.deliver(&Spans::new(3).batch())), Outcome::DELIVERED);
            kept
        };
        deliver();
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.iter().filter(|&&byte| byte == b'\n').count(), 3);
        // Everywhere about where lines end and begin, and here and there within them.
        let is_at_an_end =
            |cut: usize| whole[cut.saturating_sub(14)..whole.len().min(cut + 2)].contains(&b'\n');
        for cut in (1..whole.len()).filter(|&cut| cut < 14 || is_at_an_end(cut) || cut.is_multiple_of(61)) {
            for zeros in [0, 100] {
                let mut torn = whole[..cut].to_vec();
                torn.resize(cut + zeros, 0);
                fs::write(&path, &torn).unwrap();
                let kept = deliver();
                let lines = whole[..cut].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
                assert_eq!(kept, whole[..lines], "cut at {cut}, {zeros} zeros");
                assert_eq!(fs::read(&path).unwrap(), [&kept[..], &whole].concat());
            }
        }
    }
}
