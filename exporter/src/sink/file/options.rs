//! How a file grows.

use std::num::NonZeroUsize;

/// How a file grows. The default is one file that grows without limit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileOptions {
    /// A line that would make the file longer than so many bytes goes to a new one, and the file is kept beside it, under a name with the
    /// time. A line that is longer by itself has a file to itself. `None` for one file only; what else is said here counts for nothing then.
    pub rotate_bytes: Option<u64>,
    /// How many rotated files are kept. The oldest beyond are removed, with all that was delivered into them, once those that stay are
    /// durable. `None` for all.
    pub keep: Option<NonZeroUsize>,
    /// What becomes of rotated files. The file that is written to is never compressed.
    pub compression: Compression,
}

/// What becomes of rotated files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Compression {
    /// They stay as they are.
    #[default]
    None,
    /// They become `.zst`, as `zstd` writes and reads them.
    Zstd,
}
