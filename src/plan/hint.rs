//! What somebody may have meant.

/// The one of `known` that is a slip of the pen away from `word`.
fn nearest<'a>(word: &str, known: &mut dyn Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = (usize::MAX, None);
    for candidate in known {
        let distance = distance(word.as_bytes(), candidate.as_bytes());
        if distance < best.0 {
            best = (distance, Some(candidate));
        }
    }
    // A third of the letters may be wrong.
    best.1.filter(|_| best.0 * 3 <= word.len().max(3))
}

/// For the end of a sentence that refuses `word`.
pub fn hint(word: &str, known: &mut dyn Iterator<Item = &str>) -> String {
    match nearest(word, known) {
        Some(near) => format!(" (did you mean {near}?)"),
        None => String::new(),
    }
}

/// How many letters to change, add or take away (Levenshtein). Case and `_` for `-` are free.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let plain = |byte: &u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.iter().enumerate() {
        let mut left = i + 1;
        let mut corner = i;
        for (cell, b) in row.iter_mut().skip(1).zip(b) {
            let changed = corner + usize::from(plain(a) != plain(b));
            corner = *cell;
            left = changed.min(left + 1).min(corner + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_seen_and_other_words_are_not() {
        let known = ["publish", "volume", "env", "env-file", "network", "memory"];
        let near = |word| nearest(word, &mut known.iter().copied());
        for (word, expected) in [
            ("pubish", Some("publish")),
            ("Volumes", Some("volume")),
            ("env_file", Some("env-file")),
            ("envs", Some("env")),
            ("memroy", Some("memory")),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(near(word), expected, "{word}");
        }
    }
}
