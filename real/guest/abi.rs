//! What the host and the guest agree on: addresses, ring slots, doorbell ports, the parameter block.
//!
//! Compiled into both sides (`real/src/lib.rs` and the guests: `kv.rs` and the others), so it is `no_std`, holds no pointer and does
//! no I/O. Everything in guest memory is a little-endian `u64`; every counter counts from zero and never goes back.
//!
//! ```text
//!   0x0000_1000  page tables        PML4, PDPT, one page directory per GiB; written by the host before start
//!   0x0000_8000  PARAMETERS         written by the host before start, read once by the guest; behind it CARD_PARAMETERS
//!   0x0000_9000  HOST_COUNTERS      written by the host: requests put, replies taken, ticks, time, blocks done, buttons
//!   0x0000_A000  GUEST_COUNTERS     written by the guest: requests taken, replies put, when it wants to run, blocks, buttons
//!   0x0001_0000  REQUEST_RING       RING_SLOTS slots of SLOT_BYTES
//!   0x0002_0000  REPLY_RING         likewise
//!   0x0003_0000  BLOCK_RING         BLOCK_SLOTS slots of SLOT_BYTES
//!   0x0004_0000  STATE              the guest's own: clients, keys, cursors
//!   0x0010_0000  IMAGE              the guest's program; its stack grows down from STACK_TOP
//!   0x0020_0000  WORK               the working area, to the end of memory
//! ```
//!
//! Who writes a counter owns it; the other side only reads it. A ring holds `put - taken` entries; the entry with
//! number `n` lies in slot `n % RING_SLOTS`. The number of replies ever put is the offset in the output stream.
//!
//! **Time.** A guest has no clock and no interrupt. It has a word of memory to which the host writes how long the guest
//! has executed, whenever it lets it go on, and one in which it says at what time it wants to be let go on though nobody
//! asks it anything. Both are memory and are replicated: a survivor's guest has the time of its checkpoint, goes on from
//! there, and cannot tell.
//!
//! **Disk.** A guest puts block requests into a ring and writes to [`PORT_BLOCKS`]. When that returns all of them are done:
//! each slot has its status, and what was read is where the guest wanted it. A request that has not been done when the
//! machine is suspended was not begun, and its slot is in memory.
//!
//! **Card.** A machine may have a network card: virtio over MMIO (version 2) at [`CARD`], with the receive queue 0 and the transmit
//! queue 1. It never interrupts and asks for no notification: a guest puts frames into the transmit queue and goes on; whenever
//! it leaves to the host, for whatever reason, all of them are taken and their buffers given back. What was received lies in
//! the receive queue when the guest is entered. [`FRAMES_TAKEN`] counts the received frames of which all that is to be
//! sent has been put into the transmit queue: until it is what the card has given, the guest has something to do.
//!
//! **Buttons.** The machine has two, for power and for a reset. They do nothing by themselves: the guest sees that one has been
//! pressed, comes to the end of what it is doing, and asks the host by a port, as an operating system does. After a wish to be
//! powered off it goes on until it is. After one to be reset it executes nothing more; a reset puts the program and the
//! processor where they were at the beginning, empties the ring of requests, and leaves all other memory as it is: a service
//! finds what it knew, as on a disk.

/// Bytes in a page of guest memory, the unit of dirty tracking.
pub const PAGE_BYTES: u64 = 4096;
/// First page table (PML4); the PDPT and the page directories follow, one page each.
pub const PAGE_TABLES: u64 = 0x1000;
/// Address of the parameter block.
pub const PARAMETERS: u64 = 0x8000;
/// Requests ever put into the request ring (host).
pub const REQUESTS_PUT: u64 = 0x9000;
/// Replies ever taken from the reply ring (host).
pub const REPLIES_TAKEN: u64 = 0x9008;
/// Ticks ever given (host): for each, the guest dirties [`Parameters::dirty_pages_per_tick`] pages.
pub const TICKS_GIVEN: u64 = 0x9010;
/// How long the guest has executed, microseconds (host); it does not count for a guest that never asks for it.
pub const TIME_US: u64 = 0x9018;
/// Block requests ever done (host).
pub const BLOCKS_DONE: u64 = 0x9020;
/// How often the button for power has been pressed (host).
pub const POWER_PRESSED: u64 = 0x9028;
/// How often the button for a reset has been pressed (host).
pub const RESET_PRESSED: u64 = 0x9030;
/// Requests ever taken from the request ring (guest; by the host in a reset, which empties the ring).
pub const REQUESTS_TAKEN: u64 = 0xA000;
/// Replies ever put into the reply ring (guest): the offset in the output stream.
pub const REPLIES_PUT: u64 = 0xA008;
/// Ticks ever worked off (guest).
pub const TICKS_DONE: u64 = 0xA010;
/// The time at which the guest wants to run next (guest); 0 if it only waits for the host.
pub const NEXT_US: u64 = 0xA018;
/// Block requests ever put into the block ring (guest).
pub const BLOCKS_PUT: u64 = 0xA020;
/// Block requests of which the guest has seen what became (guest): until then it has something to do.
pub const BLOCKS_SEEN: u64 = 0xA028;
/// Of the presses of the button for power, how many the guest has minded (guest).
pub const POWER_MINDED: u64 = 0xA030;
/// Likewise for a reset.
pub const RESET_MINDED: u64 = 0xA038;
/// Received frames of which the guest has put all that comes of them into the transmit queue (guest), since its driver is ready.
pub const FRAMES_TAKEN: u64 = 0xA040;
/// Address of the request ring.
pub const REQUEST_RING: u64 = 0x1_0000;
/// Address of the reply ring.
pub const REPLY_RING: u64 = 0x2_0000;
/// Address of the block ring.
pub const BLOCK_RING: u64 = 0x3_0000;
/// Address of the guest's own state.
pub const STATE: u64 = 0x4_0000;
/// Where the program is loaded and entered.
pub const IMAGE: u64 = 0x10_0000;
/// Greatest size of the program in bytes (the rest up to [`STACK_TOP`] is stack).
pub const IMAGE_BYTES_MAX: u64 = 0xE_0000;
/// The stack grows down from here.
pub const STACK_TOP: u64 = 0x20_0000;
/// First address of the working area, which ends with the memory.
pub const WORK: u64 = 0x20_0000;

/// Slots in either ring (a power of two).
pub const RING_SLOTS: u64 = 1024;
/// Bytes in a slot, which is a [`Slot`]; no slot straddles two pages.
pub const SLOT_BYTES: u64 = 64;
/// Slots in the block ring (a power of two).
pub const BLOCK_SLOTS: u64 = 64;
/// Bytes in a block of the disk.
pub const BLOCK_BYTES: u64 = 4096;
/// Blocks that a disk has at most.
pub const DISK_BLOCKS_MAX: u64 = 1024;
/// Clients are numbered below this.
pub const CLIENTS: usize = 4096;
/// Keys are numbered below this.
pub const KEYS: usize = 8192;

/// Where the registers of the card are, beyond all memory.
pub const CARD: u64 = 0x1_0000_0000;
/// Address of [`CardParameters`].
pub const CARD_PARAMETERS: u64 = PARAMETERS + SLOT_BYTES;
/// The most entries of either of the card's queues.
pub const CARD_QUEUE_ENTRIES: u16 = 256;
/// The greatest frame, bytes: an Ethernet header and 1,500 bytes, without a check sequence.
pub const FRAME_BYTES_MAX: usize = 1514;

/// Port of the doorbell: nothing to do until the host writes something. The value says why.
pub const PORT_DOORBELL: u16 = 0x510;
/// Port of a request by the guest to be shut down.
pub const PORT_SHUTDOWN: u16 = 0x511;
/// Port of a failed check inside the guest; the value is the source line.
pub const PORT_PANIC: u16 = 0x512;
/// Port of the disk: block requests wait in their ring. The value means nothing.
pub const PORT_BLOCKS: u16 = 0x513;
/// Port of a request by the guest to be reset; the host does not let it go on before.
pub const PORT_RESET: u16 = 0x514;
/// Doorbell value: all requests are answered and all ticks done.
pub const DOORBELL_IDLE: u32 = 0;
/// Doorbell value: the reply ring is full, the host has to take replies first.
pub const DOORBELL_REPLY_RING_FULL: u32 = 1;
/// Doorbell value: there is more to be sent than the transmit queue has room for, the card has to take some first.
pub const DOORBELL_CARD_FULL: u32 = 2;

/// Pattern: page after page, round and round.
pub const PATTERN_SEQUENTIAL: u64 = 0;
/// Pattern: any page of the area.
pub const PATTERN_RANDOM: u64 = 1;
/// Pattern: any page, but mostly one of a sixteenth of the area.
pub const PATTERN_HOT: u64 = 2;

/// The content of a ring slot or of the parameter block, as words.
pub type Slot = [u64; 8];

/// Operation: store `value` under `key`; the answer is the old value.
pub const OP_PUT: u64 = 1;
/// Operation: read `key`.
pub const OP_GET: u64 = 2;
/// Operation: add `value` to `key`, wrapping; the answer is the new value.
pub const OP_ADD: u64 = 3;
/// Operation: answer, then ask to be shut down.
pub const OP_SHUTDOWN: u64 = 4;

/// Status: done.
pub const STATUS_OK: u64 = 0;
/// Status: no such operation; nothing was changed.
pub const STATUS_UNKNOWN_OPERATION: u64 = 1;
/// Status: the key is not below [`KEYS`]; nothing was changed.
pub const STATUS_BAD_KEY: u64 = 2;
/// Status: the client is not below [`CLIENTS`]; nothing was changed.
pub const STATUS_BAD_CLIENT: u64 = 3;

/// Status: what the disk holds is not what was written to it; the answer is which block.
pub const STATUS_WRONG_BLOCK: u64 = 4;

/// Block operation: the block's content to memory.
pub const BLOCK_READ: u64 = 1;
/// Block operation: the block's content from memory.
pub const BLOCK_WRITE: u64 = 2;
/// Block operation: what was written before is on storage when this is done.
pub const BLOCK_FLUSH: u64 = 3;
/// Block status: done.
pub const BLOCK_OK: u64 = 0;
/// Block status: the disk could not do it; of a write, nobody knows what the block holds now.
pub const BLOCK_ERROR: u64 = 1;
/// Block status: there is no such operation, no such block, or no such memory; nothing was done.
pub const BLOCK_REFUSED: u64 = 2;

/// A request of the guest's to its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockRequest {
    /// One of the `BLOCK_` operations.
    pub operation: u64,
    /// Which block.
    pub block: u64,
    /// Where in guest memory the content is, or is wanted.
    pub address: u64,
}

impl BlockRequest {
    /// The request as it lies in a slot; its status is the word behind it.
    pub const fn to_slot(self) -> Slot {
        [self.operation, self.block, self.address, 0, 0, 0, 0, 0]
    }

    /// The request that lies in a slot; any content is a request, if perhaps one to be refused.
    pub const fn from_slot(slot: Slot) -> Self {
        let [operation, block, address, ..] = slot;
        Self { operation, block, address }
    }
}

/// Where in a slot of the block ring the host writes what became of the request.
pub const BLOCK_STATUS: usize = 3;

/// A client's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Who asks; must be below [`CLIENTS`].
    pub client: u64,
    /// The client's own numbering, from 1; a retry carries the same number.
    pub sequence: u64,
    /// One of the `OP_` constants.
    pub operation: u64,
    /// Which key; must be below [`KEYS`].
    pub key: u64,
    /// The operand.
    pub value: u64,
}

impl Request {
    /// The request as it lies in a slot.
    pub const fn to_slot(self) -> Slot {
        [self.client, self.sequence, self.operation, self.key, self.value, 0, 0, 0]
    }

    /// The request that lies in a slot; any content is a request, if perhaps one to be refused.
    pub const fn from_slot(slot: Slot) -> Self {
        let [client, sequence, operation, key, value, ..] = slot;
        Self { client, sequence, operation, key, value }
    }
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The client that asked.
    pub client: u64,
    /// The sequence number of its request.
    pub sequence: u64,
    /// The place of the operation in the one order in which all were applied, from 1; 0 when it was refused.
    pub serial: u64,
    /// One of the `STATUS_` constants.
    pub status: u64,
    /// The value asked for.
    pub value: u64,
    /// When it was answered first, by the guest's own clock; 0 from a guest that tells no time.
    pub time: u64,
}

impl Reply {
    /// The reply as it lies in a slot.
    pub const fn to_slot(self) -> Slot {
        [self.client, self.sequence, self.serial, self.status, self.value, self.time, 0, 0]
    }

    /// The reply that lies in a slot.
    pub const fn from_slot(slot: Slot) -> Self {
        let [client, sequence, serial, status, value, time, ..] = slot;
        Self { client, sequence, serial, status, value, time }
    }
}

/// What the host tells the guest before it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Size of guest memory in bytes, a multiple of [`PAGE_BYTES`]; filled in by the host side of this crate.
    pub memory_bytes: u64,
    /// Pages of the working area to write one word into per applied request.
    pub dirty_pages_per_request: u64,
    /// The same per tick.
    pub dirty_pages_per_tick: u64,
    /// One of the `PATTERN_` constants: which pages.
    pub pattern: u64,
    /// The same per second of guest time, for guests that have a rate.
    pub pages_per_second: u64,
    /// Pages of the working area that are written to; 0 for all of it.
    pub area_pages_asked: u64,
    /// Blocks of the disk, at most [`DISK_BLOCKS_MAX`]; 0 if there is none.
    pub disk_blocks: u64,
    /// How the guest `hostile` misbehaves.
    pub misdeed: u64,
}

impl Parameters {
    /// The parameters as they lie in guest memory.
    pub const fn to_slot(self) -> Slot {
        let Self {
            memory_bytes,
            dirty_pages_per_request,
            dirty_pages_per_tick,
            pattern,
            pages_per_second,
            area_pages_asked,
            disk_blocks,
            misdeed,
        } = self;
        [
            memory_bytes,
            dirty_pages_per_request,
            dirty_pages_per_tick,
            pattern,
            pages_per_second,
            area_pages_asked,
            disk_blocks,
            misdeed,
        ]
    }

    /// The parameters that lie in guest memory.
    pub const fn from_slot(slot: Slot) -> Self {
        let [
            memory_bytes,
            dirty_pages_per_request,
            dirty_pages_per_tick,
            pattern,
            pages_per_second,
            area_pages_asked,
            disk_blocks,
            misdeed,
        ] = slot;
        Self {
            memory_bytes,
            dirty_pages_per_request,
            dirty_pages_per_tick,
            pattern,
            pages_per_second,
            area_pages_asked,
            disk_blocks,
            misdeed,
        }
    }

    /// Pages that are written to.
    pub const fn area_pages(&self) -> u64 {
        let all = self.work_pages();
        if self.area_pages_asked == 0 || self.area_pages_asked > all { all } else { self.area_pages_asked }
    }

    /// Pages in the working area.
    pub const fn work_pages(&self) -> u64 {
        self.memory_bytes.saturating_sub(WORK) / PAGE_BYTES
    }
}

/// What a guest with a card is told about its network. The address of the card itself is in the card's registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CardParameters {
    /// The guest's IPv4 address, most significant byte first.
    pub address: u64,
    /// Bits of its network's prefix.
    pub prefix_bits: u64,
    /// The TCP port of its service.
    pub port: u64,
    /// What everything that is to look random is drawn from: two guests with the same seed draw the same.
    pub seed: u64,
}

impl CardParameters {
    /// The parameters as they lie in guest memory.
    pub const fn to_slot(self) -> Slot {
        [self.address, self.prefix_bits, self.port, self.seed, 0, 0, 0, 0]
    }

    /// The parameters that lie in guest memory.
    pub const fn from_slot(slot: Slot) -> Self {
        let [address, prefix_bits, port, seed, ..] = slot;
        Self { address, prefix_bits, port, seed }
    }
}

/// Address of the slot that holds entry number `n` of the ring at `ring`.
pub const fn slot_address(ring: u64, n: u64) -> u64 {
    ring + (n % RING_SLOTS) * SLOT_BYTES
}

/// Address of the slot that holds block request number `n`.
pub const fn block_slot_address(n: u64) -> u64 {
    BLOCK_RING + (n % BLOCK_SLOTS) * SLOT_BYTES
}
