//! The span is held across the await, and current while what is awaited is polled.

use spanring::InSpan;

fn spawn(future: impl Future + Send + 'static) {
    drop(future);
}

async fn search() {}

async fn research() {
    let run = spanring::trace("research").start();
    {
        let _entered = run.enter();
        drop(spanring::tool("plan").start());
    }
    search().in_span(&run).await;
    run.complete();
}

pub(crate) fn main() {
    spawn(research());
}
