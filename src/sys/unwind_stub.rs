//! For builds with panic=abort that have no unwinder to link (`--cfg unwind_stub`, set by
//! scripts/build): std's backtrace code refers to these. With them a backtrace is empty. And a
//! function of libc in a shorter form.

use core::ffi::{CStr, c_char, c_void};

/// std names its threads through this. musl's own can name any thread, by a path below /proc, and
/// so brings printf into the binary (12 KiB); std only ever names the calling thread.
// SAFETY: the linker takes libc's only where nobody else defines the symbol, and this does what
// pthread_setname_np(3) says for the one thread that it is called for.
#[unsafe(no_mangle)]
extern "C" fn pthread_setname_np(_thread: *mut c_void, name: *const c_char) -> i32 {
    // SAFETY: std passes a string that ends with a zero byte and outlives the call.
    let name = unsafe { CStr::from_ptr(name) };
    rustix::thread::set_name(name).map_or_else(|errno| errno.raw_os_error(), |()| 0)
}

// SAFETY: the symbol is the unwinder's own; nothing else in the program defines it.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_callback: *const c_void, _argument: *mut c_void) -> i32 {
    // _URC_END_OF_STACK
    5
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetIP(_context: *mut c_void) -> usize {
    0
}

/// The ARM EHABI's names for the same.
#[cfg(target_arch = "arm")]
mod arm {
    use core::ffi::c_void;

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn _Unwind_VRS_Get(
        _context: *mut c_void,
        _class: i32,
        _register: u32,
        _representation: i32,
        _value: *mut c_void,
    ) -> i32 {
        // _UVRSR_NOT_IMPLEMENTED
        1
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn __aeabi_unwind_cpp_pr0() {}
    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn __aeabi_unwind_cpp_pr1() {}
    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn __aeabi_unwind_cpp_pr2() {}
}
