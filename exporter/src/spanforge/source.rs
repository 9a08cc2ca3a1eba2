//! Who emits events, as SpanForge names it: `name@version`.

/// The service that emits, with everything replaced that SpanForge does not allow, as its SDK does. A version that is none is 0.0.0; of
/// one with more behind it than is allowed, which the SDK would write and refuse to read, the three numbers are left.
pub(super) fn of(service: &str, version: &str) -> String {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    let mut name: String =
        service.chars().map(|character| if is_allowed(character) { character } else { '-' }).collect();
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name.insert(0, 's');
    }
    let numbers = numbers(version);
    let rest = &version[numbers.len()..];
    let is_suffix = rest.len() > 1
        && rest.starts_with(['.', '-'])
        && rest[1..].chars().all(|character| character.is_ascii_alphanumeric() || character == '.');
    let version = match numbers {
        "" => "0.0.0",
        _ if is_suffix => version,
        numbers => numbers,
    };
    format!("{name}@{version}")
}

/// The three numbers that a version begins with; nothing where it does not.
fn numbers(version: &str) -> &str {
    let mut len = 0;
    for place in 0..3 {
        if place > 0 {
            match version[len..].starts_with('.') {
                true => len += 1,
                false => return "",
            }
        }
        match version[len..].bytes().take_while(u8::is_ascii_digit).count() {
            0 => return "",
            digits => len += digits,
        }
    }
    &version[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_is_replaced() {
        let cases = [
            ("orchestrator", "1.2.3", "orchestrator@1.2.3"),
            ("Größe 2", "10.20.30-rc.1", "Gr--e-2@10.20.30-rc.1"),
            ("7up", "1.2", "s7up@0.0.0"),
            ("", "", "s@0.0.0"),
            ("-x", "v1.2.3", "s-x@0.0.0"),
            ("a.b_c-d", "1.2.3.4", "a.b_c-d@1.2.3.4"),
            ("a", "1.2.3+build", "a@1.2.3"),
            ("a", "1.2.3-", "a@1.2.3"),
            ("a", "1.2.3 beta", "a@1.2.3"),
            ("a", "1..3", "a@0.0.0"),
            ("a", "1.2.", "a@0.0.0"),
            ("a", "١.٢.٣", "a@0.0.0"),
        ];
        for (service, version, source) in cases {
            assert_eq!(of(service, version), source, "{service:?} {version:?}");
        }
    }
}
