//! Processes that live: the sink looks after them between deliveries, and is shown their spans while they run.
//!
//! Nothing that fails here counts or holds up a delivery for long; where it does not pass it is told. While the sink is taken for one that is out nothing
//! is tried: the courier waits with a delivery then.
//!
//! # What is shown
//!
//! Starts as they were announced, and ends, of traces that are not over: rows of blocks, as they were read for the ordinary delivery. Noted is where
//! they stand, and they are read again when it is their turn. A span is shown once its parent was; one whose parent is not announced waits until that
//! has ended. What is not shown by then, since it waits, failed or was too much, comes with its trace.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use spanring::{SpanId, TraceId, names};
use spanring_spool::{Block, RecorderId, SpanData, SpoolDir};
use tokio::time::{Instant, timeout_at};

use super::super::Mode;
use super::super::discovery::{Census, Standing};
use super::super::notice::Notice;
use super::super::porter::{Blocks, Porter};
use super::super::report::SinkEnd;
use super::super::traces::Traces;
use super::by_trace::Lineage;
use super::{Courier, stopped};
use crate::error::with_causes;
use crate::sink::{LiveProcess, LiveSpan, Outcome, Sink};

/// How often the living are looked after, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// After how long nothing more is begun, for all of them.
const LOOK_LONG: Duration = Duration::from_secs(3);
/// After how long what was begun is cut off, which counts as a failure.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// How long they are left alone after the sink failed several times in a row.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// From which pause on it is told that the sink fails.
const PAUSE_TOLD: Duration = Duration::from_secs(4);

/// How many rows of a process are shown in a look.
const SHOWN_MAX: usize = 100;
/// How many rows of a process wait to be shown. Some 50 bytes each.
const ROWS_MAX: usize = 100_000;
/// The flag of OTLP that says that a span's parent is in another process, and the one that says whether that is known.
const REMOTE_PARENT: u64 = 0x300;

/// When the living are looked after.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// When next; `None` before the first time.
    next: Option<Instant>,
    /// How long they were left alone after the last failure.
    pause: Duration,
    /// Who had its turn last.
    last: Option<RecorderId>,
    /// Why the sink fails, as that was told last.
    told: Option<String>,
}

impl Looks {
    /// Notes a look that began then, and what it came to; why it failed, if that is to be told. As much time as it took belongs to deliveries.
    fn done(&mut self, began: Instant, came_to: Result<(), String>) -> Option<String> {
        self.pause = match came_to {
            Ok(()) => Duration::ZERO,
            Err(_) => (self.pause * 2).clamp(LOOK_INTERVAL, PAUSE_MAX),
        };
        self.next = Some(Instant::now() + began.elapsed().max(LOOK_INTERVAL).max(self.pause));
        match came_to {
            Ok(()) => {
                self.told = None;
                None
            }
            Err(reason) if self.pause < PAUSE_TOLD || self.told.as_ref() == Some(&reason) => None,
            Err(reason) => self.told.insert(reason).clone().into(),
        }
    }
}

impl Courier {
    /// Has the sink look after the processes that live, if it is time.
    pub(super) async fn look_after_the_living(&mut self, census: &Census) -> Result<(), SinkEnd> {
        let began = Instant::now();
        if self.looks.next.is_some_and(|next| began < next) {
            return Ok(());
        }
        let mut stop = self.porter.terms.stop.clone();
        let looked = tokio::select! {
            biased;
            () = stopped(&mut stop) => return Err(SinkEnd::Stopped),
            looked = timeout_at(began + LOOK_MAX, self.look(census, began + LOOK_LONG)) => looked,
        };
        let came_to = looked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        if let Some(reason) = self.looks.done(began, came_to) {
            let reason = format!("{} is shown nothing of what runs: {reason}", self.porter.sink.name());
            self.porter.tell(Notice::Trouble { recorder: None, reason });
        }
        self.porter.pass_terminations_on();
        Ok(())
    }

    /// Whether spans are shown to the sink while they run. Rules for whole traces cannot be asked before those are over.
    pub(super) fn shows_the_living(&self) -> bool {
        self.keep.is_none()
            && matches!(self.porter.terms.mode, Mode::Follow { .. })
            && self.porter.sink.wants_starts()
    }

    /// Looks after all of them, or as many as there is time for until `end`; why the sink could not do what it wanted, if it could not.
    async fn look(&mut self, census: &Census, end: Instant) -> Result<(), String> {
        let is_growing = |&(recorder, standing): &(&RecorderId, Standing)| {
            standing == Standing::Growing
                && (self.lineages.contains_key(recorder) || self.places.contains_key(recorder))
        };
        let listed = census.recorders.iter().map(|(recorder, standing)| (recorder, *standing));
        let mut growing: Vec<_> = listed.filter(is_growing).map(|(recorder, _)| recorder.clone()).collect();
        // Where the time was over the last time, the next one has its turn.
        let behind = growing.iter().position(|recorder| Some(recorder) > self.looks.last.as_ref());
        growing.rotate_left(behind.unwrap_or(0));
        for recorder in growing {
            if Instant::now() >= end {
                break;
            }
            self.looks.last = Some(recorder.clone());
            let first = self.lineages.get(&recorder).filter(|lineage| lineage.shows.has_next());
            if let Some(first) = first.map(|lineage| lineage.strands[0].recorder.clone()) {
                self.porter.recall_notes(&first).map_err(|error| with_causes(&error))?;
            }
            let Courier { porter: Porter { sink, terms, .. }, lineages, places, .. } = self;
            let lineage = lineages.get_mut(&recorder);
            let of_lineage = lineage.as_ref().map(|lineage| lineage.strands[0].place.resource.clone());
            let Some(resource) =
                of_lineage.or_else(|| places.get(&recorder).map(|place| place.resource.clone()))
            else {
                continue;
            };
            let process = LiveProcess { recorder: &recorder, resource: &resource };
            match sink.look_after(&process).await {
                Outcome::Delivered { .. } => {}
                Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Parked { reason } => {
                    return Err(reason);
                }
            }
            if let Some(lineage) = lineage {
                show(&mut **sink, &terms.spool, &process, lineage, end).await?;
            }
            self.porter.write_notes(&recorder);
        }
        Ok(())
    }
}

/// Shows the sink some rows of a process, until `end`; why it could not be asked, if it could not.
async fn show(
    sink: &mut dyn Sink,
    spool: &SpoolDir,
    process: &LiveProcess<'_>,
    lineage: &mut Lineage,
    end: Instant,
) -> Result<(), String> {
    let Lineage { strands, traces, shows, .. } = lineage;
    shows.turn(traces);
    let recorders: Vec<_> = strands.iter().map(|strand| strand.recorder.clone()).collect();
    let mut blocks = Blocks::new(spool, &recorders, traces);
    for _ in 0..SHOWN_MAX {
        let next = shows.next(traces).filter(|_| Instant::now() < end);
        let Some((row, is_under_another_process)) = next else { break };
        let Some((start, ended)) = read(&mut blocks, traces, &row) else {
            shows.pass_over(&row);
            continue;
        };
        let LiveProcess { recorder, resource } = *process;
        let span = LiveSpan {
            recorder,
            resource,
            start: start.as_ref(),
            end: ended.as_ref(),
            is_under_another_process,
        };
        match sink.show(&span).await {
            Outcome::Delivered { .. } => shows.was_shown(&row),
            Outcome::Rejected { .. } => shows.pass_over(&row),
            Outcome::Retry { reason, .. } | Outcome::Parked { reason } => return Err(reason),
        }
    }
    Ok(())
}

/// What was announced of a row's span, and how it ended, where the row says that.
fn read(blocks: &mut Blocks<'_>, traces: &Traces, row: &Row) -> Option<(Option<SpanData>, Option<SpanData>)> {
    traces.block(row.block)?;
    let end = match row.is_end {
        true => {
            let is_it = |span: &&SpanData| (span.trace_id, span.span_id) == (row.trace_id, row.span_id);
            let mut end = None;
            let find = |_: &RecorderId, block: &Block| {
                end = end.take().or_else(|| block.spans.iter().find(is_it).cloned());
            };
            blocks.each(row.block, find).ok()?;
            Some(end?)
        }
        false => None,
    };
    let announced = traces.announced(row.trace_id)?;
    let start = blocks.starts(row.trace_id, announced, std::iter::once(row.span_id)).ok()?.pop();
    (start.is_some() || end.is_some()).then_some((start, end))
}

/// A start or an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Row {
    trace_id: TraceId,
    span_id: SpanId,
    parent_id: Option<SpanId>,
    /// The number of its block.
    block: u64,
    is_end: bool,
    has_remote_parent: bool,
}

impl Row {
    fn of(span: &SpanData, block: u64) -> Self {
        let flags = span.get(names::TRACE_FLAGS).and_then(|flags| flags.as_u64());
        Row {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_id: span.parent_id,
            block,
            is_end: !span.is_open,
            has_remote_parent: flags.is_some_and(|flags| flags & REMOTE_PARENT == REMOTE_PARENT),
        }
    }
}

/// A span, and its trace.
type Identity = (TraceId, SpanId);

/// What of a process the sink is to be shown.
#[derive(Debug)]
pub(super) struct Shows {
    is_wanted: bool,
    /// In the order in which they stand.
    rows: VecDeque<Row>,
    /// What waits for a parent, by that.
    waiting: HashMap<Identity, Vec<Row>>,
    /// What may be under another process, unless its parent turns up here within a look: what came since the last one, and what came before.
    remote: [Vec<Row>; 2],
    /// How many rows all of these are.
    len: usize,
    /// The spans that the sink was shown the start of, at least, of traces that are not over.
    shown: HashSet<Identity>,
}

impl Shows {
    pub(super) fn new(is_wanted: bool) -> Self {
        let (rows, waiting) = (VecDeque::new(), HashMap::new());
        Shows { is_wanted, rows, waiting, remote: Default::default(), len: 0, shown: HashSet::new() }
    }

    /// Notes the rows of a block of this number, as many as there is room for.
    pub(super) fn note(&mut self, block: u64, starts: &[SpanData], ends: &[SpanData]) {
        if !self.is_wanted {
            return;
        }
        let room = ROWS_MAX.saturating_sub(self.len);
        let ended: HashSet<_> = ends.iter().map(|span| (span.trace_id, span.span_id)).collect();
        let starts = starts.iter().filter(|span| !ended.contains(&(span.trace_id, span.span_id)));
        for row in starts.chain(ends).take(room).map(|span| Row::of(span, block)) {
            self.len += 1;
            match row.has_remote_parent {
                true => self.remote[0].push(row),
                false => self.rows.push_back(row),
            }
        }
    }

    /// Whether there may be something to be shown with the next look. Where all there is waits for parents, which may be for hours, there is not.
    fn has_next(&self) -> bool {
        !self.rows.is_empty() || !self.remote[1].is_empty()
    }

    /// Forgets what is of traces that are over, and takes what waited for this look.
    fn turn(&mut self, traces: &Traces) {
        self.rows.extend(self.remote[1].drain(..));
        self.remote.swap(0, 1);
        self.rows.retain(|row| traces.is_open(row.trace_id));
        self.waiting.retain(|&(trace, _), _| traces.is_open(trace));
        self.shown.retain(|&(trace, _)| traces.is_open(trace));
        let waiting = self.waiting.values().chain(&self.remote).map(Vec::len).sum::<usize>();
        self.len = self.rows.len() + waiting;
    }

    /// The next row that can be shown, which stays the next until it was shown or is passed over; and whether its parent is of another process.
    fn next(&mut self, traces: &Traces) -> Option<(Row, bool)> {
        loop {
            let row = *self.rows.front()?;
            let Some(parent_id) = row.parent_id else { return Some((row, false)) };
            let parent = (row.trace_id, parent_id);
            if self.shown.contains(&parent) || self.shown.contains(&(row.trace_id, row.span_id)) {
                return Some((row, false));
            }
            let is_announced =
                || traces.announced(row.trace_id).is_some_and(|all| all.contains_key(&row.span_id));
            if !row.has_remote_parent || traces.knows(row.trace_id, parent_id) || !is_announced() {
                self.rows.pop_front();
                self.waiting.entry(parent).or_default().push(row);
                continue;
            }
            return Some((row, true));
        }
    }

    fn was_shown(&mut self, row: &Row) {
        self.pass_over(row);
        let identity = (row.trace_id, row.span_id);
        self.shown.insert(identity);
        for waiting in self.waiting.remove(&identity).into_iter().flatten().rev() {
            self.rows.push_front(waiting);
        }
    }

    fn pass_over(&mut self, row: &Row) {
        if self.rows.front() == Some(row) {
            self.rows.pop_front();
            self.len = self.len.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use spanring_spool::Position;

    use super::*;

    fn identity(number: u8) -> Identity {
        (TraceId::from_bytes([1; 16]), SpanId::from_bytes([number; 8]))
    }

    /// A start, or an end, of the span of this number under that one.
    fn row(number: u8, parent: Option<u8>, is_open: bool) -> SpanData {
        let (trace_id, span_id) = identity(number);
        let parent_id = parent.map(|parent| identity(parent).1);
        SpanData { trace_id, span_id, parent_id, is_open, end_unix_ns: 1, ..SpanData::default() }
    }

    fn under_another_process(mut span: SpanData) -> SpanData {
        span.attributes.push((names::TRACE_FLAGS.to_owned(), REMOTE_PARENT.into()));
        span
    }

    /// What is to be shown, and the traces, of one block after the other.
    #[derive(Debug)]
    struct Noted {
        shows: Shows,
        traces: Traces,
    }

    impl Noted {
        fn new() -> Self {
            Noted { shows: Shows::new(true), traces: Traces::at(0, 0).keeping_starts(true) }
        }

        fn block(&mut self, starts: &[SpanData], ends: &[SpanData]) {
            self.traces.note(0, [Position::default(); 2], ends, starts, 0);
            self.shows.note(self.traces.newest().unwrap(), starts, ends);
        }

        /// What a look shows, to a sink that takes all: the number of each span, whether it is its end, and whether it is under another process.
        fn look(&mut self) -> Vec<(u8, bool, bool)> {
            let mut shown = Vec::new();
            self.shows.turn(&self.traces);
            while let Some((row, is_under_another_process)) = self.shows.next(&self.traces) {
                shown.push((row.span_id.to_bytes()[0], row.is_end, is_under_another_process));
                self.shows.was_shown(&row);
            }
            shown
        }
    }

    #[test]
    fn spans_are_shown_in_their_order_and_none_before_its_parent() {
        let mut noted = Noted::new();
        noted.block(&[row(3, Some(2), true), row(2, Some(1), true), row(1, None, true)], &[]);
        assert_eq!(noted.look(), [(1, false, false), (2, false, false), (3, false, false)]);
        noted.block(&[], &[row(3, Some(2), false), row(2, Some(1), false)]);
        assert_eq!(noted.look(), [(3, true, false), (2, true, false)]);
        assert_eq!((noted.look(), noted.shows.len), (vec![], 0));
    }

    #[test]
    fn what_is_under_a_span_that_is_not_announced_waits_until_that_has_ended() {
        let mut noted = Noted::new();
        noted.block(&[row(1, None, true)], &[row(3, Some(2), false)]);
        assert!(noted.shows.has_next());
        assert_eq!(noted.look(), [(1, false, false)]);
        assert!(!noted.shows.has_next(), "so no notes need be read for the next look");
        assert_eq!(noted.look(), []);
        noted.block(&[], &[row(2, Some(1), false)]);
        assert!(noted.shows.has_next());
        assert_eq!(noted.look(), [(2, true, false), (3, true, false)]);
    }

    #[test]
    fn a_start_that_comes_with_its_end_is_not_shown_by_itself() {
        let mut noted = Noted::new();
        noted.block(&[row(1, None, true)], &[row(1, None, false)]);
        assert_eq!(noted.look(), [(1, true, false)]);
        assert!(noted.traces.announced(identity(1).0).unwrap().is_empty());
    }

    #[test]
    fn a_span_under_another_process_is_shown_without_its_parent_once_that_has_not_turned_up_within_a_look() {
        let mut noted = Noted::new();
        noted.block(&[under_another_process(row(1, Some(9), true)), row(2, Some(1), true)], &[]);
        assert_eq!(noted.look(), []);
        assert_eq!(noted.look(), [(1, false, true), (2, false, false)]);
        // The parent is in this process after all.
        noted.block(&[under_another_process(row(3, Some(8), true))], &[]);
        assert_eq!(noted.look(), []);
        noted.block(&[row(8, None, true)], &[]);
        assert_eq!(noted.look(), [(8, false, false), (3, false, false)]);
        // Without an announcement nobody knows.
        noted.block(&[], &[under_another_process(row(4, Some(7), false))]);
        assert_eq!([noted.look(), noted.look()], [vec![], vec![]]);
    }

    #[test]
    fn what_is_of_a_trace_that_is_over_is_forgotten_and_what_there_is_no_room_for_is_left() {
        let mut noted = Noted::new();
        noted.block(&[], &[row(2, Some(1), false)]);
        noted.block(&[], &vec![row(3, None, false); ROWS_MAX]);
        assert_eq!(noted.shows.len, ROWS_MAX);
        noted.look();
        assert_eq!((noted.shows.len, noted.shows.shown.len()), (1, 1));
        let over = noted.traces.take_all();
        noted.traces.done(&over);
        noted.shows.turn(&noted.traces);
        assert_eq!((noted.shows.len, noted.shows.shown.len(), noted.shows.waiting.len()), (0, 0, 0));
    }

    #[test]
    fn a_row_that_was_not_shown_is_the_next_again() {
        let mut noted = Noted::new();
        noted.block(&[row(1, None, true), row(2, None, true)], &[]);
        let first = noted.shows.next(&noted.traces);
        assert_eq!(first, noted.shows.next(&noted.traces));
        noted.shows.pass_over(&first.unwrap().0);
        assert_eq!(noted.look(), [(2, false, false)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_fails_is_left_alone_ever_longer_and_a_long_look_gives_as_much_time_to_deliveries() {
        let mut looks = Looks::default();
        let wait = |looks: &Looks| looks.next.unwrap() - Instant::now();
        let no = || Err("no".to_owned());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            // Once, and not what may be over at once.
            let told = looks.done(Instant::now(), no());
            assert_eq!(
                (wait(&looks), told),
                (Duration::from_secs(seconds), (seconds == 4).then(|| "no".into()))
            );
        }
        assert_eq!(looks.done(Instant::now(), Err("still no".to_owned())).as_deref(), Some("still no"));
        assert_eq!(looks.done(Instant::now(), Ok(())), None);
        assert_eq!(wait(&looks), LOOK_INTERVAL);
        let began = Instant::now();
        tokio::time::advance(LOOK_MAX).await;
        assert_eq!(looks.done(began, Ok(())), None);
        assert_eq!(wait(&looks), LOOK_MAX);
    }
}
