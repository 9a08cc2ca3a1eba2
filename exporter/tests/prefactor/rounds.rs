//! Rounds in which the server fails in every way, and processes are killed at random moments.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use spanring_spool::{Spool, SpoolDir};

use crate::agent::{self, TestSpool, quality_of, type_of};
use crate::server::{Again, Bulk, Refused, Server, number, start};
use crate::{Random, Running, export, live, setting};

#[test]
fn whoever_fails_or_is_killed_each_span_is_created_once_or_is_a_dead_letter() {
    finished_rounds(false);
}

#[test]
fn whoever_fails_or_is_killed_each_span_is_created_once_in_bulk_or_is_a_dead_letter() {
    finished_rounds(true);
}

fn finished_rounds(is_bulk: bool) {
    let first = setting("SPANRING_PREFACTOR_SEED", 1);
    let rounds = setting("SPANRING_PREFACTOR_ROUNDS", 10);
    let (mut kills, mut at_work, mut bulks, mut widest, mut others) = (0, 0, 0, 0, 0);
    for seed in first..first + rounds {
        let mut random = Random(seed);
        let spool = TestSpool::new();
        let count = 100 + random.below(400);
        let trace_len = [1, 10, 130][usize::try_from(random.below(3)).unwrap()];
        let types = random.below(6);
        let again = again(&mut random);
        let agent = spool.start_with_quality_and_types(0, count, trace_len, types);
        let poisoned = (0..random.below(4)).map(|_| Some(random.below(count))).collect();
        let refuses = if random.below(3) == 0 { Refused::Schemas } else { Refused::None };
        let bulk = bulk(&mut random, is_bulk);
        let server =
            Server { random: Random(seed), fails: true, poisoned, refuses, again, bulk, ..Server::default() };
        let (_receiver, sink, server) = start(server);
        let export = |spool: &TestSpool, sink: &str| with_bulk(export(spool, sink), is_bulk);
        let mut agent = Some(agent);
        for _ in 0..1 + random.below(4) {
            let before = server.lock().unwrap().spans.len();
            let mut command = export(&spool, &sink);
            let mut exporter = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let is_at_work = || server.lock().unwrap().spans.len() > before;
            // Every other kill comes as soon as some of it is there: bulk requests are over too quickly to be hit by chance.
            let is_early = random.below(2) == 0;
            let longest = if is_early { 2_000_000 } else { random.below(300_000) };
            let moment = Instant::now() + Duration::from_micros(longest);
            while Instant::now() < moment && !(is_early && is_at_work()) {
                thread::sleep(Duration::from_micros(200));
            }
            exporter.kill().unwrap();
            exporter.wait().unwrap();
            kills += 1;
            let after = server.lock().unwrap().spans.len();
            at_work += usize::from(after > before && (after as u64) < count);
            if random.below(2) == 0
                && let Some(agent) = agent.take()
            {
                agent.kill();
            }
        }
        agent.into_iter().for_each(agent::Agent::kill);
        server.lock().unwrap().fails = false;
        let output = export(&spool, &sink).args(["--once", "--json"]).output().unwrap();
        let server = server.lock().unwrap();
        assert_eq!(server.wrong, [""; 0], "seed {seed}");
        let status = i32::from(!server.poisoned.is_empty());
        assert_eq!(output.status.code(), Some(status), "seed {seed}: {output:?}");
        assert_eq!(spool.recorders(), [""; 0], "seed {seed}: all is delivered");
        others += assert_instances_and_types(&server, count, types, seed);
        let mut created = BTreeMap::<_, usize>::new();
        server.spans.iter().for_each(|span| *created.entry(number(span)).or_default() += 1);
        let expected = (0..count).map(Some).chain([None]).filter(|number| !server.poisoned.contains(number));
        assert_eq!(created, expected.map(|number| (number, 1)).collect(), "seed {seed}");
        if server.poisoned.is_empty() {
            // The open one is a trace of its own.
            let roots = server.spans.iter().filter(|span| span["parent_span_id"].is_null()).count();
            assert_eq!(roots as u64, count.div_ceil(trace_len) + 1, "seed {seed}: all others have parents");
        }
        let letters = SpoolDir::open(spool.path()).unwrap().dead_letters();
        let letters = letters.names().unwrap().into_iter().map(|name| letters.read(&name).unwrap().unwrap());
        let aside: Vec<_> =
            letters.map(|letter| letter.span.get("number").and_then(|number| number.as_u64())).collect();
        assert_eq!(aside.len(), server.poisoned.len(), "seed {seed}");
        assert_eq!(aside.into_iter().collect::<BTreeSet<_>>(), server.poisoned, "seed {seed}");
        for name in ["accuracy", "tone"] {
            let is_there = |number: &u64| !server.poisoned.contains(&Some(*number));
            let expected = (0..count).filter(|number| quality_of(*number) == Some(name)).filter(is_there);
            assert_eq!(recorded(&server, name), expected.collect::<Vec<_>>(), "seed {seed}");
        }
        bulks += server.bulks.len();
        widest = server.bulks.iter().copied().max().unwrap_or(0).max(widest);
    }
    eprintln!(
        "{rounds} rounds, {kills} exporters killed, {at_work} of them at work, {bulks} bulk requests of up to {widest}, {others} other instances"
    );
    assert!(rounds < 10 || at_work > 0, "no kill hit an exporter at work");
    assert!(rounds < 10 || others > 0, "the server never made another instance");
    assert!(rounds < 10 || is_bulk == (widest > 1), "no bulk request had several items");
}

/// What a server makes of an instance whose spans turn out to have further types.
fn again(random: &mut Random) -> Again {
    [Again::Version, Again::Instance, Again::Nothing][usize::try_from(random.below(3)).unwrap()]
}

/// Whether all instances are finished, and as few as there can be, and whether each span has its type; how many instances there are beside the first.
#[track_caller]
fn assert_instances_and_types(server: &Server, count: u64, types: u64, seed: u64) -> usize {
    let statuses: Vec<_> = server.instances.iter().map(|instance| instance.status.as_str()).collect();
    assert!(statuses.iter().all(|status| *status == "failed"), "seed {seed}: {statuses:?}");
    // One with all kinds, and one more for each version that declares more, where the server makes such.
    let instances_max = if server.again == Again::Instance { 1 + types } else { 1 };
    assert!((1..=instances_max).contains(&(statuses.len() as u64)), "seed {seed}: {}", statuses.len());
    for span in &server.spans {
        let type_name = number(span).and_then(|number| type_of(number, count, types));
        let metadata = &span["payload"]["metadata"]["spanring.type"];
        match (type_name.as_deref(), server.again) {
            (None, _) => assert_eq!(span["schema_name"], "agent:custom", "seed {seed}"),
            (Some(name), Again::Nothing) => assert_eq!(metadata, name, "seed {seed}: {span}"),
            (Some(name), _) => assert_eq!(span["schema_name"], name, "seed {seed}"),
        }
    }
    statuses.len() - 1
}

/// How a server takes bulk requests, if it is sent such.
fn bulk(random: &mut Random, is_bulk: bool) -> Bulk {
    match is_bulk.then(|| random.below(4)) {
        None | Some(2..) => Bulk::Taken,
        Some(1) => Bulk::AtMost(1 + usize::try_from(random.below(100)).unwrap()),
        Some(0) => Bulk::Status(404),
    }
}

fn with_bulk(mut command: Command, is_bulk: bool) -> Command {
    command.env("PREFACTOR_BULK", is_bulk.to_string());
    command
}

/// The numbers of the spans whose quality was recorded under this name, each as often as it was.
fn recorded(server: &Server, name: &str) -> Vec<u64> {
    let of_instances = server.instances.iter().flat_map(|instance| &instance.quality);
    let records = of_instances.filter(|(of, _)| of == name);
    let mut numbers: Vec<_> = records.map(|(_, payload)| payload["number"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

const TREES: &str = "SPANRING_TEST_TREES";
const TREES_SEED: &str = "SPANRING_TEST_TREES_SEED";
const TREES_TYPES: &str = "SPANRING_TEST_TREES_TYPES";
const TREES_COUNT: u64 = 10;
/// How many spans a tree has.
const TREE: u64 = 7;

/// Records trees of spans, some of them over several blocks, and waits to be killed with some open.
#[test]
fn an_agent_that_records_trees() {
    let Some(dir) = env::var_os(TREES).map(PathBuf::from) else { return };
    let spool = Spool::open(dir.join("spool")).service("shop").live(true).linger(Duration::from_millis(1));
    let _spool = spool.start().unwrap();
    let number_of = |name| env::var(name).unwrap().parse::<u64>().unwrap();
    let (mut random, types) = (Random(number_of(TREES_SEED)), number_of(TREES_TYPES));
    let mut recorded = 0_u64;
    let mut open = Vec::new();
    for _ in 0..TREES_COUNT {
        let mut spans = Vec::<(u64, spanring::Span)>::new();
        for _ in 0..TREE {
            let under = spans.get(usize::try_from(random.below(TREE)).unwrap()).or(spans.first());
            let builder = match under {
                Some((_, parent)) => parent.child("step"),
                None => spanring::span("step").root(),
            };
            let (number, under) = (recorded, under.map(|(number, _)| *number));
            let span = builder.start_with(|span| {
                span.set("number", number).set("under", under);
                if let Some(type_name) = type_of(number, TREES_COUNT * TREE, types) {
                    span.type_name(&type_name);
                }
            });
            spans.push((number, span));
            recorded += 1;
            fs::write(dir.join("recorded"), "").unwrap();
            thread::sleep(Duration::from_millis(random.below(6)));
        }
        while !spans.is_empty() {
            let (number, span) =
                spans.swap_remove(usize::try_from(random.below(spans.len() as u64)).unwrap());
            span.set("late", random.below(100));
            if let Some(name) = quality_of(number) {
                span.quality(name, &json!({ "number": number }));
            }
            match random.below(8) {
                0 => open.push(span),
                1 => drop(span.fail(std::io::Error::other("no"))),
                _ => drop(span.complete()),
            }
            thread::sleep(Duration::from_millis(random.below(6)));
        }
    }
    fs::write(dir.join("open"), open.len().to_string()).unwrap();
    fs::rename(dir.join("open"), dir.join("ready")).unwrap();
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

#[test]
fn whoever_is_killed_while_spans_are_shown_each_is_created_once_and_finished_once() {
    live_rounds(false);
}

#[test]
fn whoever_is_killed_while_spans_are_shown_each_is_created_and_finished_once_in_bulk() {
    live_rounds(true);
}

fn live_rounds(is_bulk: bool) {
    let first = setting("SPANRING_PREFACTOR_SEED", 1);
    let rounds = setting("SPANRING_PREFACTOR_ROUNDS", 10);
    let count = TREES_COUNT * TREE;
    let (mut kills, mut shown, mut bulks, mut versions) = (0, 0, 0, 0);
    for seed in first..first + rounds {
        let mut random = Random(seed);
        let spool = TestSpool::new();
        let types = random.below(6);
        // Where the server makes another instance of each version, in which of them a span is depends on what was shown before a kill: see `docs/to/prefactor.md`.
        let again = [Again::Version, Again::Nothing][usize::try_from(random.below(2)).unwrap()];
        let agent = Command::new(env::current_exe().unwrap())
            .args(["--exact", "rounds::an_agent_that_records_trees", "--nocapture"])
            .env(TREES, spool.path().parent().unwrap())
            .env(TREES_SEED, seed.to_string())
            .env(TREES_TYPES, types.to_string())
            .stdout(Stdio::null())
            .spawn();
        let agent = Running(agent.unwrap());
        agent::wait_until("the agent records", || spool.file("recorded").exists());
        let poisoned = (0..random.below(3)).map(|_| Some(random.below(count))).collect();
        let bulk = bulk(&mut random, is_bulk);
        let (_receiver, sink, server) =
            start(Server { random: Random(seed), fails: true, poisoned, again, bulk, ..Server::default() });
        let live = |spool: &TestSpool, sink: &str| with_bulk(live(spool, sink), is_bulk);
        for _ in 0..1 + random.below(4) {
            let mut command = live(&spool, &sink);
            let exporter = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let exporter = Running(exporter);
            thread::sleep(Duration::from_micros(random.below(600_000)));
            drop(exporter);
            kills += 1;
        }
        shown += server.lock().unwrap().spans.iter().filter(|span| span["status"] == "active").count();
        agent::wait_until("the agent has recorded", || spool.file("ready").exists());
        let open: usize = fs::read_to_string(spool.file("ready")).unwrap().parse().unwrap();
        drop(agent);
        server.lock().unwrap().fails = false;
        let output = live(&spool, &sink).args(["--once", "--json"]).output().unwrap();
        let server = server.lock().unwrap();
        assert_eq!(server.wrong, [""; 0], "seed {seed}");
        let status = i32::from(!server.poisoned.is_empty());
        assert_eq!(output.status.code(), Some(status), "seed {seed}: {output:?}");
        assert_eq!(spool.recorders(), [""; 0], "seed {seed}: all is delivered");
        assert_instances_and_types(&server, count, types, seed);
        let is_later = |answered: &&(String, Json, Json)| answered.0 == "agent_instance/register";
        versions += server.answered.values().filter(is_later).count() - 1;
        let mut created = BTreeMap::<_, usize>::new();
        server.spans.iter().for_each(|span| *created.entry(number(span)).or_default() += 1);
        let expected = (0..count).map(Some).filter(|number| !server.poisoned.contains(number));
        assert_eq!(created, expected.map(|number| (number, 1)).collect(), "seed {seed}");
        for span in &server.spans {
            assert_eq!(server.finished.get(span["id"].as_str().unwrap()), Some(&1), "seed {seed}: {span}");
            assert!(
                ["complete", "failed"].contains(&span["status"].as_str().unwrap()),
                "seed {seed}: {span}"
            );
        }
        if server.poisoned.is_empty() {
            for span in &server.spans {
                let parent = server.spans.iter().find(|parent| parent["id"] == span["parent_span_id"]);
                let under = span["payload"]["metadata"]["under"].as_u64();
                assert_eq!(parent.and_then(number), under, "seed {seed}: {span}");
            }
        }
        for name in ["accuracy", "tone"] {
            let is_there = |number: &u64| !server.poisoned.contains(&Some(*number));
            let expected = (0..count).filter(|number| quality_of(*number) == Some(name)).filter(is_there);
            assert_eq!(recorded(&server, name), expected.collect::<Vec<_>>(), "seed {seed}");
        }
        bulks += server.bulks.len();
        let interrupted = |span: &&Json| {
            let said = [&span["payload"], &span["result_payload"]];
            said.into_iter().any(|said| said["metadata"]["spanring.interrupted"] == true)
        };
        let aside = SpoolDir::open(spool.path()).unwrap().dead_letters();
        let aside = aside.names().unwrap().into_iter().map(|name| aside.read(&name).unwrap().unwrap().span);
        let aside: Vec<_> = aside.collect();
        let numbers = aside.iter().map(|span| span.get("number").and_then(|number| number.as_u64()));
        assert_eq!(numbers.collect::<BTreeSet<_>>(), server.poisoned, "seed {seed}");
        let interrupted = server.spans.iter().filter(interrupted).count();
        assert_eq!(interrupted + aside.iter().filter(|span| span.interrupted).count(), open, "seed {seed}");
        let late = |span: &&Json| {
            let said = [&span["payload"], &span["result_payload"]];
            said.into_iter().any(|said| said["metadata"]["late"].is_u64())
        };
        assert_eq!(server.spans.iter().filter(late).count(), server.spans.len(), "seed {seed}");
    }
    eprintln!(
        "{rounds} rounds, {kills} exporters killed, {shown} spans ran at the server when the last was, {bulks} bulk requests, {versions} later versions"
    );
    assert!(rounds < 10 || is_bulk == (bulks > 0), "{bulks} bulk requests");
    assert!(rounds < 10 || shown > 0, "no span was ever shown");
    assert!(rounds < 10 || versions > 0, "no type ever turned up");
}
