//! For programs that are instrumented with something else: what they record there is recorded here.

#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
#[cfg(feature = "tracing")]
pub mod tracing;
