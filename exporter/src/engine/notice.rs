//! What happens while the exporter works, told as it happens. No notice shows what was recorded.
//!
//! For programs ([`Serialize`]) a notice is an object: its name under `event`, and the fields of its variant. Programs can rely on the
//! names.
//!
//! | event | level | further fields |
//! |---|---|---|
//! | `recovered` | warn | those of [`recovery_json`] |
//! | `unproven` | warn | `recorder`, `doubt` |
//! | `skipped` | error | `recorder`, `skipped` |
//! | `lost` | error | `recorder`, `spans` |
//! | `began_late` | info | `sink`, `recorder`, `segments` |
//! | `trouble` | warn | `recorder` or null, `reason` |
//! | `retrying` | warn | `sink`, `wait_seconds`, `reason` |
//! | `opened` | error | `sink`, `reason` |
//! | `closed` | info | `sink`, `after_seconds` |
//! | `answered` | warn; error where spans were rejected | `sink`, `batch`, `rejected`, `message` |
//! | `divided` | warn | `sink`, `batch`, `reason` |
//! | `set_aside` | error | `sink`, `span_id`, `reason` |
//! | `trace_set_aside` | error | `sink`, `trace_id`, `spans`, `reason` |
//! | `trace_refused` | error | `sink`, `trace_id`, `spans`, `reason` |
//! | `refused` | error | `sink`, `span_id`, `reason` |
//! | `not_taken` | error | `sink`, `span_id`, `reason` |
//! | `abandoned` | warn | `sink`, `batch` |
//! | `termination` | warn | `sink`, `recorder`, `reason` |
//! | `ended` | error | `sink`, `reason` |

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use spanring::{SpanId, TraceId};
use spanring_spool::{Doubt, RecorderId, RecoveryReport, Skipped};

use super::json::{recovery_json, skipped_json};
use crate::error::with_causes;
use crate::log::Level;

/// Something that whoever runs the exporter should know. Its text is one line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A recorder's process had died, and what its memory held is in the spool now.
    Recovered(RecoveryReport),
    /// Whether a recorder's process lives cannot be told, so its memory is left alone. Its segments are delivered.
    Unproven {
        /// The recorder.
        recorder: RecorderId,
        /// What prevents the proof.
        doubt: Doubt,
    },
    /// Parts of a recorder's segments could not be read.
    Skipped {
        /// The recorder.
        recorder: RecorderId,
        /// What was left out, all in all.
        skipped: Skipped,
    },
    /// Spans were damaged in the spool while the traces were waited for that they belong to. They count as dropped.
    Lost {
        /// The recorder.
        recorder: RecorderId,
        /// How many.
        spans: u64,
    },
    /// A sink is new to a recorder, of which the other sinks had segments that were removed since. It is not damage.
    BeganLate {
        /// The sink.
        sink: String,
        /// The recorder.
        recorder: RecorderId,
        /// How many segments had been removed.
        segments: u64,
    },
    /// Something about a recorder does not work. It is tried again; nothing is lost by it.
    Trouble {
        /// The recorder, unless it concerns them all.
        recorder: Option<RecorderId>,
        /// What, with its causes.
        reason: String,
    },
    /// A sink did not take a batch, which will be sent again.
    Retrying {
        /// The sink.
        sink: String,
        /// When.
        wait: Duration,
        /// Why it did not.
        reason: String,
    },
    /// A sink has failed several times in a row, and is taken for one that is out: it is probed now and then until it answers, which is
    /// told only where it fails for another reason.
    Opened {
        /// The sink.
        sink: String,
        /// Why it did not take what it was sent last.
        reason: String,
    },
    /// A sink that was taken for one that is out answers again.
    Closed {
        /// The sink.
        sink: String,
        /// How long it had failed.
        after: Duration,
    },
    /// A sink took a batch and had something to say.
    Answered {
        /// The sink.
        sink: String,
        /// The batch.
        batch: String,
        /// How many of its spans the sink did not want. They are not sent again.
        rejected: u64,
        /// What it said.
        message: String,
    },
    /// A sink refuses a batch, which is halved, and so on, until the spans are found that it does not take.
    Divided {
        /// The sink.
        sink: String,
        /// The batch.
        batch: String,
        /// Why it refuses.
        reason: String,
    },
    /// A sink refuses a span by itself. The span is a dead letter now, and those behind it go on.
    SetAside {
        /// The sink.
        sink: String,
        /// The span.
        span_id: SpanId,
        /// Why it refuses.
        reason: String,
    },
    /// A sink refuses a whole trace. It is one dead letter now, and those behind it go on.
    TraceSetAside {
        /// The sink.
        sink: String,
        /// The trace.
        trace_id: TraceId,
        /// How many spans it has.
        spans: u64,
        /// Why it refuses.
        reason: String,
    },
    /// A sink refuses a dead letter of a whole trace too. The letter is kept.
    TraceRefused {
        /// The sink.
        sink: String,
        /// The trace.
        trace_id: TraceId,
        /// How many spans it has.
        spans: u64,
        /// Why it refuses.
        reason: String,
    },
    /// A sink refuses a dead letter too. The letter is kept.
    Refused {
        /// The sink.
        sink: String,
        /// The span.
        span_id: SpanId,
        /// Why it refuses.
        reason: String,
    },
    /// A sink had not answered when the time to stop was over. Its batch is delivered again next time.
    Abandoned {
        /// The sink.
        sink: String,
        /// The batch.
        batch: String,
    },
    /// A sink refuses a span that it is delivered again. It stays in the spool as it is.
    NotTaken {
        /// The sink.
        sink: String,
        /// The span.
        span_id: SpanId,
        /// Why it refuses.
        reason: String,
    },
    /// A sink's receiver wants a process stopped, which was told so now.
    Termination {
        /// The sink.
        sink: String,
        /// The process's recorder.
        recorder: RecorderId,
        /// Why, as the receiver said.
        reason: String,
    },
    /// A sink will not be asked any more. What it did not take is kept.
    Ended {
        /// The sink.
        sink: String,
        /// Why.
        reason: String,
    },
}

impl Notice {
    /// That the system does not tell what happens in a spool.
    pub(super) fn unwatched(error: &notify::Error) -> Self {
        let reason = format!(
            "the spool is looked at every second, since the system does not tell all that happens there: {}",
            with_causes(error)
        );
        Notice::Trouble { recorder: None, reason }
    }

    /// Its name, for programs.
    pub fn event(&self) -> &'static str {
        match self {
            Notice::Recovered(_) => "recovered",
            Notice::Unproven { .. } => "unproven",
            Notice::Skipped { .. } => "skipped",
            Notice::Lost { .. } => "lost",
            Notice::BeganLate { .. } => "began_late",
            Notice::Trouble { .. } => "trouble",
            Notice::Retrying { .. } => "retrying",
            Notice::Opened { .. } => "opened",
            Notice::Closed { .. } => "closed",
            Notice::Answered { .. } => "answered",
            Notice::Divided { .. } => "divided",
            Notice::SetAside { .. } => "set_aside",
            Notice::TraceSetAside { .. } => "trace_set_aside",
            Notice::TraceRefused { .. } => "trace_refused",
            Notice::Refused { .. } => "refused",
            Notice::Abandoned { .. } => "abandoned",
            Notice::NotTaken { .. } => "not_taken",
            Notice::Termination { .. } => "termination",
            Notice::Ended { .. } => "ended",
        }
    }

    /// How bad it is: an error where spans are lost, or delivered no more until somebody does something.
    pub fn level(&self) -> Level {
        match self {
            Notice::BeganLate { .. } | Notice::Closed { .. } => Level::Info,
            Notice::Recovered(_)
            | Notice::Unproven { .. }
            | Notice::Trouble { .. }
            | Notice::Retrying { .. }
            | Notice::Abandoned { .. }
            | Notice::Answered { rejected: 0, .. }
            | Notice::Divided { .. }
            | Notice::Termination { .. } => Level::Warn,
            Notice::Skipped { .. }
            | Notice::Lost { .. }
            | Notice::Opened { .. }
            | Notice::Answered { .. }
            | Notice::SetAside { .. }
            | Notice::TraceSetAside { .. }
            | Notice::TraceRefused { .. }
            | Notice::Refused { .. }
            | Notice::NotTaken { .. }
            | Notice::Ended { .. } => Level::Error,
        }
    }

    fn fields(&self) -> Value {
        match self {
            Notice::Recovered(report) => recovery_json(report),
            Notice::Unproven { recorder, doubt } => {
                json!({"recorder": recorder.as_str(), "doubt": doubt.to_string()})
            }
            Notice::Skipped { recorder, skipped } => {
                json!({"recorder": recorder.as_str(), "skipped": skipped_json(skipped)})
            }
            Notice::Lost { recorder, spans } => json!({"recorder": recorder.as_str(), "spans": spans}),
            Notice::BeganLate { sink, recorder, segments } => {
                json!({"sink": sink, "recorder": recorder.as_str(), "segments": segments})
            }
            Notice::Trouble { recorder, reason } => {
                json!({"recorder": recorder.as_ref().map(RecorderId::as_str), "reason": reason})
            }
            Notice::Retrying { sink, wait, reason } => {
                json!({"sink": sink, "wait_seconds": wait.as_secs_f64(), "reason": reason})
            }
            Notice::Opened { sink, reason } | Notice::Ended { sink, reason } => {
                json!({"sink": sink, "reason": reason})
            }
            Notice::Closed { sink, after } => json!({"sink": sink, "after_seconds": after.as_secs_f64()}),
            Notice::Answered { sink, batch, rejected, message } => {
                json!({"sink": sink, "batch": batch, "rejected": rejected, "message": message})
            }
            Notice::Divided { sink, batch, reason } => {
                json!({"sink": sink, "batch": batch, "reason": reason})
            }
            Notice::Abandoned { sink, batch } => json!({"sink": sink, "batch": batch}),
            Notice::Termination { sink, recorder, reason } => {
                json!({"sink": sink, "recorder": recorder.as_str(), "reason": reason})
            }
            Notice::SetAside { sink, span_id, reason }
            | Notice::Refused { sink, span_id, reason }
            | Notice::NotTaken { sink, span_id, reason } => {
                json!({"sink": sink, "span_id": span_id.to_string(), "reason": reason})
            }
            Notice::TraceSetAside { sink, trace_id, spans, reason }
            | Notice::TraceRefused { sink, trace_id, spans, reason } => {
                json!({"sink": sink, "trace_id": trace_id.to_string(), "spans": spans, "reason": reason})
            }
        }
    }
}

impl Serialize for Notice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = self.fields();
        object["event"] = self.event().into();
        object.serialize(serializer)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Recovered(report) => report.fmt(f),
            Notice::Unproven { recorder, doubt } => {
                write!(f, "recorder {recorder} is not recovered, since its process may live: {doubt}")
            }
            Notice::Skipped { recorder, skipped } => write!(f, "recorder {recorder}: {skipped}"),
            Notice::Lost { recorder, spans } => {
                write!(
                    f,
                    "recorder {recorder}: {spans} spans were damaged while their traces were waited for"
                )
            }
            Notice::BeganLate { sink, recorder, segments } => {
                write!(f, "{sink} is new and does not get {segments} ")?;
                write!(f, "{} of recorder ", if *segments == 1 { "segment" } else { "segments" })?;
                write!(f, "{recorder}, which other sinks had and which were removed")
            }
            Notice::Trouble { recorder: Some(recorder), reason } => {
                write!(f, "recorder {recorder}: {reason}")
            }
            Notice::Trouble { recorder: None, reason } => f.write_str(reason),
            Notice::Retrying { sink, wait, reason } => {
                write!(f, "{sink}: {reason}; trying again in {:.1} s", wait.as_secs_f64())
            }
            Notice::Opened { sink, reason } => {
                write!(f, "{sink}: {reason}; it is out, and asked now and then until it answers")
            }
            Notice::Closed { sink, after } => {
                write!(f, "{sink} answers again, after {:.1} s", after.as_secs_f64())
            }
            Notice::Answered { sink, batch, rejected, message } => {
                write!(f, "{sink} took batch {batch}")?;
                if *rejected > 0 {
                    write!(f, " and rejected {rejected} of its spans, which are not sent again")?;
                }
                if message.is_empty() { Ok(()) } else { write!(f, ": {message}") }
            }
            Notice::Divided { sink, batch, reason } => {
                write!(f, "{sink} refuses batch {batch}, which is divided: {reason}")
            }
            Notice::SetAside { sink, span_id, reason } => {
                write!(f, "{sink} refuses span {span_id}, which is set aside as a dead letter: {reason}")
            }
            Notice::TraceSetAside { sink, trace_id, spans, reason } => {
                write!(f, "{sink} refuses trace {trace_id} of {spans} spans, ")?;
                write!(f, "which is set aside as a dead letter: {reason}")
            }
            Notice::TraceRefused { sink, trace_id, spans, reason } => {
                write!(
                    f,
                    "{sink} refuses trace {trace_id} of {spans} spans, which stays a dead letter: {reason}"
                )
            }
            Notice::Refused { sink, span_id, reason } => {
                write!(f, "{sink} refuses span {span_id}, which stays a dead letter: {reason}")
            }
            Notice::Abandoned { sink, batch } => {
                write!(
                    f,
                    "{sink} did not answer in the time that there is to stop; batch {batch} is sent again next time"
                )
            }
            Notice::NotTaken { sink, span_id, reason } => {
                write!(f, "{sink} refuses span {span_id}, which stays in the spool as it is: {reason}")
            }
            Notice::Termination { sink, recorder, reason } => {
                write!(f, "{sink} wants the process of recorder {recorder} stopped, which is told so: ")?;
                f.write_str(if reason.is_empty() { "no reason was given" } else { reason })
            }
            Notice::Ended { sink, reason } => write!(f, "{sink}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests;
