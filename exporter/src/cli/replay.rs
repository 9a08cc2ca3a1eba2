//! `spanring replay`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use spanring_exporter::config::Config;
use spanring_exporter::sink::{SinkAddress, SinkOptions};
use spanring_exporter::{Redelivery, quantity, rfc3339};
use spanring_spool::SpoolDir;

use super::Failure;
use super::environment;
use super::log::LogFormat;
use super::output::{complain, print, print_report};

/// Deliver again what a sink has had, as far as the spool still holds it
///
/// Sends the blocks before the sink's place in the spool that hold a span which ended since some moment, in the batches and under the
/// identities of the first delivery. To Prela's server, to Prefactor and to SpanForge's sinks it sends the traces that they have had and that have such a span, as far as
/// their spans are still there: as the same documents and events, unless a trace had come in several pieces, and under the same idempotency keys. Prefactor is told
/// once more that a process is over, where it had been. A sink that is new to the spool gets what any sink has had. Nothing in the spool changes: what
/// the sink has not had yet is left to `spanring export`, and what export --grace does not keep is gone. Spans that a sink refused
/// and that are dead letters go along; by themselves they are replayed by `spanring dead-letters`. Rules about traces are not asked: what
/// they left out goes along too, and to sinks that take spans what they had delivered trace by trace goes block by block.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct ReplayCommand {
    /// The directory of the spool
    #[arg(long, value_name = "DIR")]
    spool: PathBuf,

    /// Where to deliver to: an address as for `spanring export`
    #[arg(long = "to", value_name = "SINK")]
    sink: String,

    /// Ask the sink as this file says, which may set it up as the environment cannot: see `spanring export --config`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// How long ago, as in 2h (ms, s, m or h), or the moment, as in 2026-11-29T02:51:57Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: SystemTime,

    /// Say how much would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,

    /// Give the sink up once it has failed for so long without a success in between
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = quantity::duration)]
    deadline: Duration,

    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit status:
  0  all was delivered, or there was nothing; spans that a receiver took and rejected are in the report
  1  not all was delivered: the sink refused spans, or takes nothing, or did not answer until the deadline,
     a recorder could not be read, or an exporter is at the spool or at a file
  2  bad input: no such spool, not a spool, no permission, an unknown sink, a wrong option";

impl ReplayCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let spool = SpoolDir::open(&self.spool)?;
        let (address, options) = self.sink()?;
        let mut redelivery =
            Redelivery::new(spool, self.since).on_notice(|notice| complain(&notice.to_string()));
        if let Some(limit) = options.route.spans_per_second {
            redelivery = redelivery.spans_per_second(limit);
        }
        if self.dry_run {
            let plan = redelivery.plan(&address.to_string(), address.needs())?;
            match self.json {
                true => print(serde_json::to_string(&plan).unwrap_or_default())?,
                false => print(&plan)?,
            }
            return if plan.troubles.is_empty() { Ok(()) } else { Err(Failure::told()) };
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::incomplete(format!("cannot start: {error}")))?;
        let sink = address.open_with(&options)?;
        let report = runtime.block_on(redelivery.run(sink, self.deadline))?;
        let has_stdout = address == SinkAddress::Stdout;
        match self.json {
            true => print_report(serde_json::to_string(&report).unwrap_or_default(), has_stdout)?,
            false => print_report(&report, has_stdout)?,
        }
        if report.is_complete() { Ok(()) } else { Err(Failure::told()) }
    }

    /// Where to deliver to, and what is said about it.
    fn sink(&self) -> Result<(SinkAddress, SinkOptions), Failure> {
        let (address, of_environment) = environment::sink(&self.sink, LogFormat::Text)?;
        let Some(path) = &self.config else { return Ok((address, of_environment)) };
        let known = Config::read(path)?.plan()?.sinks;
        // What the environment says may be another identity to a receiver.
        known.into_iter().find(|(known, _)| *known == address).ok_or_else(|| Failure {
            status: Failure::BAD_INPUT,
            message: Some(format!("{} has no sink {address}", path.display())),
        })
    }
}

/// A moment, or the one so long ago.
fn since(text: &str) -> Result<SystemTime, String> {
    let ago = || SystemTime::now().checked_sub(quantity::duration(text).ok()?);
    rfc3339::parse(text).or_else(ago).ok_or_else(|| {
        "a time is so long ago, a number with the unit ms, s, m or h, as in 2h, or a moment, as in \
         2026-11-29T02:51:57Z"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_so_long_ago_or_a_moment() {
        let (before, ago) = (SystemTime::now(), since("2h").unwrap());
        let two_hours = Duration::from_secs(2 * 60 * 60);
        assert!((before - two_hours..=SystemTime::now() - two_hours).contains(&ago));
        let epoch = Ok(SystemTime::UNIX_EPOCH);
        assert_eq!(since("1970-01-01T01:00:00+01:00"), epoch);
        for text in ["", "2", "h", "-2h", "yesterday", "2026-11-29", "9999999999999999h"] {
            assert!(since(text).is_err(), "{text:?}");
        }
    }
}
