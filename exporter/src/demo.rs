//! The demonstration: agents that record real runs are killed while they work, and what is delivered in the end is
//! compared with what witnesses saw happen.

mod agent;
mod content;
mod error;
mod flight;
mod judge;
mod process;
pub mod receiver;
mod report;
pub mod runs;
mod script;
mod tree;
mod witness;

pub use agent::{Agent, BLOCK_TIMEOUT};
pub use error::DemoError;
pub use flight::{Demo, Step};
pub use report::{Account, DemoReport};
pub use tree::Tree;
