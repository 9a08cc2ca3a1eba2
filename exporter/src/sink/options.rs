//! What can be said about a sink beside its address.

use super::{FileOptions, OtlpOptions, PrelaOptions};
use crate::engine::RouteOptions;

/// What can be said about a sink beside its address; each kind of sink heeds what is about it. The default is what an
/// address alone stands for.
#[derive(Clone, Debug, Default)]
pub struct SinkOptions {
    /// How an OTLP receiver is asked.
    pub otlp: OtlpOptions,
    /// How a file grows.
    pub file: FileOptions,
    /// How it is served, whatever kind it is. Whoever opens a sink by itself sees to that.
    pub route: RouteOptions,
    /// How Prela is asked, and what it is told.
    pub prela: PrelaOptions,
}
