//! Lists of documents, tools and embeddings, each field an attribute.

use spanring_spool::Value;

use super::json;
use super::messages::Flat;

type Attributes = Vec<(String, Value)>;

/// The attributes that a list of documents comes to. A document is a map, or its text alone.
pub(super) fn flattened(prefix: &str, found: &Value) -> Option<Attributes> {
    of_list(prefix, &json::list(found)?, &[])
}

/// The same, with the score of each, where they do not say it themselves.
pub(super) fn scored(prefix: &str, found: &Value, scores: &Value) -> Option<Attributes> {
    let (found, scores) = (json::list(found)?, scores.as_list()?);
    let are_fit = found.len() == scores.len() && scores.iter().all(|score| score.as_f64().is_some());
    let has_score = |document: &Value| document.get("score").is_some();
    (are_fit && !found.iter().any(has_score)).then(|| of_list(prefix, &found, scores))?
}

fn of_list(prefix: &str, found: &[Value], scores: &[Value]) -> Option<Attributes> {
    let mut flat = Flat::new();
    for (number, document) in found.iter().enumerate() {
        let at = format!("{prefix}.{number}.document.");
        match document {
            Value::Str(_) => flat.put(format!("{at}content"), document.clone())?,
            Value::Map(fields) if !fields.is_empty() => {
                for (key, field) in fields {
                    match key.as_str() {
                        "content" | "text" | "page_content" => flat.json(format!("{at}content"), field)?,
                        "metadata" => flat.json(format!("{at}metadata"), field)?,
                        // It would stand among the attributes of other fields.
                        key if key.contains('.') => return None,
                        _ => flat.leaf(format!("{at}{key}"), field)?,
                    }
                }
            }
            _ => return None,
        }
        if let Some(score) = scores.get(number) {
            flat.put(format!("{at}score"), score.clone())?;
        }
    }
    flat.into_attributes()
}

/// The attributes that a list of definitions of tools comes to: the JSON of each.
pub(super) fn tools(prefix: &str, definitions: &Value) -> Option<Attributes> {
    each(prefix, "tool.json_schema", &json::list(definitions)?, |tool| match tool {
        Value::Map(_) | Value::Str(_) => json_or_text(tool),
        _ => None,
    })
}

fn json_or_text(value: &Value) -> Option<Value> {
    match value {
        Value::Str(_) => Some(value.clone()),
        other => json::text(other).map(Value::Str),
    }
}

/// The attributes that texts to be embedded come to: one, or a list.
pub(super) fn texts(prefix: &str, given: &Value) -> Option<Attributes> {
    let given = given.as_list().unwrap_or(std::slice::from_ref(given));
    each(prefix, "embedding.text", given, |text| text.as_str().map(|_| text.clone()))
}

/// The attributes that embeddings come to: a vector, or a list of them.
pub(super) fn vectors(prefix: &str, made: &Value) -> Option<Attributes> {
    let list = made.as_list()?;
    let is_one = is_vector(made);
    let list = if is_one { std::slice::from_ref(made) } else { list };
    each(prefix, "embedding.vector", list, |vector| is_vector(vector).then(|| vector.clone()))
}

fn is_vector(value: &Value) -> bool {
    let numbers = value.as_list().unwrap_or_default();
    !numbers.is_empty() && numbers.iter().all(|number| number.as_f64().is_some())
}

fn each(
    prefix: &str,
    name: &str,
    items: &[Value],
    of: impl Fn(&Value) -> Option<Value>,
) -> Option<Attributes> {
    let mut flat = Flat::new();
    for (number, item) in items.iter().enumerate() {
        flat.put(format!("{prefix}.{number}.{name}"), of(item)?)?;
    }
    flat.into_attributes()
}
