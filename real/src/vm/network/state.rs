//! What of a card travels with a checkpoint: its registers, where its queues lie and how far they have been worked off. What is in
//! the queues is memory; frames that have been taken out are output.

use super::registers::Registers;
use super::{CardConfig, Mapping, Memory, NetworkCard, check_place, corrupt};
use crate::abi::CARD_QUEUE_ENTRIES;
use crate::{Error, Result};
use virtio_queue::{Queue, QueueState};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The most frames that a card can have sent or received: from here none comes to where numbers end.
const COUNT_MAX: u64 = u64::MAX / 2;

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
    pub(crate) const fn with_queue_size(mut self, size: u16) -> Self {
        self.queues[1].size = size;
        self
    }

    /// The same with a transmit queue whose descriptors, available and used entries lie there.
    pub(crate) const fn with_queue_at(mut self, [desc_table, avail_ring, used_ring]: [u64; 3]) -> Self {
        self.queues[1] = Words { desc_table, avail_ring, used_ring, ..self.queues[1] };
        self
    }

    /// The same with a transmit queue that is ready so many times.
    pub(crate) const fn with_ready(mut self, ready: u16) -> Self {
        self.queues[1].ready = ready;
        self
    }

    /// The same of a card that has sent and received so many frames, and received so many before its driver was ready.
    pub(crate) const fn with_counts(mut self, [sent, received, before]: [u64; 3]) -> Self {
        (self.sent, self.received, self.received_before) = (sent, received, before);
        self
    }
}

impl CardState {
    /// Frames that the card had ever sent.
    pub const fn sent(&self) -> u64 {
        self.sent
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

    /// Becomes what another card was, which is in this memory now.
    pub(in super::super) fn restore(&mut self, state: &CardState, memory: &Mapping) -> Result<()> {
        *self = Self::of_state(state, &self.registers, memory)?;
        Ok(())
    }

    /// The card of this state, if there can be one that is like the one with these registers.
    fn of_state(state: &CardState, own: &Registers, memory: &Mapping) -> Result<Self> {
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
        if configuration != own.configuration {
            return Err(Error::Card(format!(
                "the state is that of a card with the configuration {configuration:02x?}, expected {:02x?}",
                own.configuration
            )));
        }
        if sent.max(received) > COUNT_MAX || received_before > received {
            return Err(Error::Card(format!(
                "the state is that of a card that has sent {sent} frames and received {received}, {received_before} of them \
                 before"
            )));
        }
        let card = Self {
            registers: Registers { status, card_half, driver_half, driver_features, selected, configuration },
            queues: [receive.queue()?, transmit.queue()?],
            sent,
            received,
            received_before,
        };
        if card.is_ready() {
            card.queues.iter().try_for_each(|queue| check_place(queue, memory))?;
        }
        Ok(card)
    }
}

/// Whether a state may be that of a machine with such a card, or with none, in this memory: asked before anything of it is loaded.
pub(in super::super) fn check_card(
    own: Option<&CardConfig>,
    state: Option<&CardState>,
    memory: &Memory,
) -> Result<()> {
    match (own, state) {
        (Some(own), Some(state)) => {
            let own = Registers::of(own.hardware_address);
            NetworkCard::of_state(state, &own, memory.mapping()).map(drop)
        }
        (None, None) => Ok(()),
        (own, _) => {
            let [has, lacks] = if own.is_some() { ["has", "no"] } else { ["has not", "one"] };
            let words = format!("the machine {has} one, the state is that of a machine with {lacks}");
            Err(Error::Card(words))
        }
    }
}

impl Words {
    fn queue(self) -> Result<Queue> {
        if self.ready > 1 {
            return Err(Error::Card(format!("a queue that is ready {} times", self.ready)));
        }
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
