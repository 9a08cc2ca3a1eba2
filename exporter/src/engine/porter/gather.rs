//! The spans of traces that are over, read again from their blocks, on their way to the sink.

mod in_order;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::io;

use spanring::{SpanId, TraceId};
use spanring_spool::{Block, Error, RecorderId, RecorderReader, Resource, SpanData, SpoolDir};

use super::super::notice::Notice;
use super::super::report::SinkEnd;
use super::super::traces::{Begin, Over, Traces};
use super::Porter;
use super::delivery::{Answer, Done};
use super::load::{Load, Places, SpanPlace};
use super::parents_first::ParentsFirst;
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
pub(super) type Placed = (SpanPlace, SpanData);

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

    /// Looks at the blocks that have their place together with this one, and of which recorder they are, but for what was damaged since it was read
    /// first.
    pub(in crate::engine) fn each(
        &mut self,
        number: u64,
        mut look: impl FnMut(&RecorderId, &Block),
    ) -> Result<(), Error> {
        let held = self.traces.block(number).expect("by T1, what is not done has its block held");
        let recorder = &self.recorders[held.part];
        if let Some((_, block)) = self.last.as_ref().filter(|(last, _)| *last == held.first) {
            look(recorder, block);
            return Ok(());
        }
        self.last = None;
        let reader = match self.readers.entry(held.part) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(new) => new.insert(self.spool.reader(recorder)?),
        };
        reader.seek(held.before);
        while let Some(block) = reader.next_block()?.filter(|block| block.position <= held.position) {
            let is_last = block.position == held.position;
            // Others had been read before, from another segment that could not be synced.
            let is_in_run = || !held.is_one() && block.position.next_sequence > held.before.next_sequence;
            if is_last || is_in_run() {
                look(recorder, &block);
            }
            if is_last {
                self.last = held.is_one().then_some((held.first, block));
                break;
            }
        }
        Ok(())
    }

    /// The spans of these traces in a place, block by block.
    fn spans(&mut self, number: u64, of: &HashMap<TraceId, Begin>) -> Result<Vec<Vec<Placed>>, Error> {
        let (recorders, mut blocks) = (self.recorders, Vec::new());
        self.each(number, |recorder, block| {
            let here = (part_of(recorders, recorder), block.position);
            let is_wanted =
                |(_, span): &(usize, &SpanData)| of.get(&span.trace_id).is_some_and(|begins| *begins < here);
            let placed = |(number, span): (usize, &SpanData)| {
                (SpanPlace { recorder: recorder.clone(), block: block.position, number }, span.clone())
            };
            let of_block: Vec<_> = block.spans.iter().enumerate().filter(is_wanted).map(placed).collect();
            if !of_block.is_empty() {
                blocks.push(of_block);
            }
        })?;
        Ok(blocks)
    }

    /// The spans of these traces.
    fn gather(&mut self, of: &[&mut Over]) -> Result<HashMap<TraceId, Vec<Placed>>, Error> {
        let mut gathered = HashMap::<TraceId, Vec<Placed>>::new();
        for (number, of) in self.traces.by_place(of.iter().map(|over| &**over)) {
            for placed in self.spans(number, &of)?.into_iter().flatten() {
                gathered.entry(placed.1.trace_id).or_default().push(placed);
            }
        }
        Ok(gathered)
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
                blocks.entry(self.traces.place(*number)).or_default().insert(span);
            }
        }
        let mut starts = Vec::new();
        for (number, of) in blocks {
            let is_wanted = |span: &&SpanData| span.trace_id == trace_id && of.contains(&span.span_id);
            self.each(number, |_, block| starts.extend(block.starts.iter().filter(is_wanted).cloned()))?;
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
    /// What was read and not handed over: of one place.
    read: VecDeque<Vec<Placed>>,
    chunk: Vec<SpanData>,
    /// Why it could not be read on, if it could not.
    error: Option<Error>,
}

impl<'a, 'b> Source<'a, 'b> {
    fn new(blocks: &'a mut Blocks<'b>, over: &'a Over, gathered: Option<&'a [Placed]>) -> Self {
        Source { blocks, over, gathered, at: 0, read: VecDeque::new(), chunk: Vec::new(), error: None }
    }

    /// The next spans, with their places.
    fn chunk(&mut self) -> Result<Option<Vec<Placed>>, Error> {
        loop {
            if let Some(read) = self.read.pop_front() {
                return Ok(Some(read));
            }
            self.at += 1;
            match self.gathered {
                Some(spans) => return Ok((self.at == 1).then(|| spans.to_vec())),
                None => match self.over.shares.get(self.at - 1) {
                    Some(share) => {
                        let of = HashMap::from([self.over.identity()]);
                        self.read = self.blocks.spans(share.block, &of)?.into();
                    }
                    None => return Ok(None),
                },
            }
        }
    }

    fn rewind(&mut self) {
        self.at = 0;
        self.read.clear();
    }

    /// Who they are.
    fn ids(&mut self) -> Result<Vec<SpanId>, Error> {
        if let Some(spans) = self.gathered {
            return Ok(spans.iter().map(|(_, span)| span.span_id).collect());
        }
        let mut ids = Vec::with_capacity(self.over.len());
        self.rewind();
        while let Some(chunk) = self.chunk()? {
            ids.extend(chunk.iter().map(|(_, span)| span.span_id));
        }
        Ok(ids)
    }
}

impl TraceSpans for Source<'_, '_> {
    fn rewind(&mut self) {
        Source::rewind(self);
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
            Needs::Overview => {
                self.deliver_in_order(&mut blocks, resource, over, counts, &mut missing).await?
            }
            Needs::ParentsFirst | Needs::Traces => {
                self.deliver_by_trace(&mut blocks, resource, over, counts, &mut missing).await?
            }
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
        let traces = blocks.traces;
        // Where the next spans of each trace stand, and which of its shares that is: one of each, since there may be very many.
        let next_of = |nth: usize, over: &Over, from: usize| {
            let mut shares = over.shares.iter().enumerate().skip(from);
            let (at, share) = shares.find(|(_, share)| share.spans > 0)?;
            Some((traces.place(share.block), (nth, at)))
        };
        let firsts = over.iter().enumerate().filter_map(|(nth, over)| next_of(nth, over, 0));
        let mut next: BTreeSet<_> = firsts.collect();
        while let Some(&(number, _)) = next.first() {
            let behind = next.split_off(&(number + 1, (0, 0)));
            let here = std::mem::replace(&mut next, behind);
            let of = here.iter().map(|&(_, (nth, _))| over[nth].identity()).collect();
            let placed = match blocks.spans(number, &of) {
                Ok(placed) => placed,
                Err(error) => return Ok(Err(error)),
            };
            let found: u64 = placed.iter().map(|placed| placed.len() as u64).sum();
            for placed in placed {
                self.deliver_placed(placed, Vec::new(), resource, blocks.recorders, counts).await?;
            }
            let expected = here.iter().map(|&(_, (nth, at))| u64::from(over[nth].shares[at].spans)).sum();
            if let Some(held) = traces.block(number).filter(|_| found < expected) {
                missing.entry(held.part).or_default().dropped += expected - found;
            }
            for (_, (nth, at)) in here {
                over[nth].shares[at].spans = 0;
                next.extend(next_of(nth, &over[nth], at + 1));
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
            let count = fitting(rest, SPANS_AT_ONCE, BYTES_AT_ONCE);
            let (group, behind) = std::mem::take(&mut rest).split_at_mut(count.max(1));
            rest = behind;
            // One that is larger by itself is read block by block, as often as it must.
            let is_large = count == 0;
            let mut gathered = match blocks.gather(if is_large { &[] } else { &*group }) {
                Ok(gathered) => gathered,
                Err(error) => return Ok(Err(error)),
            };
            for over in group {
                let (traces, recorders) = (blocks.traces, blocks.recorders);
                let mut of_trace = Counts::new();
                let spans = gathered.remove(&over.trace_id).unwrap_or_default();
                let source = Source::new(blocks, over, if is_large { None } else { Some(&spans) });
                if let Err(error) = self.deliver_one(over, source, resource, recorders, &mut of_trace).await?
                {
                    return Ok(Err(error));
                }
                note_delivered(std::slice::from_mut(over), traces, of_trace, counts, missing);
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
        let mut order = match source.ids() {
            Ok(ids) => ParentsFirst::of(ids),
            Err(error) => return Ok(Err(error)),
        };
        while order.taken() < over.len() {
            let before = order.taken();
            source.rewind();
            order.rewind();
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
            if order.taken() == before && !order.force() {
                // The blocks have fewer spans than they had.
                break;
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
        let (mut first, mut parts) = (None, BTreeMap::<usize, u64>::new());
        while let Some(chunk) = match source.chunk() {
            Ok(chunk) => chunk,
            Err(error) => return Ok(Err(error)),
        } {
            for (place, _) in chunk {
                *parts.entry(part_of(recorders, &place.recorder)).or_default() += 1;
                first.get_or_insert(place);
            }
        }
        let Some(first) = first else { return Ok(Ok(())) };
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
        let is_new = match len > 1 && self.terms.letters.is_some() {
            true => {
                let trace = Trace { id, trace_id: over.trace_id, resource, len, spans: &mut source };
                match self.set_trace_aside(trace, &refused).await? {
                    Ok(is_new) => is_new,
                    Err(_) => return Ok(source.error.map_or(Ok(()), Err)),
                }
            }
            false => match self.make_letters(&mut source, resource, &refused).await? {
                Ok(is_new) => is_new,
                Err(error) => return Ok(Err(error)),
            },
        };
        for (part, spans) in parts {
            counts.entry(part).or_default().dead_lettered += spans;
        }
        self.refused(is_new, &refused).await?;
        Ok(Ok(()))
    }

    /// Makes dead letters of the spans of a trace, or tells that there will be none; whether there were none before.
    async fn make_letters(
        &mut self,
        source: &mut Source<'_, '_>,
        resource: &Resource,
        reason: &str,
    ) -> Result<Result<bool, Error>, SinkEnd> {
        source.rewind();
        let mut is_new = false;
        while let Some(chunk) = match source.chunk() {
            Ok(chunk) => chunk,
            Err(error) => return Ok(Err(error)),
        } {
            for (place, span) in chunk {
                is_new |= self.make_letter(place, resource, &span, reason).await?;
            }
        }
        Ok(Ok(is_new))
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
        self.deliver_spans(&places, &spans, &starts, resource, recorders, counts).await
    }

    /// Delivers spans that stand in these places.
    async fn deliver_spans(
        &mut self,
        places: &[SpanPlace],
        spans: &[SpanData],
        starts: &[SpanData],
        resource: &Resource,
        recorders: &[RecorderId],
        counts: &mut Counts,
    ) -> Result<(), SinkEnd> {
        let Some(first) = places.first() else { return Ok(()) };
        let recorder = &first.recorder;
        let cuts = self.cuts(spans.into());
        let load = Load {
            recorder,
            resource,
            spans: spans.into(),
            starts,
            places: Places::Each(places),
            cuts: &cuts,
        };
        let done = self.deliver(&load).await?;
        let mut parts = BTreeMap::<usize, u64>::new();
        for place in places {
            *parts.entry(part_of(recorders, &place.recorder)).or_default() += 1;
        }
        share_out(parts, done, counts);
        Ok(())
    }
}

/// How many of the first traces have no more spans and bytes together.
fn fitting(over: &[&mut Over], spans_max: usize, bytes_max: usize) -> usize {
    let (mut spans, mut bytes) = (0, 0_usize);
    let fits = |over: &&&mut Over| {
        spans += over.len();
        bytes = bytes.saturating_add(over.bytes);
        spans <= spans_max && bytes <= bytes_max
    };
    over.iter().take_while(fits).count()
}

/// Notes that these traces were delivered, of which so much was. What is missing of their spans is lost.
fn note_delivered(
    over: &mut [&mut Over],
    traces: &Traces,
    of_traces: Counts,
    counts: &mut Counts,
    missing: &mut Counts,
) {
    for over in over {
        for share in &over.shares {
            if let Some(held) = traces.block(share.block) {
                missing.entry(held.part).or_default().dropped += u64::from(share.spans);
            }
        }
        over.delivered();
        over.lost.clear();
    }
    for (part, count) in of_traces {
        let missing = &mut missing.entry(part).or_default().dropped;
        *missing = missing.saturating_sub(count.spans());
        counts.entry(part).or_default().add(count);
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

#[cfg(test)]
mod tests {
    use super::*;

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
