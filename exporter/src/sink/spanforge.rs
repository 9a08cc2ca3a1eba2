//! SpanForge: its cloud, web hooks, and files of events, as its Python SDK 1.0.4 delivers to them.
//!
//! | sink | a batch is |
//! |---|---|
//! | `spanforge`, `spanforge+https:` | `POST …/v1/events` with an event a line, and the key as bearer |
//! | `spanforge-webhook+https:` | a `POST` of an array of events, or of the event where it is one only; signed, where there is a secret |
//! | `spanforge-file:` | an event a line, in the canonical form |
//!
//! What becomes of a span is told in [`spanforge`](crate::spanforge). An event has the same identity however often it is sent, by which
//! SpanForge knows it again. The sinks are delivered traces that are over, and work out what the [runs](events) of a trace come to before its first event.
//!
//! | answer | outcome | in the SDK |
//! |---|---|---|
//! | 2xx | delivered, whatever the body says | the same |
//! | 408, 425, 429 | retry, after the wait that `Retry-After` asks for | dropped |
//! | 5xx but 501 and 505 | retry, likewise, for ever | the cloud: three attempts, then once more later; a web hook: four, then dropped |
//! | no answer: no connection, a reset, no answer within the time limit | retry | the same as 5xx |
//! | 400, 413, 422 | rejected: the batch is halved until the span is found that is not taken | the whole batch is dropped |
//! | 401, 403, 404 and any other | parked: every batch would be refused | dropped |
//!
//! What is different besides: requests have up to 512 events and not 100, of whole traces or of one that is large; `User-Agent` says spanring,
//! and `X-Spanforge-SDK` whose events these look like.
//!
//! With a signing key all lines of a file are one chain, which goes on in the next file and after a restart: the file says what the next event
//! follows. Of requests each is a chain of its own: its first event has no `prev_id`. So what was taken out of one shows; that a whole request is
//! missing does not. A chain across requests would have to know what was delivered before, through restarts, halved batches and dead letters that are
//! delivered later.

mod address;
mod api;
mod events;
mod lines;
mod options;

pub use address::SpanForgeAddress;
pub use api::{SpanForgeCloud, SpanForgeWebhook};
pub use options::SpanForgeOptions;

pub(crate) use lines::EVENT_LINES;

use std::path::Path;

use super::http::Transport;
use super::{FileSink, HttpSink, Sink, SinkOptions};
use crate::Error;

use self::lines::EventLines;

/// Sets up the sink at `address`, as `options` say.
pub(super) fn open(address: &SpanForgeAddress, options: &SinkOptions) -> Result<Box<dyn Sink>, Error> {
    let name = address.to_string();
    let of = &options.spanforge;
    Ok(match address {
        SpanForgeAddress::Cloud { url, is_whole } => {
            let api = SpanForgeCloud::new(url, *is_whole, of)?;
            Box::new(HttpSink::with_transport(name, api, of.transport())?)
        }
        SpanForgeAddress::Webhook(url) => {
            let api = SpanForgeWebhook::new(url, of);
            let transport = Transport { is_plain: true, ..Transport::default() };
            Box::new(HttpSink::with_transport(name, api, transport)?)
        }
        SpanForgeAddress::File(path) => Box::new(open_file(name, path, options)?),
    })
}

/// Sets up the sink that is called `name` and appends events to the file at `path`.
pub(super) fn open_file(name: String, path: &Path, options: &SinkOptions) -> Result<FileSink, Error> {
    FileSink::of_lines(name, path, &options.file, EventLines::new(&options.spanforge))
}
