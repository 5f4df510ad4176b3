//! The calls that rustix has no wrapper for, by number.
//!
//! `syscall(3)` is in every libc, takes the kernel's numbers, and sets errno, on all our targets.

use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use std::ffi::{CStr, CString, c_char, c_long, c_uint};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// The result of a raw call as rustix would give it.
pub fn check(result: c_long) -> Result<c_long, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    Err(Errno::from_raw_os_error(errno))
}

/// Which side of `clone3` returned.
pub enum Cloned {
    Child,
    Parent { pid: i32, pidfd: OwnedFd },
}

/// clone3(2) like fork: the child runs on a copy of this stack. `flags` are CLONE_NEW… bits or
/// CLONE_PARENT; CLONE_PIDFD is added, and CLONE_INTO_CGROUP where `cgroup` is given (Linux 5.7).
///
/// # Safety
/// The caller must be single-threaded: in the child no other thread exists, and a lock that one
/// held (malloc's, for instance) would stay locked for ever.
pub unsafe fn clone3(flags: u64, cgroup: Option<RawFd>) -> Result<Cloned, Errno> {
    let mut pidfd: i32 = -1;
    // SAFETY: clone_args is plain integers, for which zero means "not given".
    let mut args: kernel::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | u64::from(kernel::CLONE_PIDFD);
    args.pidfd = std::ptr::from_mut(&mut pidfd) as usize as u64;
    // A sibling (CLONE_PARENT) gets our own exit signal; the kernel refuses another.
    if flags & u64::from(kernel::CLONE_PARENT) == 0 {
        args.exit_signal = u64::from(kernel::SIGCHLD);
    }
    if let Some(fd) = cgroup {
        args.flags |= kernel::CLONE_INTO_CGROUP;
        args.cgroup = fd as u64;
    }

    // SAFETY: args lives across the call and has the size told; no new stack is asked for, so the
    // child goes on here like after fork. The caller answers for being single-threaded.
    let result = unsafe {
        syscall(
            kernel::__NR_clone3 as c_long,
            std::ptr::from_mut(&mut args),
            size_of::<kernel::clone_args>(),
        )
    };
    match check(result)? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent {
            pid: pid as i32,
            // SAFETY: the kernel has just put a new descriptor there, and nobody else has it.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// clone(2) like fork(2), with a pidfd: for where clone3(2) is forbidden by a seccomp filter.
///
/// # Safety
/// As for `clone3`.
pub unsafe fn clone() -> Result<Cloned, Errno> {
    let mut pidfd: i32 = -1;
    // SAFETY: no new stack is asked for, so the child goes on here like after fork; the third
    // argument is where the pidfd goes on every architecture, and lives across the call. The
    // caller answers for being single-threaded.
    let result = unsafe {
        syscall(
            kernel::__NR_clone as c_long,
            (kernel::CLONE_PIDFD | kernel::SIGCHLD) as c_long,
            0 as c_long,
            std::ptr::from_mut(&mut pidfd),
            0 as c_long,
            0 as c_long,
        )
    };
    match check(result)? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent {
            pid: pid as i32,
            // SAFETY: the kernel has just put a new descriptor there, and nobody else has it.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// From <linux/close_range.h>, which linux-raw-sys does not carry.
const CLOSE_RANGE_CLOEXEC: c_long = 1 << 2;

/// Mark every descriptor from `first` up close-on-exec: close_range(2) with CLOSE_RANGE_CLOEXEC.
///
/// Linux 5.10 has the call and not the flag; there the descriptors are marked one by one. What we
/// open ourselves is marked from birth anyway.
pub fn close_on_exec_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: marks descriptors close-on-exec; no memory is involved.
    let result = unsafe {
        syscall(
            kernel::__NR_close_range as c_long,
            first as c_long,
            c_long::from(i32::MAX),
            CLOSE_RANGE_CLOEXEC,
        )
    };
    match check(result) {
        Err(Errno::INVAL) => {
            (first..first.saturating_add(FEW)).for_each(close_on_exec);
            Ok(())
        }
        other => other.map(drop),
    }
}

/// How far up descriptors are looked for where the kernel does not: as many as a process may have
/// by default.
const FEW: RawFd = 1024;

fn close_on_exec(fd: RawFd) {
    // SAFETY: marks a descriptor, if there is one of this number; no memory is involved.
    unsafe {
        syscall(
            kernel::__NR_fcntl as c_long,
            fd as c_long,
            c_long::from(kernel::F_SETFD as i32),
            c_long::from(kernel::FD_CLOEXEC as i32),
        );
    }
}

/// close_range(2): close everything from `first` up to `last`, without asking what is open.
///
/// # Safety
/// No descriptor in the range may be used or dropped later: the number may belong to another by
/// then. In practice: only in a child that never returns to the code that owned them.
pub unsafe fn close_range(first: RawFd, last: RawFd) -> Result<(), Errno> {
    // SAFETY: no memory is involved; the caller answers for the descriptors' owners.
    let result = unsafe {
        syscall(
            kernel::__NR_close_range as c_long,
            first as c_long,
            last as c_long,
            0 as c_long,
        )
    };
    check(result).map(drop)
}

/// swapoff(2).
pub fn swap_off(path: &std::path::Path) -> Result<(), Errno> {
    use std::os::unix::ffi::OsStrExt;
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the path is a C string that lives across the call.
    let result = unsafe { syscall(kernel::__NR_swapoff as c_long, path.as_ptr()) };
    check(result).map(drop)
}

/// mount_setattr(2) (Linux 5.12) on the mount that `tree` names. The namespace goes with
/// MOUNT_ATTR_IDMAP.
pub fn mount_setattr(
    tree: BorrowedFd<'_>,
    recursive: bool,
    set: u64,
    clear: u64,
    propagation: u64,
    namespace: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let attributes = kernel::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation,
        userns_fd: namespace.map_or(0, |namespace| namespace.as_raw_fd() as u64),
    };
    let flags = kernel::AT_EMPTY_PATH | if recursive { kernel::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, and `attributes` lives across the call with the size told.
    let result = unsafe {
        syscall(
            kernel::__NR_mount_setattr as c_long,
            tree.as_raw_fd() as c_long,
            c"".as_ptr(),
            c_long::from(flags as c_uint as i32),
            std::ptr::from_ref(&attributes),
            size_of::<kernel::mount_attr>(),
        )
    };
    check(result).map(drop)
}

/// Pointers to `list`, and the null pointer that ends them.
pub fn pointers(list: &[CString]) -> Vec<*const c_char> {
    let mut all: Vec<*const c_char> = list.iter().map(|text| text.as_ptr()).collect();
    all.push(std::ptr::null());
    all
}

/// execve(2). Comes back only to tell why not.
pub fn execve(path: &CStr, args: &[CString], env: &[CString]) -> Errno {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: C strings and null-terminated arrays of them, all alive across the call.
    let result = unsafe {
        syscall(
            kernel::__NR_execve as c_long,
            path.as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
        )
    };
    check(result).err().unwrap_or(Errno::NOEXEC)
}

/// execveat(2) of the file that `file` is. Comes back only to tell why not.
pub fn execve_fd(file: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> Errno {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: as in `execve`.
    let result = unsafe {
        syscall(
            kernel::__NR_execveat as c_long,
            file.as_raw_fd() as c_long,
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            c_long::from(kernel::AT_EMPTY_PATH as i32),
        )
    };
    check(result).err().unwrap_or(Errno::NOEXEC)
}

/// exit_group(2): end at once, without atexit handlers or flushing: those are the parent's.
pub fn exit(code: i32) -> ! {
    // SAFETY: ends the process; no memory is involved.
    unsafe {
        syscall(kernel::__NR_exit_group as c_long, c_long::from(code));
    }
    // A seccomp filter can forbid even that. No filter forbids to crash.
    std::process::abort()
}

/// All signals to their defaults, and none blocked: what a program expects from its parent.
///
/// Rust's start-up ignores SIGPIPE and a shim blocks what its signalfd reads; both would survive
/// execve(2).
pub fn reset_signals() {
    // The kernel's own structure, all zero: SIG_DFL, no flags, empty mask. It is 20 to 32 bytes.
    let default = [0u64; 4];
    let none = 0u64;
    // SAFETY: the kernel reads at most 32 and exactly 8 bytes of what is pointed to. It refuses
    // SIGKILL and SIGSTOP, which cannot be changed anyway.
    unsafe {
        for signal in 1..=64 as c_long {
            syscall(
                kernel::__NR_rt_sigaction as c_long,
                signal,
                default.as_ptr(),
                std::ptr::null::<u64>(),
                size_of::<u64>(),
            );
        }
        syscall(
            kernel::__NR_rt_sigprocmask as c_long,
            c_long::from(kernel::SIG_SETMASK as i32),
            std::ptr::from_ref(&none),
            std::ptr::null::<u64>(),
            size_of::<u64>(),
        );
    }
}

/// Commands, types and the shape of bpf(2) that we use (include/uapi/linux/bpf.h).
const BPF_PROG_LOAD: c_long = 5;
const BPF_PROG_ATTACH: c_long = 8;
const BPF_PROG_DETACH: c_long = 9;
const BPF_PROG_GET_FD_BY_ID: c_long = 13;
const BPF_PROG_QUERY: c_long = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;

/// The first members of `union bpf_attr` for BPF_PROG_LOAD.
#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// bpf(2): check and load a cgroup device program. An instruction is 8 bytes.
pub fn load_device_program(instructions: &[u64]) -> Result<OwnedFd, Errno> {
    let attributes = ProgramLoad {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as usize as u64,
        license: c"Apache".as_ptr() as usize as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: what `attributes` points to lives across the call, with the sizes told.
    let result = unsafe {
        syscall(
            kernel::__NR_bpf as c_long,
            BPF_PROG_LOAD,
            std::ptr::from_ref(&attributes),
            size_of::<ProgramLoad>(),
        )
    };
    // SAFETY: the kernel has just made this descriptor, close-on-exec, and nobody else has it.
    check(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// bpf(2) with a command whose attributes are plain numbers.
fn bpf(command: c_long, attributes: &[u32]) -> Result<c_long, Errno> {
    // SAFETY: the kernel reads the bytes told; it neither writes nor follows pointers for the
    // commands that this is called with.
    let result = unsafe {
        syscall(
            kernel::__NR_bpf as c_long,
            command,
            attributes.as_ptr(),
            size_of_val(attributes),
        )
    };
    check(result)
}

/// bpf(2): put a device program on a cgroup directory, in the place of `old` where that is given
/// (Linux 5.6).
///
/// Groups below may have programs of their own (BPF_F_ALLOW_MULTI), all of which have to allow: a
/// container that makes containers needs that.
pub fn attach_device_program(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    old: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
    const BPF_F_REPLACE: u32 = 1 << 2;
    // target, program, attach type, flags, program to replace.
    let mut attributes = [
        group.as_raw_fd() as u32,
        program.as_raw_fd() as u32,
        BPF_CGROUP_DEVICE,
        BPF_F_ALLOW_MULTI,
        0,
    ];
    if let Some(old) = old {
        attributes[3] |= BPF_F_REPLACE;
        attributes[4] = old.as_raw_fd() as u32;
    }
    bpf(BPF_PROG_ATTACH, &attributes).map(drop)
}

/// bpf(2): take a device program off a cgroup directory.
pub fn detach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let attributes = [
        group.as_raw_fd() as u32,
        program.as_raw_fd() as u32,
        BPF_CGROUP_DEVICE,
        0,
    ];
    bpf(BPF_PROG_DETACH, &attributes).map(drop)
}

/// bpf(2): the device programs of a cgroup directory itself, not of those above it.
pub fn device_programs(group: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, Errno> {
    #[repr(C)]
    struct Query {
        target: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        ids: u64,
        count: u32,
        _padding: u32,
    }
    // The kernel takes at most this many on one group (BPF_CGROUP_MAX_PROGS).
    let mut ids = [0u32; 64];
    let mut query = Query {
        target: group.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as usize as u64,
        count: ids.len() as u32,
        _padding: 0,
    };
    // SAFETY: the kernel writes back into `query`, and at most `count` numbers to `ids`; both live
    // across the call.
    let result = unsafe {
        syscall(
            kernel::__NR_bpf as c_long,
            BPF_PROG_QUERY,
            std::ptr::from_mut(&mut query),
            size_of::<Query>(),
        )
    };
    check(result)?;
    let ids = ids.iter().take(query.count as usize);
    ids.map(|id| {
        let fd = bpf(BPF_PROG_GET_FD_BY_ID, &[*id, 0, 0])?;
        // SAFETY: the kernel has just made this descriptor, close-on-exec, and nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
    })
    .collect()
}

/// pidfd_send_signal(2) with a plain number: rustix's `Signal` refuses some that programs use.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: plain numbers and a null pointer, which stands for no siginfo.
    let result = unsafe {
        syscall(
            kernel::__NR_pidfd_send_signal as c_long,
            pidfd.as_raw_fd() as c_long,
            signal as c_long,
            std::ptr::null::<u8>(),
            0 as c_long,
        )
    };
    check(result).map(drop)
}

/// ioctl_ns(2), NS_GET_NSTYPE.
pub fn namespace_type(file: BorrowedFd<'_>) -> Result<u32, Errno> {
    // _IO(0xb7, 0x3) of <linux/nsfs.h>, which linux-raw-sys does not carry.
    const NS_GET_NSTYPE: c_long = 0xb703;
    // SAFETY: plain numbers; no memory is involved.
    let result = unsafe {
        syscall(
            kernel::__NR_ioctl as c_long,
            file.as_raw_fd() as c_long,
            NS_GET_NSTYPE,
        )
    };
    check(result).map(|bit| bit as u32)
}

/// netdevice(7): set IFF_UP on a link of our network namespace.
pub fn set_link_up(socket: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    const IFNAMSIZ: usize = 16;
    const IFF_UP: u16 = 1;
    // struct ifreq: the name, then a union of at most 24 bytes of which the flags are the first.
    let mut request = [0u8; IFNAMSIZ + 24];
    let bytes = name.to_bytes();
    if bytes.len() >= IFNAMSIZ {
        return Err(Errno::NAMETOOLONG);
    }
    request[..bytes.len()].copy_from_slice(bytes);
    let flags = IFNAMSIZ..IFNAMSIZ + 2;
    request[flags.clone()].copy_from_slice(&IFF_UP.to_ne_bytes());
    // SAFETY: `request` is at least as large as the kernel's struct ifreq on every architecture.
    let result = unsafe {
        syscall(
            kernel::__NR_ioctl as c_long,
            socket.as_raw_fd() as c_long,
            linux_raw_sys::ioctl::SIOCSIFFLAGS as c_long,
            request.as_ptr(),
        )
    };
    check(result).map(drop)
}

/// setsockopt(2) at the level of netlink(7).
pub fn set_netlink_option(socket: BorrowedFd<'_>, option: u32, value: u32) -> Result<(), Errno> {
    const SOL_NETLINK: c_long = 270;
    // SAFETY: the kernel reads four bytes, which live across the call.
    let result = unsafe {
        syscall(
            kernel::__NR_setsockopt as c_long,
            socket.as_raw_fd() as c_long,
            SOL_NETLINK,
            c_long::from(option as i32),
            std::ptr::from_ref(&value),
            size_of::<u32>(),
        )
    };
    check(result).map(drop)
}

/// keyctl(2): join the session keyring called `name`, made if there is none; without a name a new
/// one. Answers its number.
pub fn join_keyring(name: Option<&CStr>) -> Result<i32, Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_long = 1;
    // SAFETY: the name is a C string or null, which the call knows.
    let result = unsafe {
        syscall(
            kernel::__NR_keyctl as c_long,
            KEYCTL_JOIN_SESSION_KEYRING,
            name.map_or(std::ptr::null(), CStr::as_ptr),
        )
    };
    check(result).map(|number| number as i32)
}

/// keyctl(2): who may do what with a key (KEY_POS_… and so on, keyctl_setperm(3)).
pub fn set_key_permissions(key: i32, permissions: u32) -> Result<(), Errno> {
    const KEYCTL_SETPERM: c_long = 5;
    // SAFETY: plain numbers; no memory is involved.
    let result = unsafe {
        syscall(
            kernel::__NR_keyctl as c_long,
            KEYCTL_SETPERM,
            key as c_long,
            permissions as c_long,
        )
    };
    check(result).map(drop)
}

/// `struct loop_info64` of <linux/loop.h>.
#[repr(C)]
pub struct LoopInfo {
    pub device: u64,
    pub inode: u64,
    rdevice: u64,
    pub offset: u64,
    pub size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    pub flags: u32,
    names: [u8; 64 + 64 + 32],
    init: [u64; 2],
}

impl LoopInfo {
    pub fn new() -> LoopInfo {
        // SAFETY: plain numbers, for which zero means "not given".
        unsafe { std::mem::zeroed() }
    }
}

/// `struct loop_config` of <linux/loop.h>.
#[repr(C)]
pub struct LoopConfig {
    pub fd: u32,
    pub block_size: u32,
    pub info: LoopInfo,
    pub reserved: [u64; 8],
}

/// loop(4), LOOP_CTL_GET_FREE: the number of a device that nobody uses, made if there is none.
pub fn free_loop(control: BorrowedFd<'_>) -> Result<u32, Errno> {
    const LOOP_CTL_GET_FREE: c_long = 0x4c82;
    // SAFETY: plain numbers; no memory is involved.
    let result = unsafe {
        syscall(
            kernel::__NR_ioctl as c_long,
            control.as_raw_fd() as c_long,
            LOOP_CTL_GET_FREE,
        )
    };
    check(result).map(|number| number as u32)
}

/// loop(4), LOOP_CONFIGURE (Linux 5.8).
pub fn configure_loop(device: BorrowedFd<'_>, config: &LoopConfig) -> Result<(), Errno> {
    const LOOP_CONFIGURE: c_long = 0x4c0a;
    // SAFETY: the kernel reads a structure of this size, which lives across the call.
    let result = unsafe {
        syscall(
            kernel::__NR_ioctl as c_long,
            device.as_raw_fd() as c_long,
            LOOP_CONFIGURE,
            std::ptr::from_ref(config),
        )
    };
    check(result).map(drop)
}

/// loop(4), LOOP_GET_STATUS64. ENXIO: the device has no file.
pub fn loop_status(device: BorrowedFd<'_>, info: &mut LoopInfo) -> Result<(), Errno> {
    const LOOP_GET_STATUS64: c_long = 0x4c05;
    // SAFETY: the kernel writes a structure of this size, which lives across the call.
    let result = unsafe {
        syscall(
            kernel::__NR_ioctl as c_long,
            device.as_raw_fd() as c_long,
            LOOP_GET_STATUS64,
            std::ptr::from_mut(info),
        )
    };
    check(result).map(drop)
}

/// ioctl(2) with a structure that the kernel reads or writes.
pub fn ioctl<T>(file: BorrowedFd<'_>, request: u32, data: &mut T) -> Result<(), Errno> {
    // SAFETY: the structure lives across the call. The request's number tells its size to the kernel,
    // and whoever has such a number in sys sees to it that both are the same.
    let result = unsafe {
        syscall(
            kernel::__NR_ioctl as c_long,
            file.as_raw_fd() as c_long,
            request as c_long,
            std::ptr::from_mut(data),
        )
    };
    check(result).map(drop)
}

/// quotactl_fd(2), Linux 5.14.
pub fn quotactl_fd<T>(
    file: BorrowedFd<'_>,
    command: u32,
    id: u32,
    data: &mut T,
) -> Result<(), Errno> {
    // SAFETY: the structure lives across the call, and is at least as large as the kernel's for this
    // command (sys::quota has them).
    let result = unsafe {
        syscall(
            kernel::__NR_quotactl_fd as c_long,
            file.as_raw_fd() as c_long,
            command as c_long,
            id as c_long,
            std::ptr::from_mut(data),
        )
    };
    check(result).map(drop)
}
