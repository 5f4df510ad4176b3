//! Files and directories by descriptor.
//!
//! What lies below a container's root or an image's layer is opened with `open_inside` only: the
//! path resolves in that root, whatever symbolic links it meets (openat2(2), RESOLVE_IN_ROOT).

use crate::error::{Error, Result};
use crate::sys::failed;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, RawDir, ResolveFlags, Stat,
    Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A descriptor that names `path` without opening it (O_PATH). Follows symbolic links.
pub fn open_path(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| failed("open", path.display(), errno))
}

/// A file for reading, without waiting for the other end of a fifo.
pub fn open_file(path: &Path) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// The null device, to read from and to write to.
pub fn open_null() -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open("/dev/null", flags, Mode::empty())
        .map_err(|errno| failed("open", "/dev/null", errno))
}

/// All of a small file of ours or of the kernel's.
/// Whether we may write there (access(2)): root may everywhere but on what is read-only.
pub fn writable(path: &Path) -> std::result::Result<(), Errno> {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK)
}

/// Whether an open file is /dev/null.
pub fn is_null(file: impl AsFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|found| found.st_rdev == rustix::fs::makedev(1, 3))
}

pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io(format_args!("read {}", path.display()), &error))
}

/// The same for text.
pub fn read_text(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::io(format_args!("read {path}"), &error))
}

/// Whether two are one and the same file.
pub fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// A directory, for reading its entries and for `*at` calls.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| failed("open directory", path.display(), errno))
}

/// Open `path` as a process would whose root is `root`: absolute links and `..` stay inside.
/// Links like /proc/self/fd/N are refused.
pub fn open_inside(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    resolve(root.as_fd(), path, flags, ResolveFlags::NO_MAGICLINKS)
        .map_err(|errno| failed("open in root", path.display(), errno))
}

/// The same, and ELOOP where a symbolic link is on the way: what is found is where `path` says.
pub fn open_without_links(
    root: impl AsFd,
    path: &Path,
    flags: OFlags,
) -> std::result::Result<OwnedFd, Errno> {
    resolve(root.as_fd(), path, flags, ResolveFlags::NO_SYMLINKS)
}

/// Open `path` below `root`. EXDEV where a link or `..` would lead out of it.
pub fn open_beneath(
    root: impl AsFd,
    path: &Path,
    flags: OFlags,
) -> std::result::Result<OwnedFd, Errno> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    resolve_by(root.as_fd(), path, flags, how)
}

fn resolve(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    how: ResolveFlags,
) -> std::result::Result<OwnedFd, Errno> {
    resolve_by(root, path, flags, ResolveFlags::IN_ROOT | how)
}

fn resolve_by(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    how: ResolveFlags,
) -> std::result::Result<OwnedFd, Errno> {
    // EAGAIN: somebody renamed something somewhere while a `..` was resolved, and the kernel could
    // not prove that it stayed inside (openat2(2)). Nothing is wrong; ask again, but not for ever.
    for _ in 0..128 {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

/// `name` in an open directory, whatever it is, without opening it (O_PATH): a device is not set
/// in motion, a symbolic link is not followed. None: there is nothing.
pub fn name_at(dir: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(named) => Ok(Some(named)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed("open", name.to_string_lossy(), errno)),
    }
}

/// Open for reading what `named` (O_PATH) is, and nothing else that has taken its name since.
pub fn reopen(named: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(proc_fd(named), flags, Mode::empty())
        .map_err(|errno| failed("open", "file", errno))
}

/// What a symbolic link says that is named by a descriptor (O_PATH).
pub fn read_link(named: BorrowedFd<'_>) -> Result<Vec<u8>> {
    rustix::fs::readlinkat(named, c"", Vec::new())
        .map(CString::into_bytes)
        .map_err(|errno| failed("readlink", "descriptor", errno))
}

/// Some bytes of a file; none at its end.
pub fn read_some(file: BorrowedFd<'_>, into: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match rustix::io::read(file, &mut *into) {
            Err(Errno::INTR) => {}
            read => return Ok(read?),
        }
    }
}

/// All extended attributes of what `named` (O_PATH will do) is. None where the file system has
/// no such thing.
pub fn attributes(named: BorrowedFd<'_>) -> Result<Vec<(CString, Vec<u8>)>> {
    let path = proc_fd(named);
    let list = grown(|buffer| rustix::fs::listxattr(&path, buffer));
    let list = match list {
        Err(Errno::OPNOTSUPP | Errno::PERM) => return Ok(Vec::new()),
        list => list.map_err(|errno| failed("listxattr", "descriptor", errno))?,
    };
    let mut attributes = Vec::new();
    for name in list.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        match grown(|buffer| rustix::fs::getxattr(&path, name, buffer)) {
            Ok(value) => attributes.push((name.to_owned(), value)),
            // It has gone meanwhile.
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(failed("getxattr", name.to_string_lossy(), errno)),
        }
    }
    Ok(attributes)
}

/// One extended attribute of what `named` (O_PATH will do) is.
pub fn attribute(named: BorrowedFd<'_>, name: &CStr) -> Result<Option<Vec<u8>>> {
    let path = proc_fd(named);
    match grown(|buffer| rustix::fs::getxattr(&path, name, buffer)) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(failed("getxattr", name.to_string_lossy(), errno)),
    }
}

/// What `call` writes into a buffer, which it says is too small until it is not (xattr(7)).
fn grown(
    mut call: impl FnMut(&mut [u8]) -> std::result::Result<usize, Errno>,
) -> std::result::Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 256];
    loop {
        match call(&mut buffer) {
            Err(Errno::RANGE) if buffer.len() <= 64 << 10 => buffer.resize(buffer.len() * 8, 0),
            written => {
                buffer.truncate(written?);
                return Ok(buffer);
            }
        }
    }
}

/// Write a file that is for its owner alone: specifications and records hold the variables of
/// programs, and with them what those keep secret.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let write = || {
        let mut options = std::fs::File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(path)?.write_all(content)
    };
    write().map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
}

/// A file that has no name and lies in memory (memfd_create(2)), to be read from its beginning.
pub fn in_memory(name: &CStr, content: &[u8]) -> Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(|errno| failed("memfd_create", name.to_string_lossy(), errno))?;
    write_at(file.as_fd(), content, 0)?;
    Ok(file)
}

/// fsync(2).
pub fn sync(file: impl AsFd, name: &Path) -> Result<()> {
    rustix::fs::fsync(file).map_err(|errno| failed("fsync", name.display(), errno))
}

/// Sync a directory, so that renames and new names in it survive a power cut.
pub fn sync_dir(path: &Path) -> Result<()> {
    sync(open_dir(path)?, path)
}

/// syncfs(2): everything written to the file system that holds `path`.
pub fn sync_file_system(path: &Path) -> Result<()> {
    let dir = open_dir(path)?;
    rustix::fs::syncfs(dir).map_err(|errno| failed("syncfs", path.display(), errno))
}

pub fn rename(from: &Path, to: &Path) -> Result<()> {
    rustix::fs::renameat(CWD, from, CWD, to).map_err(|errno| {
        failed(
            "rename",
            format_args!("{} to {}", from.display(), to.display()),
            errno,
        )
    })
}

// ---- One name in a directory that is open -------------------------------------------------
//
// `name` is a single component: no call below follows a symbolic link.

/// Open a directory for reading; a symbolic link in its place is an error.
pub fn open_dir_at(dir: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(
        dir,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| failed("open directory", name.display(), errno))
}

/// The same, and EXDEV where another file system or a bind mount lies on it.
pub fn open_dir_same_mount(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    rustix::fs::openat2(
        dir,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
    )
    .map_err(|errno| failed("open directory", name.to_string_lossy(), errno))
}

/// A new regular file for writing. An existing name is an error.
pub fn create_at(dir: BorrowedFd<'_>, name: &Path, mode: u32) -> Result<OwnedFd> {
    rustix::fs::openat(
        dir,
        name,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::from_raw_mode(mode),
    )
    .map_err(|errno| failed("create", name.display(), errno))
}

pub fn make_dir_at(dir: BorrowedFd<'_>, name: &Path, mode: u32) -> Result<()> {
    rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode))
        .map_err(|errno| failed("mkdir", name.display(), errno))
}

/// A symbolic link `name` that says `target`.
pub fn symlink_at(target: &Path, dir: BorrowedFd<'_>, name: &Path) -> Result<()> {
    rustix::fs::symlinkat(target, dir, name)
        .map_err(|errno| failed("symlink", name.display(), errno))
}

/// What the symbolic link `name` says.
pub fn read_link_at(dir: BorrowedFd<'_>, name: &Path) -> Result<Vec<u8>> {
    rustix::fs::readlinkat(dir, name, Vec::new())
        .map(CString::into_bytes)
        .map_err(|errno| failed("readlink", name.display(), errno))
}

/// A second name for the file `from`; for a symbolic link's itself, not its target's.
pub fn link_at(
    from_dir: BorrowedFd<'_>,
    from: &Path,
    dir: BorrowedFd<'_>,
    name: &Path,
) -> Result<()> {
    rustix::fs::linkat(from_dir, from, dir, name, AtFlags::empty())
        .map_err(|errno| failed("link", name.display(), errno))
}

/// A device or fifo. The process's umask applies to `mode`.
pub fn make_node_at(
    dir: BorrowedFd<'_>,
    name: &Path,
    kind: FileType,
    mode: u32,
    (major, minor): (u32, u32),
) -> Result<()> {
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(dir, name, kind, Mode::from_raw_mode(mode), device)
        .map_err(|errno| failed("mknod", name.display(), errno))
}

pub fn unlink_at(dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    rustix::fs::unlinkat(dir, name, AtFlags::empty())
        .map_err(|errno| failed("unlink", name.to_string_lossy(), errno))
}

pub fn remove_dir_at(dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
        .map_err(|errno| failed("rmdir", name.to_string_lossy(), errno))
}

pub fn rename_at(
    from_dir: BorrowedFd<'_>,
    from: &CStr,
    to_dir: BorrowedFd<'_>,
    to: &CStr,
) -> Result<()> {
    rustix::fs::renameat(from_dir, from, to_dir, to)
        .map_err(|errno| failed("rename", from.to_string_lossy(), errno))
}

/// What lies at `name`, or `None`.
pub fn stat_at(dir: BorrowedFd<'_>, name: &Path) -> Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed("stat", name.display(), errno)),
    }
}

pub fn stat(file: BorrowedFd<'_>) -> Result<Stat> {
    rustix::fs::fstat(file).map_err(|errno| failed("fstat", "descriptor", errno))
}

pub fn chown_at(dir: BorrowedFd<'_>, name: &Path, uid: u32, gid: u32) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| failed("chown", name.display(), errno))
}

/// Follows a symbolic link, as the kernel offers nothing else before 6.6: only for a node that the
/// caller has just made itself.
pub fn chmod_new_node_at(dir: BorrowedFd<'_>, name: &Path, mode: u32) -> Result<()> {
    rustix::fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())
        .map_err(|errno| failed("chmod", name.display(), errno))
}

pub fn chown(file: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<()> {
    rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .map_err(|errno| failed("fchown", format_args!("{uid}:{gid}"), errno))
}

pub fn chmod(file: BorrowedFd<'_>, mode: u32) -> Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))
        .map_err(|errno| failed("fchmod", format_args!("{mode:o}"), errno))
}

/// A modification time: seconds since 1970 (also before) and nanoseconds. 64 bits on all targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModifiedAt {
    pub seconds: i64,
    pub nanos: u32,
}

impl ModifiedAt {
    pub fn of(stat: &Stat) -> ModifiedAt {
        ModifiedAt {
            // 64 bits on all targets: rustix has its own struct where the kernel's has 32.
            seconds: stat.st_mtime,
            nanos: stat.st_mtime_nsec as u32,
        }
    }

    /// The access time stays as it is.
    fn timestamps(self) -> Timestamps {
        Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: self.seconds,
                tv_nsec: self.nanos.into(),
            },
        }
    }
}

pub fn set_modified(file: BorrowedFd<'_>, at: ModifiedAt) -> Result<()> {
    rustix::fs::futimens(file, &at.timestamps())
        .map_err(|errno| failed("futimens", at.seconds, errno))
}

pub fn set_modified_at(dir: BorrowedFd<'_>, name: &Path, at: ModifiedAt) -> Result<()> {
    rustix::fs::utimensat(dir, name, &at.timestamps(), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| failed("utimensat", name.display(), errno))
}

/// fsetxattr(2) for a file or directory that is open.
pub fn set_attribute(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<()> {
    rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
        .map_err(|errno| failed("setxattr", name.to_string_lossy(), errno))
}

// ---- What is named by a descriptor and not open (O_PATH) ----------------------------------
//
// The system calls for descriptors want open ones, so these go through /proc, whose link leads to
// the very thing, be it a link itself.

pub fn chown_named(named: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(named, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
        .map_err(|errno| failed("chown", format_args!("{uid:?}:{gid:?}"), errno))
}

pub fn chmod_named(named: BorrowedFd<'_>, mode: u32) -> Result<()> {
    rustix::fs::chmod(proc_fd(named), Mode::from_raw_mode(mode))
        .map_err(|errno| failed("chmod", format_args!("{mode:o}"), errno))
}

pub fn set_attribute_named(named: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<()> {
    rustix::fs::setxattr(proc_fd(named), name, value, XattrFlags::empty())
        .map_err(|errno| failed("setxattr", name.to_string_lossy(), errno))
}

pub fn set_modified_named(named: BorrowedFd<'_>, at: ModifiedAt) -> Result<()> {
    rustix::fs::utimensat(CWD, proc_fd(named), &at.timestamps(), AtFlags::empty())
        .map_err(|errno| failed("utimensat", at.seconds, errno))
}

/// The path by which this process reaches what `fd` has open.
pub fn proc_fd(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Set a file's length; a gap reads as zeros and takes no space.
pub fn set_length(file: BorrowedFd<'_>, length: u64) -> Result<()> {
    rustix::fs::ftruncate(file, length).map_err(|errno| failed("ftruncate", length, errno))
}

/// Write all of `bytes` at `offset`.
pub fn write_at(file: BorrowedFd<'_>, mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(0) => return Err(failed("write", "file", Errno::IO)),
            Ok(count) => {
                bytes = bytes.get(count..).unwrap_or_default();
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("write", "file", errno)),
        }
    }
    Ok(())
}

/// The next names in an open directory, as many as one getdents64(2) brings, without `.` and `..`.
/// An empty list is the end. The kernel may not know a name's kind.
pub fn next_names(dir: BorrowedFd<'_>) -> Result<Vec<(CString, FileType)>> {
    loop {
        let mut buffer: Vec<u8> = Vec::with_capacity(16 << 10);
        let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
        let mut names = Vec::new();
        let mut at_end = true;
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|errno| failed("getdents", "directory", errno))?;
            at_end = false;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push((name.to_owned(), entry.file_type()));
            }
            if entries.is_buffer_empty() {
                break;
            }
        }
        if at_end || !names.is_empty() {
            return Ok(names);
        }
    }
}

/// All names in an open directory, sorted.
pub fn sorted_names(dir: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let mut all = Vec::new();
    loop {
        let names = next_names(dir)?;
        if names.is_empty() {
            all.sort_unstable();
            return Ok(all);
        }
        all.extend(names.into_iter().map(|(name, _)| name));
    }
}

/// The directory that an open one is in; anywhere, if somebody has moved it.
pub fn parent_of(dir: BorrowedFd<'_>) -> Result<OwnedFd> {
    open_dir_at(dir, Path::new(".."))
}

/// Read an open directory from its beginning again.
pub fn rewind(dir: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::seek(dir, rustix::fs::SeekFrom::Start(0))
        .map(drop)
        .map_err(|errno| failed("lseek", "directory", errno))
}

/// Whether what is written at `path` goes with the machine's next start.
pub fn is_in_memory(path: &Path) -> Result<bool> {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
    let stat = rustix::fs::statfs(path).map_err(|errno| failed("statfs", path.display(), errno))?;
    // The kernel's numbers have 32 bits, and their field a sign in places.
    let kind = stat.f_type as u64 & 0xffff_ffff;
    Ok(matches!(kind, TMPFS_MAGIC | RAMFS_MAGIC))
}

/// flock(2), exclusive: waits until no other open file holds it.
pub fn lock(file: impl AsFd, name: &Path) -> Result<()> {
    flock(file.as_fd(), FlockOperation::LockExclusive, name).map(drop)
}

/// flock(2), exclusive, without waiting; false when another open file holds it. The lock goes
/// when the last descriptor of this open file does.
pub fn try_lock(file: impl AsFd, name: &Path) -> Result<bool> {
    flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive, name)
}

/// The same, shared with others who only look.
pub fn try_lock_shared(file: impl AsFd, name: &Path) -> Result<bool> {
    flock(file.as_fd(), FlockOperation::NonBlockingLockShared, name)
}

fn flock(file: BorrowedFd<'_>, operation: FlockOperation, name: &Path) -> Result<bool> {
    match rustix::fs::flock(file, operation) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(failed("flock", name.display(), errno)),
    }
}
