//! `#[span]`: functions of every form, recorded as they are called, and otherwise left as they were.

mod calls;
mod forms;
mod futures;

mod outcomes;
mod rejected;

mod values;

#[path = "../recording/flight.rs"]
#[expect(dead_code, reason = "it shows more than these tests look at")]
mod flight;

use crate::flight::Seen;

/// The spans as lines, each under its parent, in the order in which they ended.
fn tree(spans: &[Seen]) -> String {
    fn below(spans: &[Seen], parent: spanring::SpanId, depth: usize, lines: &mut String) {
        for span in spans.iter().filter(|span| span.parent_id == parent) {
            lines.push_str(&format!("{}{}\n", "  ".repeat(depth), span.name));
            below(spans, span.span_id, depth + 1, lines);
        }
    }
    let mut lines = String::new();
    below(spans, spanring::SpanId::INVALID, 0, &mut lines);
    lines
}
