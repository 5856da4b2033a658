//! What the guest `hostile` does wrong with its network card: a driver in a few lines, each of whose ways is a misdeed.
//!
//! Everything that it knows of the card lies in guest memory, so a survivor's goes on with it.

use super::abi::{self, Parameters};
use super::bare::{load, out, store};
use super::misdeed::Misdeed;
use core::arch::asm;
use core::ptr::{read_volatile, write_volatile};

/// Entries of each queue.
const ENTRIES: u64 = abi::CARD_QUEUE_ENTRIES as u64;
/// Where the queues lie, behind the program: to receive, and to send.
const QUEUES: [u64; 2] = [abi::IMAGE + 0x8_0000, abi::IMAGE + 0x9_0000];
/// What is available, behind the descriptors, and behind that what is used.
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
/// Where there is room for buffers, each of so many bytes.
const BUFFERS: u64 = abi::IMAGE + 0xA_0000;
const BUFFER_BYTES: u64 = 2048;
const BUFFER_COUNT: u64 = 16;
/// Where there is room for a table of descriptors, and how many it has.
const TABLE: u64 = abi::IMAGE + 0xB_0000;
const TABLE_ENTRIES: u64 = 4096;

/// What stands before a frame in a buffer, and the longest frame.
const HEADER_BYTES: u64 = 12;
const FRAME_BYTES_MAX: u64 = abi::FRAME_BYTES_MAX as u64;
/// Frames that are sent unasked at a time, and how long it is to the next time, microseconds.
const UNASKED: u64 = 4;
const UNASKED_EVERY_US: u64 = 500;

/// Of a descriptor: another comes behind it; it is to be written to; it is a table.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// Registers of the card.
const DRIVER_FEATURES: u64 = 0x20;
const DRIVER_FEATURES_SELECT: u64 = 0x24;
const QUEUE_SELECT: u64 = 0x30;
const QUEUE_ENTRIES: u64 = 0x38;
const QUEUE_READY: u64 = 0x44;
const STATUS: u64 = 0x70;
const QUEUE_PLACES: [u64; 3] = [0x80, 0x90, 0xa0];
/// All of them, and as much behind.
const REGISTERS_BYTES: u64 = 0x200;

/// Where a queue lies: descriptors, what is available, what is used.
type Places = [u64; 3];

/// What the guest knows of its card; all zeros at first.
#[repr(C)]
pub(crate) struct WrongCard {
    is_up: u64,
    /// Buffers ever given to be sent, since the card is up.
    available: u64,
    /// Frames ever given to be sent.
    frames: u64,
    /// What the latest frame had that no other machine would have put there.
    token: u64,
    /// What is drawn from.
    drawn: u64,
}

impl WrongCard {
    pub(crate) fn misbehave(&mut self, misdeed: Misdeed, parameters: &Parameters) {
        match misdeed {
            Misdeed::TouchesEveryRegister => return self.touch_registers(),
            Misdeed::ResetsInTheMiddle => {
                self.bring_up([usual(0), usual(1)]);
                (0..ENTRIES).for_each(|n| self.send(n, (BUFFERS, 72), 0));
                self.is_up = 0;
            }
            _ => {}
        }
        if self.is_up == 0 {
            self.bring_up(places(misdeed, parameters));
        }
        match misdeed {
            Misdeed::SendsUnasked => self.send_unasked(),
            Misdeed::FloodsTheNetwork => {
                put_header(BUFFERS + HEADER_BYTES);
                self.fill(|_| ((BUFFERS, HEADER_BYTES + FRAME_BYTES_MAX), 0));
                out(abi::PORT_DOORBELL, abi::DOORBELL_CARD_FULL);
            }
            Misdeed::FramesOfEveryLength => self.fill(|n| ((BUFFERS, n % (2 * BUFFER_BYTES)), 0)),
            Misdeed::GarbageQueues => self.garble(),
            Misdeed::ChainsThatLoop => self.fill(|_| ((BUFFERS, 1), NEXT)),
            Misdeed::TablesOfDescriptors => {
                (0..TABLE_ENTRIES).for_each(|n| describe(TABLE, n, (BUFFERS, 1), (NEXT, n + 1)));
                self.fill(|_| ((TABLE, TABLE_ENTRIES * 16), INDIRECT));
            }
            Misdeed::BuffersOverTheQueue => {
                self.fill(|n| ((QUEUES[1] + n % 3 * AVAILABLE, HEADER_BYTES + FRAME_BYTES_MAX), 0));
            }
            Misdeed::SendsWhatIsToBeWritten => self.fill(|_| ((BUFFERS, 72), WRITE)),
            Misdeed::ReceivesIntoWhatIsToBeRead => {
                describe(QUEUES[0], 0, (BUFFERS, BUFFER_BYTES), (0, 0));
                put(QUEUES[0] + AVAILABLE + 4, 0);
                put(QUEUES[0] + AVAILABLE + 2, 1);
            }
            Misdeed::AvailableJumps => put(QUEUES[1] + AVAILABLE + 2, word(ENTRIES + 1)),
            Misdeed::AvailableGoesBack => put(QUEUES[1] + AVAILABLE + 2, word(self.available.wrapping_sub(1))),
            Misdeed::HeadsBeyondTheQueue => {
                put(QUEUES[1] + AVAILABLE + 4, u16::MAX);
                put(QUEUES[1] + AVAILABLE + 2, 1);
            }
            Misdeed::NeverTakesFrames => store(abi::FRAMES_TAKEN, u64::MAX),
            // Something has to be given back.
            _ => self.fill(|_| ((BUFFERS, 72), 0)),
        }
    }

    /// Resets the card and gives it queues that lie there, with nothing in them.
    fn bring_up(&mut self, places: [Places; 2]) {
        (self.is_up, self.available) = (1, 0);
        set(STATUS, 0);
        set(STATUS, 3);
        for (half, word) in [(0, 0), (1, 1)] {
            set(DRIVER_FEATURES_SELECT, half);
            set(DRIVER_FEATURES, word);
        }
        set(STATUS, 0xb);
        for (queue, places) in (0..).zip(places) {
            set(QUEUE_SELECT, queue);
            set(QUEUE_ENTRIES, abi::CARD_QUEUE_ENTRIES.into());
            for (register, place) in QUEUE_PLACES.into_iter().zip(places) {
                set(register, place as u32);
                set(register + 4, (place >> 32) as u32);
            }
            set(QUEUE_READY, 1);
        }
        QUEUES.iter().for_each(|queue| put(queue + AVAILABLE + 2, 0));
        QUEUES.iter().for_each(|queue| put(queue + USED + 2, 0));
        set(STATUS, 0xf);
    }

    /// Gives the card a buffer to be sent, by the descriptor of this number.
    fn send(&mut self, descriptor: u64, buffer: (u64, u64), flags: u16) {
        describe(QUEUES[1], descriptor, buffer, (flags, descriptor));
        put(QUEUES[1] + AVAILABLE + 4 + self.available % ENTRIES * 2, word(descriptor));
        self.available = self.available.wrapping_add(1);
        put(QUEUES[1] + AVAILABLE + 2, word(self.available));
    }

    /// As many as the card has given back; which buffer the next is, by its number.
    fn fill(&mut self, buffer: impl Fn(u64) -> ((u64, u64), u16)) {
        let given_back = get(QUEUES[1] + USED + 2);
        let in_queue = word(self.available).wrapping_sub(given_back);
        for _ in u64::from(in_queue)..ENTRIES {
            let (place, flags) = buffer(self.frames);
            self.send(self.frames % ENTRIES, place, flags);
            self.frames = self.frames.wrapping_add(1);
        }
    }

    /// Some frames to everybody, if it is time for it. In each, behind its header: its number, its token, and that of the one before.
    fn send_unasked(&mut self) {
        let now = load(abi::TIME_US);
        store(abi::FRAMES_TAKEN, get(QUEUES[0] + USED + 2).into());
        if now < load(abi::NEXT_US) {
            return;
        }
        store(abi::NEXT_US, now + UNASKED_EVERY_US);
        for _ in 0..UNASKED {
            let buffer = BUFFERS + self.frames % BUFFER_COUNT * BUFFER_BYTES;
            let before = core::mem::replace(&mut self.token, time_stamp());
            let behind = put_header(buffer + HEADER_BYTES);
            for (at, content) in (0..).zip([self.frames, self.token, before]) {
                for (n, byte) in (0..).zip(content.to_le_bytes()) {
                    put_byte(behind + at * 8 + n, byte);
                }
            }
            self.send(self.frames % ENTRIES, (buffer, HEADER_BYTES + 14 + 24), 0);
            self.frames = self.frames.wrapping_add(1);
        }
    }

    /// Something else everywhere, and as much available as may be, or not.
    fn garble(&mut self) {
        for word in 0..(USED + 0x1000) / 8 {
            let drawn = self.draw();
            QUEUES.iter().for_each(|queue| store(queue + word * 8, drawn));
        }
        if self.draw() % 4 != 0 {
            for place in 0..ENTRIES {
                let [drawn, length] = [self.draw(), self.draw()];
                describe(QUEUES[1], place, (drawn % (1 << 24), length % 4096), (drawn as u16 & 3, length >> 48));
                put(QUEUES[1] + AVAILABLE + 4 + place * 2, word(drawn >> 32) % (abi::CARD_QUEUE_ENTRIES + 1));
            }
            self.available += self.draw() % 8;
            put(QUEUES[1] + AVAILABLE + 2, word(self.available));
        }
    }

    fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.drawn ^ self.drawn >> 29
    }

    /// Every register in every width, at places where there is none, too.
    fn touch_registers(&mut self) {
        for place in 0..REGISTERS_BYTES {
            let (at, drawn) = (abi::CARD + place, self.draw());
            // SAFETY: what lies there are registers and no memory; what the host makes of it is what is tested.
            unsafe {
                asm!("mov {0}, byte ptr [{1}]", "mov byte ptr [{1}], {0}", out(reg_byte) _, in(reg) at);
                asm!("mov {0:x}, word ptr [{1}]", "mov word ptr [{1}], {0:x}", out(reg) _, in(reg) at);
                asm!("mov {0:e}, dword ptr [{1}]", "mov dword ptr [{1}], {2:e}", out(reg) _, in(reg) at,
                     in(reg) drawn);
                asm!("mov {0}, qword ptr [{1}]", "mov qword ptr [{1}], {2}", out(reg) _, in(reg) at,
                     in(reg) drawn);
                asm!("movups {0}, [{1}]", "movups [{1}], {0}", out(xmm_reg) _, in(reg) at);
                asm!("rep movsb", inout("rcx") 300_u64 => _, inout("rsi") at => _, inout("rdi") BUFFERS => _);
                asm!("rep stosb", inout("rcx") 300_u64 => _, inout("rdi") at => _, in("al") drawn as u8);
            }
        }
        set(STATUS, 0);
    }
}

/// Where a queue lies that is as it should be.
const fn usual(queue: usize) -> Places {
    let at = QUEUES[queue];
    [at, at + AVAILABLE, at + USED]
}

/// Where the queues lie.
fn places(misdeed: Misdeed, parameters: &Parameters) -> [Places; 2] {
    let [descriptors, available, used] = usual(1);
    let send = match misdeed {
        Misdeed::QueuesBeyondMemory => [descriptors, parameters.memory_bytes - 64, used],
        Misdeed::QueuesAtTheEndOfNumbers => [descriptors, available, u64::MAX - 3],
        Misdeed::UsedOverAvailable => [descriptors, available, available],
        Misdeed::UsedOverTheCounters => [descriptors, available, abi::REQUESTS_PUT],
        Misdeed::UsedOverThePageTables => [descriptors, available, abi::PAGE_TABLES],
        _ => [descriptors, available, used],
    };
    [usual(0), send]
}

/// What a descriptor says: where its buffer is, how long, of what kind, and which comes behind it.
fn describe(table: u64, descriptor: u64, (address, bytes): (u64, u64), (flags, next): (u16, u64)) {
    let at = table + descriptor * 16;
    store(at, address);
    store(at + 8, bytes & 0xffff_ffff | u64::from(flags) << 32 | next << 48);
}

/// The number as a queue counts, which begins anew behind the greatest.
const fn word(number: u64) -> u16 {
    number as u16
}

fn put(address: u64, value: u16) {
    // SAFETY: callers pass an address in a queue: mapped, aligned, never borrowed.
    unsafe { write_volatile(address as *mut u16, value) }
}

fn get(address: u64) -> u16 {
    // SAFETY: as above.
    unsafe { read_volatile(address as *const u16) }
}

fn put_byte(address: u64, value: u8) {
    // SAFETY: callers pass an address in a buffer: mapped, never borrowed.
    unsafe { write_volatile(address as *mut u8, value) }
}

/// The beginning of a frame from this card to everybody, of a kind of packet that nobody else has; where it ends.
fn put_header(frame: u64) -> u64 {
    let header = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0x66, 2, 0x88, 0xb5];
    for (at, byte) in (frame..).zip(header) {
        put_byte(at, byte);
    }
    frame + header.len() as u64
}

fn set(register: u64, value: u32) {
    // SAFETY: what lies there are registers of the card; the host sees the access.
    unsafe { asm!("mov dword ptr [{0}], {1:e}", in(reg) abi::CARD + register, in(reg) value) }
}

/// How long the processor has been on: no two machines agree.
fn time_stamp() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: it reads a counter, which ring 3 may.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high) };
    u64::from(high) << 32 | u64::from(low)
}
