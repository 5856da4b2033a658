//! The memory of the checkpoint that is loaded, beside that of the guest, where the secondary's executes, too (QEMU's RAM
//! cache): what its guest has written since is not what the primary's has, and only that is sent.

use super::inbound::Inbound;
use super::staging::Staging;
use super::vcpu::VcpuThread;
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

/// Applies what is staged to the memory of a guest that stands still meanwhile, and to the cache beside it, if there is one.
pub(super) fn apply_ram(
    staged: &Staging,
    inbound: &Inbound,
    cache: Option<&mut RamCache>,
    vcpu: &VcpuThread,
) -> crate::Result<()> {
    vcpu.while_still(|machine| match cache {
        Some(cache) => cache.load(staged, inbound, machine),
        None => staged.apply_ram(inbound, machine),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::abi::Parameters;
    use crate::node::staging::{Limits, RAM_BLOCK};
    use crate::vm::{Guest, MachineConfig};
    use colo_protocol::wire::{BlockName, Body};

    const PAGE: usize = size_of::<Page>();

    fn machine() -> Machine {
        let mut machine =
            Machine::new(&MachineConfig { memory_mib: 16, prefault: false, card: None }).unwrap();
        machine.boot(Guest::Kv.image(), &Parameters::default()).unwrap();
        machine.forget_dirty().unwrap();
        machine
    }

    /// A checkpoint of these pages, each filled with a byte.
    fn staged(pages: &[(u64, u8)], machine: &Machine) -> Staging {
        let limits = Limits { memory_pages: machine.memory().pages(), ram_sections: 1 };
        let (mut staging, block) = (Staging::default(), BlockName::new(RAM_BLOCK.as_bytes()).unwrap());
        for (page, fill) in pages {
            let body = Body::ZeroPage { address: page * PAGE as u64, block: &block, fill: *fill };
            staging.take(&body, &Inbound::default(), limits).unwrap();
        }
        staging
    }

    #[test]
    fn what_only_the_secondarys_guest_has_written_is_as_at_the_checkpoint() {
        if let Err(error) = crate::kvm_usable() {
            assert!(std::env::var("COLO_REQUIRE_KVM").as_deref() != Ok("1"), "{error}");
            eprintln!("SKIPPED what_only_the_secondarys_guest_has_written_is_as_at_the_checkpoint: {error}");
            return;
        }
        let (mut machine, image) = (machine(), crate::abi::IMAGE / PAGE as u64);
        let initially = *machine.page(image).unwrap();
        let mut cache = RamCache::of(&machine).unwrap();
        let mut load = |pages: &[(u64, u8)], machine: &mut Machine| {
            let staged = staged(pages, machine);
            cache.load(&staged, &Inbound::default(), machine).unwrap();
        };
        load(&[(600, 6), (601, 7)], &mut machine);
        for page in [image, 600, 601, 602] {
            machine.write_page(page, &[9; PAGE]).unwrap();
        }
        load(&[(601, 8)], &mut machine);
        let found = [image, 600, 601, 602].map(|page| *machine.page(page).unwrap());
        assert!(found == [initially, [6; PAGE], [8; PAGE], [0; PAGE]]);
        let mut written = Vec::new();
        machine.harvest(&mut written).unwrap();
        assert!(written.is_empty(), "{written:?}");
    }
}
