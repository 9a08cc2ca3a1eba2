//! The page in `docs` says what is done.

use super::*;

const PAGE: &str = include_str!("../../../../../docs/to/openinference.md");

/// The rows of the page's table below this heading: what stands in backquotes in the first two columns.
fn documented(heading: &str) -> BTreeMap<String, BTreeSet<String>> {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let quoted =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        (quoted(cells[1]).remove(0), quoted(cells[2]).into_iter().collect())
    })
    .collect()
}

/// A key with `{i}` and `{j}` in place of its numbers.
fn pattern(key: &str) -> String {
    let mut letters = ["{i}", "{j}"].into_iter();
    let parts = key.split('.').map(|part| match part.parse::<usize>() {
        Ok(_) => letters.next().unwrap(),
        Err(_) => part,
    });
    parts.collect::<Vec<_>>().join(".")
}

#[test]
fn the_page_says_what_each_attribute_becomes() {
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": "u"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "i", "name": "n", "arguments": {}}]},
        {"role": "tool", "content": "c", "tool_call_id": "i", "name": "n"},
    ]);
    let samples = [
        json!("openai"),
        json!(7),
        json!(0.5),
        json!(["text"]),
        json!([[0.5]]),
        json!({"key": "text"}),
        json!([{"type": "text", "content": "a"}, {"type": "text", "content": "b"}]),
        json!([{"id": 1, "content": "c", "score": 0.5, "metadata": {"k": 1}}]),
        messages,
    ];
    let new = |kind, recorded: &[(&str, Value)]| -> BTreeSet<String> {
        let made = renamed(kind, recorded).into_iter().map(|(key, _)| key);
        let is_new = |key: &String| {
            !recorded.iter().any(|(other, _)| other == key)
                && ![names::KIND, "openinference.span.kind"].contains(&key.as_str())
        };
        made.filter(is_new).map(|key| pattern(&key)).collect()
    };
    let mut observed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for &kind in Kind::ALL {
        for (name, _) in names::ALL {
            // A field of a document that has no name keeps its own.
            let is_document =
                |sample: &&serde_json::Value| sample[0]["role"].is_null() && sample[0]["type"].is_null();
            let fits =
                |sample: &&serde_json::Value| *name != names::RETRIEVAL_DOCUMENTS || is_document(sample);
            for sample in samples.iter().filter(fits) {
                let of_name = observed.entry((*name).to_owned()).or_default();
                of_name.extend(new(kind, &[(name, value(sample))]));
                // With what decides about it, less what that comes to by itself.
                for (other, sample_of_other) in
                    [(names::RESPONSE_MODEL, json!("m")), (names::RETRIEVAL_DOCUMENTS, json!(["d"]))]
                {
                    let companion = (other, value(&sample_of_other));
                    if let (names::REQUEST_MODEL | names::RETRIEVAL_SCORES, true) = (*name, other != *name) {
                        let sample =
                            if *name == names::RETRIEVAL_SCORES { json!([0.5]) } else { sample.clone() };
                        let both = new(kind, &[(name, value(&sample)), companion.clone()]);
                        of_name.extend(both.difference(&new(kind, &[companion])).cloned());
                    }
                }
            }
        }
    }
    observed.retain(|_, made| !made.is_empty());
    assert_eq!(observed, documented("Attributes"));
}

#[test]
fn the_page_says_what_each_kind_is_called() {
    let mut observed = BTreeMap::new();
    for &kind in Kind::ALL {
        let made: BTreeMap<_, _> = renamed(kind, &[]).into_iter().collect();
        let Some(said) = made.get("openinference.span.kind") else { continue };
        observed.insert(kind.name().to_owned(), BTreeSet::from([said.as_str().unwrap().to_owned()]));
        let is_told = matches!(
            kind,
            Kind::Agent
                | Kind::Llm
                | Kind::Tool
                | Kind::Retrieval
                | Kind::Embedding
                | Kind::Chain
                | Kind::Guardrail
        );
        assert_eq!(made.get(names::KIND), (!is_told).then_some(&kind.name().into()));
    }
    assert_eq!(observed.len(), Kind::ALL.len() - 1, "custom is none by itself");
    assert_eq!(observed, documented("Kinds"));
}
