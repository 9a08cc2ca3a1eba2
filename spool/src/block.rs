//! The payload of a block, version 0: many spans as columns.
//!
//! The payload is one MessagePack map from a column's name to its bytes, compressed by zstd or stored as it is; the
//! frame around it says which, and how long the map is. A reader ignores columns that it does not know. Nothing
//! outside of the block is needed to read it.
//!
//! A *row* is a span that ended, a span that was interrupted, or the announcement of a span that is open. Rows stand
//! in the order of their sequence. Numbers in columns are LEB128: seven bits a byte, the lowest first, the highest
//! bit set on all but the last. Signed ones, marked ±, are folded first: 0, -1, 1, -2 become 0, 1, 2, 3. All times
//! are nanoseconds. Differences wrap around at 64 bits.
//!
//! | column          | holds                                                                                |
//! |-----------------|--------------------------------------------------------------------------------------|
//! | **tables**      |                                                                                      |
//! | `trace_ids`     | 16 bytes for each trace                                                              |
//! | `text_lens`     | for each name or key its length in bytes                                             |
//! | `texts`         | the names and keys, UTF-8, without anything between them                             |
//! | **for each row**|                                                                                      |
//! | `state`         | a byte: bits 0-2 the status, bit 3 interrupted, bit 4 an announcement, bit 5 pending |
//! | `kind`          | a byte: the number of the span's kind                                                |
//! | `trace`         | index into `trace_ids`                                                               |
//! | `span_id`       | 8 bytes                                                                              |
//! | `parent_id`     | 8 bytes, zeros for a root                                                            |
//! | `name`          | index into the names and keys                                                        |
//! | `start`         | ± the start, less that of the row before; the first since the Unix epoch             |
//! | `duration`      | the end, less the start                                                              |
//! | `message_len`   | length of the status message in bytes, 0 for none                                    |
//! | `messages`      | the status messages, UTF-8                                                           |
//! | `cut`           | how many values were cut, failed or left out                                         |
//! | `entries`       | how many entries the row has                                                         |
//! | **for each entry**, an attribute, an event or a link                                                   ||
//! | `tag`           | a byte: bits 0-3 see below, bit 4 the attribute belongs to the last event or link before it, bit 5 cut |
//! | `key`           | index into the names and keys; a link has none, and nothing stands here for it       |
//! | **for each entry of a tag**                                                                            ||
//! |                 | tag 0 null, 1 false, 2 true: nothing                                                 |
//! | `i64`           | tag 3: ± the number                                                                  |
//! | `u64`           | tag 4: the number                                                                    |
//! | `f64`           | tag 5: 8 bytes, IEEE 754, little-endian                                              |
//! | `str_len`, `str`| tag 6: the length in bytes, and UTF-8                                                |
//! | `bytes_len`, `bytes` | tag 7: the length, and the bytes                                                |
//! | `packed_len`, `packed` | tag 8: the length, and one MessagePack value, or a prefix of one where it was cut |
//! | `event_time`    | tag 9, an event named by its key: ± its time, less the start of its row              |
//! | `link_trace`, `link_span` | tag 10, a link: the 16 bytes of the trace, and the 8 bytes of the span     |
//!
//! A pending row is a span that has not started, or never did: its start is when it was made. What a row says is settled
//! when it is written: a deadline is an attribute like any other, and that a span missed it shows in the status. Only
//! the values of one key that [`spanring::names`] combines stand as they were recorded, and the reader combines them.
//!
//! A reader refuses the whole block when a column is too short or too long, an index points nowhere, a table holds more
//! than the rows can name, a tag is unknown, a text does not end with a whole character, or a limit below is exceeded. It
//! takes an unknown kind for custom and an unknown status for unset, and minds no other bits of `state`. A `packed` value
//! that is no MessagePack is read as far as it goes and counted as cut.

mod builder;
mod columns;
mod copy;
mod decode;
mod life;
mod tables;
mod taken;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use builder::BlockBuilder;
pub(crate) use decode::{BlockDecoder, Rows};
pub(crate) use view::RowsRef;
pub use view::{Attributes, EventRef, LinkRef, SpanRef};

use std::fmt;

/// A map longer than this is damage, not a big block. The largest span fits with room to spare.
pub(crate) const RAW_LEN_MAX: u32 = 64 << 20;
/// More rows than this are damage: a block is closed long before.
pub(crate) const ROWS_MAX: u32 = 1 << 20;
/// More entries than this in all rows together are damage.
const ENTRIES_MAX: usize = 4 << 20;
/// How many bytes the names and keys of a block may take once every row has its own, so that few bytes cannot
/// become many gigabytes.
const NAMES_LEN_MAX: usize = 256 << 20;
/// How many items the `packed` values of a block may have; those beyond are cut.
const ITEMS_MAX: usize = 8 << 20;
/// zstd cannot compress better than 128 KiB to 4 bytes, so whoever claims more lies.
const RATIO_MAX: u64 = 32 << 10;

const STATE_STATUS: u8 = 0b111;
const STATE_INTERRUPTED: u8 = 1 << 3;
const STATE_ANNOUNCEMENT: u8 = 1 << 4;
const STATE_PENDING: u8 = 1 << 5;

const TAG_NULL: u8 = 0;
const TAG_FALSE: u8 = 1;
const TAG_TRUE: u8 = 2;
const TAG_I64: u8 = 3;
const TAG_U64: u8 = 4;
const TAG_F64: u8 = 5;
const TAG_STR: u8 = 6;
const TAG_BYTES: u8 = 7;
const TAG_PACKED: u8 = 8;
const TAG_EVENT: u8 = 9;
const TAG_LINK: u8 = 10;
const TAG_MASK: u8 = 0x0f;
const TAG_IN_EVENT: u8 = 1 << 4;
const TAG_CUT: u8 = 1 << 5;

/// The dictionary of names and keys, by their numbers in records.
pub(crate) trait Names {
    /// The text with this number, if it is known.
    fn text(&self, number: u16) -> Option<&str>;
}

/// How a payload is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Codec {
    /// As it is.
    Stored,
    /// As one zstd frame.
    Zstd,
}

/// How much is spent on making a payload small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compression {
    /// Nothing.
    None,
    /// zstd of this level; negative ones are faster.
    Zstd(i32),
}

impl Default for Compression {
    fn default() -> Self {
        Compression::Zstd(1)
    }
}

/// What [`BlockBuilder::finish`] makes.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Payload {
    /// The bytes that go into the block.
    pub(crate) bytes: Vec<u8>,
    /// Their length before compression.
    pub(crate) raw_len: u32,
    /// How they are stored. Where compression gained nothing they are stored as they are.
    pub(crate) codec: Codec,
}

/// Why a payload cannot be read although its checksum is right: a later version wrote it, or no spanring at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Undecodable {
    /// It claims a length or a number of rows beyond the limits.
    TooLarge,
    /// zstd cannot decompress it to the length that it claims.
    Compression,
    /// It is not the MessagePack map of the known columns.
    Columns,
    /// A column ends before the rows do.
    TooShort(&'static str),
    /// A column goes on after the rows.
    TooLong(&'static str),
    /// A column holds what it must not.
    Value(&'static str),
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undecodable::TooLarge => write!(f, "a block claims to be larger than any block can be"),
            Undecodable::Compression => write!(f, "a block's compressed payload is malformed"),
            Undecodable::Columns => write!(f, "a block's payload is no map of columns"),
            Undecodable::TooShort(column) => write!(f, "a block's column {column} is too short"),
            Undecodable::TooLong(column) => write!(f, "a block's column {column} is too long"),
            Undecodable::Value(column) => write!(f, "a block's column {column} holds an impossible value"),
        }
    }
}
