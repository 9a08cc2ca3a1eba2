//! How much of what spans carry is sent.

use spanring_spool::Value;

use super::Sensitive;

/// How much of inputs and outputs is sent. The default is all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contents {
    /// Whether inputs are.
    pub inputs: bool,
    /// Whether outputs are.
    pub outputs: bool,
    /// How long a text of an input is at most, in characters.
    pub input_len_max: Option<usize>,
    /// The same of an output.
    pub output_len_max: Option<usize>,
    /// What of it is sent as sensitive; texts as they are cut.
    pub sensitive: Sensitive,
}

impl Default for Contents {
    fn default() -> Self {
        Contents {
            inputs: true,
            outputs: true,
            input_len_max: None,
            output_len_max: None,
            sensitive: Sensitive::default(),
        }
    }
}

/// On which side of the work something stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// It is given.
    Input,
    /// It comes of it.
    Output,
    /// It is content, and of either side.
    Both,
}

impl Contents {
    /// What of this is sent; `None` where nothing is.
    pub(super) fn admit(&self, side: Side, value: &Value) -> Option<Value> {
        let (is_sent, len_max) = match side {
            Side::Input => (self.inputs, self.input_len_max),
            Side::Output => (self.outputs, self.output_len_max),
            Side::Both => {
                (self.inputs && self.outputs, self.input_len_max.into_iter().chain(self.output_len_max).min())
            }
        };
        is_sent.then(|| match len_max {
            None => value.clone(),
            Some(len_max) => cut(value, len_max),
        })
    }
}

/// With every text in it no longer than so many characters.
fn cut(value: &Value, len_max: usize) -> Value {
    match value {
        Value::Str(text) => match text.char_indices().nth(len_max) {
            Some((end, _)) => text[..end].into(),
            None => text.as_str().into(),
        },
        Value::List(values) => Value::List(values.iter().map(|value| cut(value, len_max)).collect()),
        Value::Map(pairs) => {
            Value::Map(pairs.iter().map(|(key, value)| (key.clone(), cut(value, len_max))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_characters_wherever_they_stand() {
        let contents = Contents { input_len_max: Some(2), ..Contents::default() };
        let value = Value::from_iter([("ééé", Value::from(vec!["ééé", "éé", ""])), ("n", 12_345.into())]);
        let short = Value::from_iter([("ééé", Value::from(vec!["éé", "éé", ""])), ("n", 12_345.into())]);
        assert_eq!(contents.admit(Side::Input, &value), Some(short.clone()));
        assert_eq!(contents.admit(Side::Output, &value), Some(value.clone()));
        assert_eq!(contents.admit(Side::Both, &value), Some(short));
    }

    #[test]
    fn what_is_of_both_sides_is_sent_where_both_are() {
        for (inputs, outputs) in [(true, true), (true, false), (false, true), (false, false)] {
            let contents = Contents { inputs, outputs, ..Contents::default() };
            let is_sent = |side| contents.admit(side, &Value::Null).is_some();
            assert_eq!(
                [is_sent(Side::Input), is_sent(Side::Output), is_sent(Side::Both)],
                [inputs, outputs, inputs && outputs]
            );
        }
    }
}
