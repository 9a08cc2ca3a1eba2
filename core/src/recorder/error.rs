//! What can go wrong when a recorder is made or installed.

/// Why a recorder could not be made or installed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecorderError {
    /// Another one is installed in this process.
    AlreadyInstalled,
    /// The process has as many mappings or lanes as it can have.
    TooMany,
    /// A ring's length is no power of two from 4 KiB to 1 GiB.
    RingLength,
}

impl std::fmt::Display for RecorderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RecorderError::AlreadyInstalled => "another recorder is installed in this process",
            RecorderError::TooMany => "the process has as many rings and tables as it can have",
            RecorderError::RingLength => "a ring's length must be a power of two from 4 KiB to 1 GiB",
        })
    }
}

impl std::error::Error for RecorderError {}
