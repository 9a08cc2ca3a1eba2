//! An event or link while it is filled.

use serde::Serialize;

use crate::attribute::{Attribute, Destination, Key};
use crate::slot::Slot;

macro_rules! item {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<'a> {
            pub(crate) slot: &'a Slot,
        }

        impl $name<'_> {
            /// Sets an attribute. See [`Span::set`](crate::Span::set).
            pub fn set(&self, key: &'static str, value: impl Attribute) {
                value.append(Destination::item(self.slot, Key::Static(key)));
            }

            /// Sets an attribute whose key is made at run time. See [`Span::set_named`](crate::Span::set_named).
            pub fn set_named(&self, key: &str, value: impl Attribute) {
                value.append(Destination::item(self.slot, Key::Dynamic(key)));
            }

            /// Sets an attribute to a value of any type that serializes. See [`Span::set_value`](crate::Span::set_value).
            pub fn set_value<T: Serialize + ?Sized>(&self, key: &'static str, value: &T) {
                Destination::item(self.slot, Key::Static(key)).packed(&value);
            }

            /// [`set_value`](Self::set_value) with a key made at run time.
            pub fn set_value_named<T: Serialize + ?Sized>(&self, key: &str, value: &T) {
                Destination::item(self.slot, Key::Dynamic(key)).packed(&value);
            }
        }
    };
}

item! {
    /// An event that is being filled.
    Event
}

item! {
    /// A link that is being filled.
    Link
}
