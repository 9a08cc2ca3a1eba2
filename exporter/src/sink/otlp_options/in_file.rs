//! Variables whose value may be kept in a file. This is spanring's addition to OpenTelemetry's variables: an environment is shown to more
//! eyes than a file need be.

use std::ffi::OsString;
use std::path::Path;

use crate::Error;
use crate::error::with_causes;
use crate::secret;

/// The value of the first of these variables that is there, or what the file holds that the same name with `_FILE` behind names; and what that
/// variable is called.
///
/// # Errors
///
/// [`Error::Variable`] where a variable is there in both forms, the file cannot be read, or it is no UTF-8.
pub(super) fn text_or_file(
    names: [String; 2],
    get: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<(String, String)>, Error> {
    let not_utf8 = || "it is no UTF-8".to_owned();
    for name in names {
        let in_file = format!("{name}_FILE");
        let there = |name: &str| get(name).filter(|value| !value.is_empty());
        let (name, text) = match (there(&name), there(&in_file)) {
            (None, None) => continue,
            (Some(value), None) => (name, value.into_string().map_err(|_| not_utf8())),
            (None, Some(path)) => {
                let held = secret::read_file(Path::new(&path)).map_err(|error| with_causes(&error));
                let text = held.and_then(|held| String::from_utf8(held).map_err(|_| not_utf8()));
                let path = Path::new(&path).display();
                (in_file, text.map_err(|reason| format!("{path}: {reason}")))
            }
            (Some(_), Some(_)) => {
                let reason = format!("{name} is there too, and one of them is to be left out");
                return Err(Error::Variable { name: in_file, reason });
            }
        };
        return match text {
            Ok(text) => Ok(Some((text.trim().to_owned(), name))),
            Err(reason) => Err(Error::Variable { name, reason }),
        };
    }
    Ok(None)
}
