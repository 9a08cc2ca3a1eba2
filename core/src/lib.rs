//! Records the spans of an AI agent into memory that survives the process.

pub mod clock;
pub mod control;
pub mod dictionary;
pub mod image;
pub mod mapping;
pub mod record;
pub mod recorder;

mod attribute;
mod context;
mod fork;
mod id;
mod kind;
mod lane;
mod return_list;
mod ring;
mod slot;
mod span;
mod sync;
mod thread;

pub use attribute::Attribute;
pub use context::{Context, Entered};
pub use fork::{close_in_children, forget_lock};
pub use id::{SpanId, TraceId};
pub use kind::{Kind, Status};
pub use lane::{lane_file_len, table_file_len};
pub use recorder::{DropReason, Overflow};
pub use span::{Ended, Event, Span, SpanBuilder, span, span_named};
