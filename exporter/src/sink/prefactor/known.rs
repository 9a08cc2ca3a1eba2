//! What is known of the last so many things: the oldest are forgotten first.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

pub(super) struct Known<K, V> {
    known: HashMap<K, V>,
    order: VecDeque<K>,
    max: usize,
}

impl<K: Clone + Eq + Hash, V> Known<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Known { known: HashMap::new(), order: VecDeque::new(), max }
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.known.get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.known.insert(key.clone(), value).is_some() {
            return;
        }
        if self.order.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut known = Known::new(2);
        for (key, id) in [(1, "a"), (2, "b"), (1, "c"), (3, "d")] {
            known.insert(key, id);
            assert!(known.known.len() <= 2 && known.known.len() == known.order.len());
        }
        assert_eq!([1, 2, 3].map(|key| known.get_mut(&key).copied()), [None, Some("b"), Some("d")]);
    }
}
