//! Which traces are recorded, and which of their spans.
//!
//! Whether a trace is recorded is decided once, when its first span in this process starts: a root, or the child of a span of another
//! process. All spans under it go by that, on whichever thread; so do other processes that are told by
//! [`propagation`](crate::propagation). Of a trace that is not recorded, every span counts as *sampled out*: it is neither started nor
//! dropped, costs an identity at most, and its context says so.
//!
//! ```
//! use spanring::sampling::{ParentBased, RateLimited, Root, Sampler, TraceIdRatio};
//!
//! let one_in_ten = ParentBased(TraceIdRatio::new(0.1));
//! let five_a_second = ParentBased(RateLimited::per_second(5.0, TraceIdRatio::new(1.0)));
//! let of_my_own = |root: &Root<'_>| root.kind == spanring::Kind::Agent;
//! # fn is_sampler(_: impl Sampler) {}
//! # is_sampler(one_in_ten); is_sampler(five_a_second); is_sampler(of_my_own);
//! ```
//!
//! Without a sampler every trace is recorded but those that another process has decided against: OpenTelemetry's
//! `parentbased_always_on`. A sampler that panics has sampled the trace; that is counted.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::context::Context;
use crate::{Kind, TraceId};

/// Decides whether a trace is recorded.
///
/// It is called on the thread that starts the trace, which waits for it. Spans that it starts itself are not decided upon.
pub trait Sampler: Send + Sync {
    /// Whether the trace is recorded.
    fn is_sampled(&self, root: &Root<'_>) -> bool;
}

impl<F: Fn(&Root<'_>) -> bool + Send + Sync> Sampler for F {
    fn is_sampled(&self, root: &Root<'_>) -> bool {
        self(root)
    }
}

/// The first span of a trace in this process, before it starts.
#[derive(Clone, Copy, Debug)]
pub struct Root<'a> {
    /// The trace.
    pub trace_id: TraceId,
    /// The span of another process that it is under; [`Context::NONE`] for a root.
    pub parent: Context,
    /// What it stands for.
    pub kind: Kind,
    pub(crate) name: [&'a str; 3],
}

impl Root<'_> {
    /// What it is called when it starts.
    pub fn name(&self) -> Cow<'_, str> {
        match self.name {
            [name, "", ""] => Cow::Borrowed(name),
            parts => Cow::Owned(parts.concat()),
        }
    }
}

/// Records every trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysOn;

impl Sampler for AlwaysOn {
    fn is_sampled(&self, _: &Root<'_>) -> bool {
        true
    }
}

/// Records no trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysOff;

impl Sampler for AlwaysOff {
    fn is_sampled(&self, _: &Root<'_>) -> bool {
        false
    }
}

/// Records a share of the traces, chosen by their identities: as OpenTelemetry's `traceidratio` does, so that processes which know
/// nothing of each other choose the same ones, and those of a smaller share are among those of a larger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceIdRatio {
    /// What the identity's last 63 bits must be below.
    below: u64,
}

impl TraceIdRatio {
    /// A share from 0 to 1. What lies outside counts as the nearer of the two, and what is no number as 1.
    #[expect(clippy::cast_possible_truncation, reason = "the product lies between 0 and 2⁶³")]
    #[expect(clippy::cast_sign_loss, reason = "the product lies between 0 and 2⁶³")]
    pub fn new(ratio: f64) -> Self {
        let ratio = if ratio.is_nan() { 1.0 } else { ratio.clamp(0.0, 1.0) };
        TraceIdRatio { below: (ratio * (1_u64 << 63) as f64) as u64 }
    }

    fn includes(self, word: u64) -> bool {
        word >> 1 < self.below
    }
}

/// The last half of an identity.
fn last_word(trace_id: TraceId) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = trace_id.to_bytes();
    [a, b, c, d, e, f, g, h].into_iter().fold(0, |word, byte| word << 8 | u64::from(byte))
}

impl Sampler for TraceIdRatio {
    fn is_sampled(&self, root: &Root<'_>) -> bool {
        self.includes(last_word(root.trace_id))
    }
}

/// Does as the other process did where the trace comes from one, and asks the sampler within for others.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParentBased<S>(
    /// Decides on roots.
    pub S,
);

impl<S: Sampler> Sampler for ParentBased<S> {
    fn is_sampled(&self, root: &Root<'_>) -> bool {
        if root.parent.is_valid() { root.parent.is_sampled() } else { self.0.is_sampled(root) }
    }
}

/// Records no more traces a second than were asked for, of those that the sampler within chooses. As many as come in a second may come
/// at once; then they must keep to the rate. Of a rate below one a second, one trace may come at once.
///
/// It takes no lock: threads that start traces at the same moment try again until one of them has gone first.
#[derive(Debug)]
pub struct RateLimited<S> {
    sampler: S,
    began: Instant,
    /// How long a trace takes of the rate, in nanoseconds; `u64::MAX` for none at all.
    interval_ns: u64,
    /// How far ahead of the clock traces may run.
    burst_ns: u64,
    /// When the next trace is due, in nanoseconds since `began` with the burst ahead of it.
    due_ns: AtomicU64,
}

impl<S: Sampler> RateLimited<S> {
    /// This many traces a second. What is no number, or not above 0, is none.
    #[expect(clippy::cast_possible_truncation, reason = "a conversion that saturates is what is meant")]
    #[expect(clippy::cast_sign_loss, reason = "the rate is above 0")]
    pub fn per_second(rate: f64, sampler: S) -> Self {
        let interval_ns = if rate > 0.0 { (1e9 / rate) as u64 } else { u64::MAX };
        RateLimited {
            sampler,
            began: Instant::now(),
            interval_ns,
            burst_ns: interval_ns.max(1_000_000_000),
            due_ns: AtomicU64::new(0),
        }
    }

    /// Takes one from the rate at this moment.
    fn take(&self, now_ns: u64) -> bool {
        if self.interval_ns == u64::MAX {
            return false;
        }
        let next = |due: u64| {
            let due = due.max(now_ns).saturating_add(self.interval_ns);
            (due <= now_ns.saturating_add(self.burst_ns)).then_some(due)
        };
        self.due_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

impl<S: Sampler> Sampler for RateLimited<S> {
    fn is_sampled(&self, root: &Root<'_>) -> bool {
        let now = self.began.elapsed().as_nanos();
        self.sampler.is_sampled(root) && self.take(u64::try_from(now).unwrap_or(u64::MAX))
    }
}

/// How many of the spans of each kind are recorded: all, where nothing is said. A span that is left out counts as sampled out, and what
/// would be under it is under what it would be under. If it is the first of its trace, all of the trace is sampled out.
///
/// Spans are chosen by the identity of their trace, so in a trace there are all spans of a kind or none; and by it in another way than
/// [`TraceIdRatio`] does, so that a tenth of the embeddings in a tenth of the traces is a hundredth.
///
/// ```
/// use spanring::Kind;
/// use spanring::sampling::KindRates;
///
/// let rates = KindRates::default().rate(Kind::Embedding, 0.0).rate(Kind::Retrieval, 0.1);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KindRates {
    rates: [TraceIdRatio; Kind::ALL.len()],
}

impl Default for KindRates {
    fn default() -> Self {
        KindRates { rates: [TraceIdRatio::new(1.0); Kind::ALL.len()] }
    }
}

impl KindRates {
    /// The share of the spans of a kind that is recorded: see [`TraceIdRatio::new`].
    #[must_use]
    pub fn rate(mut self, kind: Kind, ratio: f64) -> Self {
        self.rates[kind as usize] = TraceIdRatio::new(ratio);
        self
    }

    pub(crate) fn includes(&self, kind: Kind, trace_id: TraceId) -> bool {
        // Mixed, so that it does not go by what traces were chosen by.
        let mixed = last_word(trace_id).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        self.rates[kind as usize].includes(mixed.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }
}

impl fmt::Debug for KindRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = TraceIdRatio::new(1.0);
        f.debug_map().entries(Kind::ALL.iter().zip(&self.rates).filter(|(_, rate)| **rate != all)).finish()
    }
}

#[cfg(test)]
mod tests;
