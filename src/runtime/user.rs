//! Users by name, from the container's own files.
//!
//! The rules are Docker's: `user[:group]`, each a name or a number. A string of digits is never
//! looked up as a name (CVE-2016-3697), numbers end at 2^31-1 (CVE-2024-40635), and the files are
//! not trusted: regular, at most 10 MiB, opened inside the root (CVE-2026-47262, CVE-2024-9676).

use crate::error::{Error, Result};
use crate::oci::spec::User;
use crate::runtime::walk::is_absent;
use crate::sys::fs::open_inside;
use crate::sys::process::Ids;
use rustix::fs::{FileType, OFlags};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// As containerd reads.
const FILE_MAX: u64 = 10 << 20;
const ID_MAX: u32 = i32::MAX as u32;

#[derive(Debug, PartialEq, Eq)]
pub struct Resolved {
    pub ids: Ids,
    /// `HOME=…`, where it is wanted.
    pub home: Option<String>,
}

/// What `user` means inside our root, and where it is at home.
pub fn resolve(user: &User, wants_home: bool) -> Result<Resolved> {
    let is_named = user.username.as_ref().is_some_and(|name| !name.is_empty());
    if !is_named && !wants_home {
        // The files need not be looked at.
        let ids = numeric(user);
        return Ok(Resolved { ids, home: None });
    }
    let mut resolved = resolve_below(Path::new("/"), user)?;
    resolved.home.take_if(|_| !wants_home);
    Ok(resolved)
}

/// The same where the container's root is at `rootfs`.
pub fn resolve_below(rootfs: &Path, user: &User) -> Result<Resolved> {
    let root = crate::sys::fs::open_path(rootfs)?;
    resolve_in(root.as_fd(), user)
}

fn numeric(user: &User) -> Ids {
    let groups = user.additional_gids.clone().unwrap_or_default();
    Ids {
        uid: user.uid.unwrap_or(0),
        gid: user.gid.unwrap_or(0),
        are_groups_asked_for: !groups.is_empty(),
        groups,
    }
}

/// The same inside `root`, and at home.
pub fn resolve_in(root: BorrowedFd<'_>, user: &User) -> Result<Resolved> {
    let passwd = read(root, Path::new("/etc/passwd"))?;
    let extra = user.additional_gids.as_deref().unwrap_or_default();
    match user.username.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => {
            let group = read(root, Path::new("/etc/group"))?;
            let mut resolved = by_name(name, &passwd, &group)?;
            add(&mut resolved.ids.groups, extra);
            let named = user.additional_groups.as_deref().unwrap_or_default();
            for name in named {
                add(&mut resolved.ids.groups, &[find_group(name, &group)?]);
            }
            resolved.ids.are_groups_asked_for = !extra.is_empty() || !named.is_empty();
            Ok(resolved)
        }
        None => {
            let ids = numeric(user);
            let entry = users(&passwd).find(|entry| entry.uid == ids.uid);
            Ok(Resolved {
                ids,
                home: home(entry),
            })
        }
    }
}

fn by_name(text: &str, passwd: &str, group: &str) -> Result<Resolved> {
    let (user, wanted) = text.split_once(':').unwrap_or((text, ""));

    let number = number(user)?;
    let entry = match (user, number) {
        ("", _) => users(passwd).find(|entry| entry.uid == 0),
        (_, Some(uid)) => users(passwd).find(|entry| entry.uid == uid),
        (name, None) => users(passwd).find(|entry| entry.name == name),
    };
    let uid = match (&entry, number, user) {
        (Some(entry), ..) => entry.uid,
        (None, Some(uid), _) => uid,
        (None, None, "") => 0,
        (None, None, name) => {
            return Err(Error::invalid(format!(
                "unable to find user {name}: no matching entries in passwd file"
            )));
        }
    };

    let mut gid = entry.as_ref().map_or(0, |entry| entry.gid);
    let mut groups = Vec::new();
    if !wanted.is_empty() {
        gid = find_group(wanted, group)?;
    } else if let Some(entry) = &entry {
        let member = |group: &Group<'_>| group.members.split(',').any(|name| name == entry.name);
        groups.extend(self::groups(group).filter(member).map(|group| group.gid));
    }
    // The primary group among the supplementary ones: without it, setgid programs could shed a
    // group that is there to deny (CVE-2022-36109).
    let mut all = vec![gid];
    add(&mut all, &groups);
    Ok(Resolved {
        ids: Ids {
            uid,
            gid,
            groups: all,
            are_groups_asked_for: false,
        },
        home: home(entry),
    })
}

fn find_group(wanted: &str, group: &str) -> Result<u32> {
    let number = number(wanted)?;
    if let Some(gid) = number {
        return Ok(gid);
    }
    groups(group)
        .find(|group| group.name == wanted)
        .map(|group| group.gid)
        .ok_or_else(|| {
            Error::invalid(format!(
                "unable to find group {wanted}: no matching entries in group file"
            ))
        })
}

fn home(entry: Option<Entry<'_>>) -> Option<String> {
    let home = entry
        .map(|entry| entry.home)
        .filter(|home| !home.is_empty());
    Some(format!("HOME={}", home.unwrap_or("/")))
}

fn add(groups: &mut Vec<u32>, more: &[u32]) {
    for gid in more {
        if !groups.contains(gid) {
            groups.push(*gid);
        }
    }
}

/// The number that a string of digits is; `None` for a name.
fn number(text: &str) -> Result<Option<u32>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse() {
        Ok(id) if id <= ID_MAX => Ok(Some(id)),
        _ => Err(Error::invalid(
            "uids and gids must be in range 0-2147483647",
        )),
    }
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// The good lines of a passwd file. A line whose numbers are none is no user: taken as 0, as some
/// have done, it would be root.
fn users(text: &str) -> impl Iterator<Item = Entry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let uid = number(fields.nth(1)?).ok()??;
        let gid = number(fields.next()?).ok()??;
        let home = fields.nth(1).unwrap_or_default();
        Some(Entry {
            name,
            uid,
            gid,
            home,
        })
    })
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let gid = number(fields.nth(1)?).ok()??;
        let members = fields.next().unwrap_or_default();
        Some(Group { name, gid, members })
    })
}

/// The text of a file in the root; empty where there is none.
fn read(root: BorrowedFd<'_>, path: &Path) -> Result<String> {
    // NONBLOCK: a fifo must not keep us waiting for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match open_inside(root, path, flags) {
        Err(error) if is_absent(&error) => return Ok(String::new()),
        other => other?,
    };
    let failed = |errno| crate::sys::failed("fstat", path.display(), errno);
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::invalid(format!(
            "{} in the container is not a regular file",
            path.display()
        )));
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file)
        .take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(format_args!("read {}", path.display()), &error))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(Error::invalid(format!(
            "{} in the container is larger than 10 MiB",
            path.display()
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1::/bin:\n\
        app:x:1000:1001:App,,,:/home/app:/bin/sh\n1000:x:0:0::/evil:\nbad:x:no:0::/:\n\
        4294967296:x:0:0::/:\nshort\n";
    const GROUP: &str = "root:x:0:\nbin:x:1:root,app\napp:x:1001:\nwheel:x:10:app,root\n7:x:0:app\nhuge:x:4294967296:app\n";

    fn ids(text: &str) -> (u32, u32, Vec<u32>) {
        let ids = by_name(text, PASSWD, GROUP).unwrap().ids;
        (ids.uid, ids.gid, ids.groups)
    }

    fn refusal(text: &str) -> String {
        by_name(text, PASSWD, GROUP).unwrap_err().to_string()
    }

    #[test]
    fn names_and_numbers_are_found_as_docker_finds_them() {
        assert_eq!(ids("app"), (1000, 1001, vec![1001, 1, 10, 0]));
        assert_eq!(ids("1"), (1, 1, vec![1]));
        assert_eq!(ids("1:"), (1, 1, vec![1]));
        assert_eq!(ids(":1"), (0, 1, vec![1]));
        assert_eq!(ids("1:2"), (1, 2, vec![2]));
        assert_eq!(ids("root:1"), (0, 1, vec![1]));
        assert_eq!(ids("root:wheel"), (0, 10, vec![10]));
        assert_eq!(ids("65534"), (65534, 0, vec![0]));
        let home = |text| by_name(text, PASSWD, GROUP).unwrap().home.unwrap();
        assert_eq!(home("app"), "HOME=/home/app");
        assert_eq!(home("65534"), "HOME=/");
    }

    #[test]
    fn digits_are_never_a_name() {
        assert_eq!(ids("1000"), (1000, 1001, vec![1001, 1, 10, 0]));
        assert_eq!(ids("0:7"), (0, 7, vec![7]));
        for number in [
            "4294967296",
            "2147483648",
            "65536:4294967296",
            "99999999999999999999",
        ] {
            assert_eq!(
                refusal(number),
                "uids and gids must be in range 0-2147483647"
            );
        }
        assert_eq!(ids("2147483647").0, 2147483647);
    }

    #[test]
    fn what_is_neither_is_refused_with_dockers_sentence() {
        for name in ["nobody", "+1", "-1", "0x1", " 1", "bad", "short"] {
            let sentence =
                format!("unable to find user {name}: no matching entries in passwd file");
            assert_eq!(refusal(name), sentence);
        }
        assert_eq!(
            refusal("root:none"),
            "unable to find group none: no matching entries in group file"
        );
    }

    /// Every spelling of two short parts, against the rules written out slowly.
    #[test]
    fn no_spelling_gains_an_id_that_it_does_not_spell() {
        let parts = [
            "",
            "0",
            "1",
            "00",
            "01",
            "+1",
            "-0",
            "1 ",
            "root",
            "app",
            "x",
            "2147483648",
            "7",
        ];
        for user in parts {
            for group in parts {
                let text = format!("{user}:{group}");
                let Ok(found) = by_name(&text, PASSWD, GROUP) else {
                    continue;
                };
                let expected = match user {
                    "" | "root" => 0,
                    "app" => 1000,
                    digits => digits.parse().unwrap(),
                };
                assert_eq!(found.ids.uid, expected, "{text:?}");
                assert!(found.ids.groups.contains(&found.ids.gid), "{text:?}");
                if let Ok(gid) = group.parse::<u32>() {
                    assert_eq!(found.ids.gid, gid, "{text:?}");
                }
            }
        }
    }
}
