//! What has a type: one method for each thing that can be said about a span, on [`Span`](crate::Span) and on
//! [`SpanBuilder`](crate::SpanBuilder) alike.
//!
//! Each writes attributes under the keys that [`names`](crate::names) lists. The tables in this folder say which.

mod agent;
mod error;
mod identity;
mod model;
mod payload;
mod tool;

pub use identity::SpanKind;

/// Makes the methods of a table. Of its rows
///
/// * `name: type => KEY` sets an attribute,
/// * `name: value => KEY` sets one that may be of any type that serializes,
/// * `name(arguments) |span| …` does what it says.
macro_rules! fields {
    ($($title:literal: { $($rows:tt)* })*) => {
        $(
            #[doc = $title]
            impl crate::Span {
                fields!(@span $($rows)*);
            }

            #[doc = $title]
            impl<'a, F: crate::builder::Fill> crate::SpanBuilder<'a, F> {
                fields!(@builder $($rows)*);
            }
        )*
    };

    (@span) => {};
    (@span $(#[$doc:meta])* $name:ident: value => $key:ident; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline]
        pub fn $name<T: serde::Serialize + ?Sized>(&self, value: &T) -> &Self {
            self.set_value(crate::names::$key, value)
        }
        fields!(@span $($rest)*);
    };
    (@span $(#[$doc:meta])* $name:ident: $type:ty => $key:ident; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline]
        pub fn $name(&self, value: $type) -> &Self {
            self.set(crate::names::$key, value)
        }
        fields!(@span $($rest)*);
    };
    (@span $(#[$doc:meta])* $name:ident $(<$generic:ident>)? ($($arg:ident: $type:ty),*) |$span:ident| $body:block $($rest:tt)*) => {
        $(#[$doc])*
        #[inline]
        pub fn $name $(<$generic: serde::Serialize + ?Sized>)? (&self, $($arg: $type),*) -> &Self {
            let $span = self;
            $body
            self
        }
        fields!(@span $($rest)*);
    };
    // On the span it is written out elsewhere.
    (@span $(#[$doc:meta])* builder $name:ident $(<$generic:ident>)? ($($arg:ident: $type:ty),*); $($rest:tt)*) => {
        fields!(@span $($rest)*);
    };

    (@builder) => {};
    (@builder $(#[$doc:meta])* $name:ident: value => $key:ident; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline]
        pub fn $name<T: serde::Serialize + ?Sized>(self, value: &T) -> crate::SpanBuilder<'a, impl crate::builder::Fill> {
            self.then(move |span| _ = span.$name(value))
        }
        fields!(@builder $($rest)*);
    };
    (@builder $(#[$doc:meta])* $name:ident: $type:ty => $key:ident; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline]
        pub fn $name(self, value: $type) -> crate::SpanBuilder<'a, impl crate::builder::Fill> {
            self.then(move |span| _ = span.$name(value))
        }
        fields!(@builder $($rest)*);
    };
    (@builder $(#[$doc:meta])* $name:ident $(<$generic:ident>)? ($($arg:ident: $type:ty),*) |$span:ident| $body:block $($rest:tt)*) => {
        fields!(@builder $(#[$doc])* builder $name $(<$generic>)? ($($arg: $type),*); $($rest)*);
    };
    (@builder $(#[$doc:meta])* builder $name:ident $(<$generic:ident>)? ($($arg:ident: $type:ty),*); $($rest:tt)*) => {
        $(#[$doc])*
        #[inline]
        pub fn $name $(<$generic: serde::Serialize + ?Sized>)? (self, $($arg: $type),*) -> crate::SpanBuilder<'a, impl crate::builder::Fill> {
            self.then(move |span| _ = span.$name($($arg),*))
        }
        fields!(@builder $($rest)*);
    };
}

use fields;
