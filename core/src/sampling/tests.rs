use std::sync::Arc;
use std::thread;

use super::*;
use crate::SpanId;

/// A root of the trace with this identity.
fn root(trace_id: u128) -> Root<'static> {
    let mut bytes = trace_id.to_le_bytes();
    bytes.reverse();
    let name = ["invoke_agent", " ", "planner"];
    Root { trace_id: TraceId::from_bytes(bytes), parent: Context::NONE, kind: Kind::Agent, name }
}

#[test]
fn a_share_is_chosen_by_the_last_63_bits_as_opentelemetry_does() {
    let half = TraceIdRatio::new(0.5);
    let at = |last: u64| u128::from(last) | 1 << 64;
    assert!(half.is_sampled(&root(at(0))));
    assert!(half.is_sampled(&root(at(0x7fff_ffff_ffff_ffff))));
    assert!(!half.is_sampled(&root(at(0x8000_0000_0000_0000))));
    assert!(!half.is_sampled(&root(at(u64::MAX))));
    // The first half of the identity does not count.
    assert!(half.is_sampled(&root(u128::MAX << 64)));
}

#[test]
fn shares_outside_of_0_to_1_are_the_nearer_of_the_two_and_smaller_ones_lie_within_larger_ones() {
    for all in [1.0, 1.5, f64::INFINITY, f64::NAN] {
        assert!(TraceIdRatio::new(all).is_sampled(&root(u128::MAX)), "{all}");
    }
    for none in [0.0, -0.0, -1.0, f64::NEG_INFINITY] {
        assert!(!TraceIdRatio::new(none).is_sampled(&root(1 << 64)), "{none}");
    }
    let mut counts = [0_u32; 4];
    let mut word = 1_u64;
    for _ in 0..100_000 {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let root = root(u128::from(word) | 1 << 100);
        let chosen = [0.001, 0.1, 0.5, 0.9].map(|ratio| TraceIdRatio::new(ratio).is_sampled(&root));
        assert!(chosen.is_sorted(), "{chosen:?}");
        for (count, chosen) in counts.iter_mut().zip(chosen) {
            *count += u32::from(chosen);
        }
    }
    for (count, expected) in counts.into_iter().zip([100_u32, 10_000, 50_000, 90_000]) {
        assert!(count.abs_diff(expected) < 600, "{count} of {expected}");
    }
}

#[test]
fn a_parent_in_another_process_decides_and_roots_are_asked_for() {
    let remote = |is_sampled| Root {
        parent: Context::remote(TraceId::from_words([1, 1]), SpanId::from_words([1]), is_sampled),
        ..root(1)
    };
    assert!(ParentBased(AlwaysOff).is_sampled(&remote(true)));
    assert!(!ParentBased(AlwaysOn).is_sampled(&remote(false)));
    assert!(ParentBased(AlwaysOn).is_sampled(&root(1)));
    assert!(!ParentBased(AlwaysOff).is_sampled(&root(1)));
}

#[test]
fn a_rate_lets_a_second_of_traces_through_at_once_and_then_keeps_to_itself() {
    const SECOND: u64 = 1_000_000_000;
    let at_rate = |rate| RateLimited::per_second(rate, AlwaysOn);
    let count = |limited: &RateLimited<AlwaysOn>, now: u64| (0..100).filter(|_| limited.take(now)).count();

    let five = at_rate(5.0);
    assert_eq!(count(&five, 0), 5);
    assert_eq!(count(&five, SECOND / 5 - 1), 0);
    assert_eq!(count(&five, SECOND / 5), 1);
    assert_eq!(count(&five, 10 * SECOND), 5, "what was not used is not saved beyond a second");
    assert_eq!((0..1_000).map(|tenth| count(&five, (100 + tenth) * SECOND / 10)).sum::<usize>(), 499);

    let one_in_ten_seconds = at_rate(0.1);
    assert_eq!(count(&one_in_ten_seconds, 0), 1);
    assert_eq!(count(&one_in_ten_seconds, 10 * SECOND - 1), 0);
    assert_eq!(count(&one_in_ten_seconds, 10 * SECOND), 1);

    for none in [0.0, -1.0, f64::NAN] {
        assert_eq!(count(&at_rate(none), SECOND), 0, "{none}");
    }
    assert_eq!(count(&at_rate(f64::INFINITY), 0), 100);
    assert_eq!(count(&at_rate(f64::MIN_POSITIVE), u64::MAX), 0, "the clock ends before");
}

#[test]
fn threads_that_come_at_once_get_no_more_than_the_rate_together() {
    let limited = Arc::new(RateLimited::per_second(100.0, AlwaysOn));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let limited = limited.clone();
            thread::spawn(move || (0..1_000).filter(|_| limited.take(0)).count())
        })
        .collect();
    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 100);
}

#[test]
fn a_limited_rate_is_of_what_the_sampler_within_chooses() {
    let limited = RateLimited::per_second(2.0, |root: &Root<'_>| root.kind == Kind::Tool);
    assert!((0..10).all(|_| !limited.is_sampled(&root(1))));
    let tool = Root { kind: Kind::Tool, ..root(1) };
    assert!(limited.is_sampled(&tool));
}

#[test]
fn kinds_have_rates_of_their_own_and_go_by_traces_in_a_way_of_their_own() {
    let rates = KindRates::default().rate(Kind::Embedding, 0.0).rate(Kind::Turn, 0.5);
    let half = TraceIdRatio::new(0.5);
    let mut counts = [[0_u32; 2]; 2];
    for number in 0..10_000_u64 {
        let last = number.wrapping_mul(0xa076_1d64_78bd_642f);
        let trace_id = root(u128::from(last) | 1 << 100).trace_id;
        for kind in Kind::ALL.iter().copied().filter(|kind| *kind != Kind::Turn) {
            assert_eq!(rates.includes(kind, trace_id), kind != Kind::Embedding);
        }
        let chosen = half.includes(last_word(trace_id));
        counts[usize::from(chosen)][usize::from(rates.includes(Kind::Turn, trace_id))] += 1;
    }
    assert!(counts.as_flattened().iter().all(|count| count.abs_diff(2_500) < 250), "{counts:?}");
    assert!(format!("{rates:?}").starts_with("{Embedding: "), "{rates:?}");
}

#[test]
fn a_root_has_the_name_that_it_starts_with() {
    assert_eq!(root(1).name(), "invoke_agent planner");
    assert_eq!(Root { name: ["run", "", ""], ..root(1) }.name(), "run");
}
