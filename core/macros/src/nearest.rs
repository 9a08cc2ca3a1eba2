//! What somebody may have meant who wrote something that there is not.

/// The end of a message about a name that is none of these: the nearest, if one is near, and all.
pub(crate) fn nearest(name: &str, names: &[&str]) -> String {
    let (distance, near) =
        names.iter().map(|other| (distance(name, other), *other)).min().unwrap_or((usize::MAX, ""));
    let guess = if distance <= 2.max(name.len() / 3) && distance < near.len() {
        format!(": did you mean `{near}`?")
    } else {
        String::new()
    };
    format!("{guess}\nthere are: {}", names.join(", "))
}

/// How many characters must be put in, taken out or replaced to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_the_least_number_of_edits() {
        for (a, b, edits) in
            [("", "", 0), ("", "tool", 4), ("tol", "tool", 1), ("agnet", "agent", 2), ("llm", "args", 4)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (edits, edits), "{a} {b}");
        }
    }

    #[test]
    fn a_guess_is_made_only_where_one_is_near() {
        assert_eq!(nearest("tol", &["tool", "llm"]), ": did you mean `tool`?\nthere are: tool, llm");
        assert_eq!(nearest("database", &["tool", "llm"]), "\nthere are: tool, llm");
        assert_eq!(nearest("x", &["as"]), "\nthere are: as");
    }
}
