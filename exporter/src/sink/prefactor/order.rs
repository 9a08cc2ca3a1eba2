//! Which requests about the spans of a batch can be sent at the same time.
//!
//! Spans are in an order in which none comes before its parent. A request waits for what stands before its span, and for nothing behind it, so that there
//! is always one that waits for none:
//!
//! * A span is created once its parent is there as it ended, since it says the identity that the server gave to that, and says that it has none where
//!   the server refuses it.
//! * Its own requests come one after the other, also where a second span has the same identity.
//! * Records of quality of the same name come in the order of their spans, as each replaces the one before.

use std::collections::HashMap;

use super::told::{Step, Told};

pub(super) struct Order {
    of: Vec<Place>,
}

/// What there is of one span.
struct Place {
    step: Step,
    /// Whether its request is on its way.
    is_asked: bool,
    /// Where its parent stands before it.
    parents: Vec<usize>,
    /// Where others of its identity stand before it.
    twins: Vec<usize>,
    /// Where the last ones before it stand that have records of the same names.
    recorders: Vec<usize>,
}

impl Order {
    pub(super) fn of(spans: &[Told<'_>]) -> Self {
        let mut places = HashMap::<_, Vec<usize>>::new();
        let mut recorders = HashMap::new();
        let of = spans.iter().enumerate().map(|(at, told)| {
            let stands = |identity| places.get(&identity).cloned().unwrap_or_default();
            let place = Place {
                step: Step::Create,
                is_asked: false,
                parents: told.parent().map(stands).unwrap_or_default(),
                twins: stands(told.identity()),
                recorders: told
                    .recorded_names()
                    .filter_map(|name| recorders.insert(name, at))
                    .filter(|before| *before != at)
                    .collect(),
            };
            places.entry(told.identity()).or_default().push(at);
            place
        });
        Order { of: of.collect() }
    }

    /// The first span whose next request waits for nothing and is one of those wanted, and that request, which is on its way then. `step` says which is
    /// next of a span.
    pub(super) fn next(
        &mut self,
        is_wanted: impl Fn(Step) -> bool,
        step: impl Fn(usize) -> Step,
    ) -> Option<(usize, Step)> {
        for at in 0..self.of.len() {
            if self.of[at].is_asked || self.of[at].step == Step::Done {
                continue;
            }
            let step = step(at);
            self.of[at].step = step;
            if step != Step::Done && is_wanted(step) && self.is_ready(at) {
                self.of[at].is_asked = true;
                return Some((at, step));
            }
        }
        None
    }

    /// Notes that the request about a span is on its way no more.
    pub(super) fn returned(&mut self, at: usize) {
        self.of[at].is_asked = false;
    }

    fn is_ready(&self, at: usize) -> bool {
        let Place { step, parents, twins, recorders, .. } = &self.of[at];
        let are = |of: &[usize], least: Step| of.iter().all(|at| self.of[*at].step >= least);
        are(twins, Step::Done)
            && match step {
                Step::Create => are(parents, Step::Record),
                Step::Record => are(recorders, Step::Done),
                Step::Finish | Step::Done => true,
            }
    }
}

#[cfg(test)]
mod tests {
    use spanring::{SpanId, names};
    use spanring_spool::{SpanData, Value};

    use super::*;
    use crate::sink::tests::span;

    fn under(parent: u8, span: SpanData) -> SpanData {
        SpanData { parent_id: Some(SpanId::from_bytes([parent; 8])), ..span }
    }

    fn id(number: u8) -> SpanData {
        SpanData { span_id: SpanId::from_bytes([number; 8]), ..span(1) }
    }

    fn with_quality(name: &str, span: SpanData) -> SpanData {
        let record = Value::Map(vec![("name".to_owned(), name.into())]);
        let attributes = vec![(names::QUALITY.to_owned(), Value::List(vec![record]))];
        SpanData { attributes, ..span }
    }

    /// What is sent at the same time, wave after wave, where each step leads to the next of these.
    fn waves(spans: &[SpanData], steps: &[Step]) -> String {
        let told: Vec<_> = spans.iter().map(Told::whole).collect();
        let mut order = Order::of(&told);
        let mut done = vec![0; spans.len()];
        let mut waves = Vec::new();
        loop {
            let mut wave = Vec::new();
            while let Some(asked) = order.next(|_| true, |at| steps[done[at]]) {
                wave.push(asked);
            }
            if wave.is_empty() {
                assert!(done.iter().all(|done| steps[*done] == Step::Done), "some wait for ever: {waves:?}");
                return waves.join(" | ");
            }
            let word =
                |(at, step): &(usize, Step)| format!("{}{at}", &format!("{step:?}")[..1].to_lowercase());
            waves.push(wave.iter().map(word).collect::<Vec<_>>().join(" "));
            for (at, _) in wave {
                done[at] += 1;
                order.returned(at);
            }
        }
    }

    const CREATED: [Step; 2] = [Step::Create, Step::Done];
    const FINISHED: [Step; 3] = [Step::Create, Step::Finish, Step::Done];
    const RECORDED: [Step; 3] = [Step::Create, Step::Record, Step::Done];

    #[test]
    fn spans_wait_for_their_parents_and_for_no_others() {
        let tree = [id(1), under(1, id(2)), under(1, id(3)), under(3, id(4)), id(5), under(99, id(6))];
        assert_eq!(waves(&tree, &CREATED), "c0 c4 c5 | c1 c2 | c3");
        assert_eq!(waves(&tree[..3], &FINISHED), "c0 | f0 | c1 c2 | f1 f2");
    }

    #[test]
    fn spans_of_one_identity_come_one_after_the_other_and_circles_hold_nobody_up() {
        assert_eq!(waves(&[id(1), id(1), under(1, id(2))], &CREATED), "c0 | c1 | c2");
        assert_eq!(waves(&[under(1, id(1))], &CREATED), "c0");
        assert_eq!(waves(&[under(2, id(1)), under(1, id(2))], &CREATED), "c0 | c1");
    }

    #[test]
    fn records_of_one_name_come_in_the_order_of_their_spans() {
        let spans = [
            with_quality("a", id(1)),
            with_quality("a", under(1, id(2))),
            with_quality("b", id(3)),
            with_quality("a", id(4)),
        ];
        assert_eq!(waves(&spans, &RECORDED), "c0 c2 c3 | r0 c1 r2 | r1 | r3");
    }

    #[test]
    fn what_is_on_its_way_is_not_sent_again_before_it_came_back() {
        let spans = [id(1)];
        let told = [Told::whole(&spans[0])];
        let mut order = Order::of(&told);
        assert_eq!(order.next(|step| step != Step::Create, |_| Step::Create), None);
        assert_eq!(order.next(|_| true, |_| Step::Create), Some((0, Step::Create)));
        assert_eq!(order.next(|_| true, |_| Step::Create), None);
        order.returned(0);
        assert_eq!(order.next(|_| true, |_| Step::Create), Some((0, Step::Create)));
    }
}
