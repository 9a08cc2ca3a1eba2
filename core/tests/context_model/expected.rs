//! What is entered on each thread, as a list of it.

use std::collections::HashMap;
use std::thread::{self, ThreadId};

use spanring::Context;

/// How many contexts can be entered at once on a thread; those beyond are not made current.
const ENTERED_MAX: usize = 64;

/// Something that was entered: its number, and the context.
type Entry = (u64, Context);

/// The lists of all threads. Each call is about the thread that makes it.
#[derive(Default)]
pub(crate) struct Expected {
    entered: HashMap<ThreadId, Vec<Entry>>,
    numbered: u64,
    /// How many guards were not dropped as the last of what was entered: before something that was entered later was left, or not
    /// before the end of the scope in which they were made. A guard counts once.
    pub(crate) out_of_order: u64,
}

/// A scope that has begun.
pub(crate) struct Begun {
    number: u64,
    before: Vec<Entry>,
}

impl Expected {
    fn here(&mut self) -> &mut Vec<Entry> {
        self.entered.entry(thread::current().id()).or_default()
    }

    pub(crate) fn current(&mut self) -> Context {
        self.here().last().map_or(Context::NONE, |(_, context)| *context)
    }

    /// Enters, and says under which number.
    pub(crate) fn enter(&mut self, context: Context) -> u64 {
        self.numbered += 1;
        let number = self.numbered;
        let here = self.here();
        if here.len() < ENTERED_MAX {
            here.push((number, context));
        }
        number
    }

    /// A guard is dropped.
    pub(crate) fn leave(&mut self, number: u64) {
        let here = self.here();
        if let Some(at) = here.iter().position(|(entered, _)| *entered == number) {
            here.remove(at);
            if at < here.len() {
                self.out_of_order += 1;
            }
        }
    }

    /// A call or a poll begins.
    pub(crate) fn begin(&mut self, context: Context) -> Begun {
        let before = self.here().clone();
        Begun { number: self.enter(context), before }
    }

    /// It returns or unwinds: all is as it was before, but for guards of outside that were dropped within.
    pub(crate) fn end(&mut self, Begun { number, before }: Begun) {
        let within = std::mem::take(self.here());
        let is_of_before = |entry: &Entry| before.contains(entry);
        let stale = within.iter().filter(|entry| entry.0 != number && !is_of_before(entry)).count();
        self.out_of_order += u64::try_from(stale).unwrap();
        *self.here() = before.iter().filter(|entry| within.contains(entry)).copied().collect();
    }
}
