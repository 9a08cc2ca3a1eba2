//! Reading spans back.

mod block;
mod end;
mod follow;
mod recorder;
#[cfg(test)]
pub(crate) mod tests;

pub use block::{Block, BlockBuffer, BlockRef};
pub use end::RecorderEnd;
pub use follow::Reader;
pub use recorder::RecorderReader;
pub(crate) use recorder::{LastPositions, last_positions};
