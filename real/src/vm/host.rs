//! Whether this host can run machines, and the device that makes them.

use kvm_bindings::{KVM_API_VERSION, kvm_xsave};
use kvm_ioctls::{Cap, Kvm, VmFd};
use vmm_sys_util::errno;

use crate::{Error, Result};

/// Whether machines can be made here.
///
/// # Errors
/// What is missing, and what to do about it.
pub fn kvm_usable() -> Result<()> {
    let kvm = open_kvm()?;
    let vm = kvm.create_vm().map_err(kvm_error("KVM_CREATE_VM"))?;
    check_extended_state(&vm)
}

/// Opens the device and checks for what every machine needs.
pub(super) fn open_kvm() -> Result<Kvm> {
    let kvm = Kvm::new().map_err(|error| Error::KvmOpen(error.into()))?;
    let want = KVM_API_VERSION.cast_signed();
    let got = kvm.get_api_version();
    if got != want {
        return Err(Error::KvmVersion { got, want });
    }
    let needed = [
        (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
        (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
        (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
        (Cap::SyncRegs, "KVM_CAP_SYNC_REGS"),
        (Cap::VcpuEvents, "KVM_CAP_VCPU_EVENTS"),
        (Cap::Debugregs, "KVM_CAP_DEBUGREGS"),
        (Cap::Xsave, "KVM_CAP_XSAVE"),
        (Cap::Xcrs, "KVM_CAP_XCRS"),
        (Cap::MpState, "KVM_CAP_MP_STATE"),
    ];
    match needed.into_iter().find(|(capability, _)| !kvm.check_extension(*capability)) {
        Some((_, name)) => Err(Error::KvmLacks(name)),
        None => Ok(kvm),
    }
}

/// The extended state must fit the classic structure: it does unless somebody enables AMX for guests.
pub(super) fn check_extended_state(vm: &VmFd) -> Result<()> {
    let bytes = usize::try_from(vm.check_extension_int(Cap::Xsave2)).unwrap_or(0);
    if bytes > size_of::<kvm_xsave>() {
        return Err(Error::KvmLacks("an extended state within 4096 bytes (AMX is enabled for guests)"));
    }
    Ok(())
}

/// An error constructor for a call that failed.
pub(super) fn kvm_error(call: &'static str) -> impl Fn(errno::Error) -> Error {
    move |error| Error::Kvm { call, source: error.into() }
}
