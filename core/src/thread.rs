//! What each thread keeps for recording: its lane, its current span, and a few caches.

#![expect(
    unsafe_code,
    reason = "a thread's own state is reached by a pointer that does not leave the thread"
)]

use std::cell::Cell;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::context::Context;
use crate::control::Counter;
use crate::lane::Lane;
use crate::record::{INLINE, key_in, key_word};
use crate::recorder::{self, Recorder};
use crate::{SpanId, TraceId, dictionary};

/// No recorder has this generation, and it is not that of none.
const NO_GENERATION: u32 = u32::MAX - 1;
/// How many spans can be entered at once.
const DEPTH_MAX: usize = 64;
/// How many keys are cached, and how many of those that found their place taken: powers of two.
const KEYS_CACHED: usize = 512;
const OTHERS_CACHED: usize = 64;

thread_local! {
    /// Without a destructor, so that it is there as long as the thread, and costs no check.
    pub(crate) static LOCAL: Local = const { Local::new() };
    /// Gives the lane back when the thread ends. Touched only when a lane is taken.
    static DETACH: Detach = const { Detach };
}

/// This thread's state, for the length of a call. Unlike [`std::thread::LocalKey::with`] it needs no closure: with one, what a
/// call has in registers goes through memory.
#[inline(always)]
pub(crate) fn local() -> LocalRef {
    LocalRef(LOCAL.with(|local| NonNull::from(local)))
}

/// See [`local`]. Not `Send`, and not to be kept.
pub(crate) struct LocalRef(NonNull<Local>);

impl Deref for LocalRef {
    type Target = Local;

    #[inline(always)]
    fn deref(&self) -> &Local {
        // SAFETY: `LOCAL` has no destructor, so it is there as long as its thread, and the pointer does not leave that: it is
        // not `Send`, and nothing in this crate keeps one beyond a call. All its fields are cells, so there is no `&mut`.
        unsafe { self.0.as_ref() }
    }
}

/// The state of one thread.
pub(crate) struct Local {
    /// The recorder's generation that `lane` belongs to; [`NO_GENERATION`] for none.
    generation: Cell<u32>,
    /// How long a body in its first cell may become on the short way.
    room: Cell<u32>,
    /// The lane, where spans of this thread may take the short way.
    short: Cell<Option<(&'static Lane, &'static Recorder)>>,
    lane: Cell<Option<(&'static Lane, &'static Recorder)>>,
    /// Whether the thread has begun to end, so that it must not take a lane again.
    ending: Cell<bool>,
    /// Whether this thread is within a sampler or processor.
    in_hook: Cell<bool>,
    /// The state of the generator of identities; 0 where it must be seeded.
    random: Cell<u64>,
    salt: Cell<u64>,
    /// How many places of `entered` are in use.
    depth: Cell<usize>,
    /// How many contexts were ever entered.
    serial: Cell<u64>,
    /// The entered contexts with their serials, oldest first and without gaps.
    entered: [(Cell<u64>, Cell<Context>); DEPTH_MAX],
    /// Numbers of keys, by the lowest bits of the address of their text: literals lie one behind the other, so few share a place.
    keys: [CachedKey; KEYS_CACHED],
    others: [CachedKey; OTHERS_CACHED],
}

/// Of cells rather than in one, so that looking at it does not copy it.
#[repr(align(32))]
struct CachedKey {
    address: Cell<usize>,
    len: Cell<usize>,
    /// The number, where it stands in the first word of an entry.
    word: Cell<u64>,
}

const _: () = assert!(KEYS_CACHED.is_power_of_two() && OTHERS_CACHED.is_power_of_two());

impl CachedKey {
    const fn new() -> Self {
        CachedKey { address: Cell::new(0), len: Cell::new(0), word: Cell::new(0) }
    }

    #[inline(always)]
    fn is(&self, text: &'static str) -> bool {
        self.address.get() == text.as_ptr() as usize && self.len.get() == text.len()
    }

    fn set(&self, address: usize, len: usize, word: u64) {
        self.address.set(address);
        self.len.set(len);
        self.word.set(word);
    }
}

impl Local {
    const fn new() -> Self {
        Local {
            generation: Cell::new(NO_GENERATION),
            room: Cell::new(0),
            short: Cell::new(None),
            lane: Cell::new(None),
            ending: Cell::new(false),
            in_hook: Cell::new(false),
            random: Cell::new(0),
            salt: Cell::new(0),
            depth: Cell::new(0),
            serial: Cell::new(0),
            entered: [const { (Cell::new(0), Cell::new(Context::NONE)) }; DEPTH_MAX],
            keys: [const { CachedKey::new() }; KEYS_CACHED],
            others: [const { CachedKey::new() }; OTHERS_CACHED],
        }
    }

    /// Says that a hook is about to be called; `false` where one is being called already, and must not be again.
    pub(crate) fn begin_hook(&self) -> bool {
        !self.in_hook.replace(true)
    }

    /// Says that the hook has returned.
    pub(crate) fn end_hook(&self) {
        self.in_hook.set(false);
    }

    /// The lane for recording in the given generation, if this thread holds one.
    #[inline]
    pub(crate) fn lane_of(&self, generation: u32) -> Option<(&'static Lane, &'static Recorder)> {
        if self.generation.get() == generation { self.lane.get() } else { None }
    }

    /// The lane, where spans take the short way.
    #[inline(always)]
    pub(crate) fn lane_on_short_way(&self) -> Option<&'static Lane> {
        self.short.get().map(|(lane, _)| lane)
    }

    /// The same for recording in the given generation, with the room on the short way.
    #[inline(always)]
    pub(crate) fn lane_to_start_in(
        &self,
        generation: u32,
    ) -> Option<(&'static Lane, &'static Recorder, u32)> {
        if self.generation.get() != generation {
            return None;
        }
        let (lane, recorder) = self.short.get()?;
        Some((lane, recorder, self.room.get()))
    }

    /// The lane, if it is one of this recorder.
    #[inline]
    pub(crate) fn lane_in(&self, recorder: &'static Recorder) -> Option<&'static Lane> {
        self.lane.get().filter(|(_, of)| std::ptr::eq(*of, recorder)).map(|(lane, _)| lane)
    }

    /// Takes a lane of the recorder for this thread. `None` where none is free, or the thread is ending.
    #[cold]
    #[inline(never)]
    pub(crate) fn attach(&self, generation: u32, recorder: &'static Recorder) -> Option<&'static Lane> {
        if self.ending.get() || DETACH.try_with(|_| ()).is_err() {
            return None;
        }
        self.detach();
        let lane = recorder.take_lane()?;
        if self.random.get() == 0 {
            self.seed();
        }
        self.lane.set(Some((lane, recorder)));
        self.short.set(recorder.has_short_way().then_some((lane, recorder)));
        self.room.set(recorder.room_on_short_way());
        self.generation.set(generation);
        Some(lane)
    }

    /// Gives the lane back.
    pub(crate) fn detach(&self) {
        self.forget_lane();
        if let Some((lane, recorder)) = self.lane.take() {
            recorder.give_lane_back(lane);
        }
    }

    /// In a forked child: forgets the lane, which is the parent's, and the state of the generator, which both have.
    pub(crate) fn reset_after_fork(&self) {
        self.forget_lane();
        self.lane.set(None);
        self.random.set(0);
    }

    fn forget_lane(&self) {
        self.generation.set(NO_GENERATION);
        self.short.set(None);
    }

    /// A new trace identity.
    #[inline]
    pub(crate) fn new_trace_id(&self) -> TraceId {
        let (low, high) = (self.next_random(), self.next_random() ^ self.salt.get());
        TraceId::from_words([low, high])
    }

    /// A new span identity.
    #[inline]
    pub(crate) fn new_span_id(&self) -> SpanId {
        SpanId::from_words([self.next_random()])
    }

    /// The next number of a Weyl sequence, mixed by one multiplication; never 0.
    fn next_random(&self) -> u64 {
        if self.random.get() == 0 {
            self.seed();
        }
        self.next_of_seeded()
    }

    /// A new span identity, on a thread that has had a lane.
    #[inline(always)]
    pub(crate) fn new_span_id_of_seeded(&self) -> SpanId {
        SpanId::from_words([self.next_of_seeded()])
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the product's halves are folded into one word")]
    fn next_of_seeded(&self) -> u64 {
        let state = self.random.get().wrapping_add(0xa076_1d64_78bd_642f);
        self.random.set(state);
        let product = u128::from(state) * u128::from(state ^ 0xe703_7ed1_a0b4_28db);
        let mixed = (product >> 64) as u64 ^ product as u64;
        if mixed == 0 { 1 } else { mixed }
    }

    #[cold]
    #[inline(never)]
    fn seed(&self) {
        self.salt.set(random_word());
        self.random.set(random_word() | 1);
    }

    /// The context of the span that was entered last and not left.
    #[inline]
    pub(crate) fn current(&self) -> Context {
        self.last().map_or(Context::NONE, |(_, context)| context.get())
    }

    #[inline]
    fn last(&self) -> Option<&(Cell<u64>, Cell<Context>)> {
        self.entered.get(self.depth.get().checked_sub(1)?)
    }

    /// Makes a context current, and says as the how-manieth of its thread: no two have one serial. Where there is no room it is not
    /// made current, and its serial is that of nothing.
    #[inline]
    pub(crate) fn enter(&self, context: Context) -> u64 {
        let (depth, serial) = (self.depth.get(), self.serial.get().wrapping_add(1));
        self.serial.set(serial);
        if let Some((entered_as, entered)) = self.entered.get(depth) {
            entered_as.set(serial);
            entered.set(context);
            self.depth.set(depth + 1);
        }
        serial
    }

    #[inline]
    fn is_last(&self, serial: u64) -> bool {
        self.last().is_some_and(|(entered_as, _)| entered_as.get() == serial)
    }

    /// Takes away what was entered under a serial.
    #[inline]
    pub(crate) fn leave(&self, serial: u64) {
        if self.is_last(serial) {
            self.depth.set(self.depth.get() - 1);
        } else {
            self.leave_out_of_order(serial);
        }
    }

    /// Takes away what was entered under a serial, and everything that was entered since.
    #[inline]
    pub(crate) fn leave_scope(&self, serial: u64) {
        if self.is_last(serial) {
            self.depth.set(self.depth.get() - 1);
        } else {
            self.leave_scope_out_of_order(serial);
        }
    }

    /// A guard is dropped before something was left that was entered after it; or there is nothing of it any more, or never was.
    #[cold]
    #[inline(never)]
    fn leave_out_of_order(&self, serial: u64) {
        let entered = &self.entered[..self.depth.get()];
        if let Some(at) = entered.iter().position(|(entered_as, _)| entered_as.get() == serial) {
            for pair in entered[at..].windows(2) {
                let [(to_serial, to), (serial, context)] = pair else { continue };
                to_serial.set(serial.get());
                to.set(context.get());
            }
            self.depth.set(entered.len() - 1);
            count_out_of_order();
        }
    }

    /// A scope ends, and guards that were made within are still there; or there was no room for it.
    #[cold]
    #[inline(never)]
    fn leave_scope_out_of_order(&self, serial: u64) {
        while let Some((entered_as, _)) = self.last().filter(|(entered_as, _)| entered_as.get() >= serial) {
            self.depth.set(self.depth.get() - 1);
            if entered_as.get() > serial {
                count_out_of_order();
            }
        }
    }

    /// The number of a key or name in the dictionary, or `record::INLINE`.
    pub(crate) fn number_of(&self, text: &'static str) -> u16 {
        key_in(self.key_word(text).unwrap_or(key_word(INLINE)))
    }

    /// The number of a key or name in the dictionary, where it stands in the first word of an entry. `None`: it has none.
    #[inline(always)]
    pub(crate) fn key_word(&self, text: &'static str) -> Option<u64> {
        let first = &self.keys[text.as_ptr() as usize % KEYS_CACHED];
        // What has no number is never here.
        if first.is(text) { Some(first.word.get()) } else { self.look_up(text) }
    }

    #[cold]
    #[inline(never)]
    fn look_up(&self, text: &'static str) -> Option<u64> {
        let (address, len) = (text.as_ptr() as usize, text.len());
        let (first, other) = (&self.keys[address % KEYS_CACHED], self.other(address));
        let (word, is_final) = if other.is(text) {
            (other.word.get(), true)
        } else {
            let (number, is_final) = dictionary::number(text);
            (key_word(number), is_final)
        };
        if word == key_word(INLINE) {
            if is_final {
                other.set(address, len, word);
            }
            return None;
        }
        // Whoever had the place is found among the others then.
        let before = (first.address.get(), first.len.get(), first.word.get());
        first.set(address, len, word);
        if before.0 != 0 {
            self.other(before.0).set(before.0, before.1, before.2);
        }
        Some(word)
    }

    /// Where a key is kept that another one has taken the place of, or that has no number.
    fn other(&self, address: usize) -> &CachedKey {
        &self.others[((address / KEYS_CACHED) ^ (address / 8)) % OTHERS_CACHED]
    }
}

/// A random word from the operating system; where it has none, one from the clock and an address.
fn random_word() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        let here = 0_u8;
        crate::clock::unix_ns().rotate_left(32) ^ (&raw const here as u64) ^ crate::clock::ticks()
    })
}

/// Counts a guard that was not dropped as the last of what was entered: something that was entered later, by a guard or a scope, was
/// not left yet, or the scope in which it was made was over. Each counts once, the moment it is taken away; those that found no room do not.
fn count_out_of_order() {
    if let Some(recorder) = recorder::current() {
        recorder.control().count(Counter::GuardsOutOfOrder);
    }
}

struct Detach;

impl Drop for Detach {
    fn drop(&mut self) {
        LOCAL.with(|local| {
            local.ending.set(true);
            local.detach();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of one place, and some of those among the others too; each third is too long to have a number.
    #[test]
    fn keys_that_share_a_place_keep_their_numbers() {
        let text: &'static str = ('a'..='z')
            .flat_map(|letter| [letter; 7])
            .cycle()
            .take(40 * KEYS_CACHED)
            .collect::<String>()
            .leak();
        let keys: Vec<&'static str> =
            (0..40).map(|n| &text[n * KEYS_CACHED..][..if n % 3 == 2 { 200 } else { 10 + n }]).collect();
        let number = |key: &'static str| LOCAL.with(|local| local.number_of(key));
        let numbers: Vec<u16> = keys.iter().map(|key| number(key)).collect();
        for step in [1, 3, 7, 39] {
            for at in (0..40).map(|n| n * step % 40) {
                assert_eq!(number(keys[at]), numbers[at]);
                assert_eq!(numbers[at] == INLINE, keys[at].len() == 200);
                if numbers[at] != INLINE {
                    assert_eq!(dictionary::text(numbers[at]), Some(keys[at]));
                }
            }
        }
    }
}
