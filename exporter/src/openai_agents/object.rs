//! Objects that are being written. Their keys keep their order, which is the SDK's.

use spanring_spool::Value;

#[derive(Default)]
pub(super) struct Object(Vec<(String, Value)>);

impl Object {
    /// Sets what is under the key.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.set(key, value);
        self
    }

    /// Leaves out what there is not.
    pub(super) fn with_some(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Sets something under the key, with a `'` behind it for each that is there already.
    pub(super) fn set_beside(&mut self, key: &str, value: impl Into<Value>) {
        let mut key = key.to_owned();
        while self.has(&key) {
            key.push('\'');
        }
        self.0.push((key, value.into()));
    }

    /// With these pairs, which count more than what is there.
    pub(super) fn and(mut self, pairs: impl IntoIterator<Item = (String, Value)>) -> Self {
        pairs.into_iter().for_each(|(key, value)| self.set(&key, value));
        self
    }

    /// Without what is under such keys.
    pub(super) fn without(mut self, is_such: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|(key, _)| !is_such(key));
        self
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Itself, unless there is nothing in it.
    pub(super) fn some(self) -> Option<Self> {
        (!self.0.is_empty()).then_some(self)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Value::Map(object.0)
    }
}

impl IntoIterator for Object {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
