//! In which order entries start, and which cannot.

use super::{Entry, Remark};

/// What `order` finds.
#[derive(Debug, Default)]
pub struct Order {
    /// Places in the list of entries: by phase, each behind what it comes after.
    pub places: Vec<usize>,
    /// Entries that never start, and why.
    pub broken: Vec<Remark>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Waiting,
    Placed,
    Broken,
}

/// What comes after something that is missing, left out or in a circle is left out too; the others
/// keep the order they have.
pub fn order(entries: &[Entry]) -> Order {
    let mut sorting = Sorting {
        entries,
        states: vec![State::Waiting; entries.len()],
        order: Order::default(),
    };
    let mut places: Vec<usize> = (0..entries.len()).collect();
    places.sort_by_key(|place| entries.get(*place).map(|entry| entry.phase));
    loop {
        let next = places.iter().copied().find(|place| sorting.settle(*place));
        if next.is_none() && !sorting.break_circle(&places) {
            return sorting.order;
        }
    }
}

struct Sorting<'a> {
    entries: &'a [Entry],
    states: Vec<State>,
    order: Order,
}

impl Sorting<'_> {
    fn is(&self, place: usize, state: State) -> bool {
        self.states.get(place) == Some(&state)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.name == name)
    }

    /// Place or refuse an entry that waits; whether its state has changed.
    fn settle(&mut self, place: usize) -> bool {
        let entries = self.entries;
        let Some(entry) = entries
            .get(place)
            .filter(|_| self.is(place, State::Waiting))
        else {
            return false;
        };
        let mut is_free = true;
        for after in &entry.after {
            let name = &after.name;
            let why = match self.find(name) {
                None => format!("comes after {name}, which is not in the plan"),
                Some(other) if self.is(other, State::Broken) => {
                    format!("comes after {name}, which is left out")
                }
                Some(other) if entries.get(other).is_some_and(|o| o.phase > entry.phase) => {
                    format!("comes after {name}, which runs in a later phase")
                }
                Some(other) => {
                    is_free &= self.is(other, State::Placed);
                    continue;
                }
            };
            self.refuse(place, &why);
            return true;
        }
        if is_free {
            self.set(place, State::Placed);
            self.order.places.push(place);
        }
        is_free
    }

    /// Refuse the entries of a circle, where there is one.
    fn break_circle(&mut self, places: &[usize]) -> bool {
        let waits = |place: &usize| self.is(*place, State::Waiting);
        let mut way: Vec<usize> = places.iter().copied().find(waits).into_iter().collect();
        while let Some(entry) = way.last().and_then(|place| self.entries.get(*place)) {
            // Who neither is placed nor refused waits for one that waits.
            let mut after = entry
                .after
                .iter()
                .filter_map(|after| self.find(&after.name));
            let Some(next) = after.find(waits) else {
                return false;
            };
            let Some(start) = way.iter().position(|place| *place == next) else {
                way.push(next);
                continue;
            };
            let circle = way.split_off(start);
            let mut names = String::new();
            for place in circle.iter().chain([&next]) {
                let mark = if names.is_empty() { "" } else { " after " };
                names.push_str(mark);
                names.push_str(self.entries.get(*place).map_or("", |entry| &entry.name));
            }
            for place in circle {
                self.refuse(place, &format!("is in a circle: {names}"));
            }
            return true;
        }
        false
    }

    fn refuse(&mut self, place: usize, why: &str) {
        self.set(place, State::Broken);
        if let Some(entry) = self.entries.get(place) {
            self.order.broken.push(Remark {
                file: entry.file.clone(),
                text: format!("{}: {} {why}", entry.file.display(), entry.name),
            });
        }
    }

    fn set(&mut self, place: usize, state: State) {
        if let Some(known) = self.states.get_mut(place) {
            *known = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Phase;
    use crate::plan::entry::Draft;
    use crate::plan::words::dependency;
    use std::path::Path;

    /// `aa: bb cc, bb` and so on; a `!` in front: onboot.
    fn shown(plan: &str) -> String {
        let mut entries = Vec::new();
        for item in plan.split(", ") {
            let (name, after) = item.split_once(':').unwrap_or((item, ""));
            let phase = match name.starts_with('!') {
                true => Phase::Onboot,
                false => Phase::Service,
            };
            let draft = Draft {
                name: name.trim_start_matches('!').to_string(),
                image: "i".to_string(),
                after: after
                    .split_whitespace()
                    .map(|name| dependency(name).unwrap())
                    .collect(),
                ..Draft::default()
            };
            entries.push(draft.finish(Path::new("f"), phase).unwrap());
        }
        let order = order(&entries);
        let names: Vec<&str> = order
            .places
            .iter()
            .map(|place| entries[*place].name.as_str())
            .collect();
        let broken: Vec<&str> = order
            .broken
            .iter()
            .map(|remark| remark.text.as_str())
            .collect();
        format!("{} | {}", names.join(" "), broken.join("; "))
    }

    #[test]
    fn entries_stand_behind_what_they_come_after() {
        for (plan, expected) in [
            ("aa, bb, cc", "aa bb cc | "),
            ("aa: cc, bb, cc: bb", "bb cc aa | "),
            ("aa, !bb, !cc: bb", "bb cc aa | "),
            (
                "aa: bb, bb: xx, cc",
                "cc | f: bb comes after xx, which is not in the plan; f: aa comes after bb, which is left out",
            ),
            (
                "!aa: bb, bb",
                "bb | f: aa comes after bb, which runs in a later phase",
            ),
        ] {
            assert_eq!(shown(plan), expected, "{plan}");
        }
    }

    #[test]
    fn circles_are_named_whole() {
        assert_eq!(
            shown("aa: bb, bb: cc, cc: aa, dd: cc, ee"),
            "ee | f: aa is in a circle: aa after bb after cc after aa; \
             f: bb is in a circle: aa after bb after cc after aa; \
             f: cc is in a circle: aa after bb after cc after aa; \
             f: dd comes after cc, which is left out"
        );
        assert_eq!(
            shown("zz: aa, aa: bb, bb: aa, cc: dd, dd: cc"),
            " | f: aa is in a circle: aa after bb after aa; \
             f: bb is in a circle: aa after bb after aa; \
             f: zz comes after aa, which is left out; \
             f: cc is in a circle: cc after dd after cc; \
             f: dd is in a circle: cc after dd after cc"
        );
    }
}
