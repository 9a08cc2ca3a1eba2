use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Cells that are links and nothing else, as many as a lane could have in a small file.
struct Links(Vec<AtomicU64>);

impl Links {
    fn new(count: u32) -> Self {
        Links((0..count).map(|_| AtomicU64::new(END)).collect())
    }
}

impl Cells for Links {
    type Further = Links;
    const OWN: u32 = 4;
    const FURTHER: u32 = 3;

    fn own_link(&self, number: u32) -> &AtomicU64 {
        &self.0[number as usize]
    }

    fn link_within(further: &Links, within: u32) -> &AtomicU64 {
        &further.0[within as usize]
    }
}

#[derive(Clone, Debug)]
enum Op {
    Claim,
    /// Ends the how-manieth of the open spans, on the thread that holds the lane.
    Free(prop::sample::Index),
    /// The same on another thread.
    Return(prop::sample::Index),
    TakeTable,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => Just(Op::Claim),
        2 => any::<prop::sample::Index>().prop_map(Op::Free),
        2 => any::<prop::sample::Index>().prop_map(Op::Return),
        1 => Just(Op::TakeTable),
    ]
}

proptest! {
    #[test]
    fn a_table_does_what_a_set_of_free_cells_does(ops in prop::collection::vec(op(), 1..200)) {
        let table = Table::new(Links::new(Links::OWN));
        let mut free: BTreeSet<u32> = (0..Links::OWN).collect();
        let mut open: Vec<u32> = Vec::new();
        let mut taken = 0;
        for op in ops {
            match op {
                Op::Claim => match table.claim() {
                    Some(number) => {
                        prop_assert!(free.remove(&number), "{number} is claimed and was not free");
                        open.push(number);
                    }
                    None => prop_assert!(free.is_empty(), "none is claimed, and {free:?} are free"),
                },
                Op::Free(index) if !open.is_empty() => {
                    let number = open.swap_remove(index.index(open.len()));
                    table.free(number);
                    free.insert(number);
                }
                Op::Return(index) if !open.is_empty() => {
                    let number = open.swap_remove(index.index(open.len()));
                    table.return_cell(number);
                    free.insert(number);
                }
                Op::Free(_) | Op::Return(_) => {}
                Op::TakeTable => {
                    let first = Links::OWN + taken * Links::FURTHER;
                    let mut labelled = None;
                    let fits = table.can_take();
                    let further = Box::leak(Box::new(Links::new(Links::FURTHER)));
                    prop_assert_eq!(table.take(further, |number| labelled = Some(number)), fits);
                    prop_assert_eq!(labelled, fits.then_some(first));
                    if fits {
                        taken += 1;
                        free.extend(first..first + Links::FURTHER);
                    }
                }
            }
        }
        let left: BTreeSet<u32> = std::iter::from_fn(|| table.claim()).collect();
        prop_assert_eq!(left, free);
    }
}

#[test]
fn a_table_takes_as_many_further_ones_as_it_has_places_for() {
    let table = Table::new(Links::new(Links::OWN));
    let taken =
        (0..100).filter(|_| table.take(Box::leak(Box::new(Links::new(Links::FURTHER))), |_| ())).count();
    assert_eq!(taken, FURTHER_MAX);
    let claimed: BTreeSet<u32> = std::iter::from_fn(|| table.claim()).collect();
    assert_eq!(claimed.len(), 4 + 3 * FURTHER_MAX);
    assert_eq!(claimed.last(), Some(&(4 + 3 * 64 - 1)));
}
