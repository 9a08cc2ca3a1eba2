//! Records the spans of an AI agent into memory that survives the process.
//!
//! ```
//! use spanring::{Kind, Status};
//!
//! fn research(question: &str) -> String {
//!     let run = spanring::span("research").kind(Kind::Agent).start();
//!     run.set("question", question);
//!     let _current = run.enter(); // spans that start on this thread are under it now
//!     let answer = ask(question);
//!     run.set_status(Status::Ok);
//!     answer
//! } // both end here: the guard's span is current no more, and the run is recorded
//!
//! fn ask(prompt: &str) -> String {
//!     let call = spanring::span!("chat", gen_ai.request.model = "mistral-small", prompt = prompt);
//!     call.event("first token");
//!     call.set("gen_ai.usage.output_tokens", 3);
//!     "an answer".to_owned()
//! }
//! # assert_eq!(research("why?"), "an answer");
//! ```
//!
//! There is one concept, the [`Span`]. It is started by [`span()`], [`span_named`] or [`span!`], filled while it is open, and ends
//! when it is dropped or by [`Span::end`], which says whether it was [`Recorded`](Ended::Recorded). Other spans are started
//! under its [`Context`], on any thread.
//!
//! This crate only records: without a recorder every call does nothing, in nanoseconds, so a library can instrument itself
//! unconditionally. The application starts a recorder with the crate `spanring-spool`, which also reads the spans back.
//!
//! # How it works
//!
//! ```text
//!  Span ───► in-flight table ───► ring ───► whoever drains it
//!  (start)   (attributes, events) (end)
//!            └─── one file, mapped ───┘
//! ```
//!
//! A thread that records holds a lane: a table and a ring, in one mapped file. A span takes a cell of the table when it starts;
//! what is set on it is written there at once and published by one store. When it ends it is copied into the ring as one
//! record. If the process is killed, the kernel still has the file's pages: what ended is in the ring, and what was open is in the table.
//!
//! # What it promises
//!
//! * What [`Span::end`] called recorded survives SIGKILL, abort, panic and the OOM killer, until the machine is rebooted; what was set on
//!   a span that had not ended is recovered too. Beyond a reboot see the levels of `spanring-spool`.
//! * Recording takes no lock, allocates nothing and makes no system call, apart from the first span of a thread, the first use of a
//!   literal, waking the drain when a ring is half full, and waiting where that was asked for ([`Overflow::Block`]).
//! * A ring never overwrites. What finds no room is dropped, cut or left out, and counted.
//! * No panic of a value's `Serialize` reaches the host.
//!
//! # What it does not do
//!
//! It opens no file and runs no thread; it does not sample; it knows no network. Recording in a signal handler, and in children made by
//! raw `clone` or `vfork`, is not supported. [`record`], [`image`], [`dictionary`], [`control`], [`mapping`] and [`recorder`] are for
//! spools; applications need none of them.
#![cfg_attr(
    loom,
    allow(
        dead_code,
        unused_imports,
        reason = "loom's build holds only the algorithms that it models: the ring and the return list"
    )
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
mod file_head;
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
pub use file_head::is_of_later_version;
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
