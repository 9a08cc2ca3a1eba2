//! Secrets: what only the receiver it is meant for may get to see. No message shows them, and neither does `Debug`.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::small_file;

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
    fn no_secret_is_shown() {
        for secret in [Secret::Text("hidden".into()), Secret::Variable("TOKEN".into())] {
            assert!(!format!("{secret} {secret:?}").contains("hidden"));
        }
    }
}
