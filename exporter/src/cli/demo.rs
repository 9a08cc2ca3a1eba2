//! `spanring demo`, and the agent that it kills.

use std::io::{IsTerminal as _, stderr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Mutex;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use spanring_exporter::demo::{Agent, BLOCK_TIMEOUT, Demo, DemoError, DemoReport, Step};
use spanring_exporter::with_causes;

use super::Failure;
use super::output::{complain, print};

/// See it work: record real agent runs, kill the agents while they work, and lose nothing
///
/// Starts an agent that replays real runs on several threads at full speed, kills it with SIGKILL at a random moment, and
/// starts it again; the last one may finish. Then recovers the spool, exports it to a file and to an OTLP receiver on
/// loopback, and compares every span that arrives with what the agent's threads had noted on their own.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct DemoCommand {
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    /// How many agents to kill
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(..=1000))]
    kills: u32,

    /// Where to record: a new directory, which is kept; a temporary one unless said otherwise
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,

    /// On how many threads each agent works
    #[arg(long, value_name = "N", default_value = "4", value_parser = threads)]
    threads: NonZeroU32,
}

const AFTER_HELP: &str = "\
The JSON object counts spans: `recovered` of the killed agents is the sum of `from_segments`, `from_rings` and
`from_tables`; `delivered` are different spans at the receiver, `duplicates` those that came again; `wrong` arrived
with another content than the agent meant, `lost` did not arrive although the agent had recorded or started them, and
`phantoms` arrived although no agent had started them.

Exit status:
  0  every span was delivered, as it was meant
  1  some were lost or wrong, an account did not add up, or the demonstration could not go on
  2  bad input: a directory that is in use, no spool or not to be written to, a wrong option";

/// Threads beyond what a recorder has rings for would share one.
const THREADS_MAX: u32 = 64;

fn threads(text: &str) -> Result<NonZeroU32, String> {
    let number = text.parse::<NonZeroU32>().ok().filter(|number| number.get() <= THREADS_MAX);
    number.ok_or_else(|| format!("the number of threads is from 1 to {THREADS_MAX}"))
}

impl DemoCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::incomplete(format!("cannot find this program: {error}")))?;
        let demo = Demo::prepare(program, self.spool.clone(), self.kills, self.threads.get());
        let demo = demo.map_err(|error| match error {
            DemoError::Spool(error) => error.into(),
            // Nothing has begun: it is the directory that was named, or the one for temporary files.
            error => Failure::bad_input(error),
        })?;
        if !self.json
            && let Err(failure) = self.introduce(&demo)
        {
            demo.clean_up()?;
            return Err(failure);
        }
        let progress = Progress::new();
        let bar = progress.bar.clone();
        let result = demo.run(move |step| progress.show(step));
        bar.finish_and_clear();
        let kept = format!("{} is kept", demo.dir().display());
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                complain(&kept);
                return Err(error.into());
            }
        };
        let printed = self.print(&report);
        for fault in &report.faults {
            complain(fault);
        }
        for trouble in &report.export.troubles {
            complain(trouble);
        }
        if report.is_success() {
            demo.clean_up()?;
            return printed;
        }
        complain(&kept);
        printed.and(Err(Failure::told()))
    }

    fn introduce(&self, demo: &Demo) -> Result<(), Failure> {
        print(format_args!(
            "{} threads replay real agent runs at full speed; a thread whose ring is full waits up to {} s for room.\n\
             {} agents are killed with SIGKILL while they work; one more may finish.\n\
             The spool is {}.\n",
            self.threads,
            BLOCK_TIMEOUT.as_secs(),
            self.kills,
            demo.spool().display(),
        ))
    }

    fn print(&self, report: &DemoReport) -> Result<(), Failure> {
        if self.json {
            return print(serde_json::to_string(report).unwrap_or_default());
        }
        print(report)?;
        print(format_args!(
            "lost {}, wrong {}{}: {} in {:.1} s",
            report.lost,
            report.wrong,
            if report.phantoms > 0 { format!(", phantoms {}", report.phantoms) } else { String::new() },
            match report.is_success() {
                true => "every span was delivered as it was meant",
                false if report.lost + report.wrong + report.phantoms == 0 =>
                    "but the accounts do not add up",
                false => "this must not happen",
            },
            report.duration.as_secs_f64(),
        ))
    }
}

/// A bar on standard error, where that is a terminal.
struct Progress {
    bar: ProgressBar,
    phase: Mutex<&'static str>,
}

impl Progress {
    fn new() -> Self {
        let bar = if stderr().is_terminal() { ProgressBar::new(1) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{msg:10} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        Progress { bar, phase: Mutex::new("") }
    }

    fn show(&self, step: Step) {
        let (phase, done, of) = match step {
            Step::Killed { done, of } => ("killing", done, of),
            Step::Recovered { done, of } => ("recovering", done, of),
            Step::Delivered { done, of } => ("delivering", done, of),
            _ => return,
        };
        if let Ok(mut shown) = self.phase.lock()
            && *shown != phase
        {
            *shown = phase;
            self.bar.set_message(phase);
            self.bar.set_length(of);
        }
        self.bar.set_position(done);
    }
}

/// The agent of the demonstration, which it starts by itself.
#[derive(Args, Debug)]
pub(super) struct AgentCommand {
    #[arg(long)]
    spool: PathBuf,
    #[arg(long)]
    witness: PathBuf,
    #[arg(long)]
    number: u32,
    #[arg(long)]
    threads: u32,
    #[arg(long)]
    rounds: Option<u32>,
}

impl AgentCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let AgentCommand { spool, witness, number, threads, rounds } = self;
        Ok(Agent { spool, witness, number, threads, rounds }.run()?)
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Spool(error) => error.into(),
            DemoError::Export(error) => error.into(),
            DemoError::NotEmpty { .. } => Failure::bad_input(error),
            error => Failure::incomplete(with_causes(&error)),
        }
    }
}
