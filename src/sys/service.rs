//! Telling the service manager how we are (sd_notify(3)).

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// Send `state`, such as `READY=1`, to whom NOTIFY_SOCKET names: a path, or behind `@` a name in the
/// abstract space. Nobody has to listen.
pub fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name),
        path => SocketAddrUnix::new(path),
    };
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    );
    if let (Ok(address), Ok(socket)) = (address, socket) {
        // A manager that does not read must not hold us up.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let _ = rustix::net::sendto(socket, state.as_bytes(), flags, &address);
    }
}

/// In which time the manager wants a sign of life of this process; `None` if it wants none
/// (sd_watchdog_enabled(3)).
pub fn watchdog_time() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let time = number("WATCHDOG_USEC").filter(|time| is_ours && *time > 0)?;
    Some(Duration::from_micros(time))
}

/// RELOADING=1 wants the time of the monotonic clock with it, in microseconds.
pub fn notify_reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}
