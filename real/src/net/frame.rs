//! An Ethernet frame as it is on the wire, without its checksum. Knows where the two addresses are, and no more: what a
//! frame carries is the business of whoever is at its ends.

use std::fmt;
use std::ops::Deref;

/// The shortest frame that is accepted: two addresses and a type, and nothing behind.
pub const MIN_FRAME_BYTES: usize = 14;
/// The longest frame that is accepted: a header, and 1500 bytes behind it.
pub const MAX_FRAME_BYTES: usize = 1514;

/// The address of a card.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Everybody.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it is the address of several: nobody sends from it.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.map(|byte| format!("{byte:02x}"));
        f.write_str(&bytes.join(":"))
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes that are no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a frame of {got} bytes: it must have from {MIN_FRAME_BYTES} to {MAX_FRAME_BYTES} bytes")]
pub struct FrameError {
    /// How many came.
    pub got: usize,
}

/// A frame.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Frame(Box<[u8]>);

impl Frame {
    /// The frame of these bytes, if they are as many as a frame may have.
    pub fn new(bytes: &[u8]) -> Result<Self, FrameError> {
        if is_frame(bytes.len()) { Ok(Self(bytes.into())) } else { Err(FrameError { got: bytes.len() }) }
    }

    /// Who is to have it.
    pub fn destination(&self) -> MacAddress {
        self.address(0)
    }

    /// Who has sent it.
    pub fn source(&self) -> MacAddress {
        self.address(6)
    }

    fn address(&self, at: usize) -> MacAddress {
        let mut address = [0; 6];
        address.copy_from_slice(&self.0[at..at + 6]);
        MacAddress(address)
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame of {} bytes from {} to {}", self.0.len(), self.source(), self.destination())
    }
}

/// Whether a frame may have so many bytes.
pub(super) const fn is_frame(bytes: usize) -> bool {
    MIN_FRAME_BYTES <= bytes && bytes <= MAX_FRAME_BYTES
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_frame_tells_its_addresses() {
        let bytes: Vec<u8> = (0..14).collect();
        let frame = Frame::new(&bytes).unwrap();
        assert_eq!(frame.destination().to_string(), "00:01:02:03:04:05");
        assert_eq!(frame.source(), MacAddress([6, 7, 8, 9, 10, 11]));
        assert_eq!(*frame, *bytes);
    }

    #[test]
    fn what_is_too_short_or_too_long_is_no_frame() {
        for bytes in [14, 1514] {
            assert_eq!(Frame::new(&vec![0; bytes]).unwrap().len(), bytes);
        }
        for bytes in [0, 13, 1515, 9000] {
            let error = Frame::new(&vec![0; bytes]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("a frame of {bytes} bytes: it must have from 14 to 1514 bytes")
            );
        }
    }

    #[test]
    fn an_address_of_several_is_known() {
        assert!(MacAddress::BROADCAST.is_group());
        assert!(MacAddress([0x01, 0, 0x5e, 0, 0, 1]).is_group());
        assert!(!MacAddress([0x02, 0, 0, 0, 0x66, 2]).is_group());
    }
}
