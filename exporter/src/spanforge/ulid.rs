//! The identity of an event: a ULID, and always the same for the same span, so that an event that is sent again is known.
//!
//! ```text
//!  01M7VWBK9Y        YYPH67TH1R7BYYNMJ
//!  10 characters     16 characters
//!  when the span     the first 80 bits of SHA-256 over
//!  ended, in ms      trace_id | span_id | event_type
//! ```
//!
//! So events sort by when their spans ended. SpanForge's own, which are random there, count up within a millisecond too; these do not.

use ring::digest::{SHA256, digest};
use spanring_spool::SpanData;

/// Crockford's digits.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

pub(super) fn of(span: &SpanData, event_type: &str) -> String {
    let identity = format!("{}|{}|{event_type}", span.trace_id, span.span_id);
    let hash = digest(&SHA256, identity.as_bytes());
    let hash = hash.as_ref().iter().take(10).fold(0_u128, |hash, byte| hash << 8 | u128::from(*byte));
    let ms = u128::from(span.end_unix_ns / 1_000_000);
    let bits = ms << 80 | hash;
    let digit = |place: u32| {
        let value = usize::try_from(bits >> (5 * place) & 31).expect("five bits fit");
        char::from(DIGITS[value])
    };
    (0..26).rev().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use spanring::{SpanId, TraceId};

    use super::*;

    /// As SpanForge's schema has it.
    fn is_ulid(text: &str) -> bool {
        text.len() == 26
            && matches!(text.as_bytes()[0], b'0'..=b'7')
            && text.bytes().all(|byte| DIGITS.contains(&byte))
    }

    fn span(trace: u8, span: u8, end_unix_ns: u64) -> SpanData {
        let (trace_id, span_id) = (TraceId::from_bytes([trace; 16]), SpanId::from_bytes([span; 8]));
        SpanData { trace_id, span_id, end_unix_ns, ..SpanData::default() }
    }

    #[test]
    fn an_event_has_one_identity_and_another_has_another() {
        let end = 1_795_158_297_918_635_592;
        let known = of(&span(1, 2, end), "llm.trace.span.completed");
        assert!(known.starts_with("01M7VWBK9Y"), "{known} is of the capture's millisecond");
        assert_eq!(known, of(&span(1, 2, end), "llm.trace.span.completed"));
        for (other, event_type) in [
            (span(2, 2, end), "llm.trace.span.completed"),
            (span(1, 1, end), "llm.trace.span.completed"),
            (span(1, 2, end), "llm.trace.span.failed"),
            (span(1, 2, end + 1_000_000), "llm.trace.span.completed"),
        ] {
            assert_ne!(known, of(&other, event_type));
        }
    }

    #[test]
    fn every_identity_is_a_ulid_and_sorts_by_the_end() {
        let ends = [0, 1_000_000, 31_000_000, 32_000_000, 1_795_158_297_918_635_592, u64::MAX];
        let all = ends.map(|end| of(&span(1, 2, end), "x"));
        assert!(all.iter().all(|text| is_ulid(text)), "{all:?}");
        assert!(all.is_sorted_by(|one, other| one < other), "{all:?}");
    }
}
