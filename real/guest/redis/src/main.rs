//! The guest `redis`: the service on bare ring 3, with a card.
//!
//! Like all guests here it is **deterministic**: what it does depends on the frames that the card gives, on ticks, on the time
//! that the host has written, and on their order, on nothing else. It begins empty whenever it begins, and so after a reset.
//!
//! It handles one frame at a time and counts it when all that comes of it is in the transmit queue. It never waits for the card
//! by looking: it leaves to the host, which comes back when there is something.

#![no_std]
#![no_main]

extern crate alloc;

#[allow(dead_code, unreachable_pub, reason = "the agreement, of which a guest needs a part")]
#[path = "../../abi.rs"]
mod abi;
#[allow(
    dead_code,
    clippy::pedantic,
    clippy::while_immutable_condition,
    reason = "as for the other guests, which clippy does not see"
)]
#[path = "../../bare.rs"]
mod bare;
mod bytes;
mod card;
mod heap;
#[allow(dead_code, clippy::pedantic, reason = "likewise; and this guest has no rate")]
#[path = "../../writer.rs"]
mod writer;

use abi::{CardParameters, Parameters};
use bare::{load, store};
use card::Card;
use colo_guest_redis::{Address, Limits, Service};
use core::arch::asm;
use smoltcp::wire::Ipv4Address;
use writer::Writer;

/// Entry point; `link_section` puts it first in the image.
// SAFETY: no other symbol of this name: the program is linked alone, without a C runtime.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
extern "C" fn _start() -> ! {
    // SAFETY: the range is the program's own, by its linker script, and nothing refers to it yet; the direction flag is clear.
    unsafe {
        asm!("lea rdi, [rip + BSS]", "lea rcx, [rip + BSS_END]", "sub rcx, rdi", "rep stosb",
             in("eax") 0, out("rdi") _, out("rcx") _, options(nostack));
    }
    run()
}

/// Begins, and goes round and round.
#[inline(never)]
fn run() -> ! {
    store(abi::FRAMES_TAKEN, 0);
    store(abi::NEXT_US, 0);
    let parameters = Parameters::from_slot(bare::read_slot(abi::PARAMETERS));
    let (dirtied, heap_bytes) = heap::begin(&parameters);
    let mut guest = Guest::new(heap_bytes, dirtied);
    loop {
        guest.turn();
        bare::mind_buttons();
        bare::out(abi::PORT_DOORBELL, abi::DOORBELL_IDLE);
    }
}

/// What the guest knows.
struct Guest {
    service: Service,
    card: Card,
    /// Who writes for the host's ticks, and where.
    writer: Writer,
    dirtied: Parameters,
}

impl Guest {
    /// Sets up the card, and a service behind it.
    fn new(heap_bytes: usize, dirtied: Parameters) -> Self {
        let mut card = Card::new();
        let limits = Limits::of_heap(heap_bytes.saturating_sub(card::BYTES));
        let network = CardParameters::from_slot(bare::read_slot(abi::CARD_PARAMETERS));
        let service = Service::new(&address(&network, &card), &limits, &mut card, load(abi::TIME_US));
        Self { service, card, writer: Writer::default(), dirtied }
    }

    /// Does what there is to do, and says when there will be more.
    fn turn(&mut self) {
        let now_us = load(abi::TIME_US);
        writer::work_off_ticks(&mut self.writer, &self.dirtied);
        while self.card.has_frame() {
            self.take_frame();
        }
        self.send();
        store(abi::NEXT_US, self.service.next_us(now_us).unwrap_or(0));
    }

    /// One frame, and all that comes of it.
    fn take_frame(&mut self) {
        while !self.card.has_room() {
            self.card.empty();
        }
        self.service.take_frame(load(abi::TIME_US), &mut self.card);
        self.card.done_with_frame();
        self.send_rest();
        store(abi::FRAMES_TAKEN, load(abi::FRAMES_TAKEN).wrapping_add(1));
    }

    /// What is to be sent at this time though nothing has come.
    fn send(&mut self) {
        self.card.reclaim();
        self.service.send(load(abi::TIME_US), &mut self.card);
        self.send_rest();
    }

    /// What the card had no room for.
    fn send_rest(&mut self) {
        while !self.card.has_room() {
            self.card.empty();
            self.service.send(load(abi::TIME_US), &mut self.card);
        }
    }
}

/// Where the service is: what the host has said, so far as it can be so.
fn address(network: &CardParameters, card: &Card) -> Address {
    let number = |value: u64, what: &str| u32::try_from(value).unwrap_or_else(|_| panic!("no {what}"));
    Address {
        hardware: card.address(),
        ip: Ipv4Address::from(number(network.address, "address")),
        prefix_bits: u8::try_from(network.prefix_bits).unwrap_or(0).min(32),
        port: u16::try_from(network.port).unwrap_or(0),
        seed: network.seed,
    }
}
