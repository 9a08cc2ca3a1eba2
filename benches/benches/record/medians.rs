//! The medians of this run, as one table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use crate::ways::WAYS;

const GROUPS: [&str; 5] =
    ["record_disabled", "record_child", "record_4_attributes", "record_llm", "record_2_threads"];

/// Prints what was measured since then: nanoseconds a span, and each as a multiple of the group's floor.
pub(crate) fn print(since: SystemTime) {
    let medians: Vec<_> = GROUPS.map(|group| medians(&results().join(group), since)).into();
    if medians.iter().all(BTreeMap::is_empty) {
        return;
    }
    let mut names: Vec<_> = WAYS.iter().map(|way| way.name.to_owned()).collect();
    names.extend(["floor_1_thread", "spanring_1_thread"].map(str::to_owned));
    eprintln!("\nmedians, ns a span (× floor)");
    eprintln!("| | {} |\n|---|{}", GROUPS.join(" | "), "--:|".repeat(GROUPS.len()));
    for name in names {
        let cells = medians.iter().map(|group| match (group.get(&name), group.get("floor")) {
            (Some(median), Some(floor)) => format!("{median:.1} ({:.2})", median / floor),
            (Some(median), None) => format!("{median:.1}"),
            (None, _) => String::new(),
        });
        eprintln!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

/// Where criterion keeps its results.
fn results() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(|target| target.join("criterion"));
    std::env::var_os("CRITERION_HOME").map(PathBuf::from).or(target).unwrap_or_default()
}

/// The medians of a group's functions.
fn medians(group: &Path, since: SystemTime) -> BTreeMap<String, f64> {
    let functions = group.read_dir().into_iter().flatten().flatten();
    let median = |function: fs::DirEntry| {
        let file = function.path().join("new/estimates.json");
        let is_of_this_run = file.metadata().and_then(|metadata| metadata.modified()).ok()? >= since;
        let estimates: Value = serde_json::from_slice(&fs::read(&file).ok()?).ok()?;
        let median = estimates["median"]["point_estimate"].as_f64()?;
        is_of_this_run.then(|| (function.file_name().to_string_lossy().into_owned(), median))
    };
    functions.filter_map(median).collect()
}
