//! Writes the spans that `spanring` records to disk, recovers them after a crash, and reads them back.
//!
//! ```
//! use std::time::Duration;
//!
//! use spanring_spool::{Level, Reader, Spool};
//!
//! # fn main() -> Result<(), spanring_spool::Error> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("spool");
//! let spool = Spool::open(&path).service("shop").start()?;
//!
//! let checkout = spanring::span!("checkout", items = 2);
//! checkout.set("total_cents", 1999);
//! drop(checkout);
//!
//! spool.flush(Level::Durable, Duration::from_secs(5))?; // it survives a power cut now
//! let report = spool.stop(Duration::from_secs(5));
//! assert!(report.is_complete, "{report}");
//!
//! for span in Reader::open(&path)? {
//!     assert_eq!(span?.name, "checkout");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Spool`] gives the threads of this process rings to record into, and has two threads of its own: the drain packs what the rings
//! hold into compressed blocks and appends those to a segment, and the other syncs. A [`Reader`] in any process of the user
//! follows behind. What a process leaves that dies is made readable by [`SpoolDir::recover`].
//!
//! ```text
//!  rings ──► drain ──► block ──► segment ══ file ══► Reader
//!    ╚═════ file ═════ a kill ═════► recovery ══════════╝
//! ```
//!
//! # What survives
//!
//! | [`Level`] | reached when | survives |
//! |---|---|---|
//! | `Recorded` | `end` said so | SIGKILL, abort, panic, the OOM killer; not a reboot |
//! | `Spooled` | the span stands in a block | the same, and the reuse of its ring |
//! | `Durable` | the segment was synced, every 250 ms or 1 MiB ([`SpoolBuilder::sync`]) | a power cut, a kernel panic |
//! | `Delivered` | every sink named by [`SpoolBuilder::delivered_by`] has acknowledged it, or refused it for good: it is a dead letter then | what the sink survives |
//!
//! [`Spool::flush`] waits for a level. The [`Ledger`] accounts for every span, and [`Spool::health`] tells what does not work at present.
//!
//! # What it promises
//!
//! * A full disk, a failing sync, a damaged or missing file is no signal and no panic in the process that records: it is counted, shown,
//!   and over when the cause is gone. A full disk is learnt before it is needed, since the next segment is always ready.
//! * Damage never yields a span that was not written. Whole blocks before and behind it are read, and what was skipped is counted in
//!   [`Skipped`].
//! * Nothing is taken from a process that may live: see [`Life`].
//!
//! # What it does not do
//!
//! It delivers nothing: that is `spanring-exporter`, in a process of its own. It removes nothing by itself, so a spool grows until it is
//! exported. Another process of the same user that truncates a live ring file causes a SIGBUS in the process that records.
#![forbid(unsafe_code)]

mod block;
#[cfg(test)]
mod body_writer;
mod boot_id;
mod combine;
mod cursor;
#[cfg(feature = "trace")]
mod dead_letters;
mod drain;
mod environment;
mod error;
#[cfg(all(doctest, feature = "trace"))]
mod guides;
mod layout;
mod ledger;
mod life;
mod lock;
#[cfg(feature = "measured")]
#[doc(hidden)]
pub mod measured;
#[cfg(feature = "trace")]
pub mod memory;
mod notebook;
mod packed;
mod position;
mod progress;
mod reader;
mod recorder_id;
mod recovery;
#[cfg(feature = "patterns")]
mod redaction;
mod removal;
mod resource;
mod ring_files;
mod room;
mod segment;
mod segment_writer;
mod skipped;
mod span_data;
mod spool;
mod spool_dir;
mod storage;
mod sync_thread;
mod termination;
#[cfg(feature = "trace")]
mod trace;
mod value;
mod value_ref;

pub use block::{Attributes, EventRef, LinkRef, SpanRef};
pub use cursor::{CURSOR_LEN, Cursor, CursorState};
#[cfg(feature = "trace")]
pub use dead_letters::{
    DeadLetter, DeadLetters, DeadTrace, DeadTraceSpans, LETTERS_BYTES_MAX, LETTERS_MAX, Letter, LetterName,
    NewDeadTrace,
};
pub use error::{Error, NotASpool, Refusal};
pub use ledger::{Dropped, Ledger};
pub use life::{Doubt, Life};
pub use lock::FileId;
pub use notebook::{NOTES_MAX, Note, Notebook, Noted};
pub use position::Position;
pub use progress::Trouble;
pub use reader::{Block, BlockBuffer, BlockRef, Reader, RecorderEnd, RecorderReader};
pub use recorder_id::RecorderId;
pub use recovery::RecoveryReport;
#[cfg(feature = "patterns")]
pub use redaction::{PatternError, Patterns};
pub use removal::Removed;
pub use resource::Resource;
pub use room::Room;
pub use skipped::{Skipped, SkippedAt};
pub use span_data::{EventData, LinkData, SpanData};
pub use spanring::recorder::Limits;
pub use spool::{Health, Level, Spool, SpoolBuilder, StopReport};
pub use spool_dir::{ExportClaim, SpoolDir};
pub use storage::{DiskStorage, LIST_MAX, Storage, StorageFile, StorageSync};
pub use termination::Termination;
#[cfg(feature = "trace")]
pub use trace::{
    Colour, Figures, Node, PathStep, Place, PriceError, PriceFault, PriceTable, Priced, SpooledTraces,
    Summary, Trace, TraceError, Tree,
};
pub use value::Value;
pub use value_ref::{PackedRef, ValueRef};
