//! Records the spans of an AI agent into memory that survives the process.
//!
//! ```
//! use serde_json::json;
//! use spanring::Tokens;
//!
//! fn research(question: &str) -> Result<String, std::io::Error> {
//!     let run = spanring::trace("research-agent").user("u7").input(question).start();
//!     let call = run.llm("mistral-small").temperature(0.2)
//!         .input_messages(&json!([{"role": "user", "content": question}])).start();
//!     call.event("first token");
//!     call.tokens(Tokens::new(812, 94).cached(600)).output("An answer.");
//!     call.complete();
//!
//!     let search = run.tool("search").start();
//!     search.finish(std::fs::read_to_string("/dev/null"))?; // `Ok` completes it, `Err` fails it, and both are handed on
//!
//!     let _current = run.enter(); // spans that start on this thread are under it now
//!     Ok(check("An answer."))
//! } // both end here: the guard's span is current no more, and the run is complete
//!
//! fn check(answer: &str) -> String {
//!     let check = spanring::guardrail("length").input(answer).triggered(false).start();
//!     check.set("answer.chars", answer.chars().count());
//!     answer.to_owned()
//! }
//! # assert_eq!(research("why?").unwrap(), "An answer.");
//! ```
//!
//! There is one concept, the [`Span`]. It is started through a [`SpanBuilder`] ([`trace`], [`llm`], [`tool`] and their like, or [`span()`] with a
//! name of your own), filled while it is open, and ends: when it is dropped, or by [`Span::end`], [`complete`](Span::complete),
//! [`fail`](Span::fail), [`cancel`](Span::cancel) and [`finish`](Span::finish), of which the first four say whether it was
//! [`Recorded`](Ended::Recorded). Other spans are started under its [`Context`], on any thread. What can be said about a span are methods
//! of [`Span`] and [`SpanBuilder`] alike; [`names`] lists the attributes that they write.
//!
//! | to do | see |
//! |---|---|
//! | give a span an identity before it starts, and perhaps never start it | [`SpanBuilder::prepare`], [`Pending`] |
//! | record the calls of a function | `#[span]` from the [`prelude`], [`span!`], [`event!`] |
//! | have futures, closures and threads run within a span | [`InSpan`], [`Span::in_scope`], [`Context::wrap`] |
//! | choose what is recorded | [`sampling`], [`callsite`], [`redaction`] |
//! | be told of spans as they start and end | [`processor`] |
//! | let several threads hold one span | [`Span::shared`], [`SharedSpan`] |
//! | record work that was done elsewhere, with its own times and identities | [`SpanBuilder::start_unix_ns`], [`SpanBuilder::span_id`], [`SpanId::from_foreign`], [`Span::end_at_unix_ns`] |
//! | join the trace of whoever called, and hand it on: HTTP, child processes | [`propagation`], [`Context::from_environment`] |
//! | translate the kinds of other systems | [`Kind::from_name_in`], [`Kind::name_in`] |
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
//!   literal, waking the drain when a ring is half full, and waiting where that was asked for ([`Overflow::Block`]). What a program puts
//!   into it itself does what it does, and [`redaction`] allocates.
//! * A ring never overwrites. What finds no room is dropped, cut or left out, and counted.
//! * No panic of a value's `Serialize`, of an error, or of a sampler, filter, redactor or processor reaches the host.
//!
//! # What it does not do
//!
//! It opens no file and runs no thread; it knows no network; it reads the environment only where it is asked to; and unless it is told to,
//! it leaves nothing out. Recording in a signal handler, and in children made by
//! raw `clone` or `vfork`, is not supported. [`record`], [`image`], [`dictionary`], [`control`], [`mapping`] and [`recorder`] are for
//! spools; applications need none of them.
#![cfg_attr(
    all(test, any(loom, shuttle)),
    allow(
        dead_code,
        unused_imports,
        reason = "the tests of the models hold only the algorithms that are modelled: see `sync.rs`"
    )
)]

#[cfg(not(all(test, any(loom, shuttle))))]
pub mod clock;
#[cfg(not(all(test, any(loom, shuttle))))]
pub mod control;
#[cfg(not(all(test, any(loom, shuttle))))]
pub mod dictionary;
#[cfg(not(all(test, any(loom, shuttle))))]
pub mod image;
#[cfg(not(all(test, any(loom, shuttle))))]
pub mod mapping;
pub mod names;
pub mod record;
#[cfg(not(all(test, any(loom, shuttle))))]
pub mod recorder;

#[cfg(not(all(test, any(loom, shuttle))))]
mod attribute;
#[cfg(all(not(all(test, any(loom, shuttle))), any(feature = "opentelemetry", feature = "tracing")))]
pub mod bridge;
#[cfg(not(all(test, any(loom, shuttle))))]
mod builder;
mod busy;
#[cfg(not(all(test, any(loom, shuttle))))]
pub mod callsite;
#[cfg(not(all(test, any(loom, shuttle))))]
mod cancel;
#[cfg(not(all(test, any(loom, shuttle))))]
mod caught;
#[cfg(not(all(test, any(loom, shuttle))))]
mod compiled;
#[cfg(not(all(test, any(loom, shuttle))))]
mod context;
#[cfg(not(all(test, any(loom, shuttle))))]
#[doc(hidden)]
pub mod expansion;
#[cfg(not(all(test, any(loom, shuttle))))]
mod failure;
#[cfg(not(all(test, any(loom, shuttle))))]
mod fields;
#[cfg(not(all(test, any(loom, shuttle))))]
mod file_head;
#[cfg(not(all(test, any(loom, shuttle))))]
mod fork;
#[cfg(not(all(test, any(loom, shuttle))))]
mod hooks;
mod id;
#[cfg(not(all(test, any(loom, shuttle))))]
mod in_span;
mod installation;
#[cfg(all(feature = "internals", not(all(test, any(loom, shuttle)))))]
#[doc(hidden)]
pub mod internals;
#[cfg(not(all(test, any(loom, shuttle))))]
mod item;
mod kind;
#[cfg(not(all(test, any(loom, shuttle))))]
mod lane;
#[cfg(not(all(test, any(loom, shuttle))))]
mod macros;
#[cfg(not(all(test, any(loom, shuttle))))]
mod misuse;
#[cfg(not(all(test, any(loom, shuttle))))]
mod pending;
mod pool;
#[cfg(not(all(test, any(loom, shuttle))))]
pub mod prelude;
#[cfg(not(all(test, any(loom, shuttle))))]
pub mod processor;
#[cfg(not(all(test, any(loom, shuttle))))]
pub mod propagation;
#[cfg(not(all(test, any(loom, shuttle))))]
pub mod redaction;
mod registry;
mod return_list;
mod ring;
#[cfg(not(all(test, any(loom, shuttle))))]
pub mod sampling;
#[cfg(not(all(test, any(loom, shuttle))))]
mod shared;
#[cfg(all(test, shuttle))]
mod shuttle_tests;
#[cfg(not(all(test, any(loom, shuttle))))]
mod slot;
#[cfg(not(all(test, any(loom, shuttle))))]
mod span;
mod step;
mod sync;
mod system;
mod table;
mod tally;
#[cfg(not(all(test, any(loom, shuttle))))]
mod thread;
mod usage;

#[cfg(not(all(test, any(loom, shuttle))))]
pub use attribute::Attribute;
#[cfg(not(all(test, any(loom, shuttle))))]
pub use builder::{
    Fill, SpanBuilder, agent, chain, decision, embedding, guardrail, handoff, llm, mcp_tools, reasoning,
    response, retrieval, span, span_named, speech, speech_group, task, tool, trace, transcription, turn,
};
#[cfg(not(all(test, any(loom, shuttle))))]
pub use callsite::Callsite;
#[cfg(not(all(test, any(loom, shuttle))))]
pub use cancel::CancelOnDrop;
#[cfg(not(all(test, any(loom, shuttle))))]
pub use compiled::IS_COMPILED_OUT;
#[cfg(not(all(test, any(loom, shuttle))))]
pub use context::{Context, Entered};
#[cfg(not(all(test, any(loom, shuttle))))]
pub use failure::Failure;
#[cfg(not(all(test, any(loom, shuttle))))]
pub use fields::SpanKind;
#[cfg(not(all(test, any(loom, shuttle))))]
pub use file_head::is_of_later_version;
#[cfg(not(all(test, any(loom, shuttle))))]
pub use fork::{close_in_children, forget_lock};
#[cfg(not(all(test, any(loom, shuttle))))]
pub use hooks::Hooks;
pub use id::{SpanId, TraceId};
#[cfg(not(all(test, any(loom, shuttle))))]
pub use in_span::{InSpan, Within};
#[cfg(not(all(test, any(loom, shuttle))))]
pub use item::{Event, Link};
pub use kind::{Kind, Lifecycle, Status};
#[cfg(not(all(test, any(loom, shuttle))))]
pub use lane::{lane_file_len, table_file_len};
#[cfg(not(all(test, any(loom, shuttle))))]
pub use pending::Pending;
#[cfg(not(all(test, any(loom, shuttle))))]
pub use recorder::{DropReason, Overflow};
#[cfg(not(all(test, any(loom, shuttle))))]
pub use shared::SharedSpan;
#[cfg(not(all(test, any(loom, shuttle))))]
pub use span::{Ended, Span};
pub use step::{DecisionPoint, ReasoningStep, ReplaySlot, ToolCall};
pub use system::System;
pub use usage::{Cost, Tokens};
