//! Reading and writing JSON.

use serde::Serialize;
use serde_json::{Map, Value as Json};

pub(crate) fn text<'a>(json: &'a Json, key: &str) -> Option<&'a str> {
    json.get(key)?.as_str()
}

pub(crate) fn whole(json: &Json, key: &str) -> Option<u64> {
    json.get(key)?.as_u64()
}

pub(crate) fn number(json: &Json, key: &str) -> Option<f64> {
    json.get(key)?.as_f64()
}

/// What stands under the key, unless it is null.
pub(crate) fn some<'a>(json: &'a Json, key: &str) -> Option<&'a Json> {
    json.get(key).filter(|value| !value.is_null())
}

/// Does something with a value where there is one.
pub(crate) fn if_some<T, R>(value: Option<T>, act: impl FnOnce(T) -> R) {
    _ = value.map(act);
}

/// The pairs of an object; none of anything else.
pub(crate) fn pairs(json: &Json) -> impl Iterator<Item = (&str, &Json)> {
    json.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The items of an array; none of anything else.
pub(crate) fn items(json: &Json) -> &[Json] {
    json.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn to_json(value: &(impl Serialize + ?Sized)) -> Json {
    serde_json::to_value(value).unwrap()
}

/// An object that is being written.
#[derive(Default)]
pub(crate) struct Object(Map<String, Json>);

impl Object {
    pub(crate) fn with(mut self, key: &str, value: impl Serialize) -> Self {
        self.0.insert(key.to_owned(), to_json(&value));
        self
    }

    /// Leaves out what there is not.
    pub(crate) fn with_some(self, key: &str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(crate) fn json(self) -> Json {
        Json::Object(self.0)
    }
}
