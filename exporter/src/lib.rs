//! Delivers what spanring recorded, and recovers what processes left that died.
//!
//! The command:
//!
//! ```text
//! spanring export --spool /var/spool/shop --to otlp+http://localhost:4318
//! spanring export --spool /var/spool/shop --spool /var/spool/crawler --to stdout
//! spanring export --config export.toml
//! ```
//!
//! The library:
//!
//! ```no_run
//! # async fn export() -> Result<(), Box<dyn std::error::Error>> {
//! use spanring_exporter::{Exporter, sink::SinkAddress};
//! use spanring_spool::SpoolDir;
//!
//! let sink: SinkAddress = "file:spans.jsonl".parse()?;
//! let exporter = Exporter::new(SpoolDir::open("/var/spool/shop")?).to(sink.open()?);
//! let report = exporter.run(std::future::pending()).await?; // follows the spool until it is stopped
//! # Ok(())
//! # }
//! ```
//!
//! A program without a runtime, or one that records itself, has it on a thread of its own: [`Exporter::spawn`]. Several of them, of a
//! spool each, are [`Exporters`].
//!
//! An [`Exporter`] finds the recorders of a spool, alive and dead, and reads their blocks. It divides each into
//! [batches](sink::Batch), hands those to its [sinks](sink::Sink), and keeps each sink's place in a cursor. A sink delivers
//! a batch, as [OTLP](otlp), as the items of the [OpenAI Agents SDK](openai_agents), as [SpanForge's events](spanforge), in
//! [Prefactor's](prefactor) or [Prela's form](prela), and says what [became of it](sink::Outcome). Without any of that there is what
//! prefactor_langchain's [classes](prefactor_langchain) say of a span. A [configuration](config) says the same as the program above in a file.
//!
//! ```text
//!   spool ══► block ──► batch ──► sink ──► receiver
//!     ▲                             │
//!     └────────── cursor ◄──────────┘
//! ```
//!
//! How it stands is told by its [status](engine::Status), shown to Prometheus as [`metrics`], and served over HTTP by a
//! [monitor](monitor::Monitor); what happens, by [notices](engine::Notice), which are lines of a [`log`] too.
//!
//! # What it promises
//!
//! * Every span that is in the spool is delivered at least once. What a sink does not take is kept, through outages and
//!   restarts of either side; a kill in between delivers again what had not been acknowledged, in the same batches.
//! * A span that a sink refuses by itself holds up no other: it is set aside as a [dead letter](spanring_spool::DeadLetters), with the
//!   reason, and can be delivered [again](Replay). Its batch is halved until it is found.
//! * What is kept after its delivery can be delivered [once more](Redelivery), in the same batches, or as the same traces.
//! * What is removed from the spool has been acknowledged by every sink of the exporter that removes it, or is its dead letter.
//! * Memory is bounded whatever the backlog: one block a sink, of each spool.
//!
//! # What it does not do
//!
//! It does not order spans beyond what their recorder did: first in, first out for each thread.
#![forbid(unsafe_code)]

pub mod config;
pub mod demo;
pub mod doctor;
pub mod engine;
pub mod log;
pub mod metrics;
pub mod monitor;
pub mod openai_agents;
pub mod otlp;
pub mod prefactor;
pub mod prefactor_langchain;
pub mod prela;
pub mod quantity;
pub mod rfc3339;
pub mod sink;
pub mod spanforge;

mod backoff;
mod breaker;
mod dumps;
mod error;
#[cfg(doctest)]
mod guides;
mod isoformat;
mod replay;
mod secret;
mod small_file;

pub use engine::{
    ExportReport, ExportReports, Exporter, Exporters, Keep, Redelivery, RedeliveryPlan, RedeliveryReport,
    Route, RouteOptions, STOP_DEADLINE, SpawnedExporter, SpoolReport,
};
pub use error::{Error, with_causes};
pub use replay::{Replay, ReplayReport};
