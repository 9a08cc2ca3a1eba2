//! Spans of their own, out of the rows of a block.

use super::TAG_CUT;
use super::decode::Rows;
use super::view::{EventRef, LinkRef, RowsRef, SpanRef};
use crate::combine::Combinations;
use crate::value_ref::ValueRef;
use crate::{EventData, LinkData, SpanData, Value};

/// For how many attributes a span has room from the beginning, if it has so many entries.
const ATTRIBUTES_USUAL: usize = 16;

impl RowsRef<'_> {
    /// A copy of all rows.
    pub(crate) fn to_rows(&self) -> Rows {
        let mut copied = Rows::default();
        let open = self.iter().filter(SpanRef::is_open).count();
        copied.spans.reserve_exact(self.iter().len() - open);
        copied.starts.reserve_exact(open);
        for span in self.iter() {
            let rows = if span.is_open() { &mut copied.starts } else { &mut copied.spans };
            rows.push(span.to_data());
        }
        copied
    }
}

impl SpanRef<'_> {
    /// A copy of it, on its own, with values combined where [`spanring::names`] says so.
    pub fn to_data(&self) -> SpanData {
        SpanData {
            trace_id: self.trace_id(),
            span_id: self.span_id(),
            parent_id: self.parent_id(),
            name: self.name().to_owned(),
            kind: self.kind(),
            status: self.status(),
            status_message: self.status_message().to_owned(),
            start_unix_ns: self.start_unix_ns(),
            end_unix_ns: self.end_unix_ns(),
            attributes: self.combined(),
            events: self.events().map(|event| event.to_data()).collect(),
            links: self.links().map(|link| link.to_data()).collect(),
            is_pending: self.is_pending(),
            is_open: self.is_open(),
            interrupted: self.is_interrupted(),
            cut: self.cut(),
        }
    }

    /// Its attributes, the values of a key that are combined as one.
    fn combined(&self) -> Vec<(String, Value)> {
        let mut entries = self.attributes();
        let mut attributes = Vec::with_capacity(self.entries().len().min(ATTRIBUTES_USUAL));
        let mut combinations = Combinations::default();
        while let Some(entry) = entries.next_entry() {
            let (key, value) = (self.rows.text(entry), self.rows.value(entry));
            let Some(combined) = key.combined else {
                attributes.push((key.text.to_owned(), value.to_value()));
                continue;
            };
            let value = value.to_value();
            // Of a value that failed, or was cut to nothing, only the count is left: what stands there is worth more.
            if entry.tag & TAG_CUT != 0 && value == Value::Null && combinations.has(combined) {
                continue;
            }
            let first = combinations.add(combined, value, &mut attributes);
            attributes.extend(first.map(|value| (key.text.to_owned(), value)));
        }
        combinations.finish(&mut attributes);
        attributes
    }
}

impl EventRef<'_> {
    /// A copy of it.
    pub fn to_data(&self) -> EventData {
        EventData {
            name: self.name().to_owned(),
            time_unix_ns: self.time_unix_ns(),
            attributes: self.attributes().map(of_its_own).collect(),
        }
    }
}

impl LinkRef<'_> {
    /// A copy of it.
    pub fn to_data(&self) -> LinkData {
        LinkData {
            trace_id: self.trace_id(),
            span_id: self.span_id(),
            attributes: self.attributes().map(of_its_own).collect(),
        }
    }
}

fn of_its_own((key, value): (&str, ValueRef<'_>)) -> (String, Value) {
    (key.to_owned(), value.to_value())
}
