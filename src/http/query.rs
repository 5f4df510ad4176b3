//! Paths and queries in percent-encoding.

/// The pairs behind a target's `?`, in their order.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// `None` when an escape is broken or does not give UTF-8.
    pub fn parse(text: &str) -> Option<Query> {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name, true)?, decode(value, true)?));
        }
        Some(Query(pairs))
    }

    /// As it stands behind a path: nothing, or `?name=value&…`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            text.push(if text.is_empty() { '?' } else { '&' });
            text.push_str(&format!("{}={}", encode(name), encode(value)));
        }
        text
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Docker's reading of a boolean: these few words are false, anything else is true.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| {
            let word = value.trim().to_ascii_lowercase();
            !matches!(word.as_str(), "" | "0" | "no" | "false" | "none")
        })
    }

    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Undo percent-encoding; `plus` is a blank in queries. A NUL is refused: no path or name has one.
pub fn decode(text: &str, plus: bool) -> Option<String> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16).map(|d| d as u8);
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        decoded.push(match byte {
            b'%' => {
                let byte = digit(bytes.get(at + 1))? << 4 | digit(bytes.get(at + 2))?;
                at += 2;
                byte
            }
            b'+' if plus => b' ',
            byte => *byte,
        });
        at += 1;
    }
    String::from_utf8(decoded)
        .ok()
        .filter(|s| !s.contains('\0'))
}

/// Percent-encode one path segment or query value.
pub fn encode(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
            encoded.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        let text = "a b+c&d=é/%\"{}";
        assert_eq!(encode(text), "a%20b%2Bc%26d%3D%C3%A9%2F%25%22%7B%7D");
        assert_eq!(decode(&encode(text), true).unwrap(), text);
        assert_eq!(decode("a+b", false).unwrap(), "a+b");
    }

    #[test]
    fn broken_escapes_are_refused() {
        for text in ["%", "%1", "%zz", "a%+1", "%ff", "%00"] {
            assert_eq!(decode(text, true), None, "{text}");
        }
    }

    #[test]
    fn flags_are_read_as_docker_reads_them() {
        let query = Query::parse("a=1&b=0&c&d=False&e=x&f=true&a=2").unwrap();
        let flags: Vec<bool> = ["a", "b", "c", "d", "e", "f", "g"]
            .map(|n| query.flag(n))
            .into();
        assert_eq!(flags, [true, false, false, false, true, true, false]);
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.text(), "?a=1&b=0&c=&d=False&e=x&f=true&a=2");
    }
}
