//! SpanForge's sinks, while exporters are killed and the server fails.
//!
//! In each round exporters deliver to the cloud, to a web hook or to a file, one after the other, and each is killed with SIGKILL: as it
//! waits for a certain answer, or after a while. Meanwhile the server is troubled: 500, 502, 503, 429, a reset before or after it has taken
//! the events. Some exporters have a wrong key, which it answers by 401. It refuses a few spans for good, and requests with too many events.
//! In the end one exporter with the right key delivers what is left. In some rounds the spans are runs of agents, or the process that
//! recorded them was killed: what a run comes to is the same each time it is sent, and right, also where it became a dead letter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::hmac;
use serde_json::Value as Json;
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};
use spanring_exporter::spanforge::{Event, SigningKey};
use spanring_spool::{SpanData, SpoolDir};

use super::agent::{self, TestSpool, complaint, spanring};
use super::{Random, setting};

const RIGHT: &str = "sf_right";
const WRONG: &str = "sf_wrong";
const SIGNING: &str = "chain";

#[test]
fn whatever_fails_each_event_arrives_at_spanforge_as_one_or_is_a_dead_letter() {
    let first = setting("SPANRING_EXPORT_SEED", 1);
    let rounds = setting("SPANRING_EXPORT_ROUNDS", 20);
    let (mut killed, mut killed_at_an_answer, mut turned_away) = (0, 0, 0);
    for seed in first..first + rounds {
        let round = Round::new(seed);
        let kind = round.kind;
        let kills = round.run();
        killed += kills.all;
        killed_at_an_answer += kills.at_an_answer;
        turned_away += kills.turned_away;
        assert!(kind == Kind::File || kills.all > 0);
    }
    eprintln!(
        "{rounds} rounds, {killed} exporters killed, {killed_at_an_answer} before an answer, {turned_away} turned away"
    );
    assert!(rounds < 20 || killed_at_an_answer > 0 && turned_away > 0, "no kill hit an exporter at work");
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Cloud,
    Webhook,
    File,
}

#[derive(Default)]
struct Kills {
    all: usize,
    /// As they waited for a certain answer.
    at_an_answer: usize,
    /// With a wrong key, after they had been told so.
    turned_away: usize,
}

struct Round {
    seed: u64,
    random: Random,
    kind: Kind,
    is_signed: bool,
    /// How many spans in a row are a run of an agent, if they are such.
    run_len: Option<u64>,
    /// Whether the process that recorded was killed.
    is_killed: bool,
    spool: TestSpool,
    /// How many spans have a number. There is one more.
    count: u64,
    server: Arc<Mutex<Server>>,
}

impl Round {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let kind = [Kind::Cloud, Kind::Webhook, Kind::File][random.pick(3)];
        let mut server = Server { random: Random(seed ^ 0x5a), ..Server::default() };
        server.spans_max = [usize::MAX, 100, 7, 1][random.pick(4)];
        let count = match (kind, server.spans_max) {
            (Kind::File, _) => 20 + random.below(20_000),
            // Each goes alone, and meets each trouble.
            (_, 1) => 40,
            _ => 20 + random.below(400),
        };
        if kind != Kind::File {
            server.poisoned = (0..random.below(5)).map(|_| random.below(count)).collect();
        }
        let is_signed = random.pick(2) == 0;
        let run_len = [None, Some(2), Some(9), Some(120), Some(6_000)][random.pick(5)];
        let is_killed = run_len.is_some() && random.pick(2) == 0;
        let server = Arc::new(Mutex::new(server));
        Round { seed, random, kind, is_signed, run_len, is_killed, spool: TestSpool::new(), count, server }
    }

    fn run(mut self) -> Kills {
        match self.run_len {
            None => self.spool.record(0, self.count),
            Some(run_len) if self.is_killed => self.spool.start_runs(0, self.count, run_len).kill(),
            Some(run_len) => self.spool.record_runs(self.count, run_len),
        }
        let mut kills = Kills::default();
        let (waiting, waits) = mpsc::channel();
        let receiver = self.receiver(waiting);
        let sink = match self.kind {
            Kind::Cloud => format!("spanforge+http://{}", receiver.address()),
            Kind::Webhook => format!("spanforge-webhook+http://{}/hook", receiver.address()),
            Kind::File => format!("spanforge-file:{}", self.spool.file("events.jsonl").display()),
        };
        // It takes nothing, so that the spool keeps the first one's account.
        let closed = Receiver::start(|_| Answer::status(401)).unwrap();
        let sinks = [sink, format!("otlp+http://{}", closed.address())];

        for _ in 0..1 + self.random.pick(4) {
            let has_wrong_key = self.kind != Kind::File && self.random.pick(4) == 0;
            let answers = if has_wrong_key { 1 } else { [3, 30][self.random.pick(2)] };
            let at = 1 + self.random.pick(answers);
            self.server.lock().unwrap().begin(at);
            while waits.try_recv().is_ok() {}
            let mut command = self.export(&sinks, if has_wrong_key { WRONG } else { RIGHT });
            let mut exporter = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let patience = match self.kind {
                Kind::File => Duration::from_micros(self.random.below(60_000)),
                _ => Duration::from_millis(600),
            };
            let is_asked = waits.recv_timeout(patience).is_ok();
            exporter.kill().unwrap();
            exporter.wait().unwrap();
            kills.all += 1;
            kills.at_an_answer += usize::from(is_asked && !has_wrong_key);
            kills.turned_away += usize::from(is_asked && has_wrong_key);
        }

        self.server.lock().unwrap().is_well = true;
        let output =
            self.export(&sinks, RIGHT).args(["--once", "--json", "--deadline", "30s"]).output().unwrap();
        let report: Json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(report["sinks"][0]["end"], "complete", "seed {}: {output:?}", self.seed);
        drop(receiver);
        self.assert_all_accounted_for();
        kills
    }

    fn export(&self, sinks: &[String], key: &str) -> Command {
        let sinks: Vec<_> = sinks.iter().map(String::as_str).collect();
        let mut command = self.spool.export(&sinks);
        command.env("SPANFORGE_CLOUD_API_KEY", key).env("SPANFORGE_WEBHOOK_SECRET", key);
        if self.is_signed {
            command.env("SPANFORGE_SIGNING_KEY", SIGNING);
        }
        command
    }

    /// Delivers the dead letters to a file.
    fn replay(&self) -> Vec<Event> {
        let file = self.spool.file("replayed.jsonl");
        let mut command = spanring();
        command.args(["dead-letters", "replay", "--spool"]).arg(self.spool.path());
        command.args(["--to", &format!("spanforge-file:{}", file.display())]);
        assert_eq!(complaint(command.output().unwrap()), (0, String::new()), "seed {}", self.seed);
        let text = fs::read_to_string(file).unwrap();
        text.lines().map(|line| Event::from_json(line).unwrap()).collect()
    }

    fn receiver(&self, waiting: Sender<()>) -> Receiver {
        let (server, kind) = (Arc::clone(&self.server), self.kind);
        let answer = move |request: Received| {
            let mut server = server.lock().unwrap();
            let answer = server.answer(&request, kind);
            if server.answers == server.told_at {
                waiting.send(()).unwrap();
                return Answer { delay: Duration::from_millis(2), ..answer };
            }
            answer
        };
        Receiver::start(answer).unwrap()
    }

    fn assert_all_accounted_for(&self) {
        let Round { seed, count, .. } = *self;
        let mut server = self.server.lock().unwrap();
        if self.kind == Kind::File {
            let text = fs::read_to_string(self.spool.file("events.jsonl")).unwrap();
            assert!(text.ends_with('\n'), "seed {seed}: whole lines");
            let events: Vec<_> = text.lines().map(|line| Event::from_json(line).unwrap()).collect();
            let ids: BTreeSet<_> = events.iter().map(|event| &event.event_id).collect();
            assert_eq!(ids.len(), events.len(), "seed {seed}: an event is there twice");
            let before = [None].into_iter().chain(events.iter().map(|event| Some(event.event_id.as_str())));
            let is_chain =
                events.iter().zip(before).all(|(event, before)| event.prev_id.as_deref() == before);
            assert_eq!(is_chain, self.is_signed, "seed {seed}: whatever was killed, all are one chain");
            events.into_iter().for_each(|event| server.take(event));
        }
        let letters = SpoolDir::open(self.spool.path()).unwrap().dead_letters();
        let aside = letters.names().unwrap().into_iter().map(|name| letters.read(&name).unwrap().unwrap());
        let number = |span: &SpanData| {
            let said = span.attributes.iter().find(|(key, _)| key == "number");
            said.and_then(|(_, value)| value.as_u64()).unwrap()
        };
        let aside: BTreeSet<_> = aside.map(|letter| number(&letter.span)).collect();
        assert_eq!(aside, server.poisoned, "seed {seed}: the dead letters");
        let good = (0..count).filter(|number| !server.poisoned.contains(number)).map(Some);
        let good: BTreeSet<_> = good.chain([None]).collect();
        let taken: BTreeSet<_> = server.taken.keys().copied().collect();
        assert!(taken == good, "seed {seed}: {} of {} arrived", taken.len(), good.len());
        let ids: BTreeSet<_> = server.taken.values().map(|event| &event.event_id).collect();
        assert_eq!(ids.len(), taken.len(), "seed {seed}: each event has an identity of its own");
        let replayed = self.replay();
        assert_eq!(replayed.len(), aside.len(), "seed {seed}: the letters are events");
        let runs =
            server.taken.values().chain(&replayed).filter(|event| event.payload.contains_key("agent_name"));
        let run_len = self.run_len.unwrap_or(u64::MAX);
        assert_eq!(
            runs.clone().count() as u64,
            self.run_len.map_or(0, |len| count.div_ceil(len)),
            "seed {seed}"
        );
        runs.for_each(|run| agent::assert_totals(run, count, run_len));
        let key = SigningKey::new(SIGNING).unwrap();
        let are_signed = server.taken.values().all(|event| key.is_signed(event) == self.is_signed);
        assert!(are_signed, "seed {seed}: signatures");
    }
}

/// SpanForge, as it is asked here.
#[derive(Default)]
struct Server {
    random: Random,
    /// Whether nothing troubles it any more, but that it asks for patience now and then.
    is_well: bool,
    /// The numbers of the spans that it never takes.
    poisoned: BTreeSet<u64>,
    /// How many events it takes at once.
    spans_max: usize,
    /// How often it was asked by this exporter, and at which answer it tells.
    answers: usize,
    told_at: usize,
    /// What it has taken, by the number of the span; none for the span without one.
    taken: BTreeMap<Option<u64>, Event>,
    /// The requests that differ, by the identities of their events.
    requests: BTreeMap<Vec<String>, Vec<u8>>,
}

impl Server {
    fn begin(&mut self, told_at: usize) {
        (self.answers, self.told_at) = (0, told_at);
    }

    fn answer(&mut self, request: &Received, kind: Kind) -> Answer {
        self.answers += 1;
        let is_right = match kind {
            Kind::Cloud => request.header("authorization") == Some(&format!("Bearer {RIGHT}")),
            _ => {
                request.header("x-spanforge-signature").and_then(|said| said.strip_prefix("hmac-sha256:"))
                    == Some(&signature(&request.body))
            }
        };
        if !is_right {
            return Answer::status(401);
        }
        let trouble = match (self.random.pick(12), self.is_well) {
            (trouble, false) => trouble,
            (0, true) => 1,
            (_, true) => usize::MAX,
        };
        match trouble {
            0 => return Answer::status([500, 502, 503, 599][self.random.pick(4)]),
            1 => return Answer { headers: vec![("retry-after", "0".to_owned())], ..Answer::status(429) },
            2 => return Answer::broken(),
            _ => {}
        }
        let events = events(&request.body, kind);
        let ids: Vec<_> = events.iter().map(|event| event.event_id.clone()).collect();
        let before = self.requests.entry(ids).or_insert_with(|| request.body.clone());
        assert!(*before == request.body, "the same events make the same request");
        if events.len() > self.spans_max {
            return Answer::status(413);
        }
        if events.iter().any(|event| number(event).is_some_and(|number| self.poisoned.contains(&number))) {
            return Answer::status([400, 422][self.random.pick(2)]);
        }
        events.into_iter().for_each(|event| self.take(event));
        match trouble {
            // It has them, and the exporter does not learn it.
            3 => Answer::broken(),
            4 => Answer::status(502),
            _ => Answer::status([200, 202, 204][self.random.pick(3)]),
        }
    }

    fn take(&mut self, event: Event) {
        let before = self.taken.entry(number(&event)).or_insert_with(|| event.clone());
        // Parts of a divided batch are chains of their own.
        let unsigned = |event: &Event| Event { signature: None, prev_id: None, ..event.clone() };
        assert_eq!(unsigned(before), unsigned(&event), "an event is the same however often it comes");
    }
}

fn signature(body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, RIGHT.as_bytes()), body);
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn events(body: &[u8], kind: Kind) -> Vec<Event> {
    let text = str::from_utf8(body).unwrap();
    let read = |json: Json| match json {
        Json::Object(pairs) => Event::from_dict(pairs).unwrap(),
        json => panic!("{json} is no event"),
    };
    let parsed = |text: &str| serde_json::from_str(text).unwrap();
    match (kind, text.starts_with('[')) {
        (Kind::Cloud, _) => text.lines().map(parsed).map(read).collect(),
        (_, true) => match parsed(text) {
            Json::Array(events) => events.into_iter().map(read).collect(),
            _ => unreachable!("it begins as a list does"),
        },
        (_, false) => vec![read(parsed(text))],
    }
}

/// The number that was set on the span. What else was set on it is checked too.
fn number(event: &Event) -> Option<u64> {
    let attributes = &event.payload["attributes"];
    let name =
        ["span_name", "step_name", "agent_name"].into_iter().find_map(|key| event.payload.get(key)?.as_str());
    match name {
        Some("open") if attributes["set_before_the_kill"] == "yes" => None,
        Some("step" | "run") => Some(attributes["number"].as_u64().unwrap()),
        _ => panic!("a span that nobody recorded: {event:?}"),
    }
}
