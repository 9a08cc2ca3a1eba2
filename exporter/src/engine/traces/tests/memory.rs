//! What is in memory of traces that are open for days, as it is counted.

use super::*;

/// What the rows of a block take 10 of a second.
const STEP: u64 = SECOND / 10;

/// A trace of its own: a root and its child, of one block.
fn other(number: u64) -> Vec<SpanData> {
    let at = SECOND + number * STEP;
    let span = |id, parent: Option<SpanId>| SpanData {
        trace_id: TraceId::from_bytes([number.to_le_bytes(), [1; 8]].concat().try_into().unwrap()),
        span_id: SpanId::from_bytes(id),
        parent_id: parent,
        end_unix_ns: at,
        ..SpanData::default()
    };
    let root = span([number.to_le_bytes()[0] | 1; 8], None);
    let child = span([2; 8], Some(root.span_id));
    vec![child, root]
}

/// The root of a process, when it starts.
fn root() -> SpanData {
    data(&start(0, 0, SECOND))
}

/// Reads a block; how many spans are over by it.
fn read(traces: &mut Traces, number: u64, spans: &[SpanData], starts: &[SpanData]) -> usize {
    let block = usize::try_from(number).unwrap();
    let over = traces.read_rows(0, [place(block), place(block + 1)], spans, starts, 0);
    traces.done(&over);
    over.iter().map(Over::len).sum()
}

/// How many places are held, and about how many bytes all that is known takes.
fn footprint(traces: &Traces) -> (usize, usize) {
    let (places, mut bytes) = traces.blocks.footprint();
    // A table has an entry for each, and a byte, and is at least 7/16 full.
    let table = |len: usize, entry: usize| len * (entry + 1) * 16 / 7;
    for open in traces.open.values() {
        let Open { started, ended, announced, shares, .. } = open;
        bytes += table(1, size_of::<(TraceId, Open)>()) + shares.capacity() * size_of::<Share>();
        bytes += table(started.len() + ended.last.len() + ended.before.len(), size_of::<SpanId>());
        bytes += table(announced.len(), size_of::<(SpanId, u64)>());
    }
    bytes += traces.ended.iter().map(|(_, ids)| table(ids.len(), size_of::<SpanId>())).sum::<usize>();
    (places, bytes)
}

#[test]
fn what_a_root_that_is_open_for_days_has_behind_it_is_let_go_as_it_is_done() {
    const BLOCKS: u64 = 2 * 24 * 3600 * 10;
    let mut traces = Traces::default();
    let mut over = read(&mut traces, 0, &[], &[root()]);
    let (mut places, mut bytes) = (0, 0);
    for number in 1..BLOCKS {
        over += read(&mut traces, number, &other(number), &[]);
        if number % 1024 == 0 {
            let now = footprint(&traces);
            (places, bytes) = (places.max(now.0), bytes.max(now.1));
        }
    }
    // Those of two seconds are not over yet.
    let blocks = usize::try_from(BLOCKS).unwrap();
    assert_eq!((blocks - 1) * 2 - over, 20 * 2);
    assert_eq!(watermark(&traces, blocks), 0);
    assert!(places < 200 && bytes < 64 << 10, "{places} places, {bytes} bytes");
}

#[test]
fn spans_of_a_trace_that_is_open_for_days_take_no_more_room_from_some_number_on() {
    const BLOCKS: u64 = 24 * 3600 * 10;
    let mut traces = Traces::default();
    read(&mut traces, 0, &[], &[root()]);
    let (mut places, mut bytes) = (0, 0);
    for number in 1..BLOCKS {
        let spans =
            [2 * number, 2 * number + 1].map(|span| data(&end(0, span, Some(0), SECOND + number * STEP)));
        read(&mut traces, number, &spans, &[]);
        if number % 1024 == 0 {
            let now = footprint(&traces);
            (places, bytes) = (places.max(now.0), bytes.max(now.1));
        }
    }
    assert!(places <= 66_000 && bytes < 10 << 20, "{places} places, {bytes} bytes");
    // By T1, all of it is found.
    let over = traces.take_all();
    assert_eq!(over[0].len() as u64, 2 * (BLOCKS - 1));
    let mut found = BTreeSet::new();
    for share in &over[0].shares {
        let held = traces.block(share.block).unwrap();
        assert!(found.insert(held.first), "no place twice");
        assert_eq!(u64::from(share.rows), held.last() + 1 - held.first + u64::from(share.spans) / 2);
    }
    traces.done(&over);
    let blocks = usize::try_from(BLOCKS).unwrap();
    assert_eq!(watermark(&traces, blocks), blocks);
    assert_eq!(traces.blocks.footprint().0, 0);
}

#[test]
fn of_a_very_large_trace_it_is_forgotten_what_ended_long_ago_and_not_what_is_open() {
    let mut traces = Traces::default();
    let ends = |number: u64| -> Vec<_> {
        let first = number * 1024 + 10;
        (first..first + 1024).map(|span| data(&end(0, span, Some(0), SECOND))).collect()
    };
    read(&mut traces, 0, &[], &[root(), data(&start(0, 1, SECOND))]);
    for number in 1..=64 {
        read(&mut traces, number, &ends(number), &[]);
    }
    let open = &traces.open[&root().trace_id];
    let known = open.ended.last.len() + open.ended.before.len();
    assert!((ENDED_MAX..=2 * ENDED_MAX).contains(&known), "{known}");
    // Announced late: those that ended of late are known to have.
    let late = |number: u64| data(&start(0, number * 1024 + 10, SECOND));
    read(&mut traces, 65, &[], &[late(64), late(64 - 7)]);
    assert_eq!(traces.open[&root().trace_id].started.len(), 2);
}
