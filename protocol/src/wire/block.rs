//! The name of a RAM block. It may hold any bytes up to 255, as the wire's length byte allows, and nothing more.

use arrayvec::ArrayVec;
use core::fmt::{self, Write as _};
use core::ops::Deref;
use thiserror::Error;

/// The name of a RAM block ("pc.ram"): up to 255 bytes, not necessarily UTF-8 (`RAMBlock.idstr`).
///
/// Displayed lossily, its control characters escaped: a name comes from the peer and goes to terminals. Dereferences to
/// its bytes.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct BlockName(ArrayVec<u8, { BlockName::MAX_BYTES }>);

/// A block name does not fit the wire's length byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a RAM block name of {bytes} bytes, at most 255 fit the wire")]
pub struct BlockNameTooLong {
    /// The length of the refused name in bytes.
    pub bytes: usize,
}

impl BlockName {
    /// The longest name in bytes.
    pub const MAX_BYTES: usize = 255;

    /// The name with these bytes; refused where they are more than [`Self::MAX_BYTES`].
    pub fn new(name: &[u8]) -> Result<Self, BlockNameTooLong> {
        let refused = BlockNameTooLong { bytes: name.len() };
        ArrayVec::try_from(name).map(Self).map_err(|_| refused)
    }

    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as the wire has it after its length byte: that byte is the length, so the name cannot be too long.
    pub(super) fn from_wire(name: &[u8]) -> Self {
        Self(name.iter().copied().take(Self::MAX_BYTES).collect())
    }

    /// The length byte that stands before the name.
    pub(super) fn length_byte(&self) -> u8 {
        u8::try_from(self.0.len()).unwrap_or(u8::MAX)
    }
}

impl Deref for BlockName {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&str> for BlockName {
    type Error = BlockNameTooLong;
    fn try_from(name: &str) -> Result<Self, BlockNameTooLong> {
        Self::new(name.as_bytes())
    }
}

impl fmt::Display for BlockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                if letter.is_control() {
                    write!(f, "{}", letter.escape_debug())?;
                } else {
                    f.write_char(letter)?;
                }
            }
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for BlockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_name_of_255_bytes_fits_and_one_of_256_does_not() {
        assert_eq!(BlockName::new(&[b'a'; 255]).map(|name| name.length_byte()), Ok(255));
        assert_eq!(BlockName::new(&[b'a'; 256]), Err(BlockNameTooLong { bytes: 256 }));
    }

    #[test]
    fn a_name_cannot_steer_a_terminal() {
        let name = BlockName::from_wire(b"pc.ram\x1b[2J\r\n\xc2\x9b");
        assert_eq!(format!("{name}"), "pc.ram\\u{1b}[2J\\r\\n\\u{9b}");
    }

    #[test]
    fn names_that_are_not_utf8_are_shown_lossily() {
        let name = BlockName::from_wire(b"pc\xff.ram");
        assert_eq!(format!("{name}"), "pc\u{fffd}.ram");
        assert_eq!(format!("{name:?}"), "\"pc\\xff.ram\"");
    }
}
