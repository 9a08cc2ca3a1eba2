//! How a sink is served, whatever kind it is.

use std::num::NonZeroU32;

use toml::de::DeValue;

use super::error::ConfigError;
use super::table::{self, Table};
use crate::engine::{Keep, RouteOptions};

pub(super) const SPANS_PER_SECOND: &str = "spans_per_second";
pub(super) const TRACES: &str = "traces";

/// Reads what a `[[sink]]` says of it.
pub(super) fn read(table: &Table<'_>) -> Result<RouteOptions, ConfigError> {
    let spans_per_second = table.plain(SPANS_PER_SECOND, |value| {
        let count = u32::try_from(table::count(value)?.get()).ok().and_then(NonZeroU32::new);
        count.ok_or("it is a whole number above 0, and below 4,294,967,296")
    })?;
    let keep = match table.value(TRACES, table::table)? {
        None => None,
        Some(said) => {
            let (source, name) = (table.source, "traces of a [[sink]]");
            Some(keep(&Table { source, name, span: said.span, keys: said.value })?)
        }
    };
    Ok(RouteOptions { spans_per_second, keep })
}

fn keep(table: &Table<'_>) -> Result<Keep, ConfigError> {
    table.check(&["share", "errors", "interrupted", "slower_than", "dearer_than"])?;
    let share = table.plain("share", |value| match number(value) {
        Some(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share is a number from 0 to 1"),
    })?;
    let mut keep = Keep::errors_and_share(table.required("share", share)?);
    if let Some(errors) = table.plain("errors", truth)? {
        keep = keep.errors(errors);
    }
    if let Some(interrupted) = table.plain("interrupted", truth)? {
        keep = keep.interrupted(interrupted);
    }
    if let Some(duration) = table.plain("slower_than", table::duration)? {
        keep = keep.slower_than(duration);
    }
    let cost = table.plain("dearer_than", |value| match number(value) {
        Some(cost) if cost >= 0.0 => Ok(cost),
        _ => Err("a cost is a number, and not below 0"),
    })?;
    Ok(match cost {
        Some(cost) => keep.dearer_than(cost),
        None => keep,
    })
}

fn truth(value: &DeValue<'_>) -> Result<bool, &'static str> {
    match value {
        DeValue::Boolean(truth) => Ok(*truth),
        _ => Err("it is true or false"),
    }
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
        _ => None,
    }
}
