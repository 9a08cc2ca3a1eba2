//! A way out of the spool.

use std::fmt;
use std::num::NonZeroU32;

use super::Keep;
use super::rate::Rate;
use crate::sink::Sink;

/// A sink, and how it is served.
#[must_use = "an exporter delivers along a route that it is given"]
pub struct Route {
    pub(super) sink: Box<dyn Sink>,
    pub(super) keep: Option<Keep>,
    pub(super) rate: Option<Rate>,
}

/// How a sink is served. The default is as fast as it takes what is there, and all of it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct RouteOptions {
    /// How many spans it is sent in a second at most, on average, those that are sent again included. A second in which nothing was sent
    /// may be made up for. Routes that are made [together](Route::together) have one limit.
    pub spans_per_second: Option<NonZeroU32>,
    /// Which traces it is sent, each once it is over. Spans of the others count as [sampled out](super::SinkReport::sampled_out), and as
    /// dropped in the sink's cursor.
    pub keep: Option<Keep>,
}

impl Route {
    /// To this sink, as fast as it takes what is there.
    pub fn to(sink: Box<dyn Sink>) -> Self {
        Route { sink, keep: None, rate: None }
    }

    /// To sinks that are one and the same to whoever reads there, one for each of several exporters. What all of them are sent counts
    /// together where there is a limit of spans a second.
    pub fn together(sinks: impl IntoIterator<Item = Box<dyn Sink>>, options: RouteOptions) -> Vec<Self> {
        let rate = options.spans_per_second.map(Rate::new);
        let route = |sink| Route { rate: rate.clone(), ..Route::to(sink).options(options) };
        sinks.into_iter().map(route).collect()
    }

    /// As these options say.
    pub fn options(mut self, options: RouteOptions) -> Self {
        let RouteOptions { spans_per_second, keep } = options;
        (self.rate, self.keep) = (spans_per_second.map(Rate::new), keep);
        self
    }

    /// Sends at most so many [spans a second](RouteOptions::spans_per_second).
    pub fn spans_per_second(mut self, limit: NonZeroU32) -> Self {
        self.rate = Some(Rate::new(limit));
        self
    }

    /// Delivers only the traces that the rules [keep](RouteOptions::keep).
    pub fn keep(mut self, rules: Keep) -> Self {
        self.keep = Some(rules);
        self
    }
}

impl From<Box<dyn Sink>> for Route {
    fn from(sink: Box<dyn Sink>) -> Self {
        Route::to(sink)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Route { sink, keep, rate } = self;
        f.debug_struct("Route").field("sink", &sink.name()).field("keep", keep).field("rate", rate).finish()
    }
}
