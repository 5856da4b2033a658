//! The work that all three do: two ends that play ping-pong over a network that loses datagrams.
//!
//! A message is three datagrams of eight bytes. Who has all three of a ping sends the pong; who has all three of a pong
//! sends the next ping. A datagram is lost one time in a hundred, and takes 1 to 10 ms. Who has no answer within 100 ms
//! sends the whole message again.

use std::time::Duration;

/// Datagrams of a message.
pub(crate) const PIECES: u8 = 3;
/// Bytes of a datagram: the number of the message, and which piece of it this is.
pub(crate) const PIECE_BYTES: usize = 8;
/// One datagram in so many is lost.
pub(crate) const ONE_IN: u32 = 100;
/// The least that a datagram takes.
pub(crate) const LEAST_LATENCY: Duration = Duration::from_millis(1);
/// The most.
pub(crate) const MOST_LATENCY: Duration = Duration::from_millis(10);
/// Until a message is sent again.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

/// What a datagram carries.
pub(crate) fn piece(message: u32, piece: u8) -> [u8; PIECE_BYTES] {
    let mut bytes = [0; PIECE_BYTES];
    bytes[..4].copy_from_slice(&message.to_le_bytes());
    bytes[4] = piece;
    bytes
}

/// Puts messages together from their pieces.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    message: u32,
    pieces: u8,
}

impl Assembly {
    /// Takes in a datagram; the number of the message, when this completes it.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<u32> {
        let (number, piece) = (bytes.first_chunk::<4>()?, *bytes.get(4)?);
        let message = u32::from_le_bytes(*number);
        if message > self.message {
            (self.message, self.pieces) = (message, 0);
        }
        if message == self.message {
            self.pieces |= 1 << piece;
        }
        let whole = message == self.message && self.pieces == (1 << PIECES) - 1;
        whole.then_some(message)
    }
}
