//! Our types as JSON, both ways.
//!
//! Why not a library's derive: for 750 members that was a tenth of the binary. Here a struct is a
//! list of names and a jump table to its members (`json_struct!`); what walks over both exists once.
//! Reading goes straight into the members, so that a refusal knows where it stands.

use super::map::Map;
use super::node::{Node, quote_into, string_end, unquote, value_end};

/// What can stand in a document.
pub trait Value {
    /// Take what stands next. The text is sound JSON (`scan`).
    fn read(&mut self, from: &mut Reader<'_>) -> Outcome;

    fn write(&self, to: &mut String);

    /// An object may go without it, and is written without it: `None`.
    fn is_nothing(&self) -> bool {
        false
    }

    /// It need not be there.
    fn is_optional(&self) -> bool {
        false
    }
}

/// A struct's members. `json_struct!` makes it.
pub trait Members {
    /// Each with a blank behind it.
    fn names(&self) -> &'static str;
    fn member(&self, index: usize) -> Option<&dyn Value>;
    fn member_mut(&mut self, index: usize) -> Option<&mut dyn Value>;
}

/// Structs whose members' names are those in JSON, or stand behind the type: `id: Option<u8> = "Id",`.
macro_rules! json_struct {
    ($($(#[$about:meta])* $pub:vis struct $Name:ident {
        $($(#[$note:meta])* $open:vis $member:ident: $Type:ty $(= $name:literal)?,)*
    })+) => {$(
        $(#[$about])*
        $pub struct $Name {
            $($(#[$note])* $open $member: $Type,)*
        }

        const _: () = {
            use $crate::json::value::{Members, Outcome, Reader, Value, read_members, write_members};

            /// The numbers of the members.
            #[allow(non_camel_case_types, dead_code)]
            enum At { $($member,)* }

            impl Members for $Name {
                fn names(&self) -> &'static str {
                    concat!($($crate::json::value::json_struct!(@name $member $($name)?), " ",)*)
                }

                fn member(&self, index: usize) -> Option<&dyn Value> {
                    match index {
                        $(i if i == At::$member as usize => Some(&self.$member),)*
                        _ => None,
                    }
                }

                fn member_mut(&mut self, index: usize) -> Option<&mut dyn Value> {
                    match index {
                        $(i if i == At::$member as usize => Some(&mut self.$member),)*
                        _ => None,
                    }
                }
            }

            impl Value for $Name {
                fn read(&mut self, from: &mut Reader<'_>) -> Outcome {
                    read_members(self, from)
                }

                fn write(&self, to: &mut String) {
                    write_members(self, to);
                }
            }
        };
    )+};
    (@name $member:ident $name:literal) => { $name };
    (@name $member:ident) => { stringify!($member) };
}
pub(crate) use json_struct;

/// A value is not what the type takes; the reader knows which.
#[derive(Debug)]
pub struct Refused;

pub type Outcome = Result<(), Refused>;

/// Walks over a sound document.
pub struct Reader<'a> {
    rest: &'a str,
    /// Where the refused value stands, from the inside out.
    path: String,
    refused: &'static str,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Reader<'a> {
        let mut reader = Reader {
            rest: text,
            path: String::new(),
            refused: "",
        };
        reader.skip(&[]);
        reader
    }

    /// What to say of the value that was refused.
    pub fn refusal(&self) -> String {
        match (self.path.as_str(), self.refused) {
            ("", refused) => format!("{refused} is not expected here"),
            (path, "") => format!("{path} is missing"),
            (path, refused) => format!("{path} cannot be {refused}"),
        }
    }

    /// Refuse what stands next.
    fn refuse(&mut self) -> Outcome {
        self.refused = match self.rest.as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "this string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "this number",
        };
        Err(Refused)
    }

    /// Pass over blanks and `marks`.
    fn skip(&mut self, marks: &[char]) {
        let is_between = |c: char| matches!(c, ' ' | '\n' | '\t' | '\r') || marks.contains(&c);
        self.rest = self.rest.trim_start_matches(is_between);
    }

    /// The next value's text.
    pub fn take(&mut self) -> &'a str {
        let (value, rest) = self.rest.split_at(value_end(self.rest));
        self.rest = rest;
        self.skip(&[]);
        value
    }

    /// What the next string, number or boolean says. Whoever makes no sense of it may refuse it.
    pub fn word(&mut self) -> Result<String, Refused> {
        let Some(word) = Node::sound(&self.rest[..value_end(self.rest)]).word() else {
            return self.refuse().map(|()| String::new());
        };
        self.take();
        self.refused = "this value";
        Ok(word)
    }

    /// Whether `null` stands next; then it is taken.
    fn takes_null(&mut self) -> bool {
        let is_null = self.rest.starts_with('n');
        if is_null {
            self.take();
        }
        is_null
    }

    /// Go into a list or an object, to each element: `element` gets its name (empty in a list), and
    /// must take its value.
    fn each(
        &mut self,
        open: char,
        close: char,
        element: &mut dyn FnMut(&mut Self, &str) -> Outcome,
    ) -> Outcome {
        if !self.rest.starts_with(open) {
            return self.refuse();
        }
        self.rest = &self.rest[1..];
        self.skip(&[]);
        let mut index = 0usize;
        while !self.rest.starts_with(close) {
            let mut name = String::new();
            if open == '{' {
                let end = string_end(self.rest.as_bytes(), 0).unwrap_or(self.rest.len());
                let (quoted, rest) = self.rest.split_at(end);
                name = unquote(quoted);
                self.rest = rest;
                self.skip(&[':']);
            }
            if let Err(refused) = element(self, &name) {
                let is_inner = !self.path.is_empty() && !self.path.starts_with('[');
                let dot = if is_inner { "." } else { "" };
                let step = match open {
                    '{' => format!("{name}{dot}"),
                    _ => format!("[{index}]{dot}"),
                };
                self.path.insert_str(0, &step);
                return Err(refused);
            }
            index += 1;
            self.skip(&[',']);
        }
        self.rest = &self.rest[1..];
        self.skip(&[]);
        Ok(())
    }
}

/// An object into a struct. What the struct does not know is passed over.
pub fn read_members(members: &mut dyn Members, from: &mut Reader<'_>) -> Outcome {
    let names = members.names();
    let mut seen = 0u128;
    from.each('{', '}', &mut |from, name| {
        let index = names.split_terminator(' ').position(|known| known == name);
        match index.and_then(|index| Some((index, members.member_mut(index)?))) {
            Some((index, member)) => {
                seen |= 1 << index;
                member.read(from)
            }
            None => {
                from.take();
                Ok(())
            }
        }
    })?;
    for (index, name) in names.split_terminator(' ').enumerate() {
        let is_optional = members.member(index).is_none_or(Value::is_optional);
        if seen & (1 << index) == 0 && !is_optional {
            from.path = name.to_string();
            from.refused = "";
            return Err(Refused);
        }
    }
    Ok(())
}

/// What is `None` is left out.
pub fn write_members(members: &dyn Members, to: &mut String) {
    let mut mark = '{';
    for (index, name) in members.names().split_terminator(' ').enumerate() {
        if let Some(member) = members.member(index).filter(|member| !member.is_nothing()) {
            to.push(mark);
            quote_into(name, to);
            to.push(':');
            member.write(to);
            mark = ',';
        }
    }
    if mark == '{' {
        to.push(mark);
    }
    to.push('}');
}

impl Value for String {
    fn read(&mut self, from: &mut Reader<'_>) -> Outcome {
        if !from.rest.starts_with('"') {
            return from.refuse();
        }
        *self = unquote(from.take());
        Ok(())
    }

    fn write(&self, to: &mut String) {
        quote_into(self, to);
    }
}

impl Value for bool {
    fn read(&mut self, from: &mut Reader<'_>) -> Outcome {
        match from.rest.as_bytes().first() {
            Some(b't') => *self = true,
            Some(b'f') => *self = false,
            _ => return from.refuse(),
        }
        from.take();
        Ok(())
    }

    fn write(&self, to: &mut String) {
        to.push_str(if *self { "true" } else { "false" });
    }
}

/// A number without fraction: `-0` and the like are numbers, `1e3` is none for us.
fn read_integer(from: &mut Reader<'_>) -> Result<i128, Refused> {
    let text = &from.rest[..value_end(from.rest)];
    let (digits, sign) = match text.strip_prefix('-') {
        Some(digits) => (digits, -1),
        None => (text, 1),
    };
    let is_padded = digits.len() > 1 && digits.starts_with('0');
    match digits.parse::<u64>() {
        Ok(number) if !is_padded && !digits.starts_with('+') => Ok(sign * i128::from(number)),
        _ => from.refuse().map(|()| 0),
    }
}

fn write_integer(number: i128, to: &mut String) {
    let size = u64::try_from(number.unsigned_abs()).unwrap_or(u64::MAX);
    if number < 0 {
        to.push('-');
    }
    to.push_str(&size.to_string());
}

macro_rules! integers {
    ($($Type:ty)*) => {$(
        impl Value for $Type {
            fn read(&mut self, from: &mut Reader<'_>) -> Outcome {
                match <$Type>::try_from(read_integer(from)?) {
                    Ok(number) => *self = number,
                    Err(_) => return from.refuse(),
                }
                from.take();
                Ok(())
            }

            fn write(&self, to: &mut String) {
                write_integer(i128::from(*self), to);
            }
        }
    )*};
}

integers!(u16 u32 u64 i32 i64);

impl<V: Value + Default> Value for Option<V> {
    fn read(&mut self, from: &mut Reader<'_>) -> Outcome {
        *self = None;
        if from.takes_null() {
            return Ok(());
        }
        self.insert(V::default()).read(from)
    }

    fn write(&self, to: &mut String) {
        match self {
            Some(value) => value.write(to),
            None => to.push_str("null"),
        }
    }

    fn is_nothing(&self) -> bool {
        self.is_none()
    }

    fn is_optional(&self) -> bool {
        true
    }
}

impl<V: Value + Default> Value for Vec<V> {
    fn read(&mut self, from: &mut Reader<'_>) -> Outcome {
        self.clear();
        from.each('[', ']', &mut |from, _| {
            let mut element = V::default();
            element.read(from)?;
            self.push(element);
            Ok(())
        })
    }

    fn write(&self, to: &mut String) {
        let mut elements = self.iter();
        write_all('[', ']', to, &mut |to| match elements.next() {
            Some(element) => {
                element.write(to);
                true
            }
            None => false,
        });
    }
}

impl<V: Value + Default> Value for Map<V> {
    fn read(&mut self, from: &mut Reader<'_>) -> Outcome {
        let mut members = Vec::new();
        from.each('{', '}', &mut |from, name| {
            let mut value = V::default();
            value.read(from)?;
            members.push((name.to_string(), value));
            Ok(())
        })?;
        *self = members.into_iter().collect();
        Ok(())
    }

    fn write(&self, to: &mut String) {
        let mut members = self.iter();
        write_all('{', '}', to, &mut |to| {
            let Some((name, value)) = members.next() else {
                return false;
            };
            quote_into(name, to);
            to.push(':');
            value.write(to);
            true
        });
    }
}

/// `next` writes one more element, or says that there is none.
fn write_all(open: char, close: char, to: &mut String, next: &mut dyn FnMut(&mut String) -> bool) {
    to.push(open);
    let mut end = to.len();
    while next(to) {
        end = to.len();
        to.push(',');
    }
    to.truncate(end);
    to.push(close);
}

/// A value that is kept as it came: JSON text, to be looked into with `Node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(pub String);

impl Raw {
    pub fn node(&self) -> Node<'_> {
        Node::sound(&self.0)
    }
}

impl Default for Raw {
    fn default() -> Raw {
        Raw("null".to_string())
    }
}

impl Value for Raw {
    fn read(&mut self, from: &mut Reader<'_>) -> Outcome {
        self.0 = super::node::compact(from.take());
        Ok(())
    }

    fn write(&self, to: &mut String) {
        to.push_str(&self.0);
    }
}

/// An object of which nothing is wanted, as Go's `struct{}` in maps used as sets.
impl Value for () {
    fn read(&mut self, from: &mut Reader<'_>) -> Outcome {
        if !from.rest.starts_with('{') {
            return from.refuse();
        }
        from.take();
        Ok(())
    }

    fn write(&self, to: &mut String) {
        to.push_str("{}");
    }
}
