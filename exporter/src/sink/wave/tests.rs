use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::sink::tests::Spans;
use crate::sink::{Delivery, Sink};

/// A wave of batches of these lengths in bytes, as wide as a receiver takes them that is known to.
pub(in crate::sink) fn wave<'a>(
    spans: &'a Spans,
    lens: &[usize],
    limit: usize,
) -> (Wave<'a>, watch::Sender<bool>) {
    let (stop, stopped) = watch::channel(false);
    let width = Width { now: limit, ..Width::new(limit) };
    (Wave::new(lens.iter().map(|len| (spans.batch(), *len)), width, stopped), stop)
}

fn begun(wave: &mut Wave<'_>) -> Vec<usize> {
    std::iter::from_fn(|| wave.begin()).map(|(number, _)| number).collect()
}

pub(in crate::sink) fn outcomes(wave: Wave<'_>) -> Vec<Option<Outcome>> {
    wave.into_sent().map(|sent| sent.outcome).collect()
}

fn retry() -> Outcome {
    Outcome::Retry { after: None, reason: "busy".to_owned() }
}

fn refused() -> Outcome {
    Outcome::Rejected { reason: "no".to_owned() }
}

#[test]
fn a_receiver_that_nothing_is_known_of_gets_one_batch_and_one_more_for_each_that_it_takes() {
    let spans = Spans::new(1);
    let (_stop, stopped) = watch::channel(false);
    let batches = (0..20).map(|_| (spans.batch(), 1));
    let mut wave = Wave::new(batches, Width::new(4), stopped);
    assert_eq!(begun(&mut wave), [0]);
    wave.answered(0, Outcome::DELIVERED);
    assert_eq!(begun(&mut wave), [1, 2]);
    wave.answered(2, Outcome::DELIVERED);
    wave.answered(1, Outcome::DELIVERED);
    assert_eq!(begun(&mut wave), [3, 4, 5, 6]);
    wave.answered(5, Outcome::DELIVERED);
    assert_eq!(begun(&mut wave), [7], "no more than the limit");
    assert_eq!(wave.into_sent().len(), 8);
}

#[test]
fn after_the_first_batch_that_is_not_taken_none_is_begun_and_what_is_on_its_way_counts() {
    for failure in [retry(), refused(), Outcome::Parked { reason: "closed".to_owned() }] {
        let spans = Spans::new(1);
        let (mut wave, _stop) = wave(&spans, &[1; 9], 4);
        assert_eq!(begun(&mut wave), [0, 1, 2, 3]);
        wave.answered(1, failure.clone());
        wave.answered(3, Outcome::DELIVERED);
        wave.answered(0, retry());
        assert_eq!(begun(&mut wave), [0; 0]);
        assert_eq!(wave.width().now(), 1, "what comes next is one batch");
        let expected = [Some(retry()), Some(failure), None, Some(Outcome::DELIVERED)];
        assert_eq!(outcomes(wave), expected);
    }
}

#[test]
fn what_is_on_its_way_is_bounded_in_bytes_unless_it_is_one_batch() {
    let spans = Spans::new(1);
    let lens = [BYTES_MAX / 2, BYTES_MAX / 2, 1, 2 * BYTES_MAX, 1];
    let (mut wave, _stop) = wave(&spans, &lens, 8);
    assert_eq!(begun(&mut wave), [0, 1]);
    wave.answered(1, Outcome::DELIVERED);
    assert_eq!(begun(&mut wave), [2]);
    wave.answered(0, Outcome::DELIVERED);
    assert_eq!(begun(&mut wave), [0; 0]);
    wave.answered(2, Outcome::DELIVERED);
    assert_eq!(begun(&mut wave), [3]);
    wave.answered(3, Outcome::DELIVERED);
    assert_eq!(begun(&mut wave), [4]);
}

#[test]
fn nothing_is_begun_once_a_stop_is_asked_for() {
    let spans = Spans::new(1);
    let (mut wave, stop) = wave(&spans, &[1; 9], 2);
    assert_eq!(begun(&mut wave), [0, 1]);
    stop.send(true).unwrap();
    wave.answered(0, Outcome::DELIVERED);
    assert_eq!(begun(&mut wave), [0; 0]);
    assert_eq!(outcomes(wave), [Some(Outcome::DELIVERED), None]);
}

#[test]
fn an_answer_to_nothing_and_a_second_one_do_not_count() {
    let spans = Spans::new(1);
    let (mut wave, _stop) = wave(&spans, &[1; 3], 2);
    assert_eq!(begun(&mut wave), [0, 1]);
    for number in [0, 0, 2, 9] {
        wave.answered(number, Outcome::DELIVERED);
    }
    wave.answered(0, refused());
    assert_eq!(begun(&mut wave), [2]);
    assert_eq!(outcomes(wave), [Some(Outcome::DELIVERED), None, None]);
}

#[test]
fn what_was_too_much_at_once_is_halved_and_tried_again_once_much_was_taken() {
    let mut width = Width::new(8);
    let widest = |width: &mut Width| {
        (0..8).for_each(|_| width.taken());
        width.now()
    };
    assert_eq!((width.now(), widest(&mut width)), (1, 8));
    for (in_flight, expected) in [(1, 8), (8, 4), (8, 4), (4, 2), (3, 1), (2, 1)] {
        width.overloaded(in_flight);
        assert_eq!((width.now(), widest(&mut width)), (1, expected), "{in_flight}");
    }
    width.narrow();
    for expected in [2, 3, 4, 5, 6, 7, 8, 8] {
        (0..TAKEN_MIN).for_each(|_| width.taken());
        assert_eq!(widest(&mut width), expected);
        width.narrow();
    }
}

#[tokio::test(start_paused = true)]
async fn answers_may_come_in_any_order_and_the_next_batch_waits_for_any_of_them() {
    let spans = Spans::new(1);
    let (mut wave, _stop) = wave(&spans, &[1; 8], 4);
    let number = std::cell::Cell::new(0);
    let began = Instant::now();
    let order = std::cell::RefCell::new(Vec::new());
    let send = |_: Batch<'_>| {
        let (this, order) = (number.get(), &order);
        number.set(this + 1);
        async move {
            // Later ones before earlier ones.
            sleep(Duration::from_millis(if this % 4 == 0 { 100 } else { 10 * (4 - this % 4) })).await;
            order.borrow_mut().push(this);
            Outcome::Delivered { rejected: this, message: String::new() }
        }
    };
    wave.deliver(send).await;
    // The first of four and three rounds of the others: a wave does not wait for its slowest.
    assert!(began.elapsed() < Duration::from_millis(150), "{:?}", began.elapsed());
    let order = order.into_inner();
    assert!(!order.is_sorted(), "{order:?}");
    let rejected = |outcome| match outcome {
        Some(Outcome::Delivered { rejected, .. }) => rejected,
        other => panic!("{other:?}"),
    };
    assert!(outcomes(wave).into_iter().map(rejected).eq(0..8));
}

/// Takes one batch after the other, and none after so many.
struct Single(usize);

impl Sink for Single {
    fn name(&self) -> &str {
        "single"
    }

    fn deliver<'a>(&'a mut self, _: &'a Batch<'a>) -> Delivery<'a> {
        let is_taken = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        Box::pin(async move { if is_taken { Outcome::DELIVERED } else { retry() } })
    }
}

#[tokio::test]
async fn a_sink_that_takes_one_batch_at_a_time_takes_a_wave_one_after_the_other() {
    let spans = Spans::new(1);
    let (mut wave, _stop) = wave(&spans, &[1; 5], 4);
    Single(3).deliver_wave(&mut wave).await;
    let expected = [Outcome::DELIVERED, Outcome::DELIVERED, Outcome::DELIVERED, retry()];
    assert_eq!(outcomes(wave), expected.map(Some));
}
