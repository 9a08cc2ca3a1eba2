//! Rules about which traces are delivered.

use super::*;

#[test]
fn rules_keep_what_they_name_and_a_share_of_the_rest_and_everything_is_accounted_for() {
    let (dir, recorded) = recorded(|spool, recorded| {
        for number in 0..400_u32 {
            let root = start(recorded, None);
            let child = start(recorded, Some(root.context()));
            match number % 100 {
                0 => drop(child.set_status(Status::Error)),
                1 => drop(child.set("spanring.cost.total", 2.5)),
                _ => {}
            }
            drop(child);
            drop(root);
            if number % 50 == 0 {
                cut(spool);
            }
        }
    });
    let all = recorded.values().map(BTreeMap::len).sum::<usize>() as u64;
    for share in [0.0, 0.25, 1.0] {
        let copy = copy(dir.path());
        let seen = Seen::default();
        let route = Route::to(Box::new(seen.told(|_| Outcome::DELIVERED)))
            .keep(Keep::errors_and_share(share).dearer_than(2.0));
        let report = export_along(copy.path(), route);
        assert!(report.is_complete() && report.recorders_removed == 1, "{report}");
        let SinkReport { delivered, sampled_out, .. } = report.sinks[0];
        assert_eq!(delivered + sampled_out, all, "{report}");
        let taken = seen.taken();
        assert!(taken.values().all(|&times| times == 1));
        for spans in recorded.values() {
            let kept = spans.keys().filter(|span| taken.contains_key(span)).count();
            assert!(kept == 0 || kept == spans.len(), "a trace is kept as a whole or not at all");
        }
        let kept = delivered / 2;
        match share {
            0.0 => assert_eq!(kept, 8, "four with an error, and four that cost much"),
            1.0 => assert_eq!(kept, 400),
            // Four standard deviations on each side.
            _ => assert!((70..=140).contains(&kept), "{kept}"),
        }
    }
}

#[test]
fn a_cursor_accounts_for_what_the_rules_leave_out() {
    let (dir, _) = interleaved(10, 3);
    let spool = SpoolDir::open(dir.path()).unwrap();
    let recorder = spool.recorders().unwrap().remove(0);
    let seen = Seen::default();
    let route = Route::to(Box::new(seen.told(|_| Outcome::DELIVERED))).keep(Keep::errors_and_share(0.0));
    // Another sink takes nothing, so that all is kept.
    let (sink, _) = ByTrace::new(Needs::Spans, |_| Outcome::Parked { reason: "no".into() });
    let exporter = Exporter::new(spool.clone()).along(route).to(Box::new(sink)).once(MINUTE);
    let report = run(exporter, std::future::pending());
    assert_eq!((report.sinks[0].sampled_out, report.sinks[0].requests), (30, 0), "{report}");
    let state = Cursor::peek(&spool.recorder_path(&recorder), "told").unwrap();
    let CursorState { delivered, dead_lettered, dropped, position, ahead, .. } = state;
    assert_eq!((delivered, dead_lettered, dropped), (0, 0, 30));
    assert!(position == ahead && position.segment > 0);
}
