//! Reading spans back.

mod end;
mod follow;
mod recorder;
#[cfg(test)]
pub(crate) mod tests;

pub use end::RecorderEnd;
pub use follow::Reader;
pub use recorder::{Block, BlockRef, RecorderReader};
pub(crate) use recorder::{LastPositions, last_positions};
