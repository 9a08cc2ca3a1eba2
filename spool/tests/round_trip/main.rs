//! What is recorded is read back, whatever it is: random spans against the obvious model.

mod expected;
mod fields;
mod plan;
mod values;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use spanring::recorder::Overflow;
use spanring_spool::{SpanData, Spool, SpoolDir};

use crate::plan::{Plan, plan};
use crate::values::bits;

const MINUTE: Duration = Duration::from_secs(60);

/// Records the spans, and reads them back in the order in which they ended.
fn round_trip(plans: &[Plan]) -> Vec<SpanData> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("spool");
    let spool =
        Spool::open(&path).ring_bytes(4 << 20).rings(1, 1).overflow(Overflow::Block(MINUTE)).start().unwrap();
    plans.iter().for_each(Plan::record);
    let report = spool.stop(MINUTE);
    assert!(report.is_complete, "{report}");

    let spool = SpoolDir::open(&path).unwrap();
    let recorder = spool.recorders().unwrap().pop().unwrap();
    let (mut reader, mut spans) = (spool.reader(&recorder).unwrap(), Vec::new());
    while let Some(block) = reader.next_block().unwrap() {
        spans.extend(block.spans);
    }
    assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
    spans
}

/// The same with all numbers as their bits.
fn compared(mut span: SpanData) -> SpanData {
    let events = span.events.iter_mut().map(|event| &mut event.attributes);
    let links = span.links.iter_mut().map(|link| &mut link.attributes);
    let attributes = events.chain(links).chain([&mut span.attributes]);
    attributes.flatten().for_each(|(_, value)| *value = bits(value));
    span
}

fn now_unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    u64::try_from(now).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_recorded_is_read_back(plans in prop::collection::vec(plan(), 1..10)) {
        let before = now_unix_ns();
        let spans = round_trip(&plans);
        let after = now_unix_ns();
        prop_assert_eq!(spans.len(), plans.len());
        for (plan, read) in plans.iter().zip(spans) {
            let expected = compared(plan.expected(&read));
            prop_assert_eq!(compared(read.clone()), expected);
            // Where the caller gave no time it is the time of the call; the clock's rate is measured.
            let tolerance = 1_000_000_000;
            if plan.start_unix_ns().is_none() {
                prop_assert!((before - tolerance..after + tolerance).contains(&read.start_unix_ns));
            }
            if plan.end_unix_ns().is_none() {
                let end = read.end_unix_ns;
                prop_assert!(end == read.start_unix_ns || (before - tolerance..after + tolerance).contains(&end));
            }
        }
    }
}
