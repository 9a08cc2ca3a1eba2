use super::*;
use crate::sync::{Arc, thread};
use crate::table::modelled::ModelLane;
use crate::tally;

type Lanes = Arc<Registry<ModelLane<1>>>;

fn registry(lanes: usize) -> Lanes {
    let registry = Registry::new(3);
    for _ in 0..lanes {
        registry.add(|number| Some(ModelLane::new(number, 64)));
    }
    Arc::new(registry)
}

fn in_flight(registry: &Registry<ModelLane<1>>) -> u64 {
    let sum = tally::sum(|| registry.lanes().map(|lane| &lane.line));
    sum.started - sum.ended - sum.ring_full
}

fn close(registry: &Registry<ModelLane<1>>) -> bool {
    registry.close(|| in_flight(registry))
}

/// One of the two learns of the other.
#[test]
fn a_lane_is_taken_or_the_registry_is_closed_and_never_both() {
    loom::model(|| {
        let registry = registry(2);
        let taking = registry.clone();
        let taker = thread::spawn(move || taking.take().is_ok());
        let has_closed = close(&registry);
        let has_taken = taker.join().unwrap();
        assert!(!(has_closed && has_taken));
        // What was refused has put the lane back.
        assert_eq!(registry.free_count(), usize::from(!has_taken));
        assert_eq!(registry.is_closed(), has_closed);
    });
}

#[test]
fn a_span_that_is_open_in_a_lane_given_back_keeps_the_registry_from_closing() {
    loom::model(|| {
        let registry = registry(2);
        let taking = registry.clone();
        let starter = thread::spawn(move || {
            let Ok(lane) = taking.take() else { return false };
            assert!(lane.start(5).is_some());
            taking.give_back(lane.number);
            true
        });
        let has_closed = close(&registry);
        let has_started = starter.join().unwrap();
        assert!(!(has_closed && has_started));
        assert_eq!(in_flight(&registry), u64::from(has_started));
    });
}

#[test]
fn a_span_that_is_open_in_the_orphan_lane_keeps_the_registry_from_closing() {
    loom::model(|| {
        let registry = registry(1);
        let holding = registry.clone();
        let starter = thread::spawn(move || {
            let Some((_held, lane)) = holding.orphan() else { return false };
            assert!(lane.start(5).is_some());
            true
        });
        let has_closed = close(&registry);
        let has_started = starter.join().unwrap();
        assert!(!(has_closed && has_started));
        assert_eq!(in_flight(&registry), u64::from(has_started));
    });
}

/// Two threads hold the orphan lane one after the other: each goes on where the other stopped.
#[test]
fn the_orphan_lane_has_one_producer_at_a_time() {
    loom::model(|| {
        let registry = registry(1);
        let record = |registry: &Lanes| {
            let Some((_held, lane)) = registry.orphan() else { return 0 };
            lane.ring.adopt(&lane.producer);
            let cell = lane.start(4).unwrap();
            assert!(lane.end(lane, cell));
            1
        };
        let theirs = registry.clone();
        let other = thread::spawn(move || record(&theirs));
        let recorded = record(&registry) + other.join().unwrap();
        assert!(recorded > 0);
        let mut seen = Vec::new();
        registry.lane(ORPHAN).unwrap().consume(0, |ordinal, word| seen.push((ordinal, word)));
        assert_eq!(seen, [(1, 4), (2, 4)][..recorded]);
    });
}

/// A lane that is being added counts as free or as not there, and so hides nobody who holds another one.
#[test]
fn a_lane_that_is_added_meanwhile_hides_no_holder() {
    loom::model(|| {
        let registry = registry(2);
        registry.take().unwrap();
        let closing = registry.clone();
        let closer = thread::spawn(move || {
            assert!(closing.attached_count() > 0);
            assert!(!close(&closing));
        });
        registry.add(|number| Some(ModelLane::new(number, 64))).unwrap();
        closer.join().unwrap();
        assert_eq!((registry.lane_count(), registry.attached_count()), (3, 1));
    });
}

#[test]
fn a_lane_that_counts_is_there() {
    loom::model(|| {
        let registry = registry(1);
        let reading = registry.clone();
        // The one that looks is the one that is started: loom explores no store before a load that comes first and that a second load, here
        // the one in `add`, hides.
        let reader = thread::spawn(move || {
            let others: Vec<u64> = reading.lanes().skip(1).map(|lane| lane.read(0)).collect();
            assert!(others.is_empty() || others == [6]);
        });
        registry.add(|number| {
            let lane = ModelLane::new(number, 64);
            lane.write(0, 6);
            Some(lane)
        });
        reader.join().unwrap();
    });
}

/// A lane goes from one producer to the next while its ring is drained: the records are whole, in order, and the next producer goes on behind them.
#[test]
fn a_ring_goes_on_where_the_producer_before_has_stopped() {
    loom::model(|| {
        let registry = registry(2);
        let record = |registry: &Lanes, words: std::ops::Range<u64>| {
            let Ok(lane) = registry.take() else { return Vec::new() };
            lane.ring.adopt(&lane.producer);
            let recorded = words.filter(|&word| {
                let cell = lane.start(word).expect("each span ends before the next one starts");
                lane.end(lane, cell)
            });
            let recorded = recorded.collect();
            registry.give_back(lane.number);
            recorded
        };
        let theirs = registry.clone();
        let other = thread::spawn(move || record(&theirs, 20..22));
        let drained = registry.clone();
        let consumer = thread::spawn(move || {
            let mut seen = Vec::new();
            let at = drained.lane(1).unwrap().consume(0, |_, word| seen.push(word));
            (at, seen)
        });
        let mut recorded = record(&registry, 10..11);
        recorded.extend(other.join().unwrap());
        let (at, mut seen) = consumer.join().unwrap();
        let mut at_last = at;
        loop {
            let at = registry.lane(1).unwrap().consume(at_last, |_, word| seen.push(word));
            if at == at_last {
                break;
            }
            at_last = at;
        }
        seen.sort_unstable();
        recorded.sort_unstable();
        assert_eq!(seen, recorded);
    });
}
