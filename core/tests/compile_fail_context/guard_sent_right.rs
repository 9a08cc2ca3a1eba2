//! The context moves, and is current where a function is called, or a future polled.

use spanring::InSpan;

fn spawn(future: impl Future + Send + 'static) {
    drop(future);
}

fn call(f: impl FnOnce() + Send + 'static) {
    f();
}

pub(crate) fn main() {
    let run = spanring::trace("research").start();
    let context = run.context();
    spawn(async {}.in_context(context));
    call(context.wrap(|| drop(spanring::tool("search").start())));
    call(move || context.in_scope(|| drop(spanring::tool("search").start())));
}
