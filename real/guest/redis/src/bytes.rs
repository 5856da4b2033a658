//! What the compiler takes for granted of a C library beside what `bare.rs` has: to move bytes, and to compare them.

use core::arch::asm;

/// # Safety
/// As for `core::ptr::copy` on bytes.
// SAFETY: the C library's signature and meaning, and no other symbol of this name in the program.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= bytes {
        // SAFETY: the caller vouches for both ranges; forward, no byte is overwritten before it has been read. The direction
        // flag is clear by the calling convention.
        unsafe {
            asm!("rep movsb", inout("rcx") bytes => _, inout("rdi") to => _, inout("rsi") from => _,
                 options(nostack, preserves_flags));
        }
    } else {
        // SAFETY: likewise, backward from the last byte, of which there is one: the ranges overlap. The flag is as it was.
        unsafe {
            asm!("std", "rep movsb", "cld", inout("rcx") bytes => _,
                 inout("rdi") to.wrapping_add(bytes).wrapping_sub(1) => _,
                 inout("rsi") from.wrapping_add(bytes).wrapping_sub(1) => _, options(nostack));
        }
    }
    to
}

/// # Safety
/// Both ranges can be read.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, bytes: usize) -> i32 {
    let (mut a, mut b): (u32, u32) = (0, 0);
    if bytes != 0 {
        // SAFETY: the caller vouches for both ranges, and behind the comparison each pointer is behind a byte of its range:
        // the first that differs, or the last.
        unsafe {
            asm!("repe cmpsb", "movzx {a:e}, byte ptr [rsi - 1]", "movzx {b:e}, byte ptr [rdi - 1]",
                 a = out(reg) a, b = out(reg) b, inout("rcx") bytes => _, inout("rsi") one => _,
                 inout("rdi") other => _, options(nostack, readonly));
        }
    }
    // Each is a byte.
    a.cast_signed() - b.cast_signed()
}

/// # Safety
/// As for `memcmp`.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, bytes: usize) -> i32 {
    // SAFETY: the caller vouches for the same.
    unsafe { memcmp(one, other, bytes) }
}
