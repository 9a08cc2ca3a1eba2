//! What a reader had to leave out.

use std::fmt;
use std::path::PathBuf;

/// What a reader of segments had to leave out so far: nothing is left out uncounted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Skipped {
    /// Files of which nothing could be read.
    pub files: u64,
    /// Holes in segments, each one or more damaged blocks.
    pub holes: u64,
    /// Bytes in those files and holes.
    pub bytes: u64,
    /// Segments that are not there, though a later one is, and that no exporter has removed since they were delivered, where a reader
    /// can tell.
    pub missing_segments: u64,
    /// Spans and announcements that are missing, as far as the numbers of later ones show it.
    pub missing_rows: u64,
    /// Bytes of blocks that were being written when the process was killed. No damage: recovery takes their spans from
    /// elsewhere.
    pub uncommitted_bytes: u64,
    /// What was left out last.
    pub last: Option<SkippedAt>,
}

/// Where something was left out, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SkippedAt {
    /// The file.
    pub path: PathBuf,
    /// The byte at which it started.
    pub offset: u64,
    /// Why.
    pub reason: String,
}

impl Skipped {
    /// Whether anything was left out that should have been there.
    pub fn is_damage(&self) -> bool {
        self.files + self.holes + self.missing_segments + self.missing_rows > 0
    }

    /// Adds what another reader left out.
    pub fn add(&mut self, other: &Skipped) {
        self.files += other.files;
        self.holes += other.holes;
        self.bytes += other.bytes;
        self.missing_segments = self.missing_segments.saturating_add(other.missing_segments);
        self.missing_rows = self.missing_rows.saturating_add(other.missing_rows);
        self.uncommitted_bytes += other.uncommitted_bytes;
        if other.last.is_some() {
            self.last.clone_from(&other.last);
        }
    }

    pub(crate) fn file(&mut self, path: PathBuf, len: u64, reason: &str) {
        self.files += 1;
        self.bytes += len;
        self.last = Some(SkippedAt { path, offset: 0, reason: reason.to_owned() });
    }

    pub(crate) fn hole(&mut self, path: PathBuf, offset: u64, len: u64, reason: String) {
        self.holes += 1;
        self.bytes += len;
        self.last = Some(SkippedAt { path, offset, reason });
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_damage() {
            return f.write_str("nothing skipped");
        }
        f.write_str("skipped")?;
        let mut separator = " ";
        for (count, one, many) in [
            (self.files, "file", "files"),
            (self.holes, "hole", "holes"),
            (self.missing_segments, "missing segment", "missing segments"),
            (self.missing_rows, "missing span or announcement", "missing spans and announcements"),
            (self.bytes, "byte", "bytes"),
        ] {
            if count > 0 {
                write!(f, "{separator}{count} {}", if count == 1 { one } else { many })?;
                separator = ", ";
            }
        }
        match &self.last {
            Some(last) => {
                write!(f, "; last {} at byte {}: {}", last.path.display(), last.offset, last.reason)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_how_much_and_where() {
        let mut skipped = Skipped::default();
        assert_eq!(skipped.to_string(), "nothing skipped");
        skipped.hole("/s/1.segment".into(), 8192, 400, "the checksum of a block is wrong".into());
        skipped.missing_rows = 3;
        let text = "skipped 1 hole, 3 missing spans and announcements, 400 bytes; last /s/1.segment at byte 8192: the \
                    checksum of a block is wrong";
        assert_eq!(skipped.to_string(), text);
    }
}
