//! The bytes of one file of a notebook, pure: see the [format](super).

use super::{KEY_LEN_MAX, Note, VALUE_LEN_MAX};

pub(super) const HEAD_LEN: usize = 512;
const MAGIC: &[u8; 8] = b"SPRGNOTE";
const VERSION: u16 = 0;
const CRC_AT: usize = 12;
const NAME_AT: usize = 32;
const NAME_LEN_MAX: usize = HEAD_LEN - NAME_AT;
const FIELDS_LEN: usize = 8;
const ALIGNMENT: usize = 8;

/// No note is longer, in bytes.
pub(super) const NOTE_LEN_MAX: usize = note_len(KEY_LEN_MAX, VALUE_LEN_MAX);
/// How many bytes are looked at for notes that turn out to be none, as a multiple of the file's length.
const FAILED_MAX: usize = 4;

const _: () = assert!(HEAD_LEN.is_multiple_of(ALIGNMENT), "notes begin at a multiple of 8");
const _: () = assert!(VALUE_LEN_MAX <= u16::MAX as usize, "lengths of notes have 16 bits");

/// What a head says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// Which file of the notebook it is.
    pub(super) number: u64,
    /// Of the sink's whole name.
    pub(super) hash: u64,
    /// The sink's name, as much of it as there is room for.
    pub(super) name: String,
}

/// What the beginning of a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Beginning {
    Head(Head),
    /// Zeros: the file was not begun.
    Zeros,
    /// A head, of a version that is not known here.
    LaterVersion,
    Damaged,
}

/// What a file holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Page {
    pub(super) beginning: Beginning,
    /// The notes that check, in their order.
    pub(super) notes: Vec<Note>,
    /// Behind the last of them.
    pub(super) end: usize,
    /// Where something does not check that has a note behind it.
    pub(super) hole: Option<usize>,
    /// Whether there are zeros only behind the last note, and nothing is amiss before it.
    pub(super) is_clean: bool,
}

impl Head {
    pub(super) fn new(number: u64, hash: u64, name: &str) -> Self {
        let cut = name.floor_char_boundary(NAME_LEN_MAX);
        Head { number, hash, name: name[..cut].to_owned() }
    }

    pub(super) fn encode(&self) -> [u8; HEAD_LEN] {
        let name_len = u16::try_from(self.name.len()).expect("a sink's name is cut to its room in a head");
        let mut bytes = [0; HEAD_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&name_len.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.hash.to_le_bytes());
        bytes[NAME_AT..][..self.name.len()].copy_from_slice(self.name.as_bytes());
        let crc = head_checksum(&bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Beginning {
        let Some(bytes) = bytes.first_chunk::<HEAD_LEN>() else {
            return if bytes.iter().all(|&byte| byte == 0) { Beginning::Zeros } else { Beginning::Damaged };
        };
        if bytes.iter().all(|&byte| byte == 0) {
            return Beginning::Zeros;
        }
        if &bytes[..8] != MAGIC || bytes[CRC_AT..CRC_AT + 4] != head_checksum(bytes).to_le_bytes() {
            return Beginning::Damaged;
        }
        if bytes[8..10] != VERSION.to_le_bytes() {
            return Beginning::LaterVersion;
        }
        let name_len = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
        let name = bytes.get(NAME_AT..NAME_AT + name_len).and_then(|name| std::str::from_utf8(name).ok());
        match name {
            Some(name) => {
                let [number, hash] = [16, 24].map(|at| word(&bytes[at..]));
                Beginning::Head(Head { number, hash, name: name.to_owned() })
            }
            None => Beginning::Damaged,
        }
    }
}

impl Note {
    /// How many bytes it takes in a file.
    pub(super) fn len(&self) -> usize {
        note_len(self.key.len(), self.value.len())
    }

    /// Adds its bytes, which are to lie at `offset` of the file with this number.
    pub(super) fn encode(&self, number: u64, offset: u64, bytes: &mut Vec<u8>) {
        let first = bytes.len();
        bytes.extend([0; 4]);
        for len in [self.key.len(), self.value.len()] {
            let len = u16::try_from(len).expect("the lengths of a note were checked");
            bytes.extend(len.to_le_bytes());
        }
        bytes.extend(&self.key);
        bytes.extend(&self.value);
        bytes.resize(first + self.len(), 0);
        let crc = note_checksum(number, offset, &bytes[first + 4..]);
        bytes[first..first + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Where a note could be: what there would be to check.
fn note_at(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let fields = bytes.first_chunk::<FIELDS_LEN>()?;
    let [key_len, value_len] = [4, 6].map(|at| usize::from(u16::from_le_bytes([fields[at], fields[at + 1]])));
    if !(1..=KEY_LEN_MAX).contains(&key_len) || value_len > VALUE_LEN_MAX {
        return None;
    }
    let note = bytes.get(..note_len(key_len, value_len))?;
    let (key, behind) = note[FIELDS_LEN..].split_at(key_len);
    Some((note, key, &behind[..value_len]))
}

/// What the file with this number holds, whatever it holds.
pub(super) fn decode(bytes: &[u8], number: u64) -> Page {
    let beginning = Head::decode(bytes);
    let mut page = Page { beginning, notes: Vec::new(), end: HEAD_LEN, hole: None, is_clean: false };
    let (mut at, mut first_bad, mut failed) = (HEAD_LEN, None, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let whole = note_at(rest).filter(|(note, ..)| {
            let is_whole = note_checksum(number, at as u64, &note[4..]).to_le_bytes() == note[..4];
            failed += if is_whole { 0 } else { note.len() };
            is_whole
        });
        match whole {
            Some((note, key, value)) => {
                page.notes.push(Note { key: key.to_vec(), value: value.to_vec() });
                page.hole = page.hole.or(first_bad.take());
                at += note.len();
                page.end = at;
            }
            None if failed > FAILED_MAX * bytes.len() => break,
            None => {
                first_bad = first_bad.or(Some(at));
                at += ALIGNMENT;
            }
        }
    }
    let is_begun = matches!(page.beginning, Beginning::Head(_));
    let is_zero = bytes.get(page.end..).is_some_and(|behind| behind.iter().all(|&byte| byte == 0));
    page.is_clean = is_begun && page.hole.is_none() && is_zero;
    page
}

const fn note_len(key_len: usize, value_len: usize) -> usize {
    (FIELDS_LEN + key_len + value_len).next_multiple_of(ALIGNMENT)
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("a head has room for its numbers"))
}

/// CRC-32C over everything but the checksum itself.
fn head_checksum(bytes: &[u8; HEAD_LEN]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..CRC_AT]), &bytes[CRC_AT + 4..])
}

/// CRC-32C over where a note lies, and all of it behind its checksum.
fn note_checksum(number: u64, offset: u64, behind: &[u8]) -> u32 {
    let place = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), &offset.to_le_bytes());
    crc32c::crc32c_append(place, behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(number: u8) -> Note {
        let len = usize::from(number) * 7;
        Note { key: vec![number; 1 + len % KEY_LEN_MAX], value: vec![number ^ 1; len % 50] }
    }

    /// The file of this number with so many notes, and a little room behind; and where each of them ends.
    fn file(number: u64, notes: u8) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Head::new(number, 7, "sink").encode().to_vec();
        let mut ends = vec![bytes.len()];
        for nth in 0..notes {
            let offset = bytes.len() as u64;
            note(nth).encode(number, offset, &mut bytes);
            ends.push(bytes.len());
        }
        bytes.resize(bytes.len() + 64, 0);
        (bytes, ends)
    }

    fn notes(count: u8) -> Vec<Note> {
        (0..count).map(note).collect()
    }

    #[test]
    fn what_was_written_is_read() {
        for count in [0, 1, 20] {
            let (bytes, ends) = file(3, count);
            let page = decode(&bytes, 3);
            assert_eq!(page.beginning, Beginning::Head(Head { number: 3, hash: 7, name: "sink".into() }));
            assert_eq!(page.notes, notes(count));
            assert_eq!((page.end, page.hole, page.is_clean), (*ends.last().unwrap(), None, true));
        }
        let largest = Note { key: vec![1; KEY_LEN_MAX], value: vec![2; VALUE_LEN_MAX] };
        assert_eq!(largest.len(), NOTE_LEN_MAX);
    }

    /// Written from the picture at the head of the format alone.
    #[test]
    fn the_bytes_are_those_of_the_picture() {
        let mut bytes = Head::new(2, 0x1122_3344_5566_7788, "prefactor").encode().to_vec();
        Note { key: b"key".to_vec(), value: b"value".to_vec() }.encode(2, 512, &mut bytes);
        let hex: String = bytes[512..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(&bytes[..8], b"SPRGNOTE");
        assert_eq!(bytes[8..12], [0, 0, 9, 0]);
        assert_eq!(bytes[16..32], [2, 0, 0, 0, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
        assert_eq!((&bytes[32..41], bytes[41..512].iter().max()), (&b"prefactor"[..], Some(&0)));
        let head_crc = crc32c::crc32c(&[&bytes[..12], &bytes[16..512]].concat());
        assert_eq!(bytes[12..16], head_crc.to_le_bytes());
        let place = [2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
        let crc = crc32c::crc32c(&[&place[..], &bytes[516..528]].concat()).to_le_bytes();
        assert_eq!(bytes[512..516], crc);
        assert_eq!(&hex[8..], "03000500".to_owned() + "6b6579" + "76616c7565");
        assert_eq!(bytes.len(), 528);
    }

    #[test]
    fn a_file_cut_anywhere_holds_a_prefix_and_nothing_is_amiss() {
        let (bytes, ends) = file(1, 12);
        for cut in 0..=bytes.len() {
            let page = decode(&bytes[..cut], 1);
            let whole = ends.iter().filter(|&&end| end <= cut).count().saturating_sub(1);
            assert_eq!(page.notes, notes(12)[..whole], "cut at {cut}");
            assert_eq!(page.hole, None);
        }
    }

    #[test]
    fn any_flipped_bit_costs_the_note_that_it_is_in_and_no_other() {
        let (bytes, ends) = file(1, 6);
        let last = *ends.last().unwrap();
        for bit in 0..last * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let page = decode(&flipped, 1);
            let mut expected = notes(6);
            match ends.iter().position(|&end| bit / 8 < end) {
                Some(0) => assert_eq!(page.beginning, Beginning::Damaged),
                at => drop(expected.remove(at.unwrap() - 1)),
            }
            assert_eq!(page.notes, expected, "bit {bit}");
            assert!(!page.is_clean);
            let is_in_last = bit / 8 >= ends[5];
            assert_eq!(page.hole.is_some(), bit / 8 >= HEAD_LEN && !is_in_last, "bit {bit}");
        }
    }

    #[test]
    fn notes_of_another_file_or_another_place_are_none() {
        let (bytes, ends) = file(1, 6);
        assert_eq!(decode(&bytes, 2).notes, []);
        let mut moved = bytes.clone();
        moved.splice(HEAD_LEN..HEAD_LEN, [0; 8]);
        assert_eq!(decode(&moved, 1).notes, []);
        assert!(ends.len() > 1);
    }

    #[test]
    fn a_head_of_a_later_version_is_told_from_damage() {
        let (mut bytes, _) = file(1, 1);
        bytes[8] = 1;
        assert_eq!(decode(&bytes, 1).beginning, Beginning::Damaged);
        let head: &[u8; HEAD_LEN] = bytes.first_chunk().unwrap();
        let crc = head_checksum(head).to_le_bytes();
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc);
        assert_eq!(decode(&bytes, 1).beginning, Beginning::LaterVersion);
        assert_eq!(decode(&[0; 600], 1).beginning, Beginning::Zeros);
    }

    #[test]
    fn what_looks_like_notes_everywhere_costs_no_more_than_a_few_looks_at_the_file() {
        // Each multiple of 8 claims the longest note.
        let claim = [0, 0, 0, 0, 0, 2, 0, 4];
        let bytes: Vec<u8> = claim.iter().copied().cycle().take(1 << 20).collect();
        let page = decode(&bytes, 1);
        assert_eq!((page.notes.len(), page.is_clean), (0, false));
    }
}
