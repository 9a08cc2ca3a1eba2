//! The exporter against a receiver that fails in every way, while the exporter is killed.
//!
//! In each round a process records spans, of which the receiver refuses a few by 400 and never takes them. Exporters deliver, one after the
//! other, and each is killed with SIGKILL at a random moment, or as it waits for a random answer. Meanwhile the receiver is troubled: it
//! answers as it should, or asks for patience, or by less or more or something else than an answer, or not at all, having taken the spans or
//! not. Or it closes to everybody, or is down and comes back. In the end a last exporter delivers what is left. A second sink takes
//! nothing, so that the spool keeps the first one's account.
//!
//! [SpanForge's sinks](spanforge) have rounds of their own.
//!
//! `SPANRING_EXPORT_ROUNDS` sets how many rounds there are (12 unless said otherwise, and 20 of SpanForge's), `SPANRING_EXPORT_SEED` with which
//! one they begin. A failure names its seed.

#[path = "../agent/mod.rs"]
mod agent;
mod receiving;
mod spanforge;

use std::collections::BTreeSet;
use std::env;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use spanring_exporter::demo::receiver::{Answer, Received, Receiver};
use spanring_spool::{Cursor, SpoolDir};
use tokio::net::TcpSocket;

use self::agent::TestSpool;
use self::receiving::{Mood, Receiving};

#[test]
fn a_recording_process() {
    agent::main();
}

#[test]
fn whatever_fails_and_whoever_is_killed_each_span_arrives_or_is_a_dead_letter() {
    let first = setting("SPANRING_EXPORT_SEED", 1);
    let rounds = setting("SPANRING_EXPORT_ROUNDS", 12);
    let mut kills = Kills::default();
    for seed in first..first + rounds {
        Round::new(seed).run(&mut kills);
    }
    let Kills { all, at_work, at_an_answer } = kills;
    eprintln!(
        "{rounds} rounds, {all} exporters killed, {at_work} of them after a request, {at_an_answer} before its answer"
    );
    assert!(rounds < 12 || at_an_answer > 0, "no kill hit an exporter at work");
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// How many exporters were killed.
#[derive(Default)]
struct Kills {
    all: usize,
    /// After they had sent anything.
    at_work: usize,
    /// As they waited for a certain answer.
    at_an_answer: usize,
}

struct Round {
    seed: u64,
    random: Random,
    spool: TestSpool,
    /// How many spans have a number. There is one more.
    count: u64,
    /// Whether as many batches of a block as there may be are on their way at the same time.
    is_in_large_blocks: bool,
    port: Port,
    receiving: Arc<Mutex<Receiving>>,
    /// OpenTelemetry's variables for all exporters, without their prefix.
    variables: Vec<(&'static str, &'static str)>,
    /// How long the exporters that are killed wait for an answer, in milliseconds, if not as long as they do of themselves.
    timeout_ms: Option<&'static str>,
}

impl Round {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let is_in_large_blocks = random.pick(2) == 0;
        let count = 20 + random.below(if is_in_large_blocks { 6000 } else { 1500 });
        let mut receiving = Receiving::new(seed ^ 0xfa17);
        receiving.poisoned = (0..random.below(6)).map(|_| random.below(count).cast_signed()).collect();
        receiving.spans_max = [usize::MAX, 512, 100, 7][random.pick(4)];
        receiving.bytes_max = [usize::MAX, 64 * 1024, 20_000, 4_000][random.pick(4)];
        let mut variables = Vec::new();
        if random.pick(2) == 0 {
            variables.push(("PROTOCOL", "http/json"));
            receiving.media_type = "application/json";
        }
        variables.push(("COMPRESSION", ["gzip", "none"][random.pick(2)]));
        // Who gives an answer up may have read its head only: what was rejected is not known then, to nobody.
        let timeout_ms = (random.pick(3) == 0).then_some("100");
        receiving.delay_max_ms = if timeout_ms.is_some() { 200 } else { 0 };
        receiving.rejects = timeout_ms.is_none();
        Round {
            seed,
            random,
            spool: TestSpool::new(),
            count,
            is_in_large_blocks,
            port: Port::reserve().unwrap(),
            receiving: Arc::new(Mutex::new(receiving)),
            variables,
            timeout_ms,
        }
    }

    fn run(mut self, kills: &mut Kills) {
        match self.is_in_large_blocks {
            true => self.spool.record_in_large_blocks(0, self.count),
            false => self.spool.record(0, self.count),
        }
        let closed = Receiver::start(|_| Answer::status(401)).unwrap();
        let sinks = [self.port.address, closed.address()].map(|address| format!("otlp+http://{address}"));
        let sinks = sinks.each_ref().map(String::as_str);
        for _ in 0..1 + self.random.pick(4) {
            self.kill_one(&sinks, kills);
        }

        self.receiving.lock().unwrap().is_in(Mood::Well);
        let receiver = self.receiver(None, None);
        let output = self.export(&sinks).args(["--once", "--json", "--deadline", "1s"]).output().unwrap();
        drop(receiver);
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(report["sinks"][0]["end"], "complete", "seed {}: {output:?}", self.seed);
        self.assert_all_accounted_for(sinks[0]);
    }

    /// Starts an exporter, and kills it sooner or later.
    fn kill_one(&mut self, sinks: &[&str], kills: &mut Kills) {
        let (mood, outage) = match self.random.pick(8) {
            0 | 1 => (self.closed(), None),
            2 => (Mood::Troubled, Some(Outage::Silent)),
            3 => (Mood::Troubled, Some(Outage::Resets)),
            _ => (Mood::Troubled, None),
        };
        self.receiving.lock().unwrap().is_in(mood);
        let mut command = self.export(sinks);
        if let Some(ms) = self.timeout_ms {
            command.env("OTEL_EXPORTER_OTLP_TIMEOUT", ms);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let outage_ms = self.random.below(100);
        let mut exporter = match outage {
            None => command.spawn().unwrap(),
            Some(outage) => {
                outage.last(self.port.address, Duration::from_millis(outage_ms), || command.spawn().unwrap())
            }
        };
        // As it waits for one of its first answers, after it was told off, or after a while.
        let (waiting, waits) = mpsc::channel();
        let is_waited_for = self.random.pick(2) == 0;
        let at = match mood {
            Mood::Closed { after, .. } => Some(after + 1),
            _ => is_waited_for.then(|| 1 + self.random.pick(8)),
        };
        let receiver = self.receiver(at, Some(waiting));
        let a_while = Duration::from_micros(self.random.below(400_000));
        let patience = if at.is_none() { a_while } else { Duration::from_millis(600) };
        let is_asked = waits.recv_timeout(patience) != Err(RecvTimeoutError::Timeout);
        let is_told_off = is_asked && matches!(mood, Mood::Closed { .. });
        if is_told_off {
            thread::sleep(a_while);
        }
        exporter.kill().unwrap();
        exporter.wait().unwrap();
        // What it sent last is not read later than what the next one sends.
        drop(receiver);

        let answers = self.receiving.lock().unwrap().answers;
        kills.all += 1;
        kills.at_work += usize::from(answers > 0);
        kills.at_an_answer += usize::from(is_asked && !is_told_off);
        if let Mood::Closed { after, .. } = mood {
            // What was taken made room for as many on their way at once, and one more.
            assert!(answers <= after + 1 + after, "seed {}: who was told off asked again", self.seed);
        }
    }

    fn closed(&mut self) -> Mood {
        let statuses = [401, 403, 404, 501, 301, 302, 303, 307, 308];
        Mood::Closed { after: self.random.pick(4), status: statuses[self.random.pick(statuses.len())] }
    }

    fn export(&self, sinks: &[&str]) -> Command {
        let mut command = self.spool.export(sinks);
        for (name, value) in &self.variables {
            command.env(format!("OTEL_EXPORTER_OTLP_{name}"), value);
        }
        command
    }

    /// Lets the receiver listen. It tells when somebody waits for its answer number `at`, which comes a little later.
    fn receiver(&self, at: Option<usize>, waiting: Option<Sender<()>>) -> Receiver {
        let receiving = Arc::clone(&self.receiving);
        let waiting = Arc::new(waiting);
        let answer = move |request: Received| {
            let mut receiving = receiving.lock().unwrap();
            let answer = receiving.answer(&request);
            match waiting.as_ref() {
                Some(waiting) if Some(receiving.answers) == at => {
                    waiting.send(()).unwrap();
                    Answer { delay: answer.delay + Duration::from_millis(2), ..answer }
                }
                _ => answer,
            }
        };
        // While nobody listened, somebody else on this machine may have come by the port, for a connection.
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match Receiver::start_at(self.port.address, answer.clone()) {
                Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(50));
                }
                receiver => return receiver.unwrap(),
            }
        }
    }

    fn assert_all_accounted_for(&self, sink: &str) {
        let Round { seed, count, .. } = *self;
        let receiving = self.receiving.lock().unwrap();
        let poisoned = &receiving.poisoned;
        let dir = SpoolDir::open(self.spool.path()).unwrap();
        let letters = dir.dead_letters();
        let aside = letters.names().unwrap().into_iter().map(|name| letters.read(&name).unwrap().unwrap());
        let aside: Vec<_> = aside.map(|letter| letter.span.attributes[0].1.as_i64().unwrap()).collect();
        assert_eq!(aside, poisoned.iter().copied().collect::<Vec<_>>(), "seed {seed}: the dead letters");
        let good = (0..count.cast_signed()).filter(|number| !poisoned.contains(number)).map(Some);
        let good: BTreeSet<_> = good.chain([None]).collect();
        let taken = &receiving.taken;
        assert!(*taken == good, "seed {seed}: {} of {} arrived", taken.len(), good.len());
        receiving.assert_same_boundaries(seed);

        let [recorder] = dir.recorders().unwrap().try_into().unwrap();
        let state = Cursor::peek(&dir.recorder_path(&recorder), sink).unwrap();
        let account = (state.delivered, state.dead_lettered, state.dropped);
        let (dead, rejected) = (poisoned.len() as u64, receiving.rejected());
        assert_eq!(account, (count + 1 - dead - rejected, dead, rejected), "seed {seed}: the ledger");
    }
}

/// How a receiver is down.
enum Outage {
    /// Nobody listens.
    Silent,
    /// Connections are reset before anything was read.
    Resets,
}

impl Outage {
    /// Is so at `address` for so long, in which something is started.
    fn last<T>(self, address: SocketAddr, time: Duration, start: impl FnOnce() -> T) -> T {
        match self {
            Outage::Silent => {
                let started = start();
                thread::sleep(time);
                started
            }
            Outage::Resets => {
                let listener = TcpListener::bind(address).unwrap();
                listener.set_nonblocking(true).unwrap();
                let started = start();
                let (over, is_over) = mpsc::channel::<()>();
                thread::scope(|scope| {
                    scope.spawn(move || {
                        while is_over.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout)
                        {
                            drop(listener.accept());
                        }
                    });
                    thread::sleep(time);
                    drop(over);
                });
                started
            }
        }
    }
}

/// A port of 127.0.0.1 that nobody else is given as long as this exists, also while nobody listens there.
struct Port {
    address: SocketAddr,
    _bound: TcpSocket,
}

impl Port {
    fn reserve() -> io::Result<Self> {
        let bound = TcpSocket::new_v4()?;
        // Others may bind it if they do not mind either, and listeners here do not.
        bound.set_reuseaddr(true)?;
        bound.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Port { address: bound.local_addr()?, _bound: bound })
    }
}

/// splitmix64.
#[derive(Default)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}
