//! What rotated files are called, and which there are.
//!
//! ```text
//! spans.jsonl                                    the live file
//! spans.jsonl.20261129T025157Z-000000            a rotated one
//! spans.jsonl.20261129T025157Z-000001.zst        a compressed one
//! spans.jsonl.20261129T025158Z-000000.next       empty: to be the live file after a rotation
//! spans.jsonl.20261129T025157Z-000001.zst.tmp    to be a compressed one
//! ```
//!
//! The time is that of the rotation, in UTC. Names sort as the lines were delivered, whatever the clock does: where the clock stands
//! still or goes back, the last name's time stays and its number grows. Only names of exactly this form are looked at, and
//! only regular files under them are touched.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::rfc3339::Second;

/// A live file, and all that belongs to it in its directory.
#[derive(Debug)]
pub(super) struct Family {
    directory: PathBuf,
    name: OsString,
}

/// Which rotated file it is; a later one is greater.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Stamp {
    moment: String,
    number: u64,
}

/// What is under a stamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// A rotated file as it was.
    Plain,
    /// A rotated file, compressed.
    Zstd,
    /// The next live file.
    Next,
    /// A compressed file that is not yet whole.
    Compressing,
}

impl Form {
    const ALL: [Form; 4] = [Form::Plain, Form::Zstd, Form::Next, Form::Compressing];

    fn suffix(self) -> &'static str {
        match self {
            Form::Plain => "",
            Form::Zstd => ".zst",
            Form::Next => ".next",
            Form::Compressing => ".zst.tmp",
        }
    }
}

impl Family {
    /// The family of the file that is at `path`. Where that is a link, it lies around what the link leads to.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let live = path.canonicalize()?;
        match (live.parent(), live.file_name()) {
            (Some(directory), Some(name)) => Ok(Family { directory: directory.into(), name: name.into() }),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Where the live file is.
    pub(super) fn live(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// Where the file of a stamp is, in some form.
    pub(super) fn path(&self, stamp: &Stamp, form: Form) -> PathBuf {
        let mut name = self.name.clone();
        name.push(format!(".{}-{:06}{}", stamp.moment, stamp.number, form.suffix()));
        self.directory.join(name)
    }

    /// The stamps and forms that there are regular files of, the oldest first.
    pub(super) fn files(&self) -> io::Result<Vec<(Stamp, Form)>> {
        let mut files = self.named()?;
        files.retain(|(stamp, form)| {
            fs::symlink_metadata(self.path(stamp, *form)).is_ok_and(|metadata| metadata.is_file())
        });
        files.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(files)
    }

    /// A stamp behind all that there are.
    pub(super) fn next_stamp(&self) -> io::Result<Stamp> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = Stamp { moment: moment(seconds), number: 0 };
        Ok(match self.named()?.into_iter().map(|(stamp, _)| stamp).max() {
            Some(last) if last >= now => Stamp { number: last.number.saturating_add(1), ..last },
            _ => now,
        })
    }

    /// Makes durable which names there are.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    /// All that have a name of ours, whatever they are.
    fn named(&self) -> io::Result<Vec<(Stamp, Form)>> {
        let mut named = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            named.extend(self.parse(&entry?.file_name()));
        }
        Ok(named)
    }

    /// The opposite of [`path`](Self::path).
    fn parse(&self, name: &OsStr) -> Option<(Stamp, Form)> {
        let rest = name.as_bytes().strip_prefix(self.name.as_bytes())?;
        let (moment, rest) = str::from_utf8(rest).ok()?.strip_prefix('.')?.split_once('-')?;
        let is_moment = moment.len() == "20261129T025157Z".len()
            && moment.bytes().enumerate().all(|(at, byte)| match at {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            });
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = rest.split_at(digits);
        let form = Form::ALL.into_iter().find(|form| form.suffix() == suffix)?;
        let stamp = Stamp { moment: moment.to_owned(), number: number.parse().ok()? };
        // A number has one way to be written.
        (is_moment && self.path(&stamp, form).file_name() == Some(name)).then_some((stamp, form))
    }
}

/// A time as names have it.
fn moment(unix_seconds: u64) -> String {
    let Second { year, month, day, hour, minute, second } = Second::of_unix(unix_seconds);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(directory: &Path) -> Family {
        Family { directory: directory.to_owned(), name: "spans.jsonl".into() }
    }

    #[test]
    fn a_moment_is_the_date_and_time_of_a_clock_in_utc() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_704_067_199, "20231231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(moment(seconds), text);
        }
        let days = (0..200_000).map(|day| moment(day * 86_400)).collect::<Vec<_>>();
        assert!(days.is_sorted_by(|one, other| one < other));
    }

    #[test]
    fn only_names_of_exactly_one_form_are_ours() {
        let family = family(Path::new("/d"));
        let stamp = Stamp { moment: "20261129T025157Z".into(), number: 7 };
        for form in Form::ALL {
            let path = family.path(&stamp, form);
            assert_eq!(family.parse(path.file_name().unwrap()), Some((stamp.clone(), form)));
        }
        for name in [
            "spans.jsonl",
            "spans.jsonl.notes",
            "spans.jsonl.1",
            "spans.jsonl.20261129T025157Z",
            "spans.jsonl.20261129T025157Z-",
            "spans.jsonl.20261129T025157Z-7",
            "spans.jsonl.20261129T025157Z-0000007",
            "spans.jsonl.20261129T025157Z-000007.gz",
            "spans.jsonl.20261129T025157Z-000007.zst.tmp.zst",
            "spans.jsonl.20261129 025157Z-000007",
            "spans.jsonl.2026112xT025157Z-000007",
            "spans.jsonl20261129T025157Z-000007",
            "other.jsonl.20261129T025157Z-000007",
        ] {
            assert_eq!(family.parse(name.as_ref()), None, "{name}");
        }
    }

    #[test]
    fn names_sort_also_when_the_clock_stands_still_or_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let family = family(dir.path());
        let mut made = Vec::new();
        let mut make = |stamp: Stamp, form| {
            let path = family.path(&stamp, form);
            File::create_new(&path).unwrap();
            made.push(path);
        };
        for form in [Form::Plain, Form::Zstd, Form::Plain, Form::Compressing] {
            make(family.next_stamp().unwrap(), form);
        }
        let ahead = Stamp { moment: "29991231T235959Z".into(), number: 999 };
        make(ahead.clone(), Form::Plain);
        for number in 1000..1003 {
            let stamp = family.next_stamp().unwrap();
            assert_eq!(stamp, Stamp { number, ..ahead.clone() });
            make(stamp, Form::Zstd);
        }
        assert!(made.is_sorted_by(|one, other| one < other), "{made:?}");
    }
}
