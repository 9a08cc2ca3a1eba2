//! Which span stands under which, whatever their parents say.
//!
//! Spans come from anywhere: identities may stand twice, parents may be missing, and spans may be each other's parents. What comes
//! out is always a forest of all spans, in which each stands once. No step recurses, and all take time and memory in proportion to the
//! number of spans.

use std::collections::HashMap;

use super::tree::Place;
use crate::SpanData;

/// Where a span stands in the forest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Planted {
    /// Which span, in the order that was given.
    pub(super) span: usize,
    /// The place of its parent in the forest; `None` for a root.
    pub(super) parent: Option<usize>,
    /// How many ancestors it has.
    pub(super) depth: usize,
    pub(super) place: Place,
    /// How many of the following ones stand under it.
    pub(super) descendants: usize,
}

/// The forest in depth-first order: a span, then all that stands under it. Roots and siblings keep the order of `spans`.
pub(super) fn plant(spans: &[SpanData]) -> Vec<Planted> {
    let (mut parents, mut places) = parents(spans);
    break_cycles(&mut parents, &mut places);

    let mut first_child = vec![None; spans.len()];
    let mut next_sibling = vec![None; spans.len()];
    let mut first_root = None;
    // From the back, so that each list of siblings is in order.
    for (span, parent) in parents.iter().enumerate().rev() {
        let first = match *parent {
            Some(parent) => &mut first_child[parent],
            None => &mut first_root,
        };
        next_sibling[span] = first.replace(span);
    }

    let mut planted: Vec<Planted> = Vec::with_capacity(spans.len());
    // Each with the place of its parent. A sibling lies under its elder, so no more lie here than the tree is deep, twice.
    let mut stack: Vec<(usize, Option<usize>)> = first_root.map(|root| (root, None)).into_iter().collect();
    while let Some((span, parent)) = stack.pop() {
        let at = planted.len();
        let depth = parent.map_or(0, |parent: usize| planted[parent].depth + 1);
        planted.push(Planted { span, parent, depth, place: places[span], descendants: 0 });
        stack.extend(next_sibling[span].map(|sibling| (sibling, parent)));
        stack.extend(first_child[span].map(|child| (child, Some(at))));
    }
    for at in (0..planted.len()).rev() {
        if let Some(parent) = planted[at].parent {
            planted[parent].descendants += planted[at].descendants + 1;
        }
    }
    planted
}

/// Each span's parent, and what kind of place that gives it. Of several spans of the same identity the first is the parent.
fn parents(spans: &[SpanData]) -> (Vec<Option<usize>>, Vec<Place>) {
    let mut first_with_id = HashMap::with_capacity(spans.len());
    for (at, span) in spans.iter().enumerate() {
        first_with_id.entry(span.span_id).or_insert(at);
    }
    let place = |span: &SpanData| match span.parent_id {
        None => (None, Place::Root),
        Some(id) => match first_with_id.get(&id) {
            Some(&parent) => (Some(parent), Place::Child),
            None => (None, Place::Orphan),
        },
    };
    spans.iter().map(place).unzip()
}

/// Makes the first span of each cycle a root.
fn break_cycles(parents: &mut [Option<usize>], places: &mut [Place]) {
    /// Which walk came by: 0 none.
    const UNSEEN: usize = 0;
    let mut seen = vec![UNSEEN; parents.len()];
    for start in 0..parents.len() {
        let walk = start + 1;
        let mut at = start;
        while seen[at] == UNSEEN {
            seen[at] = walk;
            match parents[at] {
                Some(parent) => at = parent,
                None => break,
            }
        }
        if seen[at] != walk || parents[at].is_none() {
            continue;
        }
        let in_cycle = std::iter::successors(parents[at], |&span| parents[span].filter(|_| span != at));
        if let Some(first) = in_cycle.min() {
            parents[first] = None;
            places[first] = Place::Cycle;
        }
    }
}
