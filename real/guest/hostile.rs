//! The guest `hostile`: answers requests like `kv`, and from a certain tick on misbehaves, in the one way that it is told.
//!
//! For tests only: whatever it does harms its own protection, and nothing else.

#![no_std]
#![no_main]

#[allow(dead_code, reason = "the host's half of the agreement")]
mod abi;
mod bare;
#[macro_use]
mod entry;
#[allow(dead_code, reason = "the host's half of the agreement")]
mod misdeed;
mod service;
mod wrong_card;
mod writer;

use abi::Parameters;
use bare::{load, out, read_slot, store, write_slot};
use core::arch::asm;
use misdeed::Misdeed;
use service::Service;
use writer::{Writer, work_off_ticks};
use wrong_card::WrongCard;

/// The page directory of the first GiB: the PML4 and one PDPT stand before it.
const DIRECTORY: u64 = abi::PAGE_TABLES + 2 * abi::PAGE_BYTES;
/// Bytes that an entry of it maps.
const LARGE_PAGE_BYTES: u64 = 2 << 20;
/// Present, writable, user, accessed, dirty, and no table behind it.
const LARGE_PAGE: u64 = 0xe7;
/// Where nothing is mapped, whatever memory there is.
const UNMAPPED: u64 = 1 << 40;
/// The MSR that says where system calls go.
const LSTAR: u32 = 0xc000_0082;
/// Words from the host's counters to the end of both rings.
const SHARED_WORDS: u64 = (abi::REPLY_RING + abi::RING_SLOTS * abi::SLOT_BYTES - abi::REQUESTS_PUT) / 8;

/// What the guest knows.
#[repr(C)]
struct State {
    service: Service,
    writer: Writer,
    card: WrongCard,
}

fn turn(state: &mut State, parameters: &Parameters) -> u32 {
    let misdeed = usize::try_from(parameters.misdeed).ok().and_then(|number| Misdeed::ALL.get(number));
    if let Some(misdeed) = misdeed.filter(|_| load(abi::TICKS_GIVEN) >= misdeed::FIRST_TICK) {
        if misdeed.takes_a_card() {
            state.card.misbehave(*misdeed, parameters);
        } else {
            misbehave(*misdeed, parameters);
        }
        // What has been done to the counters is the host's to find out, not the service's.
        if !goes_on_serving(*misdeed) {
            return abi::DOORBELL_IDLE;
        }
    }
    work_off_ticks(&mut state.writer, parameters);
    state.service.work_off_requests(&mut state.writer, parameters)
}

entry!(State, turn);

/// Whether it answers requests all the same.
const fn goes_on_serving(misdeed: Misdeed) -> bool {
    use Misdeed::{
        AlwaysAwake, CallsTheHypervisor, OutputJumps, OutputWraps, SendsUnasked, TimeEnds, WakesAtTheEndOfTime,
    };
    matches!(
        misdeed,
        AlwaysAwake
            | CallsTheHypervisor
            | OutputJumps
            | OutputWraps
            | SendsUnasked
            | TimeEnds
            | WakesAtTheEndOfTime
    )
}

fn misbehave(misdeed: Misdeed, parameters: &Parameters) {
    let (put, taken) = (load(abi::REPLIES_PUT), load(abi::REPLIES_TAKEN));
    match misdeed {
        Misdeed::RepliesBeyondTheRing => store(abi::REPLIES_PUT, taken.wrapping_add(abi::RING_SLOTS + 1)),
        Misdeed::RepliesGoBack => store(abi::REPLIES_PUT, taken.wrapping_sub(1)),
        Misdeed::RepliesAtTheEndOfNumbers => store(abi::REPLIES_PUT, u64::MAX),
        Misdeed::RequestsTakenAhead => store(abi::REQUESTS_TAKEN, load(abi::REQUESTS_PUT).wrapping_add(1)),
        Misdeed::RequestsOfItsOwn => store(abi::REQUESTS_PUT, u64::MAX),
        Misdeed::OutputJumps if put < 1 << 32 => put_output_at(1 << 63),
        Misdeed::OutputWraps if put < 1 << 32 => put_output_at(u64::MAX),
        Misdeed::RepliesWithoutEnd => {
            (0..abi::RING_SLOTS).for_each(|n| write_slot(abi::slot_address(abi::REPLY_RING, n), [0; 8]));
            store(abi::REPLIES_PUT, taken.wrapping_add(abi::RING_SLOTS));
        }
        // As many as it has ever given, from the first on: the ring holds them.
        Misdeed::RepeatsItself if put == taken => {
            let given = put.min(abi::RING_SLOTS);
            store(abi::REPLIES_PUT, put.wrapping_add(given));
            for n in 0..given {
                let slot = read_slot(abi::slot_address(abi::REPLY_RING, put.wrapping_sub(given) + n));
                write_slot(abi::slot_address(abi::REPLY_RING, put.wrapping_add(n)), slot);
            }
        }
        Misdeed::ScribblesOverTheRings => scribble(),
        Misdeed::RingsInOneInstruction => ring_in_one_instruction(),
        Misdeed::UnknownDoorbell => out(abi::PORT_DOORBELL, 77),
        Misdeed::StrangePort => out(0x999, 1),
        Misdeed::Panics => out(abi::PORT_PANIC, u32::MAX),
        Misdeed::ShutsDown => {
            store(abi::REQUESTS_TAKEN, load(abi::REQUESTS_PUT));
            out(abi::PORT_SHUTDOWN, 0);
        }
        Misdeed::ReadsUnmapped => drop_word(load(UNMAPPED)),
        Misdeed::ReadsBeyondMemory => drop_word(load(map_beyond_memory(parameters))),
        Misdeed::WritesBeyondMemory => store(map_beyond_memory(parameters), 1),
        Misdeed::ClearsItsPageTables => clear_page_tables(),
        Misdeed::AlwaysAwake => store(abi::NEXT_US, 1),
        Misdeed::WakesAtTheEndOfTime => store(abi::NEXT_US, u64::MAX),
        Misdeed::TimeEnds => {
            store(abi::NEXT_US, u64::MAX);
            store(abi::TIME_US, u64::MAX);
        }
        Misdeed::Spins => loop {
            core::hint::spin_loop();
        },
        Misdeed::OutputJumps
        | Misdeed::OutputWraps
        | Misdeed::RepeatsItself
        | Misdeed::RingsWithoutEnd => {}
        other => execute(other, parameters),
    }
}

/// What is done by an instruction that no program of the others has.
fn execute(misdeed: Misdeed, parameters: &Parameters) {
    // SAFETY: nothing is; each ends the guest, or does nothing. What the host makes of it is what is tested.
    unsafe {
        match misdeed {
            Misdeed::NarrowDoorbell => asm!("out dx, al", in("dx") abi::PORT_DOORBELL, in("al") 0_u8),
            Misdeed::StringToAStrangePort => {
                asm!("rep outsb", in("dx") 0x999_u16, inout("rcx") 4096_u64 => _, inout("rsi") abi::WORK => _);
            }
            Misdeed::ReadsTheDoorbell => asm!("in eax, dx", in("dx") abi::PORT_DOORBELL, out("eax") _),
            Misdeed::WritesOverItself => {
                let words = parameters.memory_bytes / 8;
                asm!("rep stosq", inout("rcx") words => _, inout("rdi") 0_u64 => _, in("rax") u64::MAX);
            }
            Misdeed::Undefined => asm!("ud2"),
            Misdeed::DividesByZero => asm!("div ecx", in("ecx") 0, inout("eax") 1 => _, inout("edx") 0 => _),
            Misdeed::Interrupts => asm!("int 0x80"),
            Misdeed::SingleSteps => asm!("pushfq", "or dword ptr [rsp], 0x100", "popfq"),
            Misdeed::Halts => asm!("hlt"),
            Misdeed::WritesAnMsr => asm!("wrmsr", in("ecx") LSTAR, in("eax") 0, in("edx") 0),
            Misdeed::LoadsPageTables => asm!("mov cr3, {0}", in(reg) abi::WORK),
            Misdeed::LoadsADescriptorTable => asm!("lidt [{0}]", in(reg) abi::WORK),
            Misdeed::CallsTheSystem => call_the_system(),
            Misdeed::CallsTheHypervisor => asm!("vmmcall", inout("rax") u64::MAX => _),
            _ => {}
        }
    }
}

/// Both counters of replies agree, at a place that the host knows nothing of.
fn put_output_at(place: u64) {
    store(abi::REPLIES_TAKEN, place);
    store(abi::REPLIES_PUT, place);
}

/// Over and over, something else each time.
fn scribble() {
    let mut number = 0_u64;
    loop {
        for word in 0..SHARED_WORDS {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            store(abi::REQUESTS_PUT + word * 8, number);
        }
    }
}

/// As often as a register can count.
fn ring_in_one_instruction() {
    // SAFETY: it reads the first word of the working area, where there is one; the direction flag makes it stay there
    // or not, and what it reads is a doorbell value, or none.
    unsafe {
        asm!("rep outsd", in("dx") abi::PORT_DOORBELL, inout("rcx") u64::MAX => _, inout("rsi") abi::WORK => _);
    }
}

/// Gives itself a page directly behind the end of its memory; its address.
fn map_beyond_memory(parameters: &Parameters) -> u64 {
    let end = parameters.memory_bytes;
    store(DIRECTORY + end / LARGE_PAGE_BYTES * 8, end | LARGE_PAGE);
    end
}

/// What was mapped may be known to the processor for a while.
fn clear_page_tables() {
    for word in 0..abi::PAGE_BYTES * 3 / 8 {
        store(abi::PAGE_TABLES + word * 8, 0);
    }
    loop {
        out(abi::PORT_DOORBELL, abi::DOORBELL_IDLE);
    }
}

/// Where a system call goes that nobody has told where to go, it finds `hlt`, which only ring 0 may.
fn call_the_system() {
    const HLT: u64 = 0xf4f4_f4f4_f4f4_f4f4;
    // SAFETY: nothing is; the page is mapped, and nobody else looks at it.
    unsafe {
        asm!("mov qword ptr [0], {0}", "syscall", in(reg) HLT, out("rcx") _, out("r11") _);
    }
}

/// The value does not matter, but that it was read does.
fn drop_word(_: u64) {}
