//! Which devices a group may use: cgroup v2 asks a BPF program (BPF_PROG_TYPE_CGROUP_DEVICE).
//!
//! Rules are read from the last to the first, and what none of them names is denied.

mod program;

use crate::cgroup::Group;
use crate::error::{Error, Result};
use crate::oci::spec::{DeviceRule, Resources};
use crate::sys::{capability, raw};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// What keeps a container from devices that are not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The rules allow everything.
    Open,
    /// The BPF program.
    Filter,
    /// No program: then the container cannot make device nodes, nor use those of its image.
    NoNodes,
}

impl Guard {
    pub fn forbids_nodes(self) -> bool {
        self == Guard::NoNodes
    }

    /// The capabilities that the guard leaves.
    pub fn capabilities(self) -> u64 {
        match self {
            Guard::NoNodes => !capability::bit("CAP_MKNOD").unwrap_or(0),
            Guard::Open | Guard::Filter => u64::MAX,
        }
    }

    /// The guard for a host whose kernel cannot filter.
    pub fn without_filter(resources: Option<&Resources>) -> Result<Guard> {
        Ok(match allow_all(&rules(resources)?) {
            true => Guard::Open,
            false => Guard::NoNodes,
        })
    }
}

/// Put the rules into force on `group`, in the place of those that it has.
pub fn apply(group: &Group, resources: Option<&Resources>) -> Result<Guard> {
    let rules = rules(resources)?;
    let is_open = allow_all(&rules);
    if is_open && group.is_new() {
        return Ok(Guard::Open);
    }
    let program = program::of(&rules)?;
    // Small kernels lack Feature::CgroupBpf, user namespaces may not load.
    match replace(group, &program) {
        Ok(()) => Ok(Guard::Filter),
        Err(_) if is_open => Ok(Guard::Open),
        Err(_) => Ok(Guard::NoNodes),
    }
}

/// At no moment the group is without a program: the one that it has is swapped for the new one,
/// or, should there be several, they go when the new one is there.
fn replace(group: &Group, program: &[u64]) -> std::result::Result<(), Errno> {
    let old = match group.is_new() {
        true => Vec::new(),
        false => raw::device_programs(group.as_fd())?,
    };
    let loaded = raw::load_device_program(program)?;
    if let [only] = &old[..] {
        return raw::attach_device_program(group.as_fd(), loaded.as_fd(), Some(only.as_fd()));
    }
    raw::attach_device_program(group.as_fd(), loaded.as_fd(), None)?;
    for old in &old {
        raw::detach_device_program(group.as_fd(), old.as_fd())?;
    }
    Ok(())
}

/// A rule in the kernel's terms. `None`: any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// BPF_DEVCG_DEV_BLOCK or BPF_DEVCG_DEV_CHAR.
    kind: Option<u32>,
    major: Option<u32>,
    minor: Option<u32>,
    /// BPF_DEVCG_ACC_MKNOD, READ, WRITE.
    access: u32,
}

impl Rule {
    fn is_for_all(&self) -> bool {
        self.kind.is_none()
            && self.major.is_none()
            && self.minor.is_none()
            && self.access == ANY_ACCESS
    }

    fn is_about_the_same(&self, other: &Rule) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }

    fn overlaps(&self, other: &Rule) -> bool {
        let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        meet(self.kind, other.kind)
            && meet(self.major, other.major)
            && meet(self.minor, other.minor)
    }
}

const BLOCK: u32 = 1;
const CHAR: u32 = 2;
const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ANY_ACCESS: u32 = MKNOD | READ | WRITE;

const fn allow(kind: u32, major: Option<u32>, minor: Option<u32>, access: u32) -> Rule {
    Rule {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access,
    }
}

/// What every container may: make any node (and then not use it), and the devices that the
/// runtime itself puts into /dev (runc's AllowedDevices).
const ALWAYS: [Rule; 10] = [
    allow(CHAR, None, None, MKNOD),
    allow(BLOCK, None, None, MKNOD),
    allow(CHAR, Some(1), Some(3), ANY_ACCESS),
    allow(CHAR, Some(1), Some(8), ANY_ACCESS),
    allow(CHAR, Some(1), Some(7), ANY_ACCESS),
    allow(CHAR, Some(5), Some(0), ANY_ACCESS),
    allow(CHAR, Some(1), Some(5), ANY_ACCESS),
    allow(CHAR, Some(1), Some(9), ANY_ACCESS),
    allow(CHAR, Some(136), None, ANY_ACCESS),
    allow(CHAR, Some(5), Some(2), ANY_ACCESS),
];

fn rules(resources: Option<&Resources>) -> Result<Vec<Rule>> {
    let asked = resources.and_then(|resources| resources.devices.as_ref());
    let mut rules = Vec::new();
    for (at, asked) in asked.into_iter().flatten().enumerate() {
        add(&mut rules, rule(at, asked)?);
    }
    for rule in ALWAYS {
        add(&mut rules, rule);
    }
    Ok(rules)
}

/// Two allowances for one device are one: reading and writing may be asked for at once, which
/// neither alone would allow. Unless a denial in between has a say.
fn add(rules: &mut Vec<Rule>, mut rule: Rule) {
    let same = rules
        .iter()
        .rposition(|other| other.allow && rule.allow && other.is_about_the_same(&rule));
    if let Some(at) = same {
        let is_denied = |other: &Rule| !other.allow && other.overlaps(&rule);
        if !rules.iter().skip(at).any(is_denied) {
            rule.access |= rules.remove(at).access;
        }
    }
    rules.push(rule);
}

fn rule(at: usize, asked: &DeviceRule) -> Result<Rule> {
    let letters = asked.access.as_deref().unwrap_or_default();
    if letters.is_empty() {
        return Err(Error::invalid(format!(
            "device access at {at} field cannot be empty"
        )));
    }
    let mut access = 0;
    for letter in letters.chars() {
        access |= match letter {
            'm' => MKNOD,
            'r' => READ,
            'w' => WRITE,
            _ => return Err(Error::invalid(format!("unknown device access {letters:?}"))),
        };
    }
    let allow = asked.allow == Some(true);
    let kind = match asked.kind.as_deref().unwrap_or("a") {
        "c" => CHAR,
        "b" => BLOCK,
        // All of them, whatever else the rule says: so it was in cgroup v1.
        "a" | "" => {
            return Ok(Rule {
                allow,
                kind: None,
                major: None,
                minor: None,
                access: ANY_ACCESS,
            });
        }
        other => {
            return Err(Error::invalid(format!(
                "invalid cgroup device type {other:?}"
            )));
        }
    };
    Ok(Rule {
        allow,
        kind: Some(kind),
        major: number(asked.major)?,
        minor: number(asked.minor)?,
        access,
    })
}

/// `None` and -1 are any.
fn number(asked: Option<i64>) -> Result<Option<u32>> {
    match asked {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number)
            .map(Some)
            .map_err(|_| Error::invalid(format!("{number} is no number of a device"))),
    }
}

/// Whether no denial is left after a rule that allows everything.
fn allow_all(rules: &[Rule]) -> bool {
    let last_wide = rules.iter().rposition(Rule::is_for_all);
    last_wide.is_some_and(|at| rules[at].allow && rules[at..].iter().all(|rule| rule.allow))
}

#[cfg(test)]
mod tests {
    use super::program::machine::run;
    use super::*;

    /// The meaning of a list of rules, said plainly.
    fn meaning(rules: &[Rule], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let hit = rules.iter().rev().find(|rule| {
            rule.kind.is_none_or(|wanted| wanted == kind)
                && rule.major.is_none_or(|wanted| wanted == major)
                && rule.minor.is_none_or(|wanted| wanted == minor)
                && match rule.allow {
                    true => access & !rule.access == 0,
                    false => access & rule.access != 0,
                }
        });
        hit.is_some_and(|rule| rule.allow)
    }

    fn asked(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> DeviceRule {
        DeviceRule {
            allow: Some(allow),
            kind: Some(kind.to_string()),
            major: Some(major),
            minor: Some(minor),
            access: Some(access.to_string()),
        }
    }

    #[test]
    fn the_program_says_what_the_rules_mean() {
        let lists = [
            vec![],
            vec![asked(false, "a", -1, -1, "rwm")],
            vec![
                asked(false, "a", -1, -1, "rwm"),
                asked(true, "b", 8, -1, "r"),
            ],
            vec![
                asked(true, "c", 10, 200, "rw"),
                asked(false, "c", 10, 200, "w"),
            ],
            vec![
                asked(true, "a", -1, -1, "rwm"),
                asked(false, "b", 8, 1, "rw"),
            ],
        ];
        for list in lists {
            let resources = Resources {
                devices: Some(list),
                ..Resources::default()
            };
            let rules = rules(Some(&resources)).unwrap();
            let code = program::of(&rules).unwrap();
            for kind in [BLOCK, CHAR] {
                for (major, minor) in [(1, 3), (1, 1), (8, 0), (8, 1), (10, 200), (136, 9), (5, 2)]
                {
                    for access in 1..=ANY_ACCESS {
                        assert_eq!(
                            run(&code, kind, access, major, minor),
                            meaning(&rules, kind, access, major, minor),
                            "{kind} {major}:{minor} {access} {rules:?}"
                        );
                    }
                }
            }
        }
    }

    fn with(list: Vec<DeviceRule>) -> Result<Vec<Rule>> {
        rules(Some(&Resources {
            devices: Some(list),
            ..Resources::default()
        }))
    }

    #[test]
    fn allowances_of_one_device_add_up_unless_something_is_denied_between() {
        let opens = |list| {
            let code = program::of(&with(list).unwrap()).unwrap();
            [READ, WRITE, READ | WRITE].map(|access| run(&code, CHAR, access, 10, 200))
        };
        let (read, write) = (
            asked(true, "c", 10, 200, "r"),
            asked(true, "c", 10, 200, "w"),
        );
        assert_eq!(opens(vec![read.clone(), write.clone()]), [true, true, true]);
        let other = asked(false, "c", 10, 201, "rwm");
        assert_eq!(
            opens(vec![read.clone(), other, write.clone()]),
            [true, true, true]
        );
        let denied = asked(false, "c", 10, -1, "rwm");
        assert_eq!(opens(vec![read, denied, write]), [false, true, false]);
        // What the defaults allow as well is tested once.
        let null = asked(true, "c", 1, 3, "rwm");
        assert_eq!(with(vec![null]).unwrap().len(), ALWAYS.len());
    }

    #[test]
    fn rules_of_type_a_are_about_everything() {
        let all = |allow| asked(allow, "a", 1, 3, "r");
        assert!(allow_all(&with(vec![all(true)]).unwrap()));
        let code = program::of(&with(vec![all(true), all(false)]).unwrap()).unwrap();
        assert!(!run(&code, BLOCK, READ, 8, 0));
        let mut untyped = all(true);
        untyped.kind = None;
        assert!(allow_all(&with(vec![untyped]).unwrap()));
    }

    #[test]
    fn rules_that_say_nothing_are_refused() {
        let refusal = |rule| with(vec![rule]).unwrap_err().to_string();
        assert_eq!(
            refusal(asked(true, "c", 1, 3, "")),
            "device access at 0 field cannot be empty"
        );
        assert_eq!(
            refusal(asked(true, "x", 1, 3, "r")),
            "invalid cgroup device type \"x\""
        );
        assert_eq!(
            refusal(asked(true, "c", 1, 3, "rx")),
            "unknown device access \"rx\""
        );
        for bad in [-2, 1 << 32] {
            assert!(with(vec![asked(true, "c", bad, 3, "r")]).is_err(), "{bad}");
        }
    }

    #[test]
    fn by_default_nodes_can_be_made_and_disks_not_opened() {
        let code = program::of(&rules(None).unwrap()).unwrap();
        assert!(run(&code, BLOCK, MKNOD, 8, 0));
        assert!(!run(&code, BLOCK, READ, 8, 0));
        assert!(!run(&code, CHAR, READ, 1, 1));
        assert!(run(&code, CHAR, READ | WRITE, 1, 3));
    }

    #[test]
    fn a_privileged_container_needs_no_program() {
        let all = asked(true, "a", -1, -1, "rwm");
        let with = |list| Resources {
            devices: Some(list),
            ..Resources::default()
        };
        assert!(allow_all(&rules(Some(&with(vec![all.clone()]))).unwrap()));
        let denied = asked(false, "c", 10, 229, "rwm");
        assert!(!allow_all(&rules(Some(&with(vec![all, denied]))).unwrap()));
        assert!(!allow_all(&rules(None).unwrap()));
    }
}
