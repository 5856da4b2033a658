//! The guest: a key-value service on bare ring 3, the workload that `colo run` replicates.
//!
//! It takes requests from one ring, answers into another (`abi.rs` says where they lie), and rings a doorbell when
//! there is nothing left to do. Three promises make it a good witness:
//!
//! * **Exactly once.** A retried request gets the very reply of the first time, and changes nothing.
//! * **One order.** Every applied operation gets the next serial number, and its reply carries it.
//! * **Determinism.** What it does depends on requests and ticks and their order, on nothing else: it may not read a
//!   clock, CPUID, RDTSC, RFLAGS or CS (hardware values would show through), and it takes no interrupts.
//!
//! The host enters at `_start` in long mode, ring 3, with IOPL 3, SSE on, memory mapped one to one and `rsp` 8 below a
//! 16-byte boundary, as after a call. There is no operating system and no exception handler: a fault ends the machine.

#![no_std]
#![no_main]

use core::arch::asm;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU64, Ordering};

#[allow(dead_code, reason = "the host's half of the agreement")]
mod abi;
use abi::{Parameters, Reply, Request, Slot};

/// What the guest knows; lies at [`abi::STATE`], zero at start, and is replicated like all memory.
#[repr(C)]
struct State {
    /// Operations applied.
    serial: u64,
    /// Pages ever dirtied in the working area.
    dirtied: u64,
    clients: [Client; abi::CLIENTS],
    keys: [u64; abi::KEYS],
}

/// A client's latest applied request, by the reply it got (sequence 0: none yet).
#[repr(C, align(64))]
struct Client {
    latest: Reply,
}

const _: () = assert!(abi::STATE + size_of::<State>() as u64 <= abi::IMAGE);

/// Entry point; `link_section` puts it first in the image.
// SAFETY: no other symbol of this name: the program is linked alone, without a C runtime.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
extern "C" fn _start() -> ! {
    // SAFETY: the host has mapped this range, zeroed, and nothing else in the guest refers to it; all-zero is a valid State.
    let state = unsafe { &mut *(abi::STATE as *mut State) };
    let parameters = Parameters::from_slot(read_slot(abi::PARAMETERS));
    loop {
        state.work_off_ticks(&parameters);
        let reason = state.work_off_requests(&parameters);
        out(abi::PORT_DOORBELL, reason);
    }
}

impl State {
    /// Dirties the pages of each tick that the host has given since the last look.
    fn work_off_ticks(&mut self, parameters: &Parameters) {
        let given = load(abi::TICKS_GIVEN);
        while load(abi::TICKS_DONE) != given {
            self.dirty(parameters, parameters.dirty_pages_per_tick);
            store(abi::TICKS_DONE, load(abi::TICKS_DONE).wrapping_add(1));
        }
    }

    /// Answers requests in order until none is left or no reply fits; says which as a doorbell value.
    fn work_off_requests(&mut self, parameters: &Parameters) -> u32 {
        loop {
            let taken = load(abi::REQUESTS_TAKEN);
            if taken == load(abi::REQUESTS_PUT) {
                return abi::DOORBELL_IDLE;
            }
            let put = load(abi::REPLIES_PUT);
            if put.wrapping_sub(load(abi::REPLIES_TAKEN)) >= abi::RING_SLOTS {
                return abi::DOORBELL_REPLY_RING_FULL;
            }
            let request = Request::from_slot(read_slot(abi::slot_address(abi::REQUEST_RING, taken)));
            let reply = self.answer(&request, parameters);
            store(abi::REQUESTS_TAKEN, taken.wrapping_add(1));
            let Some(reply) = reply else { continue };
            write_slot(abi::slot_address(abi::REPLY_RING, put), reply.to_slot());
            store(abi::REPLIES_PUT, put.wrapping_add(1));
            if request.operation == abi::OP_SHUTDOWN && reply.status == abi::STATUS_OK {
                out(abi::PORT_SHUTDOWN, 0);
            }
        }
    }

    /// The reply to a request: the recorded one for a retry, none for an older request, else that of applying it.
    fn answer(&mut self, request: &Request, parameters: &Parameters) -> Option<Reply> {
        let index = usize::try_from(request.client).unwrap_or(usize::MAX);
        let Some(latest) = self.clients.get(index).map(|client| client.latest) else {
            return Some(refusal(request, abi::STATUS_BAD_CLIENT));
        };
        if request.sequence == 0 || request.sequence < latest.sequence {
            return None;
        }
        if request.sequence == latest.sequence {
            return Some(latest);
        }
        let value = match self.apply(request) {
            Ok(value) => value,
            Err(status) => return Some(refusal(request, status)),
        };
        self.serial = self.serial.wrapping_add(1);
        let reply = Reply {
            client: request.client,
            sequence: request.sequence,
            serial: self.serial,
            status: abi::STATUS_OK,
            value,
        };
        if let Some(client) = self.clients.get_mut(index) {
            client.latest = reply;
        }
        self.dirty(parameters, parameters.dirty_pages_per_request);
        Some(reply)
    }

    /// Applies an operation to the keys; an error is the status of the refusal, and nothing has changed.
    fn apply(&mut self, request: &Request) -> Result<u64, u64> {
        if request.operation == abi::OP_SHUTDOWN {
            return Ok(0);
        }
        let index = usize::try_from(request.key).map_err(|_| abi::STATUS_BAD_KEY)?;
        let key = self.keys.get_mut(index).ok_or(abi::STATUS_BAD_KEY)?;
        match request.operation {
            abi::OP_PUT => Ok(core::mem::replace(key, request.value)),
            abi::OP_GET => Ok(*key),
            abi::OP_ADD => {
                *key = key.wrapping_add(request.value);
                Ok(*key)
            }
            _ => Err(abi::STATUS_UNKNOWN_OPERATION),
        }
    }

    /// Writes one word into each of the next `pages` pages of the working area, round and round.
    fn dirty(&mut self, parameters: &Parameters, pages: u64) {
        let area = parameters.work_pages();
        if area == 0 {
            return;
        }
        for _ in 0..pages {
            let page = abi::WORK + self.dirtied % area * abi::PAGE_BYTES;
            self.dirtied = self.dirtied.wrapping_add(1);
            let word = page + self.dirtied % (abi::PAGE_BYTES / 8) * 8;
            store(word, self.dirtied);
        }
    }
}

/// The answer to a request that changes nothing: no serial number, and not recorded, so a retry gets it again.
fn refusal(request: &Request, status: u64) -> Reply {
    Reply { client: request.client, sequence: request.sequence, serial: 0, status, value: 0 }
}

/// The shared word at `address`.
fn word(address: u64) -> &'static AtomicU64 {
    // SAFETY: callers pass an aligned address of the ABI's counters or of the working area: mapped, and never borrowed.
    unsafe { AtomicU64::from_ptr(address as *mut u64) }
}

fn load(address: u64) -> u64 {
    word(address).load(Ordering::Acquire)
}

fn store(address: u64, value: u64) {
    word(address).store(value, Ordering::Release);
}

fn read_slot(address: u64) -> Slot {
    // SAFETY: callers pass the address of a slot or of the parameters: mapped, aligned to 64 bytes, any bits are valid.
    unsafe { read_volatile(address as *const Slot) }
}

fn write_slot(address: u64, slot: Slot) {
    // SAFETY: callers pass the address of a slot of the reply ring: mapped, aligned to 64 bytes, never borrowed.
    unsafe { write_volatile(address as *mut Slot, slot) }
}

/// Leaves to the host, which comes back when it has something to say.
fn out(port: u16, value: u32) {
    // SAFETY: port output changes nothing in the guest; the host may write memory meanwhile, hence no `nomem`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags)) }
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
