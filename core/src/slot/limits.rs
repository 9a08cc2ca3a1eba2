//! What a span may hold: how much of it is left, and what is counted where there is no more.
#![expect(unsafe_code, reason = "a count is kept in an entry of the span, in a cell that S1 makes exclusive")]

use std::sync::atomic::{AtomicU64, Ordering};

use super::Slot;
use crate::control::Counter;
use crate::names;
use crate::record::{INLINE, TAG_U64};
use crate::thread::local;

/// How many attributes say what an error was: its type, and what caused it.
const BEYOND_LIMIT: u32 = 17;
/// An event or link that is being filled.
pub(crate) struct Item<'a>(&'a Slot);

impl Drop for Item<'_> {
    fn drop(&mut self) {
        self.0.in_item.set(false);
        self.0.commit();
        self.0.go_on();
    }
}

/// What there is a limit for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Limited {
    Attribute = 0,
    Event = 1,
    Link = 2,
}

impl Slot {
    /// Whether the span may have one more attribute, of which this takes none; if not, that is counted.
    pub(crate) fn has_attribute_left(&self) -> bool {
        self.settle();
        let has = self.attributes_left.get() > 0;
        if !has {
            self.count_dropped(Limited::Attribute);
        }
        has
    }

    /// Whether the span may have one more attribute; if not, that is counted.
    pub(crate) fn take_attribute(&self) -> bool {
        let has = self.has_attribute_left();
        if has {
            self.attributes_left.set(self.attributes_left.get() - 1);
        }
        has
    }

    /// Gives back what [`take_attribute`](Self::take_attribute) took.
    pub(crate) fn give_attribute_back(&self) {
        self.attributes_left.set(self.attributes_left.get().saturating_add(1));
    }

    /// Lets `set` set a few attributes that no limit keeps out: what is said about an error comes last, and counts most.
    pub(crate) fn beyond_limit(&self, set: impl FnOnce()) {
        self.stop();
        let before = self.attributes_left.get();
        self.attributes_left.set(before.saturating_add(BEYOND_LIMIT));
        set();
        self.stop();
        self.attributes_left.set(before.min(self.attributes_left.get()));
        self.go_on();
    }

    /// Whether the span may have one more event; if not, that is counted.
    pub(crate) fn take_event(&self) -> bool {
        self.settle();
        let [events, links] = self.items_left.get();
        match events.checked_sub(1) {
            Some(fewer) => self.items_left.set([fewer, links]),
            None => self.count_dropped(Limited::Event),
        }
        events > 0
    }

    /// Whether the span may have one more link; if not, that is counted.
    pub(crate) fn take_link(&self) -> bool {
        self.settle();
        let [events, links] = self.items_left.get();
        match links.checked_sub(1) {
            Some(fewer) => self.items_left.set([events, fewer]),
            None => self.count_dropped(Limited::Link),
        }
        links > 0
    }

    /// Begins an event or link, which is published when what this returns is dropped. `None` within another one, whose
    /// attributes it would take; that is counted.
    pub(crate) fn begin_item(&self) -> Option<Item<'_>> {
        if self.in_item.replace(true) {
            self.recorder().control().count(Counter::Reentered);
            self.leave_out();
            return None;
        }
        self.stop();
        self.item_left.set(self.recorder().options().limits.attributes);
        Some(Item(self))
    }

    /// Whether the last event or link may have one more attribute; if not, that is counted.
    pub(crate) fn take_item_attribute(&self) -> bool {
        match self.item_left.get().checked_sub(1) {
            Some(fewer) => {
                self.item_left.set(fewer);
                true
            }
            None => {
                self.leave_out();
                false
            }
        }
    }

    /// Counts what a limit leaves out, in the span itself too: an entry of the span holds the number.
    #[cold]
    #[inline(never)]
    fn count_dropped(&self, what: Limited) {
        let (at, bit) = (&self.dropped_at[what as usize], 1 << what as u8);
        if self.has_dropped.get() & bit != 0 {
            self.leave_out();
            let number = at.get().cast::<AtomicU64>();
            // SAFETY: the entry's word, in a cell that is this slot's (S1), mapped for ever and aligned to 8 (S2).
            let number = unsafe { number.as_ref() };
            let count = u64::from_le(number.load(Ordering::Relaxed)) + 1;
            number.store(count.to_le(), Ordering::Relaxed);
            return;
        }
        let key = match what {
            Limited::Attribute => names::DROPPED_ATTRIBUTES,
            Limited::Event => names::DROPPED_EVENTS,
            Limited::Link => names::DROPPED_LINKS,
        };
        let key = local().number_of(key);
        // Without a number for the key there is only the count of all that was left out; without room, appending counts.
        if key == INLINE {
            self.leave_out();
        } else if self.append_word::<true, false>(TAG_U64, 0, key, 1) {
            self.leave_out();
            // SAFETY: the word that was just written ends where the next entry goes, in the same cell.
            at.set(unsafe { self.write().sub(8) });
            self.has_dropped.set(self.has_dropped.get() | bit);
        }
    }

    /// How many bytes a value may have.
    #[inline]
    pub(crate) fn value_max(&self) -> usize {
        self.recorder().options().limits.value_bytes
    }

    /// Counts a value that is cut.
    #[cold]
    pub(crate) fn count_cut(&self) {
        self.recorder().control().count(Counter::ValuesCut);
    }
}
