//! An object of JSON whose members' names are data.

/// Names and values, sorted by name. What a `BTreeMap` offers and we use, in a tenth of its code for
/// each type of value, and in less memory: such a map has few members, or is filled at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map<V>(Vec<(String, V)>);

type Iter<'a, V> =
    std::iter::Map<std::slice::Iter<'a, (String, V)>, fn(&'a (String, V)) -> (&'a String, &'a V)>;

impl<V> Map<V> {
    pub const fn new() -> Map<V> {
        Map(Vec::new())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> Iter<'_, V> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(name, _)| name)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    pub fn get(&self, name: &str) -> Option<&V> {
        let (_, value) = self.0.get(self.place(name).ok()?)?;
        Some(value)
    }

    /// Answers the value that was there.
    pub fn insert(&mut self, name: String, value: V) -> Option<V> {
        match self.place(&name) {
            Ok(place) => {
                let (_, known) = self.0.get_mut(place)?;
                Some(std::mem::replace(known, value))
            }
            Err(place) => {
                self.0.insert(place, (name, value));
                None
            }
        }
    }

    /// Unless there is one of that name.
    pub fn add(&mut self, name: &str, value: &V)
    where
        V: Clone,
    {
        if let Err(place) = self.place(name) {
            self.0.insert(place, (name.to_string(), value.clone()));
        }
    }

    pub fn remove(&mut self, name: &str) -> Option<V> {
        let place = self.place(name).ok()?;
        Some(self.0.remove(place).1)
    }

    /// The value of `name`, a default one if there was none.
    pub fn value(&mut self, name: &str) -> &mut V
    where
        V: Default,
    {
        let place = self.place(name).unwrap_or_else(|place| {
            self.0.insert(place, (name.to_string(), V::default()));
            place
        });
        &mut self.0[place].1
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&String, &V) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// Where `name` is, or belongs.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    /// In order after members were added at the end: of several with one name the last counts.
    fn settle(&mut self) {
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.0.dedup_by(|later, earlier| {
            let is_same = later.0 == earlier.0;
            if is_same {
                std::mem::swap(later, earlier);
            }
            is_same
        });
    }
}

impl<V> Default for Map<V> {
    fn default() -> Map<V> {
        Map::new()
    }
}

impl<V> Extend<(String, V)> for Map<V> {
    fn extend<I: IntoIterator<Item = (String, V)>>(&mut self, members: I) {
        self.0.extend(members);
        self.settle();
    }
}

impl<V> FromIterator<(String, V)> for Map<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(members: I) -> Map<V> {
        let mut map = Map(members.into_iter().collect());
        map.settle();
        map
    }
}

impl<V, const N: usize> From<[(String, V); N]> for Map<V> {
    fn from(members: [(String, V); N]) -> Map<V> {
        members.into_iter().collect()
    }
}

impl<V> IntoIterator for Map<V> {
    type Item = (String, V);
    type IntoIter = std::vec::IntoIter<(String, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, V> IntoIterator for &'a Map<V> {
    type Item = (&'a String, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Tests may well panic.
#[cfg(test)]
impl<V> std::ops::Index<&str> for Map<V> {
    type Output = V;

    fn index(&self, name: &str) -> &V {
        self.get(name).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{parse, to_string};

    fn map(members: &[(&str, u32)]) -> Map<u32> {
        let members = members.iter();
        members
            .map(|(name, value)| (name.to_string(), *value))
            .collect()
    }

    #[test]
    fn members_are_sorted_and_the_last_of_a_name_counts() {
        let read: Map<u32> = parse(r#"{"b":1,"a":2,"b":3,"b":4}"#, "map").unwrap();
        assert_eq!(to_string(&read), r#"{"a":2,"b":4}"#);
        assert_eq!(map(&[("b", 1), ("a", 2), ("b", 4)]), read);
        let none: Map<u32> = parse("{}", "map").unwrap();
        assert!(none.is_empty());
        assert!(parse::<Map<u32>>("[]", "map").is_err());
        assert!(parse::<Map<u32>>(r#"{"a":null}"#, "map").is_err());
    }

    #[test]
    fn what_is_put_in_is_found() {
        let mut map = map(&[("b", 1)]);
        assert_eq!(map.insert("a".into(), 2), None);
        assert_eq!(map.insert("b".into(), 3), Some(1));
        *map.value("c") += 5;
        *map.value("a") += 5;
        let members: Vec<_> = map
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        assert_eq!(members, [("a", 7), ("b", 3), ("c", 5)]);
        assert_eq!(map.remove("b"), Some(3));
        assert_eq!((map.get("b"), map.get("c"), map.len()), (None, Some(&5), 2));
        map.extend([("c".to_string(), 1), ("0".to_string(), 9)]);
        map.retain(|name, _| name != "a");
        assert_eq!(map.keys().collect::<Vec<_>>(), ["0", "c"]);
        assert_eq!(map.values().collect::<Vec<_>>(), [&9, &1]);
        assert!(map.contains_key("c") && !map.contains_key("a"));
    }
}
