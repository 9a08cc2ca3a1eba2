//! Several requests at the same time, to receivers that are slow, fail, or say nothing.

mod agent;

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};

use self::agent::{Arrived, TestSpool, wait_until};

/// More than 30 batches.
const COUNT: u64 = 16_000;
/// How many requests are on their way at once.
const AT_ONCE: usize = 8;
const DELAY: Duration = Duration::from_millis(400);

#[test]
fn a_recording_process() {
    agent::main();
}

fn spool() -> TestSpool {
    let spool = TestSpool::new();
    spool.record_in_large_blocks(0, COUNT);
    spool
}

/// When requests came, and with which body.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Requests>>);

type Requests = Vec<(Instant, Vec<u8>)>;

impl Asked {
    /// A receiver that answers the request of this number as `answer` says, and keeps what it answered by 200.
    fn by(&self, answer: impl Fn(usize) -> Answer + Send + 'static) -> (Receiver, String, Arrived) {
        let (asked, arrived) = (self.clone(), Arrived::default());
        let kept = arrived.clone();
        let receiver = Receiver::start(move |Received { body, .. }| {
            let mut asked = asked.0.lock().unwrap();
            let answer = answer(asked.len());
            if answer.status == 200 {
                kept.add(&body);
            }
            asked.push((Instant::now(), body));
            answer
        });
        let receiver = receiver.unwrap();
        let sink = format!("otlp+http://{}", receiver.address());
        (receiver, sink, arrived)
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// How many came within so long at most: as many were on their way at once, if none is answered sooner.
    fn most_within(&self, time: Duration) -> usize {
        let asked = self.0.lock().unwrap();
        let within = |from: Instant| asked.iter().filter(|(at, _)| (from..from + time).contains(at)).count();
        asked.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
    }
}

fn after(delay: Duration, status: u16) -> Answer {
    Answer { delay, ..Answer::status(status) }
}

#[test]
fn a_receiver_that_answers_slowly_gets_several_requests_at_once_and_each_span_once() {
    let spool = spool();
    let asked = Asked::default();
    let (_receiver, sink, arrived) = asked.by(|_| after(DELAY, 200));
    let began = Instant::now();
    let (status, report, said) = spool.export_once(&[&sink]);
    assert_eq!(status, 0, "{said}");
    arrived.assert_each_once(COUNT);
    let sink = &report["sinks"][0];
    assert_eq!((&sink["requests"], &sink["retries"]), (&asked.len().into(), &0.into()), "{report}");
    assert_eq!(sink["delivered"], COUNT + 1, "{report}");
    assert_eq!(asked.most_within(DELAY), AT_ONCE);
    let one_by_one = DELAY * u32::try_from(asked.len()).unwrap();
    assert!(began.elapsed() < one_by_one / 2, "{:?} of {one_by_one:?}", began.elapsed());
}

#[test]
fn a_receiver_that_fails_is_asked_by_one_request_at_a_time() {
    let spool = spool();
    for taken in [0, 9] {
        let asked = Asked::default();
        let (_receiver, sink, _) =
            asked.by(move |number| after(DELAY, if number < taken { 200 } else { 503 }));
        let (status, report, said) = spool.export_once(&[&sink]);
        assert_eq!(status, 1, "{report} {said}");
        let asked = asked.0.lock().unwrap().clone();
        // What was on its way when the first failed, and what came again after that.
        let (mut wave, mut probes) = (BTreeMap::new(), Vec::new());
        for (at, body) in &asked[taken..] {
            match wave.contains_key(body) {
                true => probes.push((*at, body)),
                false => drop(wave.insert(body, *at)),
            }
        }
        assert!(wave.len() <= if taken == 0 { 1 } else { AT_ONCE }, "{} after {taken}", wave.len());
        let (first, last) = (asked[taken].1.as_slice(), wave.into_values().max().unwrap());
        let came: Vec<_> = iter::once(last).chain(probes.iter().map(|(at, _)| *at)).collect();
        assert!(came.len() > 1 && came.is_sorted_by(|one, next| *next >= *one + DELAY), "{came:?}");
        assert!(probes.iter().all(|(_, body)| *body == first), "another one was sent before it was taken");
    }
}

#[test]
fn a_stop_abandons_all_requests_that_are_on_their_way_and_no_span_is_lost() {
    const TAKEN: usize = 3;
    let spool = spool();
    let asked = Asked::default();
    let (receiver, sink, _) = asked.by(|number| {
        let silence = Duration::from_secs(3600);
        after(if number < TAKEN { Duration::ZERO } else { silence }, 200)
    });
    let mut exporter = spool.export(&[&sink]);
    let exporter = exporter.args(["--stop-deadline", "1s", "--json"]);
    let exporter = exporter.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut before = 0;
    wait_until("no more comes", || {
        thread::sleep(DELAY);
        std::mem::replace(&mut before, asked.len()) == asked.len() && before > TAKEN
    });
    // Fewer than there may be only at the end of a block.
    let in_flight = asked.len() - TAKEN;

    assert!((2..=AT_ONCE).contains(&in_flight), "{in_flight}");
    kill_process(Pid::from_child(&exporter), Signal::TERM).unwrap();
    let told = Instant::now();
    let output = exporter.wait_with_output().unwrap();
    assert!((Duration::from_secs(1)..Duration::from_secs(20)).contains(&told.elapsed()), "{output:?}");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("did not answer in the time").count(), in_flight, "{said}");
    assert_eq!(asked.len(), TAKEN + in_flight);
    drop(receiver);

    let again = Asked::default();
    let (_receiver, sink, arrived) = again.by(|_| Answer::status(200));
    let (status, _, said) = spool.export_once(&[&sink]);
    assert_eq!(status, 0, "{said}");
    arrived.assert_each_once(COUNT);
    let bodies = |asked: &Asked| asked.0.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
    let (first, again): (BTreeSet<_>, BTreeSet<_>) = (bodies(&asked), bodies(&again));
    assert!(first.is_subset(&again), "the batches were other ones");
}
