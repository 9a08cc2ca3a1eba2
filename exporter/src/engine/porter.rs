//! Hands what there is to one sink: again and again while it fails, in halves where it refuses, until the sink has it or it is set aside.
//!
//! What that is, and where the sink has got by it, is for others to know: a [courier](super::courier), which follows a spool, or a
//! [redelivery](super::redelivery), which goes back in it.

mod aside;
mod delivery;
mod gather;
mod load;
mod notes;
mod parents_first;
mod patience;
mod terminations;
mod waves;

use std::collections::BTreeMap;
use std::time::Duration;

use spanring_spool::{DeadLetters, RecorderId, SpoolDir};
use tokio::sync::watch;

pub(super) use self::delivery::Done;
pub(super) use self::gather::{Blocks, Counts};
pub(super) use self::load::{Load, Places};
use self::notes::Notes;
use self::terminations::Wanted;
use super::notice::Notice;
use super::rate::Rate;
use super::report::SinkReport;
use super::status::{SinkSnapshot, Status};
use super::{Mode, Notices};
use crate::breaker::Breaker;
use crate::sink::{Needs, Sink, Width};

/// How a sink is handed something, and who is told what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) spool: SpoolDir,
    /// Where it is set aside what a sink refuses. Without them nothing is written to the spool: what is refused is told and counted, and no process
    /// learns that it is to stop.
    pub(super) letters: Option<DeadLetters>,
    pub(super) mode: Mode,
    pub(super) status: Status,
    pub(super) notices: Notices,
    pub(super) stop: watch::Receiver<bool>,
    /// How long a sink may take for the batch that it is at once a stop is asked for.
    pub(super) stop_deadline: Duration,
}

/// One sink, and what it came to.
pub(super) struct Porter {
    /// Which sink of the exporter it is.
    pub(super) number: usize,
    pub(super) sink: Box<dyn Sink>,
    pub(super) terms: Terms,
    breaker: Breaker,
    /// Why the sink failed, as it was told last while it is taken for one that is out.
    told: Option<String>,
    rate: Option<Rate>,
    /// How many batches it is sent at the same time.
    width: Width,
    /// The processes that are to be told to stop.
    terminations: BTreeMap<RecorderId, Wanted>,
    /// What the sink has to know again.
    notes: Notes,
    /// How many spans it has refused that it had not before, since it took any.
    refused_in_a_row: u32,
    /// How it ended is for those to say who know whether there is more.
    pub(super) report: SinkReport,
}

impl Porter {
    pub(super) fn new(number: usize, sink: Box<dyn Sink>, rate: Option<Rate>, terms: Terms) -> Self {
        let report = SinkReport::new(sink.name());
        let breaker = Breaker::new(match terms.mode {
            Mode::Once { deadline } => Some(deadline),
            Mode::Follow { .. } => None,
        });
        let batches_max = match sink.needs() {
            Needs::Spans => sink.batches_max(),
            Needs::ParentsFirst | Needs::Overview | Needs::Traces => 1,
        };
        Porter {
            number,
            sink,
            terms,
            breaker,
            told: None,
            rate,
            width: Width::new(batches_max),
            terminations: BTreeMap::new(),
            notes: Notes::default(),
            refused_in_a_row: 0,
            report,
        }
    }

    /// How many batches may be on their way at the same time.
    pub(super) fn batches_max(&self) -> usize {
        self.width.limit()
    }

    /// Shows how the sink stands.
    pub(super) fn show(&self, change: impl FnOnce(&mut SinkSnapshot)) {
        self.terms.status.update_sink(self.number, |standing| {
            standing.report = self.report.clone();
            change(standing);
        });
    }

    pub(super) fn tell(&self, notice: Notice) {
        self.terms.notices.tell(notice);
    }

    /// Whether somebody has asked for a stop.
    pub(super) fn is_to_stop(&self) -> bool {
        *self.terms.stop.borrow()
    }
}
