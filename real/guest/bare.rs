//! What a guest has instead of an operating system and a C library: words and slots in memory, doorbells, and the end.

use super::abi::{self, Slot};
use core::arch::asm;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU64, Ordering};

/// The shared word at `address`.
fn word(address: u64) -> &'static AtomicU64 {
    // SAFETY: callers pass an aligned address of the ABI's counters or of the working area: mapped, and never borrowed.
    unsafe { AtomicU64::from_ptr(address as *mut u64) }
}

/// What is in a word.
pub(crate) fn load(address: u64) -> u64 {
    word(address).load(Ordering::Acquire)
}

/// Puts something into a word.
pub(crate) fn store(address: u64, value: u64) {
    word(address).store(value, Ordering::Release);
}

/// What is in a slot.
pub(crate) fn read_slot(address: u64) -> Slot {
    // SAFETY: callers pass the address of a slot or of the parameters: mapped, aligned to 64 bytes, any bits are valid.
    unsafe { read_volatile(address as *const Slot) }
}

/// Puts something into a slot.
pub(crate) fn write_slot(address: u64, slot: Slot) {
    // SAFETY: callers pass the address of a slot of the reply ring: mapped, aligned to 64 bytes, never borrowed.
    unsafe { write_volatile(address as *mut Slot, slot) }
}

/// Leaves to the host, which comes back when it has something to say.
pub(crate) fn out(port: u16, value: u32) {
    // SAFETY: port output changes nothing in the guest; the host may write memory meanwhile, hence no `nomem`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags)) }
}

/// Asks the host for what its buttons were pressed for. It is called between two requests: nothing is half done in a machine
/// that is reset.
#[allow(dead_code, reason = "the hostile guest minds nothing")]
pub(crate) fn mind_buttons() {
    mind(abi::POWER_PRESSED, abi::POWER_MINDED, abi::PORT_SHUTDOWN);
    mind(abi::RESET_PRESSED, abi::RESET_MINDED, abi::PORT_RESET);
}

/// Once for all presses that there have been.
fn mind(pressed: u64, minded: u64, port: u16) {
    let presses = load(pressed);
    if presses != load(minded) {
        store(minded, presses);
        out(port, 0);
    }
}

/// Ends the machine if a check of the guest's own fails; the host is told the line.
#[allow(dead_code, reason = "not every guest has something to check")]
pub(crate) fn check(holds: bool, line: u32) {
    while !holds {
        out(abi::PORT_PANIC, line);
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    loop {
        out(abi::PORT_PANIC, info.location().map_or(0, core::panic::Location::line));
    }
}

/// The compiler may turn copies into calls of this one; there is no C library to have it.
///
/// # Safety
/// As for `core::ptr::copy_nonoverlapping` on bytes.
// SAFETY: the C library's signature and meaning, and no other symbol of this name in the program.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8 {
    // SAFETY: the caller vouches for both ranges; the direction flag is clear by the calling convention.
    unsafe {
        asm!("rep movsb", inout("rcx") bytes => _, inout("rdi") to => _, inout("rsi") from => _,
             options(nostack, preserves_flags));
    }
    to
}

/// Likewise for filling.
///
/// # Safety
/// As for `core::ptr::write_bytes` on bytes.
// SAFETY: the C library's signature and meaning, and no other symbol of this name in the program.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, bytes: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the range; the direction flag is clear by the calling convention.
    unsafe {
        asm!("rep stosb", inout("rcx") bytes => _, inout("rdi") to => _, in("eax") byte,
             options(nostack, preserves_flags));
    }
    to
}
