//! The spans of traces that are over, read again from their blocks, on their way to the sink.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use spanring::{SpanId, TraceId};
use spanring_spool::{Block, Error, RecorderId, RecorderReader, Resource, SpanData, SpoolDir};

use super::super::notice::Notice;
use super::super::report::SinkEnd;
use super::super::traces::{Held, Over, Traces, by_block};
use super::Courier;
use super::by_trace::Counts;
use super::delivery::Done;
use super::load::{Load, Places, SpanPlace};
use crate::error::with_causes;
use crate::sink::{BatchId, LiveSpan, Needs, Trace, TraceSpans};

/// At most how many spans of traces that are delivered one by one are in memory, block aside. A longer trace is read as often as it must.
const SPANS_AT_ONCE: usize = 4096;

/// A span, and where it stands.
type Placed = (SpanPlace, SpanData);

/// Finds blocks again.
pub(super) struct Blocks<'a> {
    spool: &'a SpoolDir,
    recorders: &'a [RecorderId],
    traces: &'a Traces,
    readers: HashMap<usize, RecorderReader>,
    /// The block that was read last, and its number.
    last: Option<(u64, Block)>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(spool: &'a SpoolDir, recorders: &'a [RecorderId], traces: &'a Traces) -> Self {
        Blocks { spool, recorders, traces, readers: HashMap::new(), last: None }
    }

    /// The block of this number, and of which recorder it is, unless it was damaged since it was read first.
    pub(super) fn get(&mut self, number: u64) -> Result<Option<(&RecorderId, &Block)>, Error> {
        let Held { part, before, position, .. } =
            self.traces.block(number).expect("by T1, what is not done has its block held");
        let recorder = &self.recorders[part];
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            let reader = match self.readers.entry(part) {
                Entry::Occupied(open) => open.into_mut(),
                Entry::Vacant(new) => new.insert(self.spool.reader(recorder)?),
            };
            reader.seek(before);
            let block = reader.next_block()?;
            self.last = block.filter(|block| block.position == position).map(|block| (number, block));
        }
        Ok(self.last.as_ref().map(|(_, block)| (recorder, block)))
    }

    /// The spans of these traces in a block.
    fn spans(&mut self, number: u64, of: &HashSet<TraceId>) -> Result<Vec<Placed>, Error> {
        let Some((recorder, block)) = self.get(number)? else { return Ok(Vec::new()) };
        let is_wanted = |(_, span): &(usize, &SpanData)| of.contains(&span.trace_id);
        let placed = |(number, span): (usize, &SpanData)| {
            (SpanPlace { recorder: recorder.clone(), block: block.position, number }, span.clone())
        };
        Ok(block.spans.iter().enumerate().filter(is_wanted).map(placed).collect())
    }

    /// What was announced of these spans of a trace, sorted by their identities, where each announcement stands in that block.
    pub(super) fn starts(
        &mut self,
        trace_id: TraceId,
        announced: &HashMap<SpanId, u64>,
        of: impl Iterator<Item = SpanId>,
    ) -> Result<Vec<SpanData>, Error> {
        let mut blocks = BTreeMap::<u64, HashSet<SpanId>>::new();
        for span in of {
            if let Some(number) = announced.get(&span) {
                blocks.entry(*number).or_default().insert(span);
            }
        }
        let mut starts = Vec::new();
        for (number, of) in blocks {
            let Some((_, block)) = self.get(number)? else { continue };
            let is_wanted = |span: &&SpanData| span.trace_id == trace_id && of.contains(&span.span_id);
            starts.extend(block.starts.iter().filter(is_wanted).cloned());
        }
        starts.sort_by_key(|span| span.span_id);
        // What was announced first holds.
        starts.dedup_by_key(|span| span.span_id);
        Ok(starts)
    }
}

/// The spans of one trace, from memory or from blocks.
struct Source<'a, 'b> {
    blocks: &'a mut Blocks<'b>,
    over: &'a Over,
    /// All of them, where they are in memory.
    gathered: Option<&'a [Placed]>,
    at: usize,
    chunk: Vec<SpanData>,
}

impl<'a, 'b> Source<'a, 'b> {
    fn new(blocks: &'a mut Blocks<'b>, over: &'a Over, gathered: Option<&'a [Placed]>) -> Self {
        Source { blocks, over, gathered, at: 0, chunk: Vec::new() }
    }

    /// The next spans, with their places.
    fn chunk(&mut self) -> Result<Option<Vec<Placed>>, Error> {
        self.at += 1;
        match self.gathered {
            Some(spans) => Ok((self.at == 1).then(|| spans.to_vec())),
            None => match self.over.shares.get(self.at - 1) {
                Some(share) => self.blocks.spans(share.block, &HashSet::from([self.over.trace_id])).map(Some),
                None => Ok(None),
            },
        }
    }
}

impl TraceSpans for Source<'_, '_> {
    fn rewind(&mut self) {
        self.at = 0;
    }

    fn next(&mut self) -> io::Result<Option<&[SpanData]>> {
        loop {
            let Some(chunk) = self.chunk().map_err(|error| io::Error::other(with_causes(&error)))? else {
                return Ok(None);
            };
            if !chunk.is_empty() {
                self.chunk = chunk.into_iter().map(|(_, span)| span).collect();
                return Ok(Some(&self.chunk));
            }
        }
    }
}

impl Courier {
    /// Delivers those of the traces that the route keeps. What cannot be read again counts as dropped, and is told.
    pub(super) async fn deliver_over(
        &mut self,
        recorders: &[RecorderId],
        traces: &Traces,
        resource: &Resource,
        over: &[Over],
        block: Option<Block>,
    ) -> Result<Result<Counts, Error>, SinkEnd> {
        let mut counts = match self.deliver_kept(recorders, traces, resource, over, block).await? {
            Ok(counts) => counts,
            Err(error) => return Ok(Err(error)),
        };
        let mut spans = BTreeMap::<usize, u64>::new();
        for share in over.iter().flat_map(|over| &over.shares) {
            if let Some(held) = traces.block(share.block) {
                *spans.entry(held.part).or_default() += u64::from(share.spans);
            }
        }
        for (part, spans) in spans {
            let count = counts.entry(part).or_default();
            let missing = spans.saturating_sub(count.delivered + count.dead_lettered + count.dropped);
            if missing > 0 {
                count.dropped += missing;
                let reason = format!("{missing} spans were damaged while their traces were waited for");
                let recorder = Some(recorders[part].clone());
                self.shared.notices.tell(Notice::Trouble { recorder, reason });
            }
        }
        Ok(Ok(counts))
    }

    async fn deliver_kept(
        &mut self,
        recorders: &[RecorderId],
        traces: &Traces,
        resource: &Resource,
        over: &[Over],
        block: Option<Block>,
    ) -> Result<Result<Counts, Error>, SinkEnd> {
        let mut counts = Counts::new();
        let keeps = |over: &&Over| self.keep.is_none_or(|keep| keep.keeps(over.trace_id, &over.facts));
        let tells_lost = self.sink.wants_starts();
        let is_told = |over: &&Over| over.len() > 0 || tells_lost && !over.lost.is_empty();
        let (kept, left): (Vec<_>, Vec<_>) = over.iter().filter(is_told).partition(keeps);
        for share in left.iter().flat_map(|over| &over.shares) {
            let Some(held) = traces.block(share.block) else { continue };
            counts.entry(held.part).or_default().dropped += u64::from(share.spans);
            self.journey.report.sampled_out += u64::from(share.spans);
        }
        let spool = self.shared.spool.clone();
        let mut blocks = Blocks {
            spool: &spool,
            recorders,
            traces,
            readers: HashMap::new(),
            last: block.zip(traces.newest()).map(|(block, newest)| (newest, block)),
        };
        if self.sink.needs() == Needs::Spans {
            for (number, of) in by_block(kept.iter().copied()) {
                let placed = match blocks.spans(number, &of) {
                    Ok(placed) => placed,
                    Err(error) => return Ok(Err(error)),
                };
                self.deliver_placed(placed, Vec::new(), resource, recorders, &mut counts).await?;
            }
            return Ok(Ok(counts));
        }
        let mut rest = kept.as_slice();
        while let Some(first) = rest.first() {
            let mut spans = 0;
            let fits = |over: &&&Over| {
                spans += over.len();
                spans <= SPANS_AT_ONCE
            };
            let (group, behind) = rest.split_at(rest.iter().take_while(fits).count());
            if group.is_empty() {
                let source = Source::new(&mut blocks, first, None);
                if let Err(error) = self.deliver_one(first, source, resource, recorders, &mut counts).await? {
                    return Ok(Err(error));
                }
                rest = &rest[1..];
                continue;
            }
            let mut gathered = HashMap::<TraceId, Vec<Placed>>::new();
            for (number, of) in by_block(group.iter().copied()) {
                match blocks.spans(number, &of) {
                    Ok(placed) => placed
                        .into_iter()
                        .for_each(|placed| gathered.entry(placed.1.trace_id).or_default().push(placed)),
                    Err(error) => return Ok(Err(error)),
                }
            }
            for over in group {
                let spans = gathered.remove(&over.trace_id).unwrap_or_default();
                let source = Source::new(&mut blocks, over, Some(&spans));
                if let Err(error) = self.deliver_one(over, source, resource, recorders, &mut counts).await? {
                    return Ok(Err(error));
                }
            }
            rest = behind;
        }
        Ok(Ok(counts))
    }

    /// Delivers one trace.
    async fn deliver_one(
        &mut self,
        over: &Over,
        mut source: Source<'_, '_>,
        resource: &Resource,
        recorders: &[RecorderId],
        counts: &mut Counts,
    ) -> Result<Result<(), Error>, SinkEnd> {
        if self.sink.needs() == Needs::Traces {
            return self.deliver_in_one(over, source, resource, recorders, counts).await;
        }
        let mut order =
            ParentsFirst { of: over, sent: HashSet::new(), known: HashSet::new(), is_forced: false };
        while order.sent.len() < over.len() {
            let before = order.sent.len();
            source.rewind();
            loop {
                let chunk = match source.chunk() {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => break,
                    Err(error) => return Ok(Err(error)),
                };
                let ready = order.take(chunk);
                let starts = match self.sink.wants_starts() {
                    true => {
                        let of = ready.iter().map(|(_, span)| span.span_id);
                        source.blocks.starts(over.trace_id, &over.announced, of)
                    }
                    false => Ok(Vec::new()),
                };
                let starts = match starts {
                    Ok(starts) => starts,
                    Err(error) => return Ok(Err(error)),
                };
                self.deliver_placed(ready, starts, resource, recorders, counts).await?;
            }
            if order.sent.len() == before {
                if order.is_forced {
                    // The blocks have fewer spans than they had.
                    break;
                }
                order.is_forced = true;
            }
        }
        if self.sink.wants_starts() && !over.lost.is_empty() {
            return self.tell_all_lost(over, source.blocks, resource, recorders).await;
        }
        Ok(Ok(()))
    }

    /// Tells the sink of the spans of a trace whose ends were lost.
    async fn tell_all_lost(
        &mut self,
        over: &Over,
        blocks: &mut Blocks<'_>,
        resource: &Resource,
        recorders: &[RecorderId],
    ) -> Result<Result<(), Error>, SinkEnd> {
        let lost = match blocks.starts(over.trace_id, &over.announced, over.lost.iter().copied()) {
            Ok(lost) => lost,
            Err(error) => return Ok(Err(error)),
        };
        for start in &lost {
            let span = LiveSpan {
                recorder: &recorders[0],
                resource,
                start: Some(start),
                end: None,
                is_under_another_process: false,
            };
            if let Some(reason) = self.tell_lost(&span).await? {
                let reason = format!(
                    "{} was told that the end of span {} was lost: {reason}",
                    self.sink.name(),
                    start.span_id
                );
                self.shared.notices.tell(Notice::Trouble { recorder: Some(recorders[0].clone()), reason });
            }
        }
        Ok(Ok(()))
    }

    /// Delivers one trace as a whole.
    async fn deliver_in_one(
        &mut self,
        over: &Over,
        mut source: Source<'_, '_>,
        resource: &Resource,
        recorders: &[RecorderId],
        counts: &mut Counts,
    ) -> Result<Result<(), Error>, SinkEnd> {
        let (mut first, mut parts) = (None, Counts::new());
        while let Some(chunk) = match source.chunk() {
            Ok(chunk) => chunk,
            Err(error) => return Ok(Err(error)),
        } {
            for (place, _) in chunk {
                parts.entry(part_of(recorders, &place.recorder)).or_default().delivered += 1;
                first.get_or_insert(place);
            }
        }
        let Some(first) = first else { return Ok(Ok(())) };
        let SpanPlace { recorder, block, number } = &first;
        let id = BatchId { recorder, block: *block, number: *number, part: BatchId::WHOLE };
        let len = parts.values().map(|count| count.delivered).sum::<u64>();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        source.rewind();
        let mut trace = Trace { id, trace_id: over.trace_id, resource, len, spans: &mut source };
        let refused = match self.deliver_trace(&mut trace).await? {
            Ok(Done { mut rejected, .. }) => {
                for (part, count) in parts {
                    // What is rejected is of no part in particular.
                    let of_part = rejected.min(count.delivered);
                    rejected -= of_part;
                    let all = counts.entry(part).or_default();
                    all.delivered += count.delivered - of_part;
                    all.dropped += of_part;
                }
                return Ok(Ok(()));
            }
            Err(reason) => reason,
        };
        source.rewind();
        let mut is_new = false;
        while let Some(chunk) = match source.chunk() {
            Ok(chunk) => chunk,
            Err(error) => return Ok(Err(error)),
        } {
            for (place, span) in chunk {
                counts.entry(part_of(recorders, &place.recorder)).or_default().dead_lettered += 1;
                is_new |= self.make_letter(place, resource, &span, &refused).await?;
            }
        }
        self.refused(is_new, &refused).await?;
        Ok(Ok(()))
    }

    /// Delivers spans that stand in one block, or in several.
    async fn deliver_placed(
        &mut self,
        placed: Vec<Placed>,
        starts: Vec<SpanData>,
        resource: &Resource,
        recorders: &[RecorderId],
        counts: &mut Counts,
    ) -> Result<(), SinkEnd> {
        let (places, spans): (Vec<_>, Vec<_>) = placed.into_iter().unzip();
        let Some(first) = places.first() else { return Ok(()) };
        let recorder = &first.recorder;
        let load = Load { recorder, resource, spans: &spans, starts: &starts, places: Places::Each(&places) };
        let Done { rejected, dead_lettered } = self.deliver(&load).await?;
        for place in &places {
            counts.entry(part_of(recorders, &place.recorder)).or_default().delivered += 1;
        }
        // Which of the spans of a dead process were refused is of no consequence for its accounts as a whole.
        let count = counts.entry(part_of(recorders, recorder)).or_default();
        count.delivered = count.delivered.saturating_sub(rejected + dead_lettered);
        count.dropped += rejected;
        count.dead_lettered += dead_lettered;
        Ok(())
    }
}

fn part_of(recorders: &[RecorderId], recorder: &RecorderId) -> usize {
    recorders.iter().position(|other| other == recorder).unwrap_or(0)
}

/// Takes the spans of a trace in an order in which none comes before its parent, in as many passes as they are deep.
struct ParentsFirst<'a> {
    of: &'a Over,
    /// What was taken, by place: several spans may have the same identity.
    sent: HashSet<(u64, u64, usize)>,
    known: HashSet<SpanId>,
    /// Whether what is left is taken as it comes: it goes round in a circle.
    is_forced: bool,
}

impl ParentsFirst<'_> {
    /// What can be sent of these spans now, parents first.
    fn take(&mut self, chunk: Vec<Placed>) -> Vec<Placed> {
        let key = |place: &SpanPlace| (place.block.segment, place.block.offset, place.number);
        let mut waiting: Vec<_> =
            chunk.into_iter().filter(|(place, _)| !self.sent.contains(&key(place))).collect();
        let mut ready = Vec::new();
        loop {
            let before = ready.len();
            let is_ready = |(place, span): &mut Placed| {
                let parent = span.parent_id.filter(|parent| self.of.ids.contains(parent));
                let is_ready = self.is_forced || parent.is_none_or(|parent| self.known.contains(&parent));
                if is_ready {
                    self.known.insert(span.span_id);
                    self.sent.insert(key(place));
                }
                is_ready
            };
            ready.extend(waiting.extract_if(.., is_ready));
            if ready.len() == before {
                return ready;
            }
        }
    }
}
