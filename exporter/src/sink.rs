//! Sinks: where spans are delivered.
//!
//! A [`Sink`] is handed one [`Batch`] at a time, or a [`Wave`] of several, and says what became of each, an [`Outcome`]. It keeps no queue, does not
//! retry and knows no cursor; the engine does all that, the same for every sink. A sink that speaks HTTP is an
//! [`HttpApi`]: it makes a request of a batch and an outcome of a response, and does no I/O at all. gRPC has a transport of its own.

mod address;
mod ahead;
mod conceal;
mod endpoint;
mod file;
mod grpc;
mod gzip;
mod http;
mod openai;
mod openai_options;
mod options;
mod otlp_grpc;
mod otlp_http;
mod otlp_options;
mod prefactor;
mod prefactor_answer;
mod prefactor_options;
mod prela;
mod prela_file;
mod prela_http;
mod prela_options;
mod retry_after;
mod spanforge;
mod spans;
mod stdout;
mod system;
mod trace;
mod wave;

pub use address::{FORMS, SinkAddress};
pub use file::{Compression, FileOptions, FileSink};
pub use http::{HttpApi, HttpSink, Request, Response};
pub use openai::OpenAi;
pub use openai_options::OpenAiOptions;
pub use options::SinkOptions;
pub use otlp_grpc::OtlpGrpc;
pub use otlp_http::OtlpHttp;
pub use otlp_options::{OtlpOptions, Protocol};
pub use prefactor::PrefactorSink;
pub use prefactor_options::PrefactorOptions;
pub use prela::Prela;
pub use prela_file::PrelaFileSink;
pub use prela_http::PrelaSink;
pub use prela_options::PrelaOptions;
pub use spanforge::{SpanForgeAddress, SpanForgeCloud, SpanForgeOptions, SpanForgeWebhook};
pub use spans::Spans;
pub use stdout::StdoutSink;
pub use system::System;
pub use trace::{Trace, TraceSpans};
pub use wave::Wave;

pub(crate) use file::{LineForm, OTLP_LINES};
pub(crate) use http::is_loopback;
pub(crate) use otlp_options::OWN_HEADERS;
pub(crate) use spanforge::EVENT_LINES as SPANFORGE_LINES;
pub(crate) use spans::BlockSpans;
pub(crate) use wave::{Sent, Width};

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use spanring_spool::{Note, Position, RecorderId, Resource, SpanData, Value};

use crate::engine::SPANS_MAX;
use crate::otlp::{self, Names};

/// Somewhere to deliver spans to.
pub trait Sink: Send {
    /// Its address in canonical form. The cursors are kept under this name, so it must stay the same across restarts.
    fn name(&self) -> &str;

    /// How many spans it takes at once, which must stay the same across restarts: batches end where this says. The engine sends no more than
    /// [`SPANS_MAX`] whatever it says, and no fewer than one.
    fn spans_max(&self) -> usize {
        SPANS_MAX
    }

    /// What it has to know of a trace before it can take any of it. It must stay the same across restarts.
    fn needs(&self) -> Needs {
        Needs::Spans
    }

    /// Is shown the spans of some whole traces, in the order in which they go, before the first batch of them, if it needs an
    /// [overview](Needs::Overview). The batches that follow are of these, until it is shown others. Where they cannot be read, none of them follow.
    fn overview<'a>(&'a mut self, _: &'a mut dyn TraceSpans) -> Overview<'a> {
        Box::pin(async {})
    }

    /// What it knows of a span that it refuses, by the overview, and could not tell by the span alone: pairs of a name and a value, which are kept
    /// with the span where that is set aside, and [recalled](Self::recall).
    fn known_of(&self, _: &SpanData) -> Vec<(String, Value)> {
        Vec::new()
    }

    /// Is told, before it is delivered a span out of the dead letters, what the sink that refused it [knew](Self::known_of), itself or another.
    fn recall(&mut self, _: &SpanData, _: &[(String, Value)]) {}

    /// Delivers one batch. The engine hands over the batches of a recorder in order, but for those of [waves](Self::deliver_wave), the same batch
    /// again after [`Outcome::Retry`], or after a restart, and its halves after [`Outcome::Rejected`].
    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a>;

    /// As [`deliver`](Self::deliver), where a sink can use its time to make ready what `next` needs while it waits for the answer. `next` comes
    /// after this one unless the sink refuses it or somebody asks for a stop; then it may never come.
    fn deliver_before<'a>(&'a mut self, batch: &'a Batch<'a>, next: Option<&'a Batch<'a>>) -> Delivery<'a> {
        let _ = next;
        self.deliver(batch)
    }

    /// How many batches it takes at the same time. More than one only where it does not matter in which order they come, so that it needs
    /// [nothing but spans](Needs::Spans); it is handed [waves](Self::deliver_wave) then.
    fn batches_max(&self) -> usize {
        1
    }

    /// Delivers several batches of a recorder: asks the wave for the [next](Wave::begin) of them as long as there is one, and
    /// [says](Wave::answered) what became of each. What it has not begun when it returns comes again, as does what was not
    /// [delivered](Outcome::Delivered).
    fn deliver_wave<'a>(&'a mut self, wave: &'a mut Wave<'_>) -> Deliveries<'a> {
        Box::pin(async move {
            while let Some((number, batch)) = wave.begin() {
                let outcome = self.deliver(&batch).await;
                wave.answered(number, outcome);
            }
        })
    }

    /// Delivers a whole trace: what a sink is asked for that [needs](Needs::Traces) such, in place of [`deliver`](Self::deliver). After
    /// [`Outcome::Rejected`] it is set aside, with all its spans.
    fn deliver_trace<'a>(&'a mut self, _: &'a mut Trace<'_>) -> Delivery<'a> {
        Box::pin(async { Outcome::Parked { reason: "it takes no whole traces".to_owned() } })
    }

    /// Looks after a process that lives, about once a second while an exporter follows its spool, unless a batch is being delivered. It is cut off
    /// where it takes several seconds. What fails here costs nothing.
    fn look_after<'a>(&'a mut self, _: &'a LiveProcess<'a>) -> Delivery<'a> {
        Box::pin(async { Outcome::DELIVERED })
    }

    /// Whether it shows spans while they run: it has the announcements of spans then, in batches, and is [shown](Self::show) what happens. Only for a
    /// sink that needs [parents first](Needs::ParentsFirst).
    fn wants_starts(&self) -> bool {
        false
    }

    /// Is shown a span of a process that lives, before its trace is over, where it [wants](Self::wants_starts) that: its start, and once more its
    /// end. Both come again with the [delivery](Self::deliver), so what fails here costs nothing; nor need either come here at all. It is asked as
    /// [`look_after`](Self::look_after) is.
    fn show<'a>(&'a mut self, _: &'a LiveSpan<'a>) -> Delivery<'a> {
        Box::pin(async { Outcome::DELIVERED })
    }

    /// Is told of a span that was announced and will never be delivered, since how it ended was lost; again after [`Outcome::Retry`], or after a
    /// restart.
    fn lose<'a>(&'a mut self, _: &'a LiveSpan<'a>) -> Delivery<'a> {
        Box::pin(async { Outcome::DELIVERED })
    }

    /// Whether it has to know again, after a restart, something of what it has sent: then it is asked for [notes](Self::take_notes). Only of a sink that
    /// [needs](Self::needs) more than spans.
    fn takes_notes(&self) -> bool {
        false
    }

    /// Is handed what it has noted of a process, in that order, before it is handed anything of it: nothing, where it is new. Of a process that it was told
    /// to [forget](Self::forget) it may be handed more, and is handed its notes again before.
    fn recall_notes(&mut self, _: &RecorderId, _: Vec<Note>) {}

    /// Takes what it has learned of a process since it was asked last. It is durable before any span counts as delivered that was sent before, and what
    /// stands in it is handed back after a restart: the last [`NOTES_MAX`](spanring_spool::NOTES_MAX) notes, and what was sent, and not noted, is sent again. A
    /// redelivery takes notes, and they are gone.
    fn take_notes(&mut self, _: &RecorderId) -> Vec<Note> {
        Vec::new()
    }

    /// Is handed, in a redelivery, what it has noted of a process, before anything of that is delivered again. Nothing of what was sent counts as there then; what is
    /// of use may be how it was sent.
    fn recall_past(&mut self, _: &RecorderId, _: Vec<Note>) {}

    /// Forgets a process of which all [notes](Self::take_notes) were taken.
    fn forget(&mut self, _: &RecorderId) {}

    /// Takes what the receiver has said since about processes that it wants stopped. It is asked after everything that it was called for.
    fn take_terminations(&mut self) -> Vec<TerminationRequest> {
        Vec::new()
    }

    /// Is told that a process is over and that all it recorded was delivered or set aside, if it [needs](Self::needs) more than spans; again
    /// after [`Outcome::Retry`], and it may be once more after a restart. What it refuses here is told, and costs nothing else.
    fn process_over<'a>(&'a mut self, _: &'a Process<'a>) -> Delivery<'a> {
        Box::pin(async { Outcome::DELIVERED })
    }
}

/// A process that is over.
#[derive(Clone, Copy, Debug)]
pub struct Process<'a> {
    /// Its recorder; of what was recovered of another one, that.
    pub recorder: &'a RecorderId,
    /// What the process was.
    pub resource: &'a Resource,
    /// Whether it was killed, or died otherwise, before it had stopped its spool.
    pub has_died: bool,
}

/// A process that lives, or of which nobody can tell whether it does.
#[derive(Clone, Copy, Debug)]
pub struct LiveProcess<'a> {
    /// Its recorder.
    pub recorder: &'a RecorderId,
    /// What the process is.
    pub resource: &'a Resource,
}

/// A span of a process, whose trace is not over.
#[derive(Clone, Copy, Debug)]
pub struct LiveSpan<'a> {
    /// The process's recorder.
    pub recorder: &'a RecorderId,
    /// What the process is.
    pub resource: &'a Resource,
    /// What was announced of it when it started, if it was.
    pub start: Option<&'a SpanData>,
    /// The span, once it has ended.
    pub end: Option<&'a SpanData>,
    /// Whether its parent, where it has one, is a span of another process.
    pub is_under_another_process: bool,
}

/// That a receiver wants a process stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TerminationRequest {
    /// The process's recorder.
    pub recorder: RecorderId,
    /// Why, as the receiver said: on one line, and short.
    pub reason: String,
}

/// What a sink has to know of a trace before it can take any of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// Nothing: spans are delivered as they end.
    Spans,
    /// Batches of spans whose parents it was delivered before, or that are not there: spans are delivered when their trace is over.
    ParentsFirst,
    /// What there is of it: spans are delivered when their trace is over, in the order in which they were recorded, batch by batch, and the sink is
    /// [shown](Sink::overview) all of them before. A batch is of several whole traces, or of one.
    Overview,
    /// All of it, in one.
    Traces,
}

/// What a batch will have come to.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;
/// What a wave, which knows what becomes of its batches, will have come to.
pub type Deliveries<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// That a sink has seen an overview.
pub type Overview<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Spans that are delivered together. All are of one process, and of one block unless the sink [needs](Sink::needs) more; there is at least one.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Which batch it is.
    pub id: BatchId<'a>,
    /// What the recording process was.
    pub resource: &'a Resource,
    /// The spans, in sequence order, or parents first.
    pub spans: Spans<'a>,
    /// For a sink that [wants](Sink::wants_starts) them, what was announced of spans when they started, of these among others, sorted by their
    /// identities. Not every span was announced.
    pub starts: &'a [SpanData],
}

impl Batch<'_> {
    /// What was announced of a span when it started, if that is known.
    pub fn start_of(&self, span: &SpanData) -> Option<&SpanData> {
        let identity = |span: &SpanData| (span.trace_id, span.span_id);
        let at = self.starts.binary_search_by_key(&identity(span), identity);
        at.ok().map(|at| &self.starts[at])
    }

    /// An OTLP/JSON request on a line by itself, with its line break.
    fn json_line(&self, names: Names) -> Vec<u8> {
        let request = otlp::spans_to_protobuf(names, &self.resource.attributes, self.spans);
        let mut line = otlp::to_json(&otlp::decoded(&request)).into_bytes();
        line.push(b'\n');
        line
    }
}

/// The identity of a batch. It is a function of the block and of how the batch was divided, so that it is the same after any restart: a
/// key by which a receiver can tell that it has had the batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchId<'a> {
    /// The recorder.
    pub recorder: &'a RecorderId,
    /// Behind the block.
    pub block: Position,
    /// Which batch of the block, counted from 0. Of a span alone, of a trace, and of a batch for a sink that does not take spans as they end:
    /// which of the block's spans its first is.
    pub number: usize,
    /// Which part of it: 1 is the whole, and those of part n are 2n, its first half, and 2n + 1. 0 is a span alone, out of the dead
    /// letters.
    pub part: usize,
}

impl BatchId<'_> {
    /// The whole of a batch.
    pub const WHOLE: usize = 1;
    /// A span alone, out of the dead letters.
    pub const ALONE: usize = 0;
}

impl fmt::Display for BatchId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchId { recorder, block, number, part } = self;
        write!(f, "{recorder}:{:x}:{:x}:{number:x}", block.segment, block.offset)?;
        if *part == Self::WHOLE { Ok(()) } else { write!(f, "/{part:x}") }
    }
}

/// What became of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The sink has it. It is not sent again, whatever else the sink said.
    Delivered {
        /// How many of its spans the sink did not want. They are given up, and counted.
        rejected: u64,
        /// What the sink had to say, if anything.
        message: String,
    },
    /// Not now: the same batch may well be taken later.
    Retry {
        /// How long the sink asked to wait.
        after: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// Not this batch: the sink takes others, and would refuse this one again. The engine sends its halves, and so on, until it has
    /// found the spans that the sink does not take, and sets those aside.
    Rejected {
        /// Why.
        reason: String,
    },
    /// Nothing at all, until somebody changes something: the address, the credentials, the sink. An exporter that follows its
    /// spool asks again every few minutes.
    Parked {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// Delivered, with nothing to add.
    pub const DELIVERED: Outcome = Outcome::Delivered { rejected: 0, message: String::new() };

    /// The worse of two failures. Who is to wait waits for the longer of two.
    pub(crate) fn worse(self, other: Outcome) -> Outcome {
        match (self, other) {
            (Outcome::Retry { after, reason }, Outcome::Retry { after: other, .. }) => {
                Outcome::Retry { after: after.max(other), reason }
            }
            (parked @ Outcome::Parked { .. }, _) | (_, parked @ Outcome::Parked { .. }) => parked,
            (retry @ Outcome::Retry { .. }, _) | (_, retry @ Outcome::Retry { .. }) => retry,
            (one, _) => one,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
