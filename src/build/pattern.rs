//! Go's filepath.Match for one name: `*`, `?`, `[a-z]`, `[^a]`, and `\` before what is meant itself.

/// A pattern that is wrong fits nothing.
pub fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last star did not fit: the star takes one byte more.
    let mut again: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            again = Some((p, n));
            continue;
        }
        if p == pattern.len() && n == name.len() {
            return true;
        }
        match name.get(n).and_then(|byte| one(&pattern[p..], *byte)) {
            Some(taken) => (p, n) = (p + taken, n + 1),
            None => match again {
                Some((star, at)) if at < name.len() => {
                    again = Some((star, at + 1));
                    (p, n) = (star, at + 1);
                }
                _ => return false,
            },
        }
    }
}

/// How many bytes of the pattern the byte fits; `None` if it does not.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', wanted, ..] => (*wanted == byte).then_some(2),
        [b'[', rest @ ..] => {
            let (is_negated, skipped) = match rest {
                [b'^', ..] => (true, 1),
                _ => (false, 0),
            };
            let mut at = skipped;
            let mut found = false;
            while rest.get(at) != Some(&b']') || at == skipped {
                let first = letter(rest, &mut at)?;
                let last = match rest.get(at) {
                    Some(b'-') => {
                        at += 1;
                        letter(rest, &mut at)?
                    }
                    _ => first,
                };
                found |= (first..=last).contains(&byte);
            }
            (found != is_negated).then_some(at + 2)
        }
        [wanted, ..] => (*wanted == byte && *wanted != b'\\').then_some(1),
        [] => None,
    }
}

fn letter(class: &[u8], at: &mut usize) -> Option<u8> {
    let byte = *class.get(*at)?;
    *at += 1;
    match byte {
        b'\\' => {
            *at += 1;
            class.get(*at - 1).copied()
        }
        b'-' | b']' => None,
        byte => Some(byte),
    }
}

/// Whether a word is a pattern at all.
pub fn is_pattern(word: &str) -> bool {
    let mut bytes = word.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Go's path/filepath/match_test.go, as far as it speaks of one name.
    #[test]
    fn names_fit_as_in_go() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*b*c*d*e*", "axbxcxdxexxx", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "axb", true),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "z", false),
            ("[]a]", "]", false),
            ("[-]", "-", false),
            ("[a-]", "a", false),
            ("[", "a", false),
            ("[^", "a", false),
            ("a[", "a", false),
            ("a\\", "a", false),
            ("*x", "xxx", true),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            let fitted = fits(pattern.as_bytes(), name.as_bytes());
            assert_eq!(fitted, expected, "{pattern} {name}");
        }
        let (many, long) = ("a*".repeat(60) + "b", "a".repeat(2000));
        assert!(!fits(many.as_bytes(), long.as_bytes()));
    }
}
