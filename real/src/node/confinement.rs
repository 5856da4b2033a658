//! What a node's process may still ask of the kernel once it runs: seccomp, by a list.
//!
//! A node that has begun opens nothing, connects to nobody and starts nothing. Its machine is there, its link and the
//! line to the harness stand, its guest's thread waits. So when a peer or a guest has taken it over there is little that
//! can be done with it: whatever is not on the list kills the process, as Firecracker has it. Only to open a file, and to
//! ask where it is, is an error, for that is what the allocator tries when it shrinks, and a panic that looks for its
//! backtrace; both do without.

use kvm_bindings::{
    KVMIO, kvm_debugregs, kvm_dirty_log, kvm_mp_state, kvm_msrs, kvm_regs, kvm_sregs, kvm_vcpu_events,
    kvm_xcrs, kvm_xsave,
};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use vmm_sys_util::ioctl::{_IOC_NONE, _IOC_READ, _IOC_WRITE, ioctl_expr};

/// Calls that are harmless whatever they are given, because all that they work on is the process's own.
const FREE: [libc::c_long; 35] = [
    // The link, the control channel, the event of the guest's thread; stderr, for the last words of a panic.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_shutdown,
    libc::SYS_close,
    // How a thread of the disk's connection is woken: a survivor has another with each replacement.
    libc::SYS_eventfd2,
    // The disk's files, which are open: blocks, overlays that are emptied, flushes.
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_ftruncate,
    libc::SYS_fdatasync,
    // Two threads to four, and their ends.
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_gettid,
    libc::SYS_getpid,
    // The kick.
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_restart_syscall,
    // The clock, where the kernel does not let it be read without a call.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    // The allocator; what it may map is below.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Seeds of the standard library's hash maps.
    libc::SYS_getrandom,
];

/// Calls that a filter of their own makes fail.
const FILES: [libc::c_long; 4] =
    [libc::SYS_openat, libc::SYS_getcwd, libc::SYS_readlink, libc::SYS_readlinkat];

/// The bytes of a structure, as an ioctl's number has them.
#[allow(clippy::cast_possible_truncation, reason = "the kernel's structures have a few kilobytes at most")]
const fn bytes<T>() -> u32 {
    size_of::<T>() as u32
}

/// What a machine that exists is asked for: run, save, restore, and which pages are dirty. None makes anything new.
const MACHINE: [libc::c_ulong; 17] = [
    // KVM_RUN, KVM_GET_DIRTY_LOG; what is read from, and written to, the processor.
    ioctl_expr(_IOC_NONE, KVMIO, 0x80, 0),
    ioctl_expr(_IOC_WRITE, KVMIO, 0x42, bytes::<kvm_dirty_log>()),
    ioctl_expr(_IOC_READ, KVMIO, 0x81, bytes::<kvm_regs>()),
    ioctl_expr(_IOC_WRITE, KVMIO, 0x82, bytes::<kvm_regs>()),
    ioctl_expr(_IOC_READ, KVMIO, 0x83, bytes::<kvm_sregs>()),
    ioctl_expr(_IOC_WRITE, KVMIO, 0x84, bytes::<kvm_sregs>()),
    ioctl_expr(_IOC_READ | _IOC_WRITE, KVMIO, 0x88, bytes::<kvm_msrs>()),
    ioctl_expr(_IOC_WRITE, KVMIO, 0x89, bytes::<kvm_msrs>()),
    ioctl_expr(_IOC_READ, KVMIO, 0x98, bytes::<kvm_mp_state>()),
    ioctl_expr(_IOC_WRITE, KVMIO, 0x99, bytes::<kvm_mp_state>()),
    ioctl_expr(_IOC_WRITE, KVMIO, 0xa0, bytes::<kvm_vcpu_events>()),
    ioctl_expr(_IOC_READ, KVMIO, 0xa1, bytes::<kvm_debugregs>()),
    ioctl_expr(_IOC_WRITE, KVMIO, 0xa2, bytes::<kvm_debugregs>()),
    ioctl_expr(_IOC_READ, KVMIO, 0xa4, bytes::<kvm_xsave>()),
    ioctl_expr(_IOC_WRITE, KVMIO, 0xa5, bytes::<kvm_xsave>()),
    ioctl_expr(_IOC_READ, KVMIO, 0xa6, bytes::<kvm_xcrs>()),
    ioctl_expr(_IOC_WRITE, KVMIO, 0xa7, bytes::<kvm_xcrs>()),
];

/// Confines all threads of this process, for good: a call that is not on the list kills it.
pub(super) fn confine() -> Result<(), seccompiler::Error> {
    // What the kernel has told the process at its start: rustix reads it, perhaps from a file, when it is first needed.
    let _ = rustix::param::page_size();
    // Of several filters the strictest has its way.
    seccompiler::apply_filter_all_threads(&no_file()?)?;
    seccompiler::apply_filter_all_threads(&program(SeccompAction::KillProcess)?)
}

/// To open a file is no right of the process.
fn no_file() -> Result<BpfProgram, BackendError> {
    let refused = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let rules = FILES.into_iter().map(|call| (call, Vec::new())).collect();
    SeccompFilter::new(rules, SeccompAction::Allow, refused, TargetArch::x86_64)?.try_into()
}

/// The list, and what comes of a call that is not on it.
fn program(otherwise: SeccompAction) -> Result<BpfProgram, BackendError> {
    let free = FREE.into_iter().chain(FILES);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = free.map(|call| (call, Vec::new())).collect();
    let ioctls: Result<_, _> =
        MACHINE.into_iter().map(|request| argument(1, SeccompCmpOp::Eq, request)).collect();
    rules.insert(libc::SYS_ioctl, ioctls?);
    // Memory for data, never for code.
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![argument(2, SeccompCmpOp::MaskedEq(executable), 0)?]);
    }
    // In a debug build the standard library looks whether what it closes is open.
    let look = u64::from(libc::F_GETFD.unsigned_abs());
    rules.insert(libc::SYS_fcntl, vec![argument(1, SeccompCmpOp::Eq, look)?]);
    // A signal to a thread of its own.
    rules.insert(libc::SYS_tgkill, vec![argument(0, SeccompCmpOp::Eq, std::process::id().into())?]);
    SeccompFilter::new(rules, otherwise, SeccompAction::Allow, TargetArch::x86_64)?.try_into()
}

/// The rule that an argument, of 32 bits, is so.
fn argument(index: u8, so: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(index, SeccompCmpArgLen::Dword, so, value)?])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;
    use std::os::unix::net::UnixStream;
    use std::process::Command;
    use std::thread;

    /// What a thread that is confined comes to; what is not on the list fails there, instead of killing.
    fn confined<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        let refused = SeccompAction::Errno(Errno::XDEV.raw_os_error().unsigned_abs());
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                seccompiler::apply_filter(&no_file().unwrap()).unwrap();
                seccompiler::apply_filter(&program(refused).unwrap()).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    /// Whether it was the filter that refused this.
    fn is_refused<T>(result: std::io::Result<T>) -> bool {
        let by_filter = [Errno::XDEV, Errno::ACCESS].map(|error| Some(error.raw_os_error()));
        result.is_err_and(|error| by_filter.contains(&error.raw_os_error()))
    }

    #[test]
    fn what_a_node_does_with_its_disk_it_may_do() {
        let mut file = tempfile::tempfile().unwrap();
        let content = confined(move || {
            let mut content = [0; 8];
            file.write_all_at(b"old, new", 4096).unwrap();
            file.read_exact_at(&mut content, 4096).unwrap();
            file.sync_data().unwrap();
            file.set_len(0).unwrap();
            assert_eq!(file.read(&mut [0; 8]).unwrap(), 0);
            content
        });
        assert_eq!(&content, b"old, new");
    }

    #[test]
    fn what_a_node_does_it_may_do() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let came = confined(move || {
            here.write_all(b"checkpoint").unwrap();
            here.shutdown(std::net::Shutdown::Write).unwrap();
            let mut came = Vec::with_capacity(8 << 20);
            there.read_to_end(&mut came).unwrap();
            came
        });
        assert_eq!(came, b"checkpoint");
    }

    #[test]
    fn nothing_is_opened_started_or_connected_to() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let refused = confined(|| {
            [
                is_refused(File::create(&file)),
                is_refused(File::open("/dev/kvm")),
                is_refused(TcpListener::bind("127.0.0.1:0")),
                is_refused(UnixStream::connect(&file)),
                is_refused(Command::new("true").spawn()),
                is_refused(thread::Builder::new().spawn(|| ())),
                is_refused(std::fs::remove_dir(directory.path())),
            ]
        });
        assert_eq!(refused, [true; 7]);
        assert!(!file.exists());
    }

    #[test]
    fn only_a_machine_that_is_there_is_asked_and_no_memory_is_for_code() {
        let (here, _there) = UnixStream::pair().unwrap();
        let refused = confined(|| {
            let bytes_waiting = rustix::io::ioctl_fionread(here.as_fd());
            // SAFETY: nobody is given the mapping.
            let map = |protection| unsafe {
                mmap_anonymous(std::ptr::null_mut(), 4096, protection, MapFlags::PRIVATE)
            };
            let data = map(ProtFlags::READ | ProtFlags::WRITE);
            let code = map(ProtFlags::READ | ProtFlags::EXEC);
            [bytes_waiting.err(), data.err(), code.err()]
        });
        assert_eq!(refused, [Some(Errno::XDEV), None, Some(Errno::XDEV)]);
    }

    /// In a process of its own, because it is confined for good.
    #[test]
    fn a_panic_has_its_last_words() {
        if std::env::var_os("COLO_TEST_PANIC").is_some() {
            confine().unwrap();
            panic!("these are the last words");
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "node::confinement::tests::a_panic_has_its_last_words", "--nocapture"])
            // Under AddressSanitizer it would start a process to look for leaks.
            .envs([("COLO_TEST_PANIC", "1"), ("RUST_BACKTRACE", "1"), ("ASAN_OPTIONS", "detect_leaks=0")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("these are the last words"), "{said}");
        assert_eq!(output.status.code(), Some(101), "{said}");
    }

    #[test]
    fn no_other_process_is_sent_a_signal() {
        let parent = rustix::process::getppid().unwrap();
        let refused = confined(|| rustix::process::test_kill_process(parent));
        assert_eq!(refused, Err(Errno::XDEV));
    }
}
