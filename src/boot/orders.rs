//! What PID 1 is asked for: by signal, as every init is, and by whoever sends one.

use crate::boot::dir;
use crate::error::{Error, Result};
use crate::sys::power::End;
use crate::sys::signal::{self, SIGRTMIN};
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    End(End),
    /// Stop what was started, and leave: as the child of another init.
    Leave,
    /// Read the plan again.
    Reload,
    /// The engine says that a pass is over.
    PassDone,
    /// A child has ended.
    Reap,
}

/// busybox's init and systemd's, which have no number in common that means two things. Ctrl-Alt-Del
/// is SIGINT.
const ORDERS: [(i32, Order); 11] = [
    (signal::SIGCHLD, Order::Reap),
    (signal::SIGURG, Order::PassDone),
    (signal::SIGHUP, Order::Reload),
    (signal::SIGTERM, Order::End(End::Reboot)),
    (signal::SIGINT, Order::End(End::Reboot)),
    (signal::SIGUSR1, Order::End(End::Halt)),
    (signal::SIGUSR2, Order::End(End::PowerOff)),
    (signal::SIGPWR, Order::End(End::PowerOff)),
    (SIGRTMIN + 3, Order::End(End::Halt)),
    (SIGRTMIN + 4, Order::End(End::PowerOff)),
    (SIGRTMIN + 5, Order::End(End::Reboot)),
];

/// Below another init SIGTERM and SIGINT mean us and not the machine, and the others nothing.
pub fn of(number: i32, is_init: bool) -> Option<Order> {
    let (_, order) = ORDERS.into_iter().find(|(known, _)| *known == number)?;
    match order {
        Order::End(_) if is_init => Some(order),
        Order::End(_) if matches!(number, signal::SIGTERM | signal::SIGINT) => Some(Order::Leave),
        Order::End(_) => None,
        order => Some(order),
    }
}

/// All that are heard.
pub fn signals() -> signal::Set {
    ORDERS
        .iter()
        .fold(signal::Set::EMPTY, |set, (number, _)| set.with(*number))
}

/// What `ps` shows of whoever may be sent orders. Any other process of that number is a stranger.
pub const NAME: &std::ffi::CStr = c"tug-boot";

/// Have the machine end, or the plan read again.
pub fn send(exec_root: &Path, order: Order) -> Result<()> {
    let pid = watcher(exec_root)?;
    if pid != 1 && matches!(order, Order::End(_)) {
        return Err(Error::conflict(
            "another init has this machine: ask that one (systemctl, openrc-shutdown, busybox poweroff)",
        ));
    }
    let number = ORDERS.iter().rev().find(|(_, known)| *known == order);
    number.map_or(Ok(()), |(number, _)| signal::kill(pid, *number))
}

/// The process of `tug boot`.
fn watcher(exec_root: &Path) -> Result<i32> {
    let noted = std::fs::read_to_string(dir(exec_root).join("pid")).unwrap_or_default();
    let pid = noted.trim().parse::<i32>().ok().filter(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim_end().as_bytes() == NAME.to_bytes()
    });
    pid.ok_or_else(|| {
        Error::not_found(format!(
            "no tug boot runs here (of {})",
            exec_root.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_mean_what_they_mean_to_other_inits() {
        for (number, expected) in [
            (10, Some(Order::End(End::Halt))),
            (12, Some(Order::End(End::PowerOff))),
            (15, Some(Order::End(End::Reboot))),
            (2, Some(Order::End(End::Reboot))),
            (30, Some(Order::End(End::PowerOff))),
            (37, Some(Order::End(End::Halt))),
            (38, Some(Order::End(End::PowerOff))),
            (39, Some(Order::End(End::Reboot))),
            (1, Some(Order::Reload)),
            (3, None),
        ] {
            assert_eq!(of(number, true), expected, "{number}");
        }
        assert_eq!(of(15, false), Some(Order::Leave));
        assert_eq!(of(12, false), None);
        assert_eq!(of(23, false), Some(Order::PassDone));
    }
}
