//! The card without a machine: a driver in a few lines, on a memory of its own, well-behaved and not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::vm::memory::{MEMORY_MIB_MIN, Memory};
use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_DRIVER_OK,
    VIRTIO_CONFIG_S_FEATURES_OK,
};
use virtio_bindings::virtio_mmio as mmio;
use virtio_bindings::virtio_ring::{
    VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE, VRING_USED_F_NO_NOTIFY,
};

const ENTRIES: u16 = 8;
/// Where a queue lies: its descriptors, behind them what is available, behind that what is used.
const QUEUES: [u64; 2] = [0x1_0000, 0x2_0000];
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
/// Where the buffer of a descriptor lies.
const BUFFERS: u64 = 0x10_0000;
const BUFFER_BYTES: u32 = 2048;

struct Driver {
    memory: Memory,
    card: NetworkCard,
    available: [u16; 2],
}

fn config() -> CardConfig {
    CardConfig { hardware_address: [2, 0, 0, 0, 0x66, 2], parameters: CardParameters::default() }
}

impl Driver {
    /// A card that nobody has driven.
    fn cold() -> Self {
        let memory = Memory::new(MEMORY_MIB_MIN, false).unwrap();
        Self { memory, card: NetworkCard::new(&config()).unwrap(), available: [0; 2] }
    }

    /// One that is ready, with all of its receive buffers empty.
    fn ready() -> Self {
        let mut driver = Self::cold();
        driver.bring_up([0, 1], ENTRIES);
        for buffer in 0..ENTRIES {
            driver.offer(RECEIVE, buffer, BUFFER_BYTES, VRING_DESC_F_WRITE);
        }
        driver
    }

    /// With these words of features, and queues of so many entries.
    fn bring_up(&mut self, features: [u32; 2], entries: u16) {
        let begun = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
        self.set(mmio::VIRTIO_MMIO_STATUS, begun);
        for (half, word) in (0..).zip(features) {
            self.set(mmio::VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
            self.set(mmio::VIRTIO_MMIO_DRIVER_FEATURES, word);
        }
        self.set(mmio::VIRTIO_MMIO_STATUS, begun | VIRTIO_CONFIG_S_FEATURES_OK);
        for (queue, at) in (0..).zip(QUEUES) {
            let [low, available, used] = [at, at + AVAILABLE, at + USED].map(|at| u32::try_from(at).unwrap());
            self.set(mmio::VIRTIO_MMIO_QUEUE_SEL, queue);
            self.set(mmio::VIRTIO_MMIO_QUEUE_NUM, entries.into());
            self.set(mmio::VIRTIO_MMIO_QUEUE_DESC_LOW, low);
            self.set(mmio::VIRTIO_MMIO_QUEUE_AVAIL_LOW, available);
            self.set(mmio::VIRTIO_MMIO_QUEUE_USED_LOW, used);
            self.set(mmio::VIRTIO_MMIO_QUEUE_READY, 1);
        }
        let agreed = self.get(mmio::VIRTIO_MMIO_STATUS);
        self.set(mmio::VIRTIO_MMIO_STATUS, agreed | VIRTIO_CONFIG_S_DRIVER_OK);
    }

    fn set(&mut self, register: u32, value: u32) {
        self.card.write(register.into(), &value.to_le_bytes(), self.memory.mapping()).unwrap();
    }

    fn get(&self, register: u32) -> u32 {
        let mut word = [0xee; 4];
        self.card.read(register.into(), &mut word);
        u32::from_le_bytes(word)
    }

    fn describe(&self, queue: usize, index: u16, (address, bytes): (u64, u32), (flags, next): (u32, u16)) {
        let at = QUEUES[queue] + u64::from(index) * 16;
        let flags = u16::try_from(flags).unwrap();
        let words =
            [&address.to_le_bytes()[..], &bytes.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()];
        self.memory.write(at, &words.concat()).unwrap();
    }

    fn make_available(&mut self, queue: usize, head: u16) {
        let place = u64::from(self.available[queue] % ENTRIES);
        self.memory.write(QUEUES[queue] + AVAILABLE + 4 + place * 2, &head.to_le_bytes()).unwrap();
        self.available[queue] = self.available[queue].wrapping_add(1);
        self.memory.write(QUEUES[queue] + AVAILABLE + 2, &self.available[queue].to_le_bytes()).unwrap();
    }

    fn buffer(queue: usize, index: u16) -> u64 {
        BUFFERS + (queue as u64 * 64 + u64::from(index)) * u64::from(BUFFER_BYTES)
    }

    /// A buffer of so many bytes is available.
    fn offer(&mut self, queue: usize, index: u16, bytes: u32, flags: u32) {
        self.describe(queue, index, (Self::buffer(queue, index), bytes), (flags, 0));
        self.make_available(queue, index);
    }

    /// A frame is to be sent.
    fn send(&mut self, index: u16, frame: &[u8]) {
        let bytes = [&[0; HEADER_BYTES], frame].concat();
        self.memory.write(Self::buffer(TRANSMIT, index), &bytes).unwrap();
        self.offer(TRANSMIT, index, u32::try_from(bytes.len()).unwrap(), 0);
    }

    fn used(&self, queue: usize) -> u16 {
        let mut index = [0; 2];
        self.memory.read(QUEUES[queue] + USED + 2, &mut index).unwrap();
        u16::from_le_bytes(index)
    }

    fn take(&mut self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        let count = self.card.take(self.memory.mapping(), &mut frames)?;
        assert_eq!(count, frames.len() as u64);
        Ok(frames)
    }

    fn put(&mut self, frame: &[u8]) -> Result<bool> {
        self.card.put(self.memory.mapping(), frame)
    }
}

#[test]
fn a_driver_finds_a_network_card_of_the_version_without_a_legacy() {
    let mut driver = Driver::cold();
    assert_eq!(driver.get(mmio::VIRTIO_MMIO_MAGIC_VALUE).to_le_bytes(), *b"virt");
    assert_eq!((driver.get(mmio::VIRTIO_MMIO_VERSION), driver.get(mmio::VIRTIO_MMIO_DEVICE_ID)), (2, 1));
    let mut features = [0, 1, 2].map(|half| {
        driver.set(mmio::VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
        driver.get(mmio::VIRTIO_MMIO_DEVICE_FEATURES)
    });
    assert_eq!(features, [1 << 5 | 1 << 16, 1, 0]);
    let mut address = [0; 6];
    driver.card.read(mmio::VIRTIO_MMIO_CONFIG.into(), &mut address);
    assert_eq!(address, config().hardware_address);
    driver.set(mmio::VIRTIO_MMIO_QUEUE_SEL, 2);
    features[0] = driver.get(mmio::VIRTIO_MMIO_QUEUE_NUM_MAX);
    assert_eq!(features[0], 0, "there are two queues");
}

#[test]
fn what_the_card_cannot_is_not_agreed_to() {
    // Version 1 is a must; merged receive buffers are not to be had.
    for features in [[0, 0], [1 << 15, 1], [0, 1 | 1 << 1]] {
        let mut driver = Driver::cold();
        driver.bring_up(features, ENTRIES);
        assert_eq!(driver.get(mmio::VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK, 0, "{features:?}");
        assert!(!driver.card.is_ready());
        assert_eq!((driver.put(&[1; 60]).unwrap(), driver.take().unwrap().len()), (false, 0));
    }
}

#[test]
fn frames_come_out_as_they_were_sent_and_their_buffers_go_back_at_once() {
    let mut driver = Driver::ready();
    let mut flags = [0; 2];
    driver.memory.read(QUEUES[TRANSMIT] + USED, &mut flags).unwrap();
    assert_eq!(u32::from(u16::from_le_bytes(flags)), VRING_USED_F_NO_NOTIFY, "it asks for no notification");
    for round in 0..100_u16 {
        let sent = [[1; 60], [2; 60], [3; 60]].map(|frame| Frame::new(&frame).unwrap());
        (0..3).for_each(|index| driver.send(index, &sent[usize::from(index)]));
        assert_eq!(driver.take().unwrap(), sent);
        assert_eq!(driver.used(TRANSMIT), (round + 1) * 3);
        assert_eq!(driver.card.sent(), u64::from(round + 1) * 3);
    }
}

#[test]
fn a_frame_may_lie_in_several_buffers() {
    let mut driver = Driver::ready();
    let bytes: Vec<u8> = [&[0; HEADER_BYTES][..], &[7; 14], &[8; 100]].concat();
    driver.memory.write(BUFFERS, &bytes).unwrap();
    driver.describe(TRANSMIT, 0, (BUFFERS, 12), (VRING_DESC_F_NEXT, 5));
    driver.describe(TRANSMIT, 5, (BUFFERS + 12, 14), (VRING_DESC_F_NEXT, 2));
    driver.describe(TRANSMIT, 2, (BUFFERS + 26, 100), (0, 0));
    driver.make_available(TRANSMIT, 0);
    assert_eq!(driver.take().unwrap(), [Frame::new(&bytes[HEADER_BYTES..]).unwrap()]);
}

#[test]
fn what_is_no_frame_is_sent_by_no_card() {
    let mut driver = Driver::ready();
    driver.send(0, &[1; 13]);
    driver.send(1, &[1; 1515]);
    driver.send(2, &[1; 1514]);
    driver.offer(TRANSMIT, 3, 5, 0);
    assert_eq!(driver.take().unwrap(), [Frame::new(&[1; 1514]).unwrap()]);
    assert_eq!((driver.card.sent(), driver.used(TRANSMIT)), (1, 4));
}

#[test]
fn the_guest_is_given_frames_as_long_as_it_has_room() {
    let mut driver = Driver::ready();
    for number in 0..ENTRIES {
        assert!(driver.put(&[u8::try_from(number).unwrap(); 70]).unwrap());
    }
    assert!(!driver.put(&[9; 70]).unwrap());
    assert_eq!((driver.card.given(), driver.used(RECEIVE)), (ENTRIES.into(), ENTRIES));
    let mut received = [0; HEADER_BYTES + 70];
    driver.memory.read(Driver::buffer(RECEIVE, 3), &mut received).unwrap();
    // One buffer, of a card that merges none.
    let header = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(received[..], [&header[..], &[3; 70]].concat());
}

#[test]
fn all_that_the_card_writes_is_marked() {
    let mut driver = Driver::ready();
    let pages = usize::try_from(driver.memory.pages()).unwrap();
    let mut marks = vec![0; pages.div_ceil(64)];
    driver.memory.take_marks(&mut marks);
    marks.fill(0);
    driver.put(&[1; 1514]).unwrap();
    driver.memory.take_marks(&mut marks);
    let is_marked =
        |address: u64| marks[usize::try_from(address / 4096 / 64).unwrap()] >> (address / 4096 % 64) & 1 == 1;
    assert!(is_marked(Driver::buffer(RECEIVE, 0)) && is_marked(QUEUES[RECEIVE] + USED));
}

#[test]
fn a_card_goes_on_elsewhere_where_it_was() {
    let mut one = Driver::ready();
    one.send(0, &[1; 60]);
    one.put(&[2; 60]).unwrap();
    one.take().unwrap();
    one.send(1, &[3; 60]);
    let state = one.card.state();
    let mut other = NetworkCard::new(&config()).unwrap();
    other.restore(&state, one.memory.mapping()).unwrap();
    assert_eq!(other.state(), state);
    assert_eq!((other.sent(), other.received(), other.given()), (1, 1, 1));
    one.card = other;
    assert_eq!(
        one.take().unwrap(),
        [Frame::new(&[3; 60]).unwrap()],
        "what it had sent before is not sent again"
    );
    assert!(one.put(&[4; 60]).unwrap());
    assert_eq!(one.used(RECEIVE), 2);
}

#[test]
fn a_card_that_is_reset_knows_no_queue_and_counts_on() {
    let mut driver = Driver::ready();
    driver.send(0, &[1; 60]);
    driver.take().unwrap();
    driver.put(&[1; 60]).unwrap();
    driver.set(mmio::VIRTIO_MMIO_STATUS, 0);
    assert!(!driver.card.is_ready());
    assert!(!driver.put(&[1; 60]).unwrap());
    assert_eq!((driver.card.sent(), driver.card.received()), (1, 1));
    driver.available = [0; 2];
    driver.memory.write(QUEUES[TRANSMIT] + AVAILABLE, &[0; 64]).unwrap();
    driver.bring_up([0, 1], ENTRIES);
    assert_eq!((driver.card.given(), driver.card.received()), (0, 1));
    driver.send(0, &[2; 60]);
    assert_eq!(driver.take().unwrap().len(), 1);
    assert_eq!(driver.card.sent(), 2);
}

#[test]
fn a_machine_that_is_reset_has_a_card_that_nobody_drives() {
    let mut driver = Driver::ready();
    driver.send(0, &[1; 60]);
    driver.take().unwrap();
    driver.put(&[1; 60]).unwrap();
    driver.card.reset();
    assert!(!driver.card.is_ready());
    assert!(!driver.put(&[1; 60]).unwrap(), "it waits for the next driver");
    assert_eq!((driver.card.sent(), driver.card.received()), (1, 1));
    assert_eq!(driver.get(mmio::VIRTIO_MMIO_STATUS), 0);
}

#[test]
fn a_state_that_cannot_be_is_refused() {
    let driver = Driver::ready();
    let (good, memory) = (driver.card.state(), &driver.memory);
    let another = CardConfig { hardware_address: [1; 6], ..config() };
    let error = check_card(Some(&another), Some(&good), memory).unwrap_err().to_string();
    assert!(error.contains("02, 00, 00, 00, 66, 02"), "{error}");
    let behind = memory.bytes();
    let table = [
        // Neither a power of two, nor so large, nor there at all.
        ("invalid queue size", good.with_queue_size(7)),
        ("invalid queue size", good.with_queue_size(512)),
        ("invalid queue size", good.with_queue_size(0)),
        ("a queue that is ready 2 times", good.with_ready(2)),
        ("not all of which is memory", good.with_queue_at([behind, 0x1000, 0x2000])),
        ("not all of which is memory", good.with_queue_at([0x1000, behind - 2, 0x2000])),
        ("not all of which is memory", good.with_queue_at([0x1000, 0x2000, u64::MAX - 3])),
        ("align", good.with_queue_at([1, 2, 4])),
        ("sent 18446744073709551615 frames", good.with_counts([u64::MAX, 0, 0])),
        ("received 18446744073709551615", good.with_counts([0, u64::MAX, 0])),
        ("received 1, 2 of them before", good.with_counts([0, 1, 2])),
    ];
    for (words, state) in table {
        let error = check_card(Some(&config()), Some(&state), memory).unwrap_err();
        assert!(format!("{error} {error:?}").contains(words), "{words}: {error}");
        let mut card = NetworkCard::new(&config()).unwrap();
        let before = card.state();
        assert!(card.restore(&state, memory.mapping()).is_err(), "{words}");
        assert_eq!(card.state(), before, "{words}: nothing of it is taken");
    }
    // One that nobody drives may say of its queues what it likes.
    let cold = NetworkCard::new(&config()).unwrap().state().with_queue_at([behind, 2, 4]);
    check_card(Some(&config()), Some(&cold), memory).unwrap();
}

#[test]
fn a_machine_without_a_card_takes_no_state_of_one_and_the_other_way_round() {
    let driver = Driver::ready();
    let state = driver.card.state();
    for (own, state, words) in [
        (None, Some(&state), "has not one"),
        (Some(&config()), None, "the state is that of a machine with no"),
    ] {
        let error = check_card(own, state, &driver.memory).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    check_card(None, None, &driver.memory).unwrap();
}

/// The used ring lies where it is said what is available, and is a step ahead: there is always one more.
#[test]
fn no_more_is_taken_at_once_than_a_queue_holds() {
    let mut driver = Driver::ready();
    for index in 0..ENTRIES {
        driver.send(index, &[1; 60]);
    }
    driver.card.queues[TRANSMIT].set_used_ring_address(Some(0x2_1000), None);
    driver.card.queues[TRANSMIT].set_next_used(1);
    for taken in 1..4 {
        assert_eq!(driver.take().unwrap().len(), usize::from(ENTRIES));
        assert_eq!(driver.card.sent(), taken * u64::from(ENTRIES));
    }
}

/// A table of descriptors beside the queue's, which the card does not offer, could make each chain a long way.
#[test]
fn a_chain_of_more_buffers_than_a_queue_has_is_refused() {
    let mut driver = Driver::ready();
    let table = Driver::buffer(TRANSMIT, 20);
    for index in 0..1000_u16 {
        let [next, flags] = [index + 1, u16::try_from(VRING_DESC_F_NEXT).unwrap()].map(u16::to_le_bytes);
        let words = [&BUFFERS.to_le_bytes()[..], &1_u32.to_le_bytes(), &flags, &next].concat();
        driver.memory.write(table + u64::from(index) * 16, &words).unwrap();
    }
    driver.describe(TRANSMIT, 0, (table, 16 * 1000), (VRING_DESC_F_INDIRECT, 0));
    driver.make_available(TRANSMIT, 0);
    let error = driver.take().unwrap_err().to_string();
    assert!(error.contains("a chain of more than 256 buffers"), "{error}");
}

#[test]
fn a_driver_that_puts_a_queue_beyond_memory_is_told_so_when_it_says_that_it_is_ready() {
    let mut driver = Driver::ready();
    driver.set(mmio::VIRTIO_MMIO_STATUS, 0);
    driver.card.queues[RECEIVE].set_desc_table_address(Some(0xffff_f000), Some(7));
    let begun = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
    driver.set(mmio::VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    driver.set(mmio::VIRTIO_MMIO_DRIVER_FEATURES, 1);
    for queue in 0..2 {
        driver.set(mmio::VIRTIO_MMIO_QUEUE_SEL, queue);
        driver.set(mmio::VIRTIO_MMIO_QUEUE_READY, 1);
    }
    let ready = begun | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
    let said =
        driver.card.write(mmio::VIRTIO_MMIO_STATUS.into(), &ready.to_le_bytes(), driver.memory.mapping());
    let error = said.unwrap_err().to_string();
    assert!(error.contains("at 0x7fffff000"), "{error}");
}

#[test]
fn a_queue_that_cannot_be_is_an_error_and_no_access_beyond_memory() {
    type Row = (&'static str, fn(&mut Driver));
    let spoil: [Row; 5] = [
        ("more available than there are entries", |driver| {
            driver.memory.write(QUEUES[TRANSMIT] + AVAILABLE + 2, &999_u16.to_le_bytes()).unwrap();
        }),
        ("a buffer beyond memory", |driver| {
            driver.describe(TRANSMIT, 0, (u64::MAX - 8, 100), (0, 0));
            driver.make_available(TRANSMIT, 0);
        }),
        ("buffers of more than there is", |driver| {
            driver.describe(TRANSMIT, 0, (0, u32::MAX), (VRING_DESC_F_NEXT, 0));
            driver.make_available(TRANSMIT, 0);
        }),
        ("a queue beyond memory", |driver| {
            driver.set(mmio::VIRTIO_MMIO_STATUS, 0);
            driver.set(mmio::VIRTIO_MMIO_QUEUE_SEL, 1);
            driver.bring_up([0, 1], ENTRIES);
            driver.card.queues[TRANSMIT].set_avail_ring_address(Some(0xffff_f000), Some(7));
        }),
        ("a head that is no descriptor", |driver| driver.make_available(TRANSMIT, 500)),
    ];
    for (what, spoil) in spoil {
        let mut driver = Driver::ready();
        spoil(&mut driver);
        // Whatever comes of it: no panic, no end that never comes, and no frame that nobody has sent.
        let taken = driver.take();
        assert!(taken.as_ref().map_or(true, Vec::is_empty), "{what}: {taken:?}");
    }
    let mut driver = Driver::cold();
    driver.bring_up([0, 1], ENTRIES);
    driver.offer(RECEIVE, 0, 20, VRING_DESC_F_WRITE);
    let error = driver.put(&[1; 60]).unwrap_err().to_string();
    assert!(error.contains("a receive buffer of 20 bytes, for a frame and header of 72"), "{error}");
}

#[test]
fn queues_stay_where_they_are_while_they_are_used() {
    let mut driver = Driver::ready();
    let before = driver.card.state();
    driver.set(mmio::VIRTIO_MMIO_QUEUE_SEL, 0);
    driver.set(mmio::VIRTIO_MMIO_QUEUE_DESC_LOW, 0x7000);
    driver.set(mmio::VIRTIO_MMIO_QUEUE_NUM, 2);
    driver.set(mmio::VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    driver.set(mmio::VIRTIO_MMIO_QUEUE_SEL, 1);
    assert_eq!(driver.card.state(), before);
}
