use super::*;
use crate::sync::{Arc, UnsafeCell, thread};

/// Two threads try for the lock, one of them twice, and change what it guards: never both at once, and the later one sees the earlier one's
/// change.
#[test]
fn whoever_has_the_lock_is_alone_and_sees_what_was_done_before() {
    loom::model(|| {
        let shared = Arc::new((Busy::new(), Guarded(UnsafeCell::new(0_u32))));
        let change = |shared: &(Busy, Guarded)| {
            let Some(_held) = shared.0.try_take() else { return 0 };
            shared.1.add_one();
            1
        };
        let theirs = shared.clone();
        let other = thread::spawn(move || change(&theirs));
        let changed = change(&shared) + change(&shared) + other.join().unwrap();
        assert!(changed > 0, "somebody gets a lock that is free");
        assert_eq!(shared.1.add_one(), changed);
    });
}

struct Guarded(UnsafeCell<u32>);

#[expect(unsafe_code, reason = "loom's cells are shared by raw pointers, and it checks the access")]
// SAFETY: loom checks that no two threads reach the cell at once.
unsafe impl Sync for Guarded {}

impl Guarded {
    #[expect(unsafe_code, reason = "loom's cells are reached through raw pointers, and it checks the access")]
    fn add_one(&self) -> u32 {
        self.0.with_mut(|value| {
            // SAFETY: loom checks that nobody else reaches the cell meanwhile.
            let value = unsafe { &mut *value };
            *value += 1;
            *value - 1
        })
    }
}
