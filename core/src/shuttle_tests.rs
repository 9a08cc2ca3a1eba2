//! Whole recorders of the models, in random schedules: more threads and more steps than loom can go through.
//!
//! shuttle runs the threads one after the other in an order that it draws, and every access to what synchronises may change threads;
//! orderings are loom's matter. What is shown here is that the parts hold together over many steps.

use std::collections::BTreeSet;
use std::sync::Mutex;

use shuttle::rand::{Rng, thread_rng};

use crate::pool::Pool;
use crate::registry::Registry;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering, thread};
use crate::table::modelled::{ModelCells, ModelLane, ModelTable};
use crate::tally;

const OWN: usize = 2;
const LANES: u16 = 3;

type Lane = ModelLane<OWN>;

/// A recorder, and what the model knows of it.
struct World {
    registry: Registry<Lane>,
    spare: Pool<&'static ModelTable>,
    /// The spans that are open, for any thread to end: the lane and the cell of each, and the word in it. The lock is the model's own
    /// and orders nothing that shuttle sees.
    open: Mutex<Vec<(u16, u32, u64)>>,
    /// What was recorded, by the word of each span; and what was dropped or given up.
    recorded: Mutex<Vec<u64>>,
    dropped: Mutex<BTreeSet<u64>>,
    abandoned: AtomicU64,
    next: AtomicU64,
    tables_taken: AtomicU32,
}

impl World {
    fn new(spare_tables: usize) -> Arc<Self> {
        let world = World {
            registry: Registry::new(usize::from(LANES)),
            spare: Pool::new(spare_tables.max(1)),
            open: Mutex::default(),
            recorded: Mutex::default(),
            dropped: Mutex::default(),
            abandoned: AtomicU64::new(0),
            next: AtomicU64::new(1),
            tables_taken: AtomicU32::new(0),
        };
        for _ in 0..LANES {
            world.registry.add(|number| Some(ModelLane::new(number, 256))).unwrap();
        }
        for _ in 0..spare_tables {
            assert!(world.spare.push(Box::leak(Box::new(ModelCells::new()))).is_ok());
        }
        Arc::new(world)
    }

    /// Starts a span in a lane that the caller holds, if there is a cell.
    fn start(&self, lane: &Lane) {
        let word = self.next.fetch_add(1, Ordering::Relaxed);
        let cell = lane.start(word).or_else(|| {
            if !lane.table.can_take() {
                return None;
            }
            let table = self.spare.pop()?;
            self.tables_taken.fetch_add(1, Ordering::Relaxed);
            assert!(lane.table.take(table, |_| ()));
            lane.start(word)
        });
        if let Some(cell) = cell {
            self.open.lock().unwrap().push((lane.number, cell, word));
        }
    }

    fn any_open(&self) -> Option<(u16, u32, u64)> {
        let mut open = self.open.lock().unwrap();
        if open.is_empty() {
            return None;
        }
        let index = thread_rng().gen_range(0..open.len());
        Some(open.swap_remove(index))
    }

    /// Ends any open span into the ring of a lane that the caller holds.
    fn end_any(&self, lane: &Lane) {
        let Some((home, cell, word)) = self.any_open() else { return };
        let home = self.registry.lane(home).unwrap();
        assert_eq!(home.read(cell), word, "a cell is one span's");
        if lane.end(home, cell) {
            self.recorded.lock().unwrap().push(word);
        } else {
            self.dropped.lock().unwrap().insert(word);
        }
    }

    /// Gives up any open span, on a thread that holds no lane.
    fn abandon_any(&self) {
        let Some((home, cell, word)) = self.any_open() else { return };
        let home = self.registry.lane(home).unwrap();
        assert_eq!(home.read(cell), word, "a cell is one span's");
        self.dropped.lock().unwrap().insert(word);
        self.abandoned.fetch_add(1, Ordering::AcqRel);
        home.write(cell, 0);
        home.table.return_cell(cell);
    }

    fn in_flight(&self) -> u64 {
        let abandoned = self.abandoned.load(Ordering::Acquire);
        let sum = tally::sum(|| self.registry.lanes().map(|lane| &lane.line));
        sum.started.checked_sub(sum.ended + sum.ring_full + abandoned).expect("nothing ends before it starts")
    }

    /// What a thread does: it takes a lane, records, gives it back, and does the same in the orphan lane where it gets none.
    fn work(&self, steps: usize) {
        let mut held: Option<&Lane> = None;
        for _ in 0..steps {
            match (thread_rng().gen_range(0..8), held) {
                (0, Some(lane)) => {
                    self.registry.give_back(lane.number);
                    held = None;
                }
                (1..=4, Some(lane)) => self.start(lane),
                (_, Some(lane)) => self.end_any(lane),
                (0..=4, None) => {
                    held = self.registry.take().ok();
                    if let Some(lane) = held {
                        lane.ring.adopt(&lane.producer);
                    }
                }
                (_, None) => match self.registry.orphan() {
                    Some((_held, lane)) => {
                        lane.ring.adopt(&lane.producer);
                        self.start(lane);
                        self.end_any(lane);
                    }
                    None => self.abandon_any(),
                },
            }
        }
        if let Some(lane) = held {
            self.registry.give_back(lane.number);
        }
    }

    /// Reads on in every ring: where it stopped, and what it saw there.
    fn consume(&self, read: &mut [(u64, u64)], seen: &mut Vec<u64>) {
        for (number, (at, ordinals)) in (0..).zip(read) {
            let lane = self.registry.lane(number).unwrap();
            // Twice, as what is shown at once ends with the ring's bytes.
            for _ in 0..2 {
                *at = lane.consume(*at, |ordinal, word| {
                    assert_eq!(ordinal, *ordinals + 1, "a ring carries what ended in order and without gaps");
                    *ordinals = ordinal;
                    seen.push(word);
                });
            }
        }
    }

    /// What must be true when everybody has left.
    fn check(&self, read: &mut [(u64, u64)], mut seen: Vec<u64>) {
        self.consume(read, &mut seen);
        seen.sort_unstable();
        let mut recorded = self.recorded.lock().unwrap().clone();
        recorded.sort_unstable();
        assert_eq!(seen, recorded, "each span that ended was consumed once");
        let open = self.open.lock().unwrap();
        assert_eq!(self.in_flight(), open.len() as u64);
        // Each cell is open or can be claimed, and none is both.
        let mut cells: Vec<(u16, u32)> = open.iter().map(|&(lane, cell, _)| (lane, cell)).collect();
        for number in 0..LANES {
            let lane = self.registry.lane(number).unwrap();
            cells.extend(std::iter::from_fn(|| lane.table.claim()).map(|cell| (number, cell)));
        }
        let expected = usize::from(LANES) * OWN + self.tables_taken.load(Ordering::Relaxed) as usize;
        assert_eq!(cells.len(), expected);
        assert_eq!(cells.iter().collect::<BTreeSet<_>>().len(), expected, "no cell is there twice");
    }
}

const ITERATIONS: usize = 5_000;

#[test]
fn threads_that_record_end_each_others_spans_and_change_lanes_lose_nothing() {
    shuttle::check_random(
        || {
            let world = World::new(2);
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    let world = world.clone();
                    thread::spawn(move || world.work(12))
                })
                .collect();
            let draining = world.clone();
            let consumer = thread::spawn(move || {
                let (mut read, mut seen) = (vec![(0, 0); usize::from(LANES)], Vec::new());
                for _ in 0..4 {
                    draining.consume(&mut read, &mut seen);
                    draining.in_flight();
                }
                (read, seen)
            });
            workers.into_iter().for_each(|worker| worker.join().unwrap());
            let (mut read, seen) = consumer.join().unwrap();
            assert_eq!(world.registry.attached_count(), 0);
            world.check(&mut read, seen);
        },
        ITERATIONS,
    );
}

/// Somebody tries to close meanwhile, again and again: once that has succeeded, nothing starts any more, and nothing was open.
#[test]
fn a_recorder_closes_only_while_nothing_is_going_on_and_nothing_goes_on_afterwards() {
    let closed = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = closed.clone();
    shuttle::check_random(
        move || {
            let world = World::new(1);
            let workers: Vec<_> = (0..2)
                .map(|_| {
                    let world = world.clone();
                    thread::spawn(move || world.work(6))
                })
                .collect();
            let closing = world.clone();
            let closer = thread::spawn(move || {
                (0..6)
                    .any(|_| closing.registry.close(|| closing.in_flight()))
                    .then(|| tally::sum(|| closing.registry.lanes().map(|lane| &lane.line)))
            });
            workers.into_iter().for_each(|worker| worker.join().unwrap());
            if let Some(sum) = closer.join().unwrap() {
                counted.fetch_add(1, Ordering::Relaxed);
                assert_eq!(sum, tally::sum(|| world.registry.lanes().map(|lane| &lane.line)));
                assert!(world.registry.take().is_err() && world.registry.orphan().is_none());
            }
            world.check(&mut vec![(0, 0); usize::from(LANES)], Vec::new());
        },
        ITERATIONS,
    );
    let closed = closed.load(Ordering::Relaxed) as usize;
    assert!(closed > 0 && closed < ITERATIONS, "both happen: closed {closed} times");
}
