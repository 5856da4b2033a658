//! What of a card travels with a checkpoint: its registers, where its queues lie and how far they have been worked off. What is in
//! the queues is memory; frames that have been taken out are output.

use super::registers::Registers;
use super::{NetworkCard, corrupt};
use crate::abi::CARD_QUEUE_ENTRIES;
use crate::{Error, Result};
use virtio_queue::{Queue, QueueState};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The state of a card, as numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct CardState {
    status: u32,
    card_half: u32,
    driver_half: u32,
    selected: u32,
    driver_features: u64,
    configuration: [u8; 8],
    sent: u64,
    received: u64,
    received_before: u64,
    queues: [Words; 2],
}

/// A queue's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Words {
    next_avail: u16,
    next_used: u16,
    size: u16,
    ready: u16,
    desc_table: u64,
    avail_ring: u64,
    used_ring: u64,
}

#[cfg(test)]
impl CardState {
    /// The same with a transmit queue of so many entries.
    pub(super) const fn with_queue_size(mut self, size: u16) -> Self {
        self.queues[1].size = size;
        self
    }
}

impl NetworkCard {
    pub(in super::super) fn state(&self) -> CardState {
        let Registers { status, card_half, driver_half, driver_features, selected, configuration } =
            self.registers;
        let queues = self.queues.each_ref().map(|queue| Words::from(queue.state()));
        CardState {
            status,
            card_half,
            driver_half,
            selected,
            driver_features,
            configuration,
            sent: self.sent,
            received: self.received,
            received_before: self.received_before,
            queues,
        }
    }

    /// Becomes what another card was.
    pub(in super::super) fn restore(&mut self, state: &CardState) -> Result<()> {
        let CardState {
            status,
            card_half,
            driver_half,
            selected,
            driver_features,
            configuration,
            sent,
            received,
            received_before,
            queues: [receive, transmit],
        } = *state;
        if configuration != self.registers.configuration {
            return Err(Error::Card(format!(
                "the state is that of a card with the configuration {configuration:02x?}, expected {:02x?}",
                self.registers.configuration
            )));
        }
        self.queues = [receive.queue()?, transmit.queue()?];
        self.registers =
            Registers { status, card_half, driver_half, driver_features, selected, configuration };
        (self.sent, self.received, self.received_before) = (sent, received, received_before);
        Ok(())
    }
}

impl Words {
    fn queue(self) -> Result<Queue> {
        Queue::try_from(QueueState {
            max_size: CARD_QUEUE_ENTRIES,
            next_avail: self.next_avail,
            next_used: self.next_used,
            event_idx_enabled: false,
            size: self.size,
            ready: self.ready == 1,
            desc_table: self.desc_table,
            avail_ring: self.avail_ring,
            used_ring: self.used_ring,
        })
        .map_err(corrupt)
    }
}

impl From<QueueState> for Words {
    fn from(state: QueueState) -> Self {
        let QueueState { next_avail, next_used, size, ready, desc_table, avail_ring, used_ring, .. } = state;
        Self { next_avail, next_used, size, ready: ready.into(), desc_table, avail_ring, used_ring }
    }
}
