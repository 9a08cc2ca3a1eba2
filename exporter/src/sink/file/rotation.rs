//! Rotation: a live file is put aside under another name, and an empty one takes its place.
//!
//! | step | then there are | after a death here, the next process |
//! |---|---|---|
//! | 1. make and lock `.next` | live, an empty `.next` | removes `.next` |
//! | 2. link the live file to its rotated name, sync the directory | live = rotated, `.next` | removes both names, and goes on with the live file |
//! | 3. rename `.next` to the live name, sync the directory | an empty live file, rotated | goes on |
//! | 4. remove the oldest rotated files beyond `keep` | | does it |
//! | 5. compress into `.zst.tmp`, sync it | rotated, `.zst.tmp` | removes `.zst.tmp`, and begins anew |
//! | 6. link that to `.zst`, sync the directory, remove `.zst.tmp` | rotated = what is in `.zst` | compares them, and goes on |
//! | 7. remove the rotated file | `.zst` | |
//!
//! At every moment each line is in a file that is synced and has a name. A name is given by a link, which unlike a rename fails where
//! there is something already; only the live name is taken over, from the file that has another by then. So the file system must know hard links.
//! Who sees plain and compressed files side by side may find the same lines in both, between steps 6 and 7.
//!
//! What one attempt leaves behind when it fails is swept by the next. Steps 4 to 7 take nothing from a delivery: they are done behind
//! it, and what fails of them is said, and tried again after the next rotation or opening.
//!
//! # There is one writer
//!
//! * **W1** Only who holds the lock of the file that the live name stands for writes, rotates, sweeps and tidies.
//! * **W2** It makes that name stand for another file only by step 3, and holds that one's lock from step 1 on.
//! * **W3** Who has got a lock looks whether the live name still stands for that file, and gives up where it does not.
//!
//! By W2 the name stands for a locked file throughout. Another exporter that opened the old file before step 3, and gets its lock after,
//! is turned away by W3; one that opens the new file does not get its lock. Where a person removes or moves the live file, whoever comes next
//! makes a new one, and the writer before sees that before its next line, gives its own up, and asks for the new one's lock as everybody does.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

use super::rotated::{Family, Form, Stamp};
use super::{Compression, FileOptions, lock};
use crate::error::with_causes;

/// How hard zstd tries: its own default, with which it keeps up with most disks.
const LEVEL: i32 = 3;

/// How much of two files is compared at once, in bytes.
const COMPARED_LEN: usize = 64 * 1024;

/// Steps 1 to 3: puts the file aside that is at `path`, `live`, and returns the empty one that is there then.
pub(super) fn rotate(path: &Path, live: &File) -> io::Result<File> {
    let family = Family::of(path)?;
    sweep(&family, live)?;
    let stamp = family.next_stamp()?;
    let next_path = family.path(&stamp, Form::Next);
    let next = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&next_path)?;
    lock(&next)?;
    // Whoever may read the one may read the other.
    next.set_permissions(live.metadata()?.permissions())?;
    fs::hard_link(family.live(), family.path(&stamp, Form::Plain))?;
    // Before the rename: a power cut must not leave the one and take the other.
    family.sync()?;
    fs::rename(&next_path, family.live())?;
    family.sync()?;
    Ok(next)
}

/// Removes what a rotation or a compression has left that did not get through. `live` is the live file, which the caller has locked.
pub(super) fn sweep(family: &Family, live: &File) -> io::Result<()> {
    let live = live.metadata()?;
    let mut has_swept = false;
    for (stamp, form) in family.files()? {
        let path = family.path(&stamp, form);
        let is_left_over = match form {
            Form::Next => fs::symlink_metadata(&path)?.len() == 0,
            Form::Compressing => true,
            Form::Plain => is_same_file(&fs::symlink_metadata(&path)?, &live),
            Form::Zstd => false,
        };
        if is_left_over {
            fs::remove_file(&path)?;
            has_swept = true;
        }
    }
    if has_swept { family.sync() } else { Ok(()) }
}

/// Steps 4 to 7, for all rotated files of the file at `path`. Returns what did not work.
pub(super) fn tidy(path: &Path, options: &FileOptions) -> Vec<String> {
    let mut troubles = Vec::new();
    let mut note = |what: &str, error: &io::Error| troubles.push(format!("{what}: {}", with_causes(error)));
    let files = Family::of(path).and_then(|family| Ok((family.files()?, family)));
    let (files, family) = match files {
        Ok(files) => files,
        Err(error) => {
            note("cannot look for rotated files", &error);
            return troubles;
        }
    };
    let rotated = |form: &Form| matches!(form, Form::Plain | Form::Zstd);
    let mut stamps: Vec<&Stamp> =
        files.iter().filter(|(_, form)| rotated(form)).map(|(stamp, _)| stamp).collect();
    stamps.dedup();
    let beyond = options.keep.map_or(0, |keep| stamps.len().saturating_sub(keep.get()));
    let too_old = &stamps[..beyond];
    for (stamp, form) in &files {
        let path = family.path(stamp, *form);
        if rotated(form) && too_old.contains(&stamp) {
            if let Err(error) = fs::remove_file(&path) {
                note(&format!("cannot remove {}", path.display()), &error);
            }
        } else if *form == Form::Plain
            && options.compression == Compression::Zstd
            && let Err(error) = compress(&family, stamp)
        {
            note(&format!("{} stays uncompressed", path.display()), &error);
        }
    }
    troubles
}

/// Steps 5 to 7.
fn compress(family: &Family, stamp: &Stamp) -> io::Result<()> {
    let plain_path = family.path(stamp, Form::Plain);
    let zstd_path = family.path(stamp, Form::Zstd);
    let plain = File::open(&plain_path)?;
    // Where somebody has moved files about, an exporter may still be within a line of it.
    lock(&plain)?;
    match File::open(&zstd_path) {
        Ok(zstd) => {
            if !holds(&zstd, &plain)? {
                let what = format!("{} is there, and does not hold the same", zstd_path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
            }
            zstd.sync_all()?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let temporary_path = family.path(stamp, Form::Compressing);
            let made = compress_into(&temporary_path, &plain)
                .and_then(|()| fs::hard_link(&temporary_path, &zstd_path))
                .and_then(|()| family.sync());
            // It may take space that is needed, and what is not removed here is swept later.
            drop(fs::remove_file(&temporary_path));
            made?;
        }
        Err(error) => return Err(error),
    }
    family.sync()?;
    fs::remove_file(plain_path)
}

fn compress_into(path: &Path, mut plain: &File) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(plain.metadata()?.permissions())?;
    let mut encoder = Encoder::new(file, LEVEL)?;
    encoder.include_checksum(true)?;
    io::copy(&mut plain, &mut encoder)?;
    encoder.finish()?.sync_all()
}

/// Whether `zstd` is the whole of `plain`, compressed.
fn holds(zstd: &File, plain: &File) -> io::Result<bool> {
    let (mut zstd, mut plain) = (BufReader::new(Decoder::new(zstd)?), plain);
    let (mut one, mut other) = (vec![0; COMPARED_LEN], vec![0; COMPARED_LEN]);
    loop {
        // One that ends early or is damaged is not whole.
        let Ok(len) = read_up_to(&mut zstd, &mut one) else { return Ok(false) };
        if len != read_up_to(&mut plain, &mut other)? || one[..len] != other[..len] {
            return Ok(false);
        }
        if len == 0 {
            return Ok(true);
        }
    }
}

/// Reads until `bytes` are full or there are no more.
fn read_up_to(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < bytes.len() {
        match from.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Whether two names stand for one file.
pub(in crate::sink) fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests;
