//! Where headers are read from, and where they are set: whatever an HTTP library, a queue or a test keeps them in.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

/// Headers that are read: maps, lists of pairs, functions that give the value under a name, `http::HeaderMap` with the feature `http`.
///
/// ```
/// use spanring::propagation::Propagated;
///
/// let metadata = [("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
/// assert!(Propagated::extract(&metadata).context.is_valid());
/// let by_name = |name: &str| metadata.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
/// assert!(Propagated::extract(&by_name).context.is_valid());
/// ```
pub trait Headers {
    /// Calls `look` with each value of the header of this name, in their order. Names are the same whatever their case. A value that is
    /// no text is shown as some text that is no header's value, such as `\u{fffd}`, and not passed over.
    fn each_value(&self, name: &str, look: &mut dyn FnMut(&str));
}

/// Headers that are set: maps, lists of pairs, functions that are called with names and values, `http::HeaderMap` with the feature `http`.
///
/// ```
/// let mut sent = Vec::new();
/// let mut send = |name: &'static str, value: &str| sent.push(format!("{name}: {value}"));
/// spanring::Context::current().inject(&mut send);
/// ```
pub trait HeadersMut {
    /// Sets the header of this name, which is in lower case, in the place of all that there are.
    fn set(&mut self, name: &'static str, value: &str);

    /// Takes away all headers of this name.
    fn remove(&mut self, name: &'static str);
}

fn look_through<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, name: &str, look: &mut dyn FnMut(&str)) {
    pairs.filter(|(other, _)| other.eq_ignore_ascii_case(name)).for_each(|(_, value)| look(value));
}

impl<K: AsRef<str>, V: AsRef<str>> Headers for [(K, V)] {
    fn each_value(&self, name: &str, look: &mut dyn FnMut(&str)) {
        look_through(self.iter().map(|(name, value)| (name.as_ref(), value.as_ref())), name, look);
    }
}

impl<K: AsRef<str>, V: AsRef<str>, const N: usize> Headers for [(K, V); N] {
    fn each_value(&self, name: &str, look: &mut dyn FnMut(&str)) {
        self[..].each_value(name, look);
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Headers for Vec<(K, V)> {
    fn each_value(&self, name: &str, look: &mut dyn FnMut(&str)) {
        self[..].each_value(name, look);
    }
}

impl<K: AsRef<str>, V: AsRef<str>, S> Headers for HashMap<K, V, S> {
    fn each_value(&self, name: &str, look: &mut dyn FnMut(&str)) {
        look_through(self.iter().map(|(name, value)| (name.as_ref(), value.as_ref())), name, look);
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Headers for BTreeMap<K, V> {
    fn each_value(&self, name: &str, look: &mut dyn FnMut(&str)) {
        look_through(self.iter().map(|(name, value)| (name.as_ref(), value.as_ref())), name, look);
    }
}

impl<F: Fn(&str) -> Option<V>, V: AsRef<str>> Headers for F {
    fn each_value(&self, name: &str, look: &mut dyn FnMut(&str)) {
        if let Some(value) = self(name) {
            look(value.as_ref());
        }
    }
}

impl<K: AsRef<str> + From<&'static str>, V: for<'a> From<&'a str>> HeadersMut for Vec<(K, V)> {
    fn set(&mut self, name: &'static str, value: &str) {
        HeadersMut::remove(self, name);
        self.push((name.into(), value.into()));
    }

    fn remove(&mut self, name: &'static str) {
        self.retain(|(other, _)| !other.as_ref().eq_ignore_ascii_case(name));
    }
}

impl<S: BuildHasher> HeadersMut for HashMap<String, String, S> {
    fn set(&mut self, name: &'static str, value: &str) {
        HeadersMut::remove(self, name);
        self.insert(name.to_owned(), value.to_owned());
    }

    fn remove(&mut self, name: &'static str) {
        self.retain(|other, _| !other.eq_ignore_ascii_case(name));
    }
}

impl HeadersMut for BTreeMap<String, String> {
    fn set(&mut self, name: &'static str, value: &str) {
        HeadersMut::remove(self, name);
        self.insert(name.to_owned(), value.to_owned());
    }

    fn remove(&mut self, name: &'static str) {
        self.retain(|other, _| !other.eq_ignore_ascii_case(name));
    }
}

impl<F: FnMut(&'static str, &str)> HeadersMut for F {
    fn set(&mut self, name: &'static str, value: &str) {
        self(name, value);
    }

    /// Does nothing: a function is told what there is.
    fn remove(&mut self, _: &'static str) {}
}

#[cfg(feature = "http")]
impl Headers for http::HeaderMap {
    fn each_value(&self, name: &str, look: &mut dyn FnMut(&str)) {
        for value in self.get_all(name) {
            look(std::str::from_utf8(value.as_bytes()).unwrap_or("\u{fffd}"));
        }
    }
}

#[cfg(feature = "http")]
impl HeadersMut for http::HeaderMap {
    fn set(&mut self, name: &'static str, value: &str) {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        // Every value of ours is printable ASCII.
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_str(value)) {
            self.insert(name, value);
        }
    }

    fn remove(&mut self, name: &'static str) {
        http::HeaderMap::remove(self, name);
    }
}
