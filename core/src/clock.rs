//! The clock of recording: raw ticks now, nanoseconds later.
//!
//! A span carries ticks, because reading the time-stamp counter costs half of what the operating system's clock
//! does. An [`Anchor`] ties ticks to the system's clocks at one moment; a [`Timeline`] made of two anchors turns ticks
//! into time. Where the counter is missing, or the kernel does not trust it, ticks are nanoseconds of
//! `CLOCK_MONOTONIC`.
#![expect(unsafe_code, reason = "the counter and the system's clocks are read by intrinsics and libc calls")]

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

const UNDECIDED: u8 = 0;
const COUNTER: u8 = 1;
const SYSTEM: u8 = 2;

/// Decided once, before the first recorder is installed; it orders nothing, hence Relaxed.
static SOURCE: AtomicU8 = AtomicU8::new(UNDECIDED);

/// Where ticks come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The processor's time-stamp counter.
    Counter,
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    System,
}

/// Decides where ticks come from, once per process.
pub fn source() -> Source {
    match SOURCE.load(Ordering::Relaxed) {
        COUNTER => Source::Counter,
        SYSTEM => Source::System,
        _ => {
            let source = if counter_is_trusted() { Source::Counter } else { Source::System };
            SOURCE.store(if source == Source::Counter { COUNTER } else { SYSTEM }, Ordering::Relaxed);
            source
        }
    }
}

/// The present moment, in ticks.
#[inline]
pub(crate) fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    if SOURCE.load(Ordering::Relaxed) == COUNTER {
        // SAFETY: every x86-64 processor has the instruction.
        return unsafe { std::arch::x86_64::_rdtsc() };
    }
    system_ticks()
}

#[cold]
#[inline(never)]
fn system_ticks() -> u64 {
    system_ns(libc::CLOCK_MONOTONIC)
}

/// The present moment in nanoseconds since the Unix epoch, from the operating system.
pub fn unix_ns() -> u64 {
    system_ns(libc::CLOCK_REALTIME)
}

/// The kernel uses the counter as its own clock only where it runs at one rate on all cores and through sleep.
fn counter_is_trusted() -> bool {
    cfg!(target_arch = "x86_64")
        && std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
            .is_ok_and(|name| name.trim() == "tsc")
}

fn system_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill; on failure it stays zero.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// One moment on all clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Anchor {
    /// Ticks.
    pub ticks: u64,
    /// Nanoseconds since the Unix epoch.
    pub realtime_ns: u64,
    /// `CLOCK_MONOTONIC`, in nanoseconds: stands still while the machine sleeps.
    pub monotonic_ns: u64,
    /// `CLOCK_BOOTTIME`, in nanoseconds: does not stand still.
    pub boottime_ns: u64,
}

impl Anchor {
    /// The present moment: the least disturbed of a few readings.
    pub fn now() -> Self {
        source();
        let mut best = (u64::MAX, Anchor::default());
        for _ in 0..5 {
            let before = ticks();
            let realtime_ns = system_ns(libc::CLOCK_REALTIME);
            let between = ticks();
            let monotonic_ns = system_ns(libc::CLOCK_MONOTONIC);
            let boottime_ns = system_ns(BOOTTIME);
            let taken = between.saturating_sub(before);
            if taken < best.0 {
                best = (taken, Anchor { ticks: before + taken / 2, realtime_ns, monotonic_ns, boottime_ns });
            }
        }
        best.1
    }
}

#[cfg(target_os = "linux")]
const BOOTTIME: libc::clockid_t = libc::CLOCK_BOOTTIME;
#[cfg(not(target_os = "linux"))]
const BOOTTIME: libc::clockid_t = libc::CLOCK_MONOTONIC;

/// Turns ticks into time. Made from anchors; good for moments within seconds of its base.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Timeline {
    /// The ticks of the base.
    pub base_ticks: u64,
    /// The base in nanoseconds since the Unix epoch.
    pub base_unix_ns: u64,
    /// How many ticks pass in a second; above zero.
    pub ticks_per_second: f64,
}

impl Timeline {
    /// A timeline based at `later`, at the rate measured since `earlier`. `None` where the two are too close to
    /// measure by, less than a millisecond.
    pub fn between(earlier: &Anchor, later: &Anchor) -> Option<Self> {
        let ns = later.monotonic_ns.checked_sub(earlier.monotonic_ns).filter(|&ns| ns >= 1_000_000)?;
        let ticks = later.ticks.checked_sub(earlier.ticks).filter(|&ticks| ticks > 0)?;
        Some(Timeline {
            base_ticks: later.ticks,
            base_unix_ns: later.realtime_ns,
            ticks_per_second: ticks as f64 / (ns as f64 / 1e9),
        })
    }

    /// A timeline that starts now. Takes a few milliseconds, to measure the rate of the ticks.
    pub fn measure() -> (Anchor, Self) {
        let earlier = Anchor::now();
        let mut wait = Duration::from_millis(4);
        loop {
            std::thread::sleep(wait);
            let later = Anchor::now();
            if let Some(timeline) = Timeline::between(&earlier, &later) {
                return (later, timeline);
            }
            wait *= 2;
        }
    }

    /// The moment in nanoseconds since the Unix epoch.
    #[inline]
    pub fn unix_ns(&self, ticks: u64) -> u64 {
        if ticks >= self.base_ticks {
            self.base_unix_ns.saturating_add(self.elapsed_ns(self.base_ticks, ticks))
        } else {
            self.base_unix_ns.saturating_sub(self.elapsed_ns(ticks, self.base_ticks))
        }
    }

    /// How many nanoseconds lie between two moments; 0 where the second is the earlier.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a conversion from floating point saturates, as is wanted"
    )]
    pub fn elapsed_ns(&self, from_ticks: u64, to_ticks: u64) -> u64 {
        // Half a nanosecond more and cut off: rounding would be a call on processors without an instruction for it.
        (to_ticks.saturating_sub(from_ticks) as f64 * (1e9 / self.ticks_per_second) + 0.5) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_the_time_that_the_system_shows() {
        let (_, timeline) = Timeline::measure();
        std::thread::sleep(Duration::from_millis(20));
        let anchor = Anchor::now();
        // A step of the system's clock in these 20 ms would fail this, nothing else.
        assert!(timeline.unix_ns(anchor.ticks).abs_diff(anchor.realtime_ns) < 5_000_000);
    }

    #[test]
    fn time_before_the_base_and_reversed_intervals_are_well_defined() {
        let timeline = Timeline { base_ticks: 1000, base_unix_ns: 50_000, ticks_per_second: 2e9 };
        assert_eq!(timeline.unix_ns(1200), 50_100);
        assert_eq!(timeline.unix_ns(800), 49_900);
        assert_eq!(timeline.unix_ns(0), 49_500);
        assert_eq!(timeline.elapsed_ns(1200, 800), 0);
        assert_eq!(Timeline { base_unix_ns: 3, ..timeline }.unix_ns(0), 0);
    }

    #[test]
    fn anchors_too_close_to_measure_by_give_no_rate() {
        let anchor = Anchor { ticks: 10, realtime_ns: 10, monotonic_ns: 10, boottime_ns: 10 };
        assert_eq!(Timeline::between(&anchor, &anchor), None);
    }
}
