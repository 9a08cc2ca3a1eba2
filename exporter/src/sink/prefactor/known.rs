//! What is known of the last so many things: of those that were not asked for since the others were, the oldest are forgotten first. So a root
//! stays known while spans come under it, however many.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) struct Known<K, V> {
    known: HashMap<K, Entry<V>>,
    order: VecDeque<K>,
    max: usize,
}

struct Entry<V> {
    value: V,
    /// Whether it was asked for since it was put in its place in the order.
    is_used: AtomicBool,
}

impl<K: Clone + Eq + Hash, V> Known<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Known { known: HashMap::new(), order: VecDeque::new(), max }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let entry = self.known.get(key)?;
        entry.is_used.store(true, Ordering::Relaxed);
        Some(&entry.value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let entry = self.known.get_mut(key)?;
        *entry.is_used.get_mut() = true;
        Some(&mut entry.value)
    }

    pub(super) fn remove(&mut self, key: &K) {
        if self.known.remove(key).is_some() {
            self.order.retain(|known| known != key);
        }
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let entry = Entry { value, is_used: AtomicBool::new(false) };
        if self.known.insert(key.clone(), entry).is_some() {
            return;
        }
        while self.order.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            let is_used =
                self.known.get(&oldest).is_some_and(|entry| entry.is_used.swap(false, Ordering::Relaxed));
            if is_used {
                // Once more around, and no further: it counts as not used then.
                self.order.push_back(oldest);
            } else {
                self.known.remove(&oldest);
            }
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
        assert_eq!([1, 2, 3].map(|key| known.get(&key)), [None, Some(&"b"), Some(&"d")]);
    }

    #[test]
    fn what_is_asked_for_stays_and_if_all_is_the_oldest_goes() {
        let mut known = Known::new(3);
        known.insert(0, "root");
        for key in 1..100 {
            known.insert(key, "child");
            assert_eq!(known.get(&0), Some(&"root"), "{key}");
            assert!(known.known.len() <= 3 && known.known.len() == known.order.len());
        }
        assert!((0..100).filter(|key| known.get(key).is_some()).count() == 3);
        known.insert(100, "child");
        assert_eq!([0, 100].map(|key| known.get(&key)), [Some(&"root"), Some(&"child")]);
        assert_eq!(known.known.len(), 3);
    }
}
