//! Which spans of `tracing` are entered on a thread, and so which context is current there.
//!
//! `tracing` lets spans be entered again within themselves, and left in any order. As in its registry, entering a span again changes
//! nothing before it is left as often; and each place in spanring's own stack is given back when what made it is left.

use std::cell::RefCell;
use std::sync::Arc;

use super::held::Kept;
use crate::context::Context;
use crate::thread::local;

struct Entered {
    span: Kept,
    /// Under which it was entered; `None` where it was entered before, and is current through that.
    serial: Option<u64>,
    /// Whether there was room for it among the contexts of the thread.
    is_current: bool,
}

thread_local! {
    /// Oldest first.
    static ENTERED: RefCell<Vec<Entered>> = const { RefCell::new(Vec::new()) };
}

/// Makes the span's context current.
pub(super) fn enter(span: Kept) {
    // Where the thread is ending, what is entered is not noted, so it must not be made current either. Nothing that is called while the
    // stack is borrowed comes back here.
    let _ending = ENTERED.try_with(|entered| {
        let mut entered = entered.borrow_mut();
        if entered.iter().any(|other| Arc::ptr_eq(&other.span, &span)) {
            return entered.push(Entered { span, serial: None, is_current: true });
        }
        let context = span.context();
        let serial = local().enter(context);
        entered.push(Entered { span, serial: Some(serial), is_current: local().current() == context });
    });
}

/// Leaves the span, as it was entered last; nothing where it was not.
pub(super) fn exit(span: &Kept) {
    let left = ENTERED.try_with(|entered| {
        let mut entered = entered.borrow_mut();
        let at = entered.iter().rposition(|other| Arc::ptr_eq(&other.span, span))?;
        let is_last = entered[at + 1..].iter().all(|later| later.serial.is_none());
        Some((entered.remove(at), is_last))
    });
    let Ok(Some((Entered { serial: Some(serial), .. }, is_last))) = left else { return };
    if is_last {
        // A guard of spanring's that was made within and is still held, across an `.await` perhaps, must not be current for whatever
        // the thread does next.
        local().leave_scope(serial);
    } else {
        local().leave(serial);
    }
}

/// What a new span is under if nothing else is said: the current span, be it spanring's or `tracing`'s.
pub(super) fn current() -> Context {
    let too_deep = ENTERED.try_with(|entered| {
        let entered = entered.borrow();
        let last = entered.iter().rfind(|entered| entered.serial.is_some());
        last.filter(|last| !last.is_current).map(|last| last.span.context())
    });
    too_deep.ok().flatten().unwrap_or_else(Context::current)
}
