//! Prela's server, while it fails, the process that records is killed, and exporters are killed.
//!
//! In each round a process records traces, of one span, of some or of thousands, and is killed with one more open. Exporters deliver to a server that fails in every way, and are
//! killed at random moments; a last one delivers what is left. Then each trace was taken whole, the one that was open among them, and under one
//! document each time; the traces that the server refuses are dead letters, and no others.
//!
//! `SPANRING_PRELA_ROUNDS` sets how many rounds there are (20 unless said otherwise), `SPANRING_PRELA_SEED` with which one they begin. A failure
//! names its seed. `SPANRING_PRELA_SPANS` sets how many spans the largest trace has (20,000 unless said otherwise), and a tenth of that how many are
//! open at once.

#[path = "../agent/mod.rs"]
mod agent;
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Debug;
use std::process::Stdio;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use spanring::Overflow;
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};
use spanring_spool::{Letter, SpanData, Spool, SpoolDir};

use self::agent::{TestSpool, run_watched};

fn setting<T: FromStr<Err: Debug>>(name: &str, default: T) -> T {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn a_recording_process() {
    agent::main();
}

/// What the server has seen.
#[derive(Default)]
struct Server {
    random: Random,
    is_well: bool,
    /// How many spans a trace has.
    trace_len: u64,
    /// The traces that it never takes, by their number.
    poisoned: BTreeSet<Option<u64>>,
    /// The document of each trace, as it came first.
    documents: BTreeMap<String, Json>,
    /// What it has taken, by the number of the trace; the one that is open has none.
    taken: BTreeMap<Option<u64>, usize>,
}

impl Server {
    fn answer(&mut self, received: &Received) -> Answer {
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/v1/traces"));
        assert_eq!(received.header("x-api-key"), Some("secret"));
        assert_eq!(received.header("content-type"), Some("application/json"));
        let document: Json = serde_json::from_slice(&received.body).unwrap();
        let spans = document["spans"].as_array().unwrap();
        let number = spans[0]["attributes"]["number"].as_u64().map(|number| number / self.trace_len);
        match number {
            Some(trace) => self.assert_whole(spans, trace),
            None => {
                assert_eq!(spans.len(), 1, "{document}");
                assert_eq!((&document["status"], &spans[0]["name"]), (&"ERROR".into(), &"open".into()));
                assert_eq!(spans[0]["attributes"]["spanring.interrupted"], true);
            }
        }
        let trace_id = document["trace_id"].as_str().unwrap().to_owned();
        let first = self.documents.entry(trace_id).or_insert_with(|| document.clone());
        assert_eq!(*first, document, "a trace comes as another one");
        if !self.is_well {
            match self.random.below(40) {
                0 => return Answer::status(500),
                1 => return Answer { headers: vec![("retry-after", "0".to_owned())], ..Answer::status(429) },
                2 => return Answer::broken(),
                3 => return Answer { delay: Duration::from_millis(20), ..Answer::status(503) },
                // The key is not known for a while: this exporter asks no more, and the next one does.
                4 if self.random.below(10) == 0 => return Answer::status(401),
                _ => {}
            }
        }
        if self.poisoned.contains(&number) {
            return Answer::status(400);
        }
        *self.taken.entry(number).or_default() += 1;
        // It has the trace, and the exporter may not learn it.
        match self.random.below(40) {
            0 if !self.is_well => Answer::broken(),
            1 => Answer::status(202),
            _ => Answer::status(200),
        }
    }
}

impl Server {
    /// Whether these are the spans of a trace, each once, and all but the root under it.
    fn assert_whole(&self, spans: &[Json], trace: u64) {
        let mut numbers: Vec<_> = spans.iter().map(|span| span["attributes"]["number"].as_u64()).collect();
        numbers.sort_unstable();
        let first = trace * self.trace_len;
        assert!(numbers.iter().copied().eq((first..first + self.trace_len).map(Some)), "{numbers:?}");
        let (roots, others): (Vec<_>, Vec<_>) =
            spans.iter().partition(|span| span["attributes"]["number"] == first);
        assert!(roots[0]["parent_span_id"].is_null());
        assert!(others.iter().all(|span| span["parent_span_id"] == roots[0]["span_id"]));
    }
}

#[test]
fn whoever_fails_or_is_killed_each_trace_is_taken_whole_or_is_a_dead_letter() {
    let first: u64 = setting("SPANRING_PRELA_SEED", 1);
    let rounds: u64 = setting("SPANRING_PRELA_ROUNDS", 20);
    let (mut kills, mut at_work) = (0, 0);
    for seed in first..first + rounds {
        let mut random = Random(seed);
        let spool = TestSpool::new();
        let (trace_len, traces_min) = [(1, 100), (12, 20), (250, 4), (3_000, 1)][random.choose(4)];
        let count = traces_min + random.below(4 * traces_min);
        let agent = spool.start_traces(0, count * trace_len, trace_len);
        let server = Arc::new(Mutex::new(Server { random: Random(seed), trace_len, ..Server::default() }));
        for _ in 0..random.below(4) {
            server.lock().unwrap().poisoned.insert(Some(random.below(count)));
        }
        let asked = Arc::clone(&server);
        let receiver = Receiver::start(move |received| asked.lock().unwrap().answer(&received)).unwrap();
        let sink = format!("prela+http://{}/v1/traces", receiver.address());
        let mut agent = Some(agent);
        for _ in 0..1 + random.below(4) {
            let before = server.lock().unwrap().taken.len();
            let mut command = spool.export(&[&sink]);
            command.env("PRELA_API_KEY", "secret").stdout(Stdio::null()).stderr(Stdio::null());
            let mut exporter = command.spawn().unwrap();
            // Every other kill comes as soon as something was taken, however slow the machine is.
            let is_early = random.below(2) == 0 && before == 0;
            let longest = if is_early { 2_000_000 } else { random.below(300_000) };
            let moment = Instant::now() + Duration::from_micros(longest);
            while Instant::now() < moment && !(is_early && server.lock().unwrap().taken.len() > before) {
                thread::sleep(Duration::from_micros(200));
            }
            exporter.kill().unwrap();
            exporter.wait().unwrap();
            kills += 1;
            let after = server.lock().unwrap().taken.len();
            at_work += usize::from(after > before && (after as u64) < count);
            if random.below(2) == 0
                && let Some(agent) = agent.take()
            {
                agent.kill();
            }
        }
        agent.into_iter().for_each(agent::Agent::kill);
        server.lock().unwrap().is_well = true;
        let mut command = spool.export(&[&sink]);
        let output = command.args(["--once", "--json"]).env("PRELA_API_KEY", "secret").output().unwrap();
        let server = server.lock().unwrap();
        let status = i32::from(!server.poisoned.is_empty());
        assert_eq!(output.status.code(), Some(status), "seed {seed}: {output:?}");
        assert_eq!(spool.recorders(), [""; 0], "seed {seed}: all is delivered");
        let all: BTreeSet<_> = (0..count).map(Some).chain([None]).collect();
        let taken: BTreeSet<_> = server.taken.keys().copied().collect();
        assert_eq!(taken, all.difference(&server.poisoned).copied().collect(), "seed {seed}");
        let letters = SpoolDir::open(spool.path()).unwrap().dead_letters();
        let letters = letters.names().unwrap().into_iter().map(|name| letters.open(&name).unwrap().unwrap());
        let aside: Vec<_> = letters.map(|letter| trace_of(letter, trace_len)).collect();
        assert_eq!(aside.len(), server.poisoned.len(), "seed {seed}");
        assert_eq!(aside.into_iter().collect::<BTreeSet<_>>(), server.poisoned, "seed {seed}");
    }
    eprintln!("{rounds} rounds, {kills} exporters killed, {at_work} of them at work");
    assert!(rounds < 20 || at_work > 0, "no kill hit an exporter at work");
}

/// Which trace a letter is of, all of whose spans are there.
fn trace_of(letter: Letter, trace_len: u64) -> Option<u64> {
    let number = |span: &SpanData| span.get("number").and_then(|number| number.as_u64());
    match letter {
        Letter::Span(letter) => {
            assert_eq!(trace_len, 1);
            number(&letter.span)
        }
        Letter::Trace(_, mut spans) => {
            let all = std::iter::from_fn(|| spans.next_span().unwrap());
            let numbers: BTreeSet<_> = all.map(|span| number(&span).unwrap()).collect();
            assert_eq!(numbers.len() as u64, trace_len);
            let first = *numbers.first().unwrap();
            assert!(first % trace_len == 0 && numbers.last() == Some(&(first + trace_len - 1)));
            Some(first / trace_len)
        }
    }
}

#[test]
fn what_the_server_answers_to_a_wrong_key_parks_and_is_said_without_the_key() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let receiver =
        Receiver::start(|_| Answer { body: b"no such key: secret".to_vec(), ..Answer::status(401) }).unwrap();
    let sink = format!("prela+http://{}/v1/traces", receiver.address());
    let mut command = spool.export(&[&sink]);
    let output = command.arg("--once").env("PRELA_API_KEY", "secret").output().unwrap();
    let (status, said) = agent::complaint(output);
    assert_eq!(status, 1);
    assert!(
        said.contains("it answered 401 Unauthorized: no such key: ******") && !said.contains("secret"),
        "{said}"
    );
    assert_eq!(spool.recorders().len(), 1, "it is kept");
}

#[test]
fn a_very_large_trace_and_very_many_at_once_need_little_memory() {
    let large: usize = setting("SPANRING_PRELA_SPANS", 20_000);
    let many = large / 10;
    let spool = TestSpool::new();
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Threads take turns, so that the spans of all traces are spread over all blocks.
    let recorder =
        Spool::open(spool.path()).overflow(Overflow::Block(Duration::from_secs(60))).start().unwrap();
    let root = spanring::span("large").root().start();
    let roots: Vec<_> = (0..many).map(|_| spanring::span("one of many").root().start()).collect();
    for number in 0..large {
        drop(spanring::span("step").parent(root.context()).set("text", "x".repeat(20)).start());
        let small = &roots[number % many];
        drop(spanring::span("step").parent(small.context()).set("text", "x".repeat(20)).start());
    }
    drop(roots);
    drop(root);
    assert!(recorder.stop(Duration::from_secs(60)).is_complete);
    drop(turn);
    let sizes = Arc::new(Mutex::new(BTreeMap::<usize, usize>::new()));
    let seen = Arc::clone(&sizes);
    let receiver = Receiver::start(move |received| {
        let document: Json = serde_json::from_slice(&received.body).unwrap();
        *seen.lock().unwrap().entry(document["spans"].as_array().unwrap().len()).or_default() += 1;
        Answer::status(200)
    });
    let receiver = receiver.unwrap();
    let sink = format!("prela+http://{}/v1/traces", receiver.address());
    let (output, peak) = run_watched(spool.export(&[&sink]).arg("--once"));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(*sizes.lock().unwrap(), BTreeMap::from([(large + 1, 1), (11, many)]));
    eprintln!("the exporter had {peak} KiB at most");
    assert!(peak <= 64 * 1024, "{peak} KiB");
}

/// splitmix64.
#[derive(Default)]
struct Random(u64);

impl Random {
    fn choose(&mut self, of: usize) -> usize {
        usize::try_from(self.below(of as u64)).unwrap()
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
