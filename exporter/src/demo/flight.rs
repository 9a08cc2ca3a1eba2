//! The course of the demonstration.
//!
//! ```text
//!            start, kill, start again …            recover, export
//!   parent ───────────────► agent ───► spool ─────────────────────► file
//!      │                      │                               └───► receiver
//!      │                      ▼                                        │
//!      └───────── reads ─► witness ─────────► judge ◄──────────────────┘
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message as _;
use spanring_spool::{RecorderId, SpoolDir};

use super::agent::Agent;
use super::error::DemoError;
use super::judge::Judge;
use super::process::AgentProcess;
use super::receiver::{Answer, Received, Receiver};
use super::report::{Account, DemoReport};
use crate::otlp::ExportTraceServiceRequest;
use crate::sink::SinkAddress;
use crate::{ExportReport, Exporter};

/// The killed agents work this long altogether, in milliseconds, unless the limits below say otherwise.
const WORK_MS: u64 = 2000;
/// How soon after its first span an agent is killed, and how late: at any moment up to between these, in milliseconds.
const KILL_FIRST_MS: u64 = 2;
const KILL_LAST_MS: (u64, u64) = (80, 400);
/// How often each thread of the last agent plays all runs.
const LAST_ROUNDS: u32 = 2;
/// How many interrupted runs are kept to show one of them.
const TREES_MAX: usize = 64;
/// How long a sink may fail.
const DEADLINE: Duration = Duration::from_secs(30);

/// A demonstration that is about to run.
#[derive(Debug)]
pub struct Demo {
    program: PathBuf,
    /// The directory of the witnesses and of what is delivered to a file.
    dir: PathBuf,
    spool: PathBuf,
    kills: u32,
    threads: u32,
}

/// Something that has been done, of so much altogether.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Step {
    /// An agent was killed.
    Killed {
        /// How many were.
        done: u64,
        /// How many will be.
        of: u64,
    },
    /// A killed agent's recorder was recovered.
    Recovered {
        /// How many were.
        done: u64,
        /// How many will be.
        of: u64,
    },
    /// Spans arrived at the receiver.
    Delivered {
        /// How many have.
        done: u64,
        /// How many will.
        of: u64,
    },
}

impl Demo {
    /// Makes a directory for a demonstration in which `program` is the agent, by its hidden subcommand. The spool is in there
    /// too, unless another place is named.
    ///
    /// # Errors
    ///
    /// [`DemoError::NotEmpty`] for a spool with recorders, [`DemoError::Spool`] for a directory that is none,
    /// [`DemoError::Io`].
    pub fn prepare(
        program: PathBuf,
        spool: Option<PathBuf>,
        kills: u32,
        threads: u32,
    ) -> Result<Self, DemoError> {
        if let Some(spool) = &spool {
            check_vacant(spool)?;
            make_writable(spool).map_err(DemoError::io("write to", spool))?;
        }
        let dir = tempfile::Builder::new().prefix("spanring-demo-").tempdir();
        let dir = dir.map_err(DemoError::io("make a directory in", std::env::temp_dir()))?.keep();
        let spool = spool.unwrap_or_else(|| dir.join("spool"));
        Ok(Demo { program, dir, spool, kills, threads: threads.max(1) })
    }

    /// The directory that [`clean_up`](Self::clean_up) removes.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the agents record.
    pub fn spool(&self) -> &Path {
        &self.spool
    }

    /// Runs the demonstration and calls `tell` after each step, from any thread.
    ///
    /// # Errors
    ///
    /// When it cannot go on. Spans that are lost or wrong are no error; they are in the report.
    pub fn run(&self, tell: impl Fn(Step) + Send + Sync + 'static) -> Result<DemoReport, DemoError> {
        let began = Instant::now();
        let mut judge = Judge::new(self.threads);
        let (killed, last) = self.fly(&mut judge, &tell)?;

        let spool = SpoolDir::open(&self.spool)?;
        let mut accounts = Vec::new();
        let mut trees = 0;
        for (agent, recorder) in (0..).zip(&killed) {
            let report = spool.recover(recorder)?;
            trees += keep_interrupted_runs(&spool, recorder, &mut judge, TREES_MAX - trees)?;
            accounts.push(Account::of_killed(agent, report));
            tell(Step::Recovered { done: accounts.len() as u64, of: self.kills.into() });
        }
        accounts.push(last);

        let of = accounts.iter().map(|account| account.ledger.spooled).sum();
        let judge = Arc::new(Mutex::new(judge));
        let file = self.dir.join("delivered.jsonl");
        let export = deliver(spool, &file, &judge, move |done| tell(Step::Delivered { done, of }))?;
        let in_file = spans_in(&file).map_err(DemoError::io("read", &file))?;
        let judge = locked(&judge);
        Ok(DemoReport::new(&judge, accounts, export, in_file, began.elapsed()))
    }

    /// Removes the directory with all that is in it.
    ///
    /// # Errors
    ///
    /// [`DemoError::Io`].
    pub fn clean_up(self) -> Result<(), DemoError> {
        fs::remove_dir_all(&self.dir).map_err(DemoError::io("remove", &self.dir))
    }

    /// Starts agents and kills them, and lets the last one finish. Returns the recorders of the killed, and the account of
    /// the last.
    fn fly(&self, judge: &mut Judge, tell: impl Fn(Step)) -> Result<(Vec<RecorderId>, Account), DemoError> {
        let mut killed = Vec::new();
        for number in 0..self.kills {
            let agent = self.agent(number, None)?;
            let mut process = AgentProcess::start(&self.program, &agent)?;
            let recorder = process.recorder().clone();
            process.wait_until_it_works()?;
            thread::sleep(self.random_moment()?);
            process.kill()?;
            hear(judge, &agent, true)?;
            killed.push(recorder);
            tell(Step::Killed { done: killed.len() as u64, of: self.kills.into() });
        }
        let agent = self.agent(self.kills, Some(LAST_ROUNDS))?;
        let process = AgentProcess::start(&self.program, &agent)?;
        let recorder = process.recorder().clone();
        let ledger = process.finish()?;
        hear(judge, &agent, false)?;
        Ok((killed, Account::of_finished(agent.number, recorder, ledger)))
    }

    fn agent(&self, number: u32, rounds: Option<u32>) -> Result<Agent, DemoError> {
        let witness = self.dir.join(format!("witness-{number}"));
        fs::create_dir(&witness).map_err(DemoError::io("create", &witness))?;
        Ok(Agent { spool: self.spool.clone(), witness, number, threads: self.threads, rounds })
    }

    fn random_moment(&self) -> Result<Duration, DemoError> {
        let (least, most) = KILL_LAST_MS;
        let last_ms = (WORK_MS / u64::from(self.kills.max(1))).clamp(least, most);
        let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()));
        let random = random.map_err(DemoError::io("choose a moment for", "a kill"))?;
        Ok(Duration::from_micros(1000 * KILL_FIRST_MS + random % (1000 * (last_ms - KILL_FIRST_MS))))
    }
}

/// Says why what is at a path must not be used.
fn check_vacant(spool: &Path) -> Result<(), DemoError> {
    match SpoolDir::open(spool) {
        Ok(found) if found.recorders()?.is_empty() => Ok(()),
        Ok(_) => Err(DemoError::NotEmpty { path: spool.to_owned() }),
        Err(spanring_spool::Error::NoSuchSpool { .. }) => Ok(()),
        // An empty directory becomes a spool.
        Err(error @ spanring_spool::Error::NotASpool { .. }) => {
            let is_empty = fs::read_dir(spool).is_ok_and(|mut entries| entries.next().is_none());
            if is_empty { Ok(()) } else { Err(error.into()) }
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes the directory of a spool unless it is there, and tries whether files can be made in it.
fn make_writable(spool: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(spool)?;
    tempfile::tempfile_in(spool).map(drop)
}

fn hear(judge: &mut Judge, agent: &Agent, was_killed: bool) -> Result<(), DemoError> {
    let heard = judge.hear(agent.number, was_killed, &agent.witness);
    match heard.map_err(DemoError::io("read", &agent.witness))? {
        0 => Err(DemoError::Agent { number: agent.number, reason: "started no span".to_owned() }),
        _ => Ok(()),
    }
}

/// Has up to `most` runs kept, whose roots were in flight, and returns how many.
fn keep_interrupted_runs(
    spool: &SpoolDir,
    recorder: &RecorderId,
    judge: &mut Judge,
    most: usize,
) -> Result<usize, DemoError> {
    let mut kept = 0;
    let mut reader = spool.reader(&recorder.recovery())?;
    while let Some(block) = reader.next_block()? {
        for span in block.spans.iter().filter(|span| span.interrupted && span.parent_id.is_none()) {
            if kept == most {
                return Ok(kept);
            }
            judge.keep(&span.trace_id.to_bytes());
            kept += 1;
        }
    }
    Ok(kept)
}

/// Exports the spool to a file and to a receiver on loopback, both with one exporter.
fn deliver(
    spool: SpoolDir,
    file: &Path,
    judge: &Arc<Mutex<Judge>>,
    tell: impl Fn(u64) + Send + 'static,
) -> Result<ExportReport, DemoError> {
    let judge = Arc::clone(judge);
    let receiver = Receiver::start(move |received| receive(&received, &mut locked(&judge), &tell));
    let receiver = receiver.map_err(DemoError::io("listen on", "127.0.0.1"))?;
    let address: SinkAddress = format!("otlp+http://{}", receiver.address()).parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(DemoError::io("start a thread for", "the export"))?;
    let exporter = Exporter::new(spool)
        .to(SinkAddress::File(file.to_owned()).open()?)
        .to(address.open()?)
        .once(DEADLINE);
    Ok(runtime.block_on(exporter.run(std::future::pending()))?)
}

fn receive(received: &Received, judge: &mut Judge, tell: impl Fn(u64)) -> Answer {
    if received.method != "POST" || received.path != "/v1/traces" {
        return Answer::status(404);
    }
    match ExportTraceServiceRequest::decode(received.body.as_slice()) {
        Ok(request) => {
            judge.receive(&request);
            tell(judge.count().delivered);
            let headers = vec![("content-type", "application/x-protobuf".to_owned())];
            Answer { headers, ..Answer::status(200) }
        }
        Err(_) => Answer::status(400),
    }
}

/// How many spans stand in a file of OTLP/JSON lines.
fn spans_in(file: &Path) -> io::Result<u64> {
    let mut file = BufReader::new(File::open(file)?);
    let mut line = String::new();
    let mut spans = 0;
    while file.read_line(&mut line)? > 0 {
        // Within a text the quotes are escaped.
        spans += line.matches(r#""spanId":""#).count() as u64;
        line.clear();
    }
    Ok(spans)
}

fn locked(judge: &Mutex<Judge>) -> MutexGuard<'_, Judge> {
    judge.lock().unwrap_or_else(PoisonError::into_inner)
}
