//! `spanring recover`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use spanring_exporter::engine::recovery_json;
use spanring_exporter::with_causes;
use spanring_spool::{Error, Life, SpoolDir};

use super::Failure;
use super::output::{complain, print};

/// Recover what processes that died had recorded
///
/// Writes what their memory holds into the spool, from where `spanring export` delivers it. The exporter does the same by
/// itself; by hand it shows what there is. Recorders whose process lives, or may live, are left alone. To do it again
/// does no harm.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Recover {
    /// The directory of the spool
    #[arg(value_name = "DIR")]
    spool: PathBuf,

    /// Print the reports as one JSON object
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit status:
  0  all recorders whose process died are recovered
  1  some could not be, or were left alone since nobody can tell whether their process died
  2  bad input: no such spool, not a spool, no permission, a wrong option";

impl Recover {
    pub(super) fn run(self) -> Result<(), Failure> {
        let spool = SpoolDir::open(&self.spool)?;
        let (mut recovered, mut unproven) = (Vec::new(), Vec::new());
        let (mut alive, mut over) = (0, 0);
        let mut failed = false;
        for recorder in spool.recorders()? {
            let result = match spool.life(&recorder) {
                Ok(Life::Dead | Life::DeadInAnotherBoot) => spool.recover(&recorder),
                Ok(Life::Unproven { doubt }) => Err(Error::Unproven { recorder: recorder.clone(), doubt }),
                Ok(Life::Alive) => Err(Error::StillAlive { recorder: recorder.clone() }),
                Ok(_) => {
                    over += 1;
                    continue;
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(report) => {
                    if !self.json {
                        print(&report)?;
                    }
                    recovered.push(recovery_json(&report));
                }
                // It was delivered and removed since it was listed.
                Err(Error::NoSuchRecorder { .. }) => {}
                Err(Error::StillAlive { .. }) => alive += 1,
                Err(error @ Error::Unproven { .. }) => {
                    complain(&error.to_string());
                    unproven.push(recorder.to_string());
                }
                Err(error) => {
                    complain(&format!("cannot recover recorder {recorder}: {}", with_causes(&error)));
                    failed = true;
                }
            }
        }
        match self.json {
            true => print(json!({
                "recovered": recovered,
                "unproven": unproven,
                "alive": alive,
                "over": over,
            }))?,
            false => print(format_args!(
                "{} recovered, {alive} alive, {over} complete, {} left alone since their process may live",
                recovered.len(),
                unproven.len()
            ))?,
        }
        if failed || !unproven.is_empty() { Err(Failure::told()) } else { Ok(()) }
    }
}
