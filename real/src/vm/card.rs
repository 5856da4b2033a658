//! The host's end of the guest's rings, by which a guest without a network card is asked and answers.
//!
//! The counters live in guest memory and are read afresh each time, so that a restored machine needs no other state.
//! The guest can overwrite all of them; an impossible count is an error, never an access outside a ring.

use super::{Machine, Memory};
use crate::abi::{self, RING_SLOTS, Reply, Request, Slot};
use crate::net::Frame;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// What the machine has on its front. Who presses one asks the guest, which does what is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Button {
    /// The guest is to power off.
    Power,
    /// The guest is to begin anew.
    Reset,
}

impl Machine {
    /// Puts a request into the ring; `false` when the ring is full. The guest sees it when it runs.
    ///
    /// # Errors
    /// [`Error::Ring`] when the guest has corrupted the ring.
    pub fn put_request(&mut self, request: &Request) -> Result<bool> {
        self.memory().put_request(request)
    }

    /// Takes all replies out of the ring, in order, to the end of `replies`; says how many. Their offsets in the output
    /// stream end at [`Machine::output_end`].
    ///
    /// # Errors
    /// [`Error::Ring`] when the guest has corrupted the ring; then nothing is taken.
    pub fn take_replies(&mut self, replies: &mut Vec<Reply>) -> Result<u64> {
        self.memory().take_replies(replies)
    }

    /// Replies that the guest has ever put into the ring, or frames that it has sent if it has a network card: the offset of the end of its output stream.
    ///
    /// # Errors
    /// None in practice: the counter lies in memory.
    pub fn output_end(&self) -> Result<u64> {
        self.card.as_ref().map_or_else(|| self.memory().output_end(), |(card, _)| Ok(card.sent()))
    }

    /// Requests that the host has ever put into the ring, or frames that the guest has been given if it has a network card.
    ///
    /// # Errors
    /// None in practice: the counter lies in memory.
    pub fn given(&self) -> Result<u64> {
        let frames = self.card.as_ref().map(|(card, _)| card.received());
        frames.map_or_else(|| self.memory().read_word(abi::REQUESTS_PUT), Ok)
    }

    /// Gives the guest a tick: it dirties its pages per tick when it next runs.
    ///
    /// # Errors
    /// None in practice: the counter lies in memory.
    pub fn tick(&mut self) -> Result<()> {
        self.memory().tick()
    }

    /// Presses a button, which the guest minds when it next runs.
    ///
    /// # Errors
    /// None in practice: the counter lies in memory.
    pub fn press(&mut self, button: Button) -> Result<()> {
        self.memory().press(button)
    }

    /// More of the guest's time has passed. It counts only for a guest that has asked for it.
    ///
    /// # Errors
    /// None in practice: the word lies in memory.
    pub fn pass_time(&mut self, passed: Duration) -> Result<()> {
        self.memory().pass_time(passed)
    }

    /// How much of its time has to pass until the guest wants to run without being asked; none if it never does.
    ///
    /// # Errors
    /// None in practice: the words lie in memory.
    pub fn wakes_in(&self) -> Result<Option<Duration>> {
        self.memory().wakes_in()
    }

    /// Whether an idle guest would find something to do: running it without is a waste of an exit.
    ///
    /// # Errors
    /// [`Error::Ring`] when the guest has corrupted a ring.
    pub fn has_work(&self) -> Result<bool> {
        Ok(self.memory().has_work()? || self.has_frames()?)
    }

    /// Whether the guest has not yet got as far as its network card has.
    fn has_frames(&self) -> Result<bool> {
        let Some((card, _)) = &self.card else { return Ok(false) };
        Ok(!card.is_ready() || card.given() != self.memory().read_word(abi::FRAMES_TAKEN)?)
    }

    /// Whether it has a network card.
    pub const fn has_card(&self) -> bool {
        self.card.is_some()
    }

    /// Puts a frame into the network card's receive queue; `false` when the guest has left no room there, or there is no card. The
    /// guest sees it when it runs.
    ///
    /// # Errors
    /// [`Error::Card`] when the guest has corrupted the queue.
    pub fn put_frame(&mut self, frame: &[u8]) -> Result<bool> {
        let memory = Arc::clone(self.memory());
        self.card.as_mut().map_or(Ok(false), |(card, _)| card.put(memory.mapping(), frame))
    }

    /// Takes all frames that the guest has sent, in order, to the end of `frames`; says how many. Their offsets in the output
    /// stream end at [`Machine::output_end`].
    ///
    /// # Errors
    /// [`Error::Card`] when the guest has corrupted the queue.
    pub fn take_frames(&mut self, frames: &mut Vec<Frame>) -> Result<u64> {
        let memory = Arc::clone(self.memory());
        self.card.as_mut().map_or(Ok(0), |(card, _)| card.take(memory.mapping(), frames))
    }
}

/// What the machine's methods of the same names do, all of it in memory.
impl Memory {
    pub(super) fn put_request(&self, request: &Request) -> Result<bool> {
        let (put, waiting) = self.requests()?;
        if waiting == RING_SLOTS {
            return Ok(false);
        }
        self.write(abi::slot_address(abi::REQUEST_RING, put), &to_bytes(request.to_slot()))?;
        self.write(abi::REQUESTS_PUT, &put.wrapping_add(1).to_le_bytes())?;
        Ok(true)
    }

    pub(super) fn take_replies(&self, replies: &mut Vec<Reply>) -> Result<u64> {
        let put = self.output_end()?;
        let waiting = self.replies_waiting(put)?;
        for n in (0..waiting).map(|back| put.wrapping_sub(waiting - back)) {
            let mut bytes = [0; size_of::<Slot>()];
            self.read(abi::slot_address(abi::REPLY_RING, n), &mut bytes)?;
            replies.push(Reply::from_slot(from_bytes(&bytes)));
        }
        if waiting > 0 {
            self.write(abi::REPLIES_TAKEN, &put.to_le_bytes())?;
        }
        Ok(waiting)
    }

    pub(super) fn output_end(&self) -> Result<u64> {
        self.read_word(abi::REPLIES_PUT)
    }

    pub(super) fn tick(&self) -> Result<()> {
        let given = self.read_word(abi::TICKS_GIVEN)?;
        self.write(abi::TICKS_GIVEN, &given.wrapping_add(1).to_le_bytes())
    }

    pub(super) fn press(&self, button: Button) -> Result<()> {
        let pressed = match button {
            Button::Power => abi::POWER_PRESSED,
            Button::Reset => abi::RESET_PRESSED,
        };
        self.write(pressed, &self.read_word(pressed)?.wrapping_add(1).to_le_bytes())
    }

    /// Whether a button has been pressed that the guest has not minded.
    fn is_pressed(&self) -> Result<bool> {
        let buttons = [(abi::POWER_PRESSED, abi::POWER_MINDED), (abi::RESET_PRESSED, abi::RESET_MINDED)];
        for (pressed, minded) in buttons {
            if self.read_word(pressed)? != self.read_word(minded)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What has been put and was not taken is lost: a card that is reset forgets it.
    pub(super) fn empty_requests(&self) -> Result<()> {
        self.write(abi::REQUESTS_TAKEN, &self.read_word(abi::REQUESTS_PUT)?.to_le_bytes())
    }

    pub(super) fn pass_time(&self, passed: Duration) -> Result<()> {
        if self.read_word(abi::NEXT_US)? == 0 {
            return Ok(());
        }
        let passed = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        let time = self.read_word(abi::TIME_US)?.saturating_add(passed);
        self.write(abi::TIME_US, &time.to_le_bytes())
    }

    pub(super) fn wakes_in(&self) -> Result<Option<Duration>> {
        let next = self.read_word(abi::NEXT_US)?;
        let time = self.read_word(abi::TIME_US)?;
        Ok((next != 0).then(|| Duration::from_micros(next.saturating_sub(time))))
    }

    pub(super) fn has_work(&self) -> Result<bool> {
        let ticks = self.read_word(abi::TICKS_GIVEN)? != self.read_word(abi::TICKS_DONE)?;
        let (_, requests) = self.requests()?;
        let room = self.replies_waiting(self.output_end()?)? < RING_SLOTS;
        let awake = self.wakes_in()?.is_some_and(|wakes_in| wakes_in.is_zero());
        Ok(ticks || awake || (requests > 0 && room) || self.sees_no_blocks()? || self.is_pressed()?)
    }

    fn requests(&self) -> Result<(u64, u64)> {
        let put = self.read_word(abi::REQUESTS_PUT)?;
        let taken = self.read_word(abi::REQUESTS_TAKEN)?;
        Ok((put, waiting("request", put, taken)?))
    }

    fn replies_waiting(&self, put: u64) -> Result<u64> {
        waiting("reply", put, self.read_word(abi::REPLIES_TAKEN)?)
    }
}

/// Entries in a ring, if the counters can be true.
fn waiting(ring: &'static str, put: u64, taken: u64) -> Result<u64> {
    let waiting = put.wrapping_sub(taken);
    if waiting > RING_SLOTS {
        return Err(Error::Ring { ring, put, taken, slots: RING_SLOTS });
    }
    Ok(waiting)
}

pub(super) fn to_bytes(slot: Slot) -> [u8; size_of::<Slot>()] {
    let mut bytes = [0; size_of::<Slot>()];
    for (to, word) in bytes.chunks_exact_mut(8).zip(slot) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

pub(super) fn from_bytes(bytes: &[u8; size_of::<Slot>()]) -> Slot {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|index| words.get(index).map_or(0, |word| u64::from_le_bytes(*word)))
}
