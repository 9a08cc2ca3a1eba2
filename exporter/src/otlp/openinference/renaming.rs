//! Attributes on their way to other names: what was recorded, and what each is replaced by.

use std::collections::HashMap;

use spanring_spool::Value;

/// The attributes of a span, of which some are replaced.
pub(super) struct Renaming<'a> {
    /// Each key once: the last value at the first place.
    recorded: Vec<(&'a str, &'a Value)>,
    places: HashMap<&'a str, usize>,
    /// What stands in place of each; `None` where it stays.
    replaced: Vec<Option<Vec<(String, Value)>>>,
    /// Where what stands in place of something is: of which one, and its number there.
    made: HashMap<String, (usize, usize)>,
    added: Vec<(String, Value)>,
}

impl<'a> Renaming<'a> {
    pub(super) fn of(attributes: &'a [(String, Value)]) -> Self {
        let (mut recorded, mut places) = (Vec::<(&str, &Value)>::new(), HashMap::<&str, usize>::new());
        for (key, value) in attributes {
            match places.get(key.as_str()) {
                Some(&place) => recorded[place].1 = value,
                None => {
                    places.insert(key.as_str(), recorded.len());
                    recorded.push((key, value));
                }
            }
        }
        let replaced = vec![None; recorded.len()];
        Renaming { recorded, places, replaced, made: HashMap::new(), added: Vec::new() }
    }

    /// What was recorded under a key, unless it is replaced.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        let &place = self.places.get(key)?;
        self.replaced[place].is_none().then(|| self.recorded[place].1)
    }

    /// Whether anything is replaced.
    pub(super) fn has_changed(&self) -> bool {
        self.replaced.iter().any(Option::is_some)
    }

    /// Gives an attribute another name, if that is free.
    pub(super) fn rename(&mut self, key: &str, name: &str) {
        if let Some(value) = self.get(key) {
            self.replace(&[key], vec![(name.to_owned(), value.clone())]);
        }
    }

    /// Puts `made` in place of these attributes, those that are there, unless something else has one of its names. What is there already with
    /// the same value is not put there again.
    pub(super) fn replace(&mut self, keys: &[&str], made: Vec<(String, Value)>) {
        let mut sources = keys.iter().filter(|key| self.get(key).is_some()).map(|&key| self.places[key]);
        let Some(first) = sources.next() else { return };
        let others: Vec<usize> = sources.collect();
        let mut fresh: Vec<(String, Value)> = Vec::with_capacity(made.len());
        for (name, value) in made {
            match self.value(&name) {
                Some(there) if *there != value => return,
                Some(_) => {}
                None => fresh.push((name, value)),
            }
        }
        let names = fresh.iter().enumerate();
        self.made.extend(names.map(|(number, (name, _))| (name.clone(), (first, number))));
        self.replaced[first] = Some(fresh);
        others.into_iter().for_each(|other| self.replaced[other] = Some(Vec::new()));
    }

    /// As [`replace`](Self::replace), by a list whose attributes begin with `prefix`. One of which anything was recorded is not mixed
    /// with another.
    pub(super) fn replace_by_list(&mut self, keys: &[&str], prefix: &str, made: Vec<(String, Value)>) {
        let is_of_list = |key: &str| key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
        let is_recorded =
            |(name, value): &(String, Value)| self.get(name).is_some_and(|there| there == value);
        let has_list = self.recorded.iter().any(|(key, _)| is_of_list(key));
        if !has_list || made.iter().all(is_recorded) {
            self.replace(keys, made);
        }
    }

    /// Adds an attribute, in place of what was recorded under its key.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        let pair = (key.to_owned(), value);
        match self.places.get(key) {
            Some(&place) => self.replaced[place] = Some(vec![pair]),
            None => self.added.push(pair),
        }
    }

    pub(super) fn into_attributes(self) -> Vec<(String, Value)> {
        let mut attributes = Vec::with_capacity(self.recorded.len() + self.made.len() + self.added.len());
        for ((key, value), replaced) in self.recorded.into_iter().zip(self.replaced) {
            match replaced {
                Some(made) => attributes.extend(made),
                None => attributes.push((key.to_owned(), value.clone())),
            }
        }
        attributes.extend(self.added);
        attributes
    }

    /// What stands under a name so far.
    fn value(&self, name: &str) -> Option<&Value> {
        match self.made.get(name) {
            Some(&(place, number)) => self.replaced[place].as_ref()?.get(number).map(|(_, value)| value),
            None => self.get(name),
        }
    }
}
