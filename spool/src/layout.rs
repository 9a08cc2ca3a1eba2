//! Where everything lies in a spool. Directories are 0700, files 0600, all of one user.
//!
//! ```text
//! <spool>/
//!   spanring-spool             marks the spool: one line, "spanring spool 0"
//!   exporter.lock              locked by the exporter that delivers from here
//!   dead-letters/              spans, and whole traces, that sinks refused for good, a file each
//!   .new-<recorder>/           a recorder that is being set up; renamed when it is complete
//!   .gone-<recorder>/          one that was delivered and is being removed
//!   <recorder>/
//!     lock                     locked by the recorder's process for as long as it lives; says when and where that was
//!     resource                 what the process was: service name and attributes
//!     control                  the recorder's clock and counters
//!     callsites                names and keys, by number
//!     lane-NNNN, table-NNNN    rings, and the spans that are in flight
//!     NNNNNNNNNNNNNNNNNN.segment    the spans that were spooled, from number 1 on
//!     cursor-XXXXXXXXXXXXXXXX  how far one sink has got
//!     spare-cursor-N           what becomes one where the disk is full, from number 1 on
//!     notes-XXXXXXXXXXXXXXXX-NNNNNNNN    what that sink has to know again after a restart, from number 1 on
//!     termination              stands when a receiver wants the process stopped; says why
//!     .new-termination-XXXXXXXXXXXXXXXX  that while it is written
//!     *.quarantined            lanes and the like of another boot, which nobody can trust, or that nobody can read
//!     closed                   empty; stands when the process stopped in order, and all is in segments
//!     recovered                empty; stands when all that rings and tables held is in the recovery recorder
//! ```
//!
//! Anything else in a spool is left alone.

#[cfg(feature = "trace")]
use crate::recorder_id::RecorderId;

/// The file that marks a spool.
pub(crate) const MARKER: &str = "spanring-spool";
/// What the marking file says: the version of this layout.
pub(crate) const MARKER_TEXT: &str = "spanring spool 0\n";
/// The marking file while it is written.
pub(crate) const NEW_MARKER_PREFIX: &str = ".new-spool-";
/// The file that the exporter locks.
pub(crate) const EXPORTER_LOCK: &str = "exporter.lock";
/// The directory of what sinks refused.
#[cfg(feature = "trace")]
pub(crate) const DEAD_LETTERS: &str = "dead-letters";
/// Before the name of a recorder or a dead letter that is being set up.
pub(crate) const NEW_PREFIX: &str = ".new-";
/// Before the name of a recorder that is being removed.
pub(crate) const GONE_PREFIX: &str = ".gone-";

/// The file that is locked while the recorder's process lives.
pub(crate) const LOCK: &str = "lock";
/// The file that says what the process was.
pub(crate) const RESOURCE: &str = "resource";
/// The file with the recorder's clock and counters.
pub(crate) const CONTROL: &str = "control";
/// The dictionary of names and keys.
pub(crate) const CALLSITES: &str = "callsites";
/// Stands when the recorder's process stopped in order.
pub(crate) const CLOSED: &str = "closed";
/// Stands when everything in rings and tables was recovered.
pub(crate) const RECOVERED: &str = "recovered";
/// Stands when a receiver wants the recorder's process stopped.
pub(crate) const TERMINATION: &str = "termination";

/// Behind the name of a file of a recorder's memory that cannot be trusted.
pub(crate) const QUARANTINED_SUFFIX: &str = ".quarantined";

const LANE_PREFIX: &str = "lane-";
const TABLE_PREFIX: &str = "table-";
const CURSOR_PREFIX: &str = "cursor-";
const SPARE_CURSOR_PREFIX: &str = "spare-cursor-";
const NOTES_PREFIX: &str = "notes-";
const NEW_TERMINATION_PREFIX: &str = ".new-termination-";
const SEGMENT_SUFFIX: &str = ".segment";
#[cfg(feature = "trace")]
const LETTER_SUFFIX: &str = ".letter";
#[cfg(feature = "trace")]
const TRACE_LETTER_SUFFIX: &str = ".trace";

/// The name of a segment's file.
pub(crate) fn segment(number: u64) -> String {
    format!("{number:018}{SEGMENT_SUFFIX}")
}

/// The number of the segment whose file has this name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    let fits = digits.len() == 18 && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| digits.parse().ok())?.filter(|&number| number > 0)
}

/// The name of the file of the ring with this number.
pub(crate) fn lane(number: u16) -> String {
    format!("{LANE_PREFIX}{number:04}")
}

/// The name of the file of the in-flight table with this number.
pub(crate) fn table(number: u16) -> String {
    format!("{TABLE_PREFIX}{number:04}")
}

/// The name of the cursor's file of a sink whose name has this hash.
pub(crate) fn cursor(hash: u64) -> String {
    format!("{CURSOR_PREFIX}{hash:016x}")
}

/// The hash in the name of a cursor's file.
pub(crate) fn cursor_hash(name: &str) -> Option<u64> {
    let hash = u64::from_str_radix(name.strip_prefix(CURSOR_PREFIX)?, 16).ok()?;
    // A number has one way to be written.
    (cursor(hash) == name).then_some(hash)
}

/// The names of the files that become cursors where there is no space for others: for so many sinks that begin with a recorder while the disk is full.
pub(crate) fn spare_cursors() -> impl Iterator<Item = String> {
    (1..=4).map(|number| format!("{SPARE_CURSOR_PREFIX}{number}"))
}

/// The name of the file with this number of the notes of a sink whose name has this hash.
pub(crate) fn notes(hash: u64, number: u64) -> String {
    format!("{NOTES_PREFIX}{hash:016x}-{number:08x}")
}

/// The hash and the number in the name of a file of notes.
pub(crate) fn notes_number(name: &str) -> Option<(u64, u64)> {
    let (hash, number) = name.strip_prefix(NOTES_PREFIX)?.split_once('-')?;
    let parse = |digits| u64::from_str_radix(digits, 16).ok();
    let (hash, number) = (parse(hash)?, parse(number).filter(|&number| number > 0)?);
    // A number has one way to be written.
    (notes(hash, number) == name).then_some((hash, number))
}

/// The name of the file of a termination while it is written, which nobody else has.
pub(crate) fn new_termination(random: u64) -> String {
    format!("{NEW_TERMINATION_PREFIX}{random:016x}")
}

fn is_new_termination(name: &str) -> bool {
    let digits = name.strip_prefix(NEW_TERMINATION_PREFIX);
    let random = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    random.is_some_and(|random| new_termination(random) == name)
}

/// The name of the dead letter of a span of this place, from a sink whose name has this hash.
#[cfg(feature = "trace")]
pub(crate) fn letter(sink: u64, recorder: &RecorderId, segment: u64, offset: u64, number: u64) -> String {
    format!("{sink:016x}-{recorder}-{segment:010x}-{offset:08x}-{number:05x}{LETTER_SUFFIX}")
}

/// The name of the dead letter of a whole trace whose first span has this place, likewise.
#[cfg(feature = "trace")]
pub(crate) fn trace_letter(
    sink: u64,
    recorder: &RecorderId,
    segment: u64,
    offset: u64,
    number: u64,
) -> String {
    let of_span = letter(sink, recorder, segment, offset, number);
    of_span.replace(LETTER_SUFFIX, TRACE_LETTER_SUFFIX)
}

/// Whether a file of this name is a dead letter.
#[cfg(feature = "trace")]
pub(crate) fn is_letter(name: &str) -> bool {
    is_letter_with(name, LETTER_SUFFIX) || is_trace_letter(name)
}

/// Whether a file of this name is the dead letter of a whole trace.
#[cfg(feature = "trace")]
pub(crate) fn is_trace_letter(name: &str) -> bool {
    is_letter_with(name, TRACE_LETTER_SUFFIX)
}

#[cfg(feature = "trace")]
fn is_letter_with(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|place| {
        !place.is_empty() && place.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'r' | b'-'))
    })
}

/// Whether a file of this name holds what is recorded and not yet spooled, or serves only to read that: blocks have their own
/// names and keys.
pub(crate) fn is_memory(name: &str) -> bool {
    name == CONTROL || name == CALLSITES || is_numbered(name, LANE_PREFIX) || is_numbered(name, TABLE_PREFIX)
}

/// Whether a file of this name is a lane.
pub(crate) fn is_lane(name: &str) -> bool {
    is_numbered(name, LANE_PREFIX)
}

/// Whether a file of this name is a table.
pub(crate) fn is_table(name: &str) -> bool {
    is_numbered(name, TABLE_PREFIX)
}

/// Whether recorders and exporters make files of this name in the directory of a recorder.
pub(crate) fn is_known(name: &str) -> bool {
    matches!(name, LOCK | RESOURCE | CLOSED | RECOVERED | TERMINATION)
        || is_memory(name)
        || name.strip_suffix(QUARANTINED_SUFFIX).is_some_and(is_memory)
        || segment_number(name).is_some()
        || cursor_hash(name).is_some()
        || spare_cursors().any(|spare| spare == name)
        || notes_number(name).is_some()
        || is_new_termination(name)
}

fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|digits| {
        matches!(digits.len(), 4 | 5) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_made_is_known_again() {
        for number in [1, 999, 999_999_999_999_999_999] {
            assert_eq!(segment_number(&segment(number)), Some(number));
            assert!(is_known(&segment(number)));
        }
        for number in [0, 9_999, u16::MAX] {
            assert!(is_memory(&lane(number)) && is_memory(&table(number)));
        }
        for name in [
            cursor(0),
            cursor(u64::MAX),
            "spare-cursor-1".into(),
            "spare-cursor-4".into(),
            notes(0, 1),
            notes(u64::MAX, u64::MAX),
            LOCK.into(),
            CONTROL.into(),
            CALLSITES.into(),
            CLOSED.into(),
            TERMINATION.into(),
            new_termination(0),
            new_termination(u64::MAX),
            lane(3),
        ] {
            assert!(is_known(&name), "{name}");
        }
    }

    #[test]
    fn names_that_nobody_makes_are_unknown() {
        let hostile = [
            "",
            "..",
            "000000000000000000.segment",
            "00000000000000001.segment",
            "+00000000000000001.segment",
            "0000000000000000001.segment",
            "000000000000000001.segment~",
            "cursor-",
            "cursor-0123456789ABCDEF",
            "cursor-0123456789abcdef0",
            "spare-cursor-0",
            "spare-cursor-5",
            "spare-cursor-01",
            "notes-",
            "notes-0123456789abcdef",
            "notes-0123456789abcdef-00000000",
            "notes-0123456789abcdef-1",
            "notes-0123456789abcdef-0000000A",
            ".new-termination-",
            ".new-termination-0123456789ABCDEF",
            "termination-",
            "lane-",
            "lane-1",
            "lane-00a0",
            "lane-000000",
            "table-../x",
            "Lock",
        ];
        for name in hostile {
            assert!(!is_known(name), "{name:?}");
        }
    }
}
