//! For builds with panic=abort that have no unwinder to link (`--cfg unwind_stub`, set by
//! scripts/build): std's backtrace code refers to these. With them a backtrace is empty.

use core::ffi::c_void;

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
