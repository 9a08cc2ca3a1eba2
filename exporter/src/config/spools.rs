//! Which spools a configuration names, one or several.

use std::path::{Path, PathBuf};

use spanring_spool::SpoolDir;
use toml::de::DeValue;

use super::error::{ConfigError, Fault, Place};
use super::table::{self, Table};
use crate::Error;
use crate::engine::are_same_spool;

pub(super) const SPOOL: &str = "spool";
pub(super) const SPOOLS: &str = "spools";

/// A spool that is named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NamedSpool {
    pub(super) path: PathBuf,
    pub(super) place: Place,
}

/// Reads what a file says of it. Relative paths begin in `dir`.
pub(super) fn read(table: &Table<'_>, dir: &Path) -> Result<Vec<NamedSpool>, ConfigError> {
    let source = table.source;
    let named = |path: &str, start: usize| NamedSpool { path: dir.join(path), place: source.place(start) };
    let one = table.value(SPOOL, table::text)?;
    let several = table.value(SPOOLS, |value| match value {
        DeValue::Array(list) if !list.is_empty() => Ok(list),
        _ => Err("it is a list of directories, as in [\"DIR\", \"DIR\"], and not an empty one"),
    })?;
    let listed = match (one, several) {
        (Some(_), Some(_)) => {
            return Err(table.error(SPOOLS, Fault::Beside { key: SPOOLS, other: SPOOL }));
        }
        (one, None) => {
            let one = table.required(SPOOL, one)?;
            return Ok(vec![named(one.value, one.span.start)]);
        }
        (None, Some(listed)) => listed.value,
    };
    let directory = |item: &toml::Spanned<DeValue<'_>>| match table::text(item.get_ref()) {
        Ok(path) => Ok(named(path, item.span().start)),
        Err(expected) => Err(source.error(&item.span(), Fault::Unfit { key: SPOOLS.to_owned(), expected })),
    };
    listed.iter().map(directory).collect()
}

/// Opens the spool at a path, beside `others`.
///
/// # Errors
///
/// As for [`SpoolDir::open`]; [`Error::SpoolTwice`] where it is one of those, by whatever path.
pub fn open_another(others: &mut Vec<SpoolDir>, path: &Path) -> Result<(), Error> {
    let spool = SpoolDir::open(path)?;
    if others.iter().any(|other| are_same_spool(other, &spool)) {
        return Err(Error::SpoolTwice { path: spool.path().to_owned() });
    }
    others.push(spool);
    Ok(())
}
