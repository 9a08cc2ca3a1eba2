//! A task may outlive the span of the function that spawns it, so it cannot borrow it.

use spanring::InSpan;

fn spawn(future: impl Future + Send + 'static) {
    drop(future);
}

async fn search() {}

fn main() {
    let run = spanring::trace("research").start();
    spawn(search().in_span(&run));
}
