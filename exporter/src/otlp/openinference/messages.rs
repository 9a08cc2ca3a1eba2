//! Messages, each field an attribute. They come in two forms: as OpenTelemetry's GenAI conventions have them, with `parts`, and as chat APIs
//! take them, with `content` and `tool_calls`.

use std::collections::HashSet;

use spanring_spool::Value;

use super::{FLATTENED_MAX, json};

/// Attributes of a list as they come about.
pub(super) struct Flat {
    attributes: Vec<(String, Value)>,
    names: HashSet<String>,
}

impl Flat {
    pub(super) fn new() -> Self {
        Flat { attributes: Vec::new(), names: HashSet::new() }
    }

    /// How many there are so far.
    fn len(&self) -> usize {
        self.attributes.len()
    }

    /// Adds an attribute, unless there are too many, or one has that name already.
    pub(super) fn put(&mut self, name: String, value: Value) -> Option<()> {
        if self.attributes.len() == FLATTENED_MAX || !self.names.insert(name.clone()) {
            return None;
        }
        self.attributes.push((name, value));
        Some(())
    }

    /// Adds a field of which nothing more is known.
    pub(super) fn leaf(&mut self, name: String, value: &Value) -> Option<()> {
        let is_simple = match value {
            Value::List(values) => values.iter().all(|value| value.as_str().is_some()),
            Value::Map(_) => false,
            _ => true,
        };
        let value = if is_simple { value.clone() } else { Value::Str(json::text(value)?) };
        self.put(name, value)
    }

    /// Adds a text, and anything else as JSON. Null stays null.
    pub(super) fn json(&mut self, name: String, value: &Value) -> Option<()> {
        let value = match value {
            Value::Null | Value::Str(_) => value.clone(),
            other => Value::Str(json::text(other)?),
        };
        self.put(name, value)
    }

    /// The attributes; an empty list makes none, and would be lost.
    pub(super) fn into_attributes(self) -> Option<Vec<(String, Value)>> {
        (!self.attributes.is_empty()).then_some(self.attributes)
    }
}

/// The attributes that a list of messages comes to, if that can be told.
pub(super) fn flattened(prefix: &str, list: &Value) -> Option<Vec<(String, Value)>> {
    with_instructions(prefix, None, Some(list))
}

/// The same, with instructions before them as a message of the system.
pub(super) fn with_instructions(
    prefix: &str,
    instructions: Option<&Value>,
    list: Option<&Value>,
) -> Option<Vec<(String, Value)>> {
    let mut flat = Flat::new();
    let mut next = 0;
    if let Some(instructions) = instructions {
        let at = format!("{prefix}.{next}.message.");
        flat.put(format!("{at}role"), "system".into())?;
        match (json::list(instructions), instructions) {
            (Some(parts), _) if !parts.is_empty() => in_parts(&mut flat, &at, &parts)?,
            (_, Value::Str(_)) => flat.put(format!("{at}content"), instructions.clone())?,
            _ => return None,
        }
        next += 1;
    }
    for message in list.map_or(Some(Vec::new()), json::list)? {
        next += one(&mut flat, prefix, next, &message)?;
    }
    // Of an empty list beside instructions nothing would be left.
    if list.is_some() && next == usize::from(instructions.is_some()) {
        return None;
    }
    flat.into_attributes()
}

/// One message; returns how many it comes to, as OpenInference has one for each answer of a tool.
fn one(flat: &mut Flat, prefix: &str, first: usize, message: &Value) -> Option<usize> {
    let at = format!("{prefix}.{first}.message.");
    let role = message.get("role").filter(|role| role.as_str().is_some())?;
    let mut count = 1;
    for (key, field) in message.as_map()? {
        match (key.as_str(), field) {
            ("content", Value::Str(_) | Value::Null) => flat.put(format!("{at}content"), field.clone())?,
            ("content", Value::List(parts)) if !parts.is_empty() => in_parts(flat, &at, parts)?,
            ("parts", Value::List(parts)) if parts.iter().any(is_answer) => {
                for (number, part) in parts.iter().enumerate() {
                    let at = format!("{prefix}.{}.message.", first + number);
                    if number > 0 {
                        flat.put(format!("{at}role"), role.clone())?;
                    }
                    answer(flat, &at, part)?;
                }
                count = parts.len();
            }
            ("parts", Value::List(parts)) if !parts.is_empty() => in_parts(flat, &at, parts)?,
            ("tool_calls", Value::List(calls)) if !calls.is_empty() => {
                for (number, call) in calls.iter().enumerate() {
                    tool_call(flat, &format!("{at}tool_calls.{number}.tool_call."), call)?;
                }
            }
            // It would stand among the attributes of other fields.
            (key, _) if key.contains('.') => return None,
            _ => flat.leaf(format!("{at}{key}"), field)?,
        }
    }
    Some(count)
}

/// The parts of one message: its texts and what else it holds, and calls of tools behind them. Of another order nothing would be left.
fn in_parts(flat: &mut Flat, at: &str, parts: &[Value]) -> Option<()> {
    if let [part] = parts
        && let Some(text) = plain_text(part)
    {
        return flat.put(format!("{at}content"), text.clone());
    }
    let (mut contents, mut calls) = (0, 0);
    for part in parts {
        if type_of(part)? == "tool_call" {
            tool_call(flat, &format!("{at}tool_calls.{calls}.tool_call."), part)?;
            calls += 1;
        } else if calls == 0 {
            content(flat, &format!("{at}contents.{contents}.message_content."), part)?;
            contents += 1;
        } else {
            return None;
        }
    }
    Some(())
}

fn type_of(part: &Value) -> Option<&str> {
    part.get("type")?.as_str()
}

/// The text of a part that holds nothing else.
fn plain_text(part: &Value) -> Option<&Value> {
    let is_plain = type_of(part)? == "text" && part.as_map()?.len() == 2;
    let text = part.get("content").or_else(|| part.get("text"))?;
    (is_plain && text.as_str().is_some()).then_some(text)
}

/// One part of a message's content.
fn content(flat: &mut Flat, at: &str, part: &Value) -> Option<()> {
    let of_type = type_of(part)?;
    let is_image = part.get("image_url").is_some_and(|image| image_url(image).is_some());
    for (key, field) in part.as_map()? {
        match (key.as_str(), field) {
            ("type", _) if of_type == "image_url" && is_image => {
                flat.put(format!("{at}type"), "image".into())?
            }
            ("content", Value::Str(_)) if matches!(of_type, "text" | "reasoning") => {
                flat.put(format!("{at}text"), field.clone())?;
            }
            ("image_url", image) if is_image => {
                flat.put(format!("{at}image.image.url"), image_url(image)?.clone())?;
                for (key, field) in image.as_map().unwrap_or_default() {
                    match key.as_str() {
                        "url" => {}
                        key if key.contains('.') => return None,
                        _ => flat.leaf(format!("{at}image.{key}"), field)?,
                    }
                }
            }
            (key, _) if key.contains('.') => return None,
            _ => flat.leaf(format!("{at}{key}"), field)?,
        }
    }
    Some(())
}

/// Where an image is, as chat APIs say it: a map with its URL, or the URL itself.
fn image_url(image: &Value) -> Option<&Value> {
    let url = if image.as_map().is_some() { image.get("url")? } else { image };
    url.as_str().map(|_| url)
}

/// One call of a tool: in both forms, and with the arguments as LangChain calls them.
fn tool_call(flat: &mut Flat, at: &str, call: &Value) -> Option<()> {
    let before = flat.len();
    for (key, field) in call.as_map()? {
        match (key.as_str(), field) {
            ("type", Value::Str(of_type)) if matches!(of_type.as_str(), "function" | "tool_call") => {}
            ("function", Value::Map(function)) if !function.is_empty() => {
                for (key, field) in function {
                    match key.as_str() {
                        "arguments" => flat.json(format!("{at}function.arguments"), field)?,
                        key if key.contains('.') => return None,
                        _ => flat.leaf(format!("{at}function.{key}"), field)?,
                    }
                }
            }
            ("name", _) => flat.leaf(format!("{at}function.name"), field)?,
            ("arguments" | "args", _) => flat.json(format!("{at}function.arguments"), field)?,
            (key, _) if key.contains('.') => return None,
            _ => flat.leaf(format!("{at}{key}"), field)?,
        }
    }
    (flat.len() > before).then_some(())
}

fn is_answer(part: &Value) -> bool {
    type_of(part) == Some("tool_call_response")
}

/// What a tool answered. Among other parts of a message there is no place for it.
fn answer(flat: &mut Flat, at: &str, part: &Value) -> Option<()> {
    if !is_answer(part) {
        return None;
    }
    for (key, field) in part.as_map()? {
        match key.as_str() {
            "type" => {}
            "id" => flat.leaf(format!("{at}tool_call_id"), field)?,
            "response" | "result" => flat.json(format!("{at}content"), field)?,
            key if key.contains('.') => return None,
            _ => flat.leaf(format!("{at}{key}"), field)?,
        }
    }
    Some(())
}
