//! An object of JSON whose members' names are data.

use miniserde::de::{Map, Visitor};
use miniserde::ser::Fragment;
use miniserde::{Deserialize, Serialize, make_place};
use std::borrow::Cow;

/// A list of names and values, in the order in which they were given; of two with one name the
/// later counts. Where there is more than one type of value, a tenth of a `BTreeMap`'s code.
#[derive(Clone, Debug)]
pub struct Named<T>(Vec<(String, T)>);

make_place!(Place);

impl<T> Named<T> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, (String, T)> {
        self.0.iter()
    }
}

impl<'a, T> IntoIterator for &'a Named<T> {
    type Item = &'a (String, T);
    type IntoIter = std::slice::Iter<'a, (String, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> From<Vec<(String, T)>> for Named<T> {
    fn from(list: Vec<(String, T)>) -> Named<T> {
        Named(list)
    }
}

impl<T: Deserialize> Deserialize for Named<T> {
    fn begin(out: &mut Option<Self>) -> &mut dyn Visitor {
        Place::new(out)
    }
}

impl<T: Deserialize> Visitor for Place<Named<T>> {
    fn map(&mut self) -> miniserde::Result<Box<dyn Map + '_>> {
        Ok(Box::new(Builder {
            out: &mut self.out,
            list: Vec::new(),
            name: String::new(),
            value: None,
        }))
    }
}

struct Builder<'a, T> {
    out: &'a mut Option<Named<T>>,
    list: Vec<(String, T)>,
    name: String,
    value: Option<T>,
}

impl<T> Builder<'_, T> {
    fn take(&mut self) {
        if let Some(value) = self.value.take() {
            let name = std::mem::take(&mut self.name);
            self.list.retain(|(known, _)| *known != name);
            self.list.push((name, value));
        }
    }
}

impl<T: Deserialize> Map for Builder<'_, T> {
    fn key(&mut self, name: &str) -> miniserde::Result<&mut dyn Visitor> {
        self.take();
        self.name = name.to_string();
        Ok(Deserialize::begin(&mut self.value))
    }

    fn finish(&mut self) -> miniserde::Result<()> {
        self.take();
        *self.out = Some(std::mem::take(&mut self.list).into());
        Ok(())
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn begin(&self) -> Fragment<'_> {
        Fragment::Map(Box::new(Members(self.iter())))
    }
}

struct Members<'a, T>(std::slice::Iter<'a, (String, T)>);

impl<T: Serialize> miniserde::ser::Map for Members<'_, T> {
    fn next(&mut self) -> Option<(Cow<'_, str>, &dyn Serialize)> {
        let (name, value) = self.0.next()?;
        Some((Cow::Borrowed(name), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_the_last_of_a_name_counts() {
        let named: Named<u32> = miniserde::json::from_str(r#"{"b":1,"a":2,"b":3}"#).unwrap();
        assert_eq!(miniserde::json::to_string(&named), r#"{"a":2,"b":3}"#);
        let none: Named<u32> = miniserde::json::from_str("{}").unwrap();
        assert!(none.is_empty());
        assert!(miniserde::json::from_str::<Named<u32>>("[]").is_err());
    }
}
