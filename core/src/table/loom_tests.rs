use super::modelled::{ModelCells, ModelLane, ModelTable};
use crate::pool::Pool;
use crate::registry::Registry;
use crate::sync::{Arc, thread};

fn registry<const OWN: usize>() -> Arc<Registry<ModelLane<OWN>>> {
    let registry = Registry::new(2);
    for _ in 0..2 {
        registry.add(|number| Some(ModelLane::new(number, 64)));
    }
    Arc::new(registry)
}

/// Everything that can be claimed, in order of numbers.
fn drained<const OWN: usize>(lane: &ModelLane<OWN>) -> Vec<u32> {
    let mut free: Vec<u32> = std::iter::from_fn(|| lane.table.claim()).collect();
    free.sort_unstable();
    free
}

/// One thread gives a lane back, with a span of it open that a second one ends, while a third one takes the lane and claims what it can: no
/// cell is ever two threads', what was done with it before is seen, and none is lost.
#[test]
fn a_lane_changes_hands_while_a_cell_of_it_comes_home() {
    loom::model(|| {
        let registry = registry::<2>();
        let lane = registry.take().unwrap();
        let open = lane.start(7).unwrap();
        let ending = registry.clone();
        let ender = thread::spawn(move || {
            let home = ending.lane(1).unwrap();
            assert_eq!(home.read(open), 7);
            home.write(open, 0);
            home.table.return_cell(open);
        });
        let taking = registry.clone();
        let taker = thread::spawn(move || {
            let Ok(lane) = taking.take() else { return Vec::new() };
            let claimed: Vec<u32> = (0..2).filter_map(|_| lane.start(9)).collect();
            taking.give_back(lane.number);
            claimed
        });
        let own = lane.start(8).unwrap();
        lane.write(own, 0);
        lane.table.free(own);
        registry.give_back(lane.number);
        ender.join().unwrap();
        let mut cells = taker.join().unwrap();
        assert!(cells.iter().all(|&cell| registry.lane(1).unwrap().read(cell) == 9));
        cells.extend(drained(registry.take().unwrap()));
        cells.sort_unstable();
        assert_eq!(cells, [0, 1]);
    });
}

/// The same cell goes to another thread and back again and again, while its owner claims and returns others: what L2 says cannot matter.
#[test]
fn cells_that_are_claimed_again_at_once_come_home_again() {
    loom::model(|| {
        let registry = registry::<2>();
        let lane = registry.take().unwrap();
        let (first, second) = (lane.start(1).unwrap(), lane.start(2).unwrap());
        let give = |cell: u32| {
            let registry = registry.clone();
            thread::spawn(move || {
                let home = registry.lane(1).unwrap();
                home.write(cell, 0);
                home.table.return_cell(cell);
            })
        };
        let gone = [give(first), give(second)];
        let again = lane.start(3);
        let last = again.map(give);
        for thread in gone.into_iter().chain(last) {
            thread.join().unwrap();
        }
        assert_eq!(drained(lane), [0, 1]);
    });
}

/// A cell of a further table, which its owner has just taken, is returned by a thread that knows no more than its number.
#[test]
fn cells_of_a_further_table_come_home_too() {
    loom::model(|| {
        let registry = registry::<1>();
        let lane = registry.take().unwrap();
        let own = lane.start(1).unwrap();
        assert_eq!(lane.start(2), None);
        let mut first = None;
        assert!(lane.table.take(Box::leak(Box::new(ModelCells::new())), |number| first = Some(number)));
        assert_eq!(first, Some(1));
        let further = lane.start(2).unwrap();
        let ending = registry.clone();
        let ender = thread::spawn(move || {
            let home = ending.lane(1).unwrap();
            assert_eq!(home.read(further), 2);
            home.write(further, 0);
            home.table.return_cell(further);
        });
        lane.write(own, 0);
        lane.table.free(own);
        let mut claimed: Vec<u32> = (0..2).filter_map(|_| lane.start(3)).collect();
        ender.join().unwrap();
        claimed.extend(drained(lane));
        claimed.sort_unstable();
        assert_eq!(claimed, [0, 1]);
    });
}

/// A further table goes from the thread that made it to a holder through nothing but the pool.
#[test]
fn a_further_table_is_whole_when_it_comes_out_of_the_pool() {
    loom::model(|| {
        let spare = Arc::new(Pool::<&'static ModelTable>::new(1));
        let waiting = spare.clone();
        let taker = thread::spawn(move || {
            let lane = ModelLane::<1>::new(1, 64);
            let own = lane.start(1);
            let Some(table) = waiting.pop() else { return };
            assert!(lane.table.take(table, |_| ()));
            assert_eq!(lane.table.claim(), Some(1));
            assert_eq!((own, lane.read(1)), (Some(0), 5));
        });
        let table: &'static ModelTable = Box::leak(Box::new(ModelCells::new()));
        table.write(0, 5);
        assert!(spare.push(table).is_ok());
        taker.join().unwrap();
    });
}
