//! For builds with panic=abort that have no unwinder to link (`--cfg unwind_stub`, set by
//! scripts/build): std's backtrace code refers to these. With them a backtrace is empty. And
//! functions of libc in a shorter form.

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

/// C's memory out of the program's own allocator: musl's would be a second one (9 kB), for a few
/// lists of addresses and buffers of files.
mod memory {
    use core::ffi::c_void;
    use core::ptr::null_mut;
    use std::alloc::{Layout, alloc_zeroed, dealloc, realloc as change};

    /// What stands in front of the memory that is handed out: its alignment and its length.
    type Head = (usize, usize);
    /// Alignment of any C type.
    const ALIGN: usize = 16;

    /// A block for `size` bytes with the head before them, which takes as much as the alignment.
    fn layout((align, size): Head) -> Option<Layout> {
        Layout::from_size_align(size.checked_add(align)?, align).ok()
    }

    fn allot(head: Head) -> *mut c_void {
        let Some(layout) = layout(head) else {
            return null_mut();
        };
        // SAFETY: the size is not zero, as the alignment is in it.
        let block = unsafe { alloc_zeroed(layout) };
        // SAFETY: the block is as `layout` says, or null.
        unsafe { mark(block, head) }
    }

    /// # Safety
    /// `block` is null or has the layout of `head`.
    unsafe fn mark(block: *mut u8, head: Head) -> *mut c_void {
        if block.is_null() {
            return null_mut();
        }
        // SAFETY: within the block, and aligned, as `ALIGN` is a multiple of a head's size.
        unsafe {
            let memory = block.add(head.0);
            memory.cast::<Head>().sub(1).write(head);
            memory.cast()
        }
    }

    /// # Safety
    /// `memory` comes from `allot`.
    unsafe fn block(memory: *mut c_void) -> (*mut u8, Head) {
        // SAFETY: `mark` wrote it there.
        unsafe {
            let head = memory.cast::<Head>().sub(1).read();
            (memory.cast::<u8>().sub(head.0), head)
        }
    }

    // SAFETY: here and below: the linker takes libc's only where nobody else defines the symbol, and
    // these do what malloc(3) and aligned_alloc(3) say.
    #[unsafe(no_mangle)]
    extern "C" fn malloc(size: usize) -> *mut c_void {
        allot((ALIGN, size))
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
        let size = count.checked_mul(size);
        size.map_or(null_mut(), |size| allot((ALIGN, size)))
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
        allot((align.max(ALIGN), size))
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn free(memory: *mut c_void) {
        if memory.is_null() {
            return;
        }
        // SAFETY: the caller has it from us.
        let (block, head) = unsafe { block(memory) };
        if let Some(layout) = layout(head) {
            // SAFETY: it was made with this layout.
            unsafe { dealloc(block, layout) }
        }
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn realloc(memory: *mut c_void, size: usize) -> *mut c_void {
        if memory.is_null() {
            return malloc(size);
        }
        // SAFETY: the caller has it from us.
        let (block, head) = unsafe { block(memory) };
        let new = (head.0, size);
        let (Some(old), Some(wanted)) = (layout(head), layout(new)) else {
            return null_mut();
        };
        // SAFETY: it was made with the old layout, and the new one differs in size only.
        unsafe { mark(change(block, old, wanted.size()), new) }
    }
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
