//! Secrets: what only the receiver it is meant for may get to see. No message shows them, and neither does `Debug`.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::error::with_causes;
use crate::{Error, small_file};

/// No secret in a file is longer, in bytes.
const LEN_MAX: u64 = 64 * 1024;

/// A secret, or where it is kept.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    Text(String),
    /// A variable of the environment.
    Variable(String),
    File(PathBuf),
}

impl Secret {
    /// What it is now. `get` knows the environment's variables.
    pub(crate) fn resolve(&self, get: &impl Fn(&str) -> Option<OsString>) -> io::Result<Vec<u8>> {
        match self {
            Secret::Text(text) => Ok(text.clone().into_bytes()),
            Secret::Variable(name) => match get(name) {
                Some(value) if !value.is_empty() => Ok(value.into_vec()),
                Some(_) => Err(empty()),
                None => Err(io::Error::new(io::ErrorKind::NotFound, "it is not set")),
            },
            Secret::File(path) => read_file(path),
        }
    }
}

/// Where it is, and never what.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Text(_) => f.write_str("the text"),
            Secret::Variable(name) => write!(f, "the variable {}", name.escape_debug()),
            Secret::File(path) => write!(f, "the file {}", path.display().to_string().escape_debug()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

/// What a file holds, without the line break that editors leave at its end. Nothing is no secret.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut secret = small_file::read(path, LEN_MAX)?;
    if secret.pop_if(|byte| *byte == b'\n').is_some() {
        secret.pop_if(|byte| *byte == b'\r');
    }
    if secret.is_empty() { Err(empty()) } else { Ok(secret) }
}

/// What a variable says, or what the file holds that the same name with `_FILE` behind names; and which of them it is. Such files are spanring's addition
/// to the variables of other systems: an environment is shown to more eyes than a file need be.
///
/// # Errors
///
/// [`Error::Variable`] where a variable is there in both forms, the file cannot be read or is empty, or what it says is no UTF-8.
pub(crate) fn in_variable(
    name: &str,
    get: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<(String, String)>, Error> {
    let not_utf8 = || "it is no UTF-8".to_owned();
    let there = |name: &str| get(name).filter(|value| !value.is_empty());
    let in_file = format!("{name}_FILE");
    let (name, text) = match (there(name), there(&in_file)) {
        (None, None) => return Ok(None),
        (Some(value), None) => (name.to_owned(), value.into_string().map_err(|_| not_utf8())),
        (None, Some(path)) => {
            let held = read_file(Path::new(&path)).map_err(|error| with_causes(&error));
            let text = held.and_then(|held| String::from_utf8(held).map_err(|_| not_utf8()));
            // Not by its name: that may be the secret itself, of somebody who took the wrong variable.
            (in_file, text.map_err(|reason| format!("the file that it names cannot be read: {reason}")))
        }
        (Some(_), Some(_)) => {
            let reason = format!("{name} is there too, and one of them is to be left out");
            return Err(Error::Variable { name: in_file, reason });
        }
    };
    match text {
        Ok(text) => Ok(Some((text, name))),
        Err(reason) => Err(Error::Variable { name, reason }),
    }
}

/// The same of a key, of which white space around it is no part. A variable with nothing else says none.
///
/// # Errors
///
/// As for [`in_variable`], and where there is nothing else in the file.
pub(crate) fn key_in_variable(
    name: &str,
    get: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<(String, String)>, Error> {
    let Some((text, found)) = in_variable(name, get)? else { return Ok(None) };
    match text.trim() {
        "" if found == name => Ok(None),
        "" => Err(Error::Variable { name: found, reason: "there is nothing in the file".to_owned() }),
        key => Ok(Some((key.to_owned(), found))),
    }
}

fn empty() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is empty")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_is_what_is_kept_where_it_is_said_to_be_but_for_one_line_break() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let get = |name: &str| (name == "TOKEN").then(|| OsString::from("of the environment"));
        let resolve =
            |secret: Secret| secret.resolve(&get).map(|bytes| String::from_utf8(bytes).unwrap()).unwrap();
        assert_eq!(resolve(Secret::Text("as it is\n".into())), "as it is\n");
        assert_eq!(resolve(Secret::Variable("TOKEN".into())), "of the environment");
        for (kept, is) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a \r", " a \r")] {
            fs::write(&path, kept).unwrap();
            assert_eq!(resolve(Secret::File(path.clone())), is, "{kept:?}");
        }
    }

    #[test]
    fn what_is_not_there_or_empty_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let get = |name: &str| (name == "EMPTY").then(OsString::new);
        let reason = |secret: Secret| secret.resolve(&get).unwrap_err().to_string();
        assert_eq!(reason(Secret::Variable("TOKEN".into())), "it is not set");
        assert_eq!(reason(Secret::Variable("EMPTY".into())), "it is empty");
        assert!(reason(Secret::File(path.clone())).starts_with("No such file"));
        for nothing in ["", "\n", "\r\n"] {
            fs::write(&path, nothing).unwrap();
            assert_eq!(reason(Secret::File(path.clone())), "it is empty", "{nothing:?}");
        }
    }

    #[test]
    fn a_variable_says_it_or_the_file_that_another_one_names() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let read = |variables: &[(&str, &str)], is_key| {
            let get = |asked: &str| {
                let variable = variables.iter().find(|(name, _)| *name == asked);
                variable.map(|(_, value)| OsString::from(value))
            };
            let read = if is_key { key_in_variable("KEY", get) } else { in_variable("KEY", get) };
            read.map_err(|error| error.to_string())
        };
        let said = |text: &str, name: &str| Ok(Some((text.to_owned(), name.to_owned())));
        let (good, blank) = (file("good", b" secret \n"), file("blank", b" \n"));
        for (is_key, text, blanks) in [(false, " secret ", said(" ", "KEY")), (true, "secret", Ok(None))] {
            assert_eq!(read(&[], is_key), Ok(None));
            assert_eq!(read(&[("KEY", ""), ("KEY_FILE", "")], is_key), Ok(None));
            assert_eq!(read(&[("KEY", " ")], is_key), blanks);
            assert_eq!(read(&[("KEY", " secret ")], is_key), said(text, "KEY"));
            assert_eq!(read(&[("KEY", ""), ("KEY_FILE", &good)], is_key), said(text, "KEY_FILE"));
            for (path, reason) in [
                (file("empty", b"\n"), "it is empty"),
                (file("binary", b"\xff"), "it is no UTF-8"),
                (file("long", &[b'x'; 65_537]), "it is longer than 65536 bytes"),
                (
                    dir.path().join("none").to_str().unwrap().to_owned(),
                    "No such file or directory (os error 2)",
                ),
                (dir.path().to_str().unwrap().to_owned(), "it is not a regular file"),
            ] {
                assert_eq!(
                    read(&[("KEY_FILE", &path)], is_key),
                    Err(format!("cannot use KEY_FILE: the file that it names cannot be read: {reason}"))
                );
            }
            let both = "cannot use KEY_FILE: KEY is there too, and one of them is to be left out";
            assert_eq!(read(&[("KEY", "secret"), ("KEY_FILE", &good)], is_key), Err(both.to_owned()));
        }
        assert_eq!(read(&[("KEY_FILE", &blank)], false), said(" ", "KEY_FILE"));
        let nothing = "cannot use KEY_FILE: there is nothing in the file";
        assert_eq!(read(&[("KEY_FILE", &blank)], true), Err(nothing.to_owned()));
    }

    #[test]
    fn no_secret_is_shown() {
        for secret in [Secret::Text("hidden".into()), Secret::Variable("TOKEN".into())] {
            assert!(!format!("{secret} {secret:?}").contains("hidden"));
        }
    }
}
