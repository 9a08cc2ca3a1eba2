//! The spans of traces that are over, read again from their blocks, on their way to the sink.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use spanring::{SpanId, TraceId};
use spanring_spool::{Block, Error, RecorderId, RecorderReader, Resource, SpanData, SpoolDir};

use super::super::notice::Notice;
use super::super::report::SinkEnd;
use super::super::traces::{Held, Over, Traces, by_block};
use super::Porter;
use super::delivery::{Answer, Done};
use super::load::{Load, Places, SpanPlace};
use crate::error::with_causes;
use crate::sink::{BatchId, LiveSpan, Needs, Trace, TraceSpans};

/// At most how many spans of traces that are delivered one by one are in memory, block aside. A longer trace is read as often as it must.
const SPANS_AT_ONCE: usize = 4096;
/// At most how many bytes those take in requests.
const BYTES_AT_ONCE: usize = 8 << 20;

/// What became of spans, by the part of the lineage that they stand in.
pub(in crate::engine) type Counts = BTreeMap<usize, Count>;

/// What became of spans.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::engine) struct Count {
    pub(in crate::engine) delivered: u64,
    pub(in crate::engine) dead_lettered: u64,
    pub(in crate::engine) dropped: u64,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.delivered += other.delivered;
        self.dead_lettered += other.dead_lettered;
        self.dropped += other.dropped;
    }

    /// How many spans it is about.
    fn spans(&self) -> u64 {
        self.delivered + self.dead_lettered + self.dropped
    }
}

/// A span, and where it stands.
type Placed = (SpanPlace, SpanData);

/// Finds blocks again.
pub(in crate::engine) struct Blocks<'a> {
    spool: &'a SpoolDir,
    recorders: &'a [RecorderId],
    traces: &'a Traces,
    readers: HashMap<usize, RecorderReader>,
    /// The block that was read last, and its number.
    last: Option<(u64, Block)>,
}

impl<'a> Blocks<'a> {
    pub(in crate::engine) fn new(
        spool: &'a SpoolDir,
        recorders: &'a [RecorderId],
        traces: &'a Traces,
    ) -> Self {
        Blocks { spool, recorders, traces, readers: HashMap::new(), last: None }
    }

    /// The block of this number, and of which recorder it is, unless it was damaged since it was read first.
    pub(in crate::engine) fn get(&mut self, number: u64) -> Result<Option<(&RecorderId, &Block)>, Error> {
        let Held { part, before, position, .. } =
            self.traces.block(number).expect("by T1, what is not done has its block held");
        let recorder = &self.recorders[part];
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            self.last = None;
            let reader = match self.readers.entry(part) {
                Entry::Occupied(open) => open.into_mut(),
                Entry::Vacant(new) => new.insert(self.spool.reader(recorder)?),
            };
            reader.seek(before.position);
            let mut block = reader.next_block()?;
            // Blocks in between had been read before, from another segment that could not be synced.
            while block.as_ref().is_some_and(|block| block.position < position) {
                block = reader.next_block()?;
            }
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
    pub(in crate::engine) fn starts(
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
    /// Why it could not be read on, if it could not.
    error: Option<Error>,
}

impl<'a, 'b> Source<'a, 'b> {
    fn new(blocks: &'a mut Blocks<'b>, over: &'a Over, gathered: Option<&'a [Placed]>) -> Self {
        Source { blocks, over, gathered, at: 0, chunk: Vec::new(), error: None }
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
            let chunk = match self.chunk() {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(None),
                Err(error) => {
                    let failed = io::Error::other(with_causes(&error));
                    self.error = Some(error);
                    return Err(failed);
                }
            };
            if !chunk.is_empty() {
                self.chunk = chunk.into_iter().map(|(_, span)| span).collect();
                return Ok(Some(&self.chunk));
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.error.is_some()
    }
}

impl Porter {
    /// Delivers traces that are over, and notes in them what was delivered. What cannot be read again for good counts as
    /// dropped, and is told; an error leaves the rest for another time.
    pub(in crate::engine) async fn deliver_over(
        &mut self,
        recorders: &[RecorderId],
        traces: &Traces,
        resource: &Resource,
        over: &mut [Over],
        block: Option<Block>,
        counts: &mut Counts,
    ) -> Result<Result<(), Error>, SinkEnd> {
        let spool = self.terms.spool.clone();
        let mut blocks = Blocks::new(&spool, recorders, traces);
        blocks.last = block.zip(traces.newest()).map(|(block, newest)| (newest, block));
        let mut missing = Counts::new();
        let delivered = match self.sink.needs() {
            Needs::Spans => self.deliver_by_block(&mut blocks, resource, over, counts, &mut missing).await?,
            _ => self.deliver_by_trace(&mut blocks, resource, over, counts, &mut missing).await?,
        };
        for (part, Count { dropped, .. }) in missing.into_iter().filter(|(_, count)| count.dropped > 0) {
            counts.entry(part).or_default().dropped += dropped;
            self.report.lost += dropped;
            let recorder = recorders[part].clone();
            self.tell(Notice::Lost { recorder, spans: dropped });
        }
        Ok(delivered)
    }

    /// Delivers the spans of traces block by block.
    async fn deliver_by_block(
        &mut self,
        blocks: &mut Blocks<'_>,
        resource: &Resource,
        over: &mut [Over],
        counts: &mut Counts,
        missing: &mut Counts,
    ) -> Result<Result<(), Error>, SinkEnd> {
        // Which share of which trace stands where: looked up once, since there may be very many of both.
        let mut shares = BTreeMap::<u64, Vec<(usize, usize)>>::new();
        for (nth, over) in over.iter().enumerate() {
            for (at, share) in over.shares.iter().enumerate().filter(|(_, share)| share.spans > 0) {
                shares.entry(share.block).or_default().push((nth, at));
            }
        }
        for (number, shares) in shares {
            let of = shares.iter().map(|&(nth, _)| over[nth].trace_id).collect();
            let placed = match blocks.spans(number, &of) {
                Ok(placed) => placed,
                Err(error) => return Ok(Err(error)),
            };
            let found = placed.len() as u64;
            self.deliver_placed(placed, Vec::new(), resource, blocks.recorders, counts).await?;
            let expected: u64 = shares.iter().map(|&(nth, at)| u64::from(over[nth].shares[at].spans)).sum();
            if let Some(held) = blocks.traces.block(number).filter(|_| found < expected) {
                missing.entry(held.part).or_default().dropped += expected - found;
            }
            for (nth, at) in shares {
                over[nth].shares[at].spans = 0;
            }
        }
        Ok(Ok(()))
    }

    /// Delivers traces one by one.
    async fn deliver_by_trace(
        &mut self,
        blocks: &mut Blocks<'_>,
        resource: &Resource,
        over: &mut [Over],
        counts: &mut Counts,
        missing: &mut Counts,
    ) -> Result<Result<(), Error>, SinkEnd> {
        let tells_lost = self.sink.wants_starts();
        let is_told = |over: &&mut Over| over.len() > 0 || tells_lost && !over.lost.is_empty();
        let mut rest: Vec<_> = over.iter_mut().filter(is_told).collect();
        let mut rest = rest.as_mut_slice();
        while !rest.is_empty() {
            let (mut spans, mut bytes) = (0, 0_usize);
            let fits = |over: &&&mut Over| {
                spans += over.len();
                bytes = bytes.saturating_add(over.bytes);
                spans <= SPANS_AT_ONCE && bytes <= BYTES_AT_ONCE
            };
            let count = rest.iter().take_while(fits).count();
            let (group, behind) = std::mem::take(&mut rest).split_at_mut(count.max(1));
            rest = behind;
            // One that is larger by itself is read block by block, as often as it must.
            let is_large = count == 0;
            let mut gathered = HashMap::<TraceId, Vec<Placed>>::new();
            for (number, of) in by_block(group.iter().map(|over| &**over).filter(|_| !is_large)) {
                match blocks.spans(number, &of) {
                    Ok(placed) => placed
                        .into_iter()
                        .for_each(|placed| gathered.entry(placed.1.trace_id).or_default().push(placed)),
                    Err(error) => return Ok(Err(error)),
                }
            }
            for over in group {
                let (traces, recorders) = (blocks.traces, blocks.recorders);
                let mut of_trace = Counts::new();
                let spans = gathered.remove(&over.trace_id).unwrap_or_default();
                let source = Source::new(blocks, over, if is_large { None } else { Some(&spans) });
                if let Err(error) = self.deliver_one(over, source, resource, recorders, &mut of_trace).await?
                {
                    return Ok(Err(error));
                }
                for share in &over.shares {
                    if let Some(held) = traces.block(share.block) {
                        missing.entry(held.part).or_default().dropped += u64::from(share.spans);
                    }
                }
                for (part, count) in of_trace {
                    let missing = &mut missing.entry(part).or_default().dropped;
                    *missing = missing.saturating_sub(count.spans());
                    counts.entry(part).or_default().add(count);
                }
                over.delivered();
                over.lost.clear();
            }
        }
        Ok(Ok(()))
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
                self.tell(Notice::Trouble { recorder: Some(recorders[0].clone()), reason });
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
        let (mut first, mut oldest, mut parts) = (None, u64::MAX, BTreeMap::<usize, u64>::new());
        while let Some(chunk) = match source.chunk() {
            Ok(chunk) => chunk,
            Err(error) => return Ok(Err(error)),
        } {
            for (place, span) in chunk {
                *parts.entry(part_of(recorders, &place.recorder)).or_default() += 1;
                oldest = oldest.min(span.end_unix_ns);
                first.get_or_insert(place);
            }
        }
        let Some(first) = first else { return Ok(Ok(())) };
        self.show(|standing| standing.backlog.oldest_unix_ns = oldest);
        let SpanPlace { recorder, block, number } = &first;
        let id = BatchId { recorder, block: *block, number: *number, part: BatchId::WHOLE };
        let len = usize::try_from(parts.values().sum::<u64>()).unwrap_or(usize::MAX);
        source.rewind();
        let mut trace = Trace { id, trace_id: over.trace_id, resource, len, spans: &mut source };
        let refused = match self.deliver_trace(&mut trace).await? {
            Answer::Taken { rejected } => {
                share_out(parts, Done { rejected, ..Done::default() }, counts);
                return Ok(Ok(()));
            }
            Answer::Refused { reason } => reason,
            Answer::Unread => return Ok(source.error.map_or(Ok(()), Err)),
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
        let cuts = self.cuts(&spans);
        let places_of = Places::Each(&places);
        let load =
            Load { recorder, resource, spans: &spans, starts: &starts, places: places_of, cuts: &cuts };
        let done = self.deliver(&load).await?;
        let mut parts = BTreeMap::<usize, u64>::new();
        for place in &places {
            *parts.entry(part_of(recorders, &place.recorder)).or_default() += 1;
        }
        share_out(parts, done, counts);
        Ok(())
    }
}

/// Counts what became of so many spans of each part. Which of the spans of a dead process were refused or not wanted is of no consequence for its
/// accounts as a whole.
fn share_out(parts: BTreeMap<usize, u64>, done: Done, counts: &mut Counts) {
    let Done { mut rejected, mut dead_lettered, .. } = done;
    for (part, spans) in parts {
        let aside = dead_lettered.min(spans);
        let dropped = rejected.min(spans - aside);
        (dead_lettered, rejected) = (dead_lettered - aside, rejected - dropped);
        let delivered = spans - aside - dropped;
        counts.entry(part).or_default().add(Count { delivered, dead_lettered: aside, dropped });
    }
}

fn part_of(recorders: &[RecorderId], recorder: &RecorderId) -> usize {
    recorders.iter().position(|other| other == recorder).unwrap_or(0)
}

/// Takes the spans of a trace in an order in which none comes before its parent, in as many passes as they are deep.
struct ParentsFirst<'a> {
    of: &'a Over,
    /// What was taken, by place, and whether that is of what was recovered: several spans may have the same identity.
    sent: HashSet<(bool, u64, u64, usize)>,
    known: HashSet<SpanId>,
    /// Whether what is left is taken whatever it waits for: that is not there, or it goes round in a circle.
    is_forced: bool,
}

impl ParentsFirst<'_> {
    /// What can be sent of these spans now, parents first.
    fn take(&mut self, chunk: Vec<Placed>) -> Vec<Placed> {
        let key = |place: &SpanPlace| {
            let SpanPlace { recorder, block, number } = place;
            (recorder.is_recovery(), block.segment, block.offset, *number)
        };
        let mut waiting: Vec<_> =
            chunk.into_iter().filter(|(place, _)| !self.sent.contains(&key(place))).collect();
        let mut ready = Vec::new();
        loop {
            let before = ready.len();
            let among: HashSet<SpanId> = match self.is_forced {
                true => waiting.iter().map(|(_, span)| span.span_id).collect(),
                false => HashSet::new(),
            };
            let is_ready = |(place, span): &mut Placed| {
                let parent = span.parent_id.filter(|parent| self.of.ids.contains(parent));
                let waits_for_none = |parent| self.is_forced && !among.contains(&parent);
                let is_ready =
                    parent.is_none_or(|parent| self.known.contains(&parent) || waits_for_none(parent));
                if is_ready {
                    self.known.insert(span.span_id);
                    self.sent.insert(key(place));
                }
                is_ready
            };
            ready.extend(waiting.extract_if(.., is_ready));
            if ready.len() > before {
                continue;
            }
            if !self.is_forced || waiting.is_empty() {
                return ready;
            }
            let (place, span) = waiting.remove(0);
            self.known.insert(span.span_id);
            self.sent.insert(key(&place));
            ready.push((place, span));
        }
    }
}

#[cfg(test)]
mod tests {
    use spanring_spool::Position;

    use super::*;
    use crate::engine::traces::Traces;
    use crate::sink::tests::span;

    #[test]
    fn a_span_that_stands_in_what_was_recovered_where_another_stands_in_its_origin_is_another_one() {
        let spans = [span(1), span(2)];
        let mut traces = Traces::default();
        let position = Position { segment: 1, offset: 8192, next_sequence: 2 };
        traces.note(0, [Position::default(), position], &spans, &[], 0);
        let over = traces.take_all().remove(0);
        let origin = RecorderId::from_parts(1, 2);
        let place = |recorder| SpanPlace { recorder, block: position, number: 0 };
        let [first, second] = spans;
        let chunks = [vec![(place(origin.clone()), first)], vec![(place(origin.recovery()), second)]];
        let mut order =
            ParentsFirst { of: &over, sent: HashSet::new(), known: HashSet::new(), is_forced: false };
        for chunk in &chunks {
            assert_eq!(order.take(chunk.clone()).len(), 1);
        }
        for chunk in chunks {
            assert_eq!(order.take(chunk).len(), 0, "it was taken");
        }
    }

    #[test]
    fn what_was_refused_or_not_wanted_is_shared_out_so_that_no_part_has_more_than_it_had() {
        for (rejected, dead_lettered) in [(0, 0), (11, 0), (0, 11), (4, 7), (3, 2), (1, 10)] {
            let mut counts = Counts::new();
            share_out(
                BTreeMap::from([(0, 10), (1, 1)]),
                Done { rejected, dead_lettered, batches: 0 },
                &mut counts,
            );
            let of = |part| counts[&part];
            assert_eq!((of(0).spans(), of(1).spans()), (10, 1));
            assert_eq!(of(0).dropped + of(1).dropped, rejected);
            assert_eq!(of(0).dead_lettered + of(1).dead_lettered, dead_lettered);
        }
    }
}
