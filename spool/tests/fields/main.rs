//! Keeps docs/fields.md true: against what the five systems really sent, against the names of attributes, and against what
//! recording and reading back really does.

mod calls;
mod captures;
mod places;
mod readers;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value as Json;
use spanring::names;

use crate::calls::Call;
use crate::captures::{FREE, Part};
use crate::places::Found;
use crate::table::Document;

/// Walks through a part and looks up each key.
struct Walk<'a> {
    document: &'a Document,
    part: &'a Part,
    missing: &'a mut BTreeMap<String, String>,
    needed: &'a mut BTreeSet<(&'static str, &'static str)>,
}

impl Walk<'_> {
    fn value(&mut self, field: &str, value: &Json) {
        if let Some(free) = FREE.iter().find(|free| **free == (self.part.system, field)) {
            if holds_keys(value) || !self.document.has(free.0, free.1) {
                self.needed.insert(*free);
            }
            return;
        }
        if let Some(model) = captures::model_at(self.part.system, field, value) {
            return self.content(&model, value);
        }
        self.content(field, value);
    }

    fn content(&mut self, field: &str, value: &Json) {
        match value {
            Json::Object(pairs) => {
                pairs.iter().for_each(|(key, value)| self.key(field, key, value));
            }
            Json::Array(items) => items.iter().for_each(|item| self.value(&format!("{field}[]"), item)),
            _ => {}
        }
    }

    fn key(&mut self, parent: &str, key: &str, value: &Json) {
        let system = self.part.system;
        let base = captures::base(system, parent);
        for parent in [Some(parent), base].into_iter().flatten() {
            let own = if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") };
            for field in [own, format!("{parent}.*")] {
                if FREE.contains(&(system, &field)) || self.document.has(system, &field) {
                    return self.value(&field, value);
                }
            }
        }
        self.missing.entry(format!("{system}: {parent}.{key}")).or_insert_with(|| self.part.file.clone());
    }
}

fn holds_keys(value: &Json) -> bool {
    match value {
        Json::Object(_) => true,
        Json::Array(items) => items.iter().any(holds_keys),
        _ => false,
    }
}

#[test]
fn every_key_in_the_captures_of_a_system_has_a_row_in_its_table() {
    let (document, parts) = (Document::read(), captures::parts());
    let (mut missing, mut needed) = (BTreeMap::new(), BTreeSet::new());
    for part in &parts {
        let mut walk = Walk { document: &document, part, missing: &mut missing, needed: &mut needed };
        walk.value(&part.model, &part.value);
    }
    assert!(missing.is_empty(), "no row for {missing:#?}");
    let not_needed: Vec<_> = FREE.iter().filter(|free| !needed.contains(free)).collect();
    assert!(not_needed.is_empty(), "no capture has anything in {not_needed:#?}");

    let systems: BTreeSet<_> = parts.iter().map(|part| part.system).collect();
    let tables: BTreeSet<_> = document.rows.iter().map(|row| &row.system[..]).collect();
    assert!(systems.is_subset(&tables) && systems.len() == 6, "{systems:?}");
}

#[test]
fn no_field_stands_twice() {
    let document = Document::read();
    let mut seen = BTreeSet::new();
    for row in &document.rows {
        assert!(seen.insert((&row.system, &row.field)), "{} {}", row.system, row.field);
    }
}

#[test]
fn the_document_names_every_attribute_that_has_a_meaning_and_no_other() {
    let document = Document::read();
    let known: BTreeSet<&str> = names::ALL.iter().map(|(name, _)| *name).collect();
    let mut mentioned = BTreeSet::new();
    for quoted in document.quoted() {
        match places::key_of(quoted) {
            Some(key) => _ = mentioned.insert(key),
            None => assert!(!is_like_a_name(quoted), "there is no attribute {quoted}"),
        }
    }
    let forgotten: Vec<_> = known.difference(&mentioned).collect();
    assert!(forgotten.is_empty(), "the document does not say where these come from: {forgotten:?}");
}

fn is_like_a_name(quoted: &str) -> bool {
    quoted.starts_with("spanring.") || quoted.starts_with("gen_ai.")
}

#[test]
fn every_place_is_an_attribute_or_a_field_of_what_is_read() {
    for row in Document::read().rows {
        for place in &row.places {
            assert!(places::exists(place), "{} {}: {place}", row.system, row.field);
        }
    }
}

/// Each call, and what is read back of it: recorded once, as a process has one recorder at a time.
static RECORDED: LazyLock<Vec<(Call, Found)>> = LazyLock::new(|| {
    let calls = calls::all();
    let found = calls::record(&calls);
    calls.into_iter().zip(found).collect()
});

#[test]
fn each_call_records_what_the_rows_say_where_the_rows_say() {
    let document = Document::read();
    let documented: BTreeSet<&str> =
        document.rows.iter().flat_map(|row| row.calls.iter().map(|c| &c[..])).collect();
    let made: BTreeSet<&str> = RECORDED.iter().map(|(call, _)| call.name).collect();
    assert_eq!(documented, made, "the calls of the document, and those that are tried here");

    // What is true of each call, tried out.
    let mut places: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (call, found) in RECORDED.iter() {
        for (place, expected) in &call.places {
            let value = places::find(found, place);
            let (value, expected) = (value.map(places::sorted), places::sorted(expected.clone()));
            assert_eq!(value, Some(expected), "{} in {place} of {found:#?}", call.name);
            places.insert((call.name, place));
            // One attribute that was found stands for all.
            if let Some((of, _)) = place.split_once("::attributes.") {
                places.insert((call.name, &place[..of.len() + "::attributes".len()]));
            }
        }
    }
    for row in &document.rows {
        let is_true = |call: &str, place: &str| places.contains(&(call, place));
        for place in &row.places {
            let by_any = row.calls.iter().any(|call| is_true(call, place));
            assert!(by_any, "{} {}: nothing that is called records into {place}", row.system, row.field);
        }
        for call in &row.calls {
            let into_any = row.places.iter().any(|place| is_true(call, place));
            assert!(into_any, "{} {}: {call} records into none of these places", row.system, row.field);
        }
    }
}

#[test]
fn what_a_call_records_is_read_by_the_method_for_it() {
    for (name, place, read) in readers::ALL {
        let mut tried = 0;
        for (call, found) in RECORDED.iter().filter(|(call, _)| call.name == *name) {
            let Some((_, expected)) = call.places.iter().find(|(known, _)| known == place) else { continue };
            let value = places::sorted(read(&found.span));
            assert_eq!(value, places::sorted(expected.clone()), "{name} in {place} of {found:#?}");
            tried += 1;
        }
        assert!(tried > 0, "nothing records {name} into {place}");
    }
}
