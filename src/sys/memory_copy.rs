//! memcpy and memmove for x86_64. musl's use `rep movsq` for everything, which takes some twenty
//! nanoseconds to begin with: the few bytes that inflating copies at a time took a fifth of all the
//! time of unpacking. (Its versions for ARM are good.)
//!
//! Bytes are loaded before any of them is overwritten, wherever source and destination overlap: up to
//! 32 all of them; above, sixteen at a time in the direction that keeps ahead, and the last sixteen
//! before the loop begins.

use core::arch::global_asm;

global_asm!(
    ".globl tug_memmove",
    ".type tug_memmove, @function",
    "tug_memmove:",
    "mov rax, rdi",
    "cmp rdx, 16",
    "jb 2f",
    "cmp rdx, 32",
    "ja 6f",
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + rdx - 16], xmm1",
    "ret",
    // Fewer than 16.
    "2: cmp edx, 8",
    "jae 4f",
    "cmp edx, 4",
    "jae 3f",
    "test edx, edx",
    "jz 5f",
    "movzx ecx, byte ptr [rsi]",
    "movzx r8d, byte ptr [rsi + rdx - 1]",
    "mov r9d, edx",
    "shr r9d, 1",
    "movzx r10d, byte ptr [rsi + r9]",
    "mov [rdi], cl",
    "mov [rdi + r9], r10b",
    "mov [rdi + rdx - 1], r8b",
    "5: ret",
    "3: mov ecx, [rsi]",
    "mov r8d, [rsi + rdx - 4]",
    "mov [rdi], ecx",
    "mov [rdi + rdx - 4], r8d",
    "ret",
    "4: mov rcx, [rsi]",
    "mov r8, [rsi + rdx - 8]",
    "mov [rdi], rcx",
    "mov [rdi + rdx - 8], r8",
    "ret",
    // More than 32: does the destination begin within the source?
    "6: mov rcx, rdi",
    "sub rcx, rsi",
    "cmp rcx, rdx",
    "jb 8f",
    "cmp rdx, 2048",
    "jae 9f",
    "movups xmm1, [rsi + rdx - 16]",
    "lea r8, [rdi + rdx - 16]",
    "7: movups xmm0, [rsi]",
    "movups [rdi], xmm0",
    "add rsi, 16",
    "add rdi, 16",
    "cmp rdi, r8",
    "jb 7b",
    "movups [r8], xmm1",
    "ret",
    // It does: from the end.
    "8: movups xmm1, [rsi]",
    "add rsi, rdx",
    "lea r8, [rdi + rdx]",
    "lea r9, [rdi + 16]",
    "8: movups xmm0, [rsi - 16]",
    "movups [r8 - 16], xmm0",
    "sub rsi, 16",
    "sub r8, 16",
    "cmp r8, r9",
    "ja 8b",
    "movups [rdi], xmm1",
    "ret",
    "9: mov rcx, rdx",
    "rep movsb",
    "ret",
    ".size tug_memmove, . - tug_memmove",
);

// The linker takes libc's only where nobody else defines them.
#[cfg(unwind_stub)]
global_asm!(
    ".globl memcpy",
    ".globl memmove",
    "memcpy = tug_memmove",
    "memmove = tug_memmove",
);

#[cfg(test)]
mod tests {
    unsafe extern "C" {
        fn tug_memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8;
    }

    fn moved(buffer: &mut [u8], from: usize, to: usize, count: usize) {
        assert!(from + count <= buffer.len() && to + count <= buffer.len());
        let start = buffer.as_mut_ptr();
        // SAFETY: both ranges lie in the buffer, as was just checked.
        let answer = unsafe { tug_memmove(start.add(to), start.add(from), count) };
        // SAFETY: as above.
        assert_eq!(answer, unsafe { start.add(to) });
    }

    #[test]
    fn bytes_arrive_whatever_their_number_and_however_the_places_overlap() {
        let fresh: Vec<u8> = (0..9000u32).map(|n| ((n * 167) >> 3) as u8).collect();
        let counts = (0..150).chain([255, 256, 257, 1000, 2047, 2048, 2049, 4095]);
        for count in counts {
            let distances = (0..70).chain([127, 128, 129, 1000, 2048, 4500]);
            for distance in distances {
                for (from, to) in [(7, 7 + distance), (7 + distance, 7)] {
                    let (mut ours, mut theirs) = (fresh.clone(), fresh.clone());
                    theirs.copy_within(from..from + count, to);
                    moved(&mut ours, from, to, count);
                    assert!(ours == theirs, "{count} bytes from {from} to {to}");
                }
            }
        }
    }
}
