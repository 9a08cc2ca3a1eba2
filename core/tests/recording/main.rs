//! Recording as a program uses it: what is set on spans arrives, whatever threads, limits and crashes do.

mod called;
mod callsites;
mod cancellation;
mod contexts;
mod failure;
mod fields;
mod flight;
mod fork;
mod image;
mod items;
mod large;
mod life;
mod limits;
mod model;
mod overflow;
mod packing;
mod processors;
mod reads;
mod redaction;
mod sampling;
mod serialize;
mod shared;
mod threads;
mod values;
