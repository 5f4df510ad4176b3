//! Capital and small letters, by libc's tables: they are a fifth of what std's take, and one
//! character becomes one, as in Go. (glibc, which debug builds link, knows ASCII's only.)

unsafe extern "C" {
    safe fn towupper(letter: u32) -> u32;
    safe fn towlower(letter: u32) -> u32;
}

pub fn upper(letter: char) -> char {
    char::from_u32(towupper(letter.into())).unwrap_or(letter)
}

pub fn lower(letter: char) -> char {
    char::from_u32(towlower(letter.into())).unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_change_and_all_else_stays() {
        assert_eq!("aZ0-".chars().map(upper).collect::<String>(), "AZ0-");
        assert_eq!("aZ0-".chars().map(lower).collect::<String>(), "az0-");
        for other in ['\u{20ac}', '\u{1f600}'] {
            assert_eq!((upper(other), lower(other)), (other, other));
        }
    }
}
