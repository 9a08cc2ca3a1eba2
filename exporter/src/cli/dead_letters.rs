//! `spanring dead-letters`.

mod letter;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use spanring_exporter::config::Config;
use spanring_exporter::sink::SinkAddress;
use spanring_exporter::{Replay, quantity, with_causes};
use spanring_spool::{DeadLetters, DeadTraceSpans, Letter, LetterName, SpoolDir, Trace};

use self::letter::{Identity, about, identities, identity, line};
use super::Failure;
use super::environment;
use super::log::LogFormat;
use super::output::{complain, print, print_report};

/// See, deliver again or remove the spans that sinks refused
///
/// A span that a sink refuses by itself is set aside as a dead letter, with the reason, so that the spans behind it are delivered; a trace that
/// a sink takes whole or not at all is one letter as a whole. It stays until it is replayed or purged. An exporter may be at the spool meanwhile; until it is done with a letter's block, a span that its sink
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

    /// The identities of spans, 16 hexadecimal digits each, or of traces, 32
    #[arg(value_name = "ID", required = true, value_parser = identity)]
    ids: Vec<Identity>,
}

#[derive(Args, Debug)]
struct ReplayLetters {
    #[command(flatten)]
    from: From,

    /// Only these, by the identities of their spans or of their traces; all, unless said otherwise
    #[arg(value_name = "ID", value_parser = identity)]
    ids: Vec<Identity>,

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

    /// The identities of spans, or of traces
    #[arg(value_name = "ID", value_parser = identity, required_unless_present_any = ["all", "of"])]
    ids: Vec<Identity>,

    /// Only those that this sink refused
    #[arg(long, value_name = "SINK", conflicts_with = "all")]
    of: Option<String>,

    /// All of them, those that cannot be read included
    #[arg(long, conflicts_with = "ids")]
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
            match self.json {
                true => print(about(&letter))?,
                false => print(line(&letter))?,
            }
        }
        done(is_whole)
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let letters = self.from.letters()?;
        let mut is_whole = true;
        for name in chosen(&letters, &self.ids, None, &mut is_whole)? {
            match read(&letters, &name, &mut is_whole) {
                Some(Letter::Span(letter)) => {
                    print(serde_json::to_string_pretty(&letter).unwrap_or_default())?
                }
                Some(Letter::Trace(trace, spans)) => {
                    print(serde_json::to_string_pretty(&trace).unwrap_or_default())?;
                    is_whole &= show(spans)?;
                }
                None => {}
            }
        }
        done(is_whole)
    }
}

/// Prints the spans of a trace, a line each, and says whether all of them.
fn show(mut spans: DeadTraceSpans) -> Result<bool, Failure> {
    loop {
        match spans.next_span() {
            Ok(Some(span)) => {
                let mut line = Vec::new();
                for trace in Trace::collect([span]) {
                    trace.to_ndjson(&mut line).map_err(|error| Failure::incomplete(with_causes(&error)))?;
                }
                print(String::from_utf8_lossy(line.trim_ascii_end()))?;
            }
            Ok(None) => return Ok(true),
            Err(error) => {
                complain(&with_causes(&error));
                return Ok(false);
            }
        }
    }
}

impl ReplayLetters {
    fn run(self) -> Result<(), Failure> {
        let letters = self.from.letters()?;
        let known = match &self.config {
            Some(path) => Config::read(path)?.plan()?.sinks,
            None => Vec::new(),
        };
        let mut is_whole = true;
        let names = chosen(&letters, &self.ids, self.of.as_deref(), &mut is_whole)?;
        let mut replay =
            Replay::new(letters.clone(), self.deadline).on_notice(|notice| complain(&notice.to_string()));
        let to = match &self.to {
            Some(sink) => {
                let (address, of_environment) = environment::sink(sink, LogFormat::Text)?;
                let of_file = known.iter().find(|(known, _)| *known == address).map(|(_, said)| said);
                replay = replay.to(address.open_with(of_file.unwrap_or(&of_environment))?);
                Some(address)
            }
            None => {
                let mut sinks = sinks_of(&letters, &names);
                sinks.retain(|sink| known.iter().all(|(known, _)| known.to_string() != *sink));
                let sinks = sinks.iter().map(String::as_str);
                replay = replay.options(environment::options(sinks, LogFormat::Text)?).known_sinks(known);
                None
            }
        };
        let has_stdout = to == Some(SinkAddress::Stdout);
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
            false => chosen(&letters, &self.ids, self.of.as_deref(), &mut is_whole)?,
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

/// The letters of these spans and traces, or of all, that this sink refused, or any, in the order of their names. Each must have one.
fn chosen(
    letters: &DeadLetters,
    ids: &[Identity],
    of: Option<&str>,
    is_whole: &mut bool,
) -> Result<Vec<LetterName>, Failure> {
    let names = letters.names()?;
    if ids.is_empty() && of.is_none() {
        return Ok(names);
    }
    let (mut chosen, mut found) = (Vec::new(), HashSet::new());
    for name in names {
        let Some(letter) = read(letters, &name, is_whole) else { continue };
        let is_of_sink = of.is_none_or(|sink| letter.sink() == sink);
        let own: Vec<_> = identities(&letter).into_iter().filter(|own| ids.contains(own)).collect();
        if is_of_sink && (ids.is_empty() || !own.is_empty()) {
            found.extend(own);
            chosen.push(name);
        }
    }
    match ids.iter().find(|id| !found.contains(id)) {
        Some(id) => {
            let message = Some(format!("there is no dead letter of {id}"));
            Err(Failure { status: Failure::BAD_INPUT, message })
        }
        None => Ok(chosen),
    }
}

/// The sinks that refused these. What cannot be read is told of when it is to be delivered.
fn sinks_of(letters: &DeadLetters, names: &[LetterName]) -> BTreeSet<String> {
    names.iter().filter_map(|name| Some(letters.open(name).ok()??.sink().to_owned())).collect()
}

/// A letter, if it is there and can be read.
fn read(letters: &DeadLetters, name: &LetterName, is_whole: &mut bool) -> Option<Letter> {
    match letters.open(name) {
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
