//! Streams within a context. Without the feature `stream` there are none.

use std::sync::Arc;

use spanring::Context;

use crate::program::Op;
use crate::world::World;

#[cfg(not(feature = "stream"))]
pub(crate) async fn run(_: &Arc<World>, _: Context, _: Vec<Vec<Op>>) {}

/// Takes all that a stream within the context has.
#[cfg(feature = "stream")]
pub(crate) async fn run(world: &Arc<World>, context: Context, items: Vec<Vec<Op>>) {
    use spanring::InSpan;

    let items = of_items::Items { world: Arc::clone(world), items: items.into(), is_due: false };
    let mut stream = crate::tasks::Expect::new(world, context, items.in_context(context));
    while std::future::poll_fn(|cx| stream.poll_with(|stream| futures_core::Stream::poll_next(stream, cx)))
        .await
        .is_some()
    {
        world.check("an item");
    }
}

#[cfg(feature = "stream")]
mod of_items {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{self, Poll};

    use crate::program::{Op, Parent};
    use crate::world::World;

    /// A stream that is pending once before each item, and makes it of these.
    pub(super) struct Items {
        pub(super) world: Arc<World>,
        pub(super) items: VecDeque<Vec<Op>>,
        pub(super) is_due: bool,
    }

    impl futures_core::Stream for Items {
        type Item = ();

        fn poll_next(mut self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Option<()>> {
            self.is_due = !self.is_due;
            if self.is_due {
                return Poll::Pending;
            }
            let Some(ops) = self.items.pop_front() else { return Poll::Ready(None) };
            ops.into_iter().for_each(|op| self.world.perform(op));
            Poll::Ready(Some(()))
        }
    }

    impl Drop for Items {
        fn drop(&mut self) {
            drop(self.world.start(Parent::Current));
        }
    }
}
