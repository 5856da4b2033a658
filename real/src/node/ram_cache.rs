//! The memory of the checkpoint that is loaded, beside that of the guest, where the secondary's executes, too (QEMU's RAM
//! cache): what its guest has written since is not what the primary's has, and only that is sent.

use super::inbound::Inbound;
use super::staging::Staging;
use crate::vm::{Machine, Page};

/// The memory of a checkpoint.
pub(super) struct RamCache {
    /// Zeroed pages take no memory until they are written to.
    pages: Vec<Page>,
    /// Room for the numbers of the pages that the guest has written.
    written: Vec<u64>,
}

const ZERO_PAGE: Page = [0; size_of::<Page>()];

impl RamCache {
    /// That of a machine that is in its initial state.
    pub(super) fn of(machine: &Machine) -> crate::Result<Self> {
        let mut pages = vec![ZERO_PAGE; usize::try_from(machine.memory().pages()).unwrap_or(0)];
        for (number, page) in (0..).zip(&mut pages) {
            let content = machine.page(number)?;
            if *content != ZERO_PAGE {
                *page = *content;
            }
        }
        Ok(Self { pages, written: Vec::new() })
    }

    /// The guest's memory becomes that of the checkpoint that is staged, whatever the guest has written since the one
    /// before.
    pub(super) fn load(
        &mut self,
        staged: &Staging,
        inbound: &Inbound,
        machine: &mut Machine,
    ) -> crate::Result<()> {
        machine.harvest(&mut self.written)?;
        staged.each(inbound, |number, content| {
            if let Some(page) = usize::try_from(number).ok().and_then(|index| self.pages.get_mut(index)) {
                *page = *content;
            }
            machine.write_page(number, content)
        })?;
        for number in &self.written {
            if let Some(page) = usize::try_from(*number).ok().and_then(|index| self.pages.get(index)) {
                machine.write_page(*number, page)?;
            }
        }
        machine.forget_dirty()
    }
}
