//! What the environment says about recording: OpenTelemetry's variables and ours, read once, when a spool starts.
//!
//! | variable | |
//! |---|---|
//! | `SPANRING_DISABLED`, `OTEL_SDK_DISABLED` | either is `true`, in whatever case, or the first is `1`: nothing is recorded. Anything else says nothing |
//! | `OTEL_SERVICE_NAME` | the resource's `service.name` |
//! | `OTEL_RESOURCE_ATTRIBUTES` | `key=value,key=value`, percent-encoded UTF-8, with space around keys and values that does not count: attributes of the resource, all of them text |
//! | `OTEL_TRACES_SAMPLER` | which traces are recorded, unless the program has a sampler: `always_on`, `always_off`, `traceidratio`, and each with `parentbased_` before it |
//! | `OTEL_TRACES_SAMPLER_ARG` | the share of `traceidratio`, from 0 to 1; 1 unless said otherwise |
//! | `SPANRING_FILTER` | which callsites are enabled, beside the program's own filter: see [`Directives`] |
//! | `SPANRING_LIVE` | `true` or `1`: every span is announced when it starts, and not just roots, as where the program says [`live`](crate::SpoolBuilder::live) |
//! | `SPANRING_CAPTURE_CONTENT` | `false`: prompts, completions, arguments, results are left out |
//! | `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` | the same, as OpenTelemetry says it: `false`, `NO_CONTENT`, `EVENT_ONLY`; the stricter of the two counts, and so does one that makes no sense |
//!
//! A variable that is empty is as if it were not there. One that makes no sense is ignored as a whole, or counts as the warning says, and that shows in
//! [`Health::warnings`](crate::Health::warnings): it is no reason for an agent not to start.

mod sampler;

use std::ffi::OsString;

use spanring::callsite::Directives;
use spanring::redaction::Capture;

pub(crate) use sampler::NamedSampler;

use crate::{Resource, Trouble, Value};

/// No variable that says something about the resource is longer, in bytes: together with what the program says, it is to fit.
const LEN_MAX: usize = 16 * 1024;

/// What the variables say.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Environment {
    /// Whether nothing is to be recorded.
    pub(crate) is_disabled: bool,
    /// Whether all spans are announced when they start.
    pub(crate) is_live: bool,
    /// Which traces are recorded.
    pub(crate) sampler: Option<NamedSampler>,
    /// Which callsites are enabled.
    pub(crate) filter: Option<Directives>,
    /// Whether content is recorded.
    pub(crate) capture: Capture,
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
        for (name, action) in
            [("SPANRING_DISABLED", "use SPANRING_DISABLED"), ("OTEL_SDK_DISABLED", "use OTEL_SDK_DISABLED")]
        {
            let Some(value) = variable(name) else { continue };
            let is_ours = name.starts_with("SPANRING");
            if value.eq_ignore_ascii_case("true") || (is_ours && value == "1") {
                read.is_disabled = true;
            } else if !(value.eq_ignore_ascii_case("false") || (is_ours && value == "0")) {
                warn(action, "it is neither true nor false, and counts as false");
            }
        }
        if let Some(value) = variable("SPANRING_LIVE") {
            read.is_live = value.eq_ignore_ascii_case("true") || value == "1";
            if !(read.is_live || value.eq_ignore_ascii_case("false") || value == "0") {
                warn("use SPANRING_LIVE", "it is neither true nor false, and counts as false");
            }
        }
        if let Some(name) = variable("OTEL_TRACES_SAMPLER") {
            let argument = || Some(text(&variable("OTEL_TRACES_SAMPLER_ARG")?).map(str::to_owned));
            let warn_of_argument = |reason: &str| warn("use OTEL_TRACES_SAMPLER_ARG", reason);
            match text(&name).and_then(|name| NamedSampler::named(name.trim(), argument, warn_of_argument)) {
                Ok(sampler) => read.sampler = Some(sampler),
                Err(reason) => warn("use OTEL_TRACES_SAMPLER", reason),
            }
        }
        if let Some(directives) = variable("SPANRING_FILTER") {
            let parsed = text(&directives)
                .map_err(str::to_owned)
                .and_then(|text| text.parse::<Directives>().map_err(|error| error.to_string()));
            match parsed {
                Ok(directives) => read.filter = Some(directives),
                Err(reason) => warn("use SPANRING_FILTER", &reason),
            }
        }
        for (name, action, parse) in CAPTURES {
            let Some(value) = variable(name) else { continue };
            let capture = text(&value).and_then(parse).unwrap_or_else(|reason| {
                warn(action, reason);
                Capture::NoContent
            });
            read.capture = read.capture.max(capture);
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

type ParseCapture = fn(&str) -> Result<Capture, &'static str>;

/// What says whether content is recorded.
const CAPTURES: [(&str, &str, ParseCapture); 2] = [
    ("SPANRING_CAPTURE_CONTENT", "use SPANRING_CAPTURE_CONTENT", Capture::from_variable),
    (
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        "use OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        Capture::from_otel_variable,
    ),
];

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
    fn our_own_variable_disables_too_and_either_does() {
        let disabled = |ours, theirs| {
            let variables = [("SPANRING_DISABLED", ours), ("OTEL_SDK_DISABLED", theirs)];
            let environment = read(&variables);
            (environment.is_disabled, environment.warnings.len())
        };
        assert_eq!(disabled("true", ""), (true, 0));
        assert_eq!(disabled("TRUE", "false"), (true, 0));
        assert_eq!(disabled("false", "true"), (true, 0));
        assert_eq!(disabled("false", "false"), (false, 0));
        assert_eq!(disabled("1", ""), (true, 0));
        assert_eq!(disabled("0", "1"), (false, 1));
        assert_eq!(disabled("on", "yes"), (false, 2));
    }

    #[test]
    fn a_sampler_is_named_as_opentelemetry_names_it() {
        let named = |name, argument| {
            let environment = read(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)]);
            let warnings = environment.warnings.iter().map(|warning| warning.action).collect::<Vec<_>>();
            (environment.sampler, warnings)
        };
        for (name, by_parent, ratio) in [
            ("always_on", false, 1.0),
            ("always_off", false, 0.0),
            ("traceidratio", false, 0.25),
            ("parentbased_always_on", true, 1.0),
            ("parentbased_always_off", true, 0.0),
            (" parentbased_traceidratio ", true, 0.25),
        ] {
            assert_eq!(named(name, "0.25"), (Some(NamedSampler { by_parent, ratio }), vec![]), "{name}");
        }
        let all = Some(NamedSampler { by_parent: false, ratio: 1.0 });
        assert_eq!(named("traceidratio", ""), (all, vec![]));
        for argument in ["a tenth", "1.1", "-0.1", "NaN"] {
            assert_eq!(
                named("traceidratio", argument),
                (all, vec!["use OTEL_TRACES_SAMPLER_ARG"]),
                "{argument}"
            );
        }
        for name in ["xray", "ALWAYS_ON", "parentbased_"] {
            assert_eq!(named(name, "1"), (None, vec!["use OTEL_TRACES_SAMPLER"]), "{name}");
        }
    }

    #[test]
    fn of_two_variables_about_content_the_stricter_counts_and_so_does_one_that_makes_no_sense() {
        let captured = |ours, theirs| {
            let environment = read(&[
                ("SPANRING_CAPTURE_CONTENT", ours),
                ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", theirs),
            ]);
            (environment.capture, environment.warnings.len())
        };
        assert_eq!(captured("", ""), (Capture::Full, 0));
        assert_eq!(captured("true", "SPAN_AND_EVENT"), (Capture::Full, 0));
        assert_eq!(captured("false", "true"), (Capture::NoContent, 0));
        assert_eq!(captured("true", "no_content"), (Capture::NoContent, 0));
        assert_eq!(captured("flase", "true"), (Capture::NoContent, 1));
        assert_eq!(captured("true", "perhaps"), (Capture::NoContent, 1));
    }

    #[test]
    fn all_spans_are_announced_where_that_is_said() {
        for (value, expected) in [
            ("true", (true, 0)),
            ("TRUE", (true, 0)),
            ("1", (true, 0)),
            ("", (false, 0)),
            ("false", (false, 0)),
            ("0", (false, 0)),
            ("yes", (false, 1)),
        ] {
            let environment = read(&[("SPANRING_LIVE", value)]);
            assert_eq!((environment.is_live, environment.warnings.len()), expected, "{value}");
        }
    }

    #[test]
    fn callsites_are_filtered_by_directives() {
        assert_eq!(read(&[("SPANRING_FILTER", "shop=off")]).filter, Some("shop=off".parse().unwrap()));
        let environment = read(&[("SPANRING_FILTER", "shop=no")]);
        assert_eq!(environment.filter, None);
        assert_eq!(environment.warnings[0].reason, "\"shop=no\" in it says neither on nor off");
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
        assert_eq!((environment.resource, environment.warnings.len()), (Resource::default(), 9));
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
