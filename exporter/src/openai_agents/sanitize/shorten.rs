//! Values that are too long, cut until they fit.
//!
//! Of a list or map the longest child is cut first, the first of equals, to what is left for it, and so on. A text is cut between two
//! characters and ends in `... [truncated]`. A child that cannot be cut is removed: a number, or what is empty already. This is the SDK's way, step by
//! step, so that both cut at the same place.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use spanring_spool::Value;

use super::super::json::json_len;

/// How a text ends that was cut.
const ENDING: &str = "... [truncated]";

/// The value, cut so that its JSON has at most `len_max` bytes. One that is shorter, and a number or word, stays as it is.
pub(super) fn shortened(value: Value, len_max: usize) -> Value {
    let len = json_len(&value);
    if len <= len_max {
        return value;
    }
    match value {
        Value::Str(text) => Value::Str(text_shortened(&text, len, len_max)),
        Value::List(values) => {
            let children = values.into_iter().map(|value| (0, value)).collect();
            let kept = children_shortened(children, len, len_max);
            Value::List(kept.into_iter().map(|(_, value)| value).collect())
        }
        Value::Map(pairs) => {
            let (keys, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let before = keys.iter().map(|key| json_len(key) + ":".len());
            let kept = children_shortened(before.zip(values).collect(), len, len_max);
            Value::Map(kept.into_iter().map(|(place, value)| (keys[place].clone(), value)).collect())
        }
        value => value,
    }
}

/// The children of a list or map that has `len` bytes, each with the length of what stands before it, cut to `len_max`. Those that
/// stay, with their places.
fn children_shortened(
    mut children: Vec<(usize, Value)>,
    mut len: usize,
    len_max: usize,
) -> Vec<(usize, Value)> {
    let longest_first = children.iter().enumerate();
    let mut queue: BinaryHeap<_> =
        longest_first.map(|(place, (_, value))| (json_len(value), Reverse(place))).collect();
    let mut removed = BTreeSet::new();
    while len > len_max
        && let Some((child_len, Reverse(place))) = queue.pop()
    {
        let (before, child) = &mut children[place];
        let left = len_max.saturating_sub(len - child_len);
        let cut = shortened(std::mem::replace(child, Value::Null), left);
        let cut_len = json_len(&cut);
        *child = cut;
        // What was cut is shorter.
        if cut_len == child_len {
            removed.insert(place);
            // With the comma, unless it was the last.
            len -= *before + child_len + usize::from(!queue.is_empty());
        } else {
            len = len - child_len + cut_len;
            queue.push((cut_len, Reverse(place)));
        }
    }
    let kept = children.into_iter().enumerate().filter(|(place, _)| !removed.contains(place));
    kept.map(|(place, (_, value))| (place, value)).collect()
}

/// A text whose JSON has `len` bytes, cut to `len_max`: first by what its characters take on average, then less and less.
fn text_shortened(text: &str, len: usize, len_max: usize) -> String {
    let ending_len = json_len(ENDING);
    if ending_len > len_max {
        return String::new();
    }
    if ending_len == len_max {
        return ENDING.to_owned();
    }
    let count = text.chars().count();
    let mut kept = (count * (len_max - ending_len) / len).min(count);
    loop {
        let end = text.char_indices().nth(kept).map_or(text.len(), |(end, _)| end);
        let cut = format!("{}{ENDING}", &text[..end]);
        let cut_len = json_len(&cut);
        if cut_len <= len_max || kept == 0 {
            return cut;
        }
        kept = kept.saturating_sub(share(kept, cut_len - len_max, cut_len) + 1);
    }
}

/// The whole part of `count * (over / len)`, in floating point and in this order, as the SDK counts.
fn share(count: usize, over: usize, len: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is the whole part that is wanted, and it is at most `count`"
    )]
    let share = (count as f64 * (over as f64 / len as f64)) as usize;
    share
}

#[cfg(test)]
mod tests;
