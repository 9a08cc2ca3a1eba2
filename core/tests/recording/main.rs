//! Recording as a program uses it: what is set on spans arrives, whatever threads, limits and crashes do.

mod contexts;
mod flight;
mod fork;
mod image;
mod large;
mod model;
mod overflow;
mod serialize;
mod threads;
mod values;
