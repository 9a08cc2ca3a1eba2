//! What a trace is handed on by: read as W3C's specifications say, and never trusted.

mod baggage;
mod carriers;
mod traceparent;
mod tracestate;
