//! Traces in the order in which they were recorded, batch by batch, each shown to the sink before its first batch.
//!
//! Small traces share a batch, and none of these is divided; one that has more spans than a batch begins one of its own. So which of a trace's spans go
//! together follows from the trace alone, unless it is small.

use spanring_spool::{Error, RecorderId, Resource, SpanData};

use super::super::super::batching::{BYTES_MAX, span_len};
use super::super::super::report::SinkEnd;
use super::super::super::stopped;
use super::super::super::traces::{Over, Traces};
use super::super::Porter;
use super::{BYTES_AT_ONCE, Blocks, Counts, SPANS_AT_ONCE, Source, fitting, note_delivered};
use crate::engine::SPANS_MAX;
use crate::sink::TraceSpans;

/// What the sink is handed in.
struct Hands<'a> {
    resource: &'a Resource,
    recorders: &'a [RecorderId],
    traces: &'a Traces,
}

impl Porter {
    /// Delivers traces in order.
    pub(super) async fn deliver_in_order(
        &mut self,
        blocks: &mut Blocks<'_>,
        resource: &Resource,
        over: &mut [Over],
        counts: &mut Counts,
        missing: &mut Counts,
    ) -> Result<Result<(), Error>, SinkEnd> {
        let hands = Hands { resource, recorders: blocks.recorders, traces: blocks.traces };
        let mut rest: Vec<_> = over.iter_mut().filter(|over| over.len() > 0).collect();
        let mut rest = rest.as_mut_slice();
        while !rest.is_empty() {
            let count = fitting(rest, SPANS_AT_ONCE, BYTES_AT_ONCE);
            let (group, behind) = std::mem::take(&mut rest).split_at_mut(count.max(1));
            rest = behind;
            let done = match (count, &mut *group) {
                (0, [over, ..]) => self.deliver_large(blocks, over, &hands, counts, missing).await?,
                _ => self.deliver_packed(blocks, group, &hands, counts, missing).await?,
            };
            if let Err(error) = done {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Delivers a trace that is read block by block: as often as the sink wants for the overview, and once to be sent.
    async fn deliver_large(
        &mut self,
        blocks: &mut Blocks<'_>,
        over: &mut Over,
        hands: &Hands<'_>,
        counts: &mut Counts,
        missing: &mut Counts,
    ) -> Result<Result<(), Error>, SinkEnd> {
        let mut of_trace = Counts::new();
        let mut source = Source::new(blocks, over, None);
        self.give_overview(&mut source).await?;
        if let Some(error) = source.error {
            return Ok(Err(error));
        }
        source.rewind();
        let spans_max = self.sink.spans_max().clamp(1, SPANS_MAX);
        let (mut gathered, mut bytes) = (Vec::new(), 0);
        while let Some(placed) = match source.chunk() {
            Ok(placed) => placed,
            Err(error) => return Ok(Err(error)),
        } {
            for placed in placed {
                bytes += span_len(&placed.1);
                gathered.push(placed);
                if gathered.len() >= spans_max || bytes >= BYTES_MAX {
                    let full = std::mem::take(&mut gathered);
                    self.deliver_placed(full, Vec::new(), hands.resource, hands.recorders, &mut of_trace)
                        .await?;
                    bytes = 0;
                }
            }
        }
        self.deliver_placed(gathered, Vec::new(), hands.resource, hands.recorders, &mut of_trace).await?;
        note_delivered(&mut [over], hands.traces, of_trace, counts, missing);
        Ok(Ok(()))
    }

    /// Delivers traces that are in memory together.
    async fn deliver_packed(
        &mut self,
        blocks: &mut Blocks<'_>,
        group: &mut [&mut Over],
        hands: &Hands<'_>,
        counts: &mut Counts,
        missing: &mut Counts,
    ) -> Result<Result<(), Error>, SinkEnd> {
        let mut gathered = match blocks.gather(group) {
            Ok(gathered) => gathered,
            Err(error) => return Ok(Err(error)),
        };
        let spans_max = self.sink.spans_max().clamp(1, SPANS_MAX);
        let mut rest = group;
        while !rest.is_empty() {
            let count = fitting(rest, spans_max, BYTES_MAX);
            let (pack, behind) = rest.split_at_mut(count.max(1));
            rest = behind;
            let placed = pack.iter().filter_map(|over| gathered.remove(&over.trace_id));
            let (places, spans): (Vec<_>, Vec<_>) = placed.flatten().unzip();
            self.give_overview(&mut InMemory { spans: &spans, is_read: false }).await?;
            let mut of_pack = Counts::new();
            self.deliver_spans(&places, &spans, &[], hands.resource, hands.recorders, &mut of_pack).await?;
            note_delivered(pack, hands.traces, of_pack, counts, missing);
        }
        Ok(Ok(()))
    }

    /// Shows the sink what comes, unless somebody asks for a stop meanwhile.
    async fn give_overview(&mut self, spans: &mut dyn TraceSpans) -> Result<(), SinkEnd> {
        tokio::select! {
            biased;
            () = self.sink.overview(spans) => Ok(()),
            () = stopped(&mut self.terms.stop) => Err(SinkEnd::Stopped),
        }
    }
}

/// The spans of traces that are in memory.
struct InMemory<'a> {
    spans: &'a [SpanData],
    is_read: bool,
}

impl TraceSpans for InMemory<'_> {
    fn rewind(&mut self) {
        self.is_read = false;
    }

    fn next(&mut self) -> std::io::Result<Option<&[SpanData]>> {
        let is_next = !std::mem::replace(&mut self.is_read, true) && !self.spans.is_empty();
        Ok(is_next.then_some(self.spans))
    }
}
