//! Records the spans of an AI agent into memory that survives the process.
#![cfg_attr(
    loom,
    allow(dead_code, unused_imports, reason = "loom's build holds only the algorithms that it models: the ring and the return list")
)]

#[cfg(not(loom))]
pub mod clock;
#[cfg(not(loom))]
pub mod control;
#[cfg(not(loom))]
pub mod dictionary;
#[cfg(not(loom))]
pub mod image;
#[cfg(not(loom))]
pub mod mapping;
pub mod record;
#[cfg(not(loom))]
pub mod recorder;

#[cfg(not(loom))]
mod attribute;
#[cfg(not(loom))]
mod context;
#[cfg(not(loom))]
mod fork;
mod id;
mod kind;
#[cfg(not(loom))]
mod lane;
mod return_list;
mod ring;
#[cfg(not(loom))]
mod slot;
#[cfg(not(loom))]
mod span;
mod sync;
#[cfg(not(loom))]
mod thread;

#[cfg(not(loom))]
pub use attribute::Attribute;
#[cfg(not(loom))]
pub use context::{Context, Entered};
#[cfg(not(loom))]
pub use fork::{close_in_children, forget_lock};
pub use id::{SpanId, TraceId};
pub use kind::{Kind, Status};
#[cfg(not(loom))]
pub use lane::{lane_file_len, table_file_len};
#[cfg(not(loom))]
pub use recorder::{DropReason, Overflow};
#[cfg(not(loom))]
pub use span::{Ended, Event, Span, SpanBuilder, span, span_named};
