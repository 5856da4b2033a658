//! The processor's state, complete: what has to move for the guest to go on elsewhere as if nothing had happened.
//!
//! General, special, debug and extended control registers, FPU and vector state, MSRs, pending events, and whether it
//! runs. Left out because the machine has none: no interrupt controller, no timer chip and no paravirtual clock are
//! created, and the guest reads no time. (The time stamp counter is among the MSRs and moves along.)

use kvm_bindings::{
    Msrs, kvm_debugregs, kvm_mp_state, kvm_msr_entry, kvm_regs, kvm_sregs, kvm_vcpu_events, kvm_xcrs,
    kvm_xsave,
};
use kvm_ioctls::{Kvm, SyncReg, VcpuFd};

use super::host::kvm_error;
use crate::{Error, Result};

/// The MSR that changes by itself.
const TIME_STAMP_COUNTER: u32 = 0x10;

/// FPU and vector state in the processor's own layout.
pub(super) type XsaveRegion = [u32; 1024];

/// The state of one vCPU, as the kernel's structures. Made by `Machine::cpu_state` or by decoding a blob.
#[derive(Clone, Debug)]
pub struct CpuState {
    pub(super) regs: kvm_regs,
    pub(crate) sregs: kvm_sregs,
    /// The content of `kvm_xsave`, which cannot be cloned.
    pub(super) xsave: XsaveRegion,
    pub(super) xcrs: kvm_xcrs,
    pub(super) msrs: Msrs,
    pub(super) events: kvm_vcpu_events,
    pub(super) debugregs: kvm_debugregs,
    pub(super) mp_state: kvm_mp_state,
}

impl CpuState {
    /// All zeros, with these MSRs; `read` fills it in.
    pub(super) fn with_msrs(msrs: Msrs) -> Self {
        Self {
            regs: kvm_regs::default(),
            sregs: kvm_sregs::default(),
            xsave: [0; 1024],
            xcrs: kvm_xcrs::default(),
            msrs,
            events: kvm_vcpu_events::default(),
            debugregs: kvm_debugregs::default(),
            mp_state: kvm_mp_state::default(),
        }
    }

    /// The general registers.
    pub fn registers(&self) -> &kvm_regs {
        &self.regs
    }

    /// Index and value of each saved MSR.
    pub fn msrs(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.msrs.as_slice().iter().map(|msr| (msr.index, msr.data))
    }

    /// Reads the state of a vCPU that is not running, has nothing pending, and has shown its registers at its last
    /// `KVM_RUN`: that spares three calls. Allocates nothing.
    pub(super) fn read(&mut self, vcpu: &VcpuFd) -> Result<()> {
        let shown = vcpu.sync_regs();
        self.regs = shown.regs;
        self.sregs = shown.sregs;
        self.events = shown.events;
        self.mp_state = vcpu.get_mp_state().map_err(kvm_error("KVM_GET_MP_STATE"))?;
        self.xsave = vcpu.get_xsave().map_err(kvm_error("KVM_GET_XSAVE"))?.region;
        self.xcrs = vcpu.get_xcrs().map_err(kvm_error("KVM_GET_XCRS"))?;
        self.debugregs = vcpu.get_debug_regs().map_err(kvm_error("KVM_GET_DEBUGREGS"))?;
        let wanted = self.msrs.as_slice().len();
        let got = vcpu.get_msrs(&mut self.msrs).map_err(kvm_error("KVM_GET_MSRS"))?;
        if got < wanted {
            return Err(refused(&self.msrs, got));
        }
        Ok(())
    }

    /// Puts the state into a vCPU that is not running, has no port access pending, and is in the state `before`, but for
    /// its clock: what is the same is left alone.
    pub(super) fn write_over(&self, before: &Self, changed: &mut Msrs, vcpu: &VcpuFd) -> Result<()> {
        if self.sregs != before.sregs || self.xcrs != before.xcrs || !self.has_msrs_of(before) {
            return self.write(vcpu);
        }
        if self.mp_state != before.mp_state {
            vcpu.set_mp_state(self.mp_state).map_err(kvm_error("KVM_SET_MP_STATE"))?;
        }
        if self.regs != before.regs {
            vcpu.set_regs(&self.regs).map_err(kvm_error("KVM_SET_REGS"))?;
        }
        if self.xsave != before.xsave {
            self.write_xsave(vcpu)?;
        }
        if self.debugregs != before.debugregs {
            vcpu.set_debug_regs(&self.debugregs).map_err(kvm_error("KVM_SET_DEBUGREGS"))?;
        }
        changed.retain(|_| false);
        for (msr, old) in self.msrs.as_slice().iter().zip(before.msrs.as_slice()) {
            if msr.data != old.data || msr.index == TIME_STAMP_COUNTER {
                changed.push(*msr).map_err(|_| Error::KvmLacks("room for the MSRs that have changed"))?;
            }
        }
        write_msrs(changed, vcpu)?;
        vcpu.set_vcpu_events(&self.events).map_err(kvm_error("KVM_SET_VCPU_EVENTS"))
    }

    /// Whether the same MSRs are in it, in the same order.
    fn has_msrs_of(&self, other: &Self) -> bool {
        self.msrs().map(|(index, _)| index).eq(other.msrs().map(|(index, _)| index))
    }

    /// Puts the state into a vCPU that is not running and has no port access pending.
    pub(super) fn write(&self, vcpu: &VcpuFd) -> Result<()> {
        // Registers clear pending exceptions, so events come last; extended state needs the special registers first.
        vcpu.set_mp_state(self.mp_state).map_err(kvm_error("KVM_SET_MP_STATE"))?;
        vcpu.set_regs(&self.regs).map_err(kvm_error("KVM_SET_REGS"))?;
        vcpu.set_sregs(&self.sregs).map_err(kvm_error("KVM_SET_SREGS"))?;
        self.write_xsave(vcpu)?;
        vcpu.set_xcrs(&self.xcrs).map_err(kvm_error("KVM_SET_XCRS"))?;
        vcpu.set_debug_regs(&self.debugregs).map_err(kvm_error("KVM_SET_DEBUGREGS"))?;
        write_msrs(&self.msrs, vcpu)?;
        vcpu.set_vcpu_events(&self.events).map_err(kvm_error("KVM_SET_VCPU_EVENTS"))
    }

    fn write_xsave(&self, vcpu: &VcpuFd) -> Result<()> {
        let xsave = kvm_xsave { region: self.xsave, ..kvm_xsave::default() };
        // SAFETY: `Machine::new` has checked that this kernel's extended state is no larger than the structure.
        unsafe { vcpu.set_xsave(&xsave) }.map_err(kvm_error("KVM_SET_XSAVE"))
    }
}

fn write_msrs(msrs: &Msrs, vcpu: &VcpuFd) -> Result<()> {
    let set = vcpu.set_msrs(msrs).map_err(kvm_error("KVM_SET_MSRS"))?;
    if set < msrs.as_slice().len() { Err(refused(msrs, set)) } else { Ok(()) }
}

/// From now on, each return of `KVM_RUN` shows general and special registers and events in the shared page.
pub(super) fn show_registers(vcpu: &mut VcpuFd) {
    for part in [SyncReg::Register, SyncReg::SystemRegister, SyncReg::VcpuEvents] {
        vcpu.set_sync_valid_reg(part);
    }
}

/// The error for the first MSR that the kernel has not taken.
fn refused(msrs: &Msrs, at: usize) -> Error {
    let (index, value) = msrs.as_slice().get(at).map_or((0, 0), |msr| (msr.index, msr.data));
    Error::Msr { index, value }
}

/// The MSRs to save: of those that the kernel lists, all that it lets us read and set back.
pub(super) fn saveable_msrs(kvm: &Kvm, vcpu: &VcpuFd) -> Result<Msrs> {
    let list = kvm.get_msr_index_list().map_err(kvm_error("KVM_GET_MSR_INDEX_LIST"))?;
    let mut entries = Vec::new();
    for index in list.as_slice() {
        let mut one = msr_list(&[kvm_msr_entry { index: *index, ..kvm_msr_entry::default() }])?;
        let readable = vcpu.get_msrs(&mut one).map_err(kvm_error("KVM_GET_MSRS"))? == 1;
        if readable && vcpu.set_msrs(&one).map_err(kvm_error("KVM_SET_MSRS"))? == 1 {
            entries.extend_from_slice(one.as_slice());
        }
    }
    msr_list(&entries)
}

/// The kernel's form of a list of MSRs.
fn msr_list(entries: &[kvm_msr_entry]) -> Result<Msrs> {
    Msrs::from_entries(entries).map_err(|_| Error::KvmLacks("a list of MSRs of sensible length"))
}
