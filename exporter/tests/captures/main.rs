//! Real requests and files of five systems, rebuilt as spans: every value of them is held.
//!
//! For each system there is a way in, `rebuild`, which records the spans of a capture as a program would that records them with
//! spanring, at the capture's identities and times; and a way out, `document`, which writes the system's own JSON again, from the
//! spans that are read back and nothing else. What comes out is what went in, but for what the system's rules list, each with a reason.
//!
//! That nothing is written that was not read is shown too: for every value of every capture, a capture in which that value is another
//! is rebuilt and written, and what is written differs from the first in that value and no other.
//!
//! Each system has a folder of captures beside this file: one request per file, as a server received it, or the system's own export.

mod in_block;
mod json;
mod langchain;
mod langchain_classes;
mod moments;
mod mutants;
mod openai_agents;
mod openai_agents_delivered;
mod openai_host;
mod prefactor;
mod prefactor_delivered;
mod prela;
mod prela_delivered;
mod prela_files;
mod prela_requests;
mod recording;
mod rules;
mod spanforge;
mod spanforge_delivered;
mod spanforge_payloads;
mod spanforge_requests;
mod words;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::Value as Json;
use spanring_spool::SpanData;

use mutants::{Mutant, Original, others, shortened};
use recording::Recording;
use rules::{Rule, Table, difference, filtered, leaves, rule};

/// One way in which a system writes spans.
pub(crate) struct Form {
    /// Records the spans of a capture.
    rebuild: fn(&Json, &mut Recording),
    /// Writes a capture from its spans.
    document: fn(&[SpanData]) -> Json,
    rules: &'static [&'static Table],
    /// What a value could be as well, where that is not any other value of its sort.
    others: fn(&[String], &Json) -> Option<Vec<Json>>,
    /// Where the list is whose items say nothing about each other: what becomes of a change in one is then shown with that one alone.
    list: Option<&'static str>,
    captures: fn() -> Vec<Capture>,
}

pub(crate) struct Capture {
    name: &'static str,
    json: Json,
}

fn path_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(name)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// A file of JSON.
pub(crate) fn file(name: &'static str) -> Capture {
    Capture { name, json: serde_json::from_str(&read(&path_of(name))).unwrap() }
}

/// A file of lines of JSON, as an array.
pub(crate) fn lines(name: &'static str) -> Capture {
    let json = read(&path_of(name)).lines().map(|line| serde_json::from_str::<Json>(line).unwrap()).collect();
    Capture { name, json }
}

/// The files of a folder, in the order of their names, as an array.
pub(crate) fn folder(name: &'static str) -> Capture {
    let mut paths: Vec<_> = fs::read_dir(path_of(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    let json = paths.iter().map(|path| serde_json::from_str::<Json>(&read(path)).unwrap()).collect();
    Capture { name, json }
}

impl Capture {
    pub(crate) fn map(self, change: impl FnOnce(Json) -> Json) -> Self {
        Capture { json: change(self.json), ..self }
    }
}

impl Form {
    fn assert_that_every_value_is_held(&self) {
        for capture in (self.captures)() {
            let mut recording = Recording::start();
            (self.rebuild)(&capture.json, &mut recording);
            let spans = recording.read();
            assert!(!spans.is_empty(), "{} has spans", capture.name);
            let of_spans =
                |json: &Json| filtered(json, self.rules, &|rule| !matches!(rule, Rule::Transport(_)));
            let written = of_spans(&(self.document)(&spans));
            if let Some(difference) = difference(&of_spans(&capture.json), &written) {
                panic!("{}{difference}", capture.name);
            }
        }
    }

    fn assert_that_every_change_is_followed(&self) {
        for capture in (self.captures)() {
            let mut mutants = Vec::new();
            for part in self.parts(&shortened(&capture.json)) {
                let of = Rc::new(Original { held: self.held(&part), capture: part });
                leaves(&of.capture, &mut |path, value| {
                    if rule(self.rules, path).0 == Rule::Held {
                        let others = (self.others)(path, value).unwrap_or_else(|| others(path, value));
                        let mutant = |other| Mutant { of: of.clone(), path: path.into(), other };
                        mutants.extend(others.into_iter().map(mutant));
                    }
                });
            }
            assert!(!mutants.is_empty(), "{} holds nothing", capture.name);
            self.assert_that_mutants_are_followed(&mutants, capture.name);
        }
    }

    fn held(&self, json: &Json) -> Json {
        filtered(json, self.rules, &|rule| rule == Rule::Held)
    }

    /// The capture with one item of the list at a time.
    fn parts(&self, capture: &Json) -> Vec<Json> {
        let Some(list) = self.list else { return vec![capture.clone()] };
        let mut rest = capture.clone();
        let items = rest.pointer_mut(list).unwrap().take();
        let with = |item: &Json| {
            let mut part = rest.clone();
            *part.pointer_mut(list).unwrap() = Json::Array(vec![item.clone()]);
            part
        };
        items.as_array().unwrap().iter().map(with).collect()
    }

    fn assert_that_mutants_are_followed(&self, mutants: &[Mutant], name: &str) {
        let mut recording = Recording::start();
        let mut ends = Vec::new();
        for mutant in mutants {
            (self.rebuild)(&mutant.capture(), &mut recording);
            ends.push(recording.len());
        }
        let spans = recording.read();
        let mut from = 0;
        for (mutant, end) in mutants.iter().zip(ends) {
            let written = self.held(&(self.document)(&spans[from..end]));
            if let Some(difference) = difference(&mutant.held(), &written) {
                panic!("{name} with {} at {}: {difference}", mutant.other, mutant.path.join("/"));
            }
            from = end;
        }
    }
}

/// What a value could be as well: nothing out of the ordinary.
pub(crate) fn any_other(_: &[String], _: &Json) -> Option<Vec<Json>> {
    None
}

macro_rules! forms {
    ($($form:path as $name:ident;)*) => {
        mod every_value_is_held {
            $(#[test]
            fn $name() {
                $form.assert_that_every_value_is_held();
            })*
        }

        mod every_change_is_followed {
            $(#[test]
            fn $name() {
                $form.assert_that_every_change_is_followed();
            })*
        }

        const FORMS: &[Form] = &[$($form),*];
    };
}

forms! {
    crate::prefactor::REQUESTS as by_the_requests_of_prefactor;
    crate::langchain::REQUESTS as by_the_requests_of_prefactor_langchain;
    crate::langchain_classes::DICTIONARIES as by_the_classes_of_prefactor_langchain;
    crate::openai_agents::RAW as by_the_requests_of_the_openai_agents_sdk;
    crate::openai_agents::SANITIZED as by_the_sanitized_requests_of_the_openai_agents_sdk;
    crate::prela::SPANS as by_the_spans_of_prela;
    crate::prela_requests::TRACES as by_the_requests_of_prela;
    crate::prela_requests::OTLP as by_the_otlp_requests_of_prela;
    crate::spanforge::EVENTS as by_the_events_of_spanforge;
    crate::spanforge::PAYLOADS as by_the_saved_traces_of_spanforge;
    crate::spanforge::TRACES as by_the_traces_of_spanforge;
    crate::spanforge_requests::OTLP as by_the_otlp_requests_of_spanforge;
    crate::spanforge_requests::WEBHOOK as by_the_webhooks_of_spanforge;
    crate::spanforge_requests::DATADOG as by_the_datadog_requests_of_spanforge;
    crate::spanforge_requests::LOKI as by_the_loki_requests_of_spanforge;
}

/// Several forms may share a table.
#[test]
fn every_rule_is_for_something() {
    let mut applied = HashMap::<&Table, Vec<bool>>::new();
    for form in FORMS {
        for table in form.rules {
            applied.entry(table).or_insert_with(|| vec![false; table.len()]);
        }
        for capture in (form.captures)() {
            leaves(&capture.json, &mut |path, _| {
                if let (_, Some((table, at))) = rule(form.rules, path) {
                    applied.get_mut(form.rules[table]).unwrap()[at] = true;
                }
            });
        }
    }
    for table in FORMS.iter().flat_map(|form| form.rules) {
        for ((path, rule), applied) in table.iter().zip(&applied[*table]) {
            assert!(applied, "the rule for {path} is for nothing: {rule:?}");
        }
    }
}
