//! The card's registers: what its driver reads and writes to find the card, agree with it, and say where the queues lie.

use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_mmio as mmio;
use virtio_bindings::virtio_net::{VIRTIO_NET_F_MAC, VIRTIO_NET_F_STATUS, VIRTIO_NET_S_LINK_UP};
use virtio_queue::{Queue, QueueT};

/// `virt`, as the specification has it.
const MAGIC: u32 = u32::from_le_bytes(*b"virt");

/// Of the registers, the version without a legacy.
const VERSION: u32 = 2;

/// Who has made the card; no driver looks.
const VENDOR: u32 = u32::from_le_bytes(*b"COLO");

/// What the card can: nothing that is not needed, so that there is nothing that a guest could get wrong.
const FEATURES: u64 = 1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_NET_F_MAC | 1 << VIRTIO_NET_F_STATUS;

/// Bytes of the card's own configuration: its address, and whether its cable is plugged in.
const CONFIGURATION_BYTES: usize = 8;

/// The registers that are not a queue's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Registers {
    /// How far its driver has come.
    pub(super) status: u32,
    /// Which half of the card's features is read.
    pub(super) card_half: u32,
    /// Which half of the driver's features is written.
    pub(super) driver_half: u32,
    /// What the driver has chosen of them.
    pub(super) driver_features: u64,
    /// The queue that the queues' registers are those of.
    pub(super) selected: u32,
    /// The card's own, which never changes.
    pub(super) configuration: [u8; CONFIGURATION_BYTES],
}

impl Registers {
    pub(super) fn of(hardware_address: [u8; 6]) -> Self {
        let mut configuration = [0; CONFIGURATION_BYTES];
        configuration[..6].copy_from_slice(&hardware_address);
        configuration[6] = u8::try_from(VIRTIO_NET_S_LINK_UP).unwrap_or_default();
        Self { configuration, ..Self::default() }
    }

    /// Whether a driver has said that it is ready.
    pub(super) const fn is_driven(&self) -> bool {
        let ready = VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
        self.status & ready == ready
    }

    /// What the guest finds at `register`: zeros where there is none, or where it asks for one in parts.
    pub(super) fn read(&self, register: u64, queues: &[Queue], to: &mut [u8]) {
        to.fill(0);
        if let Some(place) = register.checked_sub(mmio::VIRTIO_MMIO_CONFIG.into()) {
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            let from = self.configuration.get(place..).unwrap_or_default();
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        } else if let Ok(to) = <&mut [u8; 4]>::try_from(to) {
            *to = self.word(u32::try_from(register).unwrap_or(u32::MAX), queues).to_le_bytes();
        }
    }

    fn word(&self, register: u32, queues: &[Queue]) -> u32 {
        let queue = usize::try_from(self.selected).ok().and_then(|selected| queues.get(selected));
        match register {
            mmio::VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            mmio::VIRTIO_MMIO_VERSION => VERSION,
            mmio::VIRTIO_MMIO_DEVICE_ID => VIRTIO_ID_NET,
            mmio::VIRTIO_MMIO_VENDOR_ID => VENDOR,
            mmio::VIRTIO_MMIO_DEVICE_FEATURES => half(FEATURES, self.card_half),
            mmio::VIRTIO_MMIO_QUEUE_NUM_MAX => queue.map_or(0, |queue| queue.max_size().into()),
            mmio::VIRTIO_MMIO_QUEUE_READY => queue.is_some_and(QueueT::ready).into(),
            mmio::VIRTIO_MMIO_STATUS => self.status,
            // No interrupt waits, and the configuration never changes.
            _ => 0,
        }
    }

    /// The guest writes. What no driver may write has no effect.
    pub(super) fn write(&mut self, register: u64, from: &[u8], queues: &mut [Queue; 2]) {
        let (Ok(register), Ok(bytes)) = (u32::try_from(register), <[u8; 4]>::try_from(from)) else { return };
        let value = u32::from_le_bytes(bytes);
        match register {
            mmio::VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.card_half = value,
            mmio::VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.driver_half = value,
            mmio::VIRTIO_MMIO_DRIVER_FEATURES => self.set_half(value),
            mmio::VIRTIO_MMIO_QUEUE_SEL => self.selected = value,
            mmio::VIRTIO_MMIO_STATUS => self.set_status(value, queues),
            // A queue stays where it is while a driver uses it.
            _ if self.is_driven() => {}
            _ => {
                let selected = usize::try_from(self.selected).unwrap_or(usize::MAX);
                if let Some(queue) = queues.get_mut(selected) {
                    write_queue(queue, register, value);
                }
            }
        }
    }

    const fn set_half(&mut self, value: u32) {
        let shift = match self.driver_half {
            0 => 0,
            1 => 32,
            _ => return,
        };
        self.driver_features &= !((u32::MAX as u64) << shift);
        self.driver_features |= (value as u64) << shift;
    }

    /// As after power on.
    pub(super) fn reset(&mut self, queues: &mut [Queue; 2]) {
        queues.iter_mut().for_each(QueueT::reset);
        *self = Self { configuration: self.configuration, ..Self::default() };
    }

    /// Zero resets the card. What a driver has chosen beyond what the card can is not agreed to.
    fn set_status(&mut self, status: u32, queues: &mut [Queue; 2]) {
        if status == 0 {
            self.reset(queues);
            return;
        }
        let agrees =
            self.driver_features & !FEATURES == 0 && self.driver_features >> VIRTIO_F_VERSION_1 & 1 == 1;
        self.status = if agrees { status } else { status & !VIRTIO_CONFIG_S_FEATURES_OK };
    }
}

fn write_queue(queue: &mut Queue, register: u32, value: u32) {
    match register {
        mmio::VIRTIO_MMIO_QUEUE_NUM => queue.set_size(u16::try_from(value).unwrap_or(u16::MAX)),
        mmio::VIRTIO_MMIO_QUEUE_READY => queue.set_ready(value == 1),
        mmio::VIRTIO_MMIO_QUEUE_DESC_LOW => queue.set_desc_table_address(Some(value), None),
        mmio::VIRTIO_MMIO_QUEUE_DESC_HIGH => queue.set_desc_table_address(None, Some(value)),
        mmio::VIRTIO_MMIO_QUEUE_AVAIL_LOW => queue.set_avail_ring_address(Some(value), None),
        mmio::VIRTIO_MMIO_QUEUE_AVAIL_HIGH => queue.set_avail_ring_address(None, Some(value)),
        mmio::VIRTIO_MMIO_QUEUE_USED_LOW => queue.set_used_ring_address(Some(value), None),
        mmio::VIRTIO_MMIO_QUEUE_USED_HIGH => queue.set_used_ring_address(None, Some(value)),
        // That a queue has something is seen without being told.
        _ => {}
    }
}

/// The low half of a word of 64 bits, or the high one; there is no other.
const fn half(word: u64, which: u32) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "half of it is wanted")]
    match which {
        0 => word as u32,
        1 => (word >> 32) as u32,
        _ => 0,
    }
}
