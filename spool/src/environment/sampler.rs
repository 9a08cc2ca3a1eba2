//! Which sampler OpenTelemetry's variables name.

use std::sync::Arc;

use spanring::sampling::{AlwaysOff, AlwaysOn, ParentBased, Sampler, TraceIdRatio};

/// A sampler that `OTEL_TRACES_SAMPLER` can name, with what `OTEL_TRACES_SAMPLER_ARG` says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct NamedSampler {
    pub(super) by_parent: bool,
    /// The share of the traces that is recorded; all or none where it is 1 or 0.
    pub(super) ratio: f64,
}

impl NamedSampler {
    /// The sampler with this name. Its argument is asked for where it takes one, and what is wrong with that is given to `warn`: the share
    /// is 1 then, as where there is no argument.
    pub(super) fn named(
        name: &str,
        argument: impl FnOnce() -> Option<Result<String, &'static str>>,
        warn: impl FnOnce(&str),
    ) -> Result<Self, &'static str> {
        let (by_parent, rest) = match name.strip_prefix("parentbased_") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let ratio = match rest {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => match argument().map(|argument| argument.and_then(|text| share(&text))) {
                None => 1.0,
                Some(Ok(ratio)) => ratio,
                Some(Err(reason)) => {
                    warn(reason);
                    1.0
                }
            },
            _ => return Err("it names no sampler that is known here"),
        };
        Ok(NamedSampler { by_parent, ratio })
    }

    pub(crate) fn sampler(self) -> Arc<dyn Sampler> {
        match self {
            NamedSampler { by_parent: true, ratio: 1.0 } => Arc::new(ParentBased(AlwaysOn)),
            NamedSampler { by_parent: true, ratio: 0.0 } => Arc::new(ParentBased(AlwaysOff)),
            NamedSampler { by_parent: true, ratio } => Arc::new(ParentBased(TraceIdRatio::new(ratio))),
            NamedSampler { by_parent: false, ratio: 1.0 } => Arc::new(AlwaysOn),
            NamedSampler { by_parent: false, ratio: 0.0 } => Arc::new(AlwaysOff),
            NamedSampler { by_parent: false, ratio } => Arc::new(TraceIdRatio::new(ratio)),
        }
    }
}

fn share(text: &str) -> Result<f64, &'static str> {
    let ratio: f64 = text.trim().parse().map_err(|_| "it is no number, and counts as 1")?;
    if (0.0..=1.0).contains(&ratio) {
        Ok(ratio)
    } else {
        Err("it does not lie between 0 and 1, and counts as 1")
    }
}
