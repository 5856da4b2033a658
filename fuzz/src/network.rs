//! What a hostile guest can do to its network card, and a hostile peer to its state, without KVM.

use arbitrary::{Result, Unstructured};
use colo_real::abi::{CARD_QUEUE_ENTRIES, FRAME_BYTES_MAX};
use colo_real::vm::BareNetworkCard;
use std::cell::RefCell;

/// Acts of a run.
const MOST_ACTS: usize = 200;

/// Where the queues lie that a driver brings up: descriptors, what is available, what is used.
const QUEUES: [u32; 2] = [0x1_0000, 0x2_0000];
const AVAILABLE: u32 = 0x1000;
const USED: u32 = 0x2000;

/// Registers that do something: features, queues, status; the queues' places with both halves.
const REGISTERS: [u64; 16] =
    [0x00, 0x10, 0x14, 0x20, 0x24, 0x30, 0x34, 0x38, 0x44, 0x70, 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4];
const STATUS: u64 = 0x70;

thread_local! {
    /// Guest memory is made once: it is larger than all else that a run needs.
    static CARD: RefCell<BareNetworkCard> = RefCell::new(BareNetworkCard::new().expect("16 MiB can be had"));
}

/// A guest that does what it likes, between the host's accesses. Byte 0 says whether a driver has brought the card up before.
pub fn network_card(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    CARD.with_borrow_mut(|card| {
        let mut guest = Guest { card, available: [0; 2] };
        if choice & 1 == 1 {
            guest.bring_up();
        }
        let mut bytes = Unstructured::new(bytes);
        for _ in 0..MOST_ACTS {
            if bytes.is_empty() || guest.act(&mut bytes).is_err() {
                break;
            }
        }
        card.clear().expect("all of it is memory");
    });
}

struct Guest<'a> {
    card: &'a mut BareNetworkCard,
    /// What it has made available in each queue.
    available: [u16; 2],
}

impl Guest<'_> {
    fn act(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        match bytes.int_in_range(0..=9)? {
            0 => {
                let (register, word) = (register(bytes)?, bytes.arbitrary::<u64>()?.to_le_bytes());
                self.writes(register, &word[..1 << bytes.int_in_range(0..=3)?]);
            }
            1 => self.reads(register(bytes)?, 1 << bytes.int_in_range(0..=4)?),
            2 => {
                let zone = QUEUES[bytes.int_in_range(0..=1)?] + u32::from(bytes.arbitrary::<u16>()? & 0x2fff);
                self.pokes(zone, &bytes.arbitrary::<u64>()?.to_le_bytes());
            }
            3 => self.describes(bytes)?,
            4 | 5 => {
                let (queue, head) = (bytes.int_in_range(0..=1)?, bytes.arbitrary::<u16>()?);
                self.offers(queue, if head & 0xff00 == 0 { head } else { head & 7 });
            }
            6 => self.is_given(bytes.int_in_range(14..=FRAME_BYTES_MAX)?),
            7 => self.is_taken_from(),
            8 => self.is_moved(),
            _ => self.is_moved_wrongly(bytes)?,
        }
        Ok(())
    }

    /// What a driver does, so that a fuzzer need not find it out.
    fn bring_up(&mut self) {
        let set = |guest: &mut Self, register, word: u32| guest.writes(register, &word.to_le_bytes());
        for (register, word) in [(STATUS, 3), (0x24, 1), (0x20, 1), (STATUS, 0xb)] {
            set(self, register, word);
        }
        for (queue, at) in (0..).zip(QUEUES) {
            let places = [(0x80, at), (0x90, at + AVAILABLE), (0xa0, at + USED)];
            for (register, word) in [(0x30, queue), (0x38, 8)].into_iter().chain(places).chain([(0x44, 1)]) {
                set(self, register, word);
            }
        }
        set(self, STATUS, 0xf);
        assert!(self.card.is_ready(), "there is nothing wrong with it");
    }

    fn writes(&mut self, register: u64, bytes: &[u8]) {
        let (counts, was_ready) = (self.card.counts(), self.card.is_ready());
        if self.card.write(register, bytes).is_err() {
            assert!(was_ready || !self.card.is_ready(), "a card that was refused is not ready");
        }
        assert_eq!(self.card.counts(), counts, "a register sends and receives nothing");
    }

    fn reads(&self, register: u64, bytes: usize) {
        let mut word = [0xee; 16];
        let (asked, beside) = word.split_at_mut(bytes);
        self.card.read(register, asked);
        assert!(beside.iter().all(|byte| *byte == 0xee));
        assert!(
            register >= 0x100 || bytes == 4 || asked.iter().all(|byte| *byte == 0),
            "registers have four bytes"
        );
    }

    fn pokes(&mut self, address: u32, bytes: &[u8]) {
        self.card.poke(address.into(), bytes).expect("the queues lie in memory");
    }

    fn describes(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let (queue, index) = (bytes.int_in_range(0..=1)?, bytes.int_in_range(0..=7_u32)?);
        // Mostly in memory, sometimes in the queues, sometimes nowhere.
        let address = match bytes.int_in_range(0..=3)? {
            0 => bytes.arbitrary::<u64>()?,
            1 => u64::from(QUEUES[queue]) + u64::from(bytes.arbitrary::<u16>()? & 0x2fff),
            _ => 0x10_0000 + u64::from(bytes.arbitrary::<u16>()?),
        };
        let length = if bytes.ratio(1, 8)? {
            bytes.arbitrary()?
        } else {
            u32::from(bytes.arbitrary::<u16>()? & 0xfff)
        };
        let (flags, next) = (bytes.int_in_range(0..=7_u16)?, bytes.int_in_range(0..=9_u16)?);
        let descriptor =
            [&address.to_le_bytes()[..], &length.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()];
        self.pokes(QUEUES[queue] + index * 16, &descriptor.concat());
        Ok(())
    }

    fn offers(&mut self, queue: usize, head: u16) {
        let place = AVAILABLE + 4 + u32::from(self.available[queue] % 8) * 2;
        self.pokes(QUEUES[queue] + place, &head.to_le_bytes());
        self.available[queue] = self.available[queue].wrapping_add(1);
        self.pokes(QUEUES[queue] + AVAILABLE + 2, &self.available[queue].to_le_bytes());
    }

    fn is_given(&mut self, bytes: usize) {
        let [sent, received] = self.card.counts();
        let is_given = self.card.put_frame(&[0x55; FRAME_BYTES_MAX][..bytes]).is_ok_and(|is_given| is_given);
        assert!(!is_given || self.card.is_ready(), "there is no queue");
        assert_eq!(self.card.counts(), [sent, received + u64::from(is_given)]);
    }

    fn is_taken_from(&mut self) {
        let ([sent, received], mut frames) = (self.card.counts(), Vec::new());
        let taken = self.card.take_frames(&mut frames);
        assert!(taken.is_err() || taken.is_ok_and(|taken| taken == frames.len() as u64));
        assert!(frames.len() <= usize::from(CARD_QUEUE_ENTRIES), "more than a queue has");
        assert!(frames.iter().all(|frame| (14..=FRAME_BYTES_MAX).contains(&frame.len())));
        assert!(frames.is_empty() || self.card.is_ready(), "there is no queue");
        assert_eq!(self.card.counts(), [sent + frames.len() as u64, received]);
    }

    /// Whatever the guest has done, a survivor can go on with it.
    fn is_moved(&mut self) {
        let (state, is_ready, counts) = (self.card.state(), self.card.is_ready(), self.card.counts());
        self.card.restore(&state).expect("a card that there is");
        assert_eq!((self.card.state(), self.card.is_ready(), self.card.counts()), (state, is_ready, counts));
    }

    /// A peer's state, of which some bytes are others: it is what the card is then, or nothing of it.
    fn is_moved_wrongly(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let before = self.card.state();
        let mut state = before.clone();
        for _ in 0..bytes.int_in_range(1..=4)? {
            let place = bytes.choose_index(state.len())?;
            state[place] = bytes.arbitrary()?;
        }
        let after = if self.card.restore(&state).is_ok() { state } else { before };
        assert!(self.card.state() == after, "two states mean the same");
        assert!(self.card.counts().iter().all(|count| *count <= u64::MAX / 2), "it ends where numbers do");
        Ok(())
    }
}

fn register(bytes: &mut Unstructured<'_>) -> Result<u64> {
    match bytes.int_in_range(0..=20)? {
        20 => bytes.arbitrary(),
        19 => Ok(bytes.int_in_range(0..=0x200)?),
        place => Ok(REGISTERS[place % REGISTERS.len()]),
    }
}
