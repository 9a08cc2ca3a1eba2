//! The files of a recorder, read as recovery reads them: without trust, and without help from the process.

use std::sync::OnceLock;

use proptest::prelude::*;
use spanring::image::{ControlImage, Image};
use spanring::record::Body;
use spanring::{Ended, Kind, Overflow, Span, span, span_named};

use crate::flight::{Files, Flight, Plan, Value};

/// Where a lane file's cells and ring begin, as its format says.
const CELLS_AT: usize = 4096;
const CELL_LEN: usize = 1024;
const RING_AT: usize = CELLS_AT + 256 * CELL_LEN;
const RING_BYTES: usize = 1 << 16;
const ENDING: u64 = 2;
const DROPPED: u64 = 3;

fn plan() -> Plan {
    Plan { ring_bytes: RING_BYTES, lanes: 3, tables: 2, in_files: true, ..Plan::default() }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn put(bytes: &mut [u8], at: usize, word: u64) {
    bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

/// Where the first cell of a lane in this stage is.
fn cell_in(lane: &[u8], stage: u64) -> usize {
    (0..256).map(|cell| CELLS_AT + cell * CELL_LEN).find(|&at| word(lane, at) & 0xff == stage).unwrap()
}

#[test]
fn files_tell_what_is_in_flight_and_what_was_published_at_any_moment() {
    let mut flight = Flight::start(plan());
    let mut open: Vec<Span> = Vec::new();
    let mut ended = Vec::new();
    for round in 0..300_u64 {
        let span = span_named(&format!("round {}", round % 7)).kind(Kind::Agent).start();
        span.set("round", round);
        if round % 5 == 0 {
            span.set("long", "l".repeat(usize::try_from(round).unwrap() * 10));
        }
        span.event_with("event", |event| event.set("n", round));
        open.push(span);
        if round % 3 == 0 {
            let span = open.swap_remove(usize::try_from(round).unwrap() / 2 % open.len());
            let id = span.context().span_id();
            assert_eq!(span.end(), Ended::Recorded);
            ended.push(id);
        }
        if round % 50 == 49 {
            let files = flight.files();
            let in_flight = files.in_flight();
            let ids: Vec<_> = open.iter().map(|span| span.context().span_id()).collect();
            assert_eq!(in_flight.len(), ids.len());
            assert!(ids.iter().all(|id| in_flight.contains_key(id)));
            assert!(in_flight.values().all(|seen| {
                let Some(Value::U64(round)) = seen.get("round") else { return false };
                seen.name == format!("round {}", round % 7)
                    && seen.events[0].attributes[0].value == Value::U64(*round)
            }));
            let published: Vec<_> = files.published().iter().map(|seen| seen.span_id).collect();
            assert_eq!(published, ended);
            assert_eq!(files.image().tables().started, round + 1);
            flight.drain();
            ended.clear();
            assert_eq!(flight.files().published(), []);
        }
    }
}

#[test]
fn values_count_from_the_moment_their_call_returns_and_an_event_as_a_whole() {
    let flight = Flight::start(plan());
    let open = span("grows").start();
    let id = open.context().span_id();
    let seen = || flight.files().in_flight().remove(&id).unwrap();
    assert_eq!(seen().attributes, []);
    open.set("first", 1);
    assert_eq!(seen().attributes.len(), 1);
    open.set_value("second", &"x".repeat(5_000));
    assert_eq!(seen().attributes.len(), 2);
    open.event_with("event", |event| {
        event.set("a", 1);
        event.set_value("b", &"x".repeat(3_000));
        assert_eq!(seen().events, []);
    });
    assert_eq!(seen().events[0].attributes.len(), 2);
    open.error("reason");
    assert_eq!((seen().message.as_deref(), seen().status), (Some("reason"), spanring::Status::Error));
}

#[test]
fn a_span_that_was_ending_had_ended_if_its_record_was_published() {
    let flight = Flight::start(plan());
    drop(span("earlier").start());
    let open = span("ending").start();
    let mut files = flight.files();
    let lane = (1..3).find(|&lane| word(&files.lanes[lane], 128) > 0).unwrap();
    let at = cell_in(&files.lanes[lane], 1);
    let tail = word(&files.lanes[lane], 128);
    let state = word(&files.lanes[lane], at);
    let ending = state & !0xff | ENDING | (lane as u64) << 16;

    for (position, is_in_flight) in
        [(tail, true), (tail + 8, true), (u64::MAX, true), (tail - 8, false), (0, false)]
    {
        put(&mut files.lanes[lane], at, ending);
        put(&mut files.lanes[lane], at + 8, position);
        assert_eq!(files.in_flight().len(), usize::from(is_in_flight), "position {position}, tail {tail}");
    }
    // The ring that counts is the one that the state names.
    put(&mut files.lanes[lane], at, state & !0xff | ENDING);
    put(&mut files.lanes[lane], at + 8, tail - 8);
    assert_eq!(files.in_flight().len(), 1);
    drop(open);
}

#[test]
fn a_span_that_was_being_dropped_counts_once_whenever_the_process_died() {
    let flight = Flight::start(Plan { ring_bytes: 4 << 10, lanes: 2, ..plan() });
    while span("fills the ring").start().end() == Ended::Recorded {}
    let open = span("being dropped").start();
    let mut files = flight.files();
    let at = cell_in(&files.lanes[1], 1);
    assert_eq!(files.image().tables().dropped_ring_full, 1);
    let state = word(&files.lanes[1], at);
    put(&mut files.lanes[1], at, state & !0xff | DROPPED | 1 << 16);
    for (count, total) in [(1, 1), (2, 2), (3, 1), (u64::MAX, 1)] {
        put(&mut files.lanes[1], at + 8, count);
        let report = files.image().tables();
        assert_eq!((report.dropped_ring_full, report.in_flight.len()), (total, 0), "count {count}");
    }
    drop(open);
}

#[test]
fn a_span_whose_cell_was_not_yet_published_did_not_start() {
    let flight = Flight::start(plan());
    let open: Vec<_> = (0..3).map(|_| span("open").start()).collect();
    let mut files = flight.files();
    let lane = (1..3).find(|&lane| word(&files.lanes[lane], 144) > 0).unwrap();
    assert_eq!((files.image().tables().started, word(&files.lanes[lane], 144)), (3, 3));
    // The counter may be one behind.
    put(&mut files.lanes[lane], 144, 2);
    assert_eq!(files.image().tables().started, 3);
    // A cell that was free held nothing but an ordinal.
    put(&mut files.lanes[lane], 144, 3);
    let free = cell_in(&files.lanes[lane], 0);
    put(&mut files.lanes[lane], free + 16, 4);
    let report = files.image().tables();
    assert_eq!((report.started, report.in_flight.len()), (3, 3));
    drop(open);
}

#[test]
fn a_control_page_tells_the_clock_and_the_counters() {
    let mut flight = Flight::start(Plan { lanes: 1, ..plan() });
    assert_eq!(ControlImage::parse(&flight.files().control).unwrap().timeline, None);
    let (anchor, timeline) = spanring::clock::Timeline::measure();
    for _ in 0..3 {
        flight.consumer.store_anchor(&anchor, &timeline);
    }
    flight.consumer.mark_alive();
    let control = ControlImage::parse(&flight.files().control).unwrap();
    assert_eq!(control.timeline, Some(timeline));
    assert!(control.alive >= anchor.ticks);
    let control = flight.files().control;
    for cut in 0..control.len() {
        assert!(ControlImage::parse(&control[..cut]).is_err());
    }
}

/// Files of a recorder in the middle of its work: open spans in lanes and tables, some with long chains, and full rings.
fn busy_files() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut flight = Flight::start(Plan { overflow: Overflow::Drop, ..plan() });
        let mut open = Vec::new();
        for round in 0..600_usize {
            let span = span("busy").start();
            span.set("round", round);
            span.set("text", "t".repeat(round * 37 % 3_000));
            open.push(span);
            if round % 2 == 0 {
                drop(open.swap_remove(round % open.len()));
            }
            if round == 500 {
                flight.drain();
            }
        }
        let files = flight.files();
        assert_eq!(files.in_flight().len(), open.iter().filter(|span| span.is_recording()).count());
        files
    })
}

/// Reads everything that can be read, and says how many bytes came of it.
fn read_all(files: &Files) -> usize {
    let mut image = Image::default();
    let lanes = files.lanes.iter().filter(|lane| image.add_lane(lane).is_ok()).count();
    let tables = files.tables.iter().filter(|table| image.add_table(table).is_ok()).count();
    let mut read = lanes + tables;
    let report = image.tables();
    for in_flight in &report.in_flight {
        read += in_flight.body.len();
        if let Ok(body) = Body::parse(&in_flight.body) {
            read += body.entries().count();
        }
    }
    for lane in image.lanes() {
        for from in [0, 8, lane.released().0, lane.tail().wrapping_sub(RING_BYTES as u64), lane.tail()] {
            let mut records = lane.records(from);
            let mut errors = 0;
            for record in &mut records {
                match record {
                    Ok((_, position)) => assert!(position <= lane.tail()),
                    Err(_) => errors += 1,
                }
                read += 24;
            }
            assert!(errors <= 1 && (errors == 1 || records.unread() == 0));
        }
    }
    read
}

fn bound(files: &Files) -> usize {
    10 * files.lanes.iter().chain(&files.tables).map(Vec::len).sum::<usize>()
}

#[test]
fn files_cut_at_any_length_are_read_without_harm() {
    let files = busy_files();
    assert!(read_all(files) > 0);
    let lens = (0..256).chain((256..files.lanes[1].len()).step_by(4_093)).chain(RING_AT - 9..RING_AT + 9);
    for len in lens {
        let mut cut = files.clone();
        cut.lanes[1].truncate(len);
        read_all(&cut);
        cut.lanes[2].truncate(len);
        cut.tables[0].truncate(len);
        read_all(&cut);
    }
}

#[test]
fn a_chain_that_runs_in_a_circle_is_read_once_at_most() {
    let mut files = busy_files().clone();
    let mut circles = 0_u64;
    for (number, lane) in files.lanes.iter_mut().enumerate() {
        for cell in 0..256_u64 {
            let at = CELLS_AT + usize::try_from(cell).unwrap() * CELL_LEN;
            // Every cell claims a body as long as can be, and goes on in itself.
            put(lane, at, 1 | ((RING_BYTES / 4) as u64) << 32);
            put(lane, at + 24, (number as u64) << 32 | (cell + 1));
            circles += 1;
        }
    }
    let report = files.image().tables();
    let read: usize = report.in_flight.iter().map(|in_flight| in_flight.body.len()).sum();
    assert!(read <= files.lanes.iter().chain(&files.tables).map(Vec::len).sum());
    assert!(report.malformed > 0 && report.in_flight.len() as u64 + report.malformed >= circles);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_read_without_harm(
        damage in prop::collection::vec((0_usize..5, any::<prop::sample::Index>(), any::<u64>(), 0_u8..4), 1..60),
    ) {
        let mut files = busy_files().clone();
        for (file, at, value, how) in damage {
            let bytes = match file {
                0..3 => &mut files.lanes[file],
                _ => &mut files.tables[file - 3],
            };
            // Headers, the words of cells and the ring's records are hit more often than contents.
            let at = match how {
                0 => at.index(320) & !7,
                1 => CELLS_AT + at.index(256) * CELL_LEN + (value % 5) as usize * 8,
                _ => at.index(bytes.len() - 8) & !7,
            };
            let old = word(bytes, at);
            let new = match value % 4 {
                0 => old ^ (1 << ((value >> 8) % 64)),
                1 => old.wrapping_add(value >> 32),
                2 => value,
                _ => [0, 1, u64::MAX, 1 << 63][(value >> 8) as usize % 4],
            };
            put(bytes, at, new);
        }
        prop_assert!(read_all(&files) <= bound(&files));
    }
}
