mod memory;

use std::collections::BTreeSet;

use proptest::prelude::*;
use spanring::{SpanId, TraceId};

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A row of a recorder.
#[derive(Clone, PartialEq, Debug)]
struct Row {
    trace: u8,
    span: u64,
    parent: Option<u64>,
    at: u64,
    is_start: bool,
}

fn data(row: &Row) -> SpanData {
    SpanData {
        trace_id: TraceId::from_bytes([row.trace + 1; 16]),
        span_id: id(row.span),
        parent_id: row.parent.map(id),
        start_unix_ns: row.at,
        end_unix_ns: row.at,
        is_open: row.is_start,
        ..SpanData::default()
    }
}

fn id(number: u64) -> SpanId {
    SpanId::from_bytes((number + 1).to_le_bytes())
}

fn place(block: usize) -> Position {
    Position { segment: 1, offset: block as u64 * 8, next_sequence: block as u64 }
}

/// Notes a block; what was over before it, as it tells.
fn note(traces: &mut Traces, number: usize, rows: &[Row]) -> Vec<Over> {
    let of = |is_start| -> Vec<_> { rows.iter().filter(|row| row.is_start == is_start).map(data).collect() };
    traces.make_room();
    let over = traces.take_before(&of(false), &of(true));
    traces.note(0, [place(number), place(number + 1)], &of(false), &of(true), 0);
    over
}

/// Where to read on after so many blocks, and what time it is there.
fn mark(traces: &Traces, read: usize) -> Mark {
    let (clock, endless) = traces.now();
    traces.watermark(0, Mark { position: place(read), clock, endless })
}

/// Where to read on after so many blocks.
fn watermark(traces: &Traces, read: usize) -> usize {
    usize::try_from(mark(traces, read).position.offset / 8).unwrap()
}

fn start(trace: u8, span: u64, at: u64) -> Row {
    Row { trace, span, parent: None, at, is_start: true }
}

fn end(trace: u8, span: u64, parent: Option<u64>, at: u64) -> Row {
    Row { trace, span, parent, at, is_start: false }
}

/// The traces that are taken at each block, as numbers.
fn taken(blocks: &[Vec<Row>]) -> Vec<Vec<u8>> {
    let mut traces = Traces::default();
    let take = |(number, rows): (usize, &Vec<Row>)| {
        let mut over = note(&mut traces, number, rows);
        over.extend(traces.take_over());
        traces.done(&over);
        over.iter().map(|over| over.trace_id.to_bytes()[0] - 1).collect()
    };
    blocks.iter().enumerate().map(take).collect()
}

#[test]
fn a_trace_is_over_when_what_was_announced_has_ended_and_nothing_came_for_two_seconds() {
    let later = |at| vec![end(9, 90, None, at)];
    // The child of a root that is open for an hour is waited for; the trace of another is not.
    let blocks = [
        vec![start(0, 0, 0), end(0, 1, Some(0), SECOND)],
        vec![start(1, 10, 2 * SECOND), end(1, 10, None, 3 * SECOND)],
        later(5 * SECOND - 1),
        later(5 * SECOND),
        vec![end(0, 0, None, 3600 * SECOND)],
        later(3602 * SECOND),
    ];
    let expected: [&[u8]; 6] = [&[], &[], &[], &[1], &[9], &[0]];
    assert_eq!(taken(&blocks), expected);
    // Not with the block that brought its last row, however late that is.
    let late = [vec![end(0, 0, None, 0), end(1, 1, None, 3600 * SECOND)], later(3600 * SECOND)];
    assert_eq!(taken(&late), [vec![], vec![0]]);
}

#[test]
fn a_child_of_another_process_is_waited_for_where_it_was_announced() {
    let blocks = [vec![start(0, 1, 0), end(0, 1, Some(0), SECOND)], vec![end(9, 90, None, 4 * SECOND)]];
    assert_eq!(taken(&blocks), [vec![], vec![0]]);
    // Also where its end was drained before its announcement.
    let swapped =
        [vec![end(0, 1, Some(0), SECOND)], vec![start(0, 1, 0)], vec![end(9, 90, None, 4 * SECOND)]];
    assert_eq!(taken(&swapped), [vec![], vec![], vec![0]]);
}

#[test]
fn an_announcement_finds_its_end_among_however_many_of_its_trace() {
    const SPANS: u64 = 40_000;
    let ends: Vec<_> = (0..SPANS).map(|span| end(0, span, None, SECOND)).collect();
    let starts: Vec<_> = (0..SPANS).map(|span| start(0, span, 0)).collect();
    let later = vec![end(9, SPANS, None, 4 * SECOND)];
    // In its own block, and in the one before.
    assert_eq!(taken(&[[ends.clone(), starts.clone()].concat(), later.clone()]), [vec![], vec![0]]);
    assert_eq!(taken(&[ends, starts, later]), [vec![], vec![], vec![0]]);
}

#[test]
fn the_watermark_stands_before_the_first_row_of_a_trace_that_is_not_done() {
    let mut traces = Traces::default();
    let blocks = [
        vec![end(8, 80, None, 0)],
        vec![start(0, 0, 0)],
        vec![end(7, 70, None, 5 * SECOND), end(0, 1, Some(0), 5 * SECOND)],
        vec![end(0, 0, None, 6 * SECOND)],
        vec![end(6, 60, None, 9 * SECOND)],
    ];
    let mut marks = Vec::new();
    for (number, rows) in blocks.iter().enumerate() {
        let mut over = note(&mut traces, number, rows);
        over.extend(traces.take_over());
        marks.push(watermark(&traces, number + 1));
        traces.done(&over);
        marks.push(watermark(&traces, number + 1));
    }
    // Before and after the sink is done with what is over.
    assert_eq!(marks, [0, 0, 0, 0, 0, 1, 1, 1, 1, 4]);
    let over = traces.take_quiet();
    traces.done(&over);
    assert_eq!((watermark(&traces, 5), traces.len()), (5, 0));
}

/// Blocks of random rows, in which time goes forward by up to three seconds a block, with some rows that come late. A span may be announced,
/// at the latest with the block behind the one in which it ends, and may never end.
fn blocks() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let step = proptest::collection::vec(0..3 * SECOND, 12);
    // Some say that they end in a day.
    let late =
        prop_oneof![9 => (0..3 * SECOND).prop_map(|late| (late, 0)), 1 => Just((0, 24 * 3600 * SECOND))];
    let span = (0..4_u8, 0..12_usize, 0..6_usize, any::<Option<bool>>(), any::<bool>(), late);
    (step, proptest::collection::vec(span, 0..24)).prop_map(|(steps, spans)| {
        let mut blocks = vec![Vec::new(); steps.len()];
        let times: Vec<u64> =
            (0..steps.len()).map(|to| 10 * SECOND + steps[..=to].iter().sum::<u64>()).collect();
        for (number, (trace, from, length, announced, is_root, (late, early))) in
            spans.into_iter().enumerate()
        {
            let (number, to) = (number as u64, from + length);
            let parent = (!is_root).then_some(1000);
            let at = |block: usize| times[block.min(11)].saturating_sub(late) + early;
            let row = |is_start, at| Row { trace, span: number, parent, at, is_start };
            if let Some(is_swapped) = announced {
                let block = if is_swapped && to < 11 { to + 1 } else { from };
                blocks[block].push(row(true, at(from)));
            }
            if to < 12 {
                blocks[to].push(row(false, at(to)));
            }
        }
        blocks
    })
}

/// The places of rows, as block and number among the ends.
type Ends = BTreeSet<(usize, usize)>;

/// As they are read again: of each place all blocks, and of each block what is of the trace and stands behind where that begins.
fn ends_of(traces: &Traces, blocks: &[Vec<Row>], over: &[Over], first: usize) -> Ends {
    let mut ends = Ends::new();
    for over in over {
        let mut found = Ends::new();
        for share in over.shares.iter().filter(|share| share.spans > 0) {
            let held = traces.block(share.block).expect("T1");
            for block in held.first..=held.last() {
                let block = first + usize::try_from(block).unwrap();
                let rows = blocks[block].iter().filter(|row| !row.is_start).enumerate();
                let of_trace = rows.filter(|(_, row)| data(row).trace_id == over.trace_id);
                let of_trace = of_trace.filter(|_| over.begins < (0, place(block + 1)));
                found.extend(of_trace.map(|(number, _)| (block, number)));
            }
        }
        assert_eq!(found.len(), over.len(), "each of its spans is found, and no other of that identity");
        ends.extend(found);
    }
    ends
}

proptest! {
    #[test]
    fn a_run_that_ends_anywhere_and_another_behind_it_leave_out_nothing(
        blocks in blocks(),
        quiet in proptest::collection::vec(any::<bool>(), 12),
        cut in 0..=12_usize,
        places in prop_oneof![Just(usize::MAX / 2), 1..4_usize],
    ) {
        // The first run takes what is over, and what is quiet where nothing comes for a while, and is cut behind a block.
        let mut traces = Traces::default().with_places(places, 1);
        let mut delivered = Ends::new();
        let mut is_settled = false;
        for (number, rows) in blocks[..cut].iter().enumerate() {
            let mut over = note(&mut traces, number, rows);
            over.extend(traces.take_over());
            // An announcement that is behind the end of its span comes with the next block, and at once.
            let is_split = |row: &Row| {
                row.is_start && rows.iter().any(|end| !end.is_start && (end.trace, end.span) == (row.trace, row.span))
            };
            is_settled = quiet[number] && !blocks.get(number + 1).is_some_and(|next| next.iter().any(is_split));
            if is_settled {
                over.extend(traces.take_quiet());
            }
            let new = ends_of(&traces, &blocks, &over, 0);
            prop_assert!(delivered.is_disjoint(&new), "nothing is taken twice");
            delivered.extend(new);
            traces.done(&over);
        }
        let from = watermark(&traces, cut);
        let clock = mark(&traces, cut).clock;
        for (block, rows) in blocks.iter().enumerate().take(from) {
            let ends = rows.iter().filter(|row| !row.is_start).count();
            prop_assert!((0..ends).all(|number| delivered.contains(&(block, number))), "passed over");
        }
        // The second leaves out what the first had taken.
        let mut traces = Traces::at(clock, 0).with_places(places, 1);
        let mut delivered_again = 0;
        for (number, rows) in blocks.iter().enumerate().skip(from) {
            if number == cut && is_settled {
                let over = traces.take_quiet();
                traces.done(&over);
            }
            let mut over = note(&mut traces, number, rows);
            over.extend(traces.take_over());
            if number >= cut {
                let new = ends_of(&traces, &blocks, &over, from);
                delivered_again += new.intersection(&delivered).count();
                delivered.extend(new);
            }
            traces.done(&over);
        }
        let over = traces.take_all();
        let new = ends_of(&traces, &blocks, &over, from);
        delivered_again += new.intersection(&delivered).count();
        delivered.extend(new);
        let is_quiet = quiet[..cut].iter().any(|&is_quiet| is_quiet);
        prop_assert!(delivered_again == 0 || is_quiet, "{} spans are delivered twice", delivered_again);
        traces.done(&over);
        prop_assert_eq!(watermark(&traces, blocks.len()), blocks.len());
        let all: usize = blocks.iter().map(|rows| rows.iter().filter(|row| !row.is_start).count()).sum();
        prop_assert_eq!(delivered.len(), all);
    }
}

#[test]
fn a_span_that_claims_to_end_in_a_year_moves_the_time_by_an_hour() {
    const HOUR: u64 = 3600 * SECOND;
    let mut traces = Traces::at(SECOND, 0);
    note(&mut traces, 0, &[start(0, 0, SECOND), end(1, 1, None, 365 * 24 * HOUR)]);
    assert_eq!(mark(&traces, 1).clock, SECOND);
    note(&mut traces, 1, &[end(2, 2, None, 2 * SECOND)]);
    let over = traces.take_over();
    assert!(over.is_empty(), "the time has not passed by which it ended: {over:?}");
    let over = note(&mut traces, 2, &[end(3, 3, None, HOUR + 3 * SECOND)]);
    let over: Vec<_> = over.iter().map(|over| over.trace_id.to_bytes()[0] - 1).collect();
    assert_eq!(over, [1, 2]);
}

#[test]
fn a_block_that_begins_seconds_later_tells_that_nothing_came() {
    let blocks = [
        vec![start(0, 0, 0), end(1, 1, None, SECOND)],
        // The same trace goes on, and not before three seconds later: that is another piece of it.
        vec![end(1, 2, None, 4 * SECOND)],
        vec![end(1, 3, None, 5 * SECOND)],
    ];
    assert_eq!(taken(&blocks), [vec![], vec![1], vec![]]);
}

#[test]
fn the_watermark_does_not_part_an_end_from_its_announcement() {
    let mut traces = Traces::default();
    let blocks = [
        vec![end(0, 0, None, SECOND)],
        vec![start(0, 0, 0), start(1, 1, 5 * SECOND)],
        vec![end(2, 2, None, 6 * SECOND)],
    ];
    for (number, rows) in blocks.iter().enumerate() {
        let mut over = note(&mut traces, number, rows);
        over.extend(traces.take_over());
        traces.done(&over);
    }
    assert_eq!(watermark(&traces, 3), 0, "else the announcement would wait for an end that was read");
}

#[test]
fn a_trace_whose_end_may_have_been_dropped_is_waited_for_for_ten_minutes() {
    const MINUTE: u64 = 60 * SECOND;
    let mut traces = Traces::at(SECOND, 3);
    let mut note = |number, rows: &[Row], dropped| {
        let of =
            |is_start| -> Vec<_> { rows.iter().filter(|row| row.is_start == is_start).map(data).collect() };
        let mut over = traces.take_before(&of(false), &of(true));
        traces.note(0, [place(number), place(number + 1)], &of(false), &of(true), dropped);
        over.extend(traces.take_over());
        over.iter().map(|over| over.trace_id.to_bytes()[0] - 1).collect::<Vec<_>>()
    };
    // Two that are open, and behind the first something is dropped.
    assert_eq!(note(0, &[start(0, 0, SECOND)], 3), [0; 0]);
    assert_eq!(note(1, &[start(1, 1, MINUTE)], 4), [0; 0]);
    assert_eq!(note(2, &[end(0, 2, Some(0), 2 * MINUTE)], 4), [0; 0]);
    assert_eq!(note(3, &[start(2, 3, 12 * MINUTE - 1)], 4), [1], "it may have been that one");
    assert_eq!(note(4, &[start(3, 4, 12 * MINUTE)], 4), [0]);
    assert_eq!(note(5, &[start(4, 5, 60 * MINUTE)], 4), [0; 0], "nothing was dropped since");
    assert_eq!(note(6, &[start(5, 6, 61 * MINUTE)], 5), [2, 3]);
}

#[test]
fn an_end_counts_as_lost_only_where_nothing_more_will_come() {
    let mut traces = Traces::at(SECOND, 0).keeping_starts(true);
    let announced: Vec<_> = [start(0, 0, SECOND), start(1, 1, SECOND)].iter().map(data).collect();
    traces.note(0, [place(0), place(1)], &[], &announced, 0);
    // Something was dropped, and nothing of the first comes for ten minutes: it may yet end.
    let later: Vec<_> = [end(1, 2, Some(1), 700 * SECOND)].iter().map(data).collect();
    traces.note(0, [place(1), place(2)], &later, &[], 1);
    let over = traces.take_over();
    assert_eq!((over.len(), over[0].lost.len()), (1, 0));
    let all = traces.take_all();
    assert_eq!((all.len(), all[0].lost.len()), (1, 1));
}

#[test]
fn the_watermark_reaches_back_over_as_many_blocks_as_ends_and_announcements_are_parted_by() {
    let mut traces = Traces::default();
    let blocks = [
        vec![end(0, 0, None, SECOND)],
        vec![end(1, 1, None, SECOND)],
        // That of a span which ended two blocks before, and the end of one that is announced two blocks later.
        vec![start(0, 0, 0), end(2, 2, None, SECOND)],
        vec![end(3, 3, None, SECOND)],
        vec![start(2, 2, 0), start(4, 4, 5 * SECOND)],
        vec![end(5, 5, None, 9 * SECOND)],
    ];
    for (number, rows) in blocks.iter().enumerate() {
        let mut over = note(&mut traces, number, rows);
        over.extend(traces.take_over());
        traces.done(&over);
    }
    assert_eq!((watermark(&traces, 6), traces.len()), (0, 2));
}

#[test]
fn the_watermark_does_not_part_an_end_from_its_announcement_that_the_sink_is_done_with() {
    let mut traces = Traces::default();
    let blocks = [
        vec![end(0, 0, None, SECOND)],
        // Open for long, and what is to be read again because of it.
        vec![start(1, 1, SECOND)],
        vec![start(0, 0, 0)],
        vec![end(2, 2, None, 6 * SECOND)],
        vec![end(3, 3, None, 9 * SECOND)],
    ];
    for (number, rows) in blocks.iter().enumerate() {
        let mut over = note(&mut traces, number, rows);
        over.extend(traces.take_over());
        traces.done(&over);
    }
    assert_eq!((watermark(&traces, 5), traces.len()), (0, 2));
}

#[test]
fn blocks_share_a_place_where_there_are_many_and_few_rows_of_them_are_waited_for() {
    let rows = |count: u64, number: usize| -> Vec<_> {
        (0..count).map(|row| end(0, number as u64 * 10_000 + row, Some(0), SECOND)).collect()
    };
    let read_late = |sizes: &[u64], fence: usize, late: usize| {
        let mut traces = Traces::default().with_places(2, 1).parted_at(vec![place(fence)]);
        note(&mut traces, 0, &[start(0, 0, 0)]);
        for (number, size) in (1..).zip(sizes) {
            let rows: Vec<_> = rows(*size, number).iter().map(data).collect();
            let at = |number| match number == late + 1 {
                true => Position { next_sequence: 1, ..place(number) },
                false => place(number),
            };
            traces.note(0, [at(number), at(number + 1)], &rows, &[], 0);
        }
        traces.make_room();
        let firsts = (0..=sizes.len() as u64).map(|number| traces.place(number));
        firsts.collect::<Vec<_>>()
    };
    let read = |sizes: &[u64], fence| read_late(sizes, fence, usize::MAX - 1);
    // The newest stands alone.
    assert_eq!(read(&[1, 1, 1, 1], 0), [0, 0, 0, 0, 4]);
    assert_eq!(read(&[1, 1, 1, 1], 2), [0, 0, 2, 2, 4], "what is on both sides of a fence does not");
    assert_eq!(read(&[1, 600, 600, 1], 0), [0, 0, 0, 3, 4], "what has many rows does not");
    let late = read_late(&[1; 6], 0, 3);
    assert_eq!(late, [0, 0, 0, 3, 4, 4, 6], "what came late does not");
}
