//! A sink: whether it takes spans.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::{Access, FileType, access, fstat};

use super::{Check, Verdict, free_space, receiver};
use crate::sink::{LineForm, OTLP_LINES, SPANFORGE_LINES, SinkAddress, SinkOptions, SpanForgeAddress};

/// Checks a sink, which is asked as `options` say.
pub async fn check(address: &SinkAddress, options: &SinkOptions) -> Vec<Check> {
    let about = address.to_string();
    match address {
        SinkAddress::File(path) => file(&about, path, OTLP_LINES),
        SinkAddress::SpanForge(SpanForgeAddress::File(path)) => file(&about, path, SPANFORGE_LINES),
        SinkAddress::Stdout => vec![standard_output(&about)],
        SinkAddress::PrelaFile(path) => directory(&about, path),
        receiver => receiver::check(&about, receiver, options).await,
    }
}

fn file(about: &str, path: &Path, form: LineForm) -> Vec<Check> {
    // An address names a file, and a file lies in a directory.
    let directory = path.parent().unwrap_or(path);
    let writable = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err("it is not a regular file".to_owned()),
        Ok(metadata) => access(path, Access::READ_OK | Access::WRITE_OK)
            .map_err(|error| format!("it cannot be written: {error}"))
            .and_then(|()| match holds_lines(path, form) {
                Ok(true) => Ok(format!("it can be appended to, behind {} bytes", metadata.len())),
                Ok(false) => {
                    Err(format!("it holds something else than lines of {}, and is left alone", form.name))
                }
                Err(error) => Err(format!("it cannot be read: {error}")),
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            access(directory, Access::WRITE_OK | Access::EXEC_OK)
                .map(|()| "it is not there, and will be made".to_owned())
                .map_err(|error| format!("it is not there and cannot be made: {error}"))
        }
        Err(error) => Err(format!("it cannot be looked at: {error}")),
    };
    match writable {
        Ok(text) => vec![
            Check::new(Verdict::Ok, about, format!("{text}; no test span is appended")),
            free_space(about, directory),
        ],
        Err(text) => vec![Check::new(Verdict::Fail, about, text)],
    }
}

fn directory(about: &str, path: &Path) -> Vec<Check> {
    // Only the root has no parent, and that is there.
    let parent = path.parent().unwrap_or(path);
    let may_write = |path| access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK);
    let writable = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => Err("it is not a directory".to_owned()),
        Ok(_) => may_write(path)
            .map(|()| (path, "files can be made in it"))
            .map_err(|error| format!("no files can be made in it: {error}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => may_write(parent)
            .map(|()| (parent, "it is not there, and will be made"))
            .map_err(|error| format!("it is not there and cannot be made: {error}")),
        Err(error) => Err(format!("it cannot be looked at: {error}")),
    };
    match writable {
        Ok((there, text)) => vec![
            Check::new(Verdict::Ok, about, format!("{text}; no test span is written")),
            free_space(about, there),
        ],
        Err(text) => vec![Check::new(Verdict::Fail, about, text)],
    }
}

/// Whether a file begins as the sink's own do, as far as it goes.
fn holds_lines(path: &Path, form: LineForm) -> io::Result<bool> {
    let mut beginning = Vec::new();
    File::open(path)?.take(form.beginning_len_max() as u64).read_to_end(&mut beginning)?;
    Ok(form.is_beginning(&beginning))
}

fn standard_output(about: &str) -> Check {
    let stdout = io::stdout();
    let kind = fstat(stdout.as_fd()).map(|found| FileType::from_raw_mode(found.st_mode));
    let what = match kind {
        Err(error) => return Check::new(Verdict::Fail, about, format!("it cannot be written: {error}")),
        Ok(_) if stdout.is_terminal() => "a terminal",
        Ok(FileType::Fifo) => "a pipe",
        Ok(FileType::RegularFile) => "a file",
        Ok(_) => "open",
    };
    Check::new(Verdict::Ok, about, format!("it is {what} here; no test span is printed"))
}
