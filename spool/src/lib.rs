//! Spools spans.
#![forbid(unsafe_code)]

mod block;
#[cfg(test)]
mod body_writer;
mod boot_id;
mod cursor;
mod error;
mod layout;
mod life;
mod lock;
mod packed;
mod position;
mod reader;
mod recorder_id;
mod resource;
mod segment;
mod skipped;
mod storage;
mod removal;
mod spool_dir;
mod span_data;
mod drain;
mod ledger;
mod progress;
mod recovery;
mod ring_files;
mod segment_writer;
mod spool;
mod sync_thread;
mod value;

pub use span_data::{EventData, SpanData};
pub use cursor::{CURSOR_LEN, Cursor, CursorState};
pub use error::{Error, NotASpool, Refusal};
pub use ledger::{Dropped, Ledger};
pub use life::{Doubt, Life};
pub use lock::FileId;
pub use position::Position;
pub use progress::Trouble;
pub use reader::{Block, Reader, RecorderReader};
pub use recorder_id::RecorderId;
pub use recovery::RecoveryReport;
pub use removal::Removed;
pub use resource::Resource;
pub use skipped::{Skipped, SkippedAt};
pub use spool::{Health, Level, Spool, SpoolBuilder, StopReport};
pub use spool_dir::{ExportClaim, SpoolDir};
pub use storage::{DiskStorage, LIST_MAX, Storage, StorageFile, StorageSync};
pub use value::Value;
