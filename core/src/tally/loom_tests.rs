use crate::registry::Registry;
use crate::sync::{Arc, thread};
use crate::table::modelled::ModelLane;
use crate::tally;

/// A span starts in one lane and ends in another, by another thread, once into the ring and once dropped, while somebody counts.
#[test]
fn nothing_is_seen_to_have_ended_that_is_not_seen_to_have_started() {
    for room in [true, false] {
        loom::model(move || {
            let registry = Registry::<ModelLane<1>>::new(2);
            for _ in 0..2 {
                registry.add(|number| Some(ModelLane::new(number, 64)));
            }
            let registry = Arc::new(registry);
            let counting = registry.clone();
            let counter = thread::spawn(move || {
                let sum = tally::sum(|| counting.lanes().map(|lane| &lane.line));
                assert!(sum.ended + sum.ring_full <= sum.started, "{sum:?}");
            });
            // In the order of the lanes what ended comes first, so that a wrong order of reading shows.
            let home = registry.lane(1).unwrap();
            let open = home.start(3).unwrap();
            let ending = registry.clone();
            let ender = thread::spawn(move || {
                let (lane, home) = (ending.lane(0).unwrap(), ending.lane(1).unwrap());
                if !room {
                    while lane.ring.tail() < 48 {
                        lane.fill();
                    }
                }
                assert_eq!(lane.end(home, open), room);
            });
            ender.join().unwrap();
            counter.join().unwrap();
            let sum = tally::sum(|| registry.lanes().map(|lane| &lane.line));
            assert_eq!((sum.started, sum.ended, sum.ring_full), (1, u64::from(room), u64::from(!room)));
        });
    }
}
