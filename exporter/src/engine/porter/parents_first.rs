//! The spans of one trace in an order in which none comes before its parent.
//!
//! Memory is some 8 bytes for each span of the trace, while it is delivered.

use std::collections::HashSet;

use spanring::SpanId;

use super::gather::Placed;

/// Takes the spans of a trace in an order in which none comes before its parent, in as many passes as they are deep. In each pass it is shown the
/// same spans in the same order.
pub(super) struct ParentsFirst {
    /// The spans of the trace, sorted.
    ids: Vec<SpanId>,
    /// Which of those were taken.
    known: Bits,
    /// Which rows were taken, in the order in which they are shown: several spans may have the same identity.
    sent: Bits,
    taken: usize,
    /// How many rows this pass has shown.
    shown: usize,
    /// Whether what is left is taken whatever it waits for: that is not there, or it goes round in a circle.
    is_forced: bool,
}

impl ParentsFirst {
    /// None of them is taken yet.
    pub(super) fn of(mut ids: Vec<SpanId>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        let (known, sent) = (Bits::default(), Bits::default());
        ParentsFirst { ids, known, sent, taken: 0, shown: 0, is_forced: false }
    }

    /// How many were taken.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Begins another pass.
    pub(super) fn rewind(&mut self) {
        self.shown = 0;
    }

    /// Takes what is left whatever it waits for, from the next pass on. Whether that is new.
    pub(super) fn force(&mut self) -> bool {
        !std::mem::replace(&mut self.is_forced, true)
    }

    /// What can be sent of these spans now, parents first.
    pub(super) fn take(&mut self, chunk: Vec<Placed>) -> Vec<Placed> {
        let first = self.shown;
        self.shown += chunk.len();
        let rows = (first..).zip(chunk);
        let mut waiting: Vec<_> = rows.filter(|(row, _)| !self.sent.has(*row)).collect();
        let mut ready = Vec::new();
        loop {
            let before = ready.len();
            let among: HashSet<SpanId> = match self.is_forced {
                true => waiting.iter().map(|(_, (_, span))| span.span_id).collect(),
                false => HashSet::new(),
            };
            let is_ready = |(row, (_, span)): &mut (usize, Placed)| {
                let parent = span.parent_id.and_then(|parent| Some((parent, self.find(parent)?)));
                let waits_for_none = |parent| self.is_forced && !among.contains(&parent);
                let is_ready = parent.is_none_or(|(parent, at)| self.known.has(at) || waits_for_none(parent));
                if is_ready {
                    self.note(*row, span.span_id);
                }
                is_ready
            };
            ready.extend(waiting.extract_if(.., is_ready).map(|(_, placed)| placed));
            if ready.len() > before {
                continue;
            }
            if !self.is_forced || waiting.is_empty() {
                return ready;
            }
            let (row, placed) = waiting.remove(0);
            self.note(row, placed.1.span_id);
            ready.push(placed);
        }
    }

    fn note(&mut self, row: usize, id: SpanId) {
        if let Some(at) = self.find(id) {
            self.known.add(at);
        }
        self.sent.add(row);
        self.taken += 1;
    }

    /// Which of the trace's spans it is, if it is one.
    fn find(&self, id: SpanId) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }
}

/// A set of small numbers.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn add(&mut self, number: usize) {
        if self.0.len() <= number / 64 {
            self.0.resize(number / 64 + 1, 0);
        }
        self.0[number / 64] |= 1 << (number % 64);
    }
}

#[cfg(test)]
mod tests {
    use spanring_spool::{Position, RecorderId};

    use super::super::load::SpanPlace;
    use super::*;
    use crate::sink::tests::span;

    fn placed(number: u8, parent: Option<u8>) -> Placed {
        let place =
            SpanPlace { recorder: RecorderId::from_parts(1, 2), block: Position::default(), number: 0 };
        let mut placed = (place, span(number));
        placed.1.span_id = SpanId::from_bytes([number; 8]);
        placed.1.parent_id = parent.map(|parent| SpanId::from_bytes([parent; 8]));
        placed
    }

    /// In which pass each span is taken, as often as it is.
    fn passes(chunks: &[Vec<Placed>]) -> Vec<Vec<u8>> {
        let all: Vec<_> = chunks.iter().flatten().map(|(_, span)| span.span_id).collect();
        let (len, mut order) = (all.len(), ParentsFirst::of(all));
        let mut passes = Vec::new();
        while order.taken() < len {
            let before = order.taken();
            order.rewind();
            let taken = chunks.iter().flat_map(|chunk| order.take(chunk.clone())).collect::<Vec<_>>();
            passes.push(taken.iter().map(|(_, span)| span.span_id.to_bytes()[0]).collect());
            if order.taken() == before && !order.force() {
                break;
            }
        }
        passes
    }

    #[test]
    fn parents_come_first_and_each_row_once_also_where_several_have_the_same_identity() {
        let chunks = [
            vec![placed(3, Some(2)), placed(2, Some(1)), placed(7, Some(9))],
            vec![placed(1, None), placed(1, None)],
            vec![placed(2, Some(1))],
        ];
        // The parent of 7 is of another process.
        assert_eq!(passes(&chunks), [vec![7, 1, 1, 2], vec![3, 2]]);
    }

    #[test]
    fn what_goes_round_in_a_circle_is_taken_in_the_end() {
        let chunks = [vec![placed(1, Some(2))], vec![placed(2, Some(1)), placed(3, Some(3))]];
        let expected: [&[u8]; 2] = [&[], &[1, 2, 3]];
        assert_eq!(passes(&chunks), expected);
    }
}
