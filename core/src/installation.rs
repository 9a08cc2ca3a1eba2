//! Which recorder the spans of a process go to.
//!
//! ```text
//!   install(A)   uninstall(A)   install(B)                generation   recorder    all
//!       │             │             │                     OFF          none
//!       ▼             ▼             ▼                     1            A           A
//!   ────●─────────────●─────────────●────►  time          OFF          none        A
//!                                                         2            B           B, A
//! ```
//!
//! A span's start reads the generation and nothing else: a thread that has a lane of that generation goes on with it, and any
//! other [catches up](Installation::catch_up).
//!
//! # Invariants
//!
//! * **I1** Recorders are leaked: a pointer to one is good for ever.
//! * **I2** `install` and `uninstall` are called by one thread at a time: under the right to enter texts (`dictionary.rs`), so that a
//!   recorder's dictionary is complete before anything can be recorded into it.
//! * **I3** No generation is ever a later recorder's and an earlier one's: whoever catches up with one finds its recorder, a later one, or none.
//!
//! # Ordering
//!
//! | store (Release)           | pairs with load (Acquire)   | and makes visible                                        |
//! |---------------------------|-----------------------------|----------------------------------------------------------|
//! | `recorder` in `install`   | `recorder` in `current`     | the recorder, as it was made                             |
//! | `latest` in `install`     | `latest` in `latest`        | the recorder, and those before it                        |
//! | `generation` in `install` | `generation` in `catch_up`  | `recorder`, and the recorder: its dictionary, its hooks  |
//!
//! `generation` is read Relaxed on every start: it only tells a thread that its lane is out of date. `uninstall` publishes nothing.
#![expect(unsafe_code, reason = "pointers to recorders are null or good for ever by I1")]

use std::ptr;
use std::sync::OnceLock;

use crate::sync::{AtomicPtr, AtomicU32, Ordering};

/// No recorder is installed.
pub(crate) const OFF: u32 = 0;
/// This is a forked child, whose recorder is made at its first span.
const AFTER_FORK: u32 = u32::MAX;

/// What is installed. See the file's head.
#[derive(Debug)]
pub(crate) struct Installation<R: 'static> {
    generation: Alone<AtomicU32>,
    recorder: AtomicPtr<R>,
    /// The recorder that was installed last: what still ends after it was uninstalled needs its dictionary.
    latest: AtomicPtr<R>,
    generations: AtomicU32,
}

/// A value with nothing beside it on its line of memory, nor on the one that is fetched with it: every span reads the generation, recorded
/// or not, and whatever lay beside it might be written.
#[derive(Debug)]
#[repr(align(128))]
struct Alone<T>(T);

/// What can be installed.
pub(crate) trait Installed: Sized + 'static {
    /// Where it notes what was installed before it was, for the first time.
    fn previous(&self) -> &OnceLock<Option<&'static Self>>;
}

macro_rules! nothing_installed {
    () => {
        Installation {
            generation: Alone(AtomicU32::new(OFF)),
            recorder: AtomicPtr::new(ptr::null_mut()),
            latest: AtomicPtr::new(ptr::null_mut()),
            generations: AtomicU32::new(OFF),
        }
    };
}

impl<R: Installed> Installation<R> {
    #[cfg(not(all(test, loom)))]
    pub(crate) const fn new() -> Self {
        nothing_installed!()
    }

    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        nothing_installed!()
    }

    /// Which recorder is installed: [`OFF`], or a number that no other has.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation.0.load(Ordering::Relaxed)
    }

    /// The recorder that is installed.
    pub(crate) fn current(&self) -> Option<&'static R> {
        reference(self.recorder.load(Ordering::Acquire)) // pairs with `install`
    }

    /// The recorder that was installed last, even if it no longer is.
    fn latest(&self) -> Option<&'static R> {
        reference(self.latest.load(Ordering::Acquire)) // pairs with `install`
    }

    /// All that were ever installed, the last one first: a span of any of them may still be open.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static R> + use<R> {
        std::iter::successors(self.latest(), |recorder| recorder.previous().get().copied().flatten())
    }

    /// Installs `recorder`, unless there is one; `complete` is called before anything can be recorded into it. Under I2.
    pub(crate) fn install(&self, recorder: &'static R, complete: impl FnOnce()) -> bool {
        // Neither `OFF` nor `AFTER_FORK`, however often.
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) % (AFTER_FORK - 1) + 1;
        let this = ptr::from_ref(recorder).cast_mut();
        // pairs with `current`
        let place =
            self.recorder.compare_exchange(ptr::null_mut(), this, Ordering::Release, Ordering::Relaxed);
        if place.is_err() {
            return false;
        }
        complete();
        if !self.all().any(|earlier| ptr::eq(earlier, recorder)) {
            recorder.previous().get_or_init(|| self.latest());
            self.latest.store(this, Ordering::Release); // pairs with `latest`
        }
        self.generation.0.store(generation, Ordering::Release); // pairs with `catch_up`
        true
    }

    /// Takes `recorder` out, if it is installed. Under I2: not while another one is being installed, whose generation this would overwrite.
    pub(crate) fn uninstall(&self, recorder: &'static R) {
        let this = ptr::from_ref(recorder).cast_mut();
        let place =
            self.recorder.compare_exchange(this, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
        if place.is_ok() {
            self.generation.0.store(OFF, Ordering::Relaxed);
        }
    }

    /// The recorder to use when a thread's own generation is out of date, and its generation. In a forked child, `start` is called
    /// first, by one thread.
    pub(crate) fn catch_up(&self, start: impl FnOnce()) -> Option<(u32, &'static R)> {
        let after_fork =
            self.generation.0.compare_exchange(AFTER_FORK, OFF, Ordering::Relaxed, Ordering::Relaxed);
        if after_fork.is_ok() {
            start();
        }
        let generation = self.generation.0.load(Ordering::Acquire); // pairs with `install`: no recorder from before this generation
        if generation == OFF {
            return None;
        }
        self.current().map(|recorder| (generation, recorder))
    }

    /// In a forked child, which has no other thread: forgets the recorders, which are the parent's; whether [`catch_up`](Self::catch_up) is
    /// to start one.
    pub(crate) fn reset_after_fork(&self, starts: bool) {
        self.latest.store(ptr::null_mut(), Ordering::Relaxed);
        if self.current().is_some() {
            self.recorder.store(ptr::null_mut(), Ordering::Relaxed);
            self.generation.0.store(if starts { AFTER_FORK } else { OFF }, Ordering::Relaxed);
        }
    }
}

fn reference<R>(recorder: *mut R) -> Option<&'static R> {
    // SAFETY: only pointers to recorders that are there for ever are stored (I1), so it is null or good.
    unsafe { recorder.as_ref() }
}

#[cfg(all(test, loom))]
mod loom_tests;
