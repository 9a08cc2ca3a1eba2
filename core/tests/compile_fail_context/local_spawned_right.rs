//! A task runs within the context, or takes the span along.

use spanring::InSpan;

fn spawn(future: impl Future + Send + 'static) {
    drop(future);
}

async fn search() {}

pub(crate) fn main() {
    let run = spanring::trace("research").start();
    spawn(search().in_context(run.context()));
    spawn(async move { search().in_span(&run).await });
}
