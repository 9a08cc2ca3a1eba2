//! gzip, of bodies that are sent.

use std::cell::RefCell;
use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};

/// The largest window that there is, as a power of two.
const WINDOW_BITS: u8 = 15;

thread_local! {
    /// What it works with is 300 KiB, which take as long to be made ready as a batch of spans takes to be compressed. So it is kept.
    static GZIP: RefCell<Compress> = RefCell::new(Compress::new_gzip(Compression::fast(), WINDOW_BITS));
}

/// The body, compressed.
pub(super) fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    GZIP.with_borrow_mut(|gzip| {
        gzip.reset();
        let mut out = Vec::with_capacity(body.len() / 4 + 64);
        let mut rest = body;
        loop {
            let taken = gzip.total_in();
            let status =
                gzip.compress_vec(rest, &mut out, FlushCompress::Finish).map_err(io::Error::other)?;
            if status == Status::StreamEnd {
                return Ok(out);
            }
            let taken = usize::try_from(gzip.total_in() - taken).map_err(io::Error::other)?;
            rest = rest.get(taken..).unwrap_or_default();
            out.reserve(out.capacity());
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_is_compressed_one_after_the_other_comes_back_each_by_itself() {
        let noise =
            |len: u32| (0..len).map(|number| (number.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
        for body in [Vec::new(), vec![7; 1_000_000], noise(1), noise(300_000), b"spans".to_vec(), noise(64)] {
            let packed = gzip(&body).unwrap();
            let mut unpacked = Vec::new();
            // One member and no more.
            GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == body, "of {} bytes", body.len());
            assert_eq!(packed, gzip(&body).unwrap(), "the same again");
        }
    }
}
