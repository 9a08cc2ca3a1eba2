//! What the environment says about recording: OpenTelemetry's variables, read once, when a spool starts.
//!
//! | variable | |
//! |---|---|
//! | `OTEL_SDK_DISABLED` | `true`, in whatever case: nothing is recorded. Anything else says nothing |
//! | `OTEL_SERVICE_NAME` | the resource's `service.name` |
//! | `OTEL_RESOURCE_ATTRIBUTES` | `key=value,key=value`, percent-encoded UTF-8, with space around keys and values that does not count: attributes of the resource, all of them text |
//!
//! A variable that is empty is as if it were not there. One that makes no sense is ignored as a whole, and that shows in
//! [`Health::warnings`](crate::Health::warnings): it is no reason for an agent not to start.

use std::ffi::OsString;

use crate::{Resource, Trouble, Value};

/// No variable that says something about the resource is longer, in bytes: together with what the program says, it is to fit.
const LEN_MAX: usize = 16 * 1024;

/// What the variables say.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Environment {
    /// Whether nothing is to be recorded.
    pub(crate) is_disabled: bool,
    /// What is known about the process.
    pub(crate) resource: Resource,
    /// The variables that make no sense.
    pub(crate) warnings: Vec<Trouble>,
}

impl Environment {
    /// The environment of this process.
    pub(crate) fn of_process() -> Self {
        Self::read(|name| std::env::var_os(name))
    }

    /// The environment whose variables `variable` gives.
    fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut read = Environment::default();
        let mut warnings = Vec::new();
        let mut warn = |action, reason: &str| warnings.push(Trouble { action, reason: reason.to_owned() });
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(value) = variable("OTEL_SDK_DISABLED") {
            read.is_disabled = value.eq_ignore_ascii_case("true");
            if !read.is_disabled && !value.eq_ignore_ascii_case("false") {
                warn("use OTEL_SDK_DISABLED", "it is neither true nor false, and counts as false");
            }
        }
        if let Some(name) = variable("OTEL_SERVICE_NAME") {
            match text(&name) {
                Ok(name) => read.resource = Resource::named(name),
                Err(reason) => warn("use OTEL_SERVICE_NAME", reason),
            }
        }
        if let Some(list) = variable("OTEL_RESOURCE_ATTRIBUTES") {
            match text(&list).and_then(listed) {
                Ok(listed) => read.resource.add_missing(listed),
                Err(reason) => warn("use OTEL_RESOURCE_ATTRIBUTES", reason),
            }
        }
        Environment { warnings, ..read }
    }
}

fn text(value: &OsString) -> Result<&str, &'static str> {
    if value.len() > LEN_MAX {
        return Err("it is longer than 16 KiB");
    }
    value.to_str().ok_or("it is no UTF-8")
}

/// The attributes of a list. Of a key that stands twice, the last value counts.
fn listed(list: &str) -> Result<Resource, &'static str> {
    let mut resource = Resource::default();
    for member in list.split(',').map(str::trim).filter(|member| !member.is_empty()) {
        let (key, value) = member.split_once('=').ok_or("a part of it has no =")?;
        let key = decoded(key.trim_end())?;
        if key.is_empty() {
            return Err("a part of it has no key");
        }
        resource.set(&key, Value::Str(decoded(value.trim_start())?));
    }
    Ok(resource)
}

/// Text without its percent-encoding.
fn decoded(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let byte = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or("a % in it is not followed by two hexadecimal digits")?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_err(|_| "a part of it is no UTF-8 once it is decoded")
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        Environment::read(|name| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| OsString::from(value))
        })
    }

    /// The attributes that a list comes to, or what is wrong with it.
    fn list(list: &str) -> Result<Vec<(String, String)>, String> {
        let environment = read(&[("OTEL_RESOURCE_ATTRIBUTES", list)]);
        if let [warning] = &environment.warnings[..] {
            assert_eq!(environment.resource, Resource::default(), "all of it is ignored");
            assert_eq!(warning.action, "use OTEL_RESOURCE_ATTRIBUTES");
            return Err(warning.reason.clone());
        }
        let pairs = environment.resource.attributes.into_iter().map(|(key, value)| {
            let Value::Str(value) = value else { panic!("{key} is no text: {value:?}") };
            (key, value)
        });
        Ok(pairs.collect())
    }

    fn pairs(expected: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        Ok(expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn an_empty_environment_says_nothing() {
        assert_eq!(read(&[]), Environment::default());
        let empty = [("OTEL_SDK_DISABLED", ""), ("OTEL_SERVICE_NAME", ""), ("OTEL_RESOURCE_ATTRIBUTES", "")];
        assert_eq!(read(&empty), Environment::default());
    }

    #[test]
    fn only_true_in_whatever_case_disables() {
        for value in ["true", "TRUE", "True"] {
            let environment = read(&[("OTEL_SDK_DISABLED", value)]);
            assert!(environment.is_disabled && environment.warnings.is_empty());
        }
        for value in ["false", "FALSE"] {
            assert_eq!(read(&[("OTEL_SDK_DISABLED", value)]), Environment::default());
        }
        for value in ["1", "yes", " true", "truetrue"] {
            let environment = read(&[("OTEL_SDK_DISABLED", value)]);
            assert!(!environment.is_disabled);
            let [warning] = &environment.warnings[..] else { panic!("{environment:?}") };
            assert_eq!(warning.action, "use OTEL_SDK_DISABLED");
            assert_eq!(warning.reason, "it is neither true nor false, and counts as false");
        }
    }

    #[test]
    fn attributes_are_listed_and_percent_encoded() {
        assert_eq!(
            list("a=1,b.c=%C3%BCber%20all%2C%3D%25,empty="),
            pairs(&[("a", "1"), ("b.c", "über all,=%"), ("empty", "")])
        );
        assert_eq!(
            list(" a = one two ,\tb\t=\tx\t"),
            pairs(&[("a", "one two"), ("b", "x")]),
            "space around does not count"
        );
        assert_eq!(list("k%20y=a=b;c+d"), pairs(&[("k y", "a=b;c+d")]));
        assert_eq!(list("a=%20x%20"), pairs(&[("a", " x ")]), "encoded space counts");
        assert_eq!(list("a=1,,b=2,"), pairs(&[("a", "1"), ("b", "2")]), "an empty part says nothing");
        assert_eq!(list("a=ü,b=1,a=2"), pairs(&[("b", "1"), ("a", "2")]), "the last one counts");
    }

    #[test]
    fn a_list_with_anything_wrong_is_ignored_as_a_whole() {
        for (text, reason) in [
            ("a=1,b", "a part of it has no ="),
            ("a=1,=2", "a part of it has no key"),
            ("a=1,b=%", "a % in it is not followed by two hexadecimal digits"),
            ("a=1,b=%4", "a % in it is not followed by two hexadecimal digits"),
            ("a=1,b=%+4", "a % in it is not followed by two hexadecimal digits"),
            ("a=1,b=%ü", "a % in it is not followed by two hexadecimal digits"),
            ("a=1,b=%FF", "a part of it is no UTF-8 once it is decoded"),
            (&format!("a={}", "x".repeat(LEN_MAX)), "it is longer than 16 KiB"),
        ] {
            assert_eq!(list(text), Err(reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_variable_that_is_no_text_is_ignored_and_told() {
        let environment = Environment::read(|_| Some(OsString::from_vec(vec![0xff])));
        assert!(!environment.is_disabled);
        assert_eq!((environment.resource, environment.warnings.len()), (Resource::default(), 3));
    }

    #[test]
    fn the_service_of_its_own_variable_wins_over_the_list() {
        let environment = read(&[
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=listed,service.version=1.2"),
            ("OTEL_SERVICE_NAME", "shop%20a,b=c"),
        ]);
        assert_eq!(environment.resource.get("service.name"), Some(&Value::from("shop%20a,b=c")));
        assert_eq!(environment.resource.get("service.version"), Some(&Value::from("1.2")));
        assert_eq!(environment.resource.attributes.len(), 2);
        let listed = read(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=listed")]);
        assert_eq!(listed.resource.get("service.name"), Some(&Value::from("listed")));
    }
}
