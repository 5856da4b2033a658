//! One virtual machine under /dev/kvm: made, booted, run until it exits, saved, restored.
//!
//! One thread owns it and drives it; others may hold its [`Kicker`] and read its [`Memory`]. It never runs by itself:
//! the guest executes inside [`Machine::run`] and nowhere else.

use std::fmt;
use std::sync::Arc;

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, KVM_MEM_LOG_DIRTY_PAGES, Msrs, kvm_userspace_memory_region};
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};

use super::boot;
use super::cpu::{self, CpuState};
use super::dirty::DirtyLog;
use super::exit::{Exit, translate};
use super::host::{check_extended_state, kvm_error, open_kvm};
use super::kick::{KickTarget, Kicker};
use super::memory::{Memory, Page};
use super::network::{CardConfig, CardState, NetworkCard, check_card};
use super::running::RunningMemory;
use super::state::MachineState;
use crate::abi::{CARD, PAGE_BYTES, Parameters};
use crate::{Error, Result};

/// The one memory slot.
pub(super) const SLOT: u32 = 0;

/// The most accesses to the card that one instruction makes before it can be interrupted: KVM looks at each 1,024 repetitions.
const MOST_ACCESSES: usize = 4096;

/// How to make a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineConfig {
    /// Guest memory in MiB, from `MEMORY_MIB_MIN` to `MEMORY_MIB_MAX`.
    pub memory_mib: u64,
    /// Whether to back all of it at once: first touches cost microseconds each, in the middle of a measurement.
    pub prefault: bool,
    /// Its network card, if it has one.
    pub card: Option<CardConfig>,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self { memory_mib: 128, prefault: true, card: None }
    }
}

/// A virtual machine with one vCPU.
// Fields are dropped in order: the vCPU and the VM before the memory that they use.
pub struct Machine {
    vcpu: VcpuFd,
    vm: Arc<VmFd>,
    memory: Arc<Memory>,
    dirty: DirtyLog,
    /// Its network card, and what the guest is told of it.
    pub(super) card: Option<(NetworkCard, CardConfig)>,
    kick: KickTarget,
    /// The MSRs to save, as a template.
    msrs: Msrs,
    /// The state that the vCPU was given last, if it has not run since.
    restored: Option<CpuState>,
    /// Room for the MSRs of a state that differ from those of the one before.
    changed_msrs: Msrs,
    /// Whether nothing is half done (a port access waits for the next `KVM_RUN` to complete it) and the page that
    /// `KVM_RUN` shares with this process shows the registers as they are.
    settled: bool,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("memory_bytes", &self.memory.bytes()).finish_non_exhaustive()
    }
}

impl Machine {
    /// Makes a machine with zeroed memory and a fresh vCPU, ready to be booted or restored.
    ///
    /// # Errors
    /// When /dev/kvm is unusable, memory cannot be had, or KVM refuses a call.
    pub fn new(config: &MachineConfig) -> Result<Self> {
        let kvm = open_kvm()?;
        let memory = Memory::new(config.memory_mib, config.prefault)?;
        let vm = kvm.create_vm().map_err(kvm_error("KVM_CREATE_VM"))?;
        check_extended_state(&vm)?;
        let region = kvm_userspace_memory_region {
            slot: SLOT,
            flags: KVM_MEM_LOG_DIRTY_PAGES,
            guest_phys_addr: 0,
            memory_size: memory.bytes(),
            userspace_addr: memory.host_address(),
        };
        // SAFETY: the range is the whole of the mapping, which `self` keeps until after the VM is gone.
        unsafe { vm.set_user_memory_region(region) }.map_err(kvm_error("KVM_SET_USER_MEMORY_REGION"))?;
        let mut vcpu = vm.create_vcpu(0).map_err(kvm_error("KVM_CREATE_VCPU"))?;
        let cpuid =
            kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(kvm_error("KVM_GET_SUPPORTED_CPUID"))?;
        vcpu.set_cpuid2(&cpuid).map_err(kvm_error("KVM_SET_CPUID2"))?;
        let msrs = cpu::saveable_msrs(&kvm, &vcpu)?;
        cpu::show_registers(&mut vcpu);
        let dirty = DirtyLog::new(&memory);
        let card =
            config.card.map(|config| Ok::<_, Error>((NetworkCard::new(&config)?, config))).transpose()?;
        Ok(Self {
            vcpu,
            vm: Arc::new(vm),
            memory: Arc::new(memory),
            dirty,
            card,
            kick: KickTarget::new()?,
            changed_msrs: msrs.clone(),
            msrs,
            restored: None,
            settled: false,
        })
    }

    /// Loads a program and its parameters and sets the vCPU to its first instruction. On a machine that has run, memory
    /// that the program expects to be zero is not cleared.
    ///
    /// # Errors
    /// [`Error::Image`] for a program that does not fit, [`Error::Kvm`].
    pub fn boot(&mut self, image: &[u8], parameters: &Parameters) -> Result<()> {
        self.settle()?;
        (self.settled, self.restored) = (false, None);
        let network = self.card.as_ref().map(|(_, config)| &config.parameters);
        boot::write_memory(&self.memory, image, parameters, network)?;
        let mut sregs = self.vcpu.get_sregs().map_err(kvm_error("KVM_GET_SREGS"))?;
        boot::enter_ring_3(&mut sregs);
        self.vcpu.set_sregs(&sregs).map_err(kvm_error("KVM_SET_SREGS"))?;
        self.vcpu.set_regs(&boot::entry_registers()).map_err(kvm_error("KVM_SET_REGS"))
    }

    /// Resets the machine, whose guest has just asked for it: program, parameters and processor are as after [`Machine::boot`],
    /// requests that it had not taken are lost, and all other memory is as it was. Its output goes on where it was.
    ///
    /// # Errors
    /// As for [`Machine::boot`].
    pub fn reset(&mut self, image: &[u8], parameters: &Parameters) -> Result<()> {
        self.boot(image, parameters)?;
        if let Some((card, _)) = &mut self.card {
            card.reset();
        }
        self.memory.empty_requests()
    }

    /// A handle that ends `run` from another thread.
    pub fn kicker(&self) -> Kicker {
        self.kick.kicker()
    }

    /// Runs the guest until it exits. A kick that came before ends it at once.
    ///
    /// # Errors
    /// [`Error::Kvm`] when KVM itself fails; what the guest does wrong is [`Exit::Failed`].
    pub fn run(&mut self) -> Result<Exit> {
        let immediate_exit = &raw mut self.vcpu.get_kvm_run().immediate_exit;
        let _armed = self.kick.arm(immediate_exit);
        self.restored = None;
        while !self.kick.take() {
            match self.vcpu.run() {
                Ok(mut exit) => {
                    self.settled = false;
                    let card = self.card.as_mut().map(|(card, _)| card);
                    if !serve_registers(card, &mut exit, &self.memory)? {
                        return Ok(translate(&exit));
                    }
                }
                Err(error) if error.errno() == libc::EINTR => {
                    // On its way in, KVM_RUN has completed what was pending; on its way out, shown the registers.
                    self.settled = true;
                    self.vcpu.set_kvm_immediate_exit(0);
                }
                Err(error) => return Err(kvm_error("KVM_RUN")(error)),
            }
        }
        Ok(Exit::Kicked)
    }

    /// Completes a port access that the last exit has left half done, without executing anything of the guest. `save`,
    /// `restore` and `boot` do it themselves.
    ///
    /// # Errors
    /// [`Error::Kvm`].
    pub fn settle(&mut self) -> Result<()> {
        if self.settled {
            return Ok(());
        }
        self.restored = None;
        // One access of the guest's to the card may be several to the host, each half done before the next.
        for _ in 0..MOST_ACCESSES {
            self.vcpu.set_kvm_immediate_exit(1);
            let outcome = settled(self.vcpu.run(), self.card.as_mut().map(|(card, _)| card), &self.memory);
            self.vcpu.set_kvm_immediate_exit(0);
            if outcome? {
                self.settled = true;
                return Ok(());
            }
        }
        let source = std::io::Error::other("an access to the card that does not end");
        Err(Error::Kvm { call: "KVM_RUN (settling)", source })
    }

    /// An empty state to save into, again and again.
    pub fn state(&self) -> MachineState {
        MachineState { cpu: CpuState::with_msrs(self.msrs.clone()), card: self.card_state() }
    }

    /// Saves all but memory, settled. Allocates nothing when `state` comes from this machine.
    ///
    /// # Errors
    /// [`Error::Kvm`], [`Error::Msr`].
    pub fn save(&mut self, state: &mut MachineState) -> Result<()> {
        self.settle()?;
        state.card = self.card_state();
        state.cpu.read(&self.vcpu)
    }

    fn card_state(&self) -> Option<CardState> {
        self.card.as_ref().map(|(card, _)| card.state())
    }

    /// Replaces all but memory. After an error the machine must not be run.
    ///
    /// # Errors
    /// [`Error::Kvm`], [`Error::Msr`] when the state comes from an unlike processor, [`Error::Card`] when it comes from a machine
    /// with another card.
    pub fn restore(&mut self, state: &MachineState) -> Result<()> {
        check_card(self.card.as_ref().map(|(_, config)| config), state.card.as_ref(), &self.memory)?;
        if self.restored.is_none() {
            // What is half done is the old guest's, on the old guest's card.
            self.settle()?;
        }
        if let (Some((card, _)), Some(state)) = (&mut self.card, &state.card) {
            card.restore(state, self.memory.mapping())?;
        }
        let state = &state.cpu;
        let before = self.restored.take();
        if let Some(before) = before {
            state.write_over(&before, &mut self.changed_msrs, &self.vcpu)?;
        } else {
            self.settled = false;
            state.write(&self.vcpu)?;
        }
        self.restored = Some(state.clone());
        Ok(())
    }

    /// The pages written by guest or host since the last harvest (or since the start), ascending; `pages` is cleared
    /// first. The next harvest begins here.
    ///
    /// # Errors
    /// [`Error::Kvm`]; then pages may have been lost from the log, and only a copy of all memory is complete.
    pub fn harvest(&mut self, pages: &mut Vec<u64>) -> Result<()> {
        self.dirty.harvest(&self.vm, SLOT, &self.memory, pages)
    }

    /// Forgets what was written so far: for a memory that has just become equal to another.
    ///
    /// # Errors
    /// As for [`Machine::harvest`].
    pub fn forget_dirty(&mut self) -> Result<()> {
        self.dirty.read_and_reset(&self.vm, SLOT, &self.memory)
    }

    /// Guest memory, for reading by other threads (pre-copy, say) even while the guest runs.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Guest memory with its dirty log, for pre-copy while the guest runs. Nobody harvests through `self` meanwhile.
    pub fn running_memory(&self) -> RunningMemory {
        RunningMemory::new(Arc::clone(&self.vm), Arc::clone(&self.memory))
    }

    /// A page as it is, without copying: the guest stands still while the reference lives.
    ///
    /// # Errors
    /// [`Error::Address`] beyond the end.
    pub fn page(&self, page: u64) -> Result<&Page> {
        // SAFETY: the guest writes in `run` only, the host through `write` only (`Memory::write` is private to this
        // folder); both need `&mut self`, which the returned borrow of `self` excludes.
        unsafe { self.memory.page(page) }
    }

    /// Overwrites a page, and marks it as written.
    ///
    /// # Errors
    /// [`Error::Address`] beyond the end.
    pub fn write_page(&mut self, page: u64, content: &Page) -> Result<()> {
        self.write(page.saturating_mul(PAGE_BYTES), content)
    }

    /// Writes guest memory, and marks its pages as written.
    ///
    /// # Errors
    /// [`Error::Address`] beyond the end; then nothing is written.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        self.memory.write(address, bytes)
    }
}

/// Whether nothing is half done any more, by how `KVM_RUN` ended that was to execute nothing.
fn settled(
    ended: std::result::Result<VcpuExit<'_>, kvm_ioctls::Error>,
    card: Option<&mut NetworkCard>,
    memory: &Memory,
) -> Result<bool> {
    match ended {
        Err(error) if error.errno() == libc::EINTR => Ok(true),
        Err(error) => Err(kvm_error("KVM_RUN (settling)")(error)),
        Ok(mut exit) => {
            if serve_registers(card, &mut exit, memory)? {
                return Ok(false);
            }
            let source = std::io::Error::other(format!("instead of being interrupted it exited: {exit:?}"));
            Err(Error::Kvm { call: "KVM_RUN (settling)", source })
        }
    }
}

/// Whether the guest has reached for a register of the card, and has been served.
fn serve_registers(card: Option<&mut NetworkCard>, exit: &mut VcpuExit<'_>, memory: &Memory) -> Result<bool> {
    let Some(card) = card else { return Ok(false) };
    match exit {
        VcpuExit::MmioRead(address, to) if *address >= CARD => card.read(*address - CARD, to),
        VcpuExit::MmioWrite(address, from) if *address >= CARD => {
            card.write(*address - CARD, from, memory.mapping())?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
