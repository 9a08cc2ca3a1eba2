//! What several values of one key of a span come to, where more than the last one counts: see [`spanring::names`].
//!
//! Values are added one by one as a block is decoded. The time it takes is in proportion to what is added, however a
//! hostile block distributes that over values: maps are only chained up as they come, and united once, at the end.

use std::collections::HashMap;

use spanring::names::{self, Combine};

use crate::Value;

/// A key whose values are combined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CombinedKey {
    /// Where it stands in [`names::ALL`].
    number: u16,
    /// Whether its values make a list; they make a map otherwise.
    is_list: bool,
}

impl CombinedKey {
    /// `None` for a key of which the last value counts.
    pub(crate) fn of(key: &str) -> Option<Self> {
        let rule = names::combine(key);
        if rule == Combine::Last {
            return None;
        }
        let number = names::ALL.iter().position(|&(name, _)| name == key)?;
        Some(CombinedKey { number: u16::try_from(number).ok()?, is_list: rule == Combine::Append })
    }
}

/// The combined attributes of a span that is being read.
#[derive(Default)]
pub(crate) struct Combinations {
    /// No more than there are such keys.
    begun: Vec<Combination>,
}

struct Combination {
    key: CombinedKey,
    /// Where the attribute stands among those of the span.
    at: usize,
    /// Whether maps were chained up there, so that keys may stand in it several times.
    is_chain: bool,
}

impl Combinations {
    /// Adds a value to the one that `attributes` hold of this key. The first of a key is given back, for the caller to
    /// put at the end of `attributes`.
    pub(crate) fn add(
        &mut self,
        key: CombinedKey,
        value: Value,
        attributes: &mut [(String, Value)],
    ) -> Option<Value> {
        let Some(combination) = self.begun.iter_mut().find(|begun| begun.key == key) else {
            self.begun.push(Combination { key, at: attributes.len(), is_chain: false });
            let is_item = key.is_list && !matches!(value, Value::List(_));
            return Some(if is_item { Value::List(vec![value]) } else { value });
        };
        match (&mut attributes[combination.at].1, value) {
            (Value::List(items), Value::List(later)) if key.is_list => items.extend(later),
            (Value::List(items), later) if key.is_list => items.push(later),
            (Value::Map(pairs), Value::Map(later)) => {
                pairs.extend(later);
                combination.is_chain = true;
            }
            (value, later) => {
                *value = later;
                combination.is_chain = false;
            }
        }
        None
    }

    /// Whether there is a value of this key.
    pub(crate) fn has(&self, key: CombinedKey) -> bool {
        self.begun.iter().any(|begun| begun.key == key)
    }

    /// Completes the attributes of the span, and is ready for the next one.
    pub(crate) fn finish(&mut self, attributes: &mut [(String, Value)]) {
        for combination in self.begun.drain(..).filter(|begun| begun.is_chain) {
            if let Value::Map(pairs) = &mut attributes[combination.at].1 {
                unite(pairs);
            }
        }
    }
}

/// Leaves each key once, at its first place and with its last value.
fn unite(pairs: &mut Vec<(String, Value)>) {
    let mut numbers = HashMap::with_capacity(pairs.len());
    let places: Vec<usize> = pairs
        .iter()
        .map(|(key, _)| {
            let next = numbers.len();
            *numbers.entry(key.as_str()).or_insert(next)
        })
        .collect();
    let mut united = 0;
    for (at, place) in places.into_iter().enumerate() {
        if place == united {
            pairs.swap(united, at);
            united += 1;
        } else {
            pairs[place].1 = std::mem::replace(&mut pairs[at].1, Value::Null);
        }
    }
    pairs.truncate(united);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use spanring::names::{INPUT, LABELS, RESPONSE_FINISH_REASONS, TAGS};

    use super::*;

    /// What `values` of this key come to, in a span that has another attribute before it.
    fn combined(key: &str, values: impl IntoIterator<Item = Value>) -> Value {
        let (mut combinations, mut attributes) =
            (Combinations::default(), vec![("a".to_owned(), Value::Null)]);
        for value in values {
            let key_of = CombinedKey::of(key).unwrap();
            if let Some(first) = combinations.add(key_of, value, &mut attributes) {
                attributes.push((key.to_owned(), first));
            }
        }
        combinations.finish(&mut attributes);
        assert_eq!(attributes.len(), 2, "one of each key");
        attributes.pop().unwrap().1
    }

    fn map<const N: usize>(pairs: [(&str, i64); N]) -> Value {
        Value::Map(pairs.map(|(key, value)| (key.to_owned(), Value::I64(value))).into())
    }

    fn list<const N: usize>(items: [i64; N]) -> Value {
        Value::List(items.map(Value::I64).into())
    }

    #[test]
    fn maps_are_merged_and_the_last_value_of_a_key_takes_the_place_of_the_first() {
        let values =
            [map([("a", 1), ("b", 2)]), map([]), map([("c", 3), ("a", 4)]), map([("c", 5), ("d", 6)])];
        assert_eq!(combined(INPUT, values), map([("a", 4), ("b", 2), ("c", 5), ("d", 6)]));
    }

    #[test]
    fn maps_are_merged_no_deeper_than_their_keys() {
        let nested = |inner| Value::Map(vec![("a".into(), inner)]);
        assert_eq!(
            combined(INPUT, [nested(map([("x", 1)])), nested(map([("y", 2)]))]),
            nested(map([("y", 2)]))
        );
    }

    #[test]
    fn what_is_no_map_replaces_and_is_replaced() {
        for other in [Value::Null, Value::Bool(false), Value::Str(String::new()), list([1])] {
            assert_eq!(combined(INPUT, [map([("a", 1)]), other.clone()]), other);
            assert_eq!(combined(INPUT, [other.clone(), map([("a", 1)])]), map([("a", 1)]));
            assert_eq!(combined(INPUT, [map([("a", 1)]), other, map([("b", 2)])]), map([("b", 2)]));
        }
        assert_eq!(combined(INPUT, [list([1]), list([2])]), list([2]), "a list is no map either");
    }

    #[test]
    fn values_of_a_list_are_added_and_lists_add_their_items() {
        assert_eq!(combined(TAGS, [Value::I64(1)]), list([1]));
        assert_eq!(combined(TAGS, [list([])]), list([]));
        assert_eq!(combined(TAGS, [list([1, 2]), Value::I64(3), list([]), list([1])]), list([1, 2, 3, 1]));
        assert_eq!(combined(TAGS, [Value::Null, map([])]), Value::List(vec![Value::Null, map([])]));
        assert_eq!(combined(RESPONSE_FINISH_REASONS, [Value::I64(1), Value::I64(2)]), list([1, 2]));
    }

    #[test]
    fn a_map_that_was_set_once_stays_as_it_is() {
        let repeated = map([("a", 1), ("a", 2)]);
        assert_eq!(combined(INPUT, [repeated.clone()]), repeated);
        assert_eq!(combined(INPUT, [map([("b", 0)]), map([]), Value::Null, repeated.clone()]), repeated);
        assert_eq!(combined(INPUT, [repeated, map([])]), map([("a", 2)]));
    }

    #[test]
    fn most_keys_are_not_combined() {
        for key in ["", "model", "input", "spanring.input.x", names::DEADLINE, names::TYPE] {
            assert_eq!(CombinedKey::of(key), None);
        }
        assert_ne!(CombinedKey::of(INPUT), CombinedKey::of(LABELS));
    }

    /// Each of these would take minutes if a value took longer for those before it.
    #[test]
    fn half_a_million_values_take_no_longer_each_than_a_few() {
        const VALUES: u32 = 500_000;
        let pair = |number: u32| (number.to_string(), Value::I64(number.into()));
        let map = |number| Value::Map(vec![pair(number)]);
        let pairs = combined(LABELS, (0..VALUES).chain(0..VALUES).map(map));
        assert_eq!(pairs, Value::Map((0..VALUES).map(pair).collect()));

        let items = combined(TAGS, (0..VALUES).map(|number| list([number.into()])));
        assert_eq!(items, Value::List((0..VALUES).map(|number| Value::I64(number.into())).collect()));

        let turns = (0..VALUES).map(|number| if number % 3 == 2 { Value::Null } else { map(number) });
        assert_eq!(combined(INPUT, turns), Value::Map(vec![pair(VALUES - 2), pair(VALUES - 1)]));
    }

    proptest! {
        #[test]
        fn maps_merge_as_a_search_from_the_front_would(
            maps in prop::collection::vec(prop::collection::vec(("[a-e]{1,2}", any::<i64>()), 0..6), 2..8),
        ) {
            let mut expected: Vec<(String, Value)> = Vec::new();
            for (key, value) in maps.iter().flatten().cloned() {
                match expected.iter_mut().find(|(known, _)| *known == key) {
                    Some(known) => known.1 = Value::I64(value),
                    None => expected.push((key, Value::I64(value))),
                }
            }
            let values = maps.into_iter().map(|pairs| {
                Value::Map(pairs.into_iter().map(|(key, value)| (key, Value::I64(value))).collect())
            });
            prop_assert_eq!(combined(INPUT, values), Value::Map(expected));
        }
    }
}
