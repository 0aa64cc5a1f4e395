//! File-name patterns as Go's `filepath.Match` reads them.

/// Whether `name` matches `pattern`: `*` is any run of characters but `/`, `?` one of them, `[a-z]` one of a class,
/// `[^a-z]` one outside it, and `\` takes the next character literally. A malformed pattern matches nothing.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    matches_chars(&pattern, &name)
}

fn matches_chars(mut pattern: &[char], mut name: &[char]) -> bool {
    // Where to come back to: the pattern after the last star, and the name that it has not yet swallowed. An earlier
    // star never has to swallow more than it first did.
    let mut retry: Option<(&[char], &[char])> = None;
    loop {
        if let ['*', rest @ ..] = pattern {
            pattern = rest;
            retry = Some((rest, name));
            continue;
        }
        if pattern.is_empty() && name.is_empty() {
            return true;
        }
        if let ([_, ..], [c, rest_of_name @ ..]) = (pattern, name) {
            match element(pattern, *c) {
                Element::Matches(rest) => {
                    pattern = rest;
                    name = rest_of_name;
                    continue;
                }
                Element::Differs => {}
                Element::Malformed => return false,
            }
        }
        match retry {
            Some((after_star, [c, swallowed @ ..])) if *c != '/' => {
                pattern = after_star;
                name = swallowed;
                retry = Some((after_star, swallowed));
            }
            _ => return false,
        }
    }
}

enum Element<'a> {
    /// The character fits; the pattern goes on there.
    Matches(&'a [char]),
    Differs,
    Malformed,
}

/// Compares `c` with the first element of a pattern that isn't empty and does not begin with a star.
fn element(pattern: &[char], c: char) -> Element<'_> {
    let (fits, rest) = match pattern {
        ['?', rest @ ..] => (c != '/', rest),
        ['[', class @ ..] => match char_class(class, c) {
            Some(result) => result,
            None => return Element::Malformed,
        },
        ['\\', literal, rest @ ..] => (*literal == c, rest),
        ['\\'] | [] => return Element::Malformed,
        [literal, rest @ ..] => (*literal == c, rest),
    };
    if fits {
        Element::Matches(rest)
    } else {
        Element::Differs
    }
}

/// Whether `c` is in the class that begins after its `[`, and what follows its `]`; `None` if it is malformed.
fn char_class(class: &[char], c: char) -> Option<(bool, &[char])> {
    let (negated, mut class) = match class {
        ['^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    let mut first = true;
    loop {
        if let (false, [']', rest @ ..]) = (first, class) {
            return Some((found != negated, rest));
        }
        first = false;
        let (low, rest) = class_char(class)?;
        let (high, rest) = match rest {
            ['-', rest @ ..] => class_char(rest)?,
            _ => (low, rest),
        };
        found |= (low..=high).contains(&c);
        class = rest;
    }
}

fn class_char(class: &[char]) -> Option<(char, &[char])> {
    let (c, rest) = match class {
        ['\\', c, rest @ ..] => (*c, rest),
        ['\\'] | ['-' | ']', ..] | [] => return None,
        [c, rest @ ..] => (*c, rest),
    };
    // A class that ends here is never closed.
    (!rest.is_empty()).then_some((c, rest))
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a table that does not parse fails the test"
    )]

    #[test]
    fn matches_as_go_does() {
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/oracle/tables/globs.json")).unwrap();
        for row in table.as_array().unwrap() {
            let (pattern, name) = (&row["pattern"], &row["name"]);
            assert_eq!(
                super::matches(pattern.as_str().unwrap(), name.as_str().unwrap()),
                row["match"].as_bool().unwrap(),
                "{pattern} and {name}"
            );
        }
    }
}
