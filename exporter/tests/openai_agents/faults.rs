//! The exporter against a server that fails, while the exporter is killed.
//!
//! In each round a process records spans, of which the server refuses a few by 400 and never takes them. Exporters deliver, one after the other, and each is
//! killed at a random moment. Meanwhile the server fails for a while, asks for patience, resets connections, takes spans and does not say so, takes few at
//! once, or closes to everybody, as to a key that is no longer good. In the end it is well, and a last exporter delivers what is left.
//!
//! `SPANRING_OPENAI_ROUNDS` sets how many rounds there are (20 unless said otherwise), `SPANRING_OPENAI_SEED` with which one they begin. A failure names its
//! seed.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use spanring_exporter::demo::receiver::{Answer, Received, Receiver};
use spanring_spool::{Cursor, SpoolDir};

use super::agent::TestSpool;
use super::server::{Items, KEY};

#[test]
fn whatever_fails_and_whoever_is_killed_each_span_arrives_or_is_a_dead_letter() {
    let setting = |name, default| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let first: u64 = setting("SPANRING_OPENAI_SEED", 1);
    let rounds: u64 = setting("SPANRING_OPENAI_ROUNDS", 20);
    let (mut kills, mut again) = (0, 0);
    for seed in first..first + rounds {
        let server = Round::new(seed).run();
        kills += server.kills_at_work;
        again += server.again;
    }
    eprintln!("{rounds} rounds, {kills} exporters killed at work, {again} requests that had come before");
    assert!(rounds < 20 || (kills > 0 && again > 0), "no kill hit an exporter at work");
}

/// How the server is for a while.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    Troubled,
    /// It takes nothing from anybody, after so many answers.
    Closed {
        after: usize,
        answer: fn() -> Answer,
    },
}

const CLOSED: [fn() -> Answer; 5] = [
    || Answer::status(401),
    || Answer::status(403),
    || Answer::status(404),
    || Answer { headers: vec![("location", "/elsewhere".into())], ..Answer::status(307) },
    || Answer { headers: vec![("x-should-retry", "false".into())], ..Answer::status(500) },
];

struct Server {
    random: Random,
    mood: Mood,
    /// The key of the exporter that lives: each has another.
    key: String,
    /// The numbers of the spans that it never takes.
    poisoned: BTreeSet<u64>,
    /// How many items it takes at once.
    items_max: usize,
    /// How often it was asked since it is in this mood.
    answers: usize,
    /// The spans that it has, by identity.
    taken: BTreeMap<String, Option<u64>>,
    /// Each request by the identities of its spans, and whether it was refused.
    requests: BTreeMap<Vec<String>, (Vec<u8>, bool)>,
    /// How many came that had come before.
    again: usize,
    kills_at_work: usize,
}

impl Server {
    fn answer(&mut self, received: &Received) -> Answer {
        if received.header("authorization") != Some(&format!("Bearer {}", self.key)) {
            // It was sent by one that is dead.
            return Answer::broken();
        }
        self.answers += 1;
        let items = Items::of(received);
        let ids = items.ids();
        let is_new = !self.requests.contains_key(&ids);
        self.again += usize::from(!is_new);
        let request = self.requests.entry(ids.clone()).or_insert_with(|| (received.body.clone(), false));
        assert!(request.0 == received.body, "the same spans make another request now");

        if let Mood::Closed { after, answer } = self.mood
            && self.answers > after
        {
            return answer();
        }
        if items.traces.len() + items.spans.len() > self.items_max {
            request.1 = true;
            return Answer::status(413);
        }
        let is_well = matches!(self.mood, Mood::Well);
        let trouble = if is_well { usize::MAX } else { self.random.pick(30) };
        let headers = |name, value: &str| vec![(name, value.to_owned())];
        match trouble {
            0 => return Answer::status(500),
            1 => return Answer { headers: headers("retry-after", "0"), ..Answer::status(429) },
            2 => return Answer { headers: headers("retry-after-ms", "1.5"), ..Answer::status(409) },
            3 => return Answer { headers: headers("retry-after", "soon"), ..Answer::status(503) },
            4 => return Answer { headers: headers("retry-after", "3600"), ..Answer::status(429) },
            5 => return Answer::broken(),
            _ => {}
        }
        if items.numbers().iter().flatten().any(|number| self.poisoned.contains(number)) {
            request.1 = true;
            let body = br#"{"error":{"message":"Unknown parameter."}}"#.to_vec();
            return Answer { body, ..Answer::status([400, 422][self.random.pick(2)]) };
        }
        for (id, number) in ids.into_iter().zip(items.numbers()) {
            // Come again, it is the same span to whoever knows it by its identity.
            assert_eq!(*self.taken.entry(id).or_insert(number), number);
        }
        match trouble {
            // It has them, and does not say so.
            6 | 7 => Answer::broken(),
            8 => Answer::status(502),
            9 => Answer { delay: Duration::from_millis(self.random.below(30)), ..Answer::status(204) },
            _ => Answer::status([200, 202, 204][self.random.pick(3)]),
        }
    }

    /// The requests with a span in common are the same, or one is a part of the other, which was refused.
    fn assert_same_boundaries(&self, seed: u64) {
        let mut whole_of = BTreeMap::<&String, &Vec<String>>::new();
        let mut by_size: Vec<_> = self.requests.iter().collect();
        by_size.sort_by_key(|(ids, _)| std::cmp::Reverse(ids.len()));
        for (ids, (_, is_refused)) in by_size {
            if let Some(whole) = whole_of.get(&ids[0]) {
                let is_part = whole.windows(ids.len()).any(|part| part == ids.as_slice());
                assert!(
                    is_part && self.requests[*whole].1,
                    "seed {seed}: a batch ends where none ended before"
                );
            }
            if *is_refused || !whole_of.contains_key(&ids[0]) {
                whole_of.extend(ids.iter().map(|id| (id, ids)));
            }
        }
    }
}

struct Round {
    seed: u64,
    random: Random,
    spool: TestSpool,
    /// How many spans have a number. There is one more.
    count: u64,
    server: Arc<Mutex<Server>>,
}

impl Round {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let count = 20 + random.below(800);
        let server = Server {
            mood: Mood::Troubled,
            key: String::new(),
            poisoned: (0..random.below(4)).map(|_| random.below(count)).collect(),
            items_max: [usize::MAX, 128, 60, 9][random.pick(4)],
            answers: 0,
            taken: BTreeMap::new(),
            requests: BTreeMap::new(),
            again: 0,
            kills_at_work: 0,
            random: Random(seed ^ 0xfa17),
        };
        Round { seed, random, spool: TestSpool::new(), count, server: Arc::new(Mutex::new(server)) }
    }

    fn run(mut self) -> Server {
        self.spool.record(0, self.count);
        let answering = Arc::clone(&self.server);
        let receiver = Receiver::start(move |request| answering.lock().unwrap().answer(&request)).unwrap();
        // A second sink takes nothing, so that the spool keeps the first one's account.
        let closed = Receiver::start(|_| Answer::status(401)).unwrap();
        let sinks =
            [format!("openai+http://{}", receiver.address()), format!("otlp+http://{}", closed.address())];
        let sinks = sinks.each_ref().map(String::as_str);
        for _ in 0..1 + self.random.pick(4) {
            self.kill_one(&sinks);
        }
        self.turns(Mood::Well);
        let output = self.exporter(&sinks).args(["--once", "--json", "--deadline", "1s"]).output().unwrap();
        drop(receiver);
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(report["sinks"][0]["end"], "complete", "seed {}: {output:?}", self.seed);
        self.assert_all_accounted_for(sinks[0]);
        Arc::into_inner(self.server).unwrap().into_inner().unwrap()
    }

    fn turns(&self, mood: Mood) {
        let mut server = self.server.lock().unwrap();
        server.mood = mood;
        server.key.clear();
        server.answers = 0;
    }

    /// Starts an exporter, and kills it after a while, or soon after it was told off.
    fn kill_one(&mut self, sinks: &[&str]) {
        let mood = match self.random.pick(3) {
            0 => Mood::Closed { after: self.random.pick(4), answer: CLOSED[self.random.pick(CLOSED.len())] },
            _ => Mood::Troubled,
        };
        self.turns(mood);
        let mut exporter = self.exporter(sinks).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(self.random.below(400_000)));
        exporter.kill().unwrap();
        exporter.wait().unwrap();
        let mut server = self.server.lock().unwrap();
        server.kills_at_work += usize::from(server.answers > 0);
        if let Mood::Closed { after, .. } = mood {
            assert!(server.answers <= after + 1, "seed {}: who was told off asked again", self.seed);
        }
    }

    fn exporter(&mut self, sinks: &[&str]) -> Command {
        let key = format!("sk-{}", self.random.below(u64::MAX));
        let mut command = self.spool.export(sinks);
        command.env(KEY, &key);
        self.server.lock().unwrap().key = key;
        command
    }

    fn assert_all_accounted_for(&self, sink: &str) {
        let Round { seed, count, .. } = *self;
        let server = self.server.lock().unwrap();
        let dir = SpoolDir::open(self.spool.path()).unwrap();
        let letters = dir.dead_letters();
        let aside = letters.names().unwrap().into_iter().map(|name| letters.read(&name).unwrap().unwrap());
        let aside: Vec<_> =
            aside.map(|letter| letter.span.get("number").unwrap().as_u64().unwrap()).collect();
        assert_eq!(
            aside,
            server.poisoned.iter().copied().collect::<Vec<_>>(),
            "seed {seed}: the dead letters"
        );
        let good = (0..count).filter(|number| !server.poisoned.contains(number)).map(Some);
        let good: Vec<_> = [None].into_iter().chain(good).collect();
        let mut taken: Vec<_> = server.taken.values().copied().collect();
        taken.sort_unstable();
        assert!(taken == good, "seed {seed}: {} of {} arrived", taken.len(), good.len());
        server.assert_same_boundaries(seed);

        let [recorder] = dir.recorders().unwrap().try_into().unwrap();
        let state = Cursor::peek(&dir.recorder_path(&recorder), sink).unwrap();
        let dead = server.poisoned.len() as u64;
        let account = (state.delivered, state.dead_lettered, state.dropped);
        assert_eq!(account, (count + 1 - dead, dead, 0), "seed {seed}: the ledger");
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn pick(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }
}
