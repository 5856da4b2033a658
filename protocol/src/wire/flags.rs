//! The flags in the low 12 bits of a RAM record's header: their names, and which of them a checkpoint may carry.
//! Nothing here reads the stream.

use core::fmt;

/// The low 12 bits of a RAM record's be64 (QEMU's `RAM_SAVE_FLAG_*`); the other bits are the page's address.
///
/// Displayed as "0x48 (PAGE|XBZRLE)".
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RamFlags(u16);

impl RamFlags {
    /// The bits of the be64 that are flags.
    pub(super) const MASK: u64 = 0xfff;

    /// `RAM_SAVE_FLAG_ZERO` (`RAM_SAVE_FLAG_COMPRESS` until 2.10): a page that is one byte 4096 times.
    pub const ZERO: Self = Self(0x02);
    /// `RAM_SAVE_FLAG_PAGE`: a page, whole.
    pub const PAGE: Self = Self(0x08);
    /// `RAM_SAVE_FLAG_EOS`: no more records in this section.
    pub const EOS: Self = Self(0x10);
    /// `RAM_SAVE_FLAG_CONTINUE`: the block is that of the record before.
    pub const CONTINUE: Self = Self(0x20);

    /// Every flag that some version of QEMU knows, by name.
    const NAMES: [(u16, &'static str); 10] = [
        (0x01, "FULL"),
        (0x02, "ZERO"),
        (0x04, "MEM_SIZE"),
        (0x08, "PAGE"),
        (0x10, "EOS"),
        (0x20, "CONTINUE"),
        (0x40, "XBZRLE"),
        (0x80, "HOOK"),
        (0x100, "COMPRESS_PAGE"),
        (0x200, "MULTIFD_FLUSH"),
    ];
    /// The bits without a name.
    const UNKNOWN: u16 = 0xc00;

    /// The flags in a record's be64.
    pub(super) fn of_header(header: u64) -> Self {
        // The mask leaves 12 bits, so nothing is cut off.
        Self(u16::try_from(header & Self::MASK).unwrap_or(0))
    }

    /// The raw 12 bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// What a record with these flags is; `None` where a checkpoint has no such record.
    pub(super) fn record(self) -> Option<RecordKind> {
        let continues = self.0 & Self::CONTINUE.0 != 0;
        match Self(self.0 & !Self::CONTINUE.0) {
            Self::PAGE => Some(RecordKind::Page { continues }),
            Self::ZERO => Some(RecordKind::Zero { continues }),
            Self::EOS if !continues => Some(RecordKind::EndOfRecords),
            _ => None,
        }
    }

    /// These flags and [`Self::CONTINUE`].
    pub(super) const fn continued(self) -> Self {
        Self(self.0 | Self::CONTINUE.0)
    }
}

/// The records of a checkpoint's RAM section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RecordKind {
    /// A page with its bytes.
    Page { continues: bool },
    /// A page of one byte's repetition.
    Zero { continues: bool },
    /// The end of the section's records.
    EndOfRecords,
}

impl fmt::Display for RamFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x} (", self.0)?;
        let mut separator = "";
        for (_, name) in Self::NAMES.into_iter().filter(|(bit, _)| self.0 & bit != 0) {
            write!(f, "{separator}{name}")?;
            separator = "|";
        }
        match (self.0, self.0 & Self::UNKNOWN) {
            (0, _) => f.write_str("none)"),
            (_, 0) => f.write_str(")"),
            (_, unknown) => write!(f, "{separator}unknown 0x{unknown:x})"),
        }
    }
}

impl fmt::Debug for RamFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RamFlags({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn five_of_the_4096_combinations_are_records() {
        let records = (0..=0xfff_u64).filter_map(|header| RamFlags::of_header(header).record());
        assert_eq!(records.count(), 5);
    }

    #[test]
    fn flags_are_named() {
        for (bits, text) in [
            (0x000, "0x0 (none)"),
            (0x00a, "0xa (ZERO|PAGE)"),
            (0x040, "0x40 (XBZRLE)"),
            (0x3ff, "0x3ff (FULL|ZERO|MEM_SIZE|PAGE|EOS|CONTINUE|XBZRLE|HOOK|COMPRESS_PAGE|MULTIFD_FLUSH)"),
            (0x400, "0x400 (unknown 0x400)"),
            (0x808, "0x808 (PAGE|unknown 0x800)"),
        ] {
            assert_eq!(RamFlags(bits).to_string(), text);
            assert_eq!(alloc::format!("{:?}", RamFlags(bits)), alloc::format!("RamFlags({text})"));
        }
    }

    #[test]
    fn a_record_that_continues_is_the_same_record() {
        for (flags, continued) in [(RamFlags::PAGE, 0x28), (RamFlags::ZERO, 0x22), (RamFlags(0x28), 0x28)] {
            assert_eq!(flags.continued().bits(), continued);
        }
    }
}
