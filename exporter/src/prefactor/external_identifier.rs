//! What an instance is called by whoever runs the agent.

use spanring_spool::{RecorderId, Resource, Value};

/// What instances are called, in place of the names of their recorders: a text, in which `{recorder}` stands for the recorder's name, and `{KEY}` for the
/// attribute of this key that the process's resource has.
///
/// ```
/// use spanring_exporter::prefactor::ExternalIdentifier;
/// use spanring_spool::{RecorderId, Resource};
///
/// let identifier = ExternalIdentifier::parse("{service.name} {recorder}").unwrap();
/// let recorder = RecorderId::from_parts(1, 2);
/// let expected = format!("shop {recorder}");
/// assert_eq!(identifier.of(&recorder, &Resource::named("shop")), Some(expected));
/// assert_eq!(identifier.of(&recorder, &Resource::default()), None);
/// assert_eq!(ExternalIdentifier::parse("{recorder"), Err("a { has no } behind it"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExternalIdentifier {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Recorder,
    Attribute(String),
}

/// No instance is called by anything longer, in characters.
const LEN_MAX: usize = 200;

/// The attribute of a resource by which a process says itself what its instance is called.
pub(super) const ATTRIBUTE: &str = "prefactor.external_identifier";

impl ExternalIdentifier {
    /// What a text says.
    ///
    /// # Errors
    ///
    /// Why it makes no sense.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.trim().is_empty() {
            return Err("it is blank");
        }
        if text.chars().count() > LEN_MAX {
            return Err("it has more than 200 characters");
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once('{') {
            let (key, behind) = behind.split_once('}').ok_or("a { has no } behind it")?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match key {
                "" => return Err("there is nothing between { and }"),
                key if key.contains('{') => return Err("a { has no } behind it"),
                "recorder" => Part::Recorder,
                key => Part::Attribute(key.to_owned()),
            });
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        if parts.iter().any(|part| matches!(part, Part::Text(text) if text.contains('}'))) {
            return Err("a } has no { before it");
        }
        Ok(ExternalIdentifier { parts })
    }

    /// What the instance of a process is called; `None` where the process lacks an attribute, has one that is blank or neither a text nor a number, or where all
    /// of it has more than 200 characters.
    pub fn of(&self, recorder: &RecorderId, resource: &Resource) -> Option<String> {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Recorder => Some(recorder.to_string()),
            Part::Attribute(key) => said(resource, key),
        });
        parts.collect::<Option<String>>().filter(|whole| whole.chars().count() <= LEN_MAX)
    }
}

/// What a process says itself of what its instance is called.
pub(super) fn said_by(resource: &Resource) -> Option<String> {
    said(resource, ATTRIBUTE).filter(|text| text.chars().count() <= LEN_MAX)
}

fn said(resource: &Resource, key: &str) -> Option<String> {
    match resource.get(key)? {
        Value::Str(text) => Some(text.to_owned()).filter(|text| !text.trim().is_empty()),
        Value::U64(number) => Some(number.to_string()),
        Value::I64(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(pairs: &[(&str, Value)]) -> Resource {
        let attributes = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Resource { attributes }
    }

    #[test]
    fn what_stands_between_braces_is_of_the_process() {
        let recorder = RecorderId::from_parts(1, 2);
        let of = |text: &str, resource: &Resource| {
            ExternalIdentifier::parse(text).unwrap().of(&recorder, resource)
        };
        let process =
            resource(&[("run.id", "r-1".into()), ("process.pid", 7_u64.into()), ("blank", " ".into())]);
        assert_eq!(of("ext-run-1", &process), Some("ext-run-1".to_owned()));
        assert_eq!(of("{run.id}/{process.pid}", &process), Some("r-1/7".to_owned()));
        assert_eq!(of("a{recorder}b", &process), Some(format!("a{recorder}b")));
        for lacking in ["{other}", "{blank}", "{run.id} {other}"] {
            assert_eq!(of(lacking, &process), None, "{lacking}");
        }
        let long = resource(&[("run.id", "x".repeat(200).into())]);
        assert_eq!(of("{run.id}", &long), Some("x".repeat(200)));
        assert_eq!(of("{run.id}!", &long), None);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (text, reason) in [
            ("", "it is blank"),
            ("  ", "it is blank"),
            ("{", "a { has no } behind it"),
            ("{a{b}", "a { has no } behind it"),
            ("{}", "there is nothing between { and }"),
            ("a}", "a } has no { before it"),
            ("}{a}", "a } has no { before it"),
            (&"x".repeat(201), "it has more than 200 characters"),
        ] {
            assert_eq!(ExternalIdentifier::parse(text), Err(reason), "{text}");
        }
    }
}
