//! Traces that one exporter began to deliver and another one goes on with.

use super::*;

fn keeping_all(sink: impl Sink + 'static) -> Route {
    Route::to(Box::new(sink)).keep(Keep::errors_and_share(1.0))
}

#[test]
fn an_exporter_that_ends_after_any_delivery_and_the_next_one_lose_nothing_and_repeat_only_what_was_under_way()
{
    let (dir, recorded) = held_up();
    // The last is a sink whose rules are taken away in between.
    for (needs, next_has_rules) in [
        (Needs::Traces, true),
        (Needs::ParentsFirst, true),
        (Needs::Overview, true),
        (Needs::Spans, true),
        (Needs::Spans, false),
    ] {
        let mut repeated_most = 0;
        for enough in 0..=recorded.len() {
            let copy = copy(dir.path());
            let (sink, before) = ByTrace::new(needs, takes_only(enough));
            export_along(copy.path(), keeping_all(sink));
            let (sink, after) = ByTrace::new(needs, takes);
            let next = if next_has_rules { keeping_all(sink) } else { Route::to(Box::new(sink)) };
            let report = export_along(copy.path(), next);
            assert!(report.is_complete() && report.recorders_removed == report.recorders, "{report}");
            let (before, after) = (before.lock().unwrap(), after.lock().unwrap());
            let mut times = BTreeMap::<_, usize>::new();
            for span in before.taken.iter().chain(&after.taken).flatten() {
                *times.entry(span.span_id).or_default() += 1;
            }
            let all: BTreeSet<_> = recorded.values().flat_map(BTreeMap::keys).copied().collect();
            assert_eq!(times.keys().copied().collect::<BTreeSet<_>>(), all, "{needs:?} after {enough}");
            assert!(times.values().all(|&times| times <= 2));
            repeated_most = repeated_most.max(times.values().filter(|&&times| times == 2).count());
            for (id, spans) in &after.sent {
                assert!(
                    before.sent.get(id).is_none_or(|earlier| earlier == spans),
                    "{id} is another one now"
                );
            }
        }
        // What is over behind one block is under way at once. At the end that is the most: four traces of six spans, the one that lies far behind, and the
        // first, of seven.
        assert!(repeated_most <= 14, "{needs:?}: {repeated_most}");
    }
}

#[test]
fn what_an_earlier_run_had_left_arrives_although_it_is_not_known_any_more_that_it_was_open() {
    let (dir, recorded) = held_up();
    for needs in [Needs::Traces, Needs::ParentsFirst, Needs::Overview, Needs::Spans] {
        for enough in 0..=recorded.len() {
            let copy = copy(dir.path());
            let (sink, before) = ByTrace::new(needs, takes_only(enough));
            export_along(copy.path(), keeping_all(sink));
            // The first block tells that the first trace is open.
            let spool = SpoolDir::open(copy.path()).unwrap();
            let lost: BTreeSet<_> = match spool.recorders().unwrap().pop() {
                Some(recorder) => {
                    let block = spool.reader(&recorder).unwrap().next_block().unwrap().unwrap();
                    damage(
                        &spool,
                        &recorder,
                        Position { offset: block.position.offset - 20, ..block.position },
                    );
                    block.spans.iter().map(|span| span.span_id).collect()
                }
                None => BTreeSet::new(),
            };
            let (sink, after) = ByTrace::new(needs, takes);
            export_along(copy.path(), keeping_all(sink));
            let (before, after) = (before.lock().unwrap(), after.lock().unwrap());
            let taken = before.taken.iter().chain(&after.taken).flatten().map(|span| span.span_id);
            let taken: BTreeSet<_> = taken.collect();
            let all: BTreeSet<_> = recorded.values().flat_map(BTreeMap::keys).copied().collect();
            let missed: Vec<_> = all.difference(&taken).filter(|span| !lost.contains(span)).collect();
            assert!(missed.is_empty(), "{needs:?} after {enough}: {missed:?} of {}", all.len());
        }
    }
}
