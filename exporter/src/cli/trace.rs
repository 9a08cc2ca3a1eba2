//! `spanring trace`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{ArgGroup, Args};
use spanring::TraceId;
use spanring_exporter::with_causes;
use spanring_spool::{Colour, PriceError, PriceTable, SpoolDir, Trace, TraceError};

use super::Failure;
use super::output::{complain, print};

/// Show traces: as trees, as summaries, as JSON
///
/// Reads what is in a spool by now, or in a file that --save made, and changes nothing there. Processes that record are not disturbed. A
/// span that is announced and has not ended is shown as open. Only roots are announced before they end, unless the spool is `live`: other
/// spans show when they have ended. What only the memory of a process held that died shows once `spanring recover` or `spanring export`
/// has recovered it; until then its open spans are shown as `open (process died)`.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP, group = ArgGroup::new("source").args(["spool", "file"]).required(true))]
pub(super) struct TraceCommand {
    /// The directory of the spool
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,

    /// A file with a span a line, as --save makes it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Only the trace with this identity, 32 hexadecimal digits; all unless one is named
    #[arg(value_name = "TRACE_ID", value_parser = trace_id)]
    trace_id: Option<TraceId>,

    /// What the spans of each trace come to, and not the spans
    #[arg(long)]
    summary: bool,

    /// Print each trace, or each summary, as one JSON object on one line
    #[arg(long)]
    json: bool,

    /// Fill in what a span cost that has tokens and no cost, from this table
    ///
    /// TOML: a date, and for each model what a million tokens cost. See docs/prices.example.toml.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,

    /// Save the traces in this file as well, a span a line of JSON; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Colours are used on a terminal, unless NO_COLOR is set.

Exit status:
  0  all that there is was shown
  1  not all could be read: a recorder could not be, or its process died and it is not recovered yet, or something
     in the spool is damaged; or the traces could not be saved
  2  bad input: no such spool, not a spool, no such file or trace, a line that is no span, a mistake in the table of
     prices, a wrong option";

fn trace_id(text: &str) -> Result<TraceId, String> {
    TraceId::parse(text).ok_or_else(|| "a trace's identity is 32 hexadecimal digits".to_owned())
}

impl TraceCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let prices = self.prices.as_deref().map(PriceTable::load).transpose()?;
        let (mut traces, is_whole) = match (&self.spool, &self.file) {
            (Some(spool), _) => self.in_spool(spool)?,
            (None, file) => (self.in_file(file.as_deref().unwrap_or(Path::new("")))?, true),
        };
        if let Some(prices) = &prices {
            price(&mut traces, prices);
        }
        if let Some(path) = &self.save {
            Trace::save_all(&traces, path).map_err(|error| Failure::incomplete(with_causes(&error)))?;
        }
        if traces.is_empty() {
            match self.trace_id {
                Some(trace_id) => complain(&format!("there is no trace {trace_id} in what could be read")),
                None => complain("there is no trace"),
            }
        }
        for trace in &traces {
            self.print(trace)?;
        }
        if is_whole { Ok(()) } else { Err(Failure::told()) }
    }

    /// The traces, and whether nothing is missing that should be there.
    fn in_spool(&self, path: &Path) -> Result<(Vec<Trace>, bool), Failure> {
        let mut found = Trace::in_spool(&SpoolDir::open(path)?, self.trace_id)?;
        for error in &found.errors {
            complain(&with_causes(error));
        }
        if found.skipped.is_damage() {
            complain(&found.skipped.to_string());
        }
        if !found.unrecovered.is_empty() {
            let (count, are) = match found.unrecovered.len() {
                1 => ("1 recorder".to_owned(), "is"),
                count => (format!("{count} recorders"), "are"),
            };
            complain(&format!(
                "{count} whose process died {are} not recovered yet, so spans may be missing: see `spanring recover {}`",
                path.display(),
            ));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        found.traces.iter_mut().for_each(|trace| trace.time_out_at(now));
        let is_whole = found.errors.is_empty() && !found.skipped.is_damage() && found.unrecovered.is_empty();
        match self.trace_id {
            Some(trace_id) if found.traces.is_empty() && is_whole => Err(no_such_trace(trace_id, path)),
            _ => Ok((found.traces, is_whole)),
        }
    }

    fn in_file(&self, path: &Path) -> Result<Vec<Trace>, Failure> {
        let mut traces = Trace::load_all(path)?;
        if let Some(trace_id) = self.trace_id {
            traces.retain(|trace| trace.trace_id() == trace_id);
            if traces.is_empty() {
                return Err(no_such_trace(trace_id, path));
            }
        }
        Ok(traces)
    }

    fn print(&self, trace: &Trace) -> Result<(), Failure> {
        match (self.json, self.summary) {
            (true, true) => print(json(&trace.summary())?),
            (true, false) => print(json(trace)?),
            (false, true) => print(trace.summary()),
            (false, false) => {
                let mut tree = Vec::new();
                trace.print_tree(&mut tree, Colour::auto(&std::io::stdout())).map_err(not_shown)?;
                print(String::from_utf8_lossy(&tree).trim_end())
            }
        }
    }
}

/// How many models without a price are named.
const MODELS_MAX: usize = 10;

fn price(traces: &mut [Trace], prices: &PriceTable) {
    let (mut unpriced, mut models, mut several) = (0_u64, BTreeSet::new(), BTreeMap::new());
    for trace in traces {
        let became = trace.price(prices);
        unpriced += became.unpriced;
        models.extend(became.models_without_price);
        several.extend(became.models_of_several_providers);
    }
    let several = several.iter().map(|(model, providers)| {
        let providers: Vec<String> =
            providers.iter().map(|provider| provider.escape_debug().to_string()).collect();
        format!("{model:?} (priced for provider {}; the span names none)", providers.join(" and "))
    });
    let models: Vec<String> = models.iter().map(|model| format!("{model:?}")).chain(several).collect();
    let (have, they_name) = match unpriced {
        0 => return,
        1 => ("1 span with tokens has".to_owned(), "it names"),
        count => (format!("{count} spans with tokens have"), "they name"),
    };
    let more = if models.len() > MODELS_MAX { ", …" } else { "" };
    let of = match models.get(..MODELS_MAX).unwrap_or(&models) {
        [] => format!("{they_name} no model"),
        some => some.join(", "),
    };
    complain(&format!("{have} no price: {of}{more}"));
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(not_shown)
}

fn not_shown(error: impl std::error::Error) -> Failure {
    Failure::incomplete(format!("cannot show the trace: {error}"))
}

fn no_such_trace(trace_id: TraceId, path: &Path) -> Failure {
    Failure {
        status: Failure::BAD_INPUT,
        message: Some(format!("there is no trace {trace_id} in {}", path.display())),
    }
}

impl From<TraceError> for Failure {
    fn from(error: TraceError) -> Self {
        Failure::bad_input(error)
    }
}

impl From<PriceError> for Failure {
    fn from(error: PriceError) -> Self {
        Failure::bad_input(error)
    }
}
