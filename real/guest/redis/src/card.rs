//! The card: the two queues of `virtio-drivers`, buffers for them, and the stack's view of both.
//!
//! The host does not interrupt and takes frames whenever the guest leaves to it, for whatever reason. What it has taken gives
//! back its buffer.

use crate::{abi, bare};
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::NonNull;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Entries of each queue, and buffers for it.
const ENTRIES: usize = abi::CARD_QUEUE_ENTRIES as usize;
/// Bytes of a buffer: the card's header and a frame, and no buffer straddles two pages.
const BUFFER_BYTES: usize = 2048;
/// Bytes of the card's registers, with its configuration.
const REGISTER_BYTES: usize = 0x200;

/// What the card's buffers and queues take of the heap, bytes, generously.
pub(crate) const BYTES: usize = 2 * ENTRIES * BUFFER_BYTES + 16 * PAGE_SIZE;

type Driver = VirtIONetRaw<Bare, MmioTransport<'static>, ENTRIES>;

/// Memory as it is on this machine: mapped one to one, and all of it the card's to see.
struct Bare;

/// So many pages, which begin at one.
fn pages(pages: usize) -> Layout {
    Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).unwrap_or(Layout::new::<u8>())
}

// SAFETY: allocations are of the size and alignment asked for, zeroed, and their own until they are given back; an address is the
// same to the card as to the program.
unsafe impl Hal for Bare {
    fn dma_alloc(count: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: the driver asks for at least a page.
        let address = unsafe { alloc_zeroed(pages(count)) };
        let Some(address) = NonNull::new(address) else { panic!("no memory for the card") };
        (address.as_ptr() as PhysAddr, address)
    }

    unsafe fn dma_dealloc(_: PhysAddr, address: NonNull<u8>, count: usize) -> i32 {
        // SAFETY: the driver gives back what it was given.
        unsafe { dealloc(address.as_ptr(), pages(count)) };
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// Buffers for a queue.
struct Buffers {
    memory: &'static mut [[u8; BUFFER_BYTES]],
    /// Which of them lies in the queue under each token.
    in_queue: [usize; ENTRIES],
}

impl Buffers {
    fn new() -> Self {
        let (_, memory) = Bare::dma_alloc(ENTRIES * BUFFER_BYTES / PAGE_SIZE, BufferDirection::Both);
        // SAFETY: it is of this size, zeroed, never given back, and nothing else refers to it.
        let memory = unsafe { core::slice::from_raw_parts_mut(memory.as_ptr().cast(), ENTRIES) };
        Self { memory, in_queue: [0; ENTRIES] }
    }

    /// Notes that a buffer lies in the queue.
    fn put(&mut self, token: u16, buffer: usize) {
        self.in_queue[usize::from(token)] = buffer;
    }

    /// The one that the card has done with; a token of the driver's is below the number of entries.
    fn taken(&self, token: u16) -> usize {
        self.in_queue[usize::from(token) % ENTRIES]
    }
}

/// The card.
pub(crate) struct Card {
    driver: Driver,
    receive: Buffers,
    /// The frame that is being looked at: its buffer, and where in it.
    in_hand: Option<(usize, Range<usize>)>,
    transmit: Transmit,
}

/// Frames that are to go.
struct Transmit {
    buffers: Buffers,
    /// How much of each is to be sent.
    bytes: [usize; ENTRIES],
    /// Those that are free; the one used last is used next: it is dirty already.
    free: Vec<usize>,
}

impl Card {
    /// Resets the card, gives it its queues, and everything to receive into.
    pub(crate) fn new() -> Self {
        let Some(registers) = NonNull::new(abi::CARD as *mut VirtIOHeader) else { panic!("no card") };
        // SAFETY: the host maps the registers there, and nothing else refers to them.
        let Ok(transport) = (unsafe { MmioTransport::new(registers, REGISTER_BYTES) }) else {
            panic!("no card")
        };
        let Ok(mut driver) = Driver::new(transport) else { panic!("no network card") };
        driver.disable_interrupts();
        let transmit =
            Transmit { buffers: Buffers::new(), bytes: [0; ENTRIES], free: (0..ENTRIES).rev().collect() };
        let mut card = Self { driver, receive: Buffers::new(), in_hand: None, transmit };
        (0..ENTRIES).for_each(|buffer| card.receive_into(buffer));
        card
    }

    /// Its address in its network.
    pub(crate) fn address(&self) -> [u8; 6] {
        self.driver.mac_address()
    }

    /// Whether something has been received that has not been looked at.
    pub(crate) fn has_frame(&self) -> bool {
        self.driver.poll_receive().is_some()
    }

    /// Whether a frame can be sent.
    pub(crate) fn has_room(&self) -> bool {
        !self.transmit.free.is_empty()
    }

    /// Leaves to the host so that it takes what is to be sent.
    pub(crate) fn empty(&mut self) {
        bare::out(abi::PORT_DOORBELL, abi::DOORBELL_CARD_FULL);
        self.reclaim();
    }

    /// Takes back the buffers of what the host has taken.
    pub(crate) fn reclaim(&mut self) {
        while let Some(token) = self.driver.poll_transmit() {
            let buffer = self.transmit.buffers.taken(token);
            let sent = &self.transmit.buffers.memory[buffer][..self.transmit.bytes[buffer]];
            // SAFETY: it is the buffer, and as much of it, as was put under this token.
            let done = unsafe { self.driver.transmit_complete(token, sent) };
            bare::check(done.is_ok(), line!());
            self.transmit.free.push(buffer);
        }
    }

    /// Gives the buffer of the frame that has been looked at to the card again.
    pub(crate) fn done_with_frame(&mut self) {
        if let Some((buffer, _)) = self.in_hand.take() {
            self.receive_into(buffer);
        }
    }

    /// Lets the card receive into a buffer.
    fn receive_into(&mut self, buffer: usize) {
        // SAFETY: nothing looks into it before the card has done with it.
        match unsafe { self.driver.receive_begin(&mut self.receive.memory[buffer]) } {
            Ok(token) => self.receive.put(token, buffer),
            Err(_) => bare::check(false, line!()),
        }
    }

    /// The next frame that was received, if there is one: its buffer, and where in it.
    fn take(&mut self) -> Option<(usize, Range<usize>)> {
        let token = self.driver.poll_receive()?;
        let buffer = self.receive.taken(token);
        // SAFETY: it is the buffer that was put under this token.
        let received = unsafe { self.driver.receive_complete(token, &mut self.receive.memory[buffer]) };
        // What is shorter than the card's header is no frame, and empty.
        let (header, frame) = received.unwrap_or((0, 0));
        Some((buffer, header..(header + frame).min(BUFFER_BYTES)))
    }
}

impl Device for Card {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sent<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sent<'_>)> {
        self.done_with_frame();
        if !self.has_room() {
            return None;
        }
        self.in_hand = self.take();
        let (buffer, frame) = self.in_hand.clone()?;
        let frame = &self.receive.memory[buffer][frame];
        Some((Received(frame), Sent { driver: &mut self.driver, transmit: &mut self.transmit }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sent<'_>> {
        self.has_room().then_some(Sent { driver: &mut self.driver, transmit: &mut self.transmit })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = abi::FRAME_BYTES_MAX;
        capabilities
    }
}

/// A frame that was received.
pub(crate) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a frame.
pub(crate) struct Sent<'a> {
    driver: &'a mut Driver,
    transmit: &'a mut Transmit,
}

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, bytes: usize, f: F) -> R {
        let Some(buffer) = self.transmit.free.pop() else { panic!("there is no room, and there was") };
        let memory = &mut self.transmit.buffers.memory[buffer];
        let Ok(header) = self.driver.fill_buffer_header(memory) else { panic!("no room for a header") };
        let result = f(&mut memory[header..header + bytes]);
        let sent = &memory[..header + bytes];
        // SAFETY: nothing looks into it before the card has done with it.
        let Ok(token) = (unsafe { self.driver.transmit_begin(sent) }) else { panic!("the queue is full") };
        self.transmit.bytes[buffer] = sent.len();
        self.transmit.buffers.put(token, buffer);
        result
    }
}
