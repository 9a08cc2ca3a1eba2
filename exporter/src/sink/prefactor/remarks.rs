//! What there is to be said with the next delivery, to a person.

use std::mem;

/// How much is said with a delivery.
const REMARKS_MAX: usize = 3;

#[derive(Default)]
pub(super) struct Remarks {
    said: Vec<String>,
    /// How much beside was left out.
    left_out: usize,
}

impl Remarks {
    /// Has something said; what comes after the first few is only counted.
    pub(super) fn add(&mut self, remark: String) {
        match self.said.len() {
            0..REMARKS_MAX => self.said.push(remark),
            _ => self.left_out += 1,
        }
    }

    pub(super) fn take(&mut self) -> String {
        let mut said = mem::take(&mut self.said).join("; ");
        if self.left_out > 0 {
            said += &format!("; and {} more", mem::take(&mut self.left_out));
        }
        said
    }
}
