//! The medians of this run, of samples and of single bursts, and what its quietest tenth took, as tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use crate::Bursts;
use crate::bursts::EachBurst;
use crate::ways::WAYS;

const GROUPS: [&str; 5] =
    ["record_disabled", "record_child", "record_4_attributes", "record_llm", "record_2_threads"];

/// Prints what was measured since then: nanoseconds a span, and each as a multiple of the group's floor. A sample is the mean of many bursts, so that
/// the few are in it which something held up: on a processor that others use too, what neighbours take is in the medians of samples, and least
/// of it in their lower deciles. The median of the bursts themselves is what most spans take.
pub(crate) fn print(since: SystemTime, mut bursts: Bursts) {
    let groups: Vec<_> = GROUPS.map(|group| samples(&results().join(group), since)).into();
    if groups.iter().all(BTreeMap::is_empty) {
        return;
    }
    table("medians", &groups, 0.5);
    table("lower deciles", &groups, 0.1);
    let sorted = |mut functions: BTreeMap<String, EachBurst>| {
        functions.retain(|_, each| !each.is_empty());
        functions.values_mut().for_each(|each| each.sort_by(f64::total_cmp));
        functions
    };
    let bursts: Vec<_> = GROUPS.map(|group| bursts.remove(group).map(sorted).unwrap_or_default()).into();
    table("medians of single bursts", &bursts, 0.5);
}

/// Of each way in each group, the sample that so great a part of all are no greater than.
fn table(title: &str, groups: &[BTreeMap<String, Vec<f64>>], part: f64) {
    let mut names: Vec<_> = WAYS.iter().map(|way| way.name.to_owned()).collect();
    names.extend(["floor_1_thread", "spanring_1_thread"].map(str::to_owned));
    eprintln!("\n{title}, ns a span (× floor)");
    eprintln!("| | {} |\n|---|{}", GROUPS.join(" | "), "--:|".repeat(GROUPS.len()));
    let at = |samples: &Vec<f64>| quantile(samples, part);
    for name in names {
        let cells = groups.iter().map(|group| match (group.get(&name).map(at), group.get("floor").map(at)) {
            (Some(ns), Some(floor)) => format!("{ns:.1} ({:.2})", ns / floor),
            (Some(ns), None) => format!("{ns:.1}"),
            (None, _) => String::new(),
        });
        eprintln!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

/// The sample at this part of the way from the least to the greatest; there is at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a part of a small number")]
fn quantile(samples: &[f64], part: f64) -> f64 {
    samples[((samples.len() - 1) as f64 * part).round() as usize]
}

/// Where criterion keeps its results.
fn results() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(|target| target.join("criterion"));
    std::env::var_os("CRITERION_HOME").map(PathBuf::from).or(target).unwrap_or_default()
}

/// The nanoseconds a span of each sample of a group's functions, least first.
fn samples(group: &Path, since: SystemTime) -> BTreeMap<String, Vec<f64>> {
    let functions = group.read_dir().into_iter().flatten().flatten();
    let samples = |function: fs::DirEntry| {
        let file = function.path().join("new/sample.json");
        let is_of_this_run = file.metadata().and_then(|metadata| metadata.modified()).ok()? >= since;
        let sample: Value = serde_json::from_slice(&fs::read(&file).ok()?).ok()?;
        let numbers =
            |name: &str| sample[name].as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<_>>>();
        let each = numbers("times")?.into_iter().zip(numbers("iters")?).map(|(time, spans)| time / spans);
        let mut each: Vec<f64> = each.collect();
        each.sort_by(f64::total_cmp);
        (is_of_this_run && !each.is_empty())
            .then(|| (function.file_name().to_string_lossy().into_owned(), each))
    };
    functions.filter_map(samples).collect()
}
