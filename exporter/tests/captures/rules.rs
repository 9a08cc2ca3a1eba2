//! Which values of a capture a span need not hold, and whether what is written is the capture.

use serde_json::{Map, Value as Json};

/// What becomes of the values under a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Rule {
    /// A span holds them.
    Held,
    /// They are configuration, or belong to the request and not to the span. For the reason given.
    Transport(&'static str),
    /// They follow from other values, and are written from those: they are there in a capture as it is, and change with the
    /// others. For the reason given.
    Derived(&'static str),
}

/// Rules for paths. Of all tables the first rule counts whose path leads to a value or to something around it. In a path, `*` stands
/// for any part of one name, and `**` for any names. What no rule is for is held.
pub(crate) type Table = [(&'static str, Rule)];

/// What every request has that a server received.
pub(crate) const HTTP: &Table = &[
    ("**/body", Rule::Held),
    ("**/headers", Rule::Transport("HTTP")),
    ("**/method", Rule::Transport("HTTP")),
    ("**/path", Rule::Transport("HTTP")),
    ("**/wire_bytes", Rule::Transport("HTTP")),
    ("**/seq", Rule::Transport("counted by the server")),
    ("**/received_at", Rule::Transport("the request says times of its own")),
    ("**/response_status", Rule::Transport("the server's answer")),
    ("**/response_body", Rule::Transport("the server's answer")),
];

/// The rule for the value at `path`, and where it stands: in which table, and where in that.
pub(crate) fn rule(tables: &[&Table], path: &[String]) -> (Rule, Option<(usize, usize)>) {
    let applies = |(pattern, _): &(&str, Rule)| leads_to(pattern, path);
    let found =
        tables.iter().enumerate().find_map(|(table, rules)| Some((table, rules.iter().position(applies)?)));
    (found.map_or(Rule::Held, |(table, at)| tables[table][at].1), found)
}

fn leads_to(pattern: &str, path: &[String]) -> bool {
    let (first, rest) = match pattern.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (pattern, None),
    };
    let leads_on = |path: &[String]| rest.is_none_or(|rest| leads_to(rest, path));
    match path {
        _ if first == "**" => (0..path.len()).any(|from| leads_on(&path[from..])),
        [name, names @ ..] => is_like(first, name) && leads_on(names),
        [] => false,
    }
}

fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|from| rest.is_char_boundary(from) && is_like(after, &rest[from..]))
        }),
    }
}

/// Calls `visit` with every value that has no values under it: empty objects and arrays too.
pub(crate) fn leaves(json: &Json, visit: &mut impl FnMut(&[String], &Json)) {
    fn go(json: &Json, path: &mut Vec<String>, visit: &mut impl FnMut(&[String], &Json)) {
        let children: Vec<(String, &Json)> = match json {
            Json::Object(pairs) => pairs.iter().map(|(key, value)| (key.clone(), value)).collect(),
            Json::Array(items) => items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect(),
            _ => Vec::new(),
        };
        if children.is_empty() {
            return visit(path, json);
        }
        for (name, child) in children {
            path.push(name);
            go(child, path, visit);
            path.pop();
        }
    }
    go(json, &mut Vec::new(), visit);
}

/// What of `json` the rules let through. An array becomes an object of its indices where that leaves gaps.
pub(crate) fn filtered(json: &Json, tables: &[&Table], keep: &impl Fn(Rule) -> bool) -> Json {
    fn go(json: &Json, path: &mut Vec<String>, keep: &impl Fn(&[String]) -> bool) -> Option<Json> {
        let mut child = |name: &str, value: &Json| {
            path.push(name.to_owned());
            let kept = go(value, path, keep);
            path.pop();
            Some((name.to_owned(), kept?))
        };
        let kept: Vec<_> = match json {
            Json::Object(pairs) => pairs.iter().filter_map(|(key, value)| child(key, value)).collect(),
            Json::Array(items) => {
                items.iter().enumerate().filter_map(|(at, item)| child(&at.to_string(), item)).collect()
            }
            _ => Vec::new(),
        };
        let is_leaf = json.as_array().is_none_or(Vec::is_empty) && json.as_object().is_none_or(Map::is_empty);
        if is_leaf {
            return keep(path).then(|| json.clone());
        }
        if kept.is_empty() {
            return None;
        }
        Some(match json {
            Json::Array(items) if items.len() == kept.len() => {
                kept.into_iter().map(|(_, item)| item).collect()
            }
            _ => kept.into_iter().collect(),
        })
    }
    let keep_path = |path: &[String]| keep(rule(tables, path).0);
    go(json, &mut Vec::new(), &keep_path).unwrap_or(Json::Null)
}

/// Where two documents first differ. Numbers are compared as numbers: 3 is 3.0, but no integer is another one.
pub(crate) fn difference(expected: &Json, written: &Json) -> Option<String> {
    match (expected, written) {
        (Json::Object(left), Json::Object(right)) => {
            let mut keys: Vec<_> = left.keys().chain(right.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            keys.into_iter().find_map(|key| match (left.get(key), right.get(key)) {
                (Some(left), Some(right)) => Some(format!("/{key}{}", difference(left, right)?)),
                (Some(left), None) => Some(format!("/{key}: {left:.200} is not written")),
                (None, right) => Some(format!("/{key}: written is {right:.200?}")),
            })
        }
        (Json::Array(left), Json::Array(right)) if left.len() == right.len() => {
            (left.iter().zip(right).enumerate())
                .find_map(|(at, (left, right))| Some(format!("/{at}{}", difference(left, right)?)))
        }
        (Json::Number(left), Json::Number(right)) if left.is_f64() || right.is_f64() => {
            (left.as_f64() != right.as_f64()).then(|| format!(": {right} and not {left}"))
        }
        _ => (expected != written).then(|| format!(": {written:.200} and not {expected:.200}")),
    }
}
