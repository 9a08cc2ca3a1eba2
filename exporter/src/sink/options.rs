//! What can be said about a sink beside its address.

use super::{FileOptions, OtlpOptions, PrefactorOptions, PrelaOptions};

/// What can be said about a sink beside its address; each kind of sink heeds what is about it. The default is what an
/// address alone stands for.
#[derive(Clone, Debug, Default)]
pub struct SinkOptions {
    /// How an OTLP receiver is asked.
    pub otlp: OtlpOptions,
    /// How a file grows.
    pub file: FileOptions,
    /// How Prela is asked, and what it is told.
    pub prela: PrelaOptions,
    /// How Prefactor is asked, and what it is told.
    pub prefactor: PrefactorOptions,
}
