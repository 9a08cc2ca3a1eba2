//! `spanring dead-letters`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use spanring::SpanId;
use spanring_exporter::config::Config;
use spanring_exporter::sink::{SinkAddress, SinkOptions};
use spanring_exporter::{Replay, quantity, with_causes};
use spanring_spool::{DeadLetter, DeadLetters, LetterName, SpoolDir};

use super::Failure;
use super::log::LogFormat;
use super::output::{complain, print, print_report};

/// See, deliver again or remove the spans that sinks refused
///
/// A span that a sink refuses by itself is set aside as a dead letter, with the reason, so that the spans behind it are delivered. It stays
/// until it is replayed or purged. An exporter may be at the spool meanwhile; until it is done with a letter's block, a span that its sink
/// refuses once more is a dead letter again.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct DeadLettersCommand {
    #[command(subcommand)]
    action: Action,
}

const AFTER_HELP: &str = "\
Exit status:
  0  done
  1  not all could be done: a letter could not be read or removed, or was not taken
  2  bad input: no such spool, not a spool, no such letter, an unknown sink, a wrong option";

#[derive(Subcommand, Debug)]
enum Action {
    /// List them: the span, the sink, and the reason
    List(List),
    /// Show the whole of some, as JSON
    Show(Show),
    /// Deliver them again, and remove those that are taken
    Replay(ReplayLetters),
    /// Remove them for good
    Purge(Purge),
}

#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    from: From,

    /// Only those that this sink refused
    #[arg(long, value_name = "SINK")]
    of: Option<String>,

    /// Print each as a JSON object on a line, without what it holds
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Show {
    #[command(flatten)]
    from: From,

    /// The identities of spans, 16 hexadecimal digits each
    #[arg(value_name = "SPAN_ID", required = true, value_parser = span_id)]
    spans: Vec<SpanId>,
}

#[derive(Args, Debug)]
struct ReplayLetters {
    #[command(flatten)]
    from: From,

    /// Only these, by the identities of their spans; all, unless said otherwise
    #[arg(value_name = "SPAN_ID", value_parser = span_id)]
    spans: Vec<SpanId>,

    /// Only those that this sink refused
    #[arg(long, value_name = "SINK")]
    of: Option<String>,

    /// Deliver to this sink, and not to those that the letters name: a span that two sinks refused has two
    #[arg(long, value_name = "SINK")]
    to: Option<String>,

    /// Ask the sinks that this file names as it says: see `spanring export --config`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Give a sink up that has failed for so long without a success in between
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = quantity::duration)]
    deadline: Duration,

    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Purge {
    #[command(flatten)]
    from: From,

    /// The identities of spans
    #[arg(value_name = "SPAN_ID", value_parser = span_id, required_unless_present_any = ["all", "of"])]
    spans: Vec<SpanId>,

    /// Only those that this sink refused
    #[arg(long, value_name = "SINK", conflicts_with = "all")]
    of: Option<String>,

    /// All of them, those that cannot be read included
    #[arg(long, conflicts_with = "spans")]
    all: bool,
}

#[derive(Args, Debug)]
struct From {
    /// The directory of the spool
    #[arg(long, value_name = "DIR")]
    spool: PathBuf,
}

impl From {
    fn letters(&self) -> Result<DeadLetters, Failure> {
        Ok(SpoolDir::open(&self.spool)?.dead_letters())
    }
}

impl DeadLettersCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::List(list) => list.run(),
            Action::Show(show) => show.run(),
            Action::Replay(replay) => replay.run(),
            Action::Purge(purge) => purge.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let letters = self.from.letters()?;
        let mut is_whole = true;
        for name in chosen(&letters, &[], self.of.as_deref(), &mut is_whole)? {
            let Some(letter) = read(&letters, &name, &mut is_whole) else { continue };
            let DeadLetter { sink, reason, span, .. } = &letter;
            match self.json {
                true => print(json!({
                    "span_id": span.span_id.to_string(),
                    "trace_id": span.trace_id.to_string(),
                    "sink": sink,
                    "reason": reason,
                    "set_aside_unix_ns": letter.set_aside_unix_ns.to_string(),
                    "recorder": letter.recorder.as_str(),
                }))?,
                false => print(format_args!(
                    "{} of trace {}, {}: {}",
                    span.span_id,
                    span.trace_id,
                    sink.replace(char::is_control, " "),
                    reason.replace(char::is_control, " ")
                ))?,
            }
        }
        done(is_whole)
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let letters = self.from.letters()?;
        let mut is_whole = true;
        for name in chosen(&letters, &self.spans, None, &mut is_whole)? {
            if let Some(letter) = read(&letters, &name, &mut is_whole) {
                print(serde_json::to_string_pretty(&letter).unwrap_or_default())?;
            }
        }
        done(is_whole)
    }
}

impl ReplayLetters {
    fn run(self) -> Result<(), Failure> {
        let letters = self.from.letters()?;
        let options = super::export::otlp_options(LogFormat::Text)?;
        let known = match &self.config {
            Some(path) => Config::read(path)?.plan()?.sinks,
            None => Vec::new(),
        };
        let to = self.to.as_deref().map(|sink| SinkAddress::parse(sink, &options)).transpose()?;
        let mut replay = Replay::new(letters.clone(), self.deadline)
            .otlp_options(options.clone())
            .on_notice(|notice| complain(&notice.to_string()));
        if let Some(sink) = &to {
            let of_file = known.iter().find(|(address, _)| address == sink).map(|(_, said)| said.clone());
            let prela = super::export::prela_options([sink])?;
            let prefactor = super::export::prefactor_options([sink])?;
            let of_environment =
                || SinkOptions { otlp: options.clone(), prela, prefactor, ..SinkOptions::default() };
            replay = replay.to(sink.open_with(&of_file.unwrap_or_else(of_environment))?);
        }
        replay = replay.known_sinks(known);
        let has_stdout = to == Some(SinkAddress::Stdout);
        let mut is_whole = true;
        let names = chosen(&letters, &self.spans, self.of.as_deref(), &mut is_whole)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::incomplete(format!("cannot start: {error}")))?;
        let report = runtime.block_on(replay.run(&names));
        match self.json {
            true => print_report(serde_json::to_string(&report).unwrap_or_default(), has_stdout)?,
            false => print_report(&report, has_stdout)?,
        }
        done(is_whole && report.is_complete())
    }
}

impl Purge {
    fn run(self) -> Result<(), Failure> {
        let letters = self.from.letters()?;
        let mut is_whole = true;
        let names = match self.all {
            true => letters.names()?,
            false => chosen(&letters, &self.spans, self.of.as_deref(), &mut is_whole)?,
        };
        let mut purged = 0;
        for name in names {
            match letters.remove(&name) {
                Ok(was_there) => purged += u64::from(was_there),
                Err(error) => {
                    complain(&with_causes(&error));
                    is_whole = false;
                }
            }
        }
        if purged > 0 {
            letters.sync()?;
        }
        print(format_args!("{purged} purged"))?;
        done(is_whole)
    }
}

/// The letters of these spans, or of all, that this sink refused, or any, in the order of their names. Every span must have one.
fn chosen(
    letters: &DeadLetters,
    spans: &[SpanId],
    of: Option<&str>,
    is_whole: &mut bool,
) -> Result<Vec<LetterName>, Failure> {
    let names = letters.names()?;
    if spans.is_empty() && of.is_none() {
        return Ok(names);
    }
    let (mut chosen, mut found) = (Vec::new(), Vec::new());
    for name in names {
        let Some(letter) = read(letters, &name, is_whole) else { continue };
        let is_asked_for = spans.is_empty() || spans.contains(&letter.span.span_id);
        if is_asked_for && of.is_none_or(|sink| letter.sink == sink) {
            found.push(letter.span.span_id);
            chosen.push(name);
        }
    }
    match spans.iter().find(|span| !found.contains(span)) {
        Some(span) => {
            let message = Some(format!("there is no dead letter of span {span}"));
            Err(Failure { status: Failure::BAD_INPUT, message })
        }
        None => Ok(chosen),
    }
}

/// A letter, if it is there and can be read.
fn read(letters: &DeadLetters, name: &LetterName, is_whole: &mut bool) -> Option<DeadLetter> {
    match letters.read(name) {
        Ok(letter) => letter,
        Err(error) => {
            complain(&with_causes(&error));
            *is_whole = false;
            None
        }
    }
}

fn done(is_whole: bool) -> Result<(), Failure> {
    if is_whole { Ok(()) } else { Err(Failure::told()) }
}

fn span_id(text: &str) -> Result<SpanId, String> {
    SpanId::parse(text).ok_or_else(|| "the identity of a span is 16 hexadecimal digits".to_owned())
}
