//! A guard makes its span current on the thread that entered it, so it stays there.

fn spawn(future: impl Future + Send + 'static) {
    drop(future);
}

fn main() {
    let run = spanring::trace("research").start();
    let entered = run.enter();
    spawn(async move { drop(entered) });
}
